"""From time tags to an acquisition, and how its reconstruction is shown and written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invcore import ParameterError
from invcore.io import Acquisition, Output

from .._depth.several_surfaces import count_surfaces
from .._depth.uncertainty import depth_deviation
from .._models.tcspc import TCSPC
from .._photons.impulse import ImpulseResponse
from .._photons.point_cloud import point_cloud, write_ply
from .._photons.tags import Histogram, TimeTags
from .._photons.units import depth_of

_COUNTS = 2**25  # in a histogram whose bins are chosen here


@dataclass(frozen=True, kw_only=True)
class SurfaceOutput(Output):
    """Shows depths beyond a distance and reflectivities, and writes ``points.ply`` and ``depth_map.png``.

    Parameters
    ----------
    surfaces : int
        K; images are (..., 2 K + 1, y, x): depths in meters, reflectivities, background.
    near : float
        From where on depths are shown, in meters: about the start of the gate.
    pitch : float, optional
        Angle between neighboring pixels in radians. Unknown: the points lie on a square grid, as wide as they are deep.
    impulse : ImpulseResponse, optional
        With it the points get an uncertainty, the Cramér-Rao bound of a pixel by itself (`depth_deviation`), and those are left out
        that differ from most of their neighbors by more than three times its width and have no more photons than background bunches
        to by chance.
    bins : int
    bin_width : float
        In seconds. Of the histogram, to judge this.

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
        """Depths, reflectivities and background, by caption."""
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
            comment += "\nuncertainty: least standard deviation in meters of a pixel by itself (Cramer-Rao)"
        if not known:
            comment += "\npitch of the pixels unknown: x and y are scaled to the range of depths"
        files = {"points": folder / "points.ply", "depth_map": folder / "depth_map.png"}
        write_ply(files["points"], cloud, comment=comment)
        save_figure(plot_surfaces(image, seen=seen), files["depth_map"])
        return files


def visible(light: Tensor, share: float = 0.05) -> Tensor:
    """Which pixels (K, y, x) see a surface: about them (3 x 3) there is a share of the reflectivity that the bright ones have.

    A single pixel without photons among others that see a surface sees it too.
    """
    mean = torch.nn.functional.avg_pool2d(light[:, None].double(), 3, 1, 1, count_include_pad=False)[:, 0]
    bright = torch.quantile(light.double().reshape(-1)[:: max(1, light.numel() // 2**20)], 0.98)
    return mean > share * bright


def agreeing(depth: Tensor, tolerance: float) -> Tensor:
    """Which pixels (K, y, x) have about the depth of most of their neighbors; what is found in background alone has not."""
    ny, nx = depth.shape[-2:]
    around = torch.nn.functional.pad(depth[:, None].double(), (1, 1, 1, 1), value=math.nan)[:, 0]
    near = [(around[:, i : i + ny, j : j + nx] - depth).abs() < tolerance for i in range(3) for j in range(3)]
    inside = torch.nn.functional.avg_pool2d(torch.ones(1, 1, ny, nx), 3, 1, 1, divisor_override=1)[0]
    return torch.stack(near).sum(0) > inside / 2  # with the pixel itself


def significant(light: Tensor, background: Tensor, bins: int, window: float) -> Tensor:
    """Which pixels (K, y, x) have more signal photons than background bunches to by chance, anywhere in the gate, in one of 100.

    ``window``, in bins, is how long the response is. The chance is that of a Poisson number in one of the windows of the gate,
    half overlapping.
    """
    mean = (background * window).clamp_min(1e-9).expand_as(light)
    chance = torch.special.gammainc((light + mean).clamp_min(1e-3), mean)  # P(count >= light + mean)
    return (light > 0) & (chance * (2 * bins / window) < 0.01)


def bin_ticks(tags: TimeTags, impulse: ImpulseResponse) -> int:
    """Ticks in a bin: a quarter of the impulse response, more if there would be too many, a divisor of the gate if one is near."""
    gate, pixels = tags.stop - tags.start, math.prod(tags.shape)
    least = max(1, round(impulse.fwhm / 4 / tags.tick), math.ceil(gate * pixels / _COUNTS))
    least = min(least, gate)
    return next((w for w in range(least, min(gate, 1 + 5 * least // 4) + 1) if gate % w == 0), least)


def acquisition(
    tags: TimeTags,
    *,
    impulse: ImpulseResponse,
    width: int | None = None,
    surfaces: int | None = None,
    pitch: float | None = None,
    metadata: Mapping[str, Any],
) -> Acquisition:
    """Return the histogram of time tags with the model that explains it.

    Parameters
    ----------
    tags : TimeTags
    impulse : ImpulseResponse
    width : int, optional
        Ticks in a bin; a quarter of the impulse response by default.
    surfaces : int, optional
        In each pixel; counted (`count_surfaces`) by default.
    pitch : float, optional
        Angle between pixels in radians.
    metadata : mapping
        Facts of the file, to which those of the tags are added.

    Returns
    -------
    Acquisition
        ``y`` is (bin, y, x).

    Raises
    ------
    ParameterError
        If a number is out of range, or the impulse response longer than the gate.
    """
    if impulse.fwhm >= tags.duration:
        raise ParameterError(
            f"the impulse response, {impulse.fwhm:.3g} s long at half maximum, does not fit into the gate of {tags.duration:.3g} s: is it "
            "given in seconds?"
        )
    counted = surfaces is None
    if surfaces is None:
        surfaces = count_surfaces(tags, impulse)
    if not (isinstance(surfaces, int) and not isinstance(surfaces, bool) and surfaces > 0):
        raise ParameterError(f"surfaces must be a positive number, got {surfaces!r}")
    if pitch is not None and not 0 < pitch < math.pi / 2:
        raise ParameterError(f"pitch is the angle between pixels in radians, got {pitch!r}")
    histogram: Histogram = tags.histogram(bin_ticks(tags, impulse) if width is None else width)
    operator = TCSPC(
        impulse=impulse,
        bins=histogram.bins,
        bin_width=histogram.bin_width,
        shape=tags.shape,
        start=histogram.start,
        surfaces=surfaces,
    )
    photons = len(tags.tags)
    facts = {
        **metadata,
        "surfaces": surfaces,
        "surfaces_from": "counted" if counted else "option",
        "photons": photons,
        "photons_per_pixel": round(photons / math.prod(tags.shape), 3),
        "gate_s": [tags.start * tags.tick, tags.stop * tags.tick],
        "range_m": [depth_of(tags.start * tags.tick), depth_of(tags.stop * tags.tick)],
        "tick_s": tags.tick,
        "bin_width_s": histogram.bin_width,
        "impulse_response": repr(impulse),
        "units": {"depth": "m", "reflectivity": "photons", "background": "photons per bin"},
    }
    return Acquisition(
        y=histogram.counts,
        physics=operator.physics(),
        metadata=facts,
        defaults={"solver": "lidar.regularized", "rtol": "0.005"},
        output=SurfaceOutput(
            impulse=impulse,
            bin_width=histogram.bin_width,
            surfaces=surfaces,
            near=math.floor(100 * depth_of(histogram.start)) / 100,
            pitch=pitch,
            bins=histogram.bins,
        ),
    )
