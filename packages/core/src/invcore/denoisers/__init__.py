"""Denoisers: ``D(x, sigma)`` removes white Gaussian noise of standard deviation ``sigma``."""

import importlib
from typing import Any

from ._anscombe import Anscombe as Anscombe
from ._anscombe import anscombe_transform as anscombe_transform
from ._anscombe import inverse_anscombe_transform as inverse_anscombe_transform
from ._base import Denoiser as Denoiser
from ._bm3d import BM3D as BM3D
from ._empirical import EmpiricalDenoiser as EmpiricalDenoiser
from ._gaussian import GaussianDenoiser as GaussianDenoiser
from ._local_mmse import LocalMMSEDenoiser as LocalMMSEDenoiser
from ._median import Median as Median
from ._mmse import MMSEDenoiser as MMSEDenoiser
from ._neighbors import Bilateral as Bilateral
from ._neighbors import NonLocalMeans as NonLocalMeans
from ._opponent import Opponent as Opponent
from ._wavelet import WaveletDenoiser as WaveletDenoiser
from ._wrappers import ComplexParts as ComplexParts
from ._wrappers import Equivariant as Equivariant
from ._wrappers import Rescaled as Rescaled
from ._wrappers import Tiled as Tiled
from ._wrappers import Wrapper as Wrapper

__all__ = [
    "BM3D",
    "Anscombe",
    "Bilateral",
    "ComplexParts",
    "Denoiser",
    "EPLLDenoiser",
    "EmpiricalDenoiser",
    "Equivariant",
    "GaussianDenoiser",
    "GaussianMixtureDenoiser",
    "LocalMMSEDenoiser",
    "MMSEDenoiser",
    "Median",
    "NonLocalMeans",
    "Opponent",
    "ProximalDenoiser",
    "Rescaled",
    "TGVDenoiser",
    "TVDenoiser",
    "Tiled",
    "WaveletDenoiser",
    "Wrapper",
    "anscombe_transform",
    "inverse_anscombe_transform",
]

_OF_PRIORS = {
    "EPLLDenoiser": "_proximal",
    "GaussianMixtureDenoiser": "_mixture_denoiser",
    "ProximalDenoiser": "_proximal",
    "TGVDenoiser": "_proximal",
    "TVDenoiser": "_proximal",
}


def __getattr__(name: str) -> Any:
    """Look up the denoisers made of priors on first use: priors are above denoisers."""
    if name in _OF_PRIORS:
        return getattr(importlib.import_module(f"invcore.priors.{_OF_PRIORS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
