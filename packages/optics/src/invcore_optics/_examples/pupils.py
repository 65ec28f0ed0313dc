"""Small instances of the pupils, for the conformance kit. The first of each is tiny.

Wavelengths are meters long, so that random test images are wavefront errors of less than a wavelength.
"""

from __future__ import annotations

import torch

from invcore import Physics
from invcore.noises import PoissonNoise
from invcore.testing import SolverExample

from .._pupils.bead import BeadStack
from .._pupils.fit import PupilFit
from .._pupils.objective import Objective, StratifiedMedium
from .._pupils.pupil_psf import Model, PupilPSF
from .._pupils.random import RandomPupil, RandomPupilField


def pupil_psf() -> dict[str, object]:
    """Return point spread functions: in focus, defocused, vectorial in layers, of a phase map, of a pupil."""
    g = torch.Generator().manual_seed(0)
    air = Objective(17.0, 0.8)
    depths = torch.tensor([-30.0, 0.0, 21.0], dtype=torch.float64)
    return {
        "tiny": PupilPSF(objective=air, pixel=5.0, shape=(3, 4), modes=(4, 7), samples=6),
        "planes, amplitude": PupilPSF(
            objective=air,
            pixel=6.0,
            shape=(5, 4),
            modes=(3, 4, 8),
            depths=depths,
            samples=12,
            amplitude=1 + 0.2 * torch.rand(12, 12, generator=g, dtype=torch.float64),
        ),
        "vectorial, a stack for each": PupilPSF(
            objective=Objective(17.0, 1.2, index=1.5),
            pixel=4.0,
            shape=(4, 5),
            order="ansi",
            modes=(4, 12),
            depths=depths + torch.tensor([[0.0], [3.0]], dtype=torch.float64),
            samples=11,
            model="vectorial",
            medium=StratifiedMedium(sample_index=1.33, depth=0.05),
        ),
        "phase": PupilPSF(objective=air, pixel=9.0, shape=(4, 3), unknown="phase", samples=7, oversampling=2),
        "complex pupil": PupilPSF(
            objective=air,
            pixel=5.0,
            shape=(3, 3),
            unknown="pupil",
            samples=6,
            depths=depths,
            model="vectorial",
        ),
    }


def bead_stack() -> dict[str, object]:
    """Return a bead in three planes, scalar and vectorial."""
    return {"tiny": _beads("scalar", (4, 3)), "vectorial": _beads("vectorial", (5, 6))}


def pupil_fit() -> dict[str, object]:
    """Return the fit of one mode to noisy images."""
    A = _beads("scalar", (9, 10))
    x = A.assemble(
        torch.tensor([0.5, -0.7, 0.9], dtype=torch.float64),
        depth=2.0,
        width=0.6,
        photons=4000.0,
        background=5.0,
    )
    physics = Physics(A, PoissonNoise()).to(torch.float64)
    return {
        "tiny": SolverExample(PupilFit(), physics, physics(x, generator=torch.Generator().manual_seed(0)))
    }


def _beads(model: Model, shape: tuple[int, int]) -> BeadStack:
    depths = torch.tensor([-25.0, 0.0, 25.0], dtype=torch.float64)
    air = Objective(17.0, 0.8)
    return BeadStack(
        PupilPSF(
            objective=air, pixel=5.0, shape=shape, modes=(2, 3, 11), depths=depths, samples=10, model=model
        )
    )


def random_pupil() -> dict[str, object]:
    """Return kernels in a plane, and in a volume by the vectorial model."""
    plane = PupilPSF(objective=Objective(520e-9, 0.8), pixel=130e-9, shape=(7, 8), samples=16)
    depths = torch.tensor([-5e-7, 0.0, 5e-7])
    volume = PupilPSF(
        objective=plane.objective, pixel=130e-9, shape=(5, 5), depths=depths, samples=16, model="vectorial"
    )
    return {"tiny": RandomPupil(plane, rms=3e-8), "volume": RandomPupil(volume, rms=3e-8, decay=0.0)}


def random_pupil_field() -> dict[str, object]:
    """Return a small field."""
    plane = PupilPSF(objective=Objective(520e-9, 0.8), pixel=130e-9, shape=(7, 8), samples=16)
    return {"tiny": RandomPupilField(plane, rms=3e-8, shape=(6, 5), rank=3, points=4)}
