"""Gradient methods for intensities: amplitude flow, and the spectral start."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from invcore import LinearOperator, ParameterError, Physics, Solver
from invcore.operators import under_transform
from invcore.solvers import Problem
from invcore.spaces import batch_shape, norm, per_sample, zeros

from .intensity import Intensity

_PIXELS = 2**18


class _State(NamedTuple):
    x: Tensor
    z: Tensor
    t: Tensor
    change: Tensor


class AmplitudeFlow(Solver):
    r"""Minimize ½ Σ (√(Σ_m |B x|²) - √y)² by gradient steps with momentum [1]_.

    .. math:: x_{k+1} = z_k - \frac{1}{‖B‖^2} B^H (w \odot (u - \sqrt{y}\, u / |u|)), \qquad u = B z_k,

    for any `Intensity`: ptychography with a known probe, Fourier ptychography, coded diffraction. With
    ``reweighted`` fields far below what was measured, whose phases tell little, count less [2]_:
    :math:`w = |u| / (|u| + β \sqrt y)`. The momentum is that of FISTA, and starts again where it points
    uphill.

    Parameters
    ----------
    start : {"spectral", "ones"}
        Without ``x0``: the leading eigenvector of Bᴴ diag(y) B, for random B [1]_, or an object of one.
    reweighted : bool
    beta : float
        β.
    max_steps : int
    rtol : float
        Stop, per sample, when ‖x_{k+1} - x_k‖ ≤ rtol ‖x_{k+1}‖.

    References
    ----------
    .. [1] G. Wang, G. B. Giannakis, Y. C. Eldar, "Solving systems of random quadratic equations via truncated
       amplitude flow", IEEE Trans. Inf. Theory 64 (2018).
    .. [2] G. Wang, G. B. Giannakis, Y. Saad, J. Chen, "Phase retrieval via reweighted amplitude flow", IEEE
       Trans. Signal Process. 66 (2018).

    Examples
    --------
    >>> from invcore.operators import Matrix
    >>> from invcore_optics import PhaseRetrieval, aligned_phase
    >>> g = torch.Generator().manual_seed(0)
    >>> A = PhaseRetrieval(Matrix(torch.randn(40, 4, dtype=torch.complex64, generator=g)))
    >>> x = torch.randn(4, dtype=torch.complex64, generator=g)
    >>> found = AmplitudeFlow()(A(x), Physics(A))
    >>> bool((aligned_phase(found, x, dims=1) - x).norm() < 1e-3 * x.norm())
    True
    """

    start: Literal["spectral", "ones"] = "spectral"
    reweighted: bool = False
    beta: float = 1.0
    max_steps: int = 500
    rtol: float = 1e-5

    def __post_init__(self) -> None:
        if self.start not in ("spectral", "ones"):
            raise ParameterError(f"AmplitudeFlow: start must be 'spectral' or 'ones', got {self.start!r}")
        if not 0 < self.beta < math.inf:
            raise ParameterError(f"AmplitudeFlow: beta must be a positive number, got {self.beta!r}")

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        need_intensity(type(self).__name__, physics)
        return super().problem(y, physics, x0)

    def init(self, problem: Problem) -> _State:
        x = first(problem, self.start)
        unknown = torch.full(batch_shape(x, problem.space), torch.inf, dtype=x.real.dtype, device=x.device)
        return _State(x, x, torch.ones_like(unknown), unknown)

    def step(self, problem: Problem, state: _State) -> _State:
        A: Any = problem.A
        B, space = A.field, problem.space
        u = B(state.z)
        missing = lacking(A, u, problem.y)
        if self.reweighted:
            size = spread(A, A.intensity(u).sqrt())
            wanted = spread(A, problem.y.clamp_min(0).sqrt())
            missing = missing * size / (size + self.beta * wanted).clamp_min(torch.finfo(size.dtype).tiny)
        step = per_sample(1 / B.norm().square(), space)
        x = state.z + step * B.H(missing)
        move, pull = x - state.x, state.z - x
        uphill = (move.conj() * pull).real.sum(tuple(range(-len(space.shape), 0))) > 0  # type: ignore[union-attr]
        t = torch.where(uphill, 1.0, (1 + (1 + 4 * state.t.square()).sqrt()) / 2)
        momentum = torch.where(uphill, 0.0, (state.t - 1) / t)
        z = x + per_sample(momentum, space) * move
        size = norm(x, space)
        change = norm(move, space) / torch.where(size > 0, size, 1)
        return _State(x, z, t, change)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol

    def objective(self, problem: Problem, state: _State) -> Tensor:
        A: Any = problem.A
        off = A.intensity(A.field(state.x)).sqrt() - problem.y.clamp_min(0).sqrt()
        return norm(off, A.range).square() / 2


def need_intensity(name: str, physics: Physics) -> None:
    """Raise unless the operator measures intensities of linear fields."""
    if not isinstance(physics.operator, Intensity):
        raise ParameterError(
            f"{name} recovers images from intensities of linear fields, and "
            f"{type(physics.operator).__name__} is none: PhaseRetrieval(B) makes one of a linear operator"
        )


def spread(A: Intensity, v: Tensor) -> Tensor:
    """Values of the data, for each mode of the fields."""
    return v if A.mode_axis is None else v.unsqueeze(A.mode_axis)


def with_magnitude(A: Intensity, u: Tensor, y: Tensor) -> Tensor:
    """Fields with the phases of ``u`` and the intensities ``y``: the projection onto what was measured."""
    size = A.intensity(u)
    tiny = torch.finfo(size.dtype).tiny
    factor = torch.where(size > tiny, (y.clamp_min(0) / size.clamp_min(tiny)).sqrt(), 0)
    return spread(A, factor) * u


def lacking(A: Intensity, u: Tensor, y: Tensor) -> Tensor:
    """What fields lack to have the intensities ``y``: `with_magnitude` minus ``u``."""
    learning = torch.is_grad_enabled() and (u.requires_grad or y.requires_grad)
    if learning or under_transform() or y.ndim < 3 or u.device.type != "cpu":
        return _lacking(A, u, y)
    axis = -3 if A.mode_axis is None else -4
    found = torch.empty_like(u)
    images = max(1, _PIXELS // (y.shape[-2] * y.shape[-1]))  # what stays in the cache
    for start in range(0, y.shape[-3], images):
        count = min(images, y.shape[-3] - start)
        piece = _lacking(A, u.narrow(axis, start, count), y.narrow(-3, start, count))
        found.narrow(axis, start, count).copy_(piece)
    return found


def _lacking(A: Intensity, u: Tensor, y: Tensor) -> Tensor:
    size = A.intensity(u)
    tiny = torch.finfo(size.dtype).tiny
    wanted = (size.clamp_min(tiny) / y.clamp_min(tiny)).rsqrt()  # several times faster than a root
    return spread(A, (wanted - 1).masked_fill(size <= tiny, 0)) * u


def first(problem: Problem, start: str) -> Tensor:
    """The starting point: ``x0`` if there is one."""
    x = problem.start()
    if problem.x0 is not None:
        return x
    if start == "ones":
        return x + 1
    A: Any = problem.A
    return spectral_start(A, problem.y)


def spectral_start(A: Intensity, y: Tensor, *, steps: int = 60) -> Tensor:
    """The leading eigenvector of Bᴴ diag(min(y, 5 ȳ)) B, as large as the data say.

    Parameters
    ----------
    A : Intensity
    y : Tensor, shape (..., *range.shape)
    steps : int
        Of the power method, from a vector of fixed random numbers.

    Returns
    -------
    Tensor, shape (..., *domain.shape)

    References
    ----------
    E. J. Candès, X. Li, M. Soltanolkotabi, "Phase retrieval via Wirtinger flow: theory and algorithms", IEEE
    Trans. Inf. Theory 61 (2015); Y. Chen and E. Candès, "Solving random quadratic systems of equations is
    nearly as easy as solving linear systems", Comm. Pure Appl. Math. 70 (2017).

    Examples
    --------
    >>> from invcore.operators import Matrix
    >>> from invcore_optics import PhaseRetrieval
    >>> A = PhaseRetrieval(Matrix(torch.eye(2) + 0j))
    >>> spectral_start(A, torch.tensor([4.0, 0.0])).abs()
    tensor([2., 0.])
    """
    B: LinearOperator = A.field
    space: Any = A.domain
    dims = tuple(range(-len(A.range.shape), 0))  # type: ignore[union-attr]
    y = y.clamp_min(0)
    weights = spread(A, torch.minimum(y, 5 * y.mean(dims, keepdim=True)))
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((*space.shape, 2), generator=generator, dtype=torch.float64)
    x = torch.view_as_complex(noise).to(device=y.device, dtype=zeros(space, dtype=y.dtype).dtype)
    for _ in range(steps):
        x = B.H(weights * B(x))
        size = norm(x, space)
        x = x / per_sample(torch.where(size > 0, size, 1), space)
    seen = A(x).sum(dims)
    scale = (y.sum(dims) / torch.where(seen > 0, seen, 1)).sqrt()
    return per_sample(scale, space) * x
