"""Matplotlib figures of images, errors and convergence. Matplotlib is imported when one is made."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from torch import Tensor

from .._errors import ParameterError, ShapeError
from .._files.atomic import atomic_path
from ..io._png import Panel, color_map, panels, part_of, window_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Theme:
    """Colors of a figure."""

    text: str
    muted: str
    grid: str
    line: str


LIGHT = Theme(text="#1f2933", muted="#5f6b7a", grid="#e1e6ec", line="#1f6fb2")
DARK = Theme(text="#e6eaf0", muted="#9aa7b6", grid="#313a46", line="#6cb3f0")


def image_figure(
    x: Tensor,
    *,
    spatial_dims: int = 2,
    part: Literal["magnitude", "phase"] = "magnitude",
    window: tuple[float, float] | None = None,
    title: str = "",
) -> Figure:
    """Draw magnitude or phase with a color bar; in 3-D the three central slices.

    Parameters
    ----------
    x : Tensor, shape (batch..., channel, *spatial)
    spatial_dims : int
    part : {"magnitude", "phase"}
        Phase is drawn in radians with a cyclic color map.
    window : tuple of float, optional
        Least and largest value shown; by default from 0 to the 99.8th percentile.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import torch
    >>> figure = image_figure(torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0)))
    >>> len(figure.axes)  # the picture and its color bar
    2
    """
    if part not in ("magnitude", "phase"):
        raise ParameterError(f"image_figure: part must be 'magnitude' or 'phase', got {part!r}.")
    found, _ = panels(x, spatial_dims=spatial_dims)
    shown = [Panel(p.label, part_of(p.image, part)) for p in found]
    if window is None:
        window = (-np.pi, np.pi) if part == "phase" else window_of([p.image for p in shown])
    return _row(shown, window, color_map(part), title, "radian" if part == "phase" else "")


def error_figure(
    x_hat: Tensor,
    x: Tensor,
    *,
    spatial_dims: int = 2,
    title: str = "",
    voxel_size: Sequence[float] | None = None,
) -> Figure:
    """Draw ``|x_hat - x|`` with its scale: the largest value is a round fraction of the largest of ``x``.

    If just one of the two is complex, magnitudes are compared.

    Parameters
    ----------
    x_hat, x : Tensor, shape (batch..., channel, *spatial)
        Reconstruction and reference.
    spatial_dims : int
    title : str
        By default the scale.
    voxel_size : sequence of float, optional
        Of each spatial dimension, in any one unit.

    Returns
    -------
    matplotlib.figure.Figure
    """
    found, top, percent = error_panels(x_hat, x, spatial_dims, voxel_size)
    title = title or f"Absolute error, 0 to {percent:g} % of maximum"
    return _row(found, (0.0, top), color_map("error"), title, "")


def error_panels(
    x_hat: Tensor, x: Tensor, spatial_dims: int, voxel_size: Sequence[float] | None = None
) -> tuple[list[Panel], float, float]:
    """Absolute error as panels, the largest value to show, and that value in percent of max |x|."""
    if x_hat.shape != x.shape:
        raise ShapeError(
            f"error map: x_hat and x must have the same shape, got {tuple(x_hat.shape)} and {tuple(x.shape)}."
        )
    if x_hat.is_complex() != x.is_complex():
        x_hat, x = x_hat.abs(), x.abs()
    found, _ = panels((x_hat - x).abs(), spatial_dims=spatial_dims, voxel_size=voxel_size)
    reference = float(x.detach().abs().max()) or 1.0
    values = np.concatenate([p.image.ravel() for p in found])
    values = values[np.isfinite(values)]
    high = 100 * float(np.percentile(values, 99.5)) / reference if values.size else 100.0
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
    percent = next((s for s in steps if high <= s * (1 + 1e-6)), 100 * float(np.ceil(high / 100 - 1e-6)))
    return found, percent / 100 * reference, percent


def convergence_figure(
    statistics: Mapping[str, Any], *, title: str = "", tolerances: Mapping[str, float] | None = None
) -> Figure:
    """Draw one curve per statistic over the iterations, one below the other.

    Positive values that span more than a factor of 20, or have a tolerance, are drawn on a logarithmic axis.

    Parameters
    ----------
    statistics : mapping of str to array
        Values by iteration, shape ``(steps,)`` or ``(steps, batch)``; of a batch every sample is drawn.
    title : str
    tolerances : mapping of str to float, optional
        Value at which a statistic ends the iteration, drawn as a dashed line.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> len(convergence_figure({"objective": [3.0, 2.0, 1.5], "residual": [1.0, 0.1, 0.01]}).axes)
    2
    """
    return _convergence(statistics, LIGHT, title, tolerances)


def _convergence(
    statistics: Mapping[str, Any],
    theme: Theme,
    title: str = "",
    tolerances: Mapping[str, float] | None = None,
) -> Figure:
    curves = {name: array for name, v in statistics.items() if (array := as_curve(v)).size}
    if not curves:
        raise ParameterError("convergence_figure: there is no statistic with any value.")
    figure = _new_figure(7.2, 0.5 + 1.9 * len(curves))
    axes = np.atleast_1d(figure.subplots(len(curves), 1, sharex=True))
    for ax, (name, values) in zip(axes, curves.items()):
        steps = np.arange(1, len(values) + 1)
        finite = values[np.isfinite(values)]
        wanted = (tolerances or {}).get(name, 0.0)
        if finite.size and finite.min() > 0 and (wanted > 0 or finite.max() > 20 * finite.min()):
            ax.set_yscale("log")
        if wanted > 0:
            ax.axhline(wanted, color=theme.muted, linewidth=1.0, linestyle="--")
            ax.annotate(
                f"wanted {wanted:.1e}",
                (0, wanted),
                (4, 3),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                fontsize=8,
                color=theme.muted,
            )
        many = values.shape[1] > 1
        ax.plot(
            steps,
            values,
            color=theme.line,
            linewidth=1.0 if many else 1.8,
            alpha=0.55 if many else 1.0,
            marker="o" if len(steps) <= 30 else "",
            markersize=3,
        )
        ax.set_ylabel(_plain_text(name), color=theme.text, fontsize=9)
        _style(ax, theme)
    axes[-1].set_xlabel("iteration", color=theme.text, fontsize=9)
    axes[-1].xaxis.get_major_locator().set_params(integer=True)
    figure.align_ylabels(list(axes))
    if title:
        figure.suptitle(_plain_text(title), color=theme.text, fontsize=11)
    return figure


def as_curve(values: Any) -> np.ndarray:
    """Values of a statistic as an array ``(steps, batch)``."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    elif isinstance(values, list | tuple) and any(isinstance(v, Tensor) for v in values):
        values = [
            np.asarray(v.detach().cpu() if isinstance(v, Tensor) else v, dtype=float).ravel() for v in values
        ]
    array = np.asarray(values, dtype=float)
    if not array.size:
        return np.empty((0, 1))
    return array.reshape(len(array), -1) if array.ndim else array.reshape(1, 1)


