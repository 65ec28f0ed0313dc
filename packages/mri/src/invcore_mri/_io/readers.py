"""Readers of raw scans: BART and fastMRI files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import torch
from torch import Tensor

from invcore import DataError, ParameterError
from invcore.io import Acquisition, Reader

from .._coils.espirit import Espirit
from .acquire import acquire, root_sum_of_squares
from .cfl import cfl_paths, read_cfl, read_cfl_header
from .fastmri import header_geometry, read_fastmri

_COIL = 3  # BART's coil axis
_BART_AXES = (
    "readout",
    "phase 1",
    "phase 2",
    "coil",
    "maps",
    "echo",
    "coefficients",
    "coefficients 2",
    "iteration",
    "cardiac shift",
    "time",
    "time 2",
    "level",
    "slice",
    "average",
    "batch",
)
_FASTMRI_MARKS = ("kspace", "ismrmrd_header", "reconstruction_rss", "reconstruction_esc")


class CflReader(Reader):
    """BART raw data, ``name.cfl`` with ``name.hdr``.

    Dimensions 0 to 2 (readout, phase 1, phase 2) are space and keep their order; those of size 1 are left out, so
    that ``1 230 180 8`` is an 8-coil 2-D scan of shape ``(8, 230, 180)``. Dimension 3 is the coils. Any further
    dimension with more than one entry needs an index.

    Examples
    --------
    >>> from invcore_mri import CflReader
    >>> CflReader().sniff("no such file")
    False
    """

    def sniff(self, path: str | Path) -> bool:
        """Tell whether ``path`` is a ``.cfl`` file, a BART header, or the common name of the two."""
        path = Path(path)
        header, data = cfl_paths(path)
        if path.suffix == ".cfl":
            return path.is_file()
        if path.suffix == ".hdr" and not data.is_file():
            try:
                return path.is_file() and bool(read_cfl_header(path))
            except DataError:
                return False
        return header.is_file() and data.is_file()

    def read(
        self,
        path: str | Path,
        *,
        index: dict[int, int] | str | None = None,
        maps: Tensor | str | Path | None = None,
        noise: Tensor | str | Path | None = None,
        mask: Tensor | None = None,
        sigma: float | None = None,
        whiten: bool | None = None,
        calibration: Espirit | None = None,
    ) -> Acquisition:
        """Read a scan and prepare it for reconstruction; see :func:`acquire` for the options not named here.

        Parameters
        ----------
        path : str or Path
            The ``.cfl``, the ``.hdr``, or their common name.
        index : dict of int to int, or str, optional
            What to take of dimensions beyond the coils: ``{10: 3}``, or ``"10=3"``, is time frame 3.
        maps : Tensor, str or Path, optional
            Coil maps, ``(coil, *spatial)`` or ``(sets, coil, *spatial)``, or a ``.cfl`` of them.
        noise : Tensor, str or Path, optional
            Noise scan, ``(coil, ...)``, or a ``.cfl`` of it.
        mask, sigma, whiten, calibration
            As for :func:`acquire`.

        Returns
        -------
        Acquisition
            Data, physics and metadata.

        Raises
        ------
        DataError
            If the files are incomplete or do not hold one Cartesian multi-coil scan.
        """
        header, data = cfl_paths(path)
        kspace, spatial = _coil_first(_select(read_cfl(path), index, header), header)
        extra: dict[str, Any] = {
            "format": "mri.cfl",
            "source": data.name,
            "axes": [_BART_AXES[axis] for axis in spatial],
        }
        if isinstance(maps, (str, Path)):
            maps = _maps_from_cfl(maps, spatial)
        if isinstance(noise, (str, Path)):
            scan = read_cfl(noise)
            if scan.ndim <= _COIL:
                raise DataError(
                    f"the noise scan {noise} has dimensions {tuple(scan.shape)}: no coils on dimension 3"
                )
            noise = scan.movedim(_COIL, 0)
        return acquire(
            kspace,
            spatial_dims=len(spatial),
            mask=mask,
            maps=maps,
            noise=noise,
            sigma=sigma,
            whiten=whiten,
            calibration=calibration,
            metadata=extra,
        )

    def reference(self, path: str | Path, *, index: dict[int, int] | str | None = None) -> Tensor:
        """The root-sum-of-squares image of a fully sampled scan, ``(1, *spatial)``; ``index`` as in `read`."""
        header, _ = cfl_paths(path)
        kspace, spatial = _coil_first(_select(read_cfl(path), index, header), header)
        return root_sum_of_squares(kspace, spatial_dims=len(spatial))


class FastMRIReader(Reader):
    """fastMRI files: HDF5 with a dataset ``kspace`` of shape ``(slice, coil, y, x)``, y being the readout.

    Examples
    --------
    >>> from invcore_mri import FastMRIReader
    >>> FastMRIReader().sniff("no such file")
    False
    """

    def sniff(self, path: str | Path) -> bool:
        """Tell whether ``path`` is an HDF5 file with one of fastMRI's datasets."""
        path = Path(path)
        if not path.is_file() or not h5py.is_hdf5(path):
            return False
        try:
            with h5py.File(path, "r") as file:
                return any(name in file for name in _FASTMRI_MARKS)
        except (OSError, RuntimeError):
            return False

    def read(
        self,
        path: str | Path,
        *,
        slice: int | str | None = None,
        maps: Tensor | str | Path | None = None,
        noise: Tensor | None = None,
        mask: Tensor | None = None,
        sigma: float | None = None,
        whiten: bool | None = None,
        calibration: Espirit | None = None,
    ) -> Acquisition:
        """Read one slice, or all, and prepare them for reconstruction; see :func:`acquire`.

        K-space is kept as measured, with its readout oversampling; ``metadata["crop"]`` is the size to which
        fastMRI crops its images, and its reference image is under ``metadata["reference"]`` by name only
        (:func:`read_fastmri` reads it).

        Parameters
        ----------
        path : str or Path
            The ``.h5`` file.
        slice : int, "all" or None
            Which slice; ``None`` takes the middle one, ``"all"`` makes a batch of them.
        maps : Tensor, str or Path, optional
            Coil maps, or a BART ``.cfl`` of them.
        mask : Tensor, optional
            Measured positions; otherwise the file's own ``mask`` and its zeros tell.
        noise, sigma, whiten, calibration
            As for :func:`acquire`.

        Returns
        -------
        Acquisition
            Data, physics and metadata.

        Raises
        ------
        DataError
            If the file is damaged, or not a Cartesian fastMRI scan.
        """
        data = read_fastmri(path, slice=slice)
        kspace = data.kspace
        facts = header_geometry(data.header)
        recon = facts.get("recon_matrix_zyx")
        extra: dict[str, Any] = {
            "format": "mri.fastmri",
            "source": Path(path).name,
            "slices": list(data.slices),
            "slice_count": data.count,
            "axes": ["readout", "phase 1"],
            **facts,
        }
        if data.reference is not None:
            extra["reference"] = "reconstruction_rss"
            extra["crop"] = list(data.reference.shape[-2:])
        elif recon:
            extra["crop"] = [recon[2], recon[1]]
        if isinstance(maps, (str, Path)):
            maps = _maps_from_cfl(maps, (0, 1))
        return acquire(
            kspace,
            mask=data.mask if mask is None else mask,
            maps=maps,
            noise=noise,
            sigma=sigma,
            whiten=whiten,
            calibration=calibration,
            metadata=extra,
        )

    def reference(self, path: str | Path, *, slice: int | str | None = None) -> Tensor:
        """The root-sum-of-squares image of a fully sampled scan, ``(1, y, x)`` or ``(slice, 1, y, x)``; ``slice`` as in `read`."""
        return root_sum_of_squares(read_fastmri(path, slice=slice).kspace)


