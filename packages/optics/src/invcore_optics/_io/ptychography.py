"""Ptychographic scans: what every file of them becomes, and NumPy archives."""

from __future__ import annotations

import bz2
import io
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, LinearOperator, ParameterError
from invcore.io import Acquisition, Output, Reader, damage, is_regular_file, room_for
from invcore.noises import PoissonNoise
from invcore.solvers import Solution

from .._phase.ptychography import Ptychography
from .acquire import acquire, check_finite, from_file, naming

_MARGIN = 2  # pixels of the object around the frames
_ROOM = 2**30  # bytes that a compressed file may expand to, unless it is large itself
_EXPANDS = 100


@dataclass(frozen=True, kw_only=True)
class ScanOptions:
    """Options of every file of a ptychographic scan.

    Parameters
    ----------
    every : int
        Use each so many frames.
    modes : int
        Mutually incoherent modes of the probe; more than the file has start as weak variations of it.
    refine : bool
        Estimate the positions too.
    """

    every: int = 1
    modes: int = 1
    refine: bool = False

    def __post_init__(self) -> None:
        for name in ("every", "modes"):
            held = getattr(self, name)
            if isinstance(held, bool) or not isinstance(held, int) or held < 1:
                raise ParameterError(f"{name}= must be a positive integer, got {held!r}")


def scan_acquisition(
    patterns: Tensor,
    positions: Tensor,
    probe: Tensor | None,
    options: ScanOptions,
    *,
    metadata: Mapping[str, Any],
    mask: Tensor | None = None,
    propagator: LinearOperator | None = None,
    notes: tuple[str, ...] = (),
    left_out: tuple[str, ...] = (),
) -> Acquisition:
    """Make an acquisition of diffraction patterns, positions, and a probe if there is one.

    Parameters
    ----------
    patterns : Tensor, shape (frame, y, x)
        Counts, zero frequency at n // 2.
    positions : Tensor, shape (frame, 2)
        Pixels (y, x) of the object from any origin, larger ones further down and right in the object.
    probe : Tensor, complex, shape (mode, y, x), optional
        Any scale. Without it one is estimated from the patterns, which is said.
    options : ScanOptions
    metadata : mapping
    mask : Tensor, shape (frame or 1, y, x), optional
        0 where the detector is blind: what the patterns have there, NaN too, does not count.
    propagator : LinearOperator, optional
        From the object to the detector, of a near field.
    notes, left_out : tuple of str
        What is said.

    Raises
    ------
    DataError
        If patterns or positions do not fit or are not usable.
    """
    if positions.ndim != 2 or positions.shape[-1] != 2 or len(patterns) != len(positions):
        raise DataError(
            f"{tuple(patterns.shape)} diffraction patterns and {tuple(positions.shape)} positions"
        )
    if mask is not None:
        patterns = torch.where(mask > 0, patterns, 0)
    check_finite(patterns, "the diffraction patterns")
    check_finite(positions, "the positions")
    if len(patterns) < 2:
        raise DataError("a scan needs two frames or more")
    notes = (*notes, *_doubts(positions.double(), min(patterns.shape[-2:])))
    if options.every > 1:
        left_out = (*left_out, f"1 of {options.every} of {len(patterns)} frames used; every= chooses")
    y, positions = patterns[:: options.every].float(), positions[:: options.every].double()
    if mask is not None and len(mask) > 1:
        mask = mask[:: options.every]
    if bool((y < 0).any()):
        notes = (*notes, f"{int((y < 0).sum())} negative counts were set to zero")
        y = y.clamp_min(0)
    positions = (positions - positions.amin(0) + _MARGIN).float()
    size = y.shape[-2:]
    shape = tuple(math.ceil(float(p)) + n + _MARGIN for p, n in zip(positions.amax(0), size))
    room_for(8 * shape[0] * shape[1], "the object")
    if probe is None:
        probe = probe_of(y, propagator)
        notes = (*notes, "the file has no probe: it is estimated from the mean diffraction pattern")
    if tuple(probe.shape[-2:]) != tuple(size):
        raise DataError(f"a probe of {tuple(probe.shape[-2:])} and diffraction patterns of {tuple(size)}")
    probe = with_modes(scaled_to(probe, y), options.modes)
    with from_file():
        A = Ptychography(
            probe=probe,
            positions=positions,
            shape=shape,  # type: ignore[arg-type]
            propagator=propagator,
            mask=mask,
        )
    update = ["object", "probe", *(["positions"] if options.refine else [])]
    facts = {"frames": len(y), "modes": len(probe), **metadata}
    if notes:
        facts["notes"] = [*metadata.get("notes", ()), *notes]
    return acquire(
        y,
        A,
        noise=PoissonNoise(),
        metadata=facts,
        solver={"name": "optics.pie", "update": update, "max_steps": 20, "rtol": 0.02},
        left_out=left_out,
        output=ObjectOutput(),
    )


