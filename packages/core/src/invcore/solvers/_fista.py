"""FISTA: accelerated proximal gradient with adaptive restart."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError, SolverError
from .._krylov.krylov import is_single
from .._problem import Problem, tolerance
from ..fidelities import Fidelity
from ..operators import Space, SpaceLike
from ..priors import Prior
from ..spaces import batch_shape, device_of, norm, per_sample, vdot, zeros
from ._base import Solver


class _Sizes(NamedTuple):
    """Step 1/L and threshold λ/L: numbers where one sample is solved on a CPU, else per sample."""

    step: Tensor | float
    threshold: Tensor | float


class _State(NamedTuple):
    x: Tensor
    z: Tensor
    t: Tensor | float
    k: int
    mean: Tensor
    change: Tensor | float
    sizes: _Sizes


class FISTA(Solver):
    """Minimize f(Ax; y) + λ g(x) by proximal gradient steps with momentum.

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
        Stop, per sample, when ‖x_{k+1} - x_k‖ ≤ rtol ‖x_{k+1}‖; with random shifts when the average moves by at most
        100 rtol (1e-3 for the default), because its own randomness falls as slowly as 1/√k.
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
    max_steps: int = 10_000
    rtol: float = 1e-5
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
        sizes = self._sizes(problem, is_single(one))
        t = 1.0 if isinstance(sizes.step, float) else one
        return _State(x=x, z=x, t=t, k=0, mean=x, change=one * torch.inf, sizes=sizes)

    def step(self, problem: Problem, state: _State) -> _State:
        x, z, t, k, mean, _, sizes = state
        space = problem.space
        x_new = self._forward_backward(problem, z, k, sizes)
        moved = x_new - x
        uphill = None
        if self.restart:
            uphill = _inner(z - x_new, moved) if isinstance(t, float) else vdot(z - x_new, moved, space)
        t_new, momentum = _momentum(t, uphill)
        if isinstance(momentum, float):
            z_new = torch.add(x_new, moved, alpha=momentum)
        else:
            z_new = x_new + per_sample(momentum, space) * moved
        mean_new, mean_moved = x_new, moved
        if problem.prior is not None and problem.prior.stochastic:
            mean_moved = 4 / (k + 4) * (x_new - mean)  # weights ∝ k³
            mean_new = mean + mean_moved
        return _State(
            x_new, z_new, t_new, k + 1, mean_new, _relative(mean_moved, mean_new, t_new, space), sizes
        )

    def _sizes(self, problem: Problem, single: bool) -> _Sizes:
        bound = problem.lipschitz
        step = torch.where(bound > 0, 1 / bound, 0)  # an operator that is zero: nothing to step along
        threshold = problem.weight * step
        if single and step.numel() == 1 and threshold.numel() == 1:
            return _Sizes(float(step), float(threshold))
        return _Sizes(step, threshold)

    def _forward_backward(self, problem: Problem, z: Any, k: int, sizes: _Sizes) -> Any:
        space = problem.space
        if isinstance(sizes.step, float):
            v = torch.sub(z, problem.gradient(z), alpha=sizes.step)
        else:
            v = z - per_sample(sizes.step, space) * problem.gradient(z)
        if problem.prior is None:
            return v
        return problem.prior.at(k).prox(v, sizes.threshold, space)

    def converged(self, problem: Problem, state: _State) -> Tensor | bool:
        return state.change <= tolerance(problem, self.rtol)

    def value(self, problem: Problem, state: _State) -> Any:
        return state.mean

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        if problem.prior is not None and problem.prior.stochastic:
            raise SolverError(
                f"{type(problem.prior).__name__} with random shifts has no fixed point to differentiate: "
                "use differentiate='unroll', or random_shifts=False"
            )
        return self._forward_backward(problem, x, 0, self._sizes(problem, single=False))


def _inner(x: Tensor, y: Tensor) -> float:
    """Re⟨x, y⟩ of single images."""
    if x.is_complex():
        x, y = torch.view_as_real(x.resolve_conj()), torch.view_as_real(y.resolve_conj())
    return float(torch.dot(x.reshape(-1), y.reshape(-1)))


def _momentum(t: Tensor | float, uphill: Tensor | float | None) -> tuple[Tensor | float, Tensor | float]:
    """The next t_k and (t_k - 1)/t_{k+1}; where the last step went uphill both start again."""
    if isinstance(t, float):
        if uphill is not None and uphill > 0:
            return 1.0, 0.0
        following = (1 + math.sqrt(1 + 4 * t**2)) / 2
        return following, (t - 1) / following
    t_new = (1 + torch.sqrt(1 + 4 * t**2)) / 2
    momentum = (t - 1) / t_new
    if uphill is None:
        return t_new, momentum
    again = torch.as_tensor(uphill > 0)
    return torch.where(again, 1.0, t_new), torch.where(again, 0.0, momentum)


def _relative(moved: Tensor, x: Tensor, t: Tensor | float, space: SpaceLike) -> Tensor | float:
    """‖moved‖ / ‖x‖ of each sample, a number if t is one."""
    if isinstance(t, float):
        return float(torch.linalg.vector_norm(moved)) / (float(torch.linalg.vector_norm(x)) or 1.0)
    size = norm(x, space)
    return (norm(moved, space) / torch.where(size > 0, size, 1)).detach()
