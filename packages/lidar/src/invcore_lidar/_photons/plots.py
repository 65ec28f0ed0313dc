"""Pictures of depth, reflectivity, histograms and point clouds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from invcore import ShapeError

from .impulse import ImpulseResponse
from .point_cloud import PointCloud
from .tags import Histogram
from .units import depth_of
from .visible import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_surfaces(
    image: Tensor,
    *,
    truth: Tensor | None = None,
    threshold: float | None = None,
    seen: Tensor | None = None,
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Draw depth (color) and reflectivity (gray) of every surface; depth is blank where none is visible.

    Parameters
    ----------
    image : Tensor, shape (2 K + 1, y, x) or (2 K, y, x)
        Depths in meters, reflectivities in photons, and optionally the background.
    truth : Tensor, shape (K, y, x), optional
        Depths whose range sets the color scale; by default the visible depths, 1st to 99th percentile.
    threshold : float, optional
        Smallest reflectivity of a visible surface; by default a twentieth of that of bright pixels, averaged
        over 3 x 3 pixels.
    seen : Tensor, shape (K, y, x), bool, optional
        Visible pixels, instead of a threshold.
    title : str
    figure : matplotlib.figure.Figure, optional
        Figure to draw in; a new one by default.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        If the image is not one image with these channels.

    Examples
    --------
    >>> from invcore_lidar import still_life
    >>> figure = plot_surfaces(torch.cat(still_life((32, 32))))
    >>> [ax.get_title() for ax in figure.axes if ax.get_title()]
    ['Depth', 'Reflectivity']
    """
    from matplotlib.figure import Figure

    if image.ndim != 3 or image.shape[0] < 2:
        raise ShapeError(f"plot_surfaces: the image must be (2 K + 1, y, x), got {tuple(image.shape)}")
    k = image.shape[0] // 2
    values = image.detach().cpu().double()
    depth, light = values[:k], values[k : 2 * k]
    if seen is None:
        seen = visible(light) if threshold is None else light > threshold
    ny, nx = image.shape[-2:]
    if figure is None:
        figure = Figure(figsize=(8.4, 0.4 + k * min(6.0, 3.7 * ny / nx)), layout="constrained")
    drawn_in: list[Axes] = []
    for i in range(k):
        reference = depth[i][seen[i]] if truth is None else truth[i].detach().cpu().double().reshape(-1)
        reference = reference[torch.isfinite(reference)]
        low, high = np.percentile(reference.numpy(), (1, 99)) if len(reference) else (0.0, 1.0)
        name = "" if k == 1 else f" of surface {i + 1}"
        ax = figure.add_subplot(k, 2, 2 * i + 1, title=f"Depth{name}")
        drawn_in.append(ax)
        shown = np.where(seen[i].numpy(), depth[i].numpy(), np.nan)
        drawn = ax.imshow(shown, cmap="turbo", vmin=low, vmax=high, interpolation="nearest")
        figure.colorbar(drawn, ax=ax, label="m", fraction=0.046)
        ax = figure.add_subplot(k, 2, 2 * i + 2, title=f"Reflectivity{name}")
        drawn_in.append(ax)
        bright = float(torch.quantile(light[i].reshape(-1)[: 2**24], 0.995))
        drawn = ax.imshow(light[i].numpy(), cmap="gray", vmin=0, vmax=bright or 1.0, interpolation="nearest")
        figure.colorbar(drawn, ax=ax, label="photons", fraction=0.046)
    for ax in drawn_in:
        ax.set_xticks([])
        ax.set_yticks([])
    if title:
        figure.suptitle(title)
    return figure


def plot_point_cloud(
    cloud: PointCloud,
    *,
    elevation: float = 15.0,
    azimuth: float = -65.0,
    points: int = 60_000,
    size: float = 1.0,
    figure: Figure | None = None,
) -> Figure:
    """Draw a point cloud in perspective, colored by distance, its brightness by intensity.

    Parameters
    ----------
    cloud : PointCloud
    elevation, azimuth : float
        Direction of the viewer in degrees.
    points : int
        Largest number of points to draw; a larger cloud is thinned evenly.
    size : float
        Marker size.
    figure : matplotlib.figure.Figure, optional
        Figure to draw in; a new one by default.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> len(plot_point_cloud(PointCloud(torch.rand(10, 3))).axes)
    1
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    every = max(1, -(-len(cloud) // points))
    xyz = cloud.points[::every].detach().cpu().double().numpy()
    if figure is None:
        figure = Figure(figsize=(6, 5.4), layout="constrained")
    ax: Any = figure.add_subplot(projection="3d")
    if len(xyz):
        low, high = np.percentile(xyz[:, 2], (1, 99))
        colors = colormaps["turbo"](np.clip((xyz[:, 2] - low) / max(high - low, 1e-12), 0, 1))
        if cloud.intensity is not None:
            light = cloud.intensity[::every].detach().cpu().double().numpy()
            bright = np.percentile(light, 98) or 1.0
            colors[:, :3] *= np.clip(light / bright, 0.15, 1)[:, None]
        ax.scatter(xyz[:, 0], xyz[:, 2], -xyz[:, 1], c=colors, s=size, linewidths=0)
        extent = np.ptp(xyz, axis=0) + 1e-9
        ax.set_box_aspect((extent[0], extent[2], extent[1]))
    ax.set(xlabel="x in m", ylabel="distance in m", zlabel="height in m")
    ax.view_init(elev=elevation, azim=azimuth)
    return figure


def plot_histogram(
    histogram: Histogram, *, pixel: tuple[int, int] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the photon counts over distance, summed over all pixels or of one.

    Parameters
    ----------
    histogram : Histogram
    pixel : tuple of int, optional
        Row and column; all pixels by default.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> ax = plot_histogram(Histogram(counts=torch.ones(4, 2, 2), bin_width=1e-9))
    >>> ax.get_xlabel()
    'distance in m'
    """
    ax = _axes(ax)
    counts = histogram.counts.detach().cpu()
    counts = counts if counts.ndim == 3 else counts.reshape(-1, *counts.shape[-3:])[0]
    drawn = counts.sum((-2, -1)) if pixel is None else counts[:, pixel[0], pixel[1]]
    ax.stairs(drawn.numpy(), depth_of(histogram.edges()).numpy(), fill=pixel is None)
    where = "all pixels" if pixel is None else f"pixel {pixel[0]}, {pixel[1]}"
    ax.set(xlabel="distance in m", ylabel="photons per bin", title=where)
    return ax


def plot_impulse(impulse: ImpulseResponse, *, ax: Axes | None = None, label: str | None = None) -> Axes:
    """Draw an impulse response.

    Parameters
    ----------
    impulse : ImpulseResponse
    ax : matplotlib.axes.Axes, optional
    label : str, optional

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> plot_impulse(ImpulseResponse.gaussian(fwhm=1e-9)).get_xlabel()
    'time in ns'
    """
    ax = _axes(ax)
    low, high = impulse.interval(1e-4)
    t = torch.linspace(low, high, 600, dtype=torch.float64)
    with torch.no_grad():
        density = impulse.to(torch.float64).density(t)
    ax.plot(t.numpy() * 1e9, density.cpu().numpy() * 1e-9, label=label)
    ax.set(xlabel="time in ns", ylabel="density in 1/ns")
    if label:
        ax.legend()
    return ax


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=(6, 3.2), layout="constrained").add_subplot()