def _doubts(positions: Tensor, width: int) -> tuple[str, ...]:
    """What is said of positions (frame, 2) in pixels of the object, for a probe of so many.

    Raises
    ------
    DataError
        If they lie within a pixel, as lengths in meters do.
    """
    span = float((positions.amax(0) - positions.amin(0)).amax())
    if span < 1:
        raise DataError(
            f"the positions span {span:.3g} pixels of the object, so that all frames see the same: are they "
            "in meters? They must be divided by the object's pixel"
        )
    apart = torch.cdist(positions[:1000], positions)
    nearest = float(apart.kthvalue(2, dim=1).values.median())
    if nearest > 0.75 * width:
        return (f"neighboring frames are {nearest:.3g} pixels apart and {width} wide: they hardly overlap",)
    return ()


def probe_of(patterns: Tensor, propagator: LinearOperator | None = None) -> Tensor:
    """The field whose diffraction has the mean magnitude of the patterns, without phase: (1, y, x)."""
    mean = patterns.clamp_min(0).sqrt().mean(0)
    if propagator is not None:
        return propagator.H(mean[None] + 0j)
    field = torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(mean + 0j), norm="ortho"))
    return field[None]


def scaled_to(probe: Tensor, patterns: Tensor) -> Tensor:
    """The probe with the power of the brightest patterns, those with least absorption."""
    brightest = patterns.sum((-2, -1)).quantile(0.95)
    power = probe.abs().square().sum()
    if not bool(power > 0) or not bool(torch.isfinite(power)):
        raise DataError("the probe is zero, or not finite")
    return probe.to(torch.complex64) * (brightest / power).sqrt()


def with_modes(probe: Tensor, modes: int) -> Tensor:
    """The probe with so many modes: the first ones, or further weak ones that are tilted from the first."""
    if modes <= len(probe):
        return probe[:modes]
    rows, columns = (torch.linspace(-1, 1, n) for n in probe.shape[-2:])
    tilts = [rows[:, None] ** a * columns**b for a in range(modes) for b in range(modes) if a + b > 0]
    tilts.sort(key=lambda t: float(t.abs().sum()), reverse=True)
    return torch.cat([probe, *(0.1 * probe[:1] * t for t in tilts[: modes - len(probe)])])


class ObjectOutput(Output):
    """Shows the magnitude and phase of the object, and the probe that was found."""

    def pictures(self, x: Tensor) -> Mapping[str, Tensor]:
        """Return phase and magnitude."""
        return {"Phase of the object": phase_above(x), "Magnitude of the object": x.abs()}

    def estimated(self, solution: Solution) -> Mapping[str, Tensor]:
        """Return the magnitude of the probe; the probe itself is in the result's ``estimated/probe``."""
        operator: Any = solution.physics.operator
        return {"Magnitude of the probe": operator.probe.abs()}


