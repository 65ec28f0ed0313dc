"""Simulated measurement for ``invcore demo optics``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from invcore import ParameterError
from invcore.operators import Space

from ._cameras.single_pixel import SinglePixel
from ._io.single_pixel import write_single_pixel


@dataclass(frozen=True, kw_only=True)
class TargetScan:
    """Simulated photon counts of a single-pixel camera of a test target, with few patterns and with all.

    The target is a star of spokes on a gradient. A modulator shows pairs of Hadamard patterns, those of few
    blocks first, each for the same time, and a detector counts photons. The files are those of
    `write_single_pixel`.

    Parameters
    ----------
    size : int
        Pixels of the image on a side, a power of two.
    fraction : float
        Share of the patterns in the first file.
    photons : float
        Photons from a pixel of brightness 1 in the first scan, all its patterns together; the full one has
        ten times as many per pattern.

    Examples
    --------
    >>> import tempfile
    >>> scan = TargetScan(size=16)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     raw, full = scan.write(folder, generator=torch.Generator().manual_seed(0))
    ...     raw.name, full.name
    ('target.mat', 'target_full.mat')
    """

    size: int = 128
    fraction: float = 0.25
    photons: float = 4e5

    def __post_init__(self) -> None:
        n = self.size
        if not isinstance(n, int) or n < 8 or n & (n - 1):
            raise ParameterError(f"TargetScan: size must be a power of two, 8 or more, got {n!r}")
        if not 0 < self.fraction <= 1 or not 0 < self.photons < math.inf:
            raise ParameterError(
                f"TargetScan: 0 < fraction <= 1 and photons > 0, got {self.fraction!r}, {self.photons!r}"
            )

    def write(self, folder: str | Path, *, generator: torch.Generator) -> tuple[Path, Path]:
        """Simulate and write two files.

        Parameters
        ----------
        folder : path
            Existing folder.
        generator : torch.Generator
            Source of the photons.

        Returns
        -------
        raw, full : Path
            MATLAB files with some of the patterns, and with all.
        """
        target = test_target(self.size)
        shown = max(1, round(self.fraction * self.size**2))
        dwell = self.photons / shown  # photons per pattern and pixel of brightness 1
        paths = Path(folder) / "target.mat", Path(folder) / "target_full.mat"
        for path, m, time in zip(paths, (shown, self.size**2), (dwell, 10 * dwell)):
            camera = SinglePixel(
                "hadamard",
                Space((1, self.size, self.size)),
                order="cake_cutting",
                measurements=m,
                detection="pairs",
                dwell=time,
            )
            mean = camera(target.double()).clamp_min(0)
            write_single_pixel(path, torch.poisson(mean, generator=generator), camera)
        return paths


def test_target(size: int) -> Tensor:
    """Return a picture (1, size, size) of spokes around a disc, between 0 and 1."""
    place = (torch.arange(size, dtype=torch.float64) + 0.5) / size * 2 - 1
    y, x = place[:, None], place[None, :]
    radius = torch.hypot(y, x)
    spokes = torch.sigmoid(8 * torch.sin(12 * torch.atan2(y, x)))
    picture = torch.where(radius < 0.85, 0.1 + 0.8 * spokes, 0.05 + 0.2 * (x + 1) / 2)
    picture = torch.where(radius < 0.25, 0.55 + 0.35 * y.expand(size, size), picture)
    return picture.float()[None]
