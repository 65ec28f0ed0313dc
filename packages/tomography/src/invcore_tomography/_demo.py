"""The scan that ``invcore demo tomography`` simulates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch

from invcore import ParameterError
from invcore.io import write_hdf5

from ._geometry.scans import parallel
from ._phantoms.shapes import shepp_logan


@dataclass(frozen=True, kw_only=True)
class SheppLoganScan:
    """A simulated parallel-beam scan of Shepp and Logan's head with few views, and the same with many.

    Counts behind the head with photon noise, flat and dark fields, a detector whose pixels differ, an axis of
    rotation off the middle: a raw file as a synchrotron writes it (DXchange), made from exact line integrals.

    Parameters
    ----------
    columns : int
        Detector pixels.
    views, full_views : int
        Numbers of views of the two scans, over half a turn.
    photons : float
        Photons per pixel and view without object in the first scan; the full one has ten times as many.
    axis : float
        Distance of the axis from the middle of the detector, in columns.

    Examples
    --------
    >>> import tempfile
    >>> scan = SheppLoganScan(columns=48, views=20, full_views=60)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     raw, full = scan.write(folder, generator=torch.Generator().manual_seed(0))
    ...     raw.name, full.name
    ('head.h5', 'head_full.h5')
    """

    columns: int = 256
    views: int = 60
    full_views: int = 720
    photons: float = 2e4
    axis: float = 3.3

    def __post_init__(self) -> None:
        if min(self.columns, self.views, self.full_views) < 8 or not self.photons > 0:
            raise ParameterError("SheppLoganScan: columns and views must be 8 or more, photons positive")
        if not abs(self.axis) < self.columns / 8:
            raise ParameterError(f"SheppLoganScan: the axis must be near the middle, got {self.axis!r}")

    def write(self, folder: str | Path, *, generator: torch.Generator) -> tuple[Path, Path]:
        """Simulate, and write two raw files.

        Parameters
        ----------
        folder : path
            An existing folder.
        generator : torch.Generator
            Source of the noise and of the pixels' sensitivities.

        Returns
        -------
        raw, full : Path
            DXchange files with few and with many views.
        """
        folder = Path(folder)
        gain = 1 + 0.1 * torch.randn(self.columns, generator=generator, dtype=torch.float64)
        paths = folder / "head.h5", folder / "head_full.h5"
        for path, views, photons in zip(
            paths, (self.views, self.full_views), (self.photons, 10 * self.photons)
        ):
            self._write(path, views, photons * gain.clamp_min(0.2), generator)
        return paths

    def _write(self, path: Path, views: int, beam: torch.Tensor, generator: torch.Generator) -> None:
        angles = torch.arange(views, dtype=torch.float64) * math.pi / views
        center = (self.columns - 1) / 2 + self.axis
        geometry = parallel(angles, columns=self.columns, center_of_rotation=center)
        radius = 0.43 * self.columns
        head = shepp_logan(radius=radius, scale=2.5 / radius, dtype=torch.float64)
        through = beam * torch.exp(-head.project(geometry)[0])
        offset = 100.0  # of the camera

        def counted(mean: torch.Tensor) -> np.ndarray:
            return (offset + torch.poisson(mean, generator=generator)).float().numpy()[:, None]

        def fill(file: h5py.File) -> None:
            file["implements"] = "exchange"
            file["exchange/data"] = counted(through)
            file["exchange/data_white"] = counted(beam.expand(20, -1))
            file["exchange/data_dark"] = np.full((5, 1, self.columns), offset, np.float32)
            file["exchange/theta"] = torch.rad2deg(angles).numpy()
            file["exchange/theta"].attrs["units"] = "degrees"
            file["measurement/sample/name"] = "Shepp-Logan phantom"

        write_hdf5(path, fill)
