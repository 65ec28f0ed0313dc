"""Maps of parameters from a series of images, or straight from k-space."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from invcore import LinearOperator, ParameterError, Physics, ShapeError, Solution, cramer_rao
from invcore.noises import GaussianNoise
from invcore.operators import Mask, block_diag, least_squares
from invcore.solvers import LevenbergMarquardt

from .recovery import SpoiledGradientEcho
from .signals import SignalModel

_AT_ONCE = 2**17  # pixels that are fitted together


class MapFit(NamedTuple):
    """Maps of parameters, and how well they are known.

    Attributes
    ----------
    maps : dict of str to Tensor
        By the names of the model, each ``(..., 1, *spatial)``, times in seconds.
    deviations : dict of str to Tensor or None
        Standard deviations by the Cramér-Rao bound at the maps, for images with a noise level; of the complex
        M0 the root of the sum over both components.
    misfit : Tensor
        Euclidean norm of the residual: of each pixel, ``(..., 1, *spatial)``, for images; of each sample of
        the batch for k-space.
    """

    maps: dict[str, Tensor]
    deviations: dict[str, Tensor] | None
    misfit: Tensor


def fit_maps(
    y: Tensor,
    model: SignalModel,
    *,
    encoding: LinearOperator | None = None,
    sigma: float | None = None,
    max_steps: int = 100,
    rtol: float = 1e-5,
) -> MapFit:
    r"""Fit a signal model to images, or jointly to all of k-space.

    .. math:: \min_x \tfrac12 \|E \, S(x) - y\|^2

    by the method of Levenberg and Marquardt, from linear fits to the images (`SignalModel.start`); no
    dictionary. Images are fitted pixel by pixel. With an ``encoding`` E the maps are fitted to the data that
    were measured [1]_, so that frames explain each other: each may have far fewer samples than an image
    needs. The start then is the least-squares image of each frame.

    Parameters
    ----------
    y : Tensor
        Images ``(..., 1, frame, *spatial)``, complex; or data in the range of ``encoding``.
    model : SignalModel
        S, as `SpinEcho`.
    encoding : LinearOperator, optional
        E, from the range of the model to data, as ``Frames(Sense(maps, mask), frames)``.
    sigma : float, optional
        Standard deviation of the noise in each real component of the images, for ``deviations``.
    max_steps, rtol : int, float
        As of `invcore.solvers.LevenbergMarquardt`.

    Returns
    -------
    MapFit

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        Also for magnitudes where a model needs the sign.

    References
    ----------
    .. [1] K. T. Block, M. Uecker, J. Frahm, "Model-based iterative reconstruction for radial fast spin-echo
       MRI", IEEE Trans. Med. Imaging 28 (2009).

    Examples
    --------
    >>> from invcore_mri import SpinEcho
    >>> model = SpinEcho(torch.tensor([0.02, 0.04, 0.08]), (1, 2))
    >>> truth = model.coordinates(M0=torch.ones(1, 1, 2), T2=torch.tensor([[[0.05, 0.1]]]))
    >>> found = fit_maps(model(truth), model, sigma=0.01)
    >>> found.maps["T2"].round(decimals=4), found.deviations["T2"].round(decimals=4)
    (tensor([[[0.0500, 0.1000]]]), tensor([[[0.0019, 0.0042]]]))
    """
    if encoding is not None and sigma is not None:
        raise ParameterError(
            "fit_maps: sigma gives the deviations of maps fitted to images; for k-space ask cramer_rao("
            "Physics(encoding @ model, noise), model.coordinates(**maps), probes=..., generator=...)"
        )
    if encoding is not None:
        return _joint(y, model, encoding, max_steps, rtol)
    ndim = len(model.shape)
    shape = model.range.shape
    if tuple(y.shape[y.ndim - len(shape) :]) != shape:
        raise ShapeError(
            f"fit_maps: images must be (..., *{shape}), got {tuple(y.shape)}; k-space needs encoding="
        )
    start = model.start(y)
    batch = y.shape[: y.ndim - ndim - 2]
    pixels = torch.Size((*batch, *model.shape))
    series = y.movedim(-ndim - 1, -1).reshape(pixels.numel(), 1, -1, 1)
    first = tuple(part.reshape(pixels.numel(), 1, 1) for part in start)
    results = []
    for begin in range(0, pixels.numel(), _AT_ONCE):
        some = slice(begin, begin + _AT_ONCE)
        one = _one_pixel(model, pixels, some)
        x = _solve(series[some], one, tuple(part[some] for part in first), max_steps, rtol)
        left = torch.linalg.vector_norm(one(x) - series[some], dim=(-3, -2))
        results.append((x, None if sigma is None else _deviations(one, x, sigma), left))

    def image(parts: list[Tensor]) -> Tensor:
        return torch.cat(parts).reshape(*batch, 1, *model.shape)

    found = tuple(image([x[i] for x, _, _ in results]) for i in range(len(start)))
    deviations = None
    if sigma is not None:
        deviations = {n: image([d[n] for _, d, _ in results if d is not None]) for n in model.names}
    return MapFit(model.maps(found), deviations, image([left for _, _, left in results]))


def _one_pixel(model: SignalModel, pixels: torch.Size, some: slice) -> SignalModel:
    """The model of single pixels, a batch of them."""
    if isinstance(model, SpoiledGradientEcho) and model.transmit is not None:
        each = model.transmit.squeeze(-len(model.shape) - 1).expand(pixels).reshape(-1, 1, 1)[some]
        return dataclasses.replace(model, shape=(1,), transmit=each)
    return dataclasses.replace(model, shape=(1,))  # type: ignore[call-arg]


def _solve(
    y: Tensor, A: SignalModel, x0: tuple[Tensor, ...], max_steps: int, rtol: float
) -> tuple[Tensor, ...]:
    """The fit in the unit in which the largest magnetization is 1, so that blocks are of one size."""
    unit = float(x0[0].abs().amax()) or 1.0
    solver = LevenbergMarquardt(max_steps=max_steps, rtol=rtol, inner_rtol=1e-2)
    solution: Solution = solver.solve(y / unit, Physics(A), x0=(x0[0] / unit, *x0[1:]))
    return (unit * solution.value[0], *solution.value[1:])


def _deviations(A: SignalModel, x: tuple[Tensor, ...], sigma: float) -> dict[str, Tensor]:
    variances = cramer_rao(Physics(A, GaussianNoise(sigma=sigma)), x)
    spread = {n: v.sqrt() for n, v in zip(A.names, variances)}
    return {n: spread[n] * m if n.startswith("T") else spread[n] for n, m in A.maps(x).items()}


def _joint(y: Tensor, model: SignalModel, encoding: LinearOperator, max_steps: int, rtol: float) -> MapFit:
    if encoding.domain != model.range:
        raise ShapeError(
            f"fit_maps: the encoding acts on {encoding.domain}; {type(model).__name__} makes {model.range}"
        )
    largest = float(encoding.norm().amax())
    images: Any = least_squares(encoding, y, shift=1e-3 * largest**2, rtol=1e-3, max_steps=50)
    A, start = encoding @ model, _moderate(model, model.start(images))
    size = float(start[0].abs().amax()) or 1.0
    B = _balance(model, (start[0] / size, *start[1:]))
    first = B.pinv((start[0] / size, *start[1:]))
    solver = LevenbergMarquardt(max_steps=max_steps, rtol=rtol, inner_rtol=0.1)
    found = B(solver.solve(y / size, Physics(A @ B), x0=first).value)
    x = (size * found[0], *found[1:])
    left = torch.linalg.vector_norm((A(x) - y).flatten(y.ndim - len(encoding.range.shape)), dim=-1)  # type: ignore[union-attr]
    return MapFit(model.maps(x), None, left)


def _balance(model: SignalModel, x: tuple[Tensor, ...]) -> LinearOperator:
    """Maps in units of what changes the data by one, pixel by pixel at a start.

    A change of T2 by a percent is seen where there is signal, and hardly where there is none: without these
    units conjugate gradient takes ten times as many steps, and ends less accurate. At most tenfold.
    """
    parts = []
    for slope, space in zip(model.linearize(x).slopes, model.domain):  # type: ignore[attr-defined]
        seen = slope.abs().square().sum(-len(model.shape) - 1).sqrt()
        unit = 1 / seen.clamp_min(max(0.1 * float(seen.amax()), torch.finfo(seen.dtype).tiny))
        parts.append(Mask(unit + 0j if space.kind == "complex" else unit, space))
    return block_diag(parts)


def _moderate(model: SignalModel, x: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """A start with times within a factor of 4 of their median: from far off, as in folds, nothing pulls."""
    size = x[0].abs()
    bright = size > 0.1 * size.amax()
    found = []
    for name, part in zip(model.names, x):
        if name.startswith("T") and bool(bright.any()):
            middle = part[bright].median()
            part = part.clamp(middle - math.log(4), middle + math.log(4))
        found.append(part)
    return tuple(found)
