"""FISTA: accelerated proximal gradient with adaptive restart."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import SolverError
from .._krylov.scalars import Scalar, are_numbers, inner_image, largest, plus_image, sqrt, where
from .._problem import Problem, tolerance
from ._base import Regularized
from ._splitting import (
    averaged,
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
    threshold: Scalar
    memory: tuple[Tensor, ...]
    peak: Scalar


class FISTA(Regularized):
    """Minimize f(Ax; y) + λ g(x) by proximal gradient steps with momentum.

    .. math::
        x_{k+1} = \\operatorname{prox}_{λ g / L}(z_k - ∇f(z_k)/L), \\quad
        z_{k+1} = x_{k+1} + \\frac{t_k - 1}{t_{k+1}} (x_{k+1} - x_k)

    with L a certified bound of the Lipschitz constant of ∇f, so there is no step size to choose. The momentum
    starts again for every sample whose gradient mapping points against its last step. With a stochastic prior
    (random shifts) the result is the average of the iterates, late ones weighing most, which converges where
    single iterates do not.

    Parameters
    ----------
    prior : Prior, optional
        g, with a proximal operator. None: accelerated gradient descent.
    rtol : float
        Stop, per sample, when ‖x_{k+1} - x_k‖ ≤ rtol ‖x_{k+1}‖; with random shifts when the average moves by
        at most 100 rtol (1e-3 for the default), because its own randomness falls as slowly as 1/√k. Not just
        after a restart, where steps are short wherever they are: t must be half of what it was at the last.
    restart : bool
        Adaptive restart.

    References
    ----------
    A. Beck and M. Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse problems",
    SIAM J. Imaging Sci. 2 (2009). B. O'Donoghue and E. Candès, "Adaptive restart for accelerated gradient
    schemes", Found. Comput. Math. 15 (2015).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Identity
    >>> from invcore.priors import L1
    >>> physics = Physics(Identity((2,)))
    >>> FISTA(prior=L1(), weight=1.0)(torch.tensor([3.0, 0.5]), physics)
    tensor([2., 0.])
    """

    max_steps: int = 10_000
    restart: bool = True

    def init(self, problem: Problem) -> _State:
        x, space = problem.start(), problem.image_space
        one = ones(x, space)
        length: Any = longest_step(problem)
        t: Any = one
        threshold: Any = problem.weight * length
        if are_numbers(one, length, threshold):
            t, length, threshold = 1.0, length.item(), threshold.item()
        change, memory = one * torch.inf, first_memory(problem, x)
        return _State(x, x, t, 0, x, change, length, threshold, memory, peak=0 * t)

    def step(self, problem: Problem, state: _State) -> _State:
        x, z, t, k, mean, _, length, threshold, memory, peak = state
        space = problem.space
        x_new, memory = warm_forward_backward(problem, z, length, threshold, k, memory)  # (4.1)
        moved = x_new - x
        t_new = (1 + sqrt(1 + 4 * t**2)) / 2  # Beck and Teboulle (4.2)
        momentum = (t - 1) / t_new
        if self.restart:  # O'Donoghue and Candès, gradient scheme
            uphill = inner_image(z - x_new, moved, t, space) > 0
            peak = where(uphill, largest(t_new, 0.8 * peak), peak)  # several come in a row
            t_new, momentum = where(uphill, 1.0, t_new), where(uphill, 0.0, momentum)
        z_new = plus_image(x_new, momentum, moved, space)  # (4.3)
        mean, moved = averaged(problem, mean, x_new, moved, k)
        change = problem.change(moved, mean, t)
        return _State(x_new, z_new, t_new, k + 1, mean, change, length, threshold, memory, peak)

    def converged(self, problem: Problem, state: _State) -> Tensor | bool:
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
