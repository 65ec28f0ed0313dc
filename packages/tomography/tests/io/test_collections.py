"""Collections of scans, from folders with a few made-up entries."""

import math

import h5py
import numpy as np
import pytest
import torch

from invcore_tomography import LIDC, DeteCT, LoDoPaB
from invcore_tomography._examples import io as samples


def test_lodopab(tmp_path):
    rng = np.random.default_rng(0)
    for number, count in ((0, 128), (1, 2)):
        for kind, shape in (("ground_truth", (362, 362)), ("observation", (1000, 513))):
            with h5py.File(tmp_path / f"{kind}_test_{number:03d}.hdf5", "w") as file:
                data = file.create_dataset(
                    "data", (count, *shape), "f4", compression="gzip", chunks=(1, *shape)
                )
                data[:] = np.float32(0)
                data[count - 1, :4, :4] = rng.random((4, 4), np.float32)
    entries = LoDoPaB(folder=tmp_path, part="test")
    assert len(entries) == 130
    image, sinogram = entries[129]
    assert image.shape == (1, 362, 362) and sinogram.shape == (1, 1000, 513) and image.max() > 0
    physics = LoDoPaB.physics()
    assert physics.range.shape == (1, 1000, 513)
    # a disk off the center in the first axis, which the data set calls x, lies at +x for angle 0
    grid = physics.operator.geometry.grid
    image = torch.zeros(1, 362, 362)
    image[0, 271:291, 171:191] = 1
    first = physics.operator(image)[0, 0]
    middle = (first * torch.arange(513)).sum() / first.sum()
    assert (middle - 256) * 2 * 0.13 * math.sqrt(2) / 513 == pytest.approx(100 * grid.spacing[0], rel=0.02)


def test_detect(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    at = tmp_path / "slice00007" / "mode2"
    at.mkdir(parents=True)
    rng = np.random.default_rng(0)
    through = np.exp(-np.linspace(0, 1, 1912))
    frames = {"sinogram": 100 + 1000 * np.tile(through, (37, 1)), "dark": np.full((1, 1912), 100.0)}
    frames |= {name: np.full((1, 1912), 1100.0) for name in ("flat1", "flat2")}
    for name, frame in frames.items():
        noisy = frame + (rng.normal(0, 3, frame.shape) if name == "sinogram" else 0)
        tifffile.imwrite(at / f"{name}.tif", noisy.astype(np.uint16), photometric="minisblack")
    scans = DeteCT(folder=tmp_path, size=64)
    assert scans.slices() == [7]
    scan = scans[0]
    assert scan.y.shape == (1, 36, 956)
    expected = torch.linspace(0, 1, 956)
    assert (scan.y - expected).abs().mean() < 0.01
    assert scan.physics.operator.geometry.source[0].norm() == pytest.approx(0.431019989)


def test_lidc(tmp_path):
    pytest.importorskip("pydicom")
    series = tmp_path / "LIDC-IDRI-0001" / "study" / "series"
    series.mkdir(parents=True)
    for k in range(3):
        samples.dicom_slice(series / f"{k}.dcm", k)
    scans = LIDC(folder=tmp_path, slices=3)
    assert len(scans) == 1 and scans[0].volume.shape == (3, 40, 36)
    mu = scans.attenuation(0)
    assert mu.shape == (1, 3, 40, 36) and mu.min() == 0
    assert len(LIDC(folder=tmp_path)) == 0
