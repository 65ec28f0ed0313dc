"""Ptychographic scans in CXI files (HDF5)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError, Space
from invcore.io import Acquisition, Reader, is_hdf5, open_hdf5, own_dataset, own_node, own_values

from .._phase.ptychography import far_field_pixel
from .._propagation.propagators import AngularSpectrum
from .acquire import check_finite, from_file, naming
from .ptychography import ScanOptions, scan_acquisition

_DATA = ("data_1/data", "instrument_1/detector_1/data")
_TRANSLATION = tuple(
    f"{place}/translation" for place in ("data_1", "sample_1/geometry_1", "instrument_1/detector_1")
)
_MASK = ("instrument_1/detector_1/mask", "data_1/mask")
_PROBE = (
    "instrument_1/source_1/illumination",
    "instrument_1/source_1/probe",
    "instrument_1/detector_1/probe",
)
_HC = 1.98644586e-25  # J m
_EV = 1.602176634e-19  # J
_NO_PHOTON = 1e-10  # J, 600 MeV: a larger number is one of electronvolts


class CXIReader(Reader):
    r"""Ptychographic scans in CXI files: diffraction patterns, translations of the sample, and the geometry.

    The entry has ``data_1/data`` or ``instrument_1/detector_1/data`` (frame, y, x), counts with zero
    frequency at n // 2; ``translation`` (frame, 3) in meters in ``data_1`` or ``sample_1/geometry_1``; the
    ``distance``, ``x_pixel_size`` and ``y_pixel_size`` of ``detector_1`` in meters; and the ``energy`` in
    joules, or the ``wavelength`` in meters, of ``source_1``. Pixels of the object measure

    .. math:: λ z / (n p)

    (`far_field_pixel`). The axes are those of CXI [1]_: z along the beam, y up, x to the left seen along the
    beam; rows of the detector run down and columns to the right, unless ``basis_vectors`` (3, 2) of
    ``detector_1``, of its rows and its columns, say otherwise. The sample moves and the probe stays, so that
    a sample that moves up is seen further down. The mean of ``data_dark`` is subtracted. Pixels whose
    ``mask`` is not 0 do not count, nor do those that are NaN. The probe is ``source_1/illumination``; without
    one it is estimated, which is said.

    CXI does not say whether the detector is in the far field. ``focus``, the distance f of the sample from
    the focus of a diverging beam, reads the frames as holograms in the near field: by Fresnel's scaling
    theorem [2]_ those of a parallel beam at the distance z / M on pixels p / M, with M = (f + z) / f.

    References
    ----------
    .. [1] F. R. N. C. Maia, "The Coherent X-ray Imaging Data Bank", Nat. Methods 9 (2012); the format is
       described at cxidb.org.
    .. [2] D. Paganin, "Coherent X-ray Optics" (2006), appendix B.

    Examples
    --------
    >>> CXIReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(ScanOptions):
        """Options of every scan (`ScanOptions`) and those of this format.

        Parameters
        ----------
        entry : int
            Which entry of the file.
        flip : {"", "y", "x", "yx"}
            Axes along which the translations count in the opposite direction.
        swap : bool
            Take the first number of a translation for y and the second for x.
        probe : bool
            Start from the probe of the file, if there is one.
        focus : float, optional
            Of a scan in the near field: distance of the sample behind the focus of the beam in meters,
            ``inf`` for a parallel beam.
        """

        entry: int = 1
        flip: str = ""
        swap: bool = False
        probe: bool = True
        focus: float | None = None

        def __post_init__(self) -> None:
            super().__post_init__()
            if isinstance(self.entry, bool) or not isinstance(self.entry, int) or self.entry < 1:
                raise ParameterError(f"entry= must be a positive integer, got {self.entry!r}")
            if self.flip not in ("", "y", "x", "yx", "xy"):
                raise ParameterError(f"flip= must be '', 'y', 'x' or 'yx', got {self.flip!r}")
            if self.focus is not None and not (isinstance(self.focus, int | float) and self.focus > 0):
                raise ParameterError(f"focus= must be a positive length in meters or inf, got {self.focus!r}")

    def sniff(self, path: str | Path) -> bool:
        """Return whether ``path`` is an HDF5 file with CXI's patterns and translations."""
        if not is_hdf5(path):
            return False
        try:
            with open_hdf5(path) as file:
                return all(
                    any(_there(file, f"entry_1/{n}") for n in names) for names in (_DATA, _TRANSLATION)
                )
        except DataError:
            return False

    def _read(self, path: Path, options: Options) -> Acquisition:
        with naming(path), open_hdf5(path) as file:
            entry = _Entry(file, f"entry_{options.entry}")
            patterns, mask, notes = entry.patterns()
            wavelength, said = entry.wavelength()
            size = (patterns.shape[-2], patterns.shape[-1])
            propagator = None
            if options.focus is None:
                pixel = entry.pixel(wavelength, size)
                said = (*said, *_doubts(patterns))
            else:
                propagator, pixel = entry.near_field(wavelength, size, options.focus)
            positions = entry.translations(len(patterns), options) / torch.tensor(pixel)
            probe = entry.probe() if options.probe else None
        with naming(path):
            if (
                not bool(positions.isfinite().all())
                or float((positions.amax(0) - positions.amin(0)).max()) < 1
            ):
                raise DataError(
                    f"the translations stay within one pixel of the object, {pixel} m, or are not finite: "
                    "they must be in meters"
                )
            return scan_acquisition(
                patterns,
                positions,
                probe,
                options,
                metadata={
                    "format": "optics.cxi",
                    "source": path.name,
                    "wavelength": wavelength,
                    "pixel": list(pixel),
                },
                mask=mask,
                propagator=propagator,
                notes=(*notes, *said),
            )


