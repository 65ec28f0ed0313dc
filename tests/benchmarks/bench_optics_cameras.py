"""Snapshot spectral imaging and single-pixel cameras, against deepinv."""

import sys

import _timing  # first: pins the threads
import numpy as np
import torch
from _timing import Contestant, available, race

from invcore_optics import CASSI, SinglePixel

generator = torch.Generator().manual_seed(0)


def distance(truth):
    return lambda y: float((torch.as_tensor(y).squeeze() - truth.squeeze()).norm() / truth.norm())


@torch.no_grad()
def cassi(n, bands):
    """Single disperser, one pixel a band along x; deepinv takes the mean of the bands."""
    x = torch.rand(bands, n, n, generator=generator)
    mask = torch.rand(1, n, n, generator=generator).round()
    A = CASSI(mask=mask, dispersion=torch.arange(bands).float(), domain=(bands, n, n))
    parts = A.bind(dispersion=A.dispersion + 0.3)  # on the same detector: its last column loses light
    truth = torch.zeros(n, n + bands - 1, dtype=torch.float64)
    for k in range(bands):
        truth[:, k : k + n] += (mask[0] * x[k]).double()
    y = torch.rand(1, n, n + bands - 1, generator=generator)
    back = torch.stack([mask[0] * y[0, :, k : k + n] for k in range(bands)]).double()
    blend = 0.7 * torch.nn.functional.pad(truth, (0, 1)) + 0.3 * torch.nn.functional.pad(truth, (1, 0))
    forward = [
        Contestant("invcore", lambda: A(x), distance(truth)),
        Contestant("invcore, parts of pixels", lambda: parts(x), distance(blend[:, :-1])),
    ]
    adjoint = [Contestant("invcore", lambda: A.H(y), distance(back))]
    if available("deepinv"):
        import deepinv

        theirs = deepinv.physics.CompressiveSpectralImaging(
            img_size=(bands, n, n), mask=mask.expand(1, bands, n, n).clone(), mode="sd", shear_dir="w"
        )
        forward.append(Contestant("deepinv", lambda: bands * theirs.A(x[None]), distance(truth)))
        adjoint.append(Contestant("deepinv", lambda: bands * theirs.A_adjoint(y[None]), distance(back)))
    race(f"CASSI A, {bands} x {n} x {n}", forward, rounds=3)
    race(f"CASSI A.H, {bands} x {n} x {n}", adjoint, rounds=3)


@torch.no_grad()
def single_pixel(n, order):
    """A quarter of the patterns; deepinv gives an image of coefficients, with zeros."""
    m = n * n // 4
    x = torch.rand(8, 1, n, n, generator=generator)
    A = SinglePixel("hadamard", (1, n, n), order=order, measurements=m)
    exact = A.to(torch.float64).gram(x.double())
    both = [Contestant("invcore", lambda: A.gram(x), distance(exact))]
    if available("deepinv"):
        import deepinv

        theirs = deepinv.physics.SinglePixelCamera(m=m, img_size=(1, n, n), ordering=order)
        both.append(Contestant("deepinv", lambda: theirs.A_adjoint(theirs.A(x)), lambda y: np.nan))
    race(f"single pixel A.H A, {order}, 8 x {n} x {n}", both, rounds=5)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {_timing.THREADS} threads")
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    single_pixel(side, "cake_cutting")
    cassi(side, 28)
