"""Half-quadratic splitting, with the schedule of DPIR."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError, SolverError
from .._krylov.base import default_rtol
from .._problem import Problem, tolerance
from ..fidelities import LeastSquares
from ..spaces import per_sample, vdot
from ._base import Regularized
from ._per_step import one_value
from ._splitting import curvature, data_prox, inner_tolerance, ones, settled


class _State(NamedTuple):
    x: Tensor
    z: Tensor
    t: Tensor
    v: Tensor
    k: int
    solved: Tensor
    change: Tensor


class HalfQuadraticSplitting(Regularized):
    """Alternate a data step and a proximal (denoising) step, tied ever closer by a growing penalty μ_k [1]_.

    .. math::
        v_k = \\operatorname{argmin}_v f(Av) + \\tfrac{μ_k}{2} ‖v - x_k‖^2, \\quad
        x_{k+1} = \\operatorname{prox}_{(λ/μ_k) g}(v_k) = D(v_k, σ_k), \\quad σ_k^2 = λ/μ_k

    With ``schedule="continuation"`` μ grows from L/100 to ``sharpness`` L, with L a certified bound of the
    Lipschitz constant of ∇f, and stays there, with the momentum of `FISTA`, until the iterates settle: v at
    the minimizer of f plus the Moreau envelope of λg (a smoothed prior: ``sharpness`` says how little), x at
    the proximal point of it. With a denoiser for a prior no μ is so small that σ_k is beyond its levels. With
    ``schedule="dpir"`` [2]_ σ_k falls in ``levels`` steps, evenly on a log scale, from ``sigma_start`` to
    ``sigma_end``, for a prior that denoises (plug-and-play). The paper has images between 0 and 1, ‖A‖ = 1
    and λ = 0.23. The solve ends with the schedule, at x; ``solution.state.v`` is the v of the last step,
    which is closer to the data.

    Parameters
    ----------
    prior : Prior, optional
        g, with a proximal operator: any prior, or a denoiser as a plug-and-play prior.
    fidelity : Fidelity, optional
        f: least squares, or any one with a proximal operator where A is the identity.
    rtol : float
        Stop, per sample, when ‖x_{k+1} - x_k‖ ≤ rtol ‖x_{k+1}‖ at the last level. With a
        denoiser for a prior, which need not settle, 100 times that, at most 1e-3.
    schedule : {"continuation", "dpir"}
    levels : int
        Number of penalties.
    sharpness : float
        Last penalty of the continuation over L.
    sigma_start : float
        First noise level of the schedule of DPIR.
    sigma_end : float, optional
        Its last one. None: the noise level of an image, σ/‖A‖, or 1/200 of the first. That is too small where
        most gains of A are far below ‖A‖, as with X-rays from few directions: the noise and streaks that are
        left are stronger.
    sigma : float, Tensor of shape (batch...), or tuple of them, optional
        σ_k in place of a schedule, in the units of the image: one, or a value for each step (in descending
        order, as a rule; learned ones, too). μ_k is then λ/σ_k², and the solve ends as ``rtol`` says at the
        last.

    References
    ----------
    .. [1] D. Geman and C. Yang, "Nonlinear image recovery with half-quadratic regularization", IEEE Trans.
       Image Process. 4 (1995).
    .. [2] K. Zhang et al., "Plug-and-play image restoration with deep denoiser prior", IEEE Trans. Pattern
       Anal. Mach. Intell. 44 (2021).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Identity
    >>> from invcore.priors import L1
    >>> physics = Physics(Identity((2,)))
    >>> HalfQuadraticSplitting(prior=L1(), weight=1.0)(torch.tensor([3.0, 0.5]), physics).round(decimals=2)
    tensor([1.9000, 0.0000])
    """

    prior_by = "prox"
    units = {"sigma_start": 1, "sigma_end": 1, "sigma": 1}
    max_steps: int = 5000
    schedule: Literal["continuation", "dpir"] = "continuation"
    levels: int = 8
    sharpness: float = 10.0
    sigma_start: float = 49 / 255
    sigma_end: float | None = None
    sigma: float | Tensor | tuple[float | Tensor, ...] | None = None
    inner_steps: int = 200
    params = ("weight", "sigma")
    per_step = ("weight", "sigma")
    exact: ClassVar[bool] = False  # the prior is smoothed

    def __post_init__(self) -> None:
        if self.schedule not in ("continuation", "dpir"):
            raise ParameterError(
                f"HalfQuadraticSplitting: schedule must be 'continuation' or 'dpir', got {self.schedule!r}"
            )
        if not (isinstance(self.levels, int) and self.levels >= 1):
            raise ParameterError(
                f"HalfQuadraticSplitting: levels must be a whole number >= 1, got {self.levels!r}"
            )
        for sigma in self.sigma if isinstance(self.sigma, tuple) else (self.sigma,):
            level = torch.as_tensor(1.0 if sigma is None else sigma).detach()
            if not bool(((level > 0) & torch.isfinite(level)).all()):
                raise ParameterError(
                    f"HalfQuadraticSplitting: sigma must be positive and finite, got {self.sigma}"
                )
        for name in ("sharpness", "sigma_start", "sigma_end"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ParameterError(
                    f"HalfQuadraticSplitting: {name} must be a finite number > 0, got {value!r}"
                )

    def init(self, problem: Problem) -> _State:
        x = problem.start()
        one = ones(x, problem.image_space)
        return _State(x=x, z=x, t=one, v=x, k=0, solved=one > 0, change=one * torch.inf)

    def step(self, problem: Problem, state: _State) -> _State:
        x, z, t, k, space = state.x, state.z, state.t, state.k, problem.space
        data_step, sigma2 = self._level(problem, k, ones(x, space))
        accuracy = inner_tolerance(state.change, x.dtype)
        v, solved = data_prox(self, problem, z, data_step, state.v, accuracy, self.inner_steps)
        x_new = v if problem.prior is None else problem.prior.at(k).prox(v, sigma2, space)
        moved = x_new - x
        z_new, t_new = x_new, t
        if (
            self.sigma is None and self.schedule == "continuation" and k >= self.levels
        ):  # momentum, at a penalty that stays
            uphill = vdot(z - x_new, moved, space) > 0
            t_new = torch.where(uphill, 1.0, (1 + torch.sqrt(1 + 4 * t**2)) / 2)
            z_new = x_new + per_sample(torch.where(uphill, 0.0, (t - 1) / t_new), space) * moved
        change = problem.change(moved, x_new, t)
        solved = solved & settled(accuracy, tolerance(problem, self.rtol), x.dtype)
        return _State(x_new, z_new, t_new, v, k + 1, solved, change)

    def _level(self, problem: Problem, k: int, one: Tensor) -> tuple[Tensor, Tensor]:
        """1/μ_k and σ_k²."""
        if self.sigma is not None:
            sigma2, weight = one * one_value(self.sigma) ** 2, one * problem.weight
            return sigma2 / torch.where(weight > 0, weight, torch.inf), sigma2
        fraction = min(k / max(self.levels - 1, 1), 1.0) if self.levels > 1 else 1.0
        if self.schedule == "continuation":
            mu = curvature(problem) * 0.01 ** (1 - fraction) * self.sharpness**fraction
            if problem.prior is not None:
                mu = torch.maximum(mu, one * problem.weight / problem.prior.longest_step)
            return one / mu, problem.weight / mu * one
        noise, gain = one * 1.0, torch.ones_like(one)
        if isinstance(problem.fidelity, LeastSquares):
            gain = (problem.lipschitz / problem.fidelity.lipschitz()).sqrt()  # ‖A‖
            gain = torch.where(gain > 0, gain, 1.0)
            noise = one * problem.fidelity.sigma / gain
        noise = noise.clamp_min(self.sigma_start / 200)
        last = noise if self.sigma_end is None else one * self.sigma_end
        sigma2 = (self.sigma_start ** (1 - fraction) * last**fraction) ** 2
        weight = one * problem.weight
        data_step = sigma2 / torch.where(weight > 0, weight, torch.inf)
        if isinstance(problem.fidelity, LeastSquares):  # data of no noise have this least
            data_step = data_step / ((noise * gain) ** 2 * problem.fidelity.precision())
        return data_step, sigma2

    def converged(self, problem: Problem, state: _State) -> Tensor:
        if self.sigma is not None:
            return (state.change <= tolerance(problem, self.rtol)) & state.solved
        if self.schedule == "dpir":
            return torch.full_like(state.solved, state.k >= self.levels)
        return (state.change <= tolerance(problem, self.rtol)) & state.solved & (state.k >= self.levels)

    def fixed_point(self, problem: Problem, x: Tensor) -> Tensor:
        """Data and proximal step at the last penalty."""
        if (self.schedule == "dpir" and self.sigma is None) or (
            problem.prior is not None and problem.prior.stochastic
        ):
            raise SolverError(
                "HalfQuadraticSplitting has an implicit derivative for schedule='continuation' and a prior "
                "without random shifts: use differentiate='unroll'"
            )
        problem = problem.replace()  # its penalty is not a constant: the smoothed prior depends on it
        one = ones(x, problem.space)
        data_step, sigma2 = self._level(problem, self.levels, one)
        exact = torch.full_like(one, default_rtol(x.dtype))
        v, _ = data_prox(self, problem, x, data_step, x, exact, 20 * self.inner_steps)
        return v if problem.prior is None else problem.prior.prox(v, sigma2, problem.space)
