"""Denoisers: ``D(x, sigma)`` removes white Gaussian noise of standard deviation ``sigma``."""

from ._anscombe import Anscombe as Anscombe
from ._anscombe import anscombe_transform as anscombe_transform
from ._anscombe import inverse_anscombe_transform as inverse_anscombe_transform
from ._base import Denoiser as Denoiser
from ._bm3d import BM3D as BM3D
from ._epll import EPLLDenoiser as EPLLDenoiser
from ._median import Median as Median
from ._neighbors import Bilateral as Bilateral
from ._neighbors import NonLocalMeans as NonLocalMeans
from ._tgv import TGVDenoiser as TGVDenoiser
from ._tv import TVDenoiser as TVDenoiser
from ._wavelet import WaveletDenoiser as WaveletDenoiser
from ._wrappers import Equivariant as Equivariant
from ._wrappers import Tiled as Tiled

__all__ = [
    "BM3D",
    "Anscombe",
    "Bilateral",
    "Denoiser",
    "EPLLDenoiser",
    "Equivariant",
    "Median",
    "NonLocalMeans",
    "TGVDenoiser",
    "TVDenoiser",
    "Tiled",
    "WaveletDenoiser",
    "anscombe_transform",
    "inverse_anscombe_transform",
]