class _Entry:
    """One entry of a CXI file."""

    def __init__(self, file: h5py.File, name: str) -> None:
        if not isinstance(own_node(file, name), h5py.Group):
            raise DataError(f"there is no {name}; a CXI file has entry_1, entry_2, ...")
        self.file, self.name = file, name

    def _array(self, names: tuple[str, ...], kinds: str = "fiu") -> tuple[str, np.ndarray] | None:
        """The first of these that the entry has, and its name."""
        for name in names:
            data = own_dataset(self.file, f"{self.name}/{name}")
            if data is None:
                continue
            if data.dtype.kind not in kinds or 0 in data.shape:
                raise DataError(f"{self.name}/{name} must hold numbers, got {data.dtype} {data.shape}")
            return name, own_values(data)
        return None

    def _need(self, names: tuple[str, ...]) -> tuple[str, np.ndarray]:
        found = self._array(names)
        if found is None:
            raise DataError(f"{self.name} has no dataset {' or '.join(names)}")
        return found

    def _number(self, *names: str) -> float | None:
        """One positive number, or the equal numbers of all frames."""
        found = self._array(names)
        if found is None:
            return None
        values = found[1].astype(np.float64).reshape(-1)
        if not (np.isfinite(values).all() and values[0] > 0 and np.allclose(values, values[0], rtol=1e-3)):
            raise DataError(f"{self.name}/{found[0]} must be one positive number, got {values[:3]}")
        return float(values[0])

    def patterns(self) -> tuple[Tensor, Tensor | None, tuple[str, ...]]:
        """Patterns, the mask of the detector if there is one, and what is said."""
        name, values = self._need(_DATA)
        if values.ndim != 3:
            raise DataError(f"{self.name}/{name} must be (frame, y, x), got {values.shape}")
        patterns = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
        good, notes = torch.ones(1, *patterns.shape[1:], dtype=torch.bool), []
        dark = self._array(("instrument_1/detector_1/data_dark",))
        if dark is not None:
            frame = torch.from_numpy(np.ascontiguousarray(dark[1], dtype=np.float32))
            if frame.shape[-2:] != patterns.shape[-2:] or frame.ndim not in (2, 3):
                raise DataError(f"{self.name}/{dark[0]} is {tuple(frame.shape)}, the patterns {values.shape}")
            frame = frame.reshape(-1, *frame.shape[-2:]).mean(0)
            patterns = patterns - frame
            notes.append(f"the mean of data_dark, {float(frame.nanmean()):.4g} counts a pixel, is subtracted")
        flags = self._array(_MASK, "fiub")
        if flags is not None:
            bits = np.asarray(flags[1])
            if bits.shape not in (values.shape, values.shape[1:]):
                raise DataError(f"{self.name}/{flags[0]} is {bits.shape}, the patterns are {values.shape}")
            good = torch.from_numpy(bits == 0).reshape(-1, *patterns.shape[1:])
        blind = ~patterns.isfinite()
        unknown = int((blind & good).sum())
        if unknown:
            notes.append(f"{unknown} NaN or infinite values of the patterns are masked")
            good = good & ~(blind[:1] if bool((blind == blind[:1]).all()) else blind)
        if not bool(good.any()):
            raise DataError("all pixels of the detector are masked, or NaN")
        return patterns, None if bool(good.all()) else good.float(), tuple(notes)

    def wavelength(self) -> tuple[float, tuple[str, ...]]:
        """In meters, and what is said."""
        source = "instrument_1/source_1"
        energy = self._number(f"{source}/energy")
        if energy is None:
            stated = self._number(f"{source}/wavelength")
            if stated is None:
                raise DataError(f"{self.name}/{source} has neither energy (J) nor wavelength (m)")
            return stated, ()
        if energy < _NO_PHOTON:
            return _HC / energy, ()
        return _HC / (_EV * energy), (f"the energy, {energy:g}, is taken for electronvolts, not joules",)

    def pixel(self, wavelength: float, pixels: tuple[int, int]) -> tuple[float, float]:
        """Of the object, along y and x, in meters."""
        distance, pitches = self._geometry()
        with from_file():
            y, x = (
                far_field_pixel(wavelength=wavelength, distance=distance, pixels=n, pitch=pitch)
                for n, pitch in zip(pixels, pitches)
            )
        return float(y), float(x)  # type: ignore[arg-type]

    def near_field(
        self, wavelength: float, pixels: tuple[int, int], focus: float
    ) -> tuple[AngularSpectrum, tuple[float, float]]:
        """The propagator of a parallel beam that stands for one from a focus, and its pixel (y, x)."""
        distance, (y, x) = self._geometry()
        if abs(y / x - 1) > 1e-3:
            raise DataError(f"a scan in the near field needs square pixels, got {y} x {x} m")
        larger = 1 + distance / focus
        propagator = AngularSpectrum(
            torch.tensor(distance / larger),
            Space((1, *pixels), "complex"),
            wavelength=wavelength,
            pixel=y / larger,
            kernel="fresnel",
            padding=False,
        )
        return propagator, (y / larger, x / larger)

    def _geometry(self) -> tuple[float, tuple[float, float]]:
        """Distance of the detector and its pixel (y, x), in meters."""
        detector = "instrument_1/detector_1"
        distance = self._number(f"{detector}/distance")
        if distance is None:
            corner = self._array((f"{detector}/corner_position",))
            if corner is None or corner[1].size != 3:
                raise DataError(f"{self.name}/{detector} has no distance")
            distance = abs(float(corner[1].reshape(-1)[2]))
        y, x = (self._number(f"{detector}/{axis}_pixel_size") for axis in "yx")
        if y is None or x is None:
            raise DataError(f"{self.name}/{detector} has no {'y' if y is None else 'x'}_pixel_size")
        return distance, (y, x)

    def _axes(self) -> Tensor:
        """Unit vectors (x, y) of CXI along rows and columns of the detector, down and right: (2, 2)."""
        found = self._array(("instrument_1/detector_1/basis_vectors",))
        usual = torch.tensor([[0.0, -1.0], [-1.0, 0.0]], dtype=torch.float64)
        if found is None:
            return usual
        name, values = found
        if values.shape != (3, 2):
            raise DataError(f"{self.name}/{name} must be (3, 2), of rows and columns, got {values.shape}")
        vectors = torch.from_numpy(np.ascontiguousarray(values[:2].T, dtype=np.float64))
        lengths = vectors.norm(dim=-1, keepdim=True)
        unit = vectors / lengths
        if not bool((lengths > 0).all()) or not abs(float(unit[0] @ unit[1])) < 0.1:
            raise DataError(f"{self.name}/{name}: rows and columns must be directions at right angles")
        return unit

    def translations(self, frames: int, options: Any) -> Tensor:
        """Of the sample, upward and to the left, in meters: (frame, 2)."""
        name, values = self._need(_TRANSLATION)
        if values.ndim == 2 and len(values) == 3 and values.shape[1] == frames != 3:
            values = values.T
        if values.ndim != 2 or values.shape[1] not in (2, 3) or len(values) != frames:
            raise DataError(
                f"{self.name}/{name} must be ({frames}, 3) for {frames} frames, got {values.shape}"
            )
        order = [1, 0] if options.swap else [0, 1]
        moved = torch.from_numpy(np.ascontiguousarray(values[:, order], dtype=np.float64))
        check_finite(moved, "the translations")
        found = -moved @ self._axes().T  # along rows and columns, of the probe on the sample
        return found * torch.tensor([-1.0 if axis in options.flip else 1.0 for axis in "yx"])

    def probe(self) -> Tensor | None:
        """Modes of the probe, (mode, y, x)."""
        found = self._array(_PROBE, "fiuc")
        if found is None:
            return None
        name, values = found
        if values.ndim not in (2, 3):
            raise DataError(f"{self.name}/{name} must be (y, x) or (mode, y, x), got {values.shape}")
        probe = torch.from_numpy(np.ascontiguousarray(values, dtype=np.complex64))
        check_finite(torch.view_as_real(probe), "the probe")
        return probe.reshape(-1, *probe.shape[-2:])


def _doubts(patterns: Tensor) -> tuple[str, ...]:
    """What is said of patterns (frame, y, x) that do not fall off to the border, as in the far field."""
    mean = patterns.nan_to_num().clamp_min(0).mean(0)
    border = torch.cat([mean[0], mean[-1], mean[:, 0], mean[:, -1]]).median()
    if not bool(border > 0.1 * mean.amax()):
        return ()
    return (
        f"the border of the mean pattern has {float(border / mean.amax()):.0%} of its maximum: holograms in "
        "the near field look like this, patterns in the far field do not; for the near field give focus=, "
        "the distance of the sample from the focus of the beam in meters, or inf for a parallel beam",
    )


def _there(file: h5py.File, name: str) -> bool:
    """True if the file has something of that name, even a link that is not followed."""
    try:
        return own_node(file, name) is not None
    except DataError:
        return True
