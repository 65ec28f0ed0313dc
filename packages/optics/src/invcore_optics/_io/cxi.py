"""Ptychographic scans in CXI files (HDF5)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError
from invcore.io import Acquisition, Reader, is_hdf5, open_hdf5, own_dataset, own_node, own_values

from .._phase.ptychography import far_field_pixel
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
    beam; rows of the detector run down and columns to the right. The sample moves and the probe stays, so
    that a sample that moves up is seen further down. Pixels whose ``mask`` is not 0 do not count, nor do
    those that are NaN. The probe is ``source_1/illumination``; without one it is estimated, which is said.

    References
    ----------
    .. [1] F. R. N. C. Maia, "The Coherent X-ray Imaging Data Bank", Nat. Methods 9 (2012); the format is
       described at cxidb.org.

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
        """

        entry: int = 1
        flip: str = ""
        swap: bool = False
        probe: bool = True

        def __post_init__(self) -> None:
            super().__post_init__()
            if isinstance(self.entry, bool) or not isinstance(self.entry, int) or self.entry < 1:
                raise ParameterError(f"entry= must be a positive integer, got {self.entry!r}")
            if self.flip not in ("", "y", "x", "yx", "xy"):
                raise ParameterError(f"flip= must be '', 'y', 'x' or 'yx', got {self.flip!r}")

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
            pixel = entry.pixel(wavelength, (patterns.shape[-2], patterns.shape[-1]))
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
        detector = "instrument_1/detector_1"
        distance = self._number(f"{detector}/distance")
        if distance is None:
            corner = self._array((f"{detector}/corner_position",))
            if corner is None or corner[1].size != 3:
                raise DataError(f"{self.name}/{detector} has no distance")
            distance = abs(float(corner[1].reshape(-1)[2]))
        found = []
        for axis, n in zip("yx", pixels):
            pitch = self._number(f"{detector}/{axis}_pixel_size")
            if pitch is None:
                raise DataError(f"{self.name}/{detector} has no {axis}_pixel_size")
            with from_file():
                found.append(far_field_pixel(wavelength=wavelength, distance=distance, pixels=n, pitch=pitch))
        y, x = (float(size) for size in found)  # type: ignore[arg-type]
        return y, x

    def translations(self, frames: int, options: Any) -> Tensor:
        """Of the sample, upward and to the left, in meters: (frame, 2)."""
        name, values = self._need(_TRANSLATION)
        if values.ndim == 2 and len(values) == 3 and values.shape[1] == frames != 3:
            values = values.T
        if values.ndim != 2 or values.shape[1] not in (2, 3) or len(values) != frames:
            raise DataError(
                f"{self.name}/{name} must be ({frames}, 3) for {frames} frames, got {values.shape}"
            )
        order = [0, 1] if options.swap else [1, 0]
        found = torch.from_numpy(np.ascontiguousarray(values[:, order], dtype=np.float64))
        check_finite(found, "the translations")
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


def _there(file: h5py.File, name: str) -> bool:
    """True if the file has something of that name, even a link that is not followed."""
    try:
        return own_node(file, name) is not None
    except DataError:
        return True