def _select(array: Tensor, index: dict[int, int] | str | None, header: Path) -> Tensor:
    """Take one entry of each dimension beyond the coils; return the first four dimensions."""
    chosen = _parse_index(index)
    array = array.reshape(*array.shape, *(1,) * max(0, 4 - array.ndim))
    for axis, entry in sorted(chosen.items()):
        if not 4 <= axis < 16:
            raise ParameterError(
                f"index= selects from dimensions 4 to 15, not from {axis} (0-2 are space, 3 coils)"
            )
        size = array.shape[axis] if axis < array.ndim else 1
        if not -size <= entry < size:
            raise ParameterError(
                f"{header.name}: dimension {axis} has {size} entries, there is no entry {entry}"
            )
    for axis in range(array.ndim - 1, 3, -1):
        if array.shape[axis] > 1 and axis not in chosen:
            raise DataError(
                f"{header.name} has {array.shape[axis]} entries along dimension {axis} ({_BART_AXES[axis]}); "
                f"say which one to reconstruct: index={{{axis}: 0}}"
            )
        array = array.select(axis, chosen.get(axis, 0))
    return array


def _parse_index(index: dict[int, int] | str | None) -> dict[int, int]:
    if index is None:
        return {}
    if isinstance(index, str):
        try:
            pairs = [part.split("=") for part in index.split(",")]
            return {int(axis): int(entry) for axis, entry in pairs}
        except ValueError as error:
            raise ParameterError(f"index must look like '10=3' or '10=3,13=0', got {index!r}") from error
    if not isinstance(index, dict):
        raise ParameterError(f"index must look like '10=3' or {{10: 3}}, got {index!r}")
    return dict(index)


def _coil_first(array: Tensor, header: Path) -> tuple[Tensor, tuple[int, ...]]:
    """Move BART's coils first and leave out space axes of size 1."""
    spatial = tuple(axis for axis in range(3) if array.shape[axis] > 1)
    if len(spatial) < 2:
        raise DataError(
            f"{header.name} has dimensions {tuple(array.shape)}; a Cartesian scan needs at least two of the first "
            "three (readout, phase 1, phase 2) larger than 1, and the coils on dimension 3"
        )
    shape = [array.shape[axis] for axis in spatial]
    return array.movedim(_COIL, 0).reshape(array.shape[_COIL], *shape).contiguous(), spatial


def _maps_from_cfl(path: str | Path, spatial: tuple[int, ...]) -> Tensor:
    """Read coil maps: (readout, phase 1, phase 2, coil, set) to (coil, *spatial) or (set, coil, *spatial)."""
    array = read_cfl(path)
    array = array.reshape(*array.shape, *(1,) * max(0, 5 - array.ndim))
    if array.ndim > 5:
        raise DataError(
            f"{path} has dimensions {tuple(array.shape)}; coil maps have at most 5 in BART's order"
        )
    for axis in reversed(range(3)):
        if axis not in spatial and array.shape[axis] == 1:
            array = array.squeeze(axis)
    ndim = array.ndim - 2
    array = array.permute(ndim + 1, ndim, *range(ndim))
    return torch.squeeze(array, 0).contiguous() if array.shape[0] == 1 else array.contiguous()
