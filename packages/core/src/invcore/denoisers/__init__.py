"""Denoisers: ``D(x, sigma)`` removes white Gaussian noise of standard deviation ``sigma``."""

from ._base import Denoiser as Denoiser
from ._wavelet import WaveletDenoiser as WaveletDenoiser

__all__ = ["Denoiser", "WaveletDenoiser"]
