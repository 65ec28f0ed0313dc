"""Figures of fitted pupils."""

from __future__ import annotations

from typing import Any

import torch

from .fit import PupilEstimate
from .zernike import zernike_name


def plot_fit(found: PupilEstimate, *, planes: int = 5, figure: Any = None) -> Any:
    """Draw data, model and residual at several depths, the wavefront, and the aberrations with their errors.

    Parameters
    ----------
    found : PupilEstimate
    planes : int
        Number of depths.
    figure : matplotlib Figure, optional

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> from invcore_optics import Objective, PupilPSF, fit_pupil
    >>> objective, z = Objective(520e-9, 0.85), 400e-9 * torch.arange(-2.0, 3)
    >>> A = PupilPSF(objective=objective, pixel=130e-9, shape=(21, 21), modes=(11,), depths=z)
    >>> y = 1e5 * A(torch.tensor([3e-8])) + 1
    >>> found = fit_pupil(y, objective, pixel=130e-9, spacing=400e-9, modes=(8, 11))
    >>> len(plot_fit(found, planes=3).axes)  # three rows of images, wavefront, its scale, aberrations
    12
    """
    if figure is None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(2 + 1.6 * planes, 7.6), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(3, 2))
    data, model = found.data.double().cpu(), found.model.detach().double().cpu()
    background = float(found.operator.parts(found.x).background)
    depths = found.operator.pupil.depths
    chosen = torch.linspace(0, len(data) - 1, planes).round().long().tolist()
    axes = top.subplots(3, planes, squeeze=False)
    for column, k in enumerate(chosen):
        high = float(data[k].max()) - background
        for row, (name, shown) in enumerate(
            (
                ("data", data[k] - background),
                ("model", model[k] - background),
                ("data - model", data[k] - model[k]),
            )
        ):
            ax = axes[row, column]
            if row < 2:
                ax.imshow(shown.clamp_min(0).sqrt(), cmap="magma", vmin=0, vmax=max(high, 1e-9) ** 0.5)
            else:
                ax.imshow(shown / max(high, 1e-9), cmap="RdBu_r", vmin=-0.3, vmax=0.3)
            ax.set_xticks([])
            ax.set_yticks([])
            if column == 0:
                ax.set_ylabel(name)
        if depths is not None:
            axes[0, column].set_title(f"z = {1e6 * float(depths[k]):.1f} μm", fontsize=9)
    left, right = bottom.subplots(1, 2, width_ratios=(1, 2.4))
    wave = 1e9 * found.wavefront().cpu()
    limit = float(wave[torch.isfinite(wave)].abs().max())
    shown = left.imshow(wave, cmap="RdBu_r", vmin=-limit, vmax=limit)
    left.set_title(f"wavefront, {1e9 * found.rms:.0f} nm rms", fontsize=9)
    left.set_axis_off()
    bottom.colorbar(shown, ax=left, shrink=0.8, label="nm")
    order = found.operator.pupil.order
    names = [zernike_name(j, order=order) for j in found.modes]
    right.bar(
        range(len(names)), 1e9 * found.coefficients.cpu(), yerr=1e9 * found.errors.cpu(), color="steelblue"
    )
    right.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=7)
    right.set_ylabel("nm rms")
    right.axhline(0, color="black", lw=0.6)
    return figure
