"""Pictures and files of a reconstructed lidar image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invcore.io import Output

from .._depth.uncertainty import depth_deviation
from .._photons.impulse import ImpulseResponse
from .._photons.point_cloud import point_cloud, write_ply
from .._photons.units import depth_of
from .._photons.visible import agreeing, significant, visible


@dataclass(frozen=True, kw_only=True)
class SurfaceOutput(Output):
    """Pictures of depths and reflectivities; files ``points.ply`` and ``depth_map.png``.

    Parameters
    ----------
    surfaces : int
        K; images are (..., 2 K + 1, y, x): depths in meters, reflectivities, background.
    near : float
        Zero of the displayed depths in meters, about the start of the gate.
    pitch : float, optional
        Angle between neighboring pixels in radians. If unknown, points lie on a square grid as wide as their
        range of depths.
    impulse : ImpulseResponse, optional
        With it the points have an uncertainty, the Cramér-Rao bound of a single pixel (`depth_deviation`),
        and points are omitted that differ from most of their neighbors by more than three response widths and
        have no more photons than clusters of background.
    bins : int
        Bins of the histogram, which set the size of clusters of background.
    bin_width : float
        Bin width in seconds.

    Examples
    --------
    >>> output = SurfaceOutput(surfaces=1, near=100.0)
    >>> pictures = output.pictures(torch.full((3, 4, 4), 101.5))
    >>> list(pictures)
    ['Depth beyond 100 m', 'Reflectivity', 'Background']
    >>> pictures["Depth beyond 100 m"].max().item()
    1.5
    """

    fit_scale = False

    surfaces: int
    near: float
    pitch: float | None = None
    impulse: ImpulseResponse | None = None
    bins: int = 1
    bin_width: float = 1.0

    def pictures(self, x: Tensor) -> Mapping[str, Tensor]:
        """Return depths, reflectivities and background by caption."""
        k = self.surfaces
        depth, light, background = x.split([k, k, 1], dim=-3)
        ordinal = [""] if k == 1 else [f" of surface {i + 1}" for i in range(k)]
        shown: dict[str, Tensor] = {}
        for i, which in enumerate(ordinal):
            shown[f"Depth{which} beyond {self.near:.6g} m"] = depth[..., i : i + 1, :, :] - self.near
        for i, which in enumerate(ordinal):
            shown[f"Reflectivity{which}"] = light[..., i : i + 1, :, :]
        return {**shown, "Background": background}

    def write(self, folder: Path, x: Tensor, record: Mapping[str, Any]) -> Mapping[str, Path]:
        """Write the first image of a batch as a point cloud, and its depths in color."""
        from invcore.report import save_figure

        from .._photons.plots import plot_surfaces

        image = x.reshape(-1, *x.shape[-3:])[0].detach().double()
        depth, light, background = image.split([self.surfaces, self.surfaces, 1])
        seen = visible(light)
        if self.impulse is not None:
            span = self.impulse.fwhm
            alone = significant(light, background, self.bins, max(1.0, 2 * span / self.bin_width))
            seen &= alone | agreeing(depth, 3 * depth_of(span))
        spread = (depth[seen].max() - depth[seen].min()).item() if bool(seen.any()) else 1.0
        known = self.pitch is not None
        cloud = point_cloud(
            torch.where(seen, depth, math.nan),
            light,
            pitch=self.pitch if self.pitch is not None else max(spread, 1e-6) / depth.shape[-1],
            projection="perspective" if known else "parallel",
            threshold=-1.0,
            uncertainty=None
            if self.impulse is None
            else depth_deviation(light, background, impulse=self.impulse, bin_width=self.bin_width),
        )
        comment = "distances in meters from the sensor; intensity in signal photons"
        if cloud.uncertainty is not None:
            comment += "\nuncertainty: least standard deviation in meters of a single pixel (Cramer-Rao)"
        if not known:
            comment += "\npitch of the pixels unknown: x and y are scaled to the range of depths"
        files = {"points": folder / "points.ply", "depth_map": folder / "depth_map.png"}
        write_ply(files["points"], cloud, comment=comment)
        save_figure(plot_surfaces(image, seen=seen), files["depth_map"])
        return files
