"""Instances of the data sets, in folders that vanish when the process ends."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

import invcore
from invcore import Physics, Space
from invcore.io import Acquisition, save_png
from invcore.noises import GaussianNoise
from invcore.operators import Mask

from .._data.acquisitions import Acquisitions
from .._data.images import ImageFolder
from .._data.pairs import FMD, NBU, Kohler
from .._data.public import public_images as _public_images
from .._data.store import generate
from .probes import seeded

_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def _folder() -> Path:
    _FOLDERS.append(tempfile.TemporaryDirectory())
    return Path(_FOLDERS[-1].name)


def _pictures(folder: Path, count: int) -> Path:
    folder.mkdir(exist_ok=True)
    for i in range(count):
        np.save(folder / f"{i}.npy", torch.rand(9, 8, generator=seeded(i)).numpy())
    return folder


def _measured(path: Path, gain: float = 1.0) -> Acquisition:
    """What one of the files below holds."""
    held = torch.from_numpy(np.load(path))
    mask = (torch.arange(8) % 3 > 0).float().expand(9, 8)[None]
    physics = Physics(Mask(mask, Space((1, 9, 8))), GaussianNoise(sigma=0.1))
    return Acquisition(y=gain * mask * held, physics=physics)


def acquisitions() -> dict[str, object]:
    """Instances of the data set ``learning.acquisitions``."""
    folder, gains = _pictures(_folder(), 3), [{"gain": 1.0}, {"gain": 2.0}]
    return {"two of each file": Acquisitions(folder, options=gains, read=_measured)}


def fmd() -> dict[str, object]:
    """Instances of the data set ``learning.fmd``."""
    folder = _folder()
    for k, path in enumerate(("raw/1/a1.png", "raw/1/a2.png", "gt/1/avg50.png")):
        _picture(folder / "Confocal_FISH" / path, k)
    return {"two exposures": FMD(folder, views=(1,))}


def kohler() -> dict[str, object]:
    """Instances of the data set ``learning.kohler``."""
    folder = _folder()
    for k in range(48):
        p, m = k // 12 + 1, k % 12 + 1
        _picture(folder / f"Blurry{p}_{m}.png", k)
        _picture(folder / f"Image{p}/Kernel{m}/GroundTruth{p}_{m}_1.png", k)
    return {"first frames": Kohler(folder, frame=1)}


def nbu() -> dict[str, object]:
    """Instances of the data set ``learning.nbu``."""
    from scipy.io import savemat

    folder = _folder()
    for place, name, shape in (("MS_256", "imgMS", (4, 4, 4)), ("PAN_1024", "imgPAN", (16, 16))):
        (folder / place).mkdir()
        for k in (1, 2):
            values = torch.randint(2047, shape, generator=seeded(k)).numpy().astype(np.uint16)
            savemat(folder / place / f"{k}.mat", {name: values})
    return {
        "both": NBU(folder, satellite="ikonos"),
        "bands only": NBU(folder, satellite="ikonos", pan=False),
    }


def _picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_png(path, torch.rand(1, 5, 6, generator=seeded(seed)), spatial_dims=2)


def image_folder() -> dict[str, object]:
    """Instances of the data set ``learning.image_folder``."""
    folder = _pictures(_folder(), 3)
    return {"gray": ImageFolder(folder), "crops in color": ImageFolder(folder, color="rgb", crop=4)}


def public_images() -> dict[str, object]:
    """Instances of the data set ``learning.public_images``."""
    folder = _folder()
    _pictures(folder / "Set5", 5)
    return {"five images": _public_images("set5", folder)}


def store() -> dict[str, object]:
    """Instances of the data set ``learning.store``."""
    physics = Physics(Mask(torch.ones(1, 6, 6), Space((1, 6, 6))), GaussianNoise(sigma=0.1))
    draw = invcore.generator("mask_random", (6, 6), keep=0.5)
    images = [torch.rand(1, 6, 6, generator=seeded(i)) for i in range(4)]
    return {"masks": generate(images, physics, _folder(), parameters={"mask": draw}, shard_bytes=1000)}