def save_figure(figure: Figure, path: str | os.PathLike[str], *, dpi: int = 150) -> None:
    """Write a figure atomically; the ending of the name gives the format (``.png``, ``.svg``, ``.pdf``)."""
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=dpi)


def figure_png(figure: Figure, *, dpi: int = 160) -> bytes:
    """A figure as PNG with a transparent background."""
    buffer = io.BytesIO()
    options: dict[str, Any] = {"Software": None}
    figure.savefig(buffer, format="png", dpi=dpi, transparent=True, metadata=options)
    return buffer.getvalue()


def _new_figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _row(found: list[Panel], window: tuple[float, float], cmap: str, title: str, label: str) -> Figure:
    columns = 3 if len(found) % 3 == 0 else min(len(found), 4)
    rows = -(-len(found) // columns)
    ratio = max(p.image.shape[0] / p.image.shape[1] for p in found)
    figure = _new_figure(2.9 * columns + 0.9, min(max(ratio, 0.3), 3.0) * 2.9 * rows + 0.45)
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    shown = None
    for ax, panel in zip(axes, found):
        shown = ax.imshow(panel.image, cmap=cmap, vmin=window[0], vmax=window[1], interpolation="nearest")
        ax.set_title(panel.label, fontsize=9, color=LIGHT.muted)
    for ax in axes:
        ax.set_axis_off()
    if shown is not None:
        bar = figure.colorbar(shown, ax=list(axes), fraction=0.05, pad=0.02)
        bar.ax.tick_params(labelsize=8, colors=LIGHT.muted)
        bar.outline.set_visible(False)
        bar.set_label(_plain_text(label), fontsize=8, color=LIGHT.muted)
    if title:
        figure.suptitle(_plain_text(title), fontsize=11, color=LIGHT.text)
    return figure


def _style(ax: Axes, theme: Theme) -> None:
    ax.grid(True, color=theme.grid, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(colors=theme.muted, labelsize=8, length=0, which="both")
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.grid)


def _plain_text(text: str) -> str:
    """Text that Matplotlib does not take for a formula."""
    return str(text).replace("$", r"\$")
