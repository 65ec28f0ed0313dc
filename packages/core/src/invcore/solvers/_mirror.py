"""Mirror descent and the Bregman proximal gradient method."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._krylov.base import dot
from .._physics import Physics
from .._problem import Problem
from ..fidelities import PoissonKL
from ..operators import Space
from ..priors import L1
from ..spaces import flatten, per_sample, scaled, unflatten
from ._base import Regularized
from ._nonnegative import positive_start
from ._potentials import Energy, Potential
from ._smooth import curvature

_HALVINGS = 100
_POWERS = 20
_MARGIN = 0.9
"""Of the longest step: power iteration ends below the eigenvalue."""


class _State(NamedTuple):
    x: Tensor
    g: Tensor
    t: Tensor
    change: Tensor


class MirrorDescent(Regularized):
    """Minimize f(Ax; y) + λ g(x) by gradient steps in the geometry of a potential φ.

    .. math:: x_{k+1} = \\operatorname{argmin}_x \\; ⟨∇f(x_k), x⟩ + λ g(x) + D_φ(x, x_k)/t_k,

    which without g is ∇φ(x_{k+1}) = ∇φ(x_k) - t_k ∇f(x_k) [1]_: the proximal gradient method for φ = |x|²/2,
    multiplicative updates for the entropies, which keep x positive and suit fidelities without Lipschitz
    gradient, such as that of Poisson data (NoLips [2]_). The length t_k is found along the way: tried half as
    long again as the last one and halved until

    .. math:: ⟨∇f(x_{k+1}) - ∇f(x_k), x_{k+1} - x_k⟩ ≤ ⟨∇φ(x_{k+1}) - ∇φ(x_k), x_{k+1} - x_k⟩/t_k,

    which for convex f makes the objective fall in each step, and which rounding does not blur.

    Parameters
    ----------
    potential : Potential
        `Energy`, `BurgEntropy`, `BoltzmannShannon` or `Hyperbolic`; the entropies are for x ≥ 0.
    prior : Prior, optional
        g. With `Energy` its proximal operator is used; with an entropy `L1` is linear, and any other is taken
        by its gradient, as all are with `Hyperbolic`.

    References
    ----------
    .. [1] A. Beck and M. Teboulle, "Mirror descent and nonlinear projected subgradient methods for convex
       optimization", Oper. Res. Lett. 31 (2003).
    .. [2] H. Bauschke, J. Bolte, M. Teboulle, "A descent lemma beyond Lipschitz gradient continuity:
       first-order methods revisited and applications", Math. Oper. Res. 42 (2017).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.fidelities import PoissonKL
    >>> from invcore.operators import Matrix
    >>> from invcore.solvers import BurgEntropy
    >>> physics = Physics(Matrix(torch.tensor([[2.0, 1.0], [1.0, 2.0]])))
    >>> solver = MirrorDescent(potential=BurgEntropy(), fidelity=PoissonKL())
    >>> solver(torch.tensor([5.0, 7.0]), physics).round(decimals=2)
    tensor([1., 3.])
    """

    fidelity_by = "smooth"
    potential: Potential = Energy()
    units: ClassVar[dict[str, int] | None] = {"potential": 1}

    @property
    def prior_by(self) -> Literal["prox", "grad"] | None:  # type: ignore[override]
        """The proximal operator with `Energy`, else the gradient; with an entropy `L1` needs neither."""
        if isinstance(self.potential, Energy):
            return "prox"
        return None if isinstance(self.prior, L1) and self.potential.positive else "grad"

    @property
    def requires_nonnegative(self) -> bool:
        return self.potential.positive

    def init(self, problem: Problem) -> _State:
        space = problem.space
        x = (
            flatten(self._flat(problem), space)
            if self.potential.positive
            else flatten(problem.start(), problem.space)
        )
        g = self._slope(problem, x)
        d = self.potential.inverse_hessian(x) * g
        bend = curvature(problem.replace(prior=None), x, d).abs()
        t = torch.where(bend > 0, dot(g, d) / torch.where(bend > 0, bend, 1), 1)
        return _State(x, g, t, torch.full_like(t, torch.inf))

    def _flat(self, problem: Problem) -> Tensor:
        """``x0``, or a flat positive image of the size that the data ask for."""
        if isinstance(problem.fidelity, PoissonKL):
            return positive_start(self, problem)
        space, b = problem.space, problem.backprojection
        if not isinstance(space, Space) or space.kind == "complex":
            raise ParameterError(
                f"MirrorDescent with {type(self.potential).__name__} is for real images, not {space}: use "
                "Energy()"
            )
        if problem.x0 is not None:
            if bool((problem.x0 < 0).any()):
                raise ParameterError("MirrorDescent: the starting point x0 has negative entries")
            return problem.start()
        v, u = flatten(b, space), flatten(problem.linear._apply(b), problem.A.range)
        seen = dot(u, u)
        level = (
            v.abs().mean(-1) * dot(v, v) / torch.where(seen > 0, seen, 1)
        )  # the mean of a steepest descent step
        return per_sample(level, space) * torch.ones_like(b)

    def step(self, problem: Problem, state: _State) -> _State:
        x, g, t, _ = state
        t = 1.5 * t
        with torch.no_grad():
            x_new, g_new, share, done = self._search(problem, x, g, t)
        t = share * t
        if torch.is_grad_enabled():  # once more for the derivative, with the halvings that were found
            x_new = self._moved(problem, x, g, torch.where(done, t, 0))
            g_new = torch.where(done.unsqueeze(-1), self._slope(problem, x_new), g)
        moved, at = (unflatten(v, problem.space) for v in (x_new - x, x_new))
        change = problem.change(moved, at, t)
        return _State(x_new, g_new, t, torch.where(done, change, torch.inf))

    def _search(
        self, problem: Problem, x: Tensor, g: Tensor, t: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The point, its slope and the share of t, for the first of t, t/2, … that descends; and where."""
        share, done = torch.ones_like(t), torch.zeros_like(t, dtype=torch.bool)
        x_new, g_new = x, g
        for _ in range(_HALVINGS):
            x_try = self._moved(problem, x, g, share * t)
            g_try = self._slope(problem, x_try)
            fits = self._descends(x_try, x, g_try, g, share * t)
            fresh = (fits & ~done).unsqueeze(-1)
            x_new, g_new = torch.where(fresh, x_try, x_new), torch.where(fresh, g_try, g_new)
            done = done | fits
            if bool(done.all()):
                break
            share = torch.where(done, share, share / 2)
        return x_new, g_new, share, done

    def _descends(self, x_new: Tensor, x: Tensor, g_new: Tensor, g: Tensor, t: Tensor) -> Tensor:
        """True if f bends less than φ/t between two points; where nothing moves it does."""
        bend, room = dot(g_new - g, x_new - x), self.potential.slope_change(x_new, x).sum(-1)
        return torch.isfinite(g_new).all(-1) & (t * bend <= room * (1 + 1e-10))

    def _slope(self, problem: Problem, x: Tensor) -> Tensor:
        """The gradient of what is taken by its gradient."""
        g = flatten(problem.gradient(unflatten(x, problem.space)), problem.space)
        if problem.prior is None or isinstance(self.potential, Energy):
            return g
        if isinstance(problem.prior, L1) and self.potential.positive:
            return g + _column(problem.weight)  # Σ|x| on x ≥ 0
        image = unflatten(x, problem.space)
        own = scaled(problem.weight, problem.prior.grad(image, problem.space), problem.space)
        return g + flatten(own, problem.space)

    def _moved(self, problem: Problem, x: Tensor, g: Tensor, t: Tensor) -> Tensor:
        z = self.potential.step(x, t.unsqueeze(-1) * g)
        if problem.prior is None or not isinstance(self.potential, Energy):
            return z
        return flatten(
            problem.prior.prox(unflatten(z, problem.space), problem.weight * t, problem.space), problem.space
        )

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol

    def value(self, problem: Problem, state: _State) -> Any:
        return unflatten(state.x, problem.space)

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        posed = super().problem(y, physics, x0)
        if posed.prior is not None and posed.prior.stochastic:
            raise ParameterError(
                "MirrorDescent: the prior draws at random in each step: use random_shifts=False"
            )
        return posed

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        v = flatten(x, problem.space)
        t = self._longest(problem, v.detach())
        return unflatten(self._moved(problem, v, self._slope(problem, v), t), problem.space)

    @torch.no_grad()
    def _longest(self, problem: Problem, x: Tensor) -> Tensor:
        """One over the largest curvature at x of what is taken by its gradient, relative to φ.

        The largest eigenvalue of R ∇²f R, R = (∇²φ)^(-1/2), by power iteration with differences of slopes.
        """
        problem = problem.replace()  # what it caches here has no graph
        root, g = self.potential.inverse_hessian(x).sqrt(), self._slope(problem, x)
        small = torch.finfo(x.dtype).eps ** 0.5 * _unless_zero(_norm(x) / _unless_zero(_norm(root)))
        d = root * torch.randn(x.shape[-1], generator=torch.Generator().manual_seed(0)).to(x)
        for _ in range(_POWERS):
            move = small * d / _unless_zero(_norm(d))
            d = root * (self._slope(problem, x + root * move) - g) / small
        return (_MARGIN / _unless_zero(_norm(d))).squeeze(-1)


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True)


def _unless_zero(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 1)


def _column(s: Any) -> Any:
    return s.unsqueeze(-1) if isinstance(s, Tensor) else s
