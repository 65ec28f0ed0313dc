"""Inertial gradient methods with viscous, Hessian-driven and dry friction."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._krylov.base import dot
from .._problem import Problem
from ..spaces import flatten, unflatten
from ._base import Regularized
from ._smooth import attach_stationary, curvature, finite_start, gradient, reference_gradient

_DOUBLINGS = 60
_STEP = 0.5
"""h √L."""


class _State(NamedTuple):
    x: Tensor
    g: Tensor
    moved: Tensor
    bent: Tensor
    L: Tensor
    size: Tensor


class Inertial(Regularized):
    """Minimize F(x) = f(Ax; y) + λ g(x), both smooth, as a heavy particle with friction would.

    Steps h of ẍ + γẋ + β∇²F(x)ẋ + ∇F(x) = 0 [1]_: viscous friction γ, and a damping β driven by the Hessian
    that calms oscillations across narrow valleys. The Hessian itself is not needed, only differences of
    gradients:

    .. math:: x_{k+1} = x_k + α(x_k - x_{k-1}) - βhα(∇F(x_k) - ∇F(x_{k-1})) - h^2 α ∇F(x_k), \\quad
        α = \\tfrac{1}{1 + γh}

    (``"explicit"``), or with the gradient further on (``"implicit"``), -h²α∇F(x_k + (β/h)(x_k - x_{k-1})).
    With ``"dry"`` friction r in place of β [2]_,

    .. math:: v ← \\max(0, 1 - hr/‖w‖) \\frac{w}{1 + γh},\\ w = v - h∇F(x), \\quad x ← x + hv,

    and the particle stops after finitely many steps, where ‖∇F‖ ≤ r. For nonconvex F the limit is a
    stationary point, and from almost every start no strict saddle. All is in units of L, the curvature seen
    along the steps, which is doubled, per sample, where F bends more. The default friction suits nonconvex
    and well-conditioned problems, and its steps grow with L/μ, μ being the least curvature. With a friction
    of about 4√(μ/L), where that is known, they grow with the root of it.

    Parameters
    ----------
    prior : Prior, optional
        g, with a gradient.
    form : {"explicit", "implicit", "dry"}
    friction : float
        γ/√L.
    hessian : float
        β√L.
    rtol : float
        Stop, per sample, when ‖∇F‖ has fallen by this factor from its size at zero or at the start; r is
        that size times rtol.

    References
    ----------
    .. [1] H. Attouch, Z. Chbani, J. Fadili, H. Riahi, "First-order optimization algorithms via inertial
       systems with Hessian driven damping", Math. Program. 193 (2022); R. Maulén-Soto, J. Fadili, P. Ochs,
       "Inertial methods with viscous and Hessian driven damping for non-convex optimization",
       arXiv:2407.12518 (2024).
    .. [2] S. Adly and H. Attouch, "Finite convergence of proximal-gradient inertial algorithms combining dry
       friction with Hessian-driven damping", SIAM J. Optim. 30 (2020).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Matrix
    >>> physics = Physics(Matrix(torch.diag(torch.tensor([1.0, 2.0]))))
    >>> Inertial()(torch.tensor([1.0, 4.0]), physics).round(decimals=2)
    tensor([1., 2.])
    """

    prior_by = "grad"
    fidelity_by = "smooth"
    form: Literal["explicit", "implicit", "dry"] = "explicit"
    friction: float = 0.3
    hessian: float = 0.5

    def __post_init__(self) -> None:
        if self.form not in ("explicit", "implicit", "dry"):
            raise ParameterError(f"Inertial: form must be 'explicit', 'implicit' or 'dry', got {self.form!r}")
        if not (self.friction > 0 and self.hessian >= 0 and self._radius() < 1):
            raise ParameterError(
                f"Inertial: friction={self.friction!r} and hessian={self.hessian!r} are not stable at "
                "curvature L: take friction > 0 and 0 <= hessian, below about 3"
            )

    def _radius(self) -> float:
        """Spectral radius of the iteration on ½Lx²."""
        alpha = 1 / (1 + self.friction * _STEP)
        s = _STEP**2 * alpha
        if self.form == "dry":
            trace, determinant = alpha + 1 - s, alpha
        elif self.form == "explicit":
            b = self.hessian * _STEP * alpha
            trace, determinant = 1 + alpha - b - s, alpha - b
        else:
            b = s * self.hessian / _STEP
            trace, determinant = 1 + alpha - s - b, alpha - b
        roots = torch.linalg.eigvals(torch.tensor([[trace, -determinant], [1.0, 0.0]], dtype=torch.float64))
        return float(roots.abs().max())

    def init(self, problem: Problem) -> _State:
        x = flatten(problem.start(), problem.space)
        g = gradient(problem, x)
        finite_start(self, problem, x, g)
        gg = dot(g, g)
        L = curvature(problem, x, g).abs() / torch.where(gg > 0, gg, 1)
        zero = torch.zeros_like(x)
        size = reference_gradient(problem, x, g).detach()
        return _State(x, g, zero, zero, torch.where(L > 0, L, 1), size)

    def step(self, problem: Problem, state: _State) -> _State:
        with torch.no_grad():
            times = self._doublings(problem, state)
        L = times * state.L
        x = self._moved(problem, state, L)
        g = gradient(problem, x)
        return _State(x, g, x - state.x, g - state.g, L, state.size)

    def _moved(self, problem: Problem, state: _State, L: Tensor) -> Tensor:
        """The next point, if the largest curvature is L."""
        x, g, size = state.x, state.g, state.size
        shorter = (state.L / L).sqrt().unsqueeze(-1)  # the velocity is kept
        moved, bent = shorter * state.moved, shorter * state.bent
        root = L.sqrt().unsqueeze(-1)
        h, alpha = _STEP / root, 1 / (1 + self.friction * _STEP)
        if self.form == "implicit":
            g = gradient(problem, x + self.hessian / _STEP * moved)
            return x + alpha * moved - h**2 * alpha * g
        if self.form == "explicit":
            return x + alpha * (moved - self.hessian / root * h * bent - h**2 * g)
        w = moved / h - h * g
        length = torch.linalg.vector_norm(w, dim=-1, keepdim=True)
        threshold = h * self.rtol * size.unsqueeze(-1)
        left = torch.where(length > threshold, 1 - threshold / torch.where(length > 0, length, 1), 0)
        return x + h * alpha * left * w

    def _doublings(self, problem: Problem, state: _State) -> Tensor:
        """The power of two for which F bends by at most L along the step."""
        times = torch.ones_like(state.L)
        for _ in range(_DOUBLINGS):
            x = self._moved(problem, state, times * state.L)
            g, d = gradient(problem, x), x - state.x
            rounding = 100 * torch.finfo(x.dtype).eps * (_norm(g) + _norm(state.g)) * _norm(d)
            fits = dot(g - state.g, d) <= 1.01 * times * state.L * dot(d, d) + rounding
            if bool(fits.all()):
                break
            times = torch.where(fits, times, 2 * times)
        return times

    def change(self, problem: Problem, state: _State) -> Tensor:
        """The relative gradient."""
        return _norm(state.g) / torch.where(state.size > 0, state.size, 1)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return _norm(state.g) <= self.rtol * state.size

    def value(self, problem: Problem, state: _State) -> Any:
        return unflatten(state.x, problem.space)

    def implicit(self, problem: Problem, x: Any) -> Any:
        return attach_stationary(self, problem, x)


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=-1)
