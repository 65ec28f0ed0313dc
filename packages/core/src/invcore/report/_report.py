"""`write_report`: one HTML file with the image, its quality, and how it was made."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from .._errors import DtypeError
from .._files.atomic import atomic_path
from ..io._png import color_map, panels, part_of, window_of
from ..io._provenance import plain
from . import _html as h
from ._figures import DARK, LIGHT, _convergence, as_curve, error_panels, figure_png

_LABELS = {
    "mae": "MAE",
    "mse": "MSE",
    "nmse": "NMSE",
    "nrmse": "NRMSE",
    "psnr": "PSNR in dB",
    "ssim": "SSIM",
}
"""Display names of metrics."""


def write_report(
    path: str | os.PathLike[str],
    x: Tensor,
    *,
    title: str = "Reconstruction",
    subtitle: str = "",
    caption: str = "Reconstruction",
    spatial_dims: int = 2,
    voxel_size: Sequence[float] | None = None,
    reference: Tensor | None = None,
    compared: Tensor | None = None,
    others: Mapping[str, Tensor] | None = None,
    verdict: Sequence[str] = (),
    figures: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    metrics_note: str = "",
    residual: Tensor | None = None,
    residual_note: str = "",
    statistics: Mapping[str, Any] | None = None,
    tolerances: Mapping[str, float] | None = None,
    metadata: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a self-contained HTML report, atomically.

    The page loads nothing from elsewhere, runs no script, follows the reader's light or dark setting, and
    escapes every text it is given. Everything but the image is optional.

    Parameters
    ----------
    path : path
        Where to write, such as ``report.html``.
    x : Tensor, shape (batch..., channel, *spatial)
        The reconstruction. In 3-D the three central slices are shown.
    title, subtitle : str
        Heading, and a line below it such as the name of the file.
    caption : str
        What ``x`` shows.
    spatial_dims : int
        Number of trailing spatial dimensions of the images.
    voxel_size : sequence of float, optional
        Of each spatial dimension, in any one unit: pictures have the shape of the object.
    reference : Tensor, optional
        What the reconstruction is compared with; an error map is then shown.
    compared : Tensor, optional
        What is compared with ``reference`` if it is not ``x`` itself: for example its magnitude after a
        scalar fit. Same shape as ``reference``.
    others : mapping of str to Tensor, optional
        More images by caption, such as the zero-filled one.
    verdict : sequence of str, optional
        How far to believe the image, sentences for the top; the first one stands out.
    figures : mapping, optional
        Key figures for the tiles at the top, already formatted: ``{"NRMSE": "0.062", "time": "2.1 s"}``.
    metrics : mapping of str to float or Tensor, optional
        Values by name; a tensor holds one per sample. Registered names are spelled out.
    metrics_note : str
        How they were computed.
    residual : Tensor, shape (rows, columns), optional
        (y - A x)/σ as a picture of the data; without negative values it is drawn on a logarithmic scale.
    residual_note : str
        What it shows.
    statistics : mapping of str to array, optional
        Values by iteration, shape ``(steps,)`` or ``(steps, batch)``: objective, residual.
    tolerances : mapping of str to float, optional
        Value at which a statistic ends the iteration.
    metadata : mapping, optional
        What the file says about the measurement.
    provenance : mapping, optional
        As `invcore.io.provenance` makes.

    Raises
    ------
    ShapeError, DtypeError
    DataError
        If the file cannot be written.
    """
    if not isinstance(x, Tensor):
        raise DtypeError(f"write_report: x must be a torch.Tensor, got {type(x).__name__}.")
    record = dict(plain(provenance or {}))
    command = record.pop("command", None)
    parts = [_header(title, subtitle, record)]
    if verdict:
        parts.append(_verdict(verdict))
    if figures:
        parts.append(h.key_figures(figures))
    parts.append(_images(x, caption, reference, others or {}, spatial_dims, voxel_size))
    quality = _metrics(metrics, metrics_note) if metrics else ""
    if reference is not None:
        error, single = _error(x if compared is None else compared, reference, spatial_dims, voxel_size)
        parts.append(f'<div class="pair">{error}{quality}</div>' if single and quality else error + quality)
    else:
        parts.append(quality)
    if residual is not None:
        parts.append(_residual(residual, residual_note))
    if statistics and any(as_curve(v).size for v in statistics.values()):
        parts.append(_convergence_section(statistics, tolerances))
    if metadata:
        parts.append(h.section("Measurement", h.record_table(plain(metadata))))
    if record or command:
        parts.append(_provenance_section(command, record))
    parts.append(f"<footer>{h.text('Made by invcore' + _version(record))}</footer>")
    page = h.document(title, "".join(parts))
    with atomic_path(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _version(record: Mapping[str, Any]) -> str:
    versions = record.get("versions")
    return f" {versions['invcore']}" if isinstance(versions, Mapping) and "invcore" in versions else ""


def _header(title: str, subtitle: str, record: Mapping[str, Any]) -> str:
    date = str(record.get("date", "")).replace("T", " ").replace("+00:00", " UTC")
    line = " · ".join(part for part in (subtitle, date) if part)
    below = f'<p class="subtitle">{h.text(line)}</p>' if line else ""
    return f'<header><div class="brand">invcore</div><h1>{h.text(title)}</h1>{below}</header>'


def _verdict(sentences: Sequence[str]) -> str:
    first, *rest = (h.text(sentence) for sentence in sentences)
    return f"<section><strong>{first}</strong>{''.join(f'<br>{sentence}' for sentence in rest)}</section>"


def _images(
    x: Tensor,
    caption: str,
    reference: Tensor | None,
    others: Mapping[str, Tensor],
    spatial_dims: int,
    voxel_size: Sequence[float] | None,
) -> str:
    shown = [(caption, x, "magnitude")]
    shown += [("Reference", reference, "magnitude")] if reference is not None else []
    shown += [(name, image, "magnitude") for name, image in others.items()]
    shown += [("Phase", x, "phase")] if x.is_complex() else []
    if all(len(panels(image, spatial_dims=spatial_dims, limit=2)[0]) == 1 for _, image, _ in shown):
        cells = []  # one picture each: side by side, each with its own window
        for name, image, part in shown:
            pictures, below, _ = _pictures(name, image, spatial_dims, part, voxel_size)
            cells.append(f"<div>{pictures[0]}{below}</div>")
        parts = [_grid(cells, spatial_dims)]
    else:
        parts = []
        for name, image, part in shown:
            pictures, below, more = _pictures(name, image, spatial_dims, part, voxel_size)
            parts += [f"<h3>{h.text(name)}</h3>", _grid(pictures, spatial_dims), below, more]
    note = (
        "The window of each image reaches from 0, or its least value, to the 99.8th percentile; values "
        "outside are clipped. Red marks values that are not numbers."
    )
    return h.section("Images", *parts, f'<p class="note">{note}</p>')


def _grid(cells: list[str], spatial_dims: int) -> str:
    kind = (
        " three"
        if spatial_dims == 3
        else " large"
        if len(cells) in (1, 2, 4)
        else " wide"
        if len(cells) == 3
        else ""
    )
    return f'<div class="panels{kind}">{"".join(cells)}</div>'


def _pictures(
    name: str, image: Tensor, spatial_dims: int, part: str, voxel_size: Sequence[float] | None
) -> tuple[list[str], str, str]:
    """All panels of one image, the color bar of their common window, and how many are left out."""
    found, left_out = panels(image, spatial_dims=spatial_dims, voxel_size=voxel_size)
    arrays = [part_of(p.image, part) for p in found]
    window = (-np.pi, np.pi) if part == "phase" else window_of(arrays)
    cmap = color_map(part)
    detail = "magnitude" if part == "magnitude" and image.is_complex() and not found[0].label else ""
    cells = [
        h.picture(a, window=window, cmap=cmap, title=p.label or name, detail=detail)
        for a, p in zip(arrays, found)
    ]
    ends = {"low": "−π", "high": "π", "note": "radian"} if part == "phase" else {}
    more = f'<p class="note">{left_out} more pictures are not shown.</p>' if left_out else ""
    return cells, h.color_bar(window, cmap, **ends), more


def _error(
    x_hat: Tensor, reference: Tensor, spatial_dims: int, voxel_size: Sequence[float] | None
) -> tuple[str, bool]:
    """The section with the error map, and whether it is a single picture."""
    found, top, percent = error_panels(x_hat, reference, spatial_dims, voxel_size)
    cmap, window = color_map("error"), (0.0, top)
    cells = [h.picture(p.image, window=window, cmap=cmap, title=p.label or "Absolute error") for p in found]
    note = (
        f"|reconstruction − reference|; the scale ends at {percent:g} % of the largest value of the "
        f"reference, which is {h.number(float(reference.abs().max()))}."
    )
    bar = h.color_bar(window, cmap, note=f"= {percent:g} % of maximum")
    section = h.section("Error", _grid(cells, spatial_dims), bar, f'<p class="note">{h.text(note)}</p>')
    return section, len(cells) == 1


def _metrics(metrics: Mapping[str, Any], note: str) -> str:
    values = {
        _LABELS.get(name, name): (
            v.detach().cpu().double().reshape(-1).tolist() if isinstance(v, Tensor) else np.ravel(v).tolist()
        )
        for name, v in metrics.items()
    }
    samples = max(len(v) for v in values.values())
    if samples == 1:
        body = h.table(("Metric", "Value"), [(n, h.number(v[0])) for n, v in values.items()])
    else:
        shown = min(samples, 16)
        head = ("Metric", "Mean", *(f"Sample {i + 1}" for i in range(shown)))
        rows = [
            (n, h.number(float(np.mean(v))), *(h.number(e) for e in v[:shown])) for n, v in values.items()
        ]
        body = h.table(head, rows)
        if samples > shown:
            note = f"{note} {samples - shown} more samples count in the mean.".strip()
    return h.section("Metrics", body, f'<p class="note">{h.text(note)}</p>' if note else "")


def _residual(residual: Tensor, note: str) -> str:
    image, cmap = residual.detach().cpu().numpy(), color_map("real")
    signed = bool((image < 0).any())
    window, ends = (-4.0, 4.0), {"low": "−4", "high": "4"}
    if not signed:
        image, window, ends = np.log10(np.maximum(image, 0.1)), (-1.0, 1.0), {"low": "0.1", "high": "10"}
    title = "(data − model)/noise" if signed else "|data − model|/noise, logarithmic"
    cell = h.picture(image, window=window, cmap=cmap, title=title)
    bar = h.color_bar(window, cmap, **ends)
    return h.section("Residual of the data", _grid([cell], 2), bar, f'<p class="note">{h.text(note)}</p>')


def _convergence_section(statistics: Mapping[str, Any], tolerances: Mapping[str, float] | None) -> str:
    light, dark = (
        h.data_uri(figure_png(_convergence(statistics, theme, tolerances=tolerances)))
        for theme in (LIGHT, DARK)
    )
    names = " and ".join(statistics)
    chart = (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img class="chart" src="{light}" alt="{h.text(names)} over the iterations"></picture>'
    )
    rows = []
    for name, values in statistics.items():
        curve = as_curve(values)
        if curve.size:
            rows.append(
                (name, h.number(float(curve[0].mean())), h.number(float(curve[-1].mean())), len(curve))
            )
    summary = h.table(("Statistic", "First", "Last", "Iterations"), rows)
    return h.section("Convergence", chart, summary)


def _provenance_section(command: Any, record: Mapping[str, Any]) -> str:
    parts = []
    if command:
        parts.append(f"<pre><code>{h.text(command)}</code></pre>")
    if record:
        parts.append(
            "<details><summary>Versions, components and every "
            f"parameter</summary>{h.record_table(record)}</details>"
        )
    return h.section("How it was made", *parts)
