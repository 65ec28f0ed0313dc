"""ASD-POCS: least total variation within the noise, by projections and adaptive steepest descent."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._problem import Problem
from ..operators import LinearOperator, Space
from ..priors import TV
from ..spaces import flatten, unflatten
from ._base import Solver
from ._cgls import noise_floor
from ._kaczmarz import Equations, correction, equations

_RELAXATION, _LENGTH, _SHORTER, _SHARE = 0.995, 0.2, 0.95, 0.95
"""β_red, α, α_red and r_max of the paper."""
_FLOOR = 1e-6
"""Of the largest pixel: below it a difference counts as none."""


class _State(NamedTuple):
    x: Tensor
    image: Tensor
    equations: Equations
    length: Tensor
    misfit: Tensor
    cosine: Tensor
    k: int
    change: Tensor


class ASDPOCS(Solver):
    """Least total variation subject to ‖Ax - y‖ ≤ ε and, by choice, x ≥ 0, for few or sparse views [1]_.

    .. math:: \\min_x \\; \\sum |∇x| \\quad \\text{subject to} \\quad ‖Ax - y‖ ≤ τσ\\sqrt{m}

    One step is a pass of `Kaczmarz` projections with relaxation β (0.995 times the last one), the projection
    on x ≥ 0, and descent steps along the normalized gradient of the total variation. Their length is 0.2 of
    what the first pass moved, and 0.95 times the last one where together they move x by more than 0.95 of
    what the projections do, while the data are not yet fitted. At the minimizer the gradients of total
    variation and misfit are opposed: the cosine between them, over pixels that may move, tells how far one
    is.

    Parameters
    ----------
    discrepancy : float, optional
        τ, for a noise level σ that the physics states. None, or an unknown σ: ε = 0.
    nonnegative_image : bool
        Project on x ≥ 0.
    spatial_dims : int
        2 or 3 (the last ones).
    descents : int
        Steepest descent steps after each pass.
    alignment : float
        Stop, per sample, when ‖Ax - y‖ ≤ 1.01 ε and the cosine is below minus this. In theory the minimizer
        has 1; where flat regions leave the slope of total variation open, 0.9 may be out of reach.
    max_steps : int
        The relaxation is e^(-max_steps/200) in the end.

    References
    ----------
    .. [1] E. Sidky and X. Pan, "Image reconstruction in circular cone-beam computed tomography by
       constrained, total-variation minimization", Phys. Med. Biol. 53 (2008).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Mask
    >>> from invcore.solvers import ASDPOCS
    >>> image = torch.tensor([[[1.0, 1.0], [1.0, 1.0]]])
    >>> physics = Physics(Mask(mask=torch.ones(1, 2, 2), domain=(1, 2, 2)), GaussianNoise(sigma=0.1))
    >>> ASDPOCS()(image, physics).round(decimals=1)
    tensor([[[1., 1.],
             [1., 1.]]])
    """

    exact: ClassVar[bool] = False
    discrepancy: float | None = 1.0
    nonnegative_image: bool = False
    spatial_dims: int = 2
    descents: int = 20
    alignment: float = 0.8
    max_steps: int = 500

    def __post_init__(self) -> None:
        if not 0 < self.alignment < 1:
            raise ParameterError(f"ASDPOCS: alignment must be between 0 and 1, got {self.alignment!r}")

    def init(self, problem: Problem) -> _State:
        space = problem.image_space
        if self.nonnegative_image and space.kind == "complex":
            raise ParameterError("ASDPOCS: nonnegative_image=True is for real images")
        x = flatten(problem.start(), space)
        unknown = torch.full_like(x[..., 0], torch.inf)
        zero = torch.zeros_like(unknown)
        return _State(x, x, equations(self, problem), zero, unknown, zero, 0, unknown)

    def step(self, problem: Problem, state: _State) -> _State:
        x, k, space = state.x, state.k, problem.image_space
        for i in range(state.equations.sizes.shape[-1]):
            x = x + _RELAXATION**k * correction(problem, state.equations, x, i)
        image = x.clamp_min(0) if self.nonnegative_image else x
        moved = _norm(image - state.x)
        length = _LENGTH * moved if k == 0 else state.length
        D = TV(spatial_dims=self.spatial_dims).split(space)[0]
        x = image
        for _ in range(self.descents):
            slope = _variation_slope(D, x, space)
            x = x - (length / _unless_zero(_norm(slope))).unsqueeze(-1) * slope
        misfit, cosine = self._assessed(problem, D, image)
        strayed = (_norm(x - image) > _SHARE * moved) & (misfit > noise_floor(problem, self.discrepancy))
        length = torch.where(strayed, _SHORTER * length, length)
        change = (_norm(image - state.image) / _unless_zero(_norm(image))).detach()
        return _State(x, image, state.equations, length, misfit, cosine, k + 1, change)

    @torch.no_grad()
    def _assessed(self, problem: Problem, D: LinearOperator, x: Tensor) -> tuple[Tensor, Tensor]:
        """‖Ax - y‖, and the cosine between the slopes of total variation and misfit, where x may move."""
        A, space = problem.linear, problem.image_space
        left = flatten(A._apply(unflatten(x, space)), A.range) - flatten(problem.y, A.range)
        free = (x > 0) | torch.tensor(not self.nonnegative_image, device=x.device)
        pull = free * flatten(A._apply_adjoint(unflatten(left, A.range)), space)
        down = free * _variation_slope(D, x, space)
        return _norm(left), (pull * down).sum(-1) / _unless_zero(_norm(pull) * _norm(down))

    def converged(self, problem: Problem, state: _State) -> Tensor:
        fits = state.misfit <= 1.01 * noise_floor(problem, self.discrepancy)
        return fits & (state.cosine <= -self.alignment)

    def value(self, problem: Problem, state: _State) -> Any:
        """The image before the descents, which fits the data."""
        return unflatten(state.image, problem.space)


def _variation_slope(D: LinearOperator, x: Tensor, space: Space) -> Tensor:
    """A slope of Σ |∇x|: Dᴴ(u/|u|), u = Dx."""
    u = D._apply(unflatten(x, space))
    over = tuple(range(-len(space.shape) - 1, -len(space.shape) + 1))  # axis and channel
    size = (u.abs() ** 2).sum(over, keepdim=True)
    least = (_FLOOR * x.detach().abs().amax(-1)) ** 2
    least = torch.where(least > 0, least, 1).reshape(*least.shape, *(1,) * (len(space.shape) + 1))
    return flatten(D._apply_adjoint(u / size.maximum(least).sqrt()), space)


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=-1)


def _unless_zero(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 1)
