"""Small instances of scattering, for the conformance kit. The first of each is tiny."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import hankel1
from torch import Tensor

from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.testing import ModelExample

from .._io.mat import save_mat
from .._scattering.linear_sampling import LinearSampling
from .._scattering.scattering import Born, Scattering

_WHERE: Any = {"spacing": 0.05, "wavelength": 1.0}


def scattering() -> dict[str, object]:
    """Return plane waves and far fields, line sources and near receivers, a contrast that absorbs."""
    around = torch.tensor([[0.9, 0.1], [-0.8, 0.7], [0.2, -1.0]], dtype=torch.float64)
    sources, where = 2 * around[:2], _WHERE
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


def fresnel_mat() -> dict[str, Callable[[Path], Path]]:
    """Return functions that write a small scan, and one of the other time factor."""
    return {"tiny": _written(False), "conjugated": _written(True)}


def _written(conjugated: bool) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        emitters, receivers, contrast = circle(3, 1.5), circle(8, 1.5, 0.1), torch.zeros(1, 6, 6)
        contrast[:, 2:4, 2:5] = 0.5
        A = Scattering.of_positions(emitters, receivers, (6, 6), spacing=0.02, wavelength=0.1, rtol=1e-9)
        distance = torch.cdist(receivers, emitters)
        incident = 0.25j * torch.from_numpy(hankel1(0, 2 * np.pi / 0.1 * distance.numpy()))
        total = incident + A(contrast.double()).mT
        if conjugated:
            incident, total = incident.conj().resolve_conj(), total.conj().resolve_conj()
        each = receivers.expand(3, 8, 2).reshape(-1, 2).numpy()
        held = {
            "SP": {"x": each[:, 1:], "z": each[:, :1]},
            "simP": {"EmitterPos": emitters.flip(-1).numpy(), "lambda0": 0.1, "Lx": 0.12},
            "uM": {"GT": total.numpy()},
            "uin": incident.numpy(),
        }
        return save_mat(folder / "scan.mat", held)

    return write


def circle(count: int, radius: float, start: float = 0.0) -> Tensor:
    """Positions (y, x) on a circle."""
    angles = start + torch.arange(count, dtype=torch.float64) * 2 * torch.pi / count
    return radius * torch.stack([angles.sin(), angles.cos()], -1)
