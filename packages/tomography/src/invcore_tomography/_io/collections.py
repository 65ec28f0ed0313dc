"""Collections of scans in local folders: LoDoPaB-CT, 2DeteCT, LIDC-IDRI."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError, Physics
from invcore.io import Acquisition, open_hdf5
from invcore.noises import LogPoissonNoise

from .._correction.counts import Hounsfield
from .._geometry.grid import Grid
from .._geometry.scans import fan, parallel
from .acquire import acquire, naming
from .counts import Frames, line_integrals
from .dicom import Series, read_dicom, slice_files
from .hdf5 import dataset
from .options import CountOptions
from .tiff import read_tiff

_MU_MAX = 81.35858  # 1/m: 3071 HU
_ENTRIES = 128  # of each LoDoPaB file


@dataclass(frozen=True, kw_only=True)
class LoDoPaB:
    """LoDoPaB-CT: 362² slices of human chests with simulated low-dose parallel-beam scans.

    The folder holds ``observation_<part>_<nnn>.hdf5`` and ``ground_truth_<part>_<nnn>.hdf5`` with 128 entries
    each, in a dataset ``data``. 1000 views over half a turn, 513 detector pixels over the diagonal of 26 cm,
    4096 photons a pixel. Images are attenuation divided by 81.35858/m, observations -log T divided by the
    same.

    Parameters
    ----------
    folder : str or Path
    part : {"train", "validation", "test"}

    References
    ----------
    J. Leuschner, M. Schmidt, D. O. Baguer, P. Maass, "LoDoPaB-CT, a benchmark dataset for low-dose computed
    tomography reconstruction", Scientific Data 8 (2021).

    Examples
    --------
    >>> LoDoPaB(folder="no such folder", part="test")
    Traceback (most recent call last):
        ...
    invcore._errors.DataError: no file no such folder/observation_test_000.hdf5...
    """

    folder: str | Path
    part: Literal["train", "validation", "test"] = "train"

    def __post_init__(self) -> None:
        if self.part not in ("train", "validation", "test"):
            raise ParameterError(f"part must be 'train', 'validation' or 'test', got {self.part!r}")
        first = Path(self.folder) / f"observation_{self.part}_000.hdf5"
        if not first.is_file():
            raise DataError(f"no file {first}: give the folder with LoDoPaB's unpacked HDF5 files")

    def _files(self) -> list[Path]:
        return sorted(Path(self.folder).glob(f"observation_{self.part}_[0-9][0-9][0-9].hdf5"))

    def __len__(self) -> int:
        """Return the number of entries in the files present."""
        files = self._files()
        with open_hdf5(files[-1]) as file:
            return _ENTRIES * (len(files) - 1) + int(dataset(file, files[-1], "data", 3).shape[0])

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return the image (1, 362, 362) and its sinogram (1, 1000, 513)."""
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"entry {index} of {count}")
        number, entry = divmod(index % count, _ENTRIES)
        found = []
        for kind, shape in (("ground_truth", (362, 362)), ("observation", (1000, 513))):
            path = Path(self.folder) / f"{kind}_{self.part}_{number:03d}.hdf5"
            with open_hdf5(path) as file:
                data = dataset(file, path, "data", 3)
                if data.shape[1:] != shape or entry >= data.shape[0]:
                    raise DataError(f"{path}: expected entries of shape {shape}, got {data.shape}")
                found.append(torch.from_numpy(np.asarray(data[entry], dtype=np.float32))[None])
        return found[0], found[1]

    @staticmethod
    def physics() -> Physics:
        """Physics of the simulated scans, whose images had a finer grid."""
        from .._projection.xray import XRay

        corner = 0.13 * math.sqrt(2)
        angles = (
            math.pi / 2 - (torch.arange(1000, dtype=torch.float64) + 0.5) * math.pi / 1000
        )  # the first axis was x
        geometry = parallel(
            angles, columns=513, pitch=2 * corner / 513, grid=Grid(shape=(362, 362), spacing=0.26 / 362)
        )
        return Physics(operator=XRay(geometry=geometry), noise=LogPoissonNoise(photons=4096.0, mu=_MU_MAX))


