"""Raw frames of lensless cameras in TIFF files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from invcore import DataError, ParameterError
from invcore.io import Acquisition, NearMiss, Reader, is_regular_file, is_tiff
from invcore.noises import estimate_sigma
from invcore.operators import Space

from .._cameras.lensless import Lensless
from .acquire import acquire, beside, naming
from .tiff_image import single_image, tiff_shape

_SIDE = 320  # pixels of the shorter side to which frames are binned by default


class LenslessReader(Reader):
    """Raw frames of a lensless camera with the measured image of a point, both TIFF files of one size.

    The image of a point is ``NAME_psf.tif`` beside the frame ``NAME_anything.tif``, unless ``psf`` says
    where it is. Of both the background is subtracted, the darkest of the four corners; pixels are binned; the
    pattern is divided by its sum and the frame by its maximum.

    References
    ----------
    N. Antipa et al., "DiffuserCam: lensless single-exposure 3D imaging", Optica 5 (2018).

    Examples
    --------
    >>> LenslessReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Options of lensless cameras.

        Parameters
        ----------
        psf : str, optional
            Path of the image of a point; by default ``NAME_psf.tif`` beside the frame ``NAME_anything.tif``.
        pixels : int, optional
            Bin blocks of ``pixels`` x ``pixels`` pixels; by default so many that the shorter side has at most
            320.
        bayer : {"rggb", "bggr", "grbg", "gbrg"}, optional
            Colors of the top left 2 x 2 pixels, row by row, of a raw color frame; by default it is gray.
        scene : {"sensor", "all"}
            Size of the scene: that of the sensor, or all that can throw light onto it, twice as large.
        sigma : float, optional
            Standard deviation of the binned frame over its maximum; from its finest wavelet coefficients, but
            0.1 % at least, by default.
        """

        psf: str | None = None
        pixels: int | None = None
        bayer: Literal["rggb", "bggr", "grbg", "gbrg"] | None = None
        scene: Literal["sensor", "all"] = "sensor"
        sigma: float | None = None

        def __post_init__(self) -> None:
            p = self.pixels
            if p is not None and (isinstance(p, bool) or not isinstance(p, int) or p < 1):
                raise ParameterError(f"pixels= must be a positive integer, got {p!r}")
            if self.bayer not in (None, "rggb", "bggr", "grbg", "gbrg"):
                raise ParameterError(f"bayer= must be 'rggb', 'bggr', 'grbg' or 'gbrg', got {self.bayer!r}")
            if self.scene not in ("sensor", "all"):
                raise ParameterError(f"scene= must be 'sensor' or 'all', got {self.scene!r}")
            if self.sigma is not None and not 0 < self.sigma < math.inf:
                raise ParameterError(f"sigma= must be a positive number, got {self.sigma!r}")

    def sniff(self, path: str | Path) -> bool | NearMiss:
        """Return whether ``path`` is a TIFF file ``NAME_anything`` with a ``NAME_psf`` beside it."""
        path = Path(path)
        if not (is_regular_file(path) and is_tiff(path)):
            return False
        if (psf := beside(path, "psf")) is not None and is_tiff(psf):
            return True
        return NearMiss(
            "if it is the raw frame of a lensless camera: --format optics.lensless_tiff --option psf=FILE "
            "(format=, psf= in Python) says where the image of a point is."
        )

    def _read(self, path: Path, options: Options) -> Acquisition:
        pattern_path = beside(path, "psf") if options.psf is None else Path(options.psf)
        if pattern_path is None:
            raise DataError(
                f"{path}: no {path.stem.rpartition('_')[0]}_psf{path.suffix} beside it: give psf="
            )
        frame, pattern = (self._image(p, options) for p in (path, pattern_path))
        if frame.shape != pattern.shape:
            raise DataError(
                f"{path} is {tuple(frame.shape)} and {pattern_path} {tuple(pattern.shape)}: frame and image "
                "of a point must be of one sensor"
            )
        with naming(pattern_path):
            pattern = _without_background(pattern)
            pattern = pattern / pattern.sum((-2, -1), keepdim=True)
        with naming(path):
            frame = _without_background(frame)
            y = frame / frame.max()
            estimated = max(float(estimate_sigma(y).mean()), 1e-3)
            ny, nx = y.shape[-2:]
            size = (ny, nx) if options.scene == "sensor" else (2 * ny - 1, 2 * nx - 1)
            return acquire(
                y,
                Lensless(psf=pattern, domain=Space((y.shape[0], *size))),
                sigma=estimated if options.sigma is None else float(options.sigma),
                metadata={
                    "format": "optics.lensless_tiff",
                    "source": path.name,
                    "psf": pattern_path.name,
                    "pixels_binned": self._bin(path, options),
                    "sigma_from": "finest wavelet coefficients" if options.sigma is None else "given",
                },
                solver={
                    "name": "fista",
                    "rtol": 2e-4,
                    "max_steps": 400,
                    "prior": {"name": "tv", "rtol": 1e-3},
                },
            )

    def _image(self, path: Path, options: Options) -> Tensor:
        """Return a binned frame (channel, y, x)."""
        with naming(path):
            image = single_image(path)
            if options.bayer is not None:
                image = _colors(image, options.bayer)
            step = self._bin(path, options)
            if min(image.shape[-2:]) < 2 * step:
                raise DataError(f"{tuple(image.shape[-2:])} pixels are too few for pixels={step}")
            return torch.nn.functional.avg_pool2d(image, step)

    def _bin(self, path: Path, options: Options) -> int:
        if options.pixels is not None:
            return options.pixels
        side = min(tiff_shape(path)[-2:]) // (1 if options.bayer is None else 2)
        return max(1, math.ceil(side / _SIDE))


def _colors(image: Tensor, pattern: str) -> Tensor:
    """Return red, green and blue of blocks of 2 × 2 pixels."""
    if image.shape[0] != 1:
        raise DataError("bayer= is for raw frames of one channel")
    even = image[0, : image.shape[1] // 2 * 2, : image.shape[2] // 2 * 2]
    sites = [even[i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return torch.stack(
        [torch.stack([s for s, c in zip(sites, pattern) if c == color]).mean(0) for color in "rgb"]
    )


def _without_background(image: Tensor) -> Tensor:
    """Subtract the lowest of the medians of the four corners, a twentieth of each side long."""
    ny, nx = (max(1, n // 20) for n in image.shape[-2:])
    ends = [(y, x) for y in (slice(ny), slice(-ny, None)) for x in (slice(nx), slice(-nx, None))]
    corners = torch.stack([image[:, y, x].flatten(1).median(1).values for y, x in ends])
    held = (image - corners.amin(0)[:, None, None]).clamp_min(0)
    if not bool((held.sum((-2, -1)) > 0).all()):
        raise DataError("an image is as dark everywhere as in its corners")
    return held
