"""Stacks of point spread functions from Zernike coefficients, against deepinv's 3-D diffraction generator.

21 planes of 51 x 51 pixels at a numerical aperture of 0.8 times the index, two sets of eight coefficients.
deepinv computes the scalar model; ours is timed with the vectorial one, of five transforms, and with the
scalar one. Errors are those of stacks without aberration, normalized, against the same model in double
precision on a pupil of 240 cells.
"""

import _timing  # first: pins the threads
import torch
from _timing import Contestant, available, race

from invcore_optics import Objective, PupilPSF

PLANES, SIDE, BATCH = 21, 51, 2
CUTOFF, WAVENUMBER = 0.2, 0.25  # NA pixel / λ and n pixel / λ, deepinv's defaults
PIXEL = 100e-9
generator = torch.Generator().manual_seed(0)
depths = PIXEL * torch.linspace(-PLANES / 2, PLANES / 2, PLANES, dtype=torch.float64)
waves = 0.1 * (torch.rand(BATCH, 8, generator=generator) - 0.5)


def operator(model, samples=None):
    wavelength = 500e-9
    objective = Objective(wavelength, CUTOFF * wavelength / PIXEL, index=WAVENUMBER * wavelength / PIXEL)
    return PupilPSF(
        objective=objective, pixel=PIXEL, shape=(SIDE, SIDE), depths=depths, model=model, samples=samples
    )


def normalized(h):
    return h / h.sum((-3, -2, -1), keepdim=True)


@torch.no_grad()
def main():
    contestants = []
    flat = torch.zeros(1, 8, dtype=torch.float64)
    for model in ("vectorial", "scalar"):
        truth = normalized(operator(model, 240)(flat))
        A = operator(model).to(torch.float32)
        c = waves * A.objective.wavelength
        off = float((normalized(A(flat.float())).double() - truth).norm() / truth.norm())
        name = f"invcore, {model}, {A.samples} cells"
        contestants.append(Contestant(name, lambda A=A, c=c: A(c), lambda _, off=off: off))
    if available("deepinv"):
        from deepinv.physics.generator import DiffractionBlurGenerator3D

        for pupil in (512, 256):
            peer = DiffractionBlurGenerator3D(
                (PLANES, SIDE, SIDE), fc=CUTOFF, kb=WAVENUMBER, pupil_size=(pupil, pupil)
            )
            h = peer.step(1, coeff=torch.zeros(1, 8))["filter"][:, 0]
            off = float((normalized(h).double() - truth).norm() / truth.norm())
            contestants.append(
                Contestant(
                    f"deepinv, scalar, {pupil} x {pupil}",
                    lambda p=peer: p.step(BATCH, coeff=waves),
                    lambda _, off=off: off,
                )
            )
    race(f"{BATCH} stacks {PLANES} x {SIDE} x {SIDE}", contestants, rounds=3)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {_timing.THREADS} threads")
    main()
