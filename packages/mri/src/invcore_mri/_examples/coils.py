"""Small calibrations for the conformance kit; the first is tiny."""

from __future__ import annotations

from .._coils.espirit import Espirit


def espirit() -> dict[str, object]:
    """Return ESPIRiT calibrations: one set, two sets, hard cropping."""
    return {
        "tiny": Espirit(calib=8, kernel=3),
        "two sets": Espirit(calib=12, kernel=4, sets=2),
        "hard crop": Espirit(calib=12, kernel=4, crop=0.8, soft=0.0),
    }
