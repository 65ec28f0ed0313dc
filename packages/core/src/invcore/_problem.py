"""`Problem`: what a solver solves."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ._errors import ParameterError
from ._krylov.cg import of_one
from ._krylov.scalars import Scalar, plus, relative
from ._physics import Physics
from ._value import Value, real_dtype
from .fidelities import Fidelity, LeastSquares
from .operators import LinearOperator, Operator, Space, SpaceLike
from .operators._autograd import plainly_saved
from .operators._spectrum import flat_gram
from .priors import Prior
from .spaces import (
    batch_shape,
    broadcast_shapes,
    device_of,
    dtype_of,
    expand_batch,
    flatten,
    norm,
    per_sample,
    tensor_dtype,
    tree_map,
    zeros,
)


class Problem(Value):
    """Minimize f(A x; y) + λ g(x) over x.

    Parameters
    ----------
    physics : Physics
    y : Tensor or tuple of Tensor, shape (batch..., *range.shape)
    fidelity : Fidelity
        f, by default the likelihood of the noise.
    prior : Prior, optional
        g.
    weight : float or Tensor, shape (batch...)
        λ.
    x0 : Tensor, optional
        Starting point.
    unit : float
        What x is multiplied by to be in the units of the user: 1 unless the solve runs in another unit, as
        for data beyond 1e±6.
    """

    physics: Physics
    y: Any
    fidelity: Fidelity
    prior: Prior | None = None
    weight: float | Tensor = 1.0
    x0: Any = None
    unit: float = 1.0

    @property
    def A(self) -> Operator:
        """The operator."""
        return self.physics.operator

    @property
    def linear(self) -> LinearOperator:
        """The operator, which must be linear."""
        if not isinstance(self.A, LinearOperator):
            raise ParameterError(
                f"this solver needs a linear operator; {type(self.A).__name__} is not linear"
            )
        return self.A

    @cached_property
    def space(self) -> SpaceLike:
        """Space of x."""
        return self.A.domain

    @property
    def image_space(self) -> Space:
        """Space of x, which must be a single image."""
        if not isinstance(self.space, Space):
            raise ParameterError(
                f"this solver reconstructs a single image; the domain of {type(self.A).__name__} has "
                f"{len(self.space)} blocks"
            )
        return self.space

    def start(self) -> Any:
        """Starting point: ``x0``, by default zero.

        Its batch dimensions are those of ``x0``, data, operator, weight and noise level, broadcast.
        """
        space, y = self.space, self.y
        if isinstance(self.A, LinearOperator):
            like = self.backprojection
            shapes = [batch_shape(like, space)]
        else:
            like, batch = y, batch_shape(y, self.A.range)
            zero = zeros(space, batch, dtype=dtype_of(y), device=device_of(y))
            shapes = [batch, batch_shape(self.A._apply(zero), self.A.range)]
        shapes += [p.shape for p in (self.weight, self.fidelity.lipschitz()) if isinstance(p, Tensor)]
        if self.x0 is not None:
            shapes.append(batch_shape(self.x0, space))
        batch = broadcast_shapes(*shapes)
        if self.x0 is None:
            return zeros(space, batch, dtype=dtype_of(like), device=device_of(like))
        precise = tree_map(lambda x, s: x.to(tensor_dtype(s, dtype_of(like))), self.x0, space)
        return expand_batch(precise, space, batch)

    def change(self, moved: Any, x: Any, like: Scalar) -> Any:
        """Relative size of a step, ‖moved‖/‖x‖ of each sample; a number if ``like`` is one.

        An ``x`` below the rounding of the starting point counts as that large: where the solution is zero, x
        falls by a constant factor a step and its relative change never does.
        """
        return relative(moved, x, like, self.space, self._least)

    @cached_property
    def _least(self) -> Scalar:
        """ε‖x0‖ of each sample; 0 without a starting point."""
        if self.x0 is None:
            return 0.0
        size = norm(self.x0, self.space).detach()
        return torch.finfo(real_dtype(dtype_of(self.y))).eps * size

    def replace(self, **fields: Any) -> Problem:
        """A copy with other fields."""
        return dataclasses.replace(self, **fields)

    def weighted(self, weight: float | Tensor) -> Problem:
        """A copy with another weight, which keeps what was found and does not depend on it."""
        new = self.replace(weight=weight)
        kept = ("backprojection", "sensitivity", "inverse_sensitivity", "lipschitz", "_quadratic")
        new.__dict__.update({name: self.__dict__[name] for name in kept if name in self.__dict__})
        return new

    @cached_property
    def backprojection(self) -> Any:
        """Aᴴy."""
        return self.linear._apply_adjoint(self.y)

    @cached_property
    def sensitivity(self) -> Any:
        """Aᴴ1, see `sensitivity`."""
        return sensitivity(self.linear, self.y)

    @cached_property
    def inverse_sensitivity(self) -> tuple[Tensor, Tensor]:
        """1/Aᴴ1 and zero where A does not see; zero and one there."""
        inverse = inverse_sums(self.sensitivity, self.image_space)
        return inverse, (inverse == 0).to(inverse.dtype)

    @cached_property
    def normal_equations(self) -> tuple[Callable[[Tensor], Tensor], Tensor, Tensor]:
        """AᴴA + λσ² as a map, Aᴴy and λσ², in real coordinates.

        For least squares with a Tikhonov prior.
        """
        if not isinstance(self.fidelity, LeastSquares):
            raise ParameterError(f"normal equations need least squares, not {type(self.fidelity).__name__}")
        gram = flat_gram(self.linear)
        b = flatten(self.backprojection, self.space)
        shift = torch.as_tensor(self.weight / self.fidelity.precision(), dtype=b.dtype, device=b.device)
        if not isinstance(self.weight, Tensor) and self.weight == 0:
            return gram, b, shift
        lam = shift.unsqueeze(-1)
        return (lambda v: torch.addcmul(gram(v), lam, v)), b, shift

    def normal_map(self, like: Scalar) -> Callable[[Tensor], Tensor]:
        """The map of `normal_equations` for scalars like this one: of vectors (n,) where it is a number."""
        return self._normal_map_of_one if isinstance(like, float) else self.normal_equations[0]

    @cached_property
    def _normal_map_of_one(self) -> Callable[[Tensor], Tensor]:
        apply, b, shift = self.normal_equations
        if not (isinstance(self.space, Space) and self.space.kind == "real"):
            return of_one(apply, b.shape)
        gram, lam = of_one(self.linear._gram, self.backprojection.shape), float(shift)
        return gram if lam == 0 else lambda v: plus(gram(v), lam, v)

    @cached_property
    def lipschitz(self) -> Tensor:
        """Lipschitz constant of the gradient of f(A x; y): ‖A‖² times that of f."""
        constant = self.fidelity.lipschitz()
        if constant is None:
            raise ParameterError(
                f"{type(self.fidelity).__name__} has no Lipschitz gradient: choose another solver"
            )
        return (self.linear.norm() ** 2 * constant).to(real_dtype(dtype_of(self.backprojection)))

    def gradient(self, x: Any) -> Any:
        """Gradient of f(A x; y) in x; for least squares from AᴴA and a stored Aᴴy."""
        if self._quadratic is not None:
            gram, b, precision = self._quadratic
            if isinstance(precision, float):
                return torch.add(b, gram(x), alpha=precision)
            return precision * gram(x) + b
        if isinstance(self.A, LinearOperator):
            return self.A._apply_adjoint(self.fidelity.grad(self.A._apply(x), self.y, self.A.range))
        with plainly_saved():
            u, pull, *_ = torch.func.vjp(self.A._apply, x)
            return pull(self.fidelity.grad(u, self.y, self.A.range))[0]

    @cached_property
    def _quadratic(self) -> tuple[Callable[[Any], Any], Any, Any] | None:
        """AᴴA, -p Aᴴy and the precision p of least squares with a linear operator."""
        if not (isinstance(self.fidelity, LeastSquares) and isinstance(self.A, LinearOperator)):
            return None
        precision = per_sample(self.fidelity.precision(), self.space)
        if isinstance(precision, float):  # infinite, where the dtype does not reach
            precision = float(torch.tensor(precision, dtype=real_dtype(dtype_of(self.backprojection))))
        return self.A._gram, -precision * self.backprojection, precision

    def objective(self, x: Any) -> Tensor:
        """f(A x; y) + λ g(x) of each batch item."""
        value = self.fidelity.value(self.A._apply(x), self.y, self.A.range)
        return value if self.prior is None else value + self.weight * self.prior.value(x, self.space)


def sensitivity(A: LinearOperator, y: Any) -> Any:
    """Aᴴ1, or what an operator that sees only a part of the events states in its place."""
    own = getattr(A, "sensitivity", None)
    return A._apply_adjoint(tree_map(torch.ones_like, y)) if own is None else own.to(real_dtype(dtype_of(y)))


def inverse_sums(sums: Any, space: SpaceLike) -> Any:
    """Reciprocal of the row or column sums; zero where the sum is within rounding of zero."""
    if isinstance(sums, tuple):
        assert isinstance(space, tuple)
        return tuple(inverse_sums(t, s) for t, s in zip(sums, space))
    assert isinstance(space, Space)
    # as large as the most negative sum of the sample, if there is one
    lobes = -sums.amin(dim=tuple(range(-len(space.shape), 0)), keepdim=True).clamp_max(0)
    seen = sums > lobes
    return torch.where(seen, 1, 0) / torch.where(seen, sums, 1)


def tolerance(problem: Problem, rtol: float) -> float:
    """Effective stopping tolerance: `rtol`, but min(100 rtol, max(rtol, 1e-3)) if the iterates do not settle.

    An average over random draws is known to about 1/√k only, however little it moves.
    """
    if problem.prior is None or problem.prior.settles:
        return rtol
    return min(100 * rtol, max(rtol, 1e-3))


@torch.no_grad()
def warn_of_unit(problem: Problem, denoiser: Any) -> None:
    """Warn if images are far from the range of values that a denoiser is meant for: bytes, or raw data.

    Their size is that of the first step of steepest descent, α Aᴴy. Nothing is cached: a graph may follow.
    """
    limits = getattr(denoiser, "value_range", None)
    if limits is None or not isinstance(problem.A, LinearOperator) or not isinstance(problem.space, Space):
        return
    back = problem.A._apply_adjoint(problem.y)
    seen = problem.A._apply(back)
    if not back.numel() or not bool(seen.abs().amax() > 0):
        return
    step = norm(back, problem.space).square() / norm(seen, problem.A.range).square().clamp_min(1e-300)
    sigma = torch.as_tensor(getattr(problem.physics.noise, "sigma", 0.0)).amax()
    largest = float((per_sample(step, problem.space) * back).abs().amax()) * problem.unit
    noise = float(sigma * step.amax().sqrt()) * problem.unit
    span = max(abs(limit) for limit in limits)
    if largest > 10 * (span + noise) or largest < span / 100:
        warnings.warn(
            f"the data are of images of about {largest:.2g}, and {type(denoiser).__name__} is for values "
            f"from {limits[0]:g} to {limits[1]:g}: bring both to one unit, "
            f"invcore.denoiser('rescaled', denoiser, scale=...) with the largest value of the image",
            stacklevel=5,
        )
