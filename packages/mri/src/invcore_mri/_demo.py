"""Simulated scan for ``invcore demo mri``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ._io.cfl import write_cfl
from ._phantom.scan import simulate
from ._sampling.masks import MaskPoisson


@dataclass(frozen=True, kw_only=True)
class PhantomScan:
    """Simulated multi-coil scan of a head, undersampled and fully sampled.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)``.
    coils : int
    acceleration : float
        Undersampling factor of the Poisson-disc pattern.
    sigma : float
        Standard deviation of the noise in each real component of k-space; the magnitude of the image is at
        most about 1.

    Examples
    --------
    >>> import tempfile
    >>> scan = PhantomScan(shape=(64, 64), coils=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     raw, full = scan.write(folder, generator=torch.Generator().manual_seed(0))
    ...     raw.name, full.name
    ('head.cfl', 'head_full.cfl')
    """

    shape: tuple[int, int] = (256, 224)
    coils: int = 8
    acceleration: float = 4.0
    sigma: float = 0.02

    def write(self, folder: str | Path, *, generator: torch.Generator) -> tuple[Path, Path]:
        """Simulate, and write two raw files.

        Parameters
        ----------
        folder : path
            Existing folder.
        generator : torch.Generator
            Source of the anatomy, the sampling pattern and the noise.

        Returns
        -------
        raw, full : Path
            BART files of the undersampled and of the fully sampled scan.
        """
        mask = MaskPoisson(shape=self.shape, acceleration=self.acceleration)(generator=generator)
        scan = simulate(self.shape, coils=self.coils, sigma=self.sigma, generator=generator)
        folder = Path(folder)
        raw, full = folder / "head.cfl", folder / "head_full.cfl"
        write_cfl(raw, _bart(scan.kspace * mask))
        write_cfl(full, _bart(scan.kspace))
        return raw, full


def _bart(kspace: Tensor) -> Tensor:
    """(coil, y, x) in BART's order: (1, y, x, coil)."""
    return kspace.movedim(0, -1).unsqueeze(0)