@dataclass(frozen=True, kw_only=True)
class DeteCT:
    """2DeteCT: measured fan-beam scans of mixtures of grain, nuts and fruit.

    The folder holds ``slice00001/mode1/`` and so on with ``sinogram.tif``, ``dark.tif``, ``flat1.tif``,
    ``flat2.tif``: 3601 views, the last one like the first, 1912 detector pixels of 74.8 µm, of which pairs
    are added. Source to axis 431.02 mm, to the detector 529.00 mm. Modes: 1 low dose, 2 high dose, 3 with
    beam-hardening artifacts.

    Parameters
    ----------
    folder : str or Path
    mode : {1, 2, 3}
    every : int
        Keep every n-th view only.
    center : float, optional
        Column (of 956) of the axis of rotation; the middle by default.
    size : int
        Pixels of the image on a side.

    References
    ----------
    M. B. Kiss, S. B. Coban, K. J. Batenburg, T. van Leeuwen, F. Lucka, "2DeteCT, a large 2D expandable,
    trainable, experimental computed tomography dataset for machine learning", Scientific Data 10 (2023).

    Examples
    --------
    >>> DeteCT(folder="no such folder").slices()
    []
    """

    folder: str | Path
    mode: Literal[1, 2, 3] = 2
    every: int = 1
    center: float | None = None
    size: int = 1024

    def __post_init__(self) -> None:
        if self.mode not in (1, 2, 3) or self.every < 1 or self.size < 1:
            raise ParameterError("mode must be 1, 2 or 3; every and size positive")

    def slices(self) -> list[int]:
        """Numbers of the slices present."""
        found = Path(self.folder).glob(f"slice[0-9]*/mode{self.mode}/sinogram.tif")
        return sorted(int(path.parts[-3].removeprefix("slice")) for path in found)

    def __len__(self) -> int:
        return len(self.slices())

    def __getitem__(self, index: int) -> Acquisition:
        """Read the scan of the ``index``-th slice present."""
        numbers = self.slices()
        if not -len(numbers) <= index < len(numbers):
            raise IndexError(f"entry {index} of {len(numbers)}")
        at = Path(self.folder) / f"slice{numbers[index]:05d}" / f"mode{self.mode}"
        raw = {
            name: read_tiff(at / f"{name}.tif").reshape(-1, 1912)
            for name in ("sinogram", "dark", "flat1", "flat2")
        }
        views = raw["sinogram"].shape[0] - 1
        if views < 1:
            raise DataError(f"{at / 'sinogram.tif'} holds {views + 1} views")
        pairs = {
            name: torch.from_numpy(a.astype(np.float32)).reshape(len(a), 1, 956, 2).sum(-1)
            for name, a in raw.items()
        }
        facts: dict[str, Any] = {
            "format": "2DeteCT",
            "source": f"slice{numbers[index]:05d}/mode{self.mode}",
        }
        with naming(at):
            flat = torch.cat([pairs["flat1"], pairs["flat2"]])
            at_ends = np.repeat([-1, views], [len(pairs["flat1"]), len(pairs["flat2"])])
            counts = Frames(views=pairs["sinogram"][:-1], flat=flat, dark=pairs["dark"], flat_at=at_ends)
            lines, kept = line_integrals(counts, CountOptions(), facts)
            near, far, pitch = 0.431019989, 0.529000488, 2 * 74.8e-6
            angles = math.pi - kept.double() * 2 * math.pi / views
            geometry = fan(
                angles[:: self.every],
                source_distance=near,
                detector_distance=far - near,
                columns=956,
                pitch=pitch,
                center_of_rotation=self.center,
                grid=Grid(shape=(self.size, self.size), spacing=956 * pitch * near / far / self.size),
            )
            return acquire(lines[:: self.every, 0].unsqueeze(0), geometry, metadata=facts)


@dataclass(frozen=True, kw_only=True)
class LIDC:
    """LIDC-IDRI: CT scans of chests, a folder of DICOM slices for each.

    Parameters
    ----------
    folder : str or Path
        With ``LIDC-IDRI-0001/<study>/<series>/*.dcm`` and so on below it. Folders with fewer than ``slices``
        slices (X-ray pictures) are left out.
    slices : int
    water : float
        Attenuation of water in 1/m for `attenuation`.

    References
    ----------
    S. G. Armato et al., "The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative
    (IDRI)", Medical Physics 38 (2011).

    Examples
    --------
    >>> len(LIDC(folder="no such folder"))
    0
    """

    folder: str | Path
    slices: int = 10
    water: float = 20.59

    def series(self) -> list[Path]:
        """Folders of the series, in order."""
        found = sorted(path.parent for path in Path(self.folder).glob("LIDC-IDRI-*/*/*/*.dcm"))
        folders = sorted(set(found))
        return [folder for folder in folders if len(slice_files(folder)) >= self.slices]

    def __len__(self) -> int:
        return len(self.series())

    def __getitem__(self, index: int) -> Series:
        """Read the volume of a scan, in Hounsfield units."""
        return read_dicom(self.series()[index])

    def attenuation(self, index: int) -> Tensor:
        """The volume of a scan, (1, z, y, x) in 1/m, air 0."""
        return Hounsfield(water=self.water).inverse(self[index].volume).clamp_min(0).unsqueeze(0)
