"""Simulated observation of a radio galaxy for ``invcore demo radio``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from invcore import ParameterError
from invcore.io import provenance, save_reconstruction

from ._data.arrays import simulate, vla
from ._io.acquire import GRID, default_pixel
from ._io.uvfits_writer import write_uvfits


@dataclass(frozen=True, kw_only=True)
class RadioGalaxyObservation:
    """Simulated observation of a radio galaxy (core, two jets, two lobes) by an array like the VLA.

    Writes visibilities with noise and a few flags as UVFITS, and the true image on the default grid of the
    reader.

    Parameters
    ----------
    antennas : int
        Number of antennas, a multiple of 3.
    hours : float
        Length of the observation.
    interval : float
        Integration time in seconds.
    sigma : float
        Noise of the real and of the imaginary part, in Jy.
    flux : float
        Total flux of the source, in Jy.

    Examples
    --------
    >>> import tempfile
    >>> observation = RadioGalaxyObservation(antennas=6, hours=1.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     raw, truth = observation.write(folder, generator=torch.Generator().manual_seed(0))
    ...     raw.name, truth.name
    ('galaxy.uvfits', 'galaxy_truth.h5')
    """

    antennas: int = 27
    hours: float = 6.0
    interval: float = 300.0
    sigma: float = 0.02
    flux: float = 10.0

    def __post_init__(self) -> None:
        if not (0 < self.hours <= 12 and self.interval > 0 and self.sigma > 0 and self.flux > 0):
            raise ParameterError(
                "RadioGalaxyObservation: hours (at most 12), interval, sigma and flux must be positive"
            )

    def write(self, folder: str | Path, *, generator: torch.Generator) -> tuple[Path, Path]:
        """Simulate and write both files.

        Parameters
        ----------
        folder : path
            Existing folder.
        generator : torch.Generator
            Random numbers for noise and flags.

        Returns
        -------
        raw, truth : Path
            The UVFITS file and the true image.
        """
        folder = Path(folder)
        empty = vla("C", antennas=self.antennas).observe(
            phase_center=(math.radians(187.7), math.radians(42.4)),
            hour_angles=(-self.hours / 2, self.hours / 2),
            interval=self.interval,
            frequencies=[4.86e9],
            bandwidth=5e7,
            sigma=self.sigma,
            source="GALAXY",
        )
        bad = torch.rand(empty.flag.shape, generator=generator) < 0.02
        bad &= (
            empty.uv_distance()[..., None] < 0.99 * empty.uv_distance().max()
        )  # keep the longest, which sets the grid
        image = radio_galaxy(GRID) * self.flux
        vis = simulate(empty.replace(flag=bad), image, pixel=default_pixel(empty), generator=generator)
        raw, truth = folder / "galaxy.uvfits", folder / "galaxy_truth.h5"
        write_uvfits(raw, vis)
        record = provenance(seed=generator.initial_seed(), parameters={"observation": self})
        del record["date"]  # the same seed gives the same bytes
        save_reconstruction(truth, image, record, spatial_dims=2)
        return raw, truth


def radio_galaxy(size: int, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw a radio galaxy of total flux 1: a core, two jets, two lobes with bright ends, and a neighbor.

    Parameters
    ----------
    size : int
        Pixels on a side.
    dtype : torch.dtype

    Returns
    -------
    Tensor, shape (1, size, size)

    Examples
    --------
    >>> round(radio_galaxy(64).sum().item(), 5)
    1.0
    """
    at = (torch.arange(size, dtype=torch.float64) - size // 2) / size
    north, east = -at[:, None], -at[None, :]
    turn = math.radians(35)
    along = east * math.cos(turn) + north * math.sin(turn)
    across = -east * math.sin(turn) + north * math.cos(turn)

    def blob(a: float, b: float, length: float, width: float) -> Tensor:
        return torch.exp(-(((along - a) / length) ** 2) / 2 - ((across - b) / width) ** 2 / 2)

    image = 3.0 * blob(0, 0, 0.006, 0.006)
    for side, bend in ((1, 0.02), (-1, -0.03)):
        for k in range(1, 9):  # knots of the jet
            image = image + (0.6 if side > 0 else 0.25) * blob(
                side * 0.026 * k, bend * (k / 9) ** 2, 0.010, 0.006
            )
        image = (
            image
            + 0.45 * blob(side * 0.25, bend * 1.5, 0.045, 0.035)
            + 1.2 * blob(side * 0.285, bend, 0.012, 0.014)
        )
        image = image + 0.2 * blob(side * 0.19, bend * 2, 0.06, 0.03)
    image = image + 0.8 * blob(0.05, -0.25, 0.006, 0.006)
    return (image / image.sum()).to(dtype)[None]
