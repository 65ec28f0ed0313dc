"""FISTA with wavelets, 100 iterations at 256 x 256, against deepinv: inpainting and deblurring, Haar and db4.

With the Haar wavelet both solve the same problem. With db4 they differ at the border, where ours is periodic
(and orthogonal) and deepinv's pads with zeros. The error is the distance to the solution of one's own
problem, from 2000 iterations of a plain float64 FISTA with PyWavelets.
"""

import _timing  # first: pins the threads
import numpy as np
import pywt
import torch
from _timing import Contestant, available, race

from invcore import Physics
from invcore.operators import Convolution, Mask, Space
from invcore.priors import WaveletL1
from invcore.solvers import FISTA

N, STEPS, LEVELS, WEIGHT, SIGMA = 256, 100, 3, 0.02, 0.02
generator = torch.Generator().manual_seed(0)
SPACE = Space((1, N, N))


def image():
    """Disks, bars and a ramp."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, N), torch.linspace(-1, 1, N), indexing="ij")
    clean = 0.3 * (x + 1) / 2 + 0.4 * (x**2 + y**2 < 0.5) + 0.3 * ((x - y).abs() < 0.1)
    return (clean + 0.2 * torch.sin(20 * x * y))[None]


def inpainting():
    mask = (torch.rand(1, N, N, generator=generator) > 0.5).float()
    theirs = lambda deepinv: deepinv.physics.Inpainting((1, N, N), mask=mask[None])
    return Mask(mask, domain=SPACE), theirs


def deblurring():
    g = torch.exp(-0.5 * (torch.arange(-4, 5) / 1.5) ** 2)
    kernel = torch.outer(g, g) / g.sum() ** 2
    theirs = lambda deepinv: deepinv.physics.BlurFFT((1, N, N), filter=kernel[None, None])
    return Convolution(kernel[None], domain=SPACE, boundary="circular"), theirs


def textbook(A, y, wavelet, mode):
    """2000 iterations, restarted where the objective would rise, in float64."""
    A, y = A.to(torch.float64), y.double()

    def prox(v):
        c = pywt.wavedec2(v, wavelet, mode, LEVELS)
        shrunk = [tuple(pywt.threshold(d, WEIGHT, "soft") for d in details) for details in c[1:]]
        return pywt.waverec2([c[0], *shrunk], wavelet, mode)[..., :N, :N]

    x = z = torch.zeros_like(y)
    t = 1.0
    for _ in range(2000):
        new = torch.as_tensor(prox((z - A.H(A(z) - y)).numpy()))
        following = (1 + (1 + 4 * t**2) ** 0.5) / 2
        if float(((z - new) * (new - x)).sum()) > 0:
            following, z = 1.0, new
        else:
            z = new + (t - 1) / following * (new - x)
        moved = float((new - x).norm() / new.norm())
        x, t = new, following
        if moved < 1e-9:
            break
    return x


@torch.no_grad()
def compare(name, wavelet, make):
    A, theirs = make()
    y = A(image()) + SIGMA * torch.randn(1, N, N, generator=generator)
    prior = WaveletL1(wavelet=wavelet, levels=LEVELS, random_shifts=False)
    solver = FISTA(prior=prior, weight=WEIGHT, max_steps=STEPS, rtol=0.0)
    physics = Physics(A)

    def relative(truth):
        return lambda x: float((x.reshape(truth.shape).double() - truth).norm() / truth.norm())

    own = textbook(A, y, wavelet, "periodization")
    contestants = [Contestant("invcore", lambda: solver(y, physics), relative(own))]
    if available("deepinv") and available("ptwt"):
        import deepinv

        peer = theirs(deepinv)
        algorithm = deepinv.optim.FISTA(
            data_fidelity=deepinv.optim.L2(),
            prior=deepinv.optim.WaveletPrior(level=LEVELS, wv=wavelet),
            lambda_reg=10 * WEIGHT,  # its prior multiplies the threshold by its own 0.1
            stepsize=1.0,
            max_iter=STEPS,
            early_stop=False,
        )
        padded = textbook(A, y, wavelet, "zero")
        contestants.append(Contestant("deepinv", lambda: algorithm(y[None], peer), relative(padded)))
    race(f"{name}, {wavelet}, {LEVELS} levels, {STEPS} steps of FISTA, {N} x {N}", contestants, rounds=10)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, numpy {np.__version__}, {_timing.THREADS} threads")
    for wavelet in ("haar", "db4"):
        compare("Inpainting", wavelet, inpainting)
        compare("Deblurring", wavelet, deblurring)
