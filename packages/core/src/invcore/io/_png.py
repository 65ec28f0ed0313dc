"""Images as PNG: panels, windows, color maps. Matplotlib is imported when a picture is made."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from .._files.atomic import atomic_path

_PLANES = (("z", 0), ("y", 1), ("x", 2))


@dataclass(frozen=True, eq=False)
class Panel:
    """One two-dimensional picture cut out of an image.

    Parameters
    ----------
    label : str
        Which sample, channel and slice it is; empty where there is only one.
    image : numpy.ndarray
        Real or complex, two-dimensional.
    """

    label: str
    image: np.ndarray


def panels(
    x: Tensor, *, spatial_dims: int = 2, limit: int = 12, voxel_size: Sequence[float] | None = None
) -> tuple[list[Panel], int]:
    """Cut an image into two-dimensional panels.

    Each channel of each sample is one panel in 2-D, and the three orthogonal central slices in 3-D. Voxels
    that are not square are drawn by several pixels, so that the picture has the shape of the object.

    Parameters
    ----------
    x : Tensor, shape (batch..., channel, *spatial)
    spatial_dims : int
        1 (drawn as a one-line picture), 2 or 3.
    limit : int
        The largest number of panels.
    voxel_size : sequence of float, optional
        Of each spatial dimension, in any one unit; by default all are equal.

    Returns
    -------
    panels : list of Panel
    left_out : int
        How many panels there are beyond ``limit``.
    """
    if spatial_dims not in (1, 2, 3) or x.ndim < spatial_dims + 1:
        raise ShapeError(
            f"expected an image (batch..., channel, *spatial) with 1 to 3 spatial dimensions, got shape "
            f"{tuple(x.shape)} with spatial_dims={spatial_dims}."
        )
    if not x.numel():
        raise ShapeError(f"there is nothing to draw in an image of shape {tuple(x.shape)}.")
    spatial = x.shape[x.ndim - spatial_dims :]
    array = x.detach().resolve_conj().cpu()
    array = array.float() if array.dtype in (torch.float16, torch.bfloat16) else array
    array = array.reshape(-1, x.shape[x.ndim - spatial_dims - 1], *spatial)
    batch, channels = array.shape[:2]
    each = 3 if spatial_dims == 3 else 1
    found: list[Panel] = []
    for b in range(batch):
        for c in range(channels):
            if len(found) >= limit:
                return found, batch * channels * each - len(found)
            where = [f"sample {b + 1}"] * (batch > 1) + [f"channel {c + 1}"] * (channels > 1)
            volume = array[b, c].numpy()
            if spatial_dims == 3:
                for name, axis in _PLANES:
                    middle = volume.shape[axis] // 2
                    label = ", ".join([*where, f"{name} = {middle}"])
                    cut = [h for k, h in enumerate(voxel_size or ()) if k != axis]
                    found.append(Panel(label, _square(np.take(volume, middle, axis), cut)))
            else:
                found.append(Panel(", ".join(where), _square(np.atleast_2d(volume), voxel_size)))
    return found, 0


def _square(image: np.ndarray, pixel: Sequence[float] | None) -> np.ndarray:
    """A picture of square pixels: the longer side of each pixel repeated, to the nearest one."""
    if pixel is None or len(pixel) != 2 or max(pixel) < 1.02 * min(pixel):
        return image
    for axis, h in enumerate(pixel):
        drawn = max(1, round(image.shape[axis] * h / min(pixel)))
        image = np.take(image, np.arange(drawn) * image.shape[axis] // drawn, axis)
    return image


def color_map(part: str) -> str:
    """The name of the color map for magnitude, real, phase or error pictures."""
    return {"magnitude": "gray", "real": "gray", "phase": "twilight", "error": "inferno"}[part]


def encode_png(image: np.ndarray, *, window: tuple[float, float], cmap: str = "gray") -> bytes:
    """One PNG pixel per image pixel; values outside the window are clipped, NaN is drawn in red."""
    from matplotlib import colormaps
    from matplotlib.image import imsave

    low, high = window
    unit = (np.asarray(image, dtype=np.float64) - low) / ((high - low) or 1.0)
    colors = colormaps[cmap].with_extremes(bad=(0.85, 0.1, 0.1, 1.0))(
        np.ma.masked_invalid(np.clip(unit, 0, 1))
    )
    buffer = io.BytesIO()
    untagged: dict[str, Any] = {"Software": None}
    imsave(buffer, (colors[..., :3] * 255 + 0.5).astype(np.uint8), format="png", metadata=untagged)
    return buffer.getvalue()


def window_of(images: list[np.ndarray], *, symmetric: bool = False) -> tuple[float, float]:
    """Display window: from 0 (or the least value if there are negative ones) to the 99.8th percentile."""
    values = np.concatenate([np.ravel(i) for i in images])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    if symmetric:
        bound = float(np.percentile(np.abs(values), 99.8)) or 1.0
        return -bound, bound
    high = float(np.percentile(values, 99.8))
    low = float(min(0.0, np.percentile(values, 0.2)))
    return (low, high) if high > low else (low, low + 1.0)


def save_png(
    path: str | os.PathLike[str],
    x: Tensor,
    *,
    spatial_dims: int = 2,
    part: Literal["magnitude", "phase"] = "magnitude",
    window: tuple[float, float] | None = None,
    voxel_size: Sequence[float] | None = None,
) -> tuple[float, float]:
    """Write the magnitude or the phase of an image as a PNG, atomically.

    Several samples, channels or (in 3-D) the three central slices are put side by side.

    Parameters
    ----------
    path : path
    x : Tensor, shape (batch..., channel, *spatial)
    spatial_dims : int
    part : {"magnitude", "phase"}
        Of a real image ``"magnitude"`` draws the values themselves. Phase is drawn from -pi to pi with a
        cyclic color map.
    window : tuple of float, optional
        Values drawn black and white. By default from 0 to the 99.8th percentile.
    voxel_size : sequence of float, optional
        Of each spatial dimension, in any one unit: the picture has the shape of the object.

    Returns
    -------
    tuple of float
        The window.
    """
    if part not in ("magnitude", "phase"):
        raise ParameterError(f"save_png: part must be 'magnitude' or 'phase', got {part!r}.")
    found, _ = panels(x, spatial_dims=spatial_dims, limit=64, voxel_size=voxel_size)
    images = [part_of(panel.image, part) for panel in found]
    if window is None:
        window = (-np.pi, np.pi) if part == "phase" else window_of(images)
    with atomic_path(path) as partial:
        partial.write_bytes(encode_png(_side_by_side(images, window), window=window, cmap=color_map(part)))
    return window


def part_of(image: np.ndarray, part: str) -> np.ndarray:
    """Magnitude or phase of a picture; the magnitude of a real picture is the picture."""
    if part == "phase":
        return np.angle(image)
    return np.abs(image) if np.iscomplexobj(image) else image


def _side_by_side(images: list[np.ndarray], window: tuple[float, float]) -> np.ndarray:
    """Pictures in a nearly square grid, with a gap of two pixels in the darkest value."""
    columns = (
        len(images) if len(images) <= 3 else 3 if len(images) % 3 == 0 else math.ceil(len(images) ** 0.5)
    )
    height, width = max(i.shape[0] for i in images), max(i.shape[1] for i in images)
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + 2) - 2, columns * (width + 2) - 2), window[0])
    for n, image in enumerate(images):
        top, left = n // columns * (height + 2), n % columns * (width + 2)
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet
