"""Instances of core's denoisers for the conformance kit: the first of each is tiny."""

from __future__ import annotations

import torch
from torch import Tensor

from ..denoisers import (
    BM3D,
    Anscombe,
    Bilateral,
    ComplexParts,
    EmpiricalDenoiser,
    EPLLDenoiser,
    Equivariant,
    GaussianDenoiser,
    GaussianMixtureDenoiser,
    LocalMMSEDenoiser,
    Median,
    NonLocalMeans,
    Opponent,
    ProximalDenoiser,
    Rescaled,
    TGVDenoiser,
    Tiled,
    TVDenoiser,
    WaveletDenoiser,
)
from ..operators import Convolution, Space
from ..priors import WaveletL1
from .priors import _small_mixture


def _near(n: int, length: float) -> Tensor:
    """A covariance that falls off with the distance."""
    t = torch.arange(n, dtype=torch.float64)
    return 0.1 * torch.exp(-(t[:, None] - t).abs() / length)


def anscombe() -> dict[str, object]:
    """Instances of the denoiser ``anscombe``."""
    haar = WaveletDenoiser(wavelet="haar", levels=2)
    return {
        "wavelet": Anscombe(denoiser=haar, gain=0.01),
        "with a range of values": Anscombe(denoiser=BM3D(window=5), gain=torch.tensor(0.02)),
    }


def bilateral() -> dict[str, object]:
    """Instances of the denoiser ``bilateral``."""
    return {
        "gray": Bilateral(),
        "volume": Bilateral(spread=1.0, radius=1, boundary="replicate", spatial_dims=3),
    }


def bm3d() -> dict[str, object]:
    """Instances of the denoiser ``bm3d``."""
    return {
        "small window": BM3D(window=9),
        "first pass only": BM3D(wiener=False, peak=255.0, window=9),
    }


def complex_parts() -> dict[str, object]:
    """Both parts, and the magnitude."""
    haar = WaveletDenoiser(wavelet="haar", levels=2)
    return {
        "both parts": ComplexParts(haar),
        "magnitude": ComplexParts(haar, parts="magnitude"),
        "of real images only": ComplexParts(BM3D(window=5)),
    }


def empirical() -> dict[str, object]:
    """Instances of the denoiser ``empirical``."""
    t = torch.linspace(0, 1, 12, dtype=torch.float64)
    edges = torch.stack([torch.sin(3 * t) / 2 + (t > k / 12) / 2 for k in range(12)])
    return {
        "signals": EmpiricalDenoiser(edges.unsqueeze(1)),
        "complex planes": EmpiricalDenoiser(edges.view(12, 1, 3, 4) * torch.exp(torch.tensor(0.7j))),
    }


def epll() -> dict[str, object]:
    """Instances of the denoiser ``epll``."""
    small = _small_mixture(4)
    return {"photographs": EPLLDenoiser(), "another range": EPLLDenoiser(mixture=small, patch=2, peak=255.0)}


def equivariant() -> dict[str, object]:
    """Instances of the denoiser ``equivariant``."""
    inner = WaveletDenoiser(wavelet="db2", levels=2)
    return {
        "mean": Equivariant(denoiser=inner),
        "random element": Equivariant(denoiser=inner, draw="random", seed=3),
    }


def gaussian() -> dict[str, object]:
    """Instances of the denoiser ``gaussian``."""
    shape = (1, 8, 9)
    f = [torch.fft.fftfreq(n, dtype=torch.float64) for n in shape[1:]]
    falling = 0.02 / (0.01 + f[0][:, None] ** 2 + f[1] ** 2)
    blur = Convolution(kernel=torch.full((1, 9), 0.1, dtype=torch.float64), domain=Space((1, 24)))
    ramp = torch.linspace(0, 1, 12, dtype=torch.float64)[None]
    turned = torch.polar(torch.ones_like(ramp[0]), 3 * ramp[0])
    return {
        "covariance": GaussianDenoiser(mean=ramp, covariance=_near(12, 5.0)),
        "spectrum": GaussianDenoiser(mean=torch.full(shape, 0.5, dtype=torch.float64), spectrum=falling),
        "operator": GaussianDenoiser(mean=torch.zeros(1, 24, dtype=torch.float64), operator=blur.gram),
        "complex": GaussianDenoiser(
            mean=torch.polar(ramp, ramp), covariance=turned[:, None] * _near(12, 5.0) * turned.conj()
        ),
    }


