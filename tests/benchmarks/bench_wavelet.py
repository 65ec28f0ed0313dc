"""Wavelet transform and its inverse, complex64, against PyWavelets and sigpy."""

import _timing  # first: pins the threads
import numpy as np
import pywt
import torch
from _timing import Contestant, available, race

from invcore.operators._wavelet import dwt, idwt, max_levels

WAVELET = "db4"


@torch.no_grad()
def compare(shape):
    levels, dims = max_levels(shape, WAVELET), tuple(range(-len(shape), 0))
    x = torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    x_np, shift = x.numpy(), tuple(range(3, 3 + len(shape)))

    def error(back):
        return float(np.linalg.norm(np.asarray(back) - x_np) / np.linalg.norm(x_np))

    def plain():
        return idwt(dwt(x, WAVELET, levels, dims), WAVELET, levels, dims)

    def shifted():
        return idwt(dwt(x, WAVELET, levels, dims, shift), WAVELET, levels, dims, shift)

    def pywavelets():
        coefficients = pywt.wavedecn(x_np, WAVELET, "periodization", levels)
        return pywt.waverecn(coefficients, WAVELET, "periodization")[tuple(map(slice, shape))]

    contestants = [
        Contestant("invcore", plain, error),
        Contestant("invcore, shifted", shifted, error),
        Contestant("PyWavelets", pywavelets, error),
    ]
    if available("sigpy"):
        import sigpy

        W = sigpy.linop.Wavelet(shape, wave_name=WAVELET, level=levels)
        contestants.append(Contestant("sigpy", lambda: W.H(W(x_np)), error))
    size = " x ".join(map(str, shape))
    race(f"Wavelet {WAVELET}, {levels} levels, there and back, {size}", contestants, rounds=50)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {_timing.THREADS} threads")
    for shape in ((320, 320), (230, 180), (64, 64, 64)):
        compare(shape)
