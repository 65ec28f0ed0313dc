"""Sample files of every format, and the simulated measurement, for the conformance kit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.io import savemat

from invcore.operators import Space

from .._cameras.cassi import CASSI
from .._cameras.lensless import Lensless
from .._cameras.single_pixel import SinglePixel
from .._demo import TargetScan, test_target
from .._io.mat import save_mat
from .._io.single_pixel import write_single_pixel

Writers = dict[str, Callable[[Path], Path]]


def single_pixel_mat() -> Writers:
    """Return functions that write pairs of Hadamard patterns, and Haar coefficients without the finest."""

    def pairs(folder: Path) -> Path:
        camera = SinglePixel(
            "hadamard",
            Space((1, 16, 8)),
            order="cake_cutting",
            measurements=60,
            detection="pairs",
            dwell=50.0,
        )
        mean = camera(test_target(16)[..., :8].double()).clamp_min(0)
        y = torch.poisson(mean, generator=torch.Generator().manual_seed(0))
        return write_single_pixel(folder / "pairs.mat", y, camera)

    def haar(folder: Path) -> Path:
        camera = SinglePixel("haar", Space((1, 16, 16)), levels=3)
        layout = 1e3 * camera(test_target(16)).reshape(16, 16)
        layout[8:] = layout[:, 8:] = 0
        held = {"W": layout.round().int().numpy(), "J": np.uint8(3), "N": np.uint8(16), "wav": "Haar"}
        savemat(folder / "haar.mat", held)
        return folder / "haar.mat"

    return {"pairs": pairs, "haar": haar}


def cassi_mat() -> Writers:
    """Return functions that write a snapshot with its mask in one file, and in two."""

    def snapshot() -> dict[str, np.ndarray]:
        g = torch.Generator().manual_seed(0)
        mask = torch.rand(1, 12, 10, generator=g).round()
        camera = CASSI(mask=mask, dispersion=2.0 * torch.arange(4), domain=Space((4, 12, 10)))
        scene = test_target(16)[..., :12, :10] * torch.tensor([0.2, 0.5, 0.9, 0.4])[:, None, None]
        y = camera(scene) + 0.01 * torch.randn(1, 12, 16, generator=g)
        return {"meas": y[0].numpy(), "mask": mask[0].numpy()}

    def one(folder: Path) -> Path:
        return save_mat(folder / "scene.mat", snapshot())

    def two(folder: Path) -> Path:
        held = snapshot()
        save_mat(folder / "lab_mask.mat", {"mask": held["mask"]})
        return save_mat(folder / "lab_scene.mat", {"meas_real": held["meas"]})

    return {"mask inside": one, "mask beside": two}


def lensless_tiff() -> Writers:
    """Return a function that writes a frame and the image of a point beside it."""

    def frame(folder: Path) -> Path:
        import tifffile

        g = torch.Generator().manual_seed(0)
        psf = torch.nn.functional.pad((torch.rand(1, 12, 16, generator=g) > 0.9).float(), (4, 4, 4, 4))
        camera = Lensless(psf=psf / psf.sum(), domain=Space((1, 20, 24)))
        scene = torch.nn.functional.pad(test_target(8), (8, 8, 6, 6))
        y = camera(scene) + 0.002 * torch.rand(1, 20, 24, generator=g)
        for name, image in (("psf", psf), ("scene", y)):
            values = (100 + 3e4 * image[0] / image.max()).numpy().astype(np.uint16)
            tifffile.imwrite(folder / f"lab_{name}.tif", values)
        return folder / "lab_scene.tif"

    return {"frame": frame}


def target() -> dict[str, object]:
    """Return a small simulated scan."""
    return {"tiny": TargetScan(size=16)}


def tiff() -> Writers:
    """Return functions that write a volume with its PSF beside it, in OME and in ImageJ TIFF."""

    def ome(folder: Path) -> Path:
        return _specimen(folder / "cell.ome.tif", ome=True, metadata=_OME)

    def imagej(folder: Path) -> Path:
        held = {"axes": "ZYX", "spacing": 0.3, "unit": "um"}
        return _specimen(
            folder / "cell.tif", imagej=True, byteorder=">", resolution=(10.0, 10.0), metadata=held
        )

    return {"OME": ome, "ImageJ, big-endian": imagej}


_OME = {"axes": "ZYX", "PhysicalSizeX": 100.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 100.0}
_OME |= {"PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 0.3, "PhysicalSizeZUnit": "µm"}


def _specimen(path: Path, **options: Any) -> Path:
    import tifffile

    generator = torch.Generator().manual_seed(0)
    volume = 20 + 400 * torch.rand(5, 12, 11, generator=generator)
    axes = [torch.exp(-((torch.arange(n) - n // 2.0) ** 2) / 2) for n in (3, 5, 5)]
    kernel = axes[0][:, None, None] * axes[1][:, None] * axes[2]
    counts = torch.poisson(volume, generator).numpy().astype("uint16")
    tifffile.imwrite(path, counts, datetime="2020:01:01 00:00:00", **options)
    tifffile.imwrite(path.with_suffix(".psf.tif"), kernel.numpy(), datetime="2020:01:01 00:00:00", **options)
    return path
