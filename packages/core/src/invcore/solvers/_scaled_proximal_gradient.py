"""Proximal gradient with the roles exchanged: a gradient step on the prior, a proximal one on the data."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError, SolverError
from .._krylov.cg import cg
from .._problem import Problem, tolerance
from ..operators import LinearOperator, SpaceLike
from ..priors import Prior
from ..spaces import device_of, dtype_of, flatten, norm, randn, scaled, tree_map, unflatten, vdot
from ._base import Regularized
from ._splitting import averaged, ones, ratio, solve

_ACCURACY = 1e-3
"""Relative accuracy of a move; the moves tend to zero, and their errors with them."""
_DOUBLINGS = 60


class Search(NamedTuple):
    """What a solve with an unknown curvature of the prior knows.

    ``curvature`` c; ``value`` g(x_k); ``length`` ‖x_k - x_{k-1}‖; ``residual``, the length of the whole step
    before it was shortened.
    """

    curvature: Tensor
    value: Tensor
    length: Tensor
    residual: Tensor


class _State(NamedTuple):
    x: Tensor
    k: int
    mean: Tensor
    change: Tensor
    search: Search | None = None


class ScaledProximalGradient(Regularized):
    r"""Minimize f(Ax; y) + λ g(x) by a gradient step on g and a proximal step on f, in a metric M [1]_ [2]_.

    .. math::
        z = x_k - t M^{-1} ∇g(x_k), \qquad
        x_{k+1} = \operatorname{argmin}_x \; f(Ax; y) + \tfrac{λ}{2t} ⟨x - z, M (x - z)⟩

    for least squares; another f with a Lipschitz gradient is replaced by its quadratic bound around x_k. M
    bounds the curvature of g; the prior knows it (`invcore.priors.Prior.majorizer`), and it may be
    singular: only x_{k+1} - x_k is solved for, from ∇f(x_k) + λ ∇g(x_k). Neither f nor g is evaluated, so
    that priors that are a gradient only can be used: `invcore.priors.RED` (with t = 1 its fixed-point
    iteration), `invcore.priors.SNORE`, `invcore.priors.Restoration` (DRP and ShaRP) and
    `invcore.priors.FiRe`. With a stochastic prior the result is an average of the iterates, as in `FISTA`.

    Where the prior has a value and no known curvature, as `invcore.priors.GradientStep` (this is then GS-PnP
    [3]_), c of M = c 1 is found: it starts as the curvature along a random direction and doubles until g(x +
    d) ≤ g(x) + ⟨∇g(x), d⟩ + c ‖d‖²/2 for the step d. A step longer than the last is shortened to its length
    (averaged with the identity): x_{k+1} = x_k + θ d, θ = ‖x_k - x_{k-1}‖/‖d‖. So for convex f, step_size 1
    and any g bounded below f + λg falls by λc ‖x_{k+1} - x_k‖²/2 or more in each step, and ‖x_{k+1} - x_k‖
    never rises and tends to zero. It stays the same where steps are shortened: infinitely many are not, and
    those tend to zero. ``solution.state.search`` holds c, an estimate of the Lipschitz constant of ∇g where
    the solve has been, and both lengths.

    Parameters
    ----------
    prior : Prior, optional
        g, with a gradient.
    curvature : float or Tensor, shape (batch...), optional
        c of the metric M = c 1, in place of what the prior says: for one that does not know, or for a
        network that is no conditional mean. Too small a number diverges. None: what the prior says, and where
        it does not know, found by its values.
    step_size : float
        t, between 0 and 2; the objective falls in each step up to 1.

    References
    ----------
    .. [1] Y. Hu, M. Delbracio, P. Milanfar, U. Kamilov, "A restoration network as an implicit prior", ICLR
       (2024).
    .. [2] M. Terris, U. Kamilov, T. Moreau, "FiRe: fixed-points of restoration priors for solving inverse
       problems", CVPR (2025).
    .. [3] S. Hurault, A. Leclaire, N. Papadakis, "Gradient step denoiser for convergent plug-and-play", ICLR
       (2022).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Identity
    >>> from invcore.priors import Tikhonov
    >>> physics = Physics(Identity((2,)))
    >>> ScaledProximalGradient(prior=Tikhonov(), weight=1.0)(torch.tensor([4.0, 2.0]), physics)
    tensor([2., 1.])
    """

    prior_by = "grad"
    stochastic_prior = True
    fidelity_by = "lipschitz"
    max_steps: int = 5000
    curvature: float | Tensor | None = None
    step_size: float = 1.0
    inner_steps: int = 200

    def __post_init__(self) -> None:
        if not 0 < self.step_size < 2:
            raise ParameterError(
                f"ScaledProximalGradient: step_size must be between 0 and 2, got {self.step_size!r}"
            )
        if self.curvature is not None and not bool((torch.as_tensor(self.curvature) > 0).all()):
            raise ParameterError(
                f"ScaledProximalGradient: curvature must be positive, got {self.curvature!r}"
            )

    def init(self, problem: Problem) -> _State:
        x, space = problem.start(), problem.space
        far = ones(x, space) * torch.inf
        search = None
        if self._searches(problem):
            assert problem.prior is not None
            search = Search(_bend(problem, x), problem.prior.value(x, space), far, far)
        return _State(x=x, k=0, mean=x, change=far, search=search)

    def _searches(self, problem: Problem) -> bool:
        """True if the curvature is found along the way."""
        prior = problem.prior
        if self.curvature is not None or prior is None or prior.stochastic:
            return False
        return type(prior)._value is not Prior._value and prior.majorizer(problem.space) is None

    def step(self, problem: Problem, state: _State) -> _State:
        x, k, mean, _, search = state
        if search is not None:
            return self._searched(problem, x, k, search)
        move = self._move(problem, x, k, _ACCURACY, self.inner_steps)
        x_new = tree_map(torch.add, x, move)
        mean, moved = averaged(problem, mean, x_new, move, k)
        return _State(x_new, k + 1, mean, problem.change(moved, mean, ones(x, problem.space)))

    def _searched(self, problem: Problem, x: Tensor, k: int, search: Search) -> _State:
        """The first step whose curvature c bounds that of the prior along it, no longer than the last one."""
        prior, space, c = problem.prior, problem.space, search.curvature
        assert prior is not None
        slope = prior.grad(x, space)
        for _ in range(_DOUBLINGS):
            whole = self._move(problem, x, k, _ACCURACY, self.inner_steps, slope=slope, curvature=c)
            size = norm(whole, space)
            length = torch.minimum(size, search.length)
            move = scaled(ratio(length, size), whole, space)
            x_new = tree_map(torch.add, x, move)
            value = prior.value(x_new, space)
            with torch.no_grad():
                rounding = 4 * torch.finfo(value.dtype).eps * (value.abs() + search.value.abs())
                linear = search.value + vdot(slope, move, space)
                steep = ~(value <= linear + c * length**2 / 2 + rounding)
            if not bool(steep.any()):
                found = Search(c, value, length, size)
                change = problem.change(whole, x_new, c)
                return _State(x_new, k + 1, x_new, change, found)
            c = torch.where(steep, 2 * c, c)
        raise SolverError(
            f"ScaledProximalGradient: no number bounds the curvature of {type(prior).__name__} along a step: "
            "is its gradient that of its value?"
        )

    def _move(
        self,
        problem: Problem,
        x: Any,
        k: int,
        accuracy: float,
        inner_steps: int,
        *,
        slope: Any = None,
        curvature: Any = None,
    ) -> Any:
        """x_{k+1} - x_k = -(L AᴴA + λM/t)⁻¹ (∇f(x) + λ∇g(x)), L the curvature of f; ∇g and M may be given."""
        A, space, bend = problem.linear, problem.space, problem.fidelity.lipschitz()
        assert bend is not None  # fidelity_by
        downhill, M = tree_map(torch.neg, problem.gradient(x)), 0.0 * ones(x, space)
        if problem.prior is not None:
            prior = problem.prior.at(k)
            slope = prior.grad(x, space) if slope is None else slope
            downhill = tree_map(torch.sub, downhill, scaled(problem.weight, slope, space))
            M = self._metric(prior, space) if curvature is None else curvature
        scale = problem.weight / self.step_size
        if not isinstance(M, LinearOperator):
            b, shift = scaled(1 / bend, downhill, space), ones(x, space) * (scale * M / bend)
            rough = torch.full_like(shift, accuracy)
            return solve(A, b, shift, tree_map(torch.zeros_like, b), rough, inner_steps)[0]
        flat = flatten(downhill, space)
        data, own = (torch.as_tensor(s).to(flat)[..., None] for s in (bend, scale))

        def bent(v: Tensor) -> Tensor:
            image = unflatten(v, space)
            return data * flatten(A._gram(image), space) + own * flatten(M._apply(image), space)

        return unflatten(cg(bent, flat, rtol=accuracy, max_steps=inner_steps).x, space)

    def _metric(self, prior: Prior, space: SpaceLike) -> Any:
        M = prior.majorizer(space) if self.curvature is None else self.curvature
        if M is None:
            raise ParameterError(
                f"ScaledProximalGradient: {type(prior).__name__} does not know a bound of its "
                "curvature: give one, curvature=<number>"
            )
        return M

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= tolerance(problem, self.rtol)

    def value(self, problem: Problem, state: _State) -> Any:
        return state.mean

    @property
    def monotone(self) -> bool:
        """True if the objective never rises."""
        return self.step_size <= 1 and not (self.prior is not None and self.prior.stochastic)

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        if problem.prior is not None and problem.prior.stochastic:
            raise SolverError(
                f"ScaledProximalGradient: {type(problem.prior).__name__} with random draws has no fixed "
                "point to differentiate: use differentiate='unroll', or draws='all'"
            )
        c = _bend(problem, x) if self._searches(problem) else None  # any: x is a fixed point for all
        move = self._move(problem, x, 0, 1e-2 * _ACCURACY, 20 * self.inner_steps, curvature=c)
        return tree_map(torch.add, x, move)


def _bend(problem: Problem, x: Any) -> Tensor:
    """The curvature of the prior along a random direction, as long as a hundredth of the image."""
    prior, space = problem.prior, problem.space
    assert prior is not None
    back = problem.backprojection
    image = torch.maximum(norm(back, space) / problem.linear.norm() ** 2, norm(x, space))
    drawn = randn(
        space, generator=torch.Generator().manual_seed(0), dtype=dtype_of(back), device=device_of(back)
    )
    with torch.no_grad():
        image = torch.where((image > 0) & torch.isfinite(image), image, 1)
        along = scaled(0.01 * image / norm(drawn, space), drawn, space)
        turned = tree_map(torch.sub, prior.grad(tree_map(torch.add, x, along), space), prior.grad(x, space))
        found = norm(turned, space) / norm(along, space)
        return torch.where((found > 0) & torch.isfinite(found), found, 1)