def phase_above(x: Tensor) -> Tensor:
    """Phase in radians about that of the mean field, plus the constant that makes the least one zero."""
    (top, rows), (left, columns) = ((n // 4, n - 2 * (n // 4)) for n in x.shape[-2:])
    middle = x[..., top : top + rows, left : left + columns]
    mean = middle.mean((-3, -2, -1), keepdim=True)
    phase = (x * mean.conj()).angle()
    inner = (middle * mean.conj()).angle().flatten(-3)
    low = inner.quantile(0.005, dim=-1)[..., None, None, None]
    high = inner.quantile(0.995, dim=-1)[..., None, None, None]
    return phase.clamp(low, high) - low


class NpzScanReader(Reader):
    """Ptychographic scans in NumPy archives (``.npz``, ``.npz.bz2``): ``data``, ``scan`` and ``probe``.

    The layout of tike [1]_: ``data`` (..., frame, y, x) are counts with zero frequency in the corner, or at
    n // 2; which of the two is found from where the mean pattern is brighter. ``scan`` (..., frame, 2) are
    the pixels (y, x) of the object under the first pixel of the probe, from any origin; ``probe`` (..., mode,
    y, x) is the field at the object, of any scale, and may be left out. Of several angles one is read.

    References
    ----------
    .. [1] D. Ching and D. Gürsoy, "tike: a toolkit for tomographic reconstruction of 3D objects from
       ptychography data", Argonne National Laboratory.

    Examples
    --------
    >>> NpzScanReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(ScanOptions):
        """Options of every scan (`ScanOptions`) and those of this format.

        Parameters
        ----------
        angle : int
            Which of several scans.
        zero : {"corner", "center"}, optional
            Where the patterns have zero frequency; by default where their mean is brighter.
        """

        angle: int = 0
        zero: Literal["corner", "center"] | None = None

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.zero not in ("corner", "center", None):
                raise ParameterError(f"zero= must be 'corner' or 'center', got {self.zero!r}")

    def sniff(self, path: str | Path) -> bool:
        """Return whether ``path`` is an archive with ``data`` and ``scan``."""
        path = Path(path)
        if not path.name.endswith((".npz", ".npz.bz2")) or not is_regular_file(path):
            return False
        try:
            with _archive(path) as held:
                return {"data.npy", "scan.npy"} <= set(held.namelist())
        except DataError:
            return False

    def _read(self, path: Path, options: Options) -> Acquisition:
        with naming(path):
            held = _arrays(path, ("data", "scan", "probe"))
            for name in ("data", "scan"):
                if name not in held:
                    raise DataError(f"the archive has no array {name}; it needs data and scan")
            data, scan = _angle(held["data"], 4, options.angle), _angle(held["scan"], 3, options.angle)
            patterns = torch.from_numpy(data)
            zero = options.zero or _brighter(patterns)
            if zero == "corner":
                patterns = torch.fft.fftshift(patterns, (-2, -1))
            probe = None
            if "probe" in held:
                probe = torch.from_numpy(held["probe"])
                probe = probe.reshape(-1, *probe.shape[-2:])
                if not probe.is_complex():
                    raise DataError(f"the probe must be complex, got {probe.dtype}")
                check_finite(torch.view_as_real(probe), "the probe")
            return scan_acquisition(
                patterns,
                torch.from_numpy(scan),
                probe,
                options,
                metadata={"format": "optics.ptychography_npz", "source": path.name, "zero_frequency": zero},
            )


def _brighter(patterns: Tensor) -> Literal["corner", "center"]:
    """Where the middle half of each axis holds more or less light than the rest of it."""
    mean = patterns.nan_to_num().clamp_min(0).mean(0)
    rows, columns = (n // 4 for n in mean.shape)
    middle = mean[rows : mean.shape[0] - rows, columns : mean.shape[1] - columns].mean()
    around = torch.fft.fftshift(mean)[rows : mean.shape[0] - rows, columns : mean.shape[1] - columns].mean()
    return "center" if bool(middle > around) else "corner"


def _angle(array: np.ndarray, ndim: int, which: int) -> np.ndarray:
    if array.ndim == ndim - 1:
        array = array[None]
    if array.ndim != ndim or array.dtype.kind not in "fiu" or 0 in array.shape:
        raise DataError(f"expected numbers along {ndim - 1} or {ndim} axes, got {array.dtype} {array.shape}")
    if not 0 <= which < len(array):
        raise ParameterError(f"angle={which}: there are {len(array)} scans")
    return np.ascontiguousarray(array[which], dtype=np.float32)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    with damage(path, "a NumPy archive", "bz2", "zipfile", "zlib", "numpy"):
        if path.suffix == ".bz2":
            most = max(_ROOM, _EXPANDS * path.stat().st_size)
            with bz2.open(path) as file:
                raw = file.read(most + 1)
            if len(raw) > most:
                raise DataError(f"{path} expands to more than {most} bytes")
            with zipfile.ZipFile(io.BytesIO(raw)) as held:
                yield held
        else:
            with zipfile.ZipFile(path) as held:
                yield held


def _arrays(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of an archive, none of which may hold Python objects."""
    if not is_regular_file(path):
        raise DataError(f"{path} is no file")
    found = {}
    most = max(_ROOM, _EXPANDS * path.stat().st_size)
    with damage(path, "a NumPy archive", "bz2", "zipfile", "zlib", "numpy"), _archive(path) as held:
        members = set(held.namelist())
        for name in names:
            if f"{name}.npy" not in members:
                continue
            if held.getinfo(f"{name}.npy").file_size > most:
                raise DataError(f"{path}: {name} expands to more than {most} bytes")
            raw = held.read(f"{name}.npy")
            found[name] = np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)
    return found
