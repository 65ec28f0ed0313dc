"""The alternating direction method of multipliers, with and without linear solves."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._problem import Problem, tolerance
from ..fidelities import LeastSquares
from ..operators import LinearOperator, stack
from ..spaces import norm, per_sample, scaled, tree_map
from ._base import Regularized
from ._per_step import one_value
from ._splitting import (
    Terms,
    curvature,
    inner_tolerance,
    minimizer_map,
    norms,
    on_image,
    ones,
    ratio,
    settled,
    simple,
    solve,
    terms,
)


class _State(NamedTuple):
    x: Tensor
    v: tuple[Any, ...]
    w: tuple[Any, ...]
    Bx: tuple[Any, ...]
    rho: Tensor
    k: int
    norms: tuple[Tensor, ...]
    size: Tensor
    dual_size: Tensor
    solved: Tensor
    change: Tensor


class ADMM(Regularized):
    """Minimize f(Ax; y) + λ h(Kx) by the alternating direction method of multipliers [1]_.

    With B = K/‖K‖, φ(v) = λ h(‖K‖ v) and the constraint Bx = v (for a sum of priors B is a stack),

    .. math::
        x_{k+1} &= \\operatorname{argmin}_x f(Ax) + ⟨w_k, Bx⟩ + \\tfrac{ρ}{2} ‖Bx - v_k‖^2 \\\\
        v_{k+1} &= \\operatorname{prox}_{φ/ρ}(Bx_{k+1} + w_k/ρ) \\\\
        w_{k+1} &= w_k + ρ (Bx_{k+1} - v_{k+1}).

    For least squares the first line is a conjugate gradient solve, started where the last one ended, and
    solved the more accurately the closer the iteration is to its end. Any other fidelity becomes a second
    term next to φ, with B the stack of A/‖A‖ and K/‖K‖. With ``linearized`` there are no solves: the first
    line is a gradient step of length 1/(L + ρ‖B‖²) from certified norms (for a fidelity with a Lipschitz
    gradient). The penalty ρ balances the relative primal and dual residuals [1]_, [2]_, per sample, in
    changes that die out; any value converges.

    Parameters
    ----------
    prior : Prior, optional
        λ h(Kx), as its ``split`` says.
    rtol : float
        Stop, per sample, when ‖Bx - v‖ and ρ‖Δv‖ are below rtol times the largest ‖x‖ and ‖w‖ so far. With a
        denoiser for a prior, which need not settle, 100 times that, at most 1e-3.
    linearized : bool
        A gradient step in place of the linear solve.
    adaptive : bool
        Adapt ρ, in which case ``penalty`` is where it starts.
    penalty : float, Tensor of shape (batch...), or tuple of them
        ρ in units of the curvature L of f(Ax); a tuple has one for each step (without ``adaptive``).

    References
    ----------
    .. [1] S. Boyd et al., "Distributed optimization and statistical learning via the alternating direction
       method of multipliers", Found. Trends Mach. Learn. 3 (2011).
    .. [2] B. Wohlberg, "ADMM penalty parameter selection by residual balancing", arXiv:1704.06209 (2017).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Identity
    >>> from invcore.priors import L1
    >>> physics = Physics(Identity((2,)))
    >>> ADMM(prior=L1(), weight=1.0)(torch.tensor([3.0, 0.5]), physics).round(decimals=3)
    tensor([2., 0.])
    """

    prior_by = "prox"
    linearized: bool = False
    adaptive: bool = True
    penalty: float | Tensor | tuple[float | Tensor, ...] = 1.0
    inner_steps: int = 200
    params = ("weight", "penalty")
    per_step = ("weight", "penalty")

    def __post_init__(self) -> None:
        penalties = self.penalty if isinstance(self.penalty, tuple) else (self.penalty,)
        for penalty in (torch.as_tensor(p).detach() for p in penalties):
            if not bool(((penalty > 0) & torch.isfinite(penalty)).all()):
                raise ParameterError(f"ADMM: penalty must be positive and finite, got {self.penalty}")
        if self.adaptive and isinstance(self.penalty, tuple):
            raise ParameterError("ADMM: adaptive finds the penalties; give it one, or adaptive=False")

    def init(self, problem: Problem) -> _State:
        x, space = problem.start(), problem.image_space
        one = ones(x, space)
        split = self._splits_fidelity(problem)
        c = norms(problem, fidelity=split, prior=True)
        B = terms(problem, 0, c, fidelity=split, prior=True)
        Bx = B.apply(x)
        w = tuple(tree_map(torch.zeros_like, part) for part in Bx)
        dual_size = torch.zeros_like(one)
        if not split:
            slope = problem.gradient(x)
            dual_size = norm(slope, space).detach()
            if simple(problem):  # the multiplier that belongs to x
                w = (-slope,)
        return _State(
            x=x,
            v=Bx,
            w=w,
            Bx=Bx,
            rho=one_value(self.penalty) * one * curvature(problem),
            k=0,
            norms=c,
            size=norm(x, space).detach(),
            dual_size=dual_size,
            solved=one > 0,
            change=one * torch.inf,
        )

    def _splits_fidelity(self, problem: Problem) -> bool:
        """True if f(Ax) is one of the terms on Bx."""
        if self.linearized:
            return problem.fidelity.lipschitz() is None
        return not isinstance(problem.fidelity, LeastSquares)

    def step(self, problem: Problem, state: _State) -> _State:
        if not self.adaptive:
            state = state._replace(
                rho=one_value(self.penalty) * torch.ones_like(state.rho) * curvature(problem)
            )
        rho, split = state.rho, self._splits_fidelity(problem)
        B = terms(problem, state.k, state.norms, fidelity=split, prior=True)
        x, drift, solved = self._minimized(problem, state, B)  # Boyd et al. (3.2)
        Bx = B.apply(x)
        v = B.prox(tree_map(torch.add, Bx, scaled(1 / rho, state.w, B.space)), 1 / rho)  # (3.3)
        gap = tree_map(torch.sub, Bx, v)
        w = tree_map(torch.add, state.w, scaled(rho, gap, B.space))  # (3.4)
        new = state._replace(x=x, v=v, w=w, Bx=Bx, k=state.k + 1, solved=solved)
        return self._assessed(new, gap, tree_map(torch.sub, v, state.v), drift, B)

    def _minimized(self, problem: Problem, state: _State, B: Terms) -> tuple[Tensor, Tensor, Tensor]:
        """The next x, the norm of the gradient of a linearized step, and whether a solve was accurate."""
        if self.linearized:
            return *self._gradient_step(problem, state, B), state.solved
        accuracy = inner_tolerance(state.change, state.x.dtype)
        x, solved = self._linear_solve(problem, state, B, accuracy)
        tight = settled(accuracy, tolerance(problem, self.rtol), x.dtype)
        return x, torch.zeros_like(state.rho), solved & tight

    def _assessed(self, new: _State, gap: Any, moved: Any, drift: Tensor, B: Terms) -> _State:
        """The state with its relative residuals, and with ρ balancing them (Boyd et al., Section 3.4.1)."""
        rho, space = new.rho, B.space
        with torch.no_grad():
            size = torch.maximum(new.size, torch.maximum(norm(new.Bx, space), norm(new.v, space)))
            dual_size = torch.maximum(new.dual_size, norm(new.w, space))
            primal, dual = ratio(norm(gap, space), size), ratio(rho * norm(moved, space), dual_size)
            change = torch.maximum(torch.maximum(primal, dual), ratio(drift, dual_size))
        if self.adaptive:
            rho = _rebalanced(rho, primal, dual, new.k - 1)
        return new._replace(rho=rho, size=size, dual_size=dual_size, change=change)

    def _gradient_step(self, problem: Problem, state: _State, B: Terms) -> tuple[Tensor, Tensor]:
        """x after the step, and the norm of the gradient it follows."""
        rho, x = state.rho, state.x
        gap = tree_map(torch.sub, state.Bx, state.v)
        pull = B.adjoint(tree_map(torch.add, state.w, scaled(rho, gap, B.space)))
        bound = rho * B.norm2
        if not self._splits_fidelity(problem):
            pull = pull + problem.gradient(x)
            bound = bound + problem.lipschitz
        return x - per_sample(1 / bound, problem.space) * pull, norm(pull, problem.space).detach()

    def _linear_solve(
        self, problem: Problem, state: _State, B: Terms, accuracy: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The minimizer in x, and which samples reached the accuracy."""
        rho, space = state.rho, problem.space
        pull = B.adjoint(tree_map(torch.sub, scaled(rho, state.v, B.space), state.w))
        zero = torch.zeros((), dtype=rho.dtype, device=rho.device)
        f = problem.fidelity
        if not isinstance(f, LeastSquares):
            op = stack([1 / t.c * t.operator for t in B.terms])
            b = per_sample(1 / rho, space) * pull
            return solve(_linear(op), b, zero, state.x, accuracy, self.inner_steps)
        variance = torch.ones_like(rho) / f.precision()
        shift = rho * variance
        b = problem.backprojection + per_sample(variance, space) * pull
        if simple(problem):
            return solve(problem.linear, b, shift, state.x, accuracy, self.inner_steps)
        op = stack([problem.linear, *(shift.sqrt() / t.c * t.operator for t in B.terms)])
        return solve(_linear(op), b, zero, state.x, accuracy, self.inner_steps)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return (state.change <= tolerance(problem, self.rtol)) & state.solved

    def value(self, problem: Problem, state: _State) -> Any:
        """v where it is an image (it is sparse, or feasible, exactly), else x."""
        return state.x if on_image(problem) is None else state.v[-1]

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        return minimizer_map(self, problem, x)


def _linear(op: Any) -> LinearOperator:
    assert isinstance(op, LinearOperator)
    return op


def _rebalanced(rho: Tensor, primal: Tensor, dual: Tensor, k: int) -> Tensor:
    """Raise ρ where the primal residual is the larger one, lower it where the dual one is.

    By a factor of two at first, and of a million in all. Residuals that are rounding say nothing.
    """
    factor = 2.0 ** (0.95**k)
    seen = torch.maximum(primal, dual) > 100 * torch.finfo(rho.dtype).eps
    up, down = seen & (primal > 5 * dual), seen & (dual > 5 * primal)
    return torch.where(up, rho * factor, torch.where(down, rho / factor, rho))
