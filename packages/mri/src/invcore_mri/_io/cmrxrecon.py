"""CMRxRecon files: cardiac scans of many slices and frames in MATLAB 7.3."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import torch
from torch import Tensor

from invcore import DataError, ParameterError
from invcore.io import Acquisition, Reader, open_hdf5, own_dataset, own_values

from .acquire import ScanOptions, root_sum_of_squares
from .cfl import acquire_scan
from .fastmri import chosen
from .records import complex_values, record_parts

_NAME = re.compile(r"kspace_(single_)?(full|sub\d*)")


class CMRxReconReader(Reader):
    """Files of the CMRxRecon challenges [1]_: MATLAB 7.3 with k-space of slices and frames of the heart.

    Variables are ``kspace_full``, ``kspace_sub04`` …, of MATLAB's shape (readout, phase, coil, slice, frame),
    and ``kspace_single_full`` …, without coils. One slice of one frame is read, as ``(coil, y, x)`` with y
    the readout; frames, or slices, together are a batch. Undersampled files need no mask file: what was not
    measured is zero in them.

    The data are given out at https://cmrxrecon.github.io after registration, for research; they may not be
    downloaded by a script. `invcore_learning.Acquisitions` makes a data set of a folder of them:
    ``Acquisitions(root, pattern="**/cine_sax.mat", options=[{"frame": t} for t in range(12)])``.

    References
    ----------
    .. [1] C. Wang et al., CMRxRecon: a publicly available k-space dataset and benchmark to advance deep
       learning for cardiac MRI, Sci. Data 11 (2024).

    Examples
    --------
    >>> from invcore_mri import CMRxReconReader
    >>> CMRxReconReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options(ScanOptions):
        """Options of every scan (`ScanOptions`) and those of this format.

        Parameters
        ----------
        slice : int, "all" or None
            Slice to read; ``None`` takes the middle one, ``"all"`` makes a batch of them.
        frame : int, "all" or None
            Frame (of a mapping scan, weighting) to read; ``None`` takes the first, ``"all"`` makes a batch.
        """

        slice: int | str | None = None
        frame: int | str | None = None

    def sniff(self, path: str | Path) -> bool:
        """Return whether ``path`` is an HDF5 file with k-space under one of the names."""
        try:
            with open_hdf5(path) as file:
                return bool(_names(file))
        except DataError:
            return False

    def _read(self, path: Path, options: Options) -> Acquisition:
        kspace, facts = _kspace(path, options)
        count, frames = facts["slice_count"], facts["frame_count"]
        used = (
            f"{len(facts['slices'])} of {count} slices and {len(facts['frames'])} of {frames} frames used; "
            "slice= and frame= choose"
        )
        left_out = (used,) if len(facts["slices"]) * len(facts["frames"]) < count * frames else ()
        extra = {
            "format": "mri.cmrxrecon",
            "source": path.name,
            "axes": ["readout", "phase 1"],
            **facts,
        }
        return acquire_scan(kspace, (0, 1), options, metadata=extra, left_out=left_out)

    def _reference(self, path: Path, options: Options) -> Tensor:
        """Return the root-sum-of-squares image of a fully sampled scan, ``(1, y, x)`` per slice."""
        return root_sum_of_squares(_kspace(path, options)[0])


def _names(file: h5py.File) -> list[str]:
    return [name for name in map(str, file) if _NAME.fullmatch(name)]


def _kspace(path: Path, options: CMRxReconReader.Options) -> tuple[Tensor, dict[str, Any]]:
    """K-space of the chosen slice and frame, shape (coil, y, x) or a batch of it, and which they are."""
    with open_hdf5(path) as file:
        names = _names(file)
        if len(names) != 1:
            raise DataError(
                f"{path} must hold k-space of one name, such as kspace_full or kspace_single_sub04; it holds "
                f"{', '.join(sorted(map(str, file))[:12]) or 'nothing'}"
            )
        (name,) = names
        held = own_dataset(file, name)
        single = name.startswith("kspace_single")
        wanted = "(frame, slice, x, y)" if single else "(frame, slice, coil, x, y)"
        if held is None or len(held.shape) != (4 if single else 5) or 0 in held.shape:
            got = None if held is None else tuple(held.shape)
            raise DataError(f"{path}: {name} must have shape {wanted} without empty axes, got {got}")
        if held.dtype.kind != "c" and record_parts(held.dtype) is None:
            raise DataError(
                f"{path}: {name} must be complex, or records of real and imaginary part, got {held.dtype}"
            )
        frames = chosen(0 if options.frame is None else options.frame, held.shape[0], "frame")
        slices = chosen(options.slice, held.shape[1])
        if options.frame == options.slice == "all":
            raise ParameterError(f"{path}: slice='all' or frame='all', not both: one batch is read")
        take: Any = tuple(
            slice(None) if option == "all" else some[0]
            for option, some in ((options.frame, frames), (options.slice, slices))
        )
        values = torch.from_numpy(complex_values(own_values(held, take), pairs=False)).mT.contiguous()
        facts = {
            "variable": name,
            "slices": list(slices),
            "slice_count": held.shape[1],
            "frames": list(frames),
            "frame_count": held.shape[0],
        }
    return values.unsqueeze(-3) if single else values, facts
