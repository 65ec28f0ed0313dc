"""Options that readers of scans share; a reader's own `Options` adds those of its format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from invcore import ParameterError

from .._geometry.units import RADIANS, unit_called


@dataclass(frozen=True, kw_only=True)
class ScanOptions:
    """Options of line integrals with a known geometry.

    Parameters
    ----------
    center : float, "middle" or "auto"
        Column of the axis of rotation. ``"middle"``: the middle of the detector. ``"auto"``: found from the
        data, in a parallel beam (`center_of_rotation`).
    every : int
        Keep every n-th view only.
    size : int, optional
        Pixels of the image on a side; by default one for each column, or what the format states.
    sigma : float, optional
        Standard deviation of the line integrals; estimated by default.
    photons : float, optional
        Photons per detector pixel without object, instead of ``sigma``: each line integral is weighted by its
        photons.
    units : {"degrees", "radians", "milliradians", "turns", ...}, optional
        Unit of the angles; by default what the file states, or the format prescribes.
    """

    center: float | str = "middle"
    every: int = 1
    size: int | None = None
    sigma: float | None = None
    photons: float | None = None
    units: str | None = None

    def __post_init__(self) -> None:
        if self.center not in ("auto", "middle") and not number(self.center):
            raise ParameterError(f"center= is a column, 'auto' or 'middle', got {self.center!r}")
        for name in ("every", "size"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ParameterError(f"{name}= must be a positive integer, got {value!r}")
        for name in ("sigma", "photons"):
            require_positive(name, getattr(self, name))
        if self.sigma is not None and self.photons is not None:
            raise ParameterError("give either sigma= or photons=: one noise model")
        if self.units is not None and not (isinstance(self.units, str) and unit_called(self.units)):
            raise ParameterError(f"units= is one of {', '.join(RADIANS)}, got {self.units!r}")


@dataclass(frozen=True, kw_only=True)
class ParallelOptions(ScanOptions):
    """Options of line integrals in a parallel beam, in addition to those of `ScanOptions`.

    Parameters
    ----------
    rings : bool or int
        Remove stripes of the sinogram (rings of the image). An odd number is the ``size`` of `RemoveRings`, 9
        if true: stripes up to half as wide are removed.
    pixel_size : float, optional
        Detector pixel in meters; by default from the file. Without either, lengths are in pixels.
    width : int, optional
        Width of the image in columns of the detector: ``size`` by default is as many pixels. By default all
        columns, and in a scan of a full turn whose axis is off the middle by more than an eighth of them,
        twice as many as there are from the axis to the farther end.
    """

    rings: bool | int = False
    pixel_size: float | None = None
    width: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        odd = isinstance(self.rings, int) and self.rings >= 3 and self.rings % 2
        if not isinstance(self.rings, bool) and not odd:
            raise ParameterError(
                "rings= takes true, false, or the odd number of columns of its median, from 3; "
                f"got {self.rings!r}"
            )
        require_positive("pixel_size", self.pixel_size)
        if self.width is not None and not (number(self.width) and self.width == int(self.width) >= 1):
            raise ParameterError(f"width= is a number of columns, got {self.width!r}")


@dataclass(frozen=True, kw_only=True)
class CountOptions(ParallelOptions):
    """Options of detector counts, in addition to those of `ParallelOptions`.

    Parameters
    ----------
    slice : int or "all", optional
        Detector row, which is a slice of the object; by default the middle one. ``"all"``: a batch of all of
        them.
    zingers : bool
        Remove bright outliers of single frames.
    values : {"counts", "transmission", "attenuation", "normalized"}
        Meaning of the pixels: counts to be normalized, transmission, line integrals, or images normalized to
        zero mean whose dark parts are dense.
    floor : float, optional
        Smallest transmission, to which lower ones are set. By default samples that counted nothing are filled
        in from their neighbors, and more than a few per cent of them are refused.
    exposure : float
        Exposure of the views divided by that of the flat fields.
    """

    slice: int | str | None = None
    zingers: bool = False
    values: Literal["counts", "transmission", "attenuation", "normalized"] = "counts"
    floor: float | None = None
    exposure: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        meanings = ("counts", "transmission", "attenuation", "normalized")
        if self.values not in meanings:
            raise ParameterError(f"values= is one of {', '.join(map(repr, meanings))}; got {self.values!r}")
        require_positive("floor", self.floor)
        require_positive("exposure", self.exposure)
        if self.floor is not None and self.floor >= 1:
            raise ParameterError(f"floor= is a transmission below 1, got {self.floor!r}")
        if not isinstance(self.zingers, bool):
            raise ParameterError(f"zingers= takes true or false, got {self.zingers!r}")


def require_positive(name: str, value: Any) -> None:
    """Raise `ParameterError` unless an option is a positive, finite number, or left out."""
    if value is not None and not (number(value) and 0 < value < float("inf")):
        raise ParameterError(f"{name}= must be a positive number, got {value!r}")


def number(value: Any) -> bool:
    """True for a number that is no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)
