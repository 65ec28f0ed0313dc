"""Imaging weights, the dirty image and the dirty beam."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from invcore import ParameterError

from .._data.visibilities import Visibilities
from .._operators.interferometer import Interferometer

Weighting = Literal["natural", "uniform", "briggs"]


def imaging_weights(
    vis: Visibilities,
    *,
    shape: tuple[int, int],
    pixel: float,
    weighting: Weighting = "natural",
    robust: float = 0.0,
) -> Tensor:
    """Compute the weights of the data in a dirty image; zero where flagged.

    With ω = 1/σ² and W the sum of ω over the cell of the (u, v) plane that contains the datum or its
    conjugate, natural weights are ω, uniform weights ω/W, and Briggs weights

    .. math:: w = ω/(1 + f² W),  f² = (5 · 10^{-R})² Σ ω / Σ_{cells} W²,

    which range from uniform (R = -2) to natural (R = 2). Cells have the size 1/(field of view). The weights
    shape the dirty beam only; the likelihood always uses 1/σ².

    Parameters
    ----------
    vis : Visibilities
        Visibilities of one correlation.
    shape : (int, int)
        Pixels of the image, (y, x).
    pixel : float
        Size of a pixel in radians.
    weighting : {"natural", "uniform", "briggs"}
    robust : float
        Robustness R of Briggs weights.

    Returns
    -------
    Tensor, shape (row, frequency)
        Weights in double precision.

    Raises
    ------
    ParameterError
        If the weighting is unknown, or a baseline is too long for the pixels.

    References
    ----------
    D. S. Briggs, "High fidelity deconvolution of moderately resolved sources", Ph.D. thesis, New Mexico Tech
    (1995), Ch. 3.

    Examples
    --------
    >>> from invcore_radio import vla
    >>> vis = vla("D").observe(hour_angles=(-1.0, 1.0))
    >>> w = imaging_weights(vis, shape=(64, 64), pixel=5e-5, weighting="uniform")
    >>> w.shape == (len(vis), 1)
    True
    """
    vis._single("imaging_weights")
    natural = torch.where(vis.mask, vis.weight, 0)[..., 0].double()
    if weighting == "natural":
        return natural
    if weighting not in ("uniform", "briggs"):
        raise ParameterError(
            f"imaging_weights: weighting must be 'natural', 'uniform' or 'briggs', got {weighting!r}"
        )
    if weighting == "briggs" and not math.isfinite(robust):
        raise ParameterError(
            f"imaging_weights: robust must be a number, between -2 and 2 as a rule, got {robust!r}"
        )
    ny, nx = shape
    u, v = vis.uv_wavelengths().unbind(-1)
    columns, lines = (u * nx * pixel).round().long(), (v * ny * pixel).round().long()
    if bool(((columns.abs() > nx // 2) | (lines.abs() > ny // 2))[natural > 0].any()):
        raise ParameterError(
            f"imaging_weights: pixels of {pixel:.3g} rad are too large for the longest baselines; take at "
            "most "
            f"{vis.resolution() / 2:.3g} rad"
        )
    across = 2 * (nx // 2) + 1
    middle = (ny // 2) * across + nx // 2
    reach = middle + 1
    offset = (lines * across + columns).clamp(-middle, middle)
    cells = torch.zeros(middle + reach, dtype=torch.float64, device=natural.device)
    for sign in (1, -1):  # the image is real, so each datum also counts at (-u, -v)
        cells.index_add_(0, (middle + sign * offset).flatten(), natural.flatten())
    own = cells[middle + offset]
    if weighting == "uniform":
        return torch.where(natural > 0, natural / torch.where(own > 0, own, 1), 0)
    factor = (5 * 10 ** (-robust)) ** 2 * 2 * natural.sum() / (cells**2).sum()
    return natural / (1 + factor * own)


def dirty_image(
    vis: Visibilities,
    *,
    shape: tuple[int, int],
    pixel: float,
    weighting: Weighting = "natural",
    robust: float = 0.0,
    w_term: bool = True,
    accuracy: float = 1e-6,
) -> Tensor:
    """Compute the dirty image in Jy/beam, the weighted adjoint of the data; a point of 1 Jy has height 1.

    Parameters
    ----------
    vis : Visibilities
        Visibilities of one correlation.
    shape, pixel, weighting, robust
        As in `imaging_weights`.
    w_term, accuracy
        As in `Visibilities.physics`.

    Returns
    -------
    Tensor, shape (1, y, x)

    Examples
    --------
    >>> from invcore_radio import simulate, vla
    >>> vis = vla("D").observe(hour_angles=(-1.0, 1.0))
    >>> image = torch.zeros(1, 64, 64)
    >>> image[0, 20, 30] = 1.0
    >>> dirty = dirty_image(simulate(vis, image, pixel=5e-5), shape=(64, 64), pixel=5e-5)
    >>> divmod(int(dirty.argmax()), 64), round(float(dirty.max()), 3)
    ((20, 30), 1.0)
    """
    weights = imaging_weights(vis, shape=shape, pixel=pixel, weighting=weighting, robust=robust)
    return _imaged(vis, vis.values() * weights.to(vis.dtype), weights, shape, pixel, w_term, accuracy)


def dirty_beam(
    vis: Visibilities,
    *,
    shape: tuple[int, int],
    pixel: float,
    weighting: Weighting = "natural",
    robust: float = 0.0,
    accuracy: float = 1e-6,
) -> Tensor:
    """Compute the dirty beam (point spread function), with a peak of 1 at the pixel (ny//2, nx//2).

    Parameters
    ----------
    vis : Visibilities
        Visibilities of one correlation.
    shape, pixel, weighting, robust
        As in `imaging_weights`; CLEAN needs a beam twice as large as the image.
    accuracy : float
        Relative accuracy of the transform.

    Returns
    -------
    Tensor, shape (1, y, x)
    """
    weights = imaging_weights(vis, shape=shape, pixel=pixel, weighting=weighting, robust=robust)
    y = weights.to(vis.data.dtype)
    return _imaged(vis, y, weights, shape, pixel, True, accuracy)


def _imaged(
    vis: Visibilities,
    y: Tensor,
    weights: Tensor,
    shape: tuple[int, int],
    pixel: float,
    w_term: bool,
    accuracy: float,
) -> Tensor:
    total = float(weights.sum())
    if total == 0:
        raise ParameterError("dirty_image: everything is flagged")
    operator = Interferometer(
        uvw=vis.uvw, frequencies=vis.frequencies, shape=shape, pixel=pixel, w_term=w_term, accuracy=accuracy
    )
    return operator.H(y) / total
