"""Proximal operators of misfits of intensities, as functions of the magnitude of the field."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invcore import Fidelity, ParameterError, Space
from invcore.fidelities import Amplitude, LeastSquares, PoissonKL
from invcore.spaces import per_sample


def check_misfit(name: str, fidelity: Fidelity) -> None:
    """Raise unless `magnitude_prox` knows the proximal operator of a misfit.

    Examples
    --------
    >>> check_misfit("A solver", Amplitude())
    """
    known = isinstance(fidelity, Amplitude | LeastSquares | PoissonKL)
    shifted = isinstance(fidelity, PoissonKL) and bool((torch.as_tensor(fidelity.background) > 0).any())
    if not known or shifted:
        what = "PoissonKL with a background" if known else type(fidelity).__name__
        raise ParameterError(
            f"{name} knows the misfits Amplitude, PoissonKL without background and LeastSquares, and got "
            f"{what}: give it fidelity=Amplitude()"
        )


def magnitude_prox(fidelity: Fidelity, size: Tensor, y: Tensor, step: Tensor, space: Space) -> Tensor:
    r"""argmin over r ≥ 0 of f(r²; y) + (r - a)²/(2 step), the global one, at each entry.

    With a = ``size`` and t the step over σ² or γ, the r of

    .. math::
        \text{Amplitude:}\quad & r = \frac{a + t \sqrt y}{1 + t} \\
        \text{PoissonKL:}\quad & r = \frac{a + \sqrt{a^2 + 8 t (1 + 2t)\, y}}{2 (1 + 2t)} \\
        \text{LeastSquares:}\quad & \text{the largest root of } 2t\, r^3 + (1 - 2t y)\, r = a.

    Parameters
    ----------
    fidelity : Amplitude, PoissonKL or LeastSquares
        Of the intensities.
    size, y : Tensor, shape (..., *space.shape)
        a ≥ 0, and intensities.
    step : Tensor, shape (batch...)
    space : Space
        Of the data.

    Returns
    -------
    Tensor, shape (..., *space.shape)

    References
    ----------
    H. Chang, P. Enfedaque, S. Marchesini, "Blind ptychographic phase retrieval via convergent alternating
    direction method of multipliers", SIAM J. Imaging Sci. 12 (2019), for the first two.

    Examples
    --------
    >>> y, a, space = torch.tensor([4.0]), torch.tensor([1.0]), Space((1,))
    >>> magnitude_prox(Amplitude(), a, y, torch.tensor(1.0), space)
    tensor([1.5000])
    """
    y = y.clamp_min(0)
    t: Any = per_sample(step / _scale(fidelity), space)
    if isinstance(fidelity, Amplitude):
        return (size + t * y.sqrt()) / (1 + t)
    if isinstance(fidelity, PoissonKL):
        return (size + (size.square() + 8 * t * (1 + 2 * t) * y).sqrt()) / (2 * (1 + 2 * t))
    return _largest_root(size, y, t)


def magnitude_curvature(fidelity: Fidelity, y: Tensor, space: Space) -> Tensor:
    """Second derivative of the misfit along the magnitude where it fits, shape (batch...).

    1/σ² of Amplitude, 4/γ of PoissonKL, and 4y/σ² of LeastSquares, of the mean of the data.
    """
    one = torch.ones(y.shape[: y.ndim - len(space.shape)], dtype=y.dtype, device=y.device)
    if isinstance(fidelity, LeastSquares):
        mean = y.clamp_min(0).flatten(y.ndim - len(space.shape)).mean(-1)
        one = torch.where(mean > 0, mean, 1)
    factor = 1 if isinstance(fidelity, Amplitude) else 4
    return factor * one / _scale(fidelity)


def _scale(fidelity: Any) -> Any:
    """σ² or γ: what divides the misfit."""
    if isinstance(fidelity, PoissonKL):
        return fidelity.gain
    return 1 / fidelity.precision() if isinstance(fidelity, LeastSquares) else fidelity.sigma**2


def _largest_root(a: Tensor, y: Tensor, t: Tensor) -> Tensor:
    """The largest root of 2t r³ + (1 - 2t y) r - a, for a ≥ 0.

    By the formulas of Viète and their hyperbolic relatives; two steps of Newton's method carry first and
    second derivatives.
    """
    with torch.no_grad():
        p, q = (1 / (2 * t) - y) / 3, a / (4 * t)  # r³ + 3p r = 2q
        s = p.abs().sqrt().clamp_min(torch.finfo(a.dtype).tiny)
        ratio = q / s**3
        three = torch.where(
            ratio <= 1,
            torch.cos(torch.acos(ratio.clamp(0, 1)) / 3),
            torch.cosh(torch.acosh(ratio.clamp_min(1)) / 3),
        )
        r = 2 * s * torch.where(p < 0, three, torch.sinh(torch.asinh(ratio) / 3))
        r = torch.where(torch.isfinite(r), r, (2 * q) ** (1 / 3))
    for _ in range(2):
        slope = 1 + 2 * t * (3 * r.square() - y)
        left = 2 * t * r**3 + (1 - 2 * t * y) * r - a
        r = r - torch.where(slope > 0, left / torch.where(slope > 0, slope, 1), 0)
    return r.clamp_min(0)
