"""Small instances of scattering, for the conformance kit. The first of each is tiny."""

from __future__ import annotations

import torch

from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.testing import ModelExample

from .._scattering.linear_sampling import LinearSampling
from .._scattering.scattering import Born, Scattering


def scattering() -> dict[str, object]:
    """Return plane waves and far fields, line sources and near receivers, a contrast that absorbs."""
    around = torch.tensor([[0.9, 0.1], [-0.8, 0.7], [0.2, -1.0]], dtype=torch.float64)
    sources, where = 2 * around[:2], {"spacing": 0.05, "wavelength": 1.0}
    angles = torch.tensor([0.1, 2.0, 4.0], dtype=torch.float64)
    return {
        "tiny": Scattering.of_angles(angles[:2], angles, (2, 3), rtol=1e-12, **where),
        "absorbing": Scattering.of_angles(angles, angles[:2], (3, 2), kind="complex", rtol=1e-12, **where),
        "large": Scattering.of_positions(sources, around, (5, 6), rtol=1e-12, **where),
    }


def born() -> dict[str, object]:
    """Return Born's approximation to these."""
    held = {name: A for name, A in scattering().items() if isinstance(A, Scattering)}
    return {name: Born(incident=A.incident, greens=A.greens, kind=A.kind) for name, A in held.items()}


def linear_sampling() -> dict[str, object]:
    """Return images with a fixed parameter and by Morozov's principle."""
    angles = torch.arange(8, dtype=torch.float64) * torch.pi / 4
    A = Scattering.of_angles(angles, angles, (4, 5), spacing=0.2, wavelength=1.0)
    physics = Physics(A.born, GaussianNoise(sigma=0.01))
    x = torch.zeros(1, 4, 5, dtype=torch.float64)
    x[:, 1:3, 2:4] = 0.3
    return {
        "tiny": ModelExample(LinearSampling(alpha=0.01), physics, x),
        "by the noise": ModelExample(LinearSampling(), physics, x),
    }
