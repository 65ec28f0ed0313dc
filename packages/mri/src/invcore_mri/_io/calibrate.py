"""Coil maps and virtual coils of a scan that is read: the methods by name, and what to say about them."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, Literal

from torch import Tensor

from invcore import DataError, ParameterError

from .._coils.compress import Compress, Compression
from .._coils.espirit import Espirit, NoSignalError, overlap_note
from .._coils.nlinv import Nlinv
from .._coils.walsh import Walsh

Calibration = Espirit | Nlinv | Walsh
Method = Literal["espirit", "nlinv", "walsh"]


def calibration_of(
    given: Calibration | Method | None,
    sets: int | Literal["auto"] | None,
    spatial_dims: int,
    default: Espirit | None = None,
) -> Calibration:
    """Return the calibration that a reader's options name; raise if they name none."""
    methods: dict[str, Calibration] = {
        "espirit": default or Espirit(spatial_dims=spatial_dims, crop=0.0, soft=0.0, sigma=1.0, sets="auto"),
        "nlinv": Nlinv(spatial_dims=spatial_dims),
        "walsh": Walsh(spatial_dims=spatial_dims),
    }
    found = methods.get(given or "espirit") if isinstance(given, str | None) else given
    if not isinstance(found, Calibration):
        raise ParameterError(
            f"calibration= is one of {', '.join(methods)}, or an Espirit(...), Nlinv(...) or Walsh(...), "
            f"which only Python can give; got {given!r}"
        )
    if found.spatial_dims != spatial_dims:
        raise ParameterError(
            f"calibration= works on {found.spatial_dims} spatial axes, k-space has {spatial_dims}; "
            f"pass {type(found).__name__}(spatial_dims={spatial_dims}, ...)"
        )
    if sets is None:
        return found
    if not isinstance(found, Espirit):
        raise ParameterError(f"sets= is of ESPIRiT; {type(found).__name__} knows one set of coil maps")
    return replace(found, sets=sets)


def calibrated(
    kspace: Tensor, calibration: Calibration, sigma: float
) -> tuple[Tensor, dict[str, Any], list[str]]:
    """Return coil maps of k-space in units of its noise, how they were made, and notes.

    Errors name the noise level in the units of the file, ``sigma``.
    """
    notes: list[str] = []
    needed = 1
    try:
        if isinstance(calibration, Espirit):
            maps, needed = calibration.maps_and_need(kspace)
        else:
            maps = calibration(kspace)
    except NoSignalError as error:
        raise NoSignalError(f"{error} (here sigma={sigma:.3g} in the units of k-space)") from None
    used = maps.shape[-calibration.spatial_dims - 2] if maps.ndim > kspace.ndim else 1
    if needed > used:
        notes.append(overlap_note(needed, used))
    elif used > 1 and isinstance(calibration, Espirit) and calibration.sets == "auto":
        notes.append(
            f"the field of view is smaller than the object, which overlaps itself: {used} sets of "
            f"coil maps are used, and the image has {used} channels, one a part that overlaps. "
            "The root sum of squares of the channels shows the object as it overlaps"
        )
    if isinstance(calibration, Espirit) and not bool((maps != 0).any()):
        raise DataError(
            f"no voxel reaches the eigenvalue crop={calibration.crop}: the calibration region shows no "
            "coil structure. Lower crop=, change threshold=, or pass coil maps"
        )
    described = {"method": type(calibration).__name__.lower(), **asdict(calibration), "sets": used}
    return maps, described, notes


def compression_of(
    kspace: Tensor, coils: int | Literal["auto"] | None, spatial_dims: int
) -> Compression | None:
    """Return the virtual coils of k-space in units of its noise, one mixing for all its slices."""
    if coils is None:
        return None
    if coils != "auto" and (not isinstance(coils, int) or isinstance(coils, bool)):
        raise ParameterError(f"compress= is a number of virtual coils or 'auto'; got {coils!r}")
    together = kspace if kspace.ndim == spatial_dims + 1 else kspace.transpose(0, 1).flatten(1, 2)
    count = None if coils == "auto" else coils
    return Compress(coils=count, sigma=1.0, spatial_dims=spatial_dims).fit(together)
