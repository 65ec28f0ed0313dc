"""Small signal models for the conformance kit; the first of each is tiny."""

from __future__ import annotations

import torch

from .._quantitative.echoes import GradientEcho, SpinEcho
from .._quantitative.recovery import InversionRecovery, SpoiledGradientEcho


def spin_echo() -> dict[str, object]:
    """Return spin echoes in the plane and in a volume."""
    times = torch.tensor([0.02, 0.05, 0.1])
    return {"tiny": SpinEcho(times, (3, 2)), "3-D": SpinEcho(times, (2, 3, 2))}


def gradient_echo() -> dict[str, object]:
    """Return gradient echoes at uneven times."""
    return {"tiny": GradientEcho(torch.tensor([0.004, 0.008, 0.015, 0.03]), (3, 2))}


def inversion_recovery() -> dict[str, object]:
    """Return inversion recoveries with a long and with a short repetition."""
    times = torch.tensor([0.05, 0.5, 1.0, 2.0])
    return {
        "tiny": InversionRecovery(times, (3, 2)),
        "short repetition": InversionRecovery(times, (3, 2), repetition_time=4.0),
    }


def spoiled_gradient_echo() -> dict[str, object]:
    """Return spoiled gradient echoes, with a transmit field and without."""
    angles = torch.tensor([0.05, 0.1, 0.3])
    return {
        "tiny": SpoiledGradientEcho(angles, (3, 2), repetition_time=0.02),
        "transmit": SpoiledGradientEcho(
            angles, (2, 2), repetition_time=0.02, transmit=torch.tensor([[[0.9, 1.0], [1.1, 0.8]]])
        ),
    }
