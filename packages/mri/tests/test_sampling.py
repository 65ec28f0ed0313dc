import pytest
import torch

from invcore import ShapeError
from invcore_mri import Fourier, Sense

MAPS = torch.randn(3, 4, 6, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
X = torch.randn(1, 4, 6, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("line", "full"), [((6,), (1, 6)), ((4,), (4, 1))])
def test_a_mask_over_the_phase_encodes_lies_along_the_axis_of_its_length(line, full):
    mask = torch.arange(float(line[0])) % 2
    for A, same in (
        (Sense(MAPS, mask), Sense(MAPS, mask.reshape(full))),
        (Fourier(mask, (4, 6)), Fourier(mask.reshape(full), (4, 6))),
    ):
        assert A.mask.shape == full
        assert torch.equal(A(X), same(X))
        assert A.bind(mask=1 - mask).mask.shape == full


def test_a_mask_that_fits_two_axes_is_refused_with_both_readings():
    with pytest.raises(ShapeError, match=r"\.reshape\(1, 8\) or \.reshape\(8, 1\)"):
        Fourier(torch.ones(8), (8, 8))
    with pytest.raises(ShapeError, match="no axes have these lengths"):
        Sense(MAPS, torch.ones(5))


def test_a_plane_of_phase_encodes_in_three_dimensions():
    A = Fourier(torch.ones(4, 6), (5, 4, 6))
    assert A.mask.shape == (1, 4, 6)
    assert Fourier(torch.ones(2, 5, 4, 6), (5, 4, 6)).mask.shape == (2, 5, 4, 6)  # batch
