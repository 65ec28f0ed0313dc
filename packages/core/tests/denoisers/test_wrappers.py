"""Denoisers made from denoisers: turned and mirrored, in tiles."""

import pytest
import torch

import invcore
from invcore import Denoiser, ParameterError
from invcore.denoisers import (
    BM3D,
    Anscombe,
    Bilateral,
    Equivariant,
    Median,
    NonLocalMeans,
    Rescaled,
    Tiled,
    WaveletDenoiser,
)


def turned(x):
    yield from (torch.rot90(v, k, (-2, -1)) for v in (x, x.flip(-1)) for k in range(4))


def test_equivariant_mean(picture, noisy):
    y = noisy(picture(16), 0.1)[..., :12]
    inner = WaveletDenoiser(wavelet="db2", levels=2)
    D = Equivariant(inner)
    for moved, expected in zip(turned(y), turned(D(y, 0.1))):
        assert torch.allclose(D(moved, 0.1), expected, atol=1e-12)
    assert not torch.allclose(inner(y.flip(-1), 0.1), inner(y, 0.1).flip(-1), atol=1e-3)
    elements = [Equivariant(inner, element=g)(y, 0.1) for g in range(8)]
    assert torch.allclose(torch.stack(elements).mean(0), D(y, 0.1), atol=1e-12)
    # a separable transform commutes with the transpose: four of the eight elements differ
    assert len({round(float(e.square().sum()), 9) for e in elements}) == 4


def test_equivariant_random_is_reproducible(picture, noisy):
    D = Equivariant(WaveletDenoiser(wavelet="db2"), draw="random", seed=5)
    drawn = [D.at(k).element for k in range(400)]
    assert set(drawn) == set(range(8))
    assert drawn == [D.at(k).element for k in range(400)]
    assert drawn != [Equivariant(D.denoiser, draw="random", seed=6).at(k).element for k in range(400)]
    y = noisy(picture(16), 0.1)
    assert torch.equal(D(y, 0.1), D.at(0)(y, 0.1))
    assert D.stochastic and not D.at(0).stochastic and not D.denoiser.stochastic
    for wrapper in (Tiled(D), Anscombe(D)):
        assert wrapper.stochastic and wrapper.at(3).denoiser.element == D.at(3).element
    with pytest.raises(invcore.ParameterError, match="2 spatial dimensions"):
        Equivariant(Median(spatial_dims=3))


@pytest.mark.parametrize(
    "inner, margin, stride",
    [
        (Median(size=5), 2, 1),
        (Bilateral(radius=3), 3, 1),
        (NonLocalMeans(patch=5, radius=2), 4, 1),
        (BM3D(window=5), 22, 3),
        (WaveletDenoiser(threshold=2.0, wavelet="haar", levels=2), 0, 4),
    ],
)
def test_tiles_have_no_seams(inner, margin, stride, picture, noisy):
    y = noisy(picture(88)[..., :71], 0.1)
    tiled = Tiled(inner, tile=24, margin=margin, stride=stride)
    assert torch.allclose(tiled(y, 0.1), inner(y, 0.1), atol=1e-12)
    if margin and stride == 1:
        less = Tiled(inner, tile=24, margin=margin - 1)
        assert not torch.allclose(less(y, 0.1), inner(y, 0.1), atol=1e-4)


def test_tiles_of_volumes_and_levels_per_sample():
    y = torch.randn(2, 1, 6, 7, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    inner = Bilateral(radius=1, spatial_dims=3)
    sigma = torch.tensor([0.5, 1.0])
    assert torch.allclose(Tiled(inner, tile=4, margin=1)(y, sigma), inner(y, sigma), atol=1e-12)
    with pytest.raises(invcore.ParameterError, match="tile >= 1"):
        Tiled(inner, tile=0)


def test_rescaled_is_the_denoiser_in_another_unit():
    x = torch.rand(1, 6, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    class Clipped(Denoiser):
        channels, value_range, sigma_range, spatial_dims = None, (0.0, 1.0), (0.01, 0.3), 2

        def denoise(self, x, sigma):
            assert float(sigma.min()) >= 0.01 and float(sigma.max()) <= 0.3
            return (x / (1 + sigma)).clamp(0, 1)

    D, micro = Clipped(), Rescaled(Clipped(), 1e-6)
    assert micro.value_range == (0.0, 1e-6) and micro.sigma_range == (0.01e-6, 0.3e-6)
    torch.testing.assert_close(micro(1e-6 * x, 1e-7), 1e-6 * D(x, 0.1))
    several = torch.tensor([0.01, 0.3], dtype=x.dtype)
    both = torch.stack([x, x])
    torch.testing.assert_close(micro(1e-6 * both, 1e-6 * several), 1e-6 * D(both, several))
    with pytest.raises(ParameterError, match="scale must be positive"):
        Rescaled(D, 0.0)
