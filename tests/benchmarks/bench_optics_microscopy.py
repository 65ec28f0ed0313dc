"""Structured illumination (9 frames, 512² to 1024²) and image scanning (25 detectors, 256²) against numpy and
scipy."""

import _timing  # first: pins the threads
import numpy as np
import scipy.fft
import torch
from _timing import Contestant, race

from invcore import Physics
from invcore.noises import PoissonNoise
from invcore.solvers import RichardsonLucy
from invcore_optics import (
    ImageScanning,
    Objective,
    Patterns,
    StructuredIllumination,
    detector_grid,
    detector_psfs,
)

N, SCAN, STEPS = 512, 256, 10
generator = torch.Generator().manual_seed(0)


def relative(truth):
    return lambda x: float((torch.as_tensor(x) - truth).norm() / truth.norm())


def structured():
    """Each frame by multiplication, an FFT pair of the fine grid, and the mean of 2 x 2 pixels."""
    angles = torch.tensor([0.3, 1.35, 2.4])
    waves = 0.25 * torch.stack((angles.sin(), angles.cos()), -1)
    phases = (2 * torch.pi / 3 * torch.arange(3)).expand(3, 3)
    patterns = Patterns(waves, phases, torch.full((3, 1), 0.8), torch.zeros(3))
    A = StructuredIllumination.of(
        patterns, objective=Objective(520e-9, 1.2, index=1.33), pixel=65e-9, shape=(N, N)
    )
    exact = A.to(torch.float64)
    x = torch.rand(1, 2 * N, 2 * N, generator=generator)
    y = A(x)
    w = A.illumination.numpy()
    transfer = scipy.fft.rfft2(np.fft.ifftshift(A.psf.numpy()))
    workers = _timing.THREADS

    def forward():
        spectra = scipy.fft.rfft2(w * x.numpy(), workers=workers) * transfer
        blurred = scipy.fft.irfft2(spectra, s=(2 * N, 2 * N), workers=workers)
        return blurred.reshape(9, N, 2, N, 2).mean((2, 4))

    def adjoint():
        fine = y.numpy().repeat(2, -1).repeat(2, -2) / 4
        spectra = scipy.fft.rfft2(fine, workers=workers) * transfer.conj()
        return (w * scipy.fft.irfft2(spectra, s=(2 * N, 2 * N), workers=workers)).sum(0, keepdims=True)

    error, back = relative(exact(x.double())), relative(exact.H(y.double()))
    title = f"9 frames of {N} x {N}"
    race(
        f"SIM A, {title}",
        [Contestant("invcore", lambda: A(x), error), Contestant("scipy.fft", forward, error)],
        rounds=10,
    )
    race(
        f"SIM A.H, {title}",
        [Contestant("invcore", lambda: A.H(y), back), Contestant("scipy.fft", adjoint, back)],
        rounds=10,
    )


def scanning():
    """Multi-image Richardson–Lucy, a convolution after the other."""
    r = torch.arange(SCAN) - SCAN // 2
    spot = torch.exp(-(r[:, None] ** 2 + r**2) / (2 * 2.5**2))
    spot = spot / spot.sum()
    A = ImageScanning(detector_psfs(spot, spot, detector_grid(5, 2.0)), shape=(SCAN, SCAN))
    x = 100 * torch.rand(1, SCAN, SCAN, generator=generator)
    y = torch.poisson(A(x), generator=generator)
    physics, solver = Physics(A, PoissonNoise()), RichardsonLucy(max_steps=STEPS, rtol=0.0)
    transfer = scipy.fft.rfft2(np.fft.ifftshift(A.psfs[:, 0].numpy(), axes=(-2, -1)))
    workers = _timing.THREADS

    def blur(u, h):
        return scipy.fft.irfft2(scipy.fft.rfft2(u, workers=workers) * h, s=u.shape, workers=workers)

    def loop():
        data, sensitivity = y.numpy(), A.H(torch.ones_like(y))[0].numpy()
        found = solver.init(solver.problem(y, physics)).x[0].numpy()
        for _ in range(STEPS):
            total = np.zeros_like(found)
            for d in range(25):
                ratio = data[d] / np.maximum(blur(found, transfer[d]), 1e-12)
                total += blur(ratio, transfer[d].conj())
            found = found * total / sensitivity
        return found[None]

    exact = RichardsonLucy(max_steps=STEPS, rtol=0.0).solve(
        y.double(), Physics(A.to(torch.float64), PoissonNoise())
    )
    error = relative(exact.value)
    race(
        f"ISM Richardson-Lucy, {STEPS} steps of 25 x {SCAN} x {SCAN}",
        [
            Contestant("invcore", lambda: solver.solve(y, physics).value, error),
            Contestant("scipy.fft, detector by detector", loop, error),
        ],
        rounds=5,
    )


@torch.no_grad()
def main():
    structured()
    scanning()


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {_timing.THREADS} threads")
    main()
