"""Plots of visibilities: uv coverage, amplitudes, and the dirty beam."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from .._data.visibilities import Visibilities
from .weighting import dirty_beam

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_UNITS = ((1e9, "Gλ"), (1e6, "Mλ"), (1e3, "kλ"), (1.0, "λ"))
_ANGLES = ((1.0, "arcsec"), (1e-3, "mas"), (1e-6, "µas"))


def plot_coverage(vis: Visibilities, axes: Axes | None = None) -> Axes:
    """Plot the coverage of the (u, v) plane, both halves; u grows to the left, as east does in images.

    Parameters
    ----------
    vis : Visibilities
    axes : matplotlib.axes.Axes, optional
        Axes to draw in; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = _axes(axes)
    uv = vis.uv_wavelengths()[vis.mask.any(-1)].cpu()
    scale, unit = _scale(float(uv.abs().max()) if uv.numel() else 1.0)
    both = (torch.cat([uv, -uv]) / scale).numpy()
    axes.scatter(both[:, 0], both[:, 1], s=2, linewidths=0)
    reach = 1.05 * abs(both).max() if both.size else 1.0
    axes.set(
        xlim=(reach, -reach), ylim=(-reach, reach), xlabel=f"u ({unit})", ylabel=f"v ({unit})", aspect="equal"
    )
    return axes


def plot_amplitude(vis: Visibilities, axes: Axes | None = None, *, model: Visibilities | None = None) -> Axes:
    """Plot amplitude against baseline length, with error bars.

    Parameters
    ----------
    vis : Visibilities
    axes : matplotlib.axes.Axes, optional
        Axes to draw in; a new figure by default.
    model : Visibilities, optional
        Visibilities of a model at the same baselines, drawn over the data.

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = _axes(axes)
    good = vis.mask
    distance = vis.uv_distance()[..., None].expand_as(vis.data)
    scale, unit = _scale(float(distance[good].max()) if bool(good.any()) else 1.0)
    for k, name in enumerate(vis.polarizations):
        at = good[..., k]
        x, y = (distance[..., k][at] / scale).cpu().numpy(), vis.data[..., k][at].abs().cpu().numpy()
        error = vis.sigma[..., k][at].cpu().numpy()
        axes.errorbar(x, y, error, fmt=".", markersize=3, elinewidth=0.5, label=name)
        if model is not None:
            values = model.data[..., min(k, model.data.shape[-1] - 1)][at].abs().cpu().numpy()
            axes.plot(x, values, ".", markersize=2, label=f"{name}, model")
    axes.set(xlabel=f"√(u² + v²) ({unit})", ylabel="amplitude (Jy)")
    axes.set_ylim(bottom=0)
    if model is not None or len(vis.polarizations) > 1:
        axes.legend()
    return axes


def plot_dirty_beam(
    vis: Visibilities,
    axes: Axes | None = None,
    *,
    shape: tuple[int, int] = (128, 128),
    pixel: float | None = None,
) -> Axes:
    """Plot the dirty beam: the response to a point source at the phase center.

    Parameters
    ----------
    vis : Visibilities
        With several correlations, the first one is used.
    axes : matplotlib.axes.Axes, optional
        Axes to draw in; a new figure by default.
    shape : (int, int)
        Pixels of the beam, (y, x).
    pixel : float, optional
        Size of a pixel in radians; a fifth of the resolution by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = _axes(axes)
    one = vis.select(polarizations=vis.polarizations[:1])
    pixel = vis.resolution() / 5 if pixel is None else pixel
    beam = dirty_beam(one, shape=shape, pixel=pixel)[0].cpu().numpy()
    extent, unit = sky_extent(shape, pixel)
    shown = axes.imshow(beam, extent=extent, cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set(xlabel=f"east ({unit})", ylabel=f"north ({unit})")
    axes.figure.colorbar(shown, ax=axes)
    return axes


def sky_extent(shape: tuple[int, int], pixel: float) -> tuple[tuple[float, float, float, float], str]:
    """Return the ``extent`` of an image for `matplotlib.axes.Axes.imshow`, and its unit.

    Parameters
    ----------
    shape : (int, int)
        Pixels of the image, (y, x).
    pixel : float
        Size of a pixel in radians.

    Returns
    -------
    extent : (float, float, float, float)
        Offsets from the phase center of the left, right, bottom and top edge; east is to the left.
    unit : str
        ``"arcsec"``, ``"mas"`` or ``"µas"``, chosen by the size of the field.

    Examples
    --------
    >>> extent, unit = sky_extent((4, 4), math.radians(1e-3 / 3600))
    >>> [round(edge, 3) for edge in extent], unit
    ([2.5, -1.5, -1.5, 2.5], 'mas')
    """
    ny, nx = shape
    step = math.degrees(pixel) * 3600
    scale, unit = next((s for s in _ANGLES if max(shape) * step >= s[0]), _ANGLES[-1])
    step /= scale
    left, top = (nx // 2 + 0.5) * step, (ny // 2 + 0.5) * step
    return (left, left - nx * step, top - ny * step, top), unit


def _axes(axes: Any) -> Any:
    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.subplots()[1]
    return axes


def _scale(largest: float) -> tuple[float, str]:
    return next((s for s in _UNITS if largest >= s[0]), _UNITS[-1])
