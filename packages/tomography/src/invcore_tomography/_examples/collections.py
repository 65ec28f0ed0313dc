"""Folders of a few made-up entries, as the public collections lay them out, for the conformance kit."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from invcore.io import write_hdf5

from .._io.collections import LIDC, DeteCT, LoDoPaB
from .io import dicom_slice


def lodopab() -> dict[str, object]:
    """Return two entries."""

    def fill(folder: Path) -> None:
        rng = np.random.default_rng(0)
        for kind, shape in (("ground_truth", (362, 362)), ("observation", (1000, 513))):
            data = np.zeros((2, *shape), np.float32)
            data[:, :4, :4] = rng.random((2, 4, 4), np.float32)
            write_hdf5(folder / f"{kind}_train_000.hdf5", _held(data))

    return {"tiny": _in_folder(fill, LoDoPaB)}


def detect() -> dict[str, object]:
    """Return two slices of 13 views."""
    import tifffile

    def fill(folder: Path) -> None:
        rng = np.random.default_rng(0)
        through = np.exp(-np.linspace(0, 1, 1912))
        for number in (1, 7):
            at = folder / f"slice{number:05d}" / "mode2"
            at.mkdir(parents=True)
            counts = rng.poisson(1000 * np.tile(through, (13, 1)))
            frames = {"sinogram": 100 + counts, "dark": np.full((1, 1912), 100)}
            frames |= {name: np.full((1, 1912), 1100) for name in ("flat1", "flat2")}
            for name, frame in frames.items():
                tifffile.imwrite(at / f"{name}.tif", frame.astype(np.uint16), photometric="minisblack")

    return {"tiny": _in_folder(fill, lambda folder: DeteCT(folder=folder, size=32))}


def lidc() -> dict[str, object]:
    """Return two volumes of three slices."""

    def fill(folder: Path) -> None:
        for patient in ("LIDC-IDRI-0001", "LIDC-IDRI-0002"):
            series = folder / patient / "study" / "series"
            series.mkdir(parents=True)
            for k in range(3):
                dicom_slice(series / f"{k}.dcm", k)

    return {"tiny": _in_folder(fill, lambda folder: LIDC(folder=folder, slices=3))}


def _held(data: np.ndarray) -> Callable[[h5py.File], object]:
    return lambda file: file.create_dataset("data", data=data, compression="gzip")


def _in_folder(fill: Callable[[Path], None], made: Callable[..., Any]) -> Any:
    """Return a data set of a folder that vanishes with it."""
    folder = tempfile.TemporaryDirectory()
    fill(Path(folder.name))
    found = made(folder=Path(folder.name))
    weakref.finalize(found, folder.cleanup)
    return found
