"""Denoisers: ``D(x, sigma)`` removes white Gaussian noise of standard deviation ``sigma``."""

from ._base import Denoiser as Denoiser
from ._bm3d import BM3D as BM3D
from ._median import Median as Median
from ._neighbors import Bilateral as Bilateral
from ._neighbors import NonLocalMeans as NonLocalMeans
from ._wavelet import WaveletDenoiser as WaveletDenoiser

__all__ = ["BM3D", "Bilateral", "Denoiser", "Median", "NonLocalMeans", "WaveletDenoiser"]
