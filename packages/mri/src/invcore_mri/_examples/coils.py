"""Small calibrations and compressions for the conformance kit; the first of each is tiny."""

from __future__ import annotations

from .._coils.compress import Compress
from .._coils.espirit import Espirit
from .._coils.nlinv import Nlinv
from .._coils.walsh import Walsh


def espirit() -> dict[str, object]:
    """Return ESPIRiT calibrations: one set, two sets, hard cropping."""
    return {
        "tiny": Espirit(calib=8, kernel=3),
        "two sets": Espirit(calib=12, kernel=4, sets=2),
        "hard crop": Espirit(calib=12, kernel=4, crop=0.8, soft=0.0),
    }


def nlinv() -> dict[str, object]:
    """Return joint estimates of image and maps, in two and three dimensions."""
    return {"tiny": Nlinv(steps=2, inner_steps=4), "3-D": Nlinv(steps=1, inner_steps=3, spatial_dims=3)}


def walsh() -> dict[str, object]:
    """Return adaptive combinations: of all samples, of the center, 3-D."""
    return {"tiny": Walsh(), "center": Walsh(calib=12), "3-D": Walsh(width=3, spatial_dims=3)}


def compress() -> dict[str, object]:
    """Return coil compressions: to a number of coils, from the data, along the readout."""
    return {
        "tiny": Compress(coils=2),
        "from the data": Compress(loss=0.01),
        "along the readout": Compress(coils=3, method="geometric"),
    }
