"""K-space in MATLAB files, on a grid or along a trajectory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError
from invcore.io import Acquisition, NearMiss, Reader

from .._sampling.units import check_fov
from .acquire import ScanOptions, root_sum_of_squares
from .cfl import acquire_along, acquire_scan
from .mat_variables import load, variables
from .trajectory_units import in_cycles, straight_step

_KSPACE = ("kspace", "rawdata", "raw_data", "kdata", "ksp", "k_space", "rawkspace", "raw_kspace")
_PERHAPS = ("data", "raw", "signal", "d", "y", "s")  # k-space if there is a trajectory beside it
_TRAJECTORY = ("k", "traj", "trajectory", "ktraj", "k_traj", "kloc", "kxy", "coord", "coords", "kspace_traj")
_PARTS = (("_real", "_imag"), ("_re", "_im"))


class MatReader(Reader):
    """K-space in MATLAB files of version 5 to 7.3, on a grid or along a trajectory.

    The k-space is an array ``kspace``, ``rawdata``, ``kdata`` … (``kspace=NAME`` names another), complex, or
    with real and imaginary part in records, in arrays ``NAME_real`` and ``NAME_imag``, or on an axis of
    length 2. A trajectory is an array ``k``, ``traj`` … (``trajectory=NAME``), or ``kx`` and ``ky``: complex
    for k_x + i k_y, or real with an axis of length 2 or 3. The axes that the k-space shares with it are
    samples and readouts, the other one the coils. Its unit is decided where only one is possible, and said;
    ``unit=`` states it. The first component, or the real part, runs along the rows of the image, downward;
    ``transpose=true`` exchanges the two.

    Without a trajectory the k-space is on a grid, with the coils on the first or the last of three axes.

    Examples
    --------
    >>> from invcore_mri import MatReader
    >>> MatReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(ScanOptions):
        """Options of every scan (`ScanOptions`) and those of this format.

        Parameters
        ----------
        kspace, trajectory : str, optional
            Names of the arrays; the latter may be ``"none"`` for a grid.
        axes : str, optional
            What the axes of the k-space are, a letter each, in MATLAB's order: ``c`` coils; ``x``, ``y``,
            ``z`` space, on a grid; ``r`` samples of a readout and ``s`` readouts, along a trajectory; ``-``
            for an axis of which one entry is taken. ``xyc``, ``rsc``, ``xyc-``.
        index : int or str
            The entry of each ``-``, from 0: ``3``, or ``3,0`` for two of them.
        unit : {"cycles/pixel", "cycles/fov", "1/m", "radians"}, optional
            Unit of the trajectory.
        shape : int or str, optional
            Pixels of the image along a trajectory, ``256`` or ``256,192``.
        fov : float, optional
            Field of view in meters: of a trajectory in 1/m, and the size of the voxels.
        transpose : bool
            Whether the first component of the trajectory runs along the columns.
        """

        kspace: str | None = None
        trajectory: str | None = None
        axes: str | None = None
        index: int | str = 0
        unit: str | None = None
        shape: int | str | None = None
        fov: float | None = None
        transpose: bool = False

    def sniff(self, path: str | Path) -> bool | NearMiss:
        """Return whether ``path`` is a MATLAB file with k-space under one of the names."""
        names = variables(Path(path), whole=False)
        if _named(names, _KSPACE) or (_named(names, _PERHAPS) and _trajectory_named(names)):
            return True
        if _named(names, _PERHAPS) or _trajectory_named(names):
            held = ", ".join(sorted(names)[:12])
            return NearMiss(
                f"if it is k-space, say which array it is: --format mri.mat --option kspace=NAME; {held}"
            )
        return False

    def _read(self, path: Path, options: Options) -> Acquisition:
        held = variables(path)
        name = options.kspace or _named(held, _KSPACE) or _named(held, _PERHAPS)
        if name is None or not _held(held, name):
            raise DataError(
                f"{path} holds no array {options.kspace or 'kspace, rawdata or kdata'}; it holds "
                f"{', '.join(sorted(held)[:12]) or 'nothing'}. kspace= names the k-space"
            )
        kspace = _complex(path, held, name)
        k = _trajectory(path, held, options, name)
        facts: dict[str, Any] = {"format": "mri.mat", "source": path.name, "variable": name}
        if k is None:
            return self._cartesian(path, kspace, options, facts)
        return self._along(path, kspace, k, options, facts)

    def _reference(self, path: Path, options: Options) -> Tensor:
        """Return the root-sum-of-squares image of a scan on a fully sampled grid."""
        held = variables(path)
        name = options.kspace or _named(held, _KSPACE)
        if name is None or _trajectory(path, held, options, name) is not None:
            return super()._reference(path, options)
        found, spatial, _ = _on_a_grid(path, _complex(path, held, name), options)
        return root_sum_of_squares(found, spatial_dims=len(spatial))

    def _cartesian(
        self, path: Path, kspace: np.ndarray[Any, Any], options: Options, facts: dict[str, Any]
    ) -> Acquisition:
        data, spatial, left_out = _on_a_grid(path, kspace, options)
        facts["axes"] = list(spatial)
        check_fov(options.fov)
        if options.fov is not None:
            facts["voxel_m"] = [options.fov / n for n in data.shape[1:]]
        found = acquire_scan(data, tuple(range(len(spatial))), options, metadata=facts, left_out=left_out)
        if options.axes is None and kspace.ndim == 3:
            said = "the shortest axis of the k-space is taken for the coils; axes= says otherwise"
            found.metadata["notes"].insert(0, said)
        return found

    def _along(
        self,
        path: Path,
        kspace: np.ndarray[Any, Any],
        k: np.ndarray[Any, Any],
        options: Options,
        facts: dict[str, Any],
    ) -> Acquisition:
        axes = options.axes or _axes_along(path, kspace.shape, k.shape[:-1])
        kspace, axes, left_out = _entries(path, kspace, axes, options.index, "rsc")
        samples, k = _arranged(path, kspace, axes, k)
        if options.transpose:
            k = k[..., [1, 0, *range(2, k.shape[-1])]]
        scaled = in_cycles(
            torch.from_numpy(np.ascontiguousarray(k, dtype=np.float32)),
            unit=options.unit,
            shape=_pixels(options.shape, k.shape[-1]),
            fov=options.fov,
            where=str(path),
        )
        rows = "columns" if options.transpose else "rows"
        said = f"component 1 of the trajectory runs along the {rows} of the image; transpose= exchanges them"
        facts |= {"trajectory_unit": scaled.unit, "notes": [*filter(None, [scaled.said]), said]}
        if options.fov is not None:
            facts["voxel_m"] = [options.fov / n for n in scaled.shape]
        return acquire_along(
            torch.from_numpy(np.ascontiguousarray(samples, dtype=np.complex64)),
            scaled.trajectory,
            scaled.shape,
            options,
            metadata=facts,
            left_out=left_out,
        )


