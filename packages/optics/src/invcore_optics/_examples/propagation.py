"""Small instances of the propagators, for the conformance kit."""

from __future__ import annotations

from typing import Any

import torch

from invcore import Space

from .._propagation.holography import Hologram, Sideband
from .._propagation.propagators import AngularSpectrum, SingleTransform

_PLANE = Space((1, 5, 6), "complex")


def angular_spectrum() -> dict[str, object]:
    """Return exact and Fresnel kernels, with and without a margin, and a distance for each sample."""
    z = torch.tensor(1e-7, dtype=torch.float64)
    waves: Any = {"wavelength": 5e-7, "pixel": 4e-7}
    return {
        "tiny": AngularSpectrum(z, _PLANE, **waves),
        "Fresnel, periodic": AngularSpectrum(z, _PLANE, **waves, kernel="fresnel", padding=False),
        "two distances": AngularSpectrum(torch.stack([z, -z / 2]), _PLANE, **waves, band_limit=False),
    }


def single_transform() -> dict[str, object]:
    """Return Fresnel's integral, also with a distance for each sample."""
    z = torch.tensor(2e-4, dtype=torch.float64)
    waves: Any = {"wavelength": 5e-7, "pixel": 4e-6}
    return {
        "tiny": SingleTransform(z, _PLANE, **waves),
        "two distances": SingleTransform(torch.stack([z, 1.5 * z]), _PLANE, **waves),
    }


def hologram() -> dict[str, object]:
    """Return holograms in line at two distances, and off axis with all parameters for each sample."""
    z = torch.tensor([1e-7, -2e-7], dtype=torch.float64)
    waves: Any = {"wavelength": 5e-7, "pixel": 4e-7}
    return {
        "tiny": Hologram(z, _PLANE, **waves),
        "off axis": Hologram(
            torch.stack([z[:1], z[1:]]),
            _PLANE,
            **waves,
            tilt=torch.tensor([[0.1, 0.3], [-0.2, 0.1]], dtype=torch.float64),
            amplitude=torch.tensor([2.0, 1.5], dtype=torch.float64),
        ),
    }


def sideband() -> dict[str, object]:
    """Return the reading of a known sideband, and of a narrow one."""
    return {
        "tiny": Sideband(tilt=(0.1, 0.3)),
        "narrow": Sideband(tilt=(-0.2, 0.25), radius=0.05),
    }
