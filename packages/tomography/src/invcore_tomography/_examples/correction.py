"""Examples of corrections of counts and sinograms, for the conformance kit. The first of each is tiny."""

from __future__ import annotations

import torch

from .._correction.counts import BeamHardening, FlatField, Hounsfield, MinusLog, PadTruncated, RemoveZingers
from .._correction.rings import RemoveRings


def flat_field() -> dict[str, object]:
    """Return flat-field corrections: of one row of 24 pixels, with a dark field, of a frame."""
    row = 1 + torch.arange(24, dtype=torch.float64) / 24
    return {
        "tiny": FlatField(flat=row),
        "with a dark field": FlatField(flat=row + 1, dark=torch.ones(24, dtype=torch.float64)),
        "frame": FlatField(flat=row[:, None] + row, dark=0.5),
    }


def minus_log() -> dict[str, object]:
    """Return logarithms with two floors."""
    return {"tiny": MinusLog(floor=1e-3), "high floor": MinusLog(floor=0.5)}


def beam_hardening() -> dict[str, object]:
    """Return polynomials of degree 1 and 3."""
    return {"tiny": BeamHardening(coefficients=(1.0,)), "cubic": BeamHardening(coefficients=(1.0, 0.1, 0.02))}


def hounsfield() -> dict[str, object]:
    """Return scales for two energies."""
    return {"tiny": Hounsfield(water=20.6), "with air": Hounsfield(water=19.3, air=0.02)}


def pad_truncated() -> dict[str, object]:
    """Return both ways to pad."""
    return {"tiny": PadTruncated(width=3), "edge": PadTruncated(width=5, mode="edge")}


def remove_zingers() -> dict[str, object]:
    """Return outlier filters for bright, and for all outliers."""
    return {"tiny": RemoveZingers(), "both": RemoveZingers(threshold=3.0, size=3, both=True)}


def remove_rings() -> dict[str, object]:
    """Return both methods."""
    return {"tiny": RemoveRings(), "wavelet": RemoveRings(method="wavelet", wavelet="db2")}
