"""Pictures of scans."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from invcore import ParameterError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .geometry import Geometry


def plot(geometry: Geometry, ax: Axes | None, views: int) -> Axes:
    """Draw a scan; see `Geometry.plot`."""
    import matplotlib.pyplot as plt

    if not isinstance(views, int) or views < 1:
        raise ParameterError(f"plot: views must be a positive int, got {views!r}")
    space = geometry.ndim == 3
    axes: Any = ax if ax is not None else plt.figure().add_subplot(projection="3d" if space else None)
    if space and not hasattr(axes, "get_zlim"):
        raise ParameterError("plot: a scan in 3-D needs axes made with projection='3d'")
    _draw_grid(axes, geometry)
    shown = np.unique(np.linspace(0, geometry.views - 1, min(views, geometry.views)).round().astype(int))
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(shown)))
    part = geometry[shown.tolist()].to("cpu")
    origin, direction = (_first(t, part.batch) for t in part.rays())
    pixels = _first(part.pixels(), part.batch)
    reach = 1.2 * float(np.linalg.norm(geometry.grid.extent)) / 2
    middle = np.array(geometry.grid.center[::-1])
    for k, (view, color) in enumerate(zip(shown, colors)):
        panel, start, way = pixels[k], origin[k], direction[k]
        if (
            geometry.beam == "parallel"
        ):  # the detector may stand anywhere along the rays: draw it behind the image
            distance = reach - (panel - middle) @ way.reshape(-1, way.shape[-1])[0]
            panel = panel + distance.mean() * way
            start = panel - 2 * reach * way
        else:
            axes.plot(*_point(start), marker="o", color=color, ms=5, ls="", label=f"source, view {view}")
        _draw_panel(axes, panel, color, None if geometry.beam == "divergent" else f"detector, view {view}")
        for end in _corners(panel):
            axes.plot(*np.stack([start[end], panel[end]]).T, color=color, lw=0.6, alpha=0.5)
    if geometry.beam == "divergent" and len(geometry.source.shape) == 2:
        path = geometry.source.detach().cpu().numpy()
        axes.plot(*path.T, color="0.6", lw=0.8, ls=":", label="path of the source")
    axes.set_xlabel("x [m]")
    axes.set_ylabel("y [m]")
    if space:
        axes.set_zlabel("z [m]")
    axes.set_aspect("equal")
    axes.legend(fontsize="x-small", loc="upper left", bbox_to_anchor=(1.02, 1.0))
    return axes


def _first(t: Any, batch: Any) -> np.ndarray:
    return t.detach().expand(*batch, *t.shape[len(batch) :])[(0,) * len(batch)].numpy()


def _point(start: np.ndarray) -> list[np.ndarray]:
    return [np.atleast_1d(c) for c in start.reshape(-1, start.shape[-1])[0]]


def _corners(panel: np.ndarray) -> list[tuple[int, ...]]:
    return list(itertools.product((0, -1), repeat=panel.ndim - 1))


def _draw_panel(axes: Any, panel: np.ndarray, color: Any, label: str | None) -> None:
    if panel.ndim == 2:
        axes.plot(*panel.T, color=color, lw=2.5, solid_capstyle="butt", label=label)
        return
    border = np.concatenate([panel[0], panel[1:, -1], panel[-1, ::-1], panel[::-1, 0]])
    axes.plot(*border.T, color=color, lw=1.5, label=label)


def _draw_grid(axes: Any, geometry: Geometry) -> None:
    low = np.array(geometry.grid.center[::-1]) - np.array(geometry.grid.extent[::-1]) / 2
    high = low + np.array(geometry.grid.extent[::-1])
    ends = list(itertools.product(*zip(low, high)))
    for a, b in itertools.combinations(ends, 2):
        if sum(p != q for p, q in zip(a, b)) == 1:
            first = a == ends[0] and b == ends[1]
            axes.plot(*np.stack([a, b]).T, color="0.2", lw=1.2, label="image" if first else None)