def gaussian_mixture() -> dict[str, object]:
    """Instances of the denoiser ``gaussian_mixture``."""
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    means = torch.stack([torch.linspace(0, 1, 12, dtype=torch.float64), torch.zeros(12, dtype=torch.float64)])
    covariances = torch.stack([_near(12, 9.0), _near(12, 5.0)])
    singular = covariances.clone()
    singular[0] = 0.1
    return {
        "signals": GaussianMixtureDenoiser(
            weights=weights, means=means.view(2, 1, 12), covariances=covariances
        ),
        "singular planes": GaussianMixtureDenoiser(
            weights=weights, means=means.view(2, 1, 3, 4), covariances=singular
        ),
    }


def local_mmse() -> dict[str, object]:
    """Instances of the denoiser ``local_mmse``."""
    t = torch.linspace(0, 1, 12, dtype=torch.float64)
    edges = torch.stack([torch.sin(3 * t) / 2 + (t > k / 12) / 2 for k in range(12)])
    turned = edges.unsqueeze(1) * torch.exp(torch.tensor(0.7j))
    return {
        "signals": LocalMMSEDenoiser(edges.unsqueeze(1), patch=5),
        "at each pixel": LocalMMSEDenoiser(edges.unsqueeze(1), patch=7, equivariant=False),
        "complex": LocalMMSEDenoiser(turned, patch=3),
    }


def median() -> dict[str, object]:
    """Instances of the denoiser ``median``."""
    return {"3 x 3": Median(), "signal": Median(size=5, boundary="circular", spatial_dims=1)}


def nlm() -> dict[str, object]:
    """Instances of the denoiser ``nlm``."""
    return {
        "small window": NonLocalMeans(patch=3, radius=3),
        "signal": NonLocalMeans(patch=5, radius=8, boundary="symmetric", spatial_dims=1),
    }


def proximal() -> dict[str, object]:
    """An orthogonal wavelet basis."""
    return {"tiny": ProximalDenoiser(WaveletL1(wavelet="haar", levels=2, random_shifts=False))}


def tgv() -> dict[str, object]:
    """Instances of the denoiser ``tgv``."""
    return {"plane": TGVDenoiser(rtol=5e-3), "signal": TGVDenoiser(rtol=5e-3, spatial_dims=1)}


def opponent() -> dict[str, object]:
    """Instances of the denoiser ``opponent``."""
    return {"smooth": Opponent(Bilateral(spread=1.0)), "line": Opponent(Median(spatial_dims=1))}


def rescaled() -> dict[str, object]:
    """Instances of the denoiser ``rescaled``."""
    return {"large": Rescaled(Bilateral(spread=1.0), 1e3), "small": Rescaled(BM3D(), 0.25)}


def tiled() -> dict[str, object]:
    """Instances of the denoiser ``tiled``."""
    volume = Median(spatial_dims=3)
    return {
        "plane": Tiled(denoiser=Bilateral(spread=1.0), tile=7, margin=3),
        "volume": Tiled(denoiser=volume, tile=9, margin=1, stride=2),
    }


def tv() -> dict[str, object]:
    """Instances of the denoiser ``tv``."""
    return {
        "isotropic": TVDenoiser(rtol=1e-4),
        "signal": TVDenoiser(kind="anisotropic", rtol=1e-4, spatial_dims=1),
    }


def wavelet() -> dict[str, object]:
    """Instances of the denoiser ``wavelet``."""
    return {
        "haar": WaveletDenoiser(wavelet="haar", levels=2),
        "averaged over shifts": WaveletDenoiser(threshold=2.0, wavelet="db2", spins=2),
        "hard": WaveletDenoiser(shrinkage="hard", threshold=3.0, wavelet="db2", levels=2),
        "block": WaveletDenoiser(shrinkage="block", threshold="stein", wavelet="db2", levels=2),
    }
