"""Results of the estimators of depth."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from invcore import ShapeError, Value

from .._photons.point_cloud import PointCloud, point_cloud


class DepthEstimate(Value):
    """Depths, reflectivities and background with standard deviations.

    Parameters
    ----------
    depth : Tensor, shape (K, y, x)
        Meters, nearest surface first; NaN where a pixel has no photon or fewer surfaces.
    reflectivity : Tensor, shape (K, y, x)
        Expected signal photons.
    background : Tensor, shape (1, y, x)
        Expected background photons per bin (per tick, of time tags).
    std : Tensor, shape (K, y, x)
        Standard deviation of the depths in meters; infinite where nothing is known. For pixelwise estimates
        the Cramér-Rao bound: the error if the right peak was found.

    Raises
    ------
    ShapeError
        If the maps do not fit together.

    Examples
    --------
    >>> maps = torch.ones(1, 2, 3)
    >>> e = DepthEstimate(depth=2 * maps, reflectivity=maps, background=0.01 * maps, std=0.1 * maps)
    >>> e.image().shape, len(e.point_cloud(pitch=1e-3))
    (torch.Size([3, 2, 3]), 6)
    """

    depth: Tensor
    reflectivity: Tensor
    background: Tensor
    std: Tensor

    def __post_init__(self) -> None:
        shape = self.depth.shape
        wanted = {"reflectivity": shape, "std": shape, "background": (1, *shape[1:])}
        for name, expected in wanted.items():
            got = tuple(getattr(self, name).shape)
            if self.depth.ndim != 3 or got != tuple(expected):
                raise ShapeError(
                    f"DepthEstimate: depth must be (K, y, x) and {name} fit it, got {tuple(shape)} and {got}"
                )

    def image(self) -> Tensor:
        """Return the image that `TCSPC` takes, ``(2 K + 1, y, x)``.

        NaN depths become the median of their surface, with zero reflectivity.
        """
        known = torch.isfinite(self.depth)
        middle = torch.stack([_median(d[k]) for d, k in zip(self.depth, known)])[:, None, None]
        depth = torch.where(known, self.depth, middle.to(self.depth.dtype))
        return torch.cat([depth, torch.where(known, self.reflectivity, 0.0), self.background])

    def point_cloud(
        self,
        *,
        pitch: float,
        projection: Literal["perspective", "parallel"] = "perspective",
        threshold: float = 0.0,
    ) -> PointCloud:
        """Return the points with a reflectivity above ``threshold``; see `point_cloud`."""
        return point_cloud(
            self.depth,
            self.reflectivity,
            pitch=pitch,
            projection=projection,
            threshold=threshold,
            uncertainty=self.std,
        )


def _median(values: Tensor) -> Tensor:
    return values.median() if values.numel() else values.new_zeros(())
