"""Total generalized variation of second order."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._variation.tgv_dual import SecondOrder, magnitude, rounding, solve
from ..operators import Space, SpaceLike
from ..operators._autograd import gradient_once
from ..spaces import broadcast_shapes
from ._base import Prior

_ONCE = "the value of TGV is a minimum found by iteration, whose gradient holds the dual field fixed"
_RELAXATION = 1.5
"""Below 2; 1 is the plain iteration."""


class TGVSolution(NamedTuple):
    """Result of `TGV.denoise`: the image, and the relative duality gap of each sample."""

    x: Tensor
    gap: Tensor


class TGVValue(NamedTuple):
    """Result of `TGV.evaluate`: the value, its certificate, and the vector field that attains it.

    The exact value lies between value - gap and value; shapes (batch...). The field w has shape
    (batch..., axis, channel, *spatial).
    """

    value: Tensor
    gap: Tensor
    field: Tensor


class TGV(Prior):
    r"""Second-order total generalized variation [1]_: piecewise affine images cost their edges and creases.

    .. math:: g(x) = \min_w \sum_i |(D x - w)_i| + r \sum_i |(E w)_i|

    with forward differences D, the symmetrized backward differences E of a vector field w (both over the
    ``spacing``), and Euclidean (Frobenius) norms at each pixel over axes, channels, real and imaginary part.
    Differences that would leave the image play no part, so that g vanishes on affine images, and on no
    others.

    ``value`` solves the problem in w by a primal-dual iteration [2]_ until the duality gap is below ``rtol``
    times the value; derivatives of it are those of the dual bound, ⟨Dx, Eᵀq⟩ with the dual field q held
    fixed. ``prox`` is that of `invcore.denoisers.TGVDenoiser`, each sample until its duality gap is below
    ``rtol`` times the primal value; derivatives go through the iterations. g is no proximable function of a
    linear image of x alone (w would have to join the unknowns), so solvers that split work with ``prox``.

    Parameters
    ----------
    ratio : float
        r: the price of a change of slope, in units of the spacing; large values approach the total variation
        of what an affine image leaves.

    References
    ----------
    .. [1] K. Bredies, K. Kunisch, T. Pock, "Total generalized variation", SIAM J. Imaging Sci. 3 (2010).
    .. [2] A. Chambolle, T. Pock, "A first-order primal-dual algorithm for convex problems with applications
       to imaging", J. Math. Imaging Vis. 40 (2011).

    Examples
    --------
    >>> g = TGV(spatial_dims=1, ratio=2.0)
    >>> g.value(torch.tensor([[0.0, 1.0, 2.0, 3.0, 2.0, 1.0, 0.0]]))  # one crease: the slope changes by 2
    tensor(4.)
    >>> g.prox(torch.tensor([[0.0, 1.0, 2.0, 3.0]]), 1.0).round(decimals=3)  # affine: nothing to pay
    tensor([[0., 1., 2., 3.]])
    """

    degree: ClassVar[int] = 1

    ratio: float = 2.0
    spatial_dims: int = 2
    spacing: tuple[float, ...] | None = None
    rtol: float = 1e-3
    max_steps: int = 3000

    def __post_init__(self) -> None:
        if not 0 < self.ratio < math.inf:
            raise ParameterError(f"TGV: ratio must be positive, got {self.ratio!r}")
        super().__post_init__()

    def _value(self, x: Tensor, space: Space) -> Tensor:
        return self.evaluate(x, space).value

    def evaluate(self, x: Tensor, space: SpaceLike | None = None) -> TGVValue:
        """g(x) as `value`, with the duality gap and the vector field w that attains it."""
        image = self._item(x, space)
        batch = x.shape[: x.ndim - len(image.shape)]
        value, gap, w = _evaluate(
            self._flat(x, image),
            self._differences,
            ratio=self.ratio,
            rtol=self.rtol,
            max_steps=self.max_steps,
        )
        size = value.detach() + rounding(self._flat(x, image), self._differences) / self._rtol(x.dtype)
        self._warn("value", gap / torch.where(size > 0, size, 1))
        field = w.movedim(0, 1).reshape(*batch, self.spatial_dims, *image.shape)
        return TGVValue(value.reshape(batch), gap.reshape(batch), field)

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        return self.denoise(x, step, space).x

    def denoise(self, x: Tensor, step: float | Tensor, space: SpaceLike | None = None) -> TGVSolution:
        """`prox`, with the relative duality gap, shape (batch...).

        The distance to the exact result is at most √(2 gap · primal value · step).
        """
        image, t = self._item(x, space), self._steps(step, x)
        batch = broadcast_shapes(x.shape[: x.ndim - len(image.shape)], t.shape)
        x = x.expand(*batch, *image.shape)
        if not x.numel():
            return TGVSolution(x.clone(), t.new_zeros(batch))
        flat = self._flat(x, image)
        level = t.expand(batch).reshape(-1, *(1,) * (flat.ndim - 1))
        unit = torch.where(level > 0, level, 1.0)  # the weight is one in these units
        z, gap = solve(
            flat / unit,
            self._differences,
            ratio=self.ratio,
            rtol=self._rtol(x.dtype),
            max_steps=self.max_steps,
        )
        gap = torch.where(level.flatten() > 0, gap, 0)
        self._warn("prox", gap)
        z = torch.where(level > 0, z * unit, flat)
        return TGVSolution(z.reshape(x.shape), gap.reshape(batch))

    @property
    def _differences(self) -> SecondOrder:
        return SecondOrder(self.spatial_dims, self.spacing)

    @property
    def tolerance(self) -> float:
        return 2 * self.rtol  # of the minimization, and of the value

    def _rtol(self, dtype: torch.dtype) -> float:
        return max(self.rtol, 8 * torch.finfo(dtype).eps)

    def _flat(self, x: Tensor, image: Space) -> Tensor:
        """(sample, channel, *spatial)."""
        lead = len(image.shape) - self.spatial_dims
        samples = math.prod(x.shape[: x.ndim - len(image.shape)])
        return x.reshape(samples, math.prod(image.shape[:lead]), *image.shape[lead:])


def _evaluate(
    x: Tensor, K: SecondOrder, *, ratio: float, rtol: float, max_steps: int, every: int = 10
) -> tuple[Tensor, Tensor, Tensor]:
    """Minimize Σ|Dx - w| + ratio Σ|Ew| over w, per sample: value, duality gap, w (axis, sample, ...)."""
    dims = K.dims
    if not x.numel():
        none = x.real.flatten(1).sum(1)
        return none, none, K.forward(x)
    column = (1, -1, *(1,) * (x.ndim - 1))
    with torch.no_grad():
        slopes = K.forward(x)
        floor = rounding(x, K)
        rtol = max(rtol, 8 * torch.finfo(x.dtype).eps)
        size = magnitude(slopes, dims, 1).flatten(1).mean(1)
        balance = torch.where(size > 0, size, 1.0).view(column) / ratio
        primal, dual = balance / K.square**0.5, 1 / (balance * K.square**0.5)
        w = slopes
        q = torch.zeros_like(K.symmetrized(w))
        best_w, best_q = w, q
        best_value, best_bound = _objective(K, slopes, w, ratio), torch.zeros_like(size)
        for k in range(1, max_steps + 1):
            away = w - primal * K.symmetrized_adjoint(q) - slopes
            length = magnitude(away, dims, 1)
            shrunk = (length - primal[0]).clamp_min(0) / length.clamp_min(torch.finfo(length.dtype).tiny)
            new_w = slopes + shrunk * away
            new_q = q + dual * K.symmetrized(2 * new_w - w)
            new_q = new_q / (magnitude(new_q, dims, 2) / ratio).clamp_min(1)
            if k % every == 0 or k == max_steps:
                done = best_value - best_bound <= rtol * best_value + floor
                value = _objective(K, slopes, new_w, ratio)
                field = _feasible(K, new_q)
                bound = _inner(slopes, field)
                better, tighter = ~done & (value < best_value), ~done & (bound > best_bound)
                best_value = torch.where(better, value, best_value)
                best_w = torch.where(better.view(column), new_w, best_w)
                best_bound = torch.where(tighter, bound, best_bound)
                best_q = torch.where(tighter.view(1, *column), new_q, best_q)
                if bool((best_value - best_bound <= rtol * best_value + floor).all()):
                    break
            w, q = w + _RELAXATION * (new_w - w), q + _RELAXATION * (new_q - q)
        gap = (best_value - best_bound).clamp_min(0)
    if torch.is_grad_enabled() and x.requires_grad:
        bound = _inner(K.forward(gradient_once(x, _ONCE)), _feasible(K, best_q))
        best_value = best_value + (bound - bound.detach())
    return best_value, gap, best_w


def _objective(K: SecondOrder, slopes: Tensor, w: Tensor, ratio: float) -> Tensor:
    first = magnitude(slopes - w, K.dims, 1).flatten(1).sum(1)
    return first + ratio * magnitude(K.symmetrized(w), K.dims, 2).flatten(1).sum(1)


def _feasible(K: SecondOrder, q: Tensor) -> Tensor:
    """Eᵀq, scaled to magnitude at most one."""
    p = K.symmetrized_adjoint(q)
    largest = magnitude(p, K.dims, 1).flatten(1).amax(1).clamp_min(1)
    return p / largest.view(1, -1, *(1,) * (p.ndim - 2))


def _inner(a: Tensor, b: Tensor) -> Tensor:
    product = (a.conj() * b).real if a.is_complex() else a * b
    return product.movedim(1, 0).flatten(1).sum(1)
