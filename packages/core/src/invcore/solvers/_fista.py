"""FISTA: accelerated proximal gradient with adaptive restart."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError, SolverError
from ..fidelities import Fidelity
from ..operators import Space
from ..operators._space import batch_shape, device_of, norm, per_sample, vdot, zeros
from ..priors import Prior
from ._base import Solver
from ._problem import Problem


class _State(NamedTuple):
    x: Tensor
    z: Tensor
    t: Tensor
    k: int
    mean: Tensor
    change: Tensor


class FISTA(Solver):
    """Minimise f(Ax; y) + λ g(x) by proximal gradient steps with momentum.

    .. math::
        x_{k+1} = \\operatorname{prox}_{λ g / L}(z_k - ∇f(z_k)/L), \\quad
        z_{k+1} = x_{k+1} + \\frac{t_k - 1}{t_{k+1}} (x_{k+1} - x_k)

    with L a certified bound of the Lipschitz constant of ∇f, so there is no step size to choose. The momentum starts
    again for every sample whose gradient mapping points against its last step. With a stochastic prior (random shifts)
    the result is the average of the iterates, late ones weighing most, which converges where single iterates do not.

    Parameters
    ----------
    prior : Prior, optional
        g, with a proximal operator. None: accelerated gradient descent.
    weight : "auto", float or Tensor, shape (batch...)
        λ; ``"auto"`` asks the prior to choose it from the noise level.
    fidelity : Fidelity, optional
        f; by default the likelihood of the noise.
    max_steps : int
    rtol : float
        Stop, per sample, when ‖x_{k+1} - x_k‖ ≤ rtol ‖x_{k+1}‖.
    restart : bool
        Adaptive restart.

    References
    ----------
    A. Beck and M. Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse problems", SIAM J. Imaging
    Sci. 2 (2009). B. O'Donoghue and E. Candès, "Adaptive restart for accelerated gradient schemes", Found. Comput. Math. 15 (2015).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Identity, Space
    >>> from invcore.priors import L1
    >>> physics = Physics(operator=Identity(domain=Space((2,))))
    >>> FISTA(prior=L1(), weight=1.0)(torch.tensor([3.0, 0.5]), physics)
    tensor([2., 0.])
    """

    prior: Prior | None = None
    weight: Literal["auto"] | float | Tensor = "auto"
    fidelity: Fidelity | None = None
    max_steps: int = 100
    rtol: float = 1e-4
    restart: bool = True
    params = ("weight",)

    def init(self, problem: Problem) -> _State:
        if not isinstance(problem.space, Space):
            raise ParameterError(
                f"FISTA reconstructs a single image; the domain of {type(problem.A).__name__} has {len(problem.space)} blocks"
            )
        batch = batch_shape(problem.backprojection, problem.space)
        if problem.x0 is not None:
            batch = torch.broadcast_shapes(batch, batch_shape(problem.x0, problem.space))
        dtype, device = problem.backprojection.dtype, device_of(problem.backprojection)
        x = zeros(problem.space, tuple(batch), dtype=dtype, device=device)
        if problem.x0 is not None:
            x = problem.x0.to(dtype).expand_as(x)
        one = torch.ones(batch, dtype=x.real.dtype if x.is_complex() else x.dtype, device=device)
        return _State(x=x, z=x, t=one, k=0, mean=x, change=one * torch.inf)

    def step(self, problem: Problem, state: _State) -> _State:
        x, z, t, k, mean, _ = state
        space = problem.space
        x_new = self._forward_backward(problem, z, k)
        moved = x_new - x
        t_new = (1 + torch.sqrt(1 + 4 * t**2)) / 2
        momentum = (t - 1) / t_new
        if self.restart:
            uphill = vdot(z - x_new, moved, space) > 0
            t_new = torch.where(uphill, 1.0, t_new)
            momentum = torch.where(uphill, 0.0, momentum)
        z_new = x_new + per_sample(momentum, space) * moved
        mean_new = x_new
        if problem.prior is not None and problem.prior.stochastic:
            mean_new = mean + 4 / (k + 4) * (x_new - mean)  # weights ∝ k³
        size = norm(mean_new, space)
        change = norm(mean_new - mean, space) / torch.where(size > 0, size, 1)
        return _State(x_new, z_new, t_new, k + 1, mean_new, change.detach())

    def _forward_backward(self, problem: Problem, z: Any, k: int) -> Any:
        bound = problem.lipschitz
        step = torch.where(bound > 0, 1 / bound, 0)  # an operator that is zero: nothing to step along
        v = z - per_sample(step, problem.space) * problem.gradient(z)
        if problem.prior is None:
            return v
        return problem.prior.at(k).prox(v, problem.weight * step, problem.space)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol

    def value(self, problem: Problem, state: _State) -> Any:
        return state.mean

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        if problem.prior is not None and problem.prior.stochastic:
            raise SolverError(
                f"{type(problem.prior).__name__} with random shifts has no fixed point to differentiate: "
                "use differentiate='unroll', or random_shifts=False"
            )
        return self._forward_backward(problem, x, 0)
