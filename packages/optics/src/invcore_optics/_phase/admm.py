"""The alternating direction method of multipliers for intensities."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from invcore import Fidelity, ParameterError, Physics, Prior, Solver
from invcore.fidelities import Amplitude
from invcore.operators import least_squares
from invcore.solvers import Problem
from invcore.spaces import batch_shape, norm, per_sample

from .amplitude_flow import first, need_intensity, spread
from .magnitudes import check_misfit, magnitude_curvature, magnitude_prox
from .ptychography import Ptychography

_INERTIA = 1e-3  # of ‖B‖²: the pull to the last image, without a prior
_COUPLING = 0.1  # to that of the prior
_LARGEST = 4.0


class _State(NamedTuple):
    x: Tensor
    u: Tensor
    w: Tensor
    v: Tensor
    s: Tensor
    rho: Tensor
    change: Tensor


class PhaseADMM(Solver):
    r"""Minimize f(|Bx|²; y) + λ g(x) by the alternating direction method of multipliers [1]_, [2]_.

    With the fields u = B x and the image v = x of the prior as variables of their own, multipliers w and s,
    and κ = ρ ‖B‖²/10,

    .. math::
        x &← \operatorname{argmin}_x \tfrac{ρ}{2} ‖Bx - u + w/ρ‖^2 + \tfrac{κ}{2} ‖x - v + s/κ‖^2 \\
        u &← \operatorname{prox}_{f/ρ}(Bx + w/ρ), \qquad w ← w + ρ (Bx - u) \\
        v &← \operatorname{prox}_{λg/κ}(x + s/κ), \qquad s ← s + κ (x - v).

    The proximal operator of f is exact: the phase stays, and the magnitude is the `magnitude_prox` of
    amplitudes, photons or intensities. The first line is in closed form for ptychography in the far field,
    Fourier ptychography and unitary B, else a conjugate gradient solve. For any `Intensity`; a support is
    part of its operator: ``PhaseRetrieval(F @ Mask(mask=support, domain=F.domain))``. Pixels that the mask of
    a `Ptychography` hides are free.

    The problem is not convex, and ρ decides what the method is. A small one follows the measured magnitudes
    closely, as hybrid input-output does, and leaves poor local minima; a large one descends, and averages
    noise. So ρ starts small and grows.

    Parameters
    ----------
    prior : Prior, optional
        g, with a proximal operator.
    weight : float or Tensor, shape (batch...)
        λ.
    fidelity : Fidelity, optional
        f of the intensities: `Amplitude`, `PoissonKL` or `LeastSquares`. None: the likelihood of the noise.
    start : {"spectral", "ones"}
        Without ``x0``: see `AmplitudeFlow`.
    penalty : float
        ρ of the first step, in units of the curvature of f along the magnitude.
    growth : float
        Factor ≥ 1 by which ρ grows each step, up to 4 (or where it starts).
    max_steps : int
    rtol : float
        Stop, per sample, when ‖x_{k+1} - x_k‖ ≤ rtol ‖x_{k+1}‖ and ‖Bx - u‖ ≤ rtol ‖u‖.

    References
    ----------
    .. [1] Z. Wen, C. Yang, X. Liu, S. Marchesini, "Alternating direction methods for classical and
       ptychographic phase retrieval", Inverse Problems 28 (2012).
    .. [2] H. Chang, P. Enfedaque, S. Marchesini, "Blind ptychographic phase retrieval via convergent
       alternating direction method of multipliers", SIAM J. Imaging Sci. 12 (2019).

    Examples
    --------
    >>> from invcore.operators import Matrix
    >>> from invcore_optics import PhaseRetrieval, aligned_phase
    >>> g = torch.Generator().manual_seed(0)
    >>> A = PhaseRetrieval(Matrix(torch.randn(20, 4, dtype=torch.complex64, generator=g)))
    >>> x = torch.randn(4, dtype=torch.complex64, generator=g)
    >>> found = PhaseADMM()(A(x), Physics(A))
    >>> bool((aligned_phase(found, x, dims=1) - x).norm() < 1e-3 * x.norm())
    True
    """

    prior_by = "prox"
    prior: Prior | None = None
    weight: float | Tensor = 1.0
    fidelity: Fidelity | None = Amplitude()
    start: Literal["spectral", "ones"] = "spectral"
    penalty: float = 0.1
    growth: float = 1.02
    max_steps: int = 500
    rtol: float = 1e-5
    params = ("weight",)

    def __post_init__(self) -> None:
        if self.start not in ("spectral", "ones"):
            raise ParameterError(f"PhaseADMM: start must be 'spectral' or 'ones', got {self.start!r}")
        if not 0 < self.penalty < math.inf:
            raise ParameterError(f"PhaseADMM: penalty must be a positive number, got {self.penalty!r}")
        if not 1 <= self.growth < math.inf:
            raise ParameterError(f"PhaseADMM: growth must be 1 or more, got {self.growth!r}")

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        need_intensity("PhaseADMM", physics)
        problem = super().problem(y, physics, x0)
        check_misfit("PhaseADMM", problem.fidelity)
        return problem

    def init(self, problem: Problem) -> _State:
        A: Any = problem.A
        x = first(problem, self.start)
        unknown = torch.full(batch_shape(x, problem.space), torch.inf, dtype=x.real.dtype, device=x.device)
        rho = self.penalty * magnitude_curvature(problem.fidelity, problem.y, A.range).expand(unknown.shape)
        B = _seeing_all(A).field
        fields = B(x)
        u = self._fitted(problem, fields, rho)
        w = per_sample(rho, B.range) * (fields - u)
        return _State(x, u, w, x, torch.zeros_like(x), rho, unknown)

    def step(self, problem: Problem, state: _State) -> _State:
        A: Any = problem.A
        B, space, rho = _seeing_all(A).field, problem.space, state.rho
        each, norm2 = per_sample(rho, B.range), B.norm().square()
        share = _INERTIA if self.prior is None else _COUPLING
        kappa = per_sample(share * norm2 * rho, space)
        x: Any = least_squares(
            B, state.u - state.w / each, shift=share * norm2, center=state.v - state.s / kappa, x0=state.x
        )
        fields = B(x)
        u = self._fitted(problem, fields + state.w / each, rho)
        gap = fields - u
        w = state.w + each * gap
        v, s = x, state.s
        if self.prior is not None:
            v = self.prior.prox(x + s / kappa, self.weight / (share * norm2 * rho), space)
            s = s + kappa * (x - v)
        change = torch.maximum(_ratio(x - state.x, x, space), _ratio(gap, u, B.range))
        return _State(x, u, w, v, s, self._grown(problem, rho), change)

    def _fitted(self, problem: Problem, z: Tensor, rho: Tensor) -> Tensor:
        """prox of f/ρ: the phases of z, and the magnitudes that fit."""
        A: Any = problem.A
        size = A.intensity(z).sqrt()
        wanted = magnitude_prox(problem.fidelity, size, problem.y, 1 / rho, A.range)
        tiny = torch.finfo(size.dtype).tiny ** 0.5
        factor = torch.where(size > tiny, wanted / size.clamp_min(tiny), 0)
        if _seeing_all(A) is not A:
            factor = torch.where(A.mask > 0, factor, 1)
        return spread(A, factor) * z

    def _grown(self, problem: Problem, rho: Tensor) -> Tensor:
        A: Any = problem.A
        unit = magnitude_curvature(problem.fidelity, problem.y, A.range)
        return torch.minimum(self.growth * rho, max(_LARGEST, self.penalty) * unit.expand(rho.shape))

    def value(self, problem: Problem, state: _State) -> Tensor:
        """The image of the prior, which is sparse, or feasible, exactly; without one that of the fields."""
        return state.v

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol

    def objective(self, problem: Problem, state: _State) -> Tensor:
        A: Any = problem.A
        x = self.value(problem, state)
        seen = A.intensity(A.field(x))
        seen = seen.sqrt() if isinstance(problem.fidelity, Amplitude) else seen
        found = problem.fidelity.value(seen, problem.y.clamp_min(0), A.range)
        return found if self.prior is None else found + self.weight * self.prior.value(x, problem.space)


def _seeing_all(A: Any) -> Any:
    """The operator without a mask of zeros and ones: what it hides has no misfit, and BᴴB is diagonal."""
    mask = A.mask if isinstance(A, Ptychography) else None
    return A if mask is None or bool(((mask != 0) & (mask != 1)).any()) else A.unmasked


def _ratio(moved: Tensor, x: Tensor, space: Any) -> Tensor:
    """Relative sizes, per sample."""
    size = norm(x, space)
    return norm(moved, space) / torch.where(size > 0, size, 1)
