"""Regularization weights from the noise level, by way of Tikhonov problems for all weights at once.

With b = Aᴴy and the solution x_s of (AᴴA + s) x = b, Stein's unbiased estimate of the prediction risk is, up
to a constant,

    SURE(s) = ‖y - A x_s‖² + 2σ² tr(AᴴA (AᴴA + s)⁻¹).

k Lanczos steps from b give the first term, and k steps from a random probe the second (stochastic Lanczos
quadrature), as rational functions of s: every s is then free. Where the noise level is unknown, generalized
cross-validation takes the place of SURE and gives an estimate of σ² with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from ._errors import ParameterError
from ._krylov.base import dot
from ._physics import Physics
from ._value import full_precision
from .fidelities import Fidelity, LeastSquares, WeightedLeastSquares
from .noises import GaussianNoise, NoNoise
from .operators import LinearOperator, Mask, Space, least_squares
from .operators._spectrum import flat_gram, lanczos
from .spaces import flatten, real_size_of

_STEPS = 40
_GRID = torch.logspace(-7, 0.5, 76, dtype=torch.float64)
"""Shifts tried, relative to the largest eigenvalue of AᴴA."""


Rule = Literal["auto", "sure", "gcv", "discrepancy", "lcurve"]


@dataclass(frozen=True)
class Weight:
    """A regularization weight, and a starting point where the rule for the weight yields one.

    Attributes
    ----------
    value : float or Tensor, shape (batch...)
        λ.
    x0 : Tensor, shape (batch..., *domain.shape), optional
    """

    value: float | Tensor
    x0: Any = None


class Ridge(NamedTuple):
    """A Tikhonov weight: λ, the shift λσ² of AᴴA, and the noise variance that was assumed or found."""

    weight: Tensor
    shift: Tensor
    variance: Tensor


@torch.no_grad()
@full_precision
def ridge_weight(y: Any, physics: Physics, rule: Rule = "auto", *, fidelity: Fidelity | None = None) -> Ridge:
    """Find the weight λ of ½λ‖x‖² from all weights at once, by one of four rules.

    Parameters
    ----------
    y : Tensor or tuple of Tensor, shape (batch..., *range.shape)
    physics : Physics
        A linear operator. The noise level is known if the noise is random.
    rule : {"auto", "sure", "gcv", "discrepancy", "lcurve"}
        ``"sure"``: least unbiased estimate of the prediction risk, for a known noise level. ``"gcv"``:
        generalized cross-validation [1]_, which needs none. ``"discrepancy"``: ‖Ax - y‖ = σ√m, for a known
        noise level [2]_. ``"lcurve"``: the corner, where the curvature is largest, of log ‖x‖ over log ‖Ax -
        y‖ [3]_, which needs no noise level and promises nothing. ``"auto"``: SURE for the samples whose noise
        level is known, cross-validation for the others.
    fidelity : Fidelity, optional
        Least squares, or weighted least squares; by default the likelihood of the noise.

    Returns
    -------
    Ridge
        Tensors of shape (batch...).

    Raises
    ------
    ParameterError
        If the rule needs the noise level and the physics does not state it, the fidelity is not least
        squares, or the operator is not linear.

    References
    ----------
    .. [1] G. Golub, M. Heath, G. Wahba, "Generalized cross-validation as a method for choosing a good ridge
       parameter", Technometrics 21 (1979); G. Golub and U. von Matt, "Generalized cross-validation for
       large-scale problems", J. Comput. Graph. Stat. 6 (1997).
    .. [2] V. Morozov, "On the solution of functional equations by the method of regularization", Soviet Math.
       Dokl. 7 (1966).
    .. [3] P. Hansen, "Analysis of discrete ill-posed problems by means of the L-curve", SIAM Rev. 34 (1992).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> physics = Physics(Identity((100,)), GaussianNoise(sigma=1.0))
    >>> y = torch.full((100,), 2.0)
    >>> ridge_weight(y, physics, "discrepancy").weight.round(decimals=1)  # λ/(1 + λ) · 2 = 1
    tensor(1.)
    """
    if rule not in get_args(Rule):
        raise ParameterError(f"ridge_weight: rule must be one of {', '.join(get_args(Rule))}, got {rule!r}")
    y, physics, fidelity = _whitened(y, physics, fidelity)
    A = physics.operator
    assert isinstance(A, LinearOperator)
    gram = flat_gram(A)
    b = flatten(A._apply_adjoint(y), A.domain)
    n = real_size_of(A.domain)
    steps = min(_STEPS, n)
    theta, first = lanczos(gram, b, steps).eigh()
    theta = theta.clamp_min(0)
    power = first**2 * dot(b, b).double().unsqueeze(-1)
    probe = torch.randn(n, generator=torch.Generator().manual_seed(0)).to(b)
    probe_theta, probe_first = lanczos(gram, probe.expand_as(b), steps).eigh()
    probe_theta = probe_theta.clamp_min(0)

    top = theta[..., -1:].clamp_min(1e-100)
    shifts = _GRID.to(top.device) * top  # (batch..., grid)
    s, t, w = shifts.unsqueeze(-1), theta.unsqueeze(-2), power.unsqueeze(-2)
    # ‖y - A x_s‖² without its constant: Σ w s²/(θ (θ + s)²) over the Krylov part of the data
    safe = torch.where(t > 1e-14 * top.unsqueeze(-1), t, torch.inf)
    misfit = (w * s**2 / (safe * (t + s) ** 2)).sum(-1)
    freedom = n * (
        probe_first.unsqueeze(-2) ** 2 * (probe_theta.unsqueeze(-2) / (probe_theta.unsqueeze(-2) + s))
    ).sum(-1)

    data = flatten(y, A.range).double()
    measured = (data != 0).sum(-1)  # entries that are exactly zero were not sampled
    inside = (power / torch.where(theta > 1e-14 * top, theta, torch.inf)).sum(-1)
    outside = (dot(data, data) - inside).clamp_min(0)
    rest = (measured.unsqueeze(-1) - freedom).clamp_min(1e-9)
    residual = misfit + outside.unsqueeze(-1)
    known = noise_variance(physics).to(data.device).unsqueeze(-1)  # 0: not known
    if rule in ("sure", "discrepancy") and not bool((known > 0).all()):
        raise ParameterError(
            f"the rule {rule!r} needs the noise level: state it, as in noise=GaussianNoise(sigma=...), "
            "or use 'gcv' or 'lcurve'"
        )
    score = residual / rest**2  # generalized cross-validation
    if rule in ("auto", "sure"):
        score = torch.where(known > 0, misfit + 2 * known * freedom, score)
    elif rule == "discrepancy":
        score = (residual.log() - (known * measured.unsqueeze(-1)).log()).abs()
    elif rule == "lcurve":
        # below the smallest Ritz value the curve ends
        resolved = torch.where(safe.isinf(), torch.inf, t).amin(-1)
        bend = _bend(residual.log(), (w / (t + s) ** 2).sum(-1).log())
        score = torch.where(shifts > 2 * resolved, -bend, torch.inf)
    best = score.argmin(-1, keepdim=True)
    variance = torch.where(known > 0, known, (residual / rest).gather(-1, best)).squeeze(-1)
    shift = shifts.expand(score.shape).gather(-1, best).squeeze(-1)
    weight = shift * torch.as_tensor(fidelity.precision(), dtype=torch.float64, device=shift.device)
    return Ridge(weight.to(b.dtype), shift.to(b.dtype), variance.to(b.dtype))


def _bend(x: Tensor, y: Tensor) -> Tensor:
    """Curvature of the curve (x, y) along its last dimension; -∞ at the ends and where it stands still."""
    (dx, dy), (ddx, ddy) = (
        ((c[..., 2:] - c[..., :-2]) / 2 for c in (x, y)),
        (c[..., 2:] - 2 * c[..., 1:-1] + c[..., :-2] for c in (x, y)),
    )
    speed = (dx**2 + dy**2) ** 1.5
    bend = torch.where(speed > 0, (dx * ddy - dy * ddx) / torch.where(speed > 0, speed, 1), -torch.inf)
    return torch.nn.functional.pad(bend.nan_to_num(-torch.inf), (1, 1), value=-torch.inf)


def noise_variance(physics: Physics) -> Tensor:
    """σ² of the noise of the physics (whatever the fidelity assumes), per sample; 0 where it is not known."""
    likelihood = physics.likelihood()
    if not physics.noise.random or not isinstance(likelihood, LeastSquares):
        return torch.zeros((), dtype=torch.float64)
    return torch.as_tensor(likelihood.sigma, dtype=torch.float64) ** 2


def _whitened(y: Any, physics: Physics, fidelity: Fidelity | None) -> tuple[Any, Physics, LeastSquares]:
    """Data, physics and fidelity of the same problem as plain least squares.

    Weighted least squares become those of √w y and √w A, whose noise is 1 if w is that of the noise.
    """
    A, likelihood = physics.operator, physics.likelihood()
    fidelity = likelihood if fidelity is None else fidelity
    if not isinstance(A, LinearOperator):
        raise ParameterError(
            f"the automatic weight needs a linear operator; {type(A).__name__} is not linear: "
            "give weight=<number> (--weight on the command line)"
        )
    if isinstance(fidelity, LeastSquares):
        return y, physics, fidelity
    if not isinstance(fidelity, WeightedLeastSquares) or not isinstance(A.range, Space):
        raise ParameterError(
            f"the automatic weight needs least squares, not {type(fidelity).__name__}: give weight=<number> "
            "(--weight on the command line)"
        )
    known = isinstance(likelihood, WeightedLeastSquares) and physics.noise.random
    known = known and torch.equal(likelihood.weight, fidelity.weight)  # type: ignore[attr-defined]
    root = fidelity.weight.sqrt()
    noise = GaussianNoise(sigma=1.0) if known else NoNoise()
    white = Physics(operator=Mask(mask=root, domain=A.range) @ A, noise=noise)
    return root * y, white, LeastSquares()


@torch.no_grad()
def ridge_solution(y: Any, physics: Physics, fidelity: Fidelity | None = None) -> tuple[Any, Tensor]:
    """Solve the Tikhonov problem with the automatic weight.

    Returns
    -------
    x : Tensor, shape (batch..., *domain.shape)
    factor : Tensor, shape (batch...)
        σ²/σ_f²: the noise variance over the one the fidelity assumes.
    """
    y, physics, fidelity = _whitened(y, physics, fidelity)
    ridge = ridge_weight(y, physics, fidelity=fidelity)
    assert isinstance(physics.operator, LinearOperator)
    x = least_squares(physics.operator, y, shift=ridge.shift, rtol=1e-3, max_steps=500)
    return x, ridge.variance * fidelity.precision()


def weight_of_scale(
    y: Any, physics: Physics, fidelity: Fidelity | None, scale: Callable[[Any], Tensor]
) -> Weight:
    """The weight 1/scale(x) of a Tikhonov solution x, which is also where to start.

    The scale is in units of the noise that the fidelity assumes; where the data has another noise level, or
    no stated one, the variance that goes with the Tikhonov solution stands in for it.
    """
    x, factor = ridge_solution(y, physics, fidelity)
    size = scale(x)
    return Weight(factor / torch.where(size > 0, size, 1), x)
