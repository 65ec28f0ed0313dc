"""Alternating projections between what was measured and what is known of the object: ER, HIO, RAAR."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError, Physics, ShapeError, Solver
from invcore.solvers import Problem
from invcore.spaces import batch_shape, norm, per_sample, zeros

from .amplitude_flow import need_intensity, with_magnitude

_METHODS = ("hio", "er", "raar")


class _State(NamedTuple):
    x: Tensor
    z: Tensor
    change: Tensor


class AlternatingProjections(Solver):
    r"""Recover an object with a known support from intensities of its oversampled Fourier transform.

    With :math:`P_M`, which gives fields the measured magnitudes, and :math:`P_S`, which sets to zero what
    lies outside the support (and with ``nonnegative`` negative values and imaginary parts), the methods are

    .. math::
        \text{er:}\quad & z ← P_S P_M z \\
        \text{hio:}\quad & z ← P_M z \text{ where } P_S P_M z = P_M z, \quad z - β P_M z \text{ elsewhere} \\
        \text{raar:}\quad & z ← \tfrac β 2 (R_S R_M z + z) + (1 - β) P_M z, \qquad R = 2 P - 1.

    Error reduction (``"er"``) never raises the misfit of the magnitudes and stops at the next local minimum;
    hybrid input-output [1]_ and relaxed averaged alternating reflections [2]_ leave such minima, and their
    misfit may rise. The image is :math:`P_S P_M z`. A few steps of ``"er"`` from it, as ``x0``, settle it.

    Parameters
    ----------
    support : Tensor, shape (y, x) or (..., channel, y, x), optional
        Not 0 where the object may be.
    method : {"hio", "er", "raar"}
    beta : float
        β, in (0, 1]. Error reduction has none.
    nonnegative : bool
        The object is real and not negative.
    seed : int
        Of the phases to start from without ``x0``, the same for all samples of a batch. Another start may
        lead to another, better image.
    max_steps : int
    rtol : float
        Stop, per sample, when ‖x_{k+1} - x_k‖ ≤ rtol ‖x_{k+1}‖.

    Notes
    -----
    The operator is a `PhaseRetrieval` of a B with BᴴB = c I, such as a Fourier transform of an image with at
    least as many zeros around the object as the object has pixels. Intensities leave open a factor of modulus
    one, and where the support allows it a shift, and the twin: the object turned by 180° and conjugated.

    References
    ----------
    .. [1] J. R. Fienup, "Phase retrieval algorithms: a comparison", Appl. Opt. 21 (1982).
    .. [2] D. R. Luke, "Relaxed averaged alternating reflections for diffraction imaging", Inverse Problems 21
       (2005).

    Examples
    --------
    >>> from invcore import Space
    >>> from invcore.operators import FourierTransform
    >>> from invcore_optics import PhaseRetrieval
    >>> A = PhaseRetrieval(FourierTransform(Space((1, 8, 8), "complex"), centered=True))
    >>> x = torch.zeros(1, 8, 8, dtype=torch.complex64)
    >>> x[0, 2, 2:5], x[0, 3, 2] = torch.tensor([3.0, 1.0, 2.0]) + 0j, 5.0
    >>> solver = AlternatingProjections(support=x[0].abs(), nonnegative=True)
    >>> bool((solver(A(x), Physics(A)) - x).norm() < 1e-3 * x.norm())
    True
    """

    support: Tensor | None = None
    method: Literal["hio", "er", "raar"] = "hio"
    beta: float = 0.9
    nonnegative: bool = False
    seed: int = 0
    max_steps: int = 500
    rtol: float = 1e-5

    def __post_init__(self) -> None:
        name = type(self).__name__
        if self.method not in _METHODS:
            raise ParameterError(f"{name}: method must be one of {_METHODS}, got {self.method!r}")
        if not 0 < self.beta <= 1:
            raise ParameterError(f"{name}: beta must lie in (0, 1], got {self.beta!r}")
        if self.support is None and not self.nonnegative:
            raise ParameterError(
                f"{name} needs what is known of the object: support=, a mask, or nonnegative=True"
            )
        if self.support is not None and not bool((self.support != 0).any()):
            raise ParameterError(f"{name}: the support is empty")

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        name = type(self).__name__
        need_intensity(name, physics)
        problem = super().problem(y, physics, x0)
        A: Any = problem.A
        shape = A.domain.shape
        if self.support is not None:
            held = tuple(self.support.shape)
            if len(held) < 2 or held[-2:] != shape[-2:]:
                raise ShapeError(f"{name}: the support must be {shape[-2:]} or (..., {shape}), got {held}")
        probe = zeros(A.domain, dtype=problem.y.dtype, device=problem.y.device) + _phases(
            A.domain.shape, 0, problem.y
        )
        if A.domain.kind != "complex":
            probe = probe.real
        seen = A.field.H(A.field(probe))
        scale = A.field.norm().square()
        if not bool((seen - per_sample(scale, A.domain) * probe).norm() <= 1e-2 * seen.norm()):
            raise ParameterError(
                f"{name} needs an operator with BᴴB = c I, such as a Fourier transform, and "
                f"{type(A.field).__name__} is none: use 'optics.amplitude_flow', or for scans 'optics.pie'"
            )
        return problem

    def init(self, problem: Problem) -> _State:
        A: Any = problem.A
        if problem.x0 is None:
            amplitudes = problem.y.clamp_min(0).sqrt()
            z = A.field.H(amplitudes * _phases(A.range.shape, self.seed, amplitudes))
            z = z / per_sample(A.field.norm().square(), problem.space)
            z = self._known(z)
        else:
            z = problem.start()
        unknown = torch.full(batch_shape(z, problem.space), torch.inf, dtype=problem.y.dtype, device=z.device)
        return _State(self._known(z), z, unknown)

    def step(self, problem: Problem, state: _State) -> _State:
        measured = self._measured(problem, state.z)
        x = self._known(measured)
        if self.method == "er":
            z = x
        elif self.method == "hio":
            z = torch.where(x == measured, x, state.z - self.beta * measured)
        else:
            reflected = 2 * measured - state.z
            z = (
                self.beta / 2 * (2 * self._known(reflected) - reflected + state.z)
                + (1 - self.beta) * measured
            )
        size = norm(x, problem.space)
        change = norm(x - state.x, problem.space) / torch.where(size > 0, size, 1)
        return _State(x, z, change)

    def _measured(self, problem: Problem, z: Tensor) -> Tensor:
        """P_M, for BᴴB = c I; of a nonnegative object the real part."""
        A: Any = problem.A
        u = A.field(z)
        missing = A.field.H(with_magnitude(A, u, problem.y) - u)
        found = z + missing / per_sample(A.field.norm().square(), problem.space)
        return found.real.to(found.dtype) if self.nonnegative else found

    def _known(self, x: Tensor) -> Tensor:
        """P_S."""
        if self.nonnegative:
            x = x.real.clamp_min(0).to(x.dtype)
        if self.support is None:
            return x
        return torch.where(self.support.to(x.device) != 0, x, 0)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol

    def objective(self, problem: Problem, state: _State) -> Tensor:
        A: Any = problem.A
        off = A.intensity(A.field(state.x)).sqrt() - problem.y.clamp_min(0).sqrt()
        return norm(off, A.range).square() / 2


def _phases(shape: Any, seed: int, like: Tensor) -> Tensor:
    """Numbers of modulus one."""
    generator = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * torch.rand(tuple(shape), generator=generator, dtype=torch.float64)
    return torch.polar(torch.ones_like(angle), angle).to(
        device=like.device, dtype=torch.promote_types(like.dtype, torch.complex32)
    )
