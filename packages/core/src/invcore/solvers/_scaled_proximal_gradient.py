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
from ..spaces import flatten, scaled, tree_map, unflatten
from ._base import Regularized
from ._splitting import averaged, ones, solve

_ACCURACY = 1e-3
"""Relative accuracy of a move; the moves tend to zero, and their errors with them."""


class _State(NamedTuple):
    x: Tensor
    k: int
    mean: Tensor
    change: Tensor


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

    Parameters
    ----------
    prior : Prior, optional
        g, with a gradient.
    curvature : float or Tensor, shape (batch...), optional
        c of the metric M = c 1, in place of what the prior says: for one that does not know, or for a
        network that is no conditional mean. Too small a number diverges.
    step_size : float
        t, between 0 and 2; the objective falls in each step up to 1.

    References
    ----------
    .. [1] Y. Hu, M. Delbracio, P. Milanfar, U. Kamilov, "A restoration network as an implicit prior", ICLR
       (2024).
    .. [2] M. Terris, U. Kamilov, T. Moreau, "FiRe: fixed-points of restoration priors for solving inverse
       problems", CVPR (2025).

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
        x = problem.start()
        return _State(x=x, k=0, mean=x, change=ones(x, problem.space) * torch.inf)

    def step(self, problem: Problem, state: _State) -> _State:
        x, k, mean, _ = state
        move = self._move(problem, x, k, _ACCURACY, self.inner_steps)
        x_new = tree_map(torch.add, x, move)
        mean, moved = averaged(problem, mean, x_new, move, k)
        return _State(x_new, k + 1, mean, problem.change(moved, mean, ones(x, problem.space)))

    def _move(self, problem: Problem, x: Any, k: int, accuracy: float, inner_steps: int) -> Any:
        """x_{k+1} - x_k = -(L AᴴA + λM/t)⁻¹ (∇f(x) + λ∇g(x)), L the curvature of f."""
        A, space, bend = problem.linear, problem.space, problem.fidelity.lipschitz()
        assert bend is not None  # fidelity_by
        downhill, M = tree_map(torch.neg, problem.gradient(x)), 0.0 * ones(x, space)
        if problem.prior is not None:
            prior = problem.prior.at(k)
            slope = scaled(problem.weight, prior.grad(x, space), space)
            downhill = tree_map(torch.sub, downhill, slope)
            M = self._metric(prior, space)
        scale = problem.weight / self.step_size
        if not isinstance(M, LinearOperator):
            b, shift = scaled(1 / bend, downhill, space), ones(x, space) * (scale * M / bend)
            rough = torch.full_like(shift, accuracy)
            return solve(A, b, shift, tree_map(torch.zeros_like, b), rough, inner_steps)[0]
        flat = flatten(downhill, space)
        data, own = (torch.as_tensor(s).to(flat)[..., None] for s in (bend, scale))

        def curvature(v: Tensor) -> Tensor:
            image = unflatten(v, space)
            return data * flatten(A._gram(image), space) + own * flatten(M._apply(image), space)

        return unflatten(cg(curvature, flat, rtol=accuracy, max_steps=inner_steps).x, space)

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
        move = self._move(problem, x, 0, 1e-2 * _ACCURACY, 20 * self.inner_steps)
        return tree_map(torch.add, x, move)