def _named(held: dict[str, Any], known: tuple[str, ...]) -> str | None:
    """The name in the file of the first array that is known, or of its real part without the ending."""
    low = {name.lower(): name for name in held}
    for name in known:
        if name in low:
            return low[name]
        for re, im in _PARTS:
            if name + re in low and name + im in low:
                return low[name + re][: len(name)]
    return None


def _held(held: dict[str, Any], name: str) -> bool:
    return name in held or _parts(held, name) is not None


def _parts(held: dict[str, Any], name: str) -> tuple[str, str] | None:
    """Names of the arrays of the real and imaginary part."""
    low = {other.lower(): other for other in held}
    for re, im in _PARTS:
        if (name + re).lower() in low and (name + im).lower() in low:
            return low[(name + re).lower()], low[(name + im).lower()]
    return None


def _trajectory_named(held: dict[str, Any]) -> str | None:
    low = {name.lower() for name in held}
    return _named(held, _TRAJECTORY) or ("kx" if {"kx", "ky"} <= low else None)


def _complex(path: Path, held: dict[str, Any], name: str) -> np.ndarray[Any, Any]:
    """The k-space as complex numbers, whichever way they are stored, without axes of length 1."""
    if parts := (None if name in held else _parts(held, name)):
        real, imaginary = (load(path, part) for part in parts)
        if real.shape != imaginary.shape:
            raise DataError(f"{path}: {parts[0]} is {real.shape}, {parts[1]} {imaginary.shape}")
        return np.squeeze(real + 1j * imaginary)
    values = load(path, name)
    if not np.iscomplexobj(values):
        pair = next((axis for axis in (-1, 0) if values.ndim > 2 and values.shape[axis] == 2), None)
        if pair is None:
            raise DataError(
                f"{path}: {name} is real, {values.dtype} {values.shape}; k-space must be complex, or have "
                f"real and imaginary part on its first or last axis, or in arrays {name}_real, {name}_imag"
            )
        values = np.take(values, 0, pair) + 1j * np.take(values, 1, pair)
    return np.squeeze(values)


