"""Instances of core's denoisers for the conformance kit: the first of each is tiny."""

from __future__ import annotations

import torch

from ..denoisers import (
    BM3D,
    Anscombe,
    Bilateral,
    EPLLDenoiser,
    Equivariant,
    Median,
    NonLocalMeans,
    TGVDenoiser,
    Tiled,
    TVDenoiser,
    WaveletDenoiser,
)


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


def epll() -> dict[str, object]:
    """Instances of the denoiser ``epll``."""
    return {"photographs": EPLLDenoiser(), "another range": EPLLDenoiser(peak=255.0)}


def equivariant() -> dict[str, object]:
    """Instances of the denoiser ``equivariant``."""
    inner = WaveletDenoiser(wavelet="db2", levels=2)
    return {
        "mean": Equivariant(denoiser=inner),
        "random element": Equivariant(denoiser=inner, draw="random", seed=3),
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


def tgv() -> dict[str, object]:
    """Instances of the denoiser ``tgv``."""
    return {"plane": TGVDenoiser(rtol=5e-3), "signal": TGVDenoiser(rtol=5e-3, spatial_dims=1)}


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
