"""Simulated scan for ``invcore demo lidar``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from invcore import ParameterError

from ._io.mat import write_mat
from ._photons.impulse import ImpulseResponse
from ._photons.scene import simulate_tags, still_life
from ._photons.units import time_of_flight


@dataclass(frozen=True, kw_only=True)
class StillLifeScan:
    """Simulated time tags of a still life in daylight, with few photons and with many.

    A scanning lidar with pulses of 400 ps images `still_life` at 2 to 3.5 m, with a gate three times as long
    as the scene is deep. The files are those of `write_mat`.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``.
    photons, full_photons : float
        Mean signal photons per pixel of the two scans.
    signal_to_background : float
        Signal photons over background photons in the gate.

    Examples
    --------
    >>> import tempfile
    >>> scan = StillLifeScan(shape=(16, 20))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     raw, full = scan.write(folder, generator=torch.Generator().manual_seed(0))
    ...     raw.name, full.name
    ('still_life.mat', 'still_life_full.mat')
    """

    shape: tuple[int, int] = (96, 120)
    photons: float = 2.0
    full_photons: float = 60.0
    signal_to_background: float = 0.5

    def __post_init__(self) -> None:
        good = len(self.shape) == 2 and all(isinstance(n, int) and n > 3 for n in self.shape)
        if not good or not 0 < self.photons < self.full_photons < math.inf:
            raise ParameterError(
                "StillLifeScan: shape must be (ny, nx), four or more each, and 0 < photons < full_photons, "
                f"got {self.shape!r}, {self.photons!r}, {self.full_photons!r}"
            )
        if not self.signal_to_background > 0:
            raise ParameterError("StillLifeScan: signal_to_background must be positive")

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
            MATLAB files with few and with many photons.
        """
        fwhm, near, far = 400e-12, 2.0, 3.5
        scene = still_life(self.shape, near=near, far=far)
        gate = time_of_flight(near - (far - near)), time_of_flight(far + (far - near))
        paths = Path(folder) / "still_life.mat", Path(folder) / "still_life_full.mat"
        for path, photons in zip(paths, (self.photons, self.full_photons)):
            tags = simulate_tags(
                *scene,
                impulse=ImpulseResponse.gaussian(fwhm=fwhm),
                photons=photons,
                signal_to_background=self.signal_to_background,
                generator=generator,
                tick=4e-12,
                gate=gate,
            )
            write_mat(path, tags, fwhm=fwhm, pitch=0.5 / max(self.shape))
        return paths