def _trajectory(
    path: Path, held: dict[str, Any], options: MatReader.Options, kspace: str
) -> np.ndarray[Any, Any] | None:
    """The trajectory, real, components on the last axis; None if there is none."""
    name = options.trajectory
    if name == "none":
        return None
    low = {other.lower(): other for other in held}
    if name is None:
        name = _named({n: s for n, s in held.items() if n != kspace}, _TRAJECTORY)
    if name is None and {"kx", "ky"} <= set(low):
        parts = [load(path, low[n]) for n in ("kx", "ky", "kz") if n in low]
        if any(part.shape != parts[0].shape or np.iscomplexobj(part) for part in parts):
            raise DataError(f"{path}: kx, ky and kz must be real and of one shape")
        return np.stack([np.squeeze(part) for part in parts], -1)
    if name is None:
        return None
    if name not in held:
        raise DataError(f"{path} holds no array {name}; it holds {', '.join(sorted(held)[:12])}")
    values = np.squeeze(load(path, name))
    if np.iscomplexobj(values):
        return np.stack([values.real, values.imag], -1)
    for axis in (-1, 0):
        if values.ndim > 1 and values.shape[axis] in (2, 3):
            return np.moveaxis(values, axis, -1)
    raise DataError(
        f"{path}: the trajectory {name} must be complex, or have 2 or 3 components on its first or last "
        f"axis; got {values.dtype} {values.shape}. trajectory= names another, or none"
    )


def _axes_along(path: Path, shape: tuple[int, ...], along: tuple[int, ...]) -> str:
    """The axes of k-space: those that are as long as the trajectory's are samples, one more the coils."""
    n = len(along)
    places = [i for i in range(len(shape) - n + 1) if shape[i : i + n] == along]
    if not 1 <= n <= 2 or len(places) != 1 or len(shape) - n > 1:
        raise DataError(
            f"{path}: the k-space is {shape}, the trajectory {along}, so it is not clear which axis is what. "
            "Say it with axes=, a letter for each axis of the k-space: r samples of a readout, s readouts, c "
            "coils, - one entry of an axis; such as axes=rsc"
        )
    at = places[0]
    return "c" * at + "rs"[:n] + "c" * (len(shape) - n - at)


