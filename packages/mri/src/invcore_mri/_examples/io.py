"""Sample files of every format and a small simulated scan, for the conformance kit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from invcore.io import write_hdf5

from .._demo import PhantomScan
from .._io.acquire import root_sum_of_squares
from .._io.cfl import write_cfl
from .._io.fastmri import write_fastmri
from .._phantom.scan import simulate
from .._sampling.masks import MaskEquispaced, MaskRandom
from .._sampling.nonuniform import NUFFTSense
from .._sampling.trajectories import radial

_HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
  <acquisitionSystemInformation><systemVendor>none</systemVendor></acquisitionSystemInformation>
  <encoding>
    <encodedSpace>
      <matrixSize><x>{y}</x><y>{x}</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>220</x><y>220</y><z>5</z></fieldOfView_mm>
    </encodedSpace>
    <reconSpace>
      <matrixSize><x>{y}</x><y>{x}</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>220</x><y>220</y><z>5</z></fieldOfView_mm>
    </reconSpace>
    <trajectory>cartesian</trajectory>
  </encoding>
</ismrmrdHeader>
"""


def cfl() -> dict[str, Callable[[Path], Path]]:
    """Return functions that write BART files into a folder: a slice, an undersampled slice, a volume."""

    def slice_(folder: Path) -> Path:
        write_cfl(folder / "slice", _kspace((48, 40)).movedim(0, -1)[None])
        return folder / "slice.cfl"

    def lines(folder: Path) -> Path:
        mask = MaskEquispaced(shape=(48, 40), acceleration=2.0, calib=16)()
        write_cfl(folder / "lines", (mask * _kspace((48, 40))).movedim(0, -1)[None])
        return folder / "lines.cfl"

    def volume(folder: Path) -> Path:
        write_cfl(folder / "volume", _kspace((16, 24, 20)).movedim(0, -1))
        return folder / "volume.cfl"

    return {"slice": slice_, "lines": lines, "volume": volume}


def cmrxrecon() -> dict[str, Callable[[Path], Path]]:
    """Return functions that write CMRxRecon files into a folder: several coils, lines of one."""

    def written(path: Path, name: str, kspace: Tensor) -> Path:
        """A file of one slice and two frames, with complex numbers as MATLAB writes them."""
        parts = torch.view_as_real(kspace.mT.contiguous()).numpy()
        records = parts.view([("real", "<f4"), ("imag", "<f4")])[..., 0]
        write_hdf5(path, lambda file: file.create_dataset(name, data=np.stack([records, records])[:, None]))
        return path

    def full(folder: Path) -> Path:
        return written(folder / "cine_sax.mat", "kspace_full", _kspace((48, 40)))

    def lines(folder: Path) -> Path:
        mask = MaskEquispaced(shape=(48, 40), acceleration=2.0, calib=16)()
        return written(folder / "cine_lax.mat", "kspace_single_sub04", (mask * _kspace((48, 40)))[0])

    return {"all of it": full, "lines of one coil": lines}


def fastmri() -> dict[str, Callable[[Path], Path]]:
    """Return functions that write fastMRI files into a folder: several coils with a reference, test data."""

    def several(folder: Path) -> Path:
        kspace = torch.stack([_kspace((48, 40), seed) for seed in (0, 1)])
        reference = root_sum_of_squares(kspace).squeeze(-3)
        write_fastmri(folder / "multicoil.h5", kspace, reference=reference, header=_HEADER.format(y=48, x=40))
        return folder / "multicoil.h5"

    def masked(folder: Path) -> Path:
        mask = MaskRandom(shape=(48, 40), acceleration=2.0, calib=16)()
        write_fastmri(folder / "test.h5", mask * _kspace((48, 40))[None], mask=mask)
        return folder / "test.h5"

    return {"several coils": several, "with its mask": masked}


def mat() -> dict[str, Callable[[Path], Path]]:
    """Return functions that write MATLAB files into a folder: spokes in version 5 and 7.3, a grid."""

    def spokes() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """K-space (sample, spoke, coil), and trajectory (sample, spoke) in cycles per pixel."""
        scan = simulate((32, 32), coils=4, generator=torch.Generator().manual_seed(0))
        k = radial(24, 32, 32)
        samples = NUFFTSense(scan.maps, k.reshape(-1, 2), method="direct")(scan.image).reshape(4, 24, 32)
        noise = torch.randn(samples.shape, dtype=samples.dtype, generator=torch.Generator().manual_seed(1))
        turns = torch.view_as_complex(k / 32).mT
        return (samples + 0.02 * noise).permute(2, 1, 0).numpy(), turns.numpy()

    def along(folder: Path) -> Path:
        from scipy.io import savemat

        samples, k = spokes()
        savemat(folder / "spokes.mat", {"rawdata": samples, "k": k})
        return folder / "spokes.mat"

    def newer(folder: Path) -> Path:
        samples, k = spokes()
        record = [("real", "<f4"), ("imag", "<f4")]
        values = {
            "kdata": samples.T.copy().view(record),
            "traj": k.T.astype(np.complex64).copy().view(record),
        }

        def fill(file: h5py.File) -> None:
            for name, value in values.items():
                file[name] = value

        write_hdf5(folder / "spokes73.mat", fill)
        return folder / "spokes73.mat"

    def grid(folder: Path) -> Path:
        from scipy.io import savemat

        savemat(folder / "grid.mat", {"kspace": _kspace((40, 32)).movedim(0, -1).numpy()})
        return folder / "grid.mat"

    return {"spokes": along, "spokes in 7.3": newer, "grid": grid}


def phantom() -> dict[str, object]:
    """Return a small simulated scan."""
    return {"tiny": PhantomScan(shape=(64, 64), coils=4)}


def _kspace(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return simulate(shape, coils=4, sigma=0.02, generator=torch.Generator().manual_seed(seed)).kspace
