"""FISTA: accelerated proximal gradient with restarts."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError, SolverError
from .._krylov.scalars import (
    Scalar,
    anywhere,
    are_numbers,
    inner_image,
    largest,
    number,
    plus_image,
    sqrt,
    where,
)
from .._problem import Problem, tolerance
from ..spaces import per_sample
from ._base import Regularized
from ._per_step import one_value
from ._restart import Schedule, first_schedule, lengthened
from ._splitting import (
    averaged,
    check_step_size,
    first_memory,
    forward_backward,
    longest_step,
    ones,
    warm_forward_backward,
)


class _State(NamedTuple):
    x: Tensor
    z: Tensor
    t: Scalar
    k: int
    mean: Tensor
    change: Scalar
    length: Scalar
    memory: tuple[Tensor, ...]
    peak: Scalar
    schedule: Schedule | None = None
    residual: Scalar = math.inf


class FISTA(Regularized):
    """Minimize f(Ax; y) + λ g(x) by proximal gradient steps with momentum.

    .. math::
        x_{k+1} = \\operatorname{prox}_{λ g / L}(z_k - ∇f(z_k)/L), \\quad
        z_{k+1} = x_{k+1} + \\frac{t_k - 1}{t_{k+1}} (x_{k+1} - x_k)

    with L a certified bound of the Lipschitz constant of ∇f, so there is no step size to choose. Where the
    objective F grows like μ‖x - x*‖²/2 around its minimizers, momentum acts as a preconditioner does: about
    √(L/μ) steps a digit in place of L/μ, if it is tuned to μ, or starts again in time. With a stochastic
    prior (random shifts) the result is the average of the iterates, late ones weighing most, which converges
    where single iterates do not.

    Parameters
    ----------
    prior : Prior, optional
        g, with a proximal operator. None: accelerated gradient descent.
    rtol : float
        Stop, per sample, when ‖x_{k+1} - x_k‖ ≤ rtol ‖x_{k+1}‖; with random shifts when the average moves by
        at most 100 rtol (1e-3 for the default), because its own randomness falls as slowly as 1/√k. Not just
        after a restart, where steps are short wherever they are: t must be half of what it was at the last.
    restart : {"gradient", "free", "residual"} or None
        When the momentum starts again, for each sample: where the gradient mapping points against the last
        step [2]_; or by the rule of [3]_, whose rate is proven, after runs of steps that double while they
        are shorter than 6.38 √(L/μ̃), with an estimate μ̃ of the growth from F at the restarts. The state
        holds μ̃/L (``solution.state.schedule.growth``), a measure of the conditioning; or with "residual"
        where ‖T(z_k) - z_k‖, T the step above, would be larger than the last one: that sample then takes
        x_{k+1} = T(x_k) instead, whose residual is not if T is nonexpansive, as it is for a prior (or
        denoiser) that is. The residual then never rises, and ``rtol`` is for it. With a denoiser for a prior,
        which has no objective, "gradient" does that.
    strong_convexity : float or Tensor of shape (batch...), optional
        κ = μ/L, 0 < κ <= 1, where f(Ax) is known to be strongly convex with constant μ (for least squares the
        least eigenvalue of AᴴA over σ²), and L is that of ``solver.problem(y, physics).lipschitz``. The
        momentum is then (1 - √κ)/(1 + √κ), without restarts: F falls by 1 - √κ a step [4]_. Too large a value
        slows the solve down.
    step_size : float, Tensor of shape (batch...), or tuple of them
        The length of the gradient step in units of 1/L, below 2; convergence is certain up to 1. A tuple has
        one for each step. A tensor that needs gradients is learned with ``differentiate="unroll"``.

    References
    ----------
    .. [1] A. Beck and M. Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse
       problems", SIAM J. Imaging Sci. 2 (2009).
    .. [2] B. O'Donoghue and E. Candès, "Adaptive restart for accelerated gradient schemes", Found. Comput.
       Math. 15 (2015).
    .. [3] J.-F. Aujol, L. Calatroni, C. Dossal, H. Labarrière, A. Rondepierre, "Parameter-free FISTA by
       adaptive restart and backtracking", SIAM J. Optim. 34 (2024).
    .. [4] A. Beck, "First-order methods in optimization", SIAM (2017), Section 10.7.7 (V-FISTA).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Identity
    >>> from invcore.priors import L1
    >>> physics = Physics(Identity((2,)))
    >>> FISTA(prior=L1(), weight=1.0)(torch.tensor([3.0, 0.5]), physics)
    tensor([2., 0.])
    """

    prior_by = "prox"
    fidelity_by = "lipschitz"
    max_steps: int = 10_000
    restart: Literal["gradient", "free", "residual"] | None = "gradient"
    strong_convexity: float | Tensor | None = None
    step_size: float | Tensor | tuple[float | Tensor, ...] = 1.0
    params = ("weight", "strong_convexity", "step_size")
    per_step = ("weight", "step_size")
    bounds = {"step_size": (0.0, 2.0)}

    def __post_init__(self) -> None:
        if self.restart not in ("gradient", "free", "residual", None):
            raise ParameterError(
                f"FISTA: restart must be 'gradient', 'free', 'residual' or None, got {self.restart!r}"
            )
        kappa = torch.as_tensor(1.0 if self.strong_convexity is None else self.strong_convexity).detach()
        if not bool(((kappa > 0) & (kappa <= 1)).all()):
            raise ParameterError(
                "FISTA: strong_convexity is μ/L, above 0 and at most 1 (None where μ is not known), got "
                f"{self.strong_convexity}"
            )
        check_step_size(self)

    def _guards(self, problem: Problem) -> bool:
        """True if the momentum starts again where the residual would rise."""
        prior = problem.prior
        unsettled = prior is not None and not (prior.settles or prior.stochastic)
        named = self.restart == "residual" or (self.restart == "gradient" and unsettled)
        return named and self.strong_convexity is None

    def init(self, problem: Problem) -> _State:
        x, space = problem.start(), problem.image_space
        one = ones(x, space)
        length: Any = longest_step(problem)
        t: Any = one
        given = [torch.as_tensor(v) for v in (problem.weight, self.step_size, self.strong_convexity or 1.0)]
        free = self.restart == "free" and self.strong_convexity is None
        if are_numbers(one, length, *given) and not free:
            t, length = 1.0, length.item()
        schedule = first_schedule(one * problem.objective(x).detach(), self.max_steps) if free else None
        change, memory = one * torch.inf, first_memory(problem, x)
        return _State(x, x, t, 0, x, change, length, memory, 0 * t, schedule, t * math.inf)

    def step(self, problem: Problem, state: _State) -> _State:
        x, z, t, k, mean, _, length, memory, peak, schedule, residual = state
        space = problem.space
        step = number(one_value(self.step_size), t) * length
        threshold = number(problem.weight, t) * step
        x_new, memory = warm_forward_backward(problem, z, step, threshold, k, memory)  # (4.1) of [1]
        moved, guards = x_new - x, self._guards(problem)
        again: Any = False
        if guards:
            far = sqrt(inner_image(x_new - z, x_new - z, t, space))
            again = far > residual
            if anywhere(again):
                plain, memory = warm_forward_backward(problem, x, step, threshold, k, memory)
                x_new, z = (where(_each(again, space), a, b) for a, b in ((plain, x_new), (x, z)))
                far, moved = sqrt(inner_image(x_new - z, x_new - z, t, space)), x_new - x
            residual = far
        if self.strong_convexity is not None:
            root = sqrt(number(self.strong_convexity, t))
            t_new, momentum = t, (1 - root) / (1 + root) + 0 * t
        else:
            t_new = (1 + sqrt(1 + 4 * t**2)) / 2  # (4.2)
            momentum = (t - 1) / t_new
            if self.restart == "gradient" and not guards:
                again = inner_image(z - x_new, moved, t, space) > 0
            elif schedule is not None:
                schedule, again = self._counted(problem, schedule, x_new)
            peak = where(again, largest(t_new, 0.8 * peak), peak)  # several come in a row
            t_new, momentum = where(again, 1.0, t_new), where(again, 0.0, momentum)
        z_new = plus_image(x_new, momentum, moved, space)  # (4.3)
        mean, moved = averaged(problem, mean, x_new, moved, k)
        change = problem.change(x_new - z if guards else moved, mean, t)
        return _State(x_new, z_new, t_new, k + 1, mean, change, length, memory, peak, schedule, residual)

    def _counted(self, problem: Problem, schedule: Schedule, x: Tensor) -> tuple[Schedule, Tensor]:
        """The schedule a step later, and which samples restart."""
        schedule = schedule._replace(due=schedule.due - 1)
        now = schedule.due <= 0
        if bool(now.any()):
            schedule = lengthened(schedule, problem.objective(x.detach()), now)
        return schedule, now

    def converged(self, problem: Problem, state: _State) -> Tensor | bool:
        if self._guards(problem):
            return state.change <= tolerance(problem, self.rtol)
        moving = state.t >= state.peak / 2
        return (state.change <= tolerance(problem, self.rtol)) & moving

    def value(self, problem: Problem, state: _State) -> Any:
        return state.mean

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        if problem.prior is not None and problem.prior.stochastic:
            raise SolverError(
                f"{type(problem.prior).__name__} with random shifts has no fixed point to differentiate: "
                "use differentiate='unroll', or random_shifts=False"
            )
        length = longest_step(problem)
        return forward_backward(problem, x, length, problem.weight * length)


def _each(condition: Any, space: Any) -> Any:
    """A condition of each sample, to choose images by."""
    return per_sample(condition, space) if isinstance(condition, Tensor) else condition
