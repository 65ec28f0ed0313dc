"""Phase retrieval: sweeps of a scan of 516 frames against deepinv, Fourier ptychography, vectorial pupils.

A sweep is the gradient of Σ (|B x| - √y)² through the classes of each, for all frames: B, what the magnitudes
lack, B.H. deepinv scales the probe and leaves zero frequency in the corner; both are undone before errors are
taken. It has no Fourier ptychography, which is timed against the loop over lights of its formula, and no
vectorial pupil: see bench_optics_pupils.py for its scalar one. INVCORE_BENCH_CLOCK=cpu counts the time of the
processor, for a machine that is shared.
"""

import _timing  # first: pins the threads
import torch
from _timing import Contestant, available, race

from invcore_optics import FourierPtychography, Objective, Ptychography, PupilPSF
from invcore_optics._phase.amplitude_flow import lacking

ROUNDS = 5
generator = torch.Generator().manual_seed(0)


def relative(truth):
    return lambda x: float((x.squeeze() - truth.squeeze()).norm() / truth.norm())


@torch.no_grad()
def ptychography(frames=516, n=128, size=430):
    """The sizes of the measured Siemens star, on whole pixels, as deepinv's positions are."""
    r = torch.linspace(-2, 2, n)
    r2 = r[:, None] ** 2 + r**2
    probe = torch.polar(torch.exp(-r2), 2 * r2)[None]
    positions = (torch.rand(frames, 2, generator=generator) * (size - n)).floor()
    x = torch.polar(torch.ones(1, size, size), torch.rand(1, size, size, generator=generator))
    A = Ptychography(probe=probe, positions=positions, shape=(size, size))
    B = A.field
    y = A(x * torch.polar(torch.ones(()), torch.rand(1, size, size, generator=generator)))
    wide = A.to(torch.float64)
    fine = x.to(torch.complex128)
    u = wide.field(fine)
    truth = wide.field.H(y.double()[:, None].sqrt() * torch.sgn(u) - u)
    fields = [Contestant("invcore", lambda: B(x), relative(u))]

    def sweep():
        u = B(x)
        return B.H(lacking(A, u, y))

    sweeps = [Contestant("invcore", sweep, relative(truth))]
    if available("deepinv"):
        from deepinv.optim import AmplitudeLoss
        from deepinv.physics import Ptychography as Theirs

        theirs = Theirs(img_size=(1, size, size), probe=probe, shifts=positions.long() - (size - n) // 2)
        factor = (probe.abs().max() / theirs.B.probe.abs().max()).item()
        corner = (torch.fft.ifftshift(y, (-2, -1)) / factor**2)[None]
        loss = AmplitudeLoss()

        def off(v):
            return relative(u)(torch.fft.fftshift(factor * v, (-2, -1)))

        def far(g):
            return relative(truth)(-g * (truth.norm() / g.norm()))  # their unit of the gradient

        fields.append(Contestant("deepinv", lambda: theirs.B.A(x[None]), off))
        sweeps.append(Contestant("deepinv", lambda: loss.grad(x[None], corner, theirs), far))
    race(f"fields of {frames} frames {n} x {n}", fields, rounds=ROUNDS)
    race(f"gradient of the amplitude loss, {frames} frames {n} x {n}", sweeps, rounds=ROUNDS)


@torch.no_grad()
def fourier_ptychography(side=8, n=256):
    """Images under side² lights, all at once, and light after light in plain torch."""
    steps = (torch.arange(side) - (side - 1) / 2) * 16
    lights = torch.cartesian_prod(steps, steps)
    A = FourierPtychography(
        positions=lights, radius=torch.tensor(24.0), shape=(2 * n, 2 * n), detector=(n, n)
    )
    x = torch.polar(torch.ones(1, 2 * n, 2 * n), torch.rand(1, 2 * n, 2 * n, generator=generator))
    truth = A.to(torch.float64)(x.to(torch.complex128))
    pupils, corners = A.field.pupils, A.field.corners.tolist()

    def loop():
        spectrum = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(x[0]), norm="ortho"))
        images = []
        for pupil, (row, column) in zip(pupils, corners):
            window = torch.fft.ifftshift(pupil * spectrum[row : row + n, column : column + n])
            images.append(torch.fft.fftshift(torch.fft.ifft2(window, norm="ortho") / 2).abs().square())
        return torch.stack(images)

    B = A.field
    y = A(x * torch.polar(torch.ones(()), 0.1 * torch.rand(1, 2 * n, 2 * n, generator=generator)))

    def gradient():
        return B.H(lacking(A, B(x), y))

    def loop_gradient():
        spectrum = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(x[0]), norm="ortho"))
        total = torch.zeros_like(spectrum)
        for pupil, (row, column), image in zip(pupils, corners, y):
            window = torch.fft.ifftshift(pupil * spectrum[row : row + n, column : column + n])
            u = torch.fft.fftshift(torch.fft.ifft2(window, norm="ortho") / 2)
            u = (image.sqrt() / u.abs().clamp_min(1e-30) - 1) * u
            back = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(u), norm="ortho") / 2)
            total[row : row + n, column : column + n] += pupil.conj() * back
        return torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(total), norm="ortho"))

    wide = A.to(torch.float64)
    slope = wide.field.H(lacking(wide, wide.field(x.to(torch.complex128)), y.double()))
    size = f"{side**2} images {n} x {n} of a spectrum {2 * n} x {2 * n}"
    contestants = [
        Contestant("invcore", lambda: A(x), relative(truth)),
        Contestant("light after light", loop, relative(truth)),
    ]
    race(size, contestants, rounds=ROUNDS)
    sweeps = [
        Contestant("invcore", gradient, relative(slope)),
        Contestant("light after light", loop_gradient, relative(slope)),
    ]
    race(f"gradient of the amplitude loss, {size}", sweeps, rounds=ROUNDS)


@torch.no_grad()
def vectorial(side=51, planes=21):
    """The vectorial pupil beside the scalar one: five transforms for one."""
    depths = 100e-9 * torch.linspace(-planes / 2, planes / 2, planes, dtype=torch.float64)
    objective = Objective(520e-9, 1.3, index=1.515)
    contestants = []
    for model in ("vectorial", "scalar"):
        wide = PupilPSF(objective=objective, pixel=80e-9, shape=(side, side), depths=depths, model=model)
        A, flat = wide.to(torch.float32), torch.zeros(len(wide.modes), dtype=torch.float64)
        fine = PupilPSF(
            objective=objective, pixel=80e-9, shape=(side, side), depths=depths, model=model, samples=240
        )
        contestants.append(Contestant(model, lambda A=A, c=flat.float(): A(c), relative(fine(flat))))
    race(f"point spread functions {planes} x {side} x {side}, NA 1.3 in oil", contestants, rounds=ROUNDS)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {_timing.THREADS} threads")
    ptychography()
    fourier_ptychography()
    vectorial()
