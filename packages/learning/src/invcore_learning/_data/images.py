"""Images in a folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from invcore import DataError, ParameterError
from invcore.io import load_image

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy")
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


class ImageFolder:
    """The images below a folder, in the order of their names (``img2`` before ``img10``): a data set.

    Pictures are scaled to [0, 1], but for TIFF of more than 8 bits and arrays, which are as stored; see
    `invcore.io.load_image`.

    Parameters
    ----------
    root : str or Path
    pattern : str
        Which files, as a glob below the folder; of those the images.
    color : {"gray", "rgb"}, optional
        Give each image one channel (its luma) or three; by default as many as it has. An alpha channel is
        dropped.
    crop : int, optional
        Give the square of this side in the middle; by default the whole image.
    peak : float, optional
        Divide by it, such as 65535 for 16 bits; 1 leaves values as they are. By default images that exceed 1
        are refused: networks and weights are for a range of values.

    Raises
    ------
    DataError
        If there is no image, or, when one is read, if it is damaged, smaller than ``crop`` or
        brighter than 1 without ``peak``.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/a.npy", np.ones((9, 8)))
    ...     images = ImageFolder(folder, color="rgb", crop=4)
    ...     len(images), images[0].shape
    (1, torch.Size([3, 4, 4]))
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        pattern: str = "**/*",
        color: Literal["gray", "rgb"] | None = None,
        crop: int | None = None,
        peak: float | None = None,
    ) -> None:
        if color not in ("gray", "rgb", None):
            raise ParameterError(f"ImageFolder: color must be 'gray', 'rgb' or None, got {color!r}")
        if crop is not None and crop < 1:
            raise ParameterError(f"ImageFolder: crop must be positive, got {crop}")
        if peak is not None and not peak > 0:
            raise ParameterError(f"ImageFolder: peak must be positive, got {peak}")
        self.root, self.pattern, self.color, self.crop = Path(root), pattern, color, crop
        self.peak = peak
        found = (p for p in self.root.glob(pattern) if p.suffix.lower() in ENDINGS and p.is_file())
        self.files = sorted(found, key=natural)
        if not self.files:
            what = f"no image in it matches {pattern!r}; images end with {', '.join(ENDINGS)}"
            raise DataError(f"{self.root}: {what if self.root.is_dir() else 'there is no such folder'}")

    def __repr__(self) -> str:
        return f"ImageFolder({str(self.root)!r}, {len(self)} images)"

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        """Read an image, shape (channel, *spatial)."""
        path = self.files[index]
        x = colored(load_image(path), self.color, str(path))
        if self.peak is not None:
            x = x / self.peak
        elif float(x.abs().max()) > 1 + 1e-6:
            raise DataError(
                f"{path} has values up to {float(x.abs().max()):g}: give peak= to divide by (65535 for 16 "
                "bits; 1 to leave them)"
            )
        if self.crop is None:
            return x
        if min(x.shape[-2:]) < self.crop:
            raise DataError(f"{path} has {tuple(x.shape[-2:])} pixels: no square of side {self.crop} fits")
        top, left = ((n - self.crop) // 2 for n in x.shape[-2:])
        return x[..., top : top + self.crop, left : left + self.crop].contiguous()


def colored(x: Tensor, color: str | None, what: str) -> Tensor:
    """Gray or color; an alpha channel is dropped."""
    if x.shape[0] in (2, 4):
        x = x[:-1]
    if color is None or len(x) == (1 if color == "gray" else 3):
        return x
    if len(x) not in (1, 3):
        raise DataError(f"{what} has {len(x)} channels: it is neither gray nor color")
    if color == "rgb":
        return x.expand(3, *x.shape[1:]).contiguous()
    return torch.einsum("c,c...->...", x.new_tensor(_LUMA), x).unsqueeze(0)


def natural(path: Path) -> list[tuple[int, int, str]]:
    """Key that orders numbers by value."""
    parts = re.split(r"(\d+)", path.as_posix().lower())
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]