def _arranged(
    path: Path, kspace: np.ndarray[Any, Any], axes: str, k: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Samples (coil, shot, sample) and trajectory (shot, sample, d).

    Samples of a readout lie on a straight line, or are closer than those of successive readouts, whichever
    letters the axes have.
    """
    for letter in "sc":
        if letter not in axes:
            kspace, axes = kspace[..., None], axes + letter
    if "r" not in axes:
        raise DataError(f"{path}: axes={axes!r} has no r, the samples along the trajectory")
    samples = np.transpose(kspace, [axes.index(letter) for letter in "csr"])
    if k.ndim == 2:
        k = k[:, None]
    if k.shape[:2] == samples.shape[:0:-1]:  # (sample, shot)
        k = k.swapaxes(0, 1)
    if k.shape[:2] != samples.shape[1:]:
        raise DataError(
            f"{path}: the trajectory has {k.shape[:2]} readouts and samples, the k-space {samples.shape[1:]}"
        )
    turned = k.swapaxes(0, 1)
    straight, other = (straight_step(torch.from_numpy(np.ascontiguousarray(t))) for t in (k, turned))
    closer = min(k.shape[:2]) > 1 and _mean_step(turned) < _mean_step(k)
    if straight is None and (other is not None or closer):
        samples, k = samples.swapaxes(1, 2), turned
    return samples, k


def _mean_step(k: np.ndarray[Any, Any]) -> float:
    """Mean distance of neighboring samples, (shot, sample, d)."""
    return float(np.linalg.norm(np.diff(k, axis=1), axis=-1).mean())


def _on_a_grid(
    path: Path, kspace: np.ndarray[Any, Any], options: MatReader.Options
) -> tuple[Tensor, str, tuple[str, ...]]:
    """K-space (coil, *spatial) on a grid, the letters of its spatial axes, and what is left out."""
    shape = kspace.shape
    axes = options.axes
    if axes is None and len(shape) == 2:
        axes = "xy"
    if axes is None and len(shape) == 3 and min(shape) < sorted(shape)[1]:
        axes = {0: "cxy", 2: "xyc"}.get(shape.index(min(shape)))
    if axes is None:
        raise DataError(
            f"{path}: the k-space is {shape}, and it is not clear which axis is what. Say it with axes=, a "
            "letter for each: x, y, z space, c coils, - one entry of an axis; such as axes=xyc or axes=xyc-"
        )
    kspace, axes, left_out = _entries(path, kspace, axes, options.index, "xyzc")
    if "c" not in axes:
        kspace, axes = kspace[..., None], axes + "c"
    spatial = axes.replace("c", "")
    if not 2 <= len(spatial) <= 3:
        raise DataError(
            f"{path}: a scan on a grid has 2 or 3 axes in space, axes={axes!r} says {len(spatial)}"
        )
    data = np.moveaxis(kspace, axes.index("c"), 0)
    return torch.from_numpy(np.ascontiguousarray(data, dtype=np.complex64)), spatial, left_out


def _entries(
    path: Path, kspace: np.ndarray[Any, Any], axes: str, index: int | str, letters: str
) -> tuple[np.ndarray[Any, Any], str, tuple[str, ...]]:
    """Check the letters of the axes, and take one entry of each ``-``."""
    known = [letter for letter in axes if letter != "-"]
    if len(axes) != kspace.ndim or set(known) - set(letters) or len(set(known)) < len(known):
        raise ParameterError(
            f"axes= has a letter for each of the {kspace.ndim} axes of the k-space {kspace.shape}, of "
            f"{', '.join(letters)} once and -; got {axes!r}"
        )
    words = str(index).split(",")
    if not all(word.strip().isdigit() for word in words):
        raise ParameterError(f"index= is a number, or one for each -, such as 3,0; got {index!r}")
    chosen = [int(word) for word in words]
    places = [axis for axis, letter in enumerate(axes) if letter == "-"]
    if len(chosen) not in (1, len(places)):
        raise ParameterError(f"index= has {len(chosen)} numbers for {len(places)} axes called -")
    chosen = chosen * len(places) if len(chosen) == 1 else chosen
    left_out = []
    for axis, entry in reversed(list(zip(places, chosen, strict=True))):
        n = kspace.shape[axis]
        if entry >= n:
            raise ParameterError(f"there is no entry {entry}: axis {axis} of the k-space has {n}, from 0")
        kspace = np.take(kspace, entry, axis)
        if n > 1:
            left_out.append(f"entry {entry} of {n} on axis {axis} of the k-space used; index= chooses")
    return kspace, axes.replace("-", ""), tuple(reversed(left_out))


def _pixels(shape: int | str | None, dims: int) -> tuple[int, ...] | None:
    if shape is None:
        return None
    words = str(shape).split(",")
    if not all(word.strip().isdigit() and 1 < int(word) < 2**14 for word in words) or len(words) not in (
        1,
        dims,
    ):
        raise ParameterError(
            f"shape= is a number of pixels, or {dims} of them, such as 256,192; got {shape!r}"
        )
    return tuple(int(word) for word in words) * (dims if len(words) == 1 else 1)
