"""Gray denoisers in opponent colors."""

import pytest
import torch

from invcore import Denoiser, ParameterError
from invcore.denoisers import Opponent


class Shrink(Denoiser):
    """Toward the middle of its range by a factor that the noise level decides."""

    middle: float = 0.0
    channels: int | None = 1
    value_range: tuple[float, float] | None = None
    sigma_range: tuple[float, float] = (0.0, 2.0)
    spatial_dims: int = 2

    def denoise(self, x, sigma):
        return self.middle + (x - self.middle) / (1 + sigma**2)


@pytest.mark.parametrize("known", [False, True])
def test_each_channel_is_shrunk_by_its_own_noise(known):
    """Against the orthonormal matrix; with a range, differences have noise √6/4 as large."""
    basis = torch.tensor([[1.0, 1, 1], [1, 0, -1], [1, -2, 1]], dtype=torch.float64)
    basis = basis / basis.norm(dim=1, keepdim=True)
    x = torch.rand(4, 3, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([0.1, 0.4, 0.8, 1.0], dtype=torch.float64)
    inner = Shrink(middle=0.5, value_range=(0.0, 1.0)) if known else Shrink()
    s = 6**0.5 / 4 if known else 1.0
    shrunk = torch.stack([1 / (1 + sigma**2 / 3), *2 * [1 / (1 + (s * sigma) ** 2)]], -1)
    center = torch.tensor([0.5 * 3**0.5 if known else 0.0, 0.0, 0.0], dtype=torch.float64)
    opponent = torch.einsum("ij,bjyx->biyx", basis, x) - center[:, None, None]
    expected = torch.einsum(
        "ij,biyx->bjyx", basis, shrunk[:, :, None, None] * opponent + center[:, None, None]
    )
    D = Opponent(inner)
    assert torch.allclose(D(x, sigma), expected, atol=1e-14)
    assert torch.allclose(D(x[1], 0.4), expected[1], atol=1e-14)
    assert D.channels == 3 and D.sigma_range == pytest.approx((0.0, 2.0 / s))


def test_a_denoiser_of_colors_is_refused():
    with pytest.raises(ParameterError, match="gray images, got one of 3 channels"):
        Opponent(Shrink(channels=3))
