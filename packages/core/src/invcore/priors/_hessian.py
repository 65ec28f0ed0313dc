"""Hessian–Schatten norm: sparse second derivatives."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from .._variation.dual import dual_prox
from ..operators import LinearOperator, Space, SpaceLike
from ..spaces import per_sample
from ._base import Part, Prior
from ._singular_values import shrink
from ._small_matrices import eigen3, shrink2, shrink3, singular2


class HessianSchatten(Prior):
    r"""Hessian–Schatten norm of order 1 [1]_: the sum of the singular values of the Hessian at every pixel.

    .. math:: g(x) = \sum_{c,i} \|(H x_c)_i\|_*

    The entries of H are differences over the ``spacing``. A second-order relative of total variation: affine
    regions cost nothing, so ramps do not turn into stairs. Second differences are central and zero at the two
    ends of their axis, mixed ones forward and zero at the last. Solvers that split work with it as it is
    (`split`). The proximal operator solves the dual problem by accelerated projected gradients with restarts,
    each sample until its duality gap is below ``rtol`` times the primal value; derivatives go through the
    iterations.

    References
    ----------
    .. [1] S. Lefkimmiatis, J. Ward, M. Unser, "Hessian Schatten-norm regularization for linear inverse
       problems", IEEE Trans. Image Process. 22 (2013).

    Examples
    --------
    >>> y, x = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    >>> g = HessianSchatten()
    >>> g.value((2 * x - y)[None]) < 1e-6, g.value((x**2)[None])  # a ramp; 8 pixels curved by 2
    (tensor(True), tensor(16.))
    """

    degree: ClassVar[int] = 1

    spatial_dims: int = 2
    spacing: tuple[float, ...] | None = None
    rtol: float = 1e-4
    max_steps: int = 2000

    def split(self, space: SpaceLike) -> tuple[LinearOperator, Prior]:
        """Second differences, and the sum of their singular values."""
        image = self._item(None, space)
        return self._hessian(image), HessianNuclear()

    def _value(self, x: Tensor, space: Space) -> Tensor:
        K = self._hessian(space)
        return HessianNuclear().value(K._apply(x), K.range)

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        z, gap = self.denoise(x, step, space)
        self._warn("prox", gap)
        return z

    def denoise(
        self, x: Tensor, step: float | Tensor, space: SpaceLike | None = None
    ) -> tuple[Tensor, Tensor]:
        """`prox`, and the relative duality gap, shape (batch...).

        The distance to the exact result is at most √(2 gap · primal value · step).
        """
        K = self._hessian(self._item(x, space))
        parts = [Part(K, HessianNuclear())]
        return dual_prox(x, step, parts, rtol=self.rtol, max_steps=self.max_steps)[:2]

    def _hessian(self, image: Space) -> Hessian:
        return Hessian(domain=image, spatial_dims=self.spatial_dims, spacing=self.spacing)


class Hessian(LinearOperator):
    """Second differences over the spacing along all pairs of axes: ``(axis, axis, channel, *spatial)``.

    Central along one axis, zero at its ends; forward in both axes of a pair, zero at the last sample of
    either. Affine images are its kernel, together with what ends hide.
    """

    domain: Space
    spatial_dims: int = 2
    spacing: tuple[float, ...] | None = None

    @property
    def _scales(self) -> tuple[float, ...]:
        return tuple(1 / h for h in self.spacing or (1.0,) * self.spatial_dims)

    @property
    def range(self) -> Space:
        return Space((self.spatial_dims, self.spatial_dims, *self.domain.shape), self.domain.kind)

    def forward(self, x: Tensor) -> Tensor:
        rows: list[list[Tensor]] = [[x] * self.spatial_dims for _ in range(self.spatial_dims)]
        axes = list(range(-self.spatial_dims, 0))
        for i, a in enumerate(axes):
            s = self._scales
            rows[i][i] = s[i] ** 2 * _central(x, a)
            d = _forward(x, a)
            for j in range(i + 1, self.spatial_dims):
                rows[i][j] = rows[j][i] = s[i] * s[j] * _forward(d, axes[j])
        at = x.ndim - len(self.domain.shape)
        return torch.stack([torch.stack(row, at) for row in rows], at)

    def adjoint(self, y: Tensor) -> Tensor:
        at = y.ndim - len(self.range.shape)
        axes = list(range(-self.spatial_dims, 0))
        out = torch.zeros_like(y.select(at, 0).select(at, 0), memory_format=torch.contiguous_format)
        for i, a in enumerate(axes):
            row = y.select(at, i)
            s = self._scales
            out = out + s[i] ** 2 * _central_adjoint(row.select(at, i), a)
            for j in range(i + 1, self.spatial_dims):
                both = row.select(at, j) + y.select(at, j).select(at, i)
                out = out + s[i] * s[j] * _forward_adjoint(_forward_adjoint(both, axes[j]), a)
        return out

    def norm_bound(self) -> Tensor:
        return torch.tensor(4 * sum(s**2 for s in self._scales))


def _forward(x: Tensor, dim: int) -> Tensor:
    return torch.cat([x.diff(dim=dim), torch.zeros_like(x.narrow(dim, 0, 1))], dim)


def _forward_adjoint(y: Tensor, dim: int) -> Tensor:
    inner = y.narrow(dim, 0, y.shape[dim] - 1)
    zero = torch.zeros_like(y.narrow(dim, 0, 1))
    return torch.cat([zero, inner], dim) - torch.cat([inner, zero], dim)


def _central(x: Tensor, dim: int) -> Tensor:
    n = x.shape[dim]
    if n < 3:
        return torch.zeros_like(x)
    zero = torch.zeros_like(x.narrow(dim, 0, 1))
    inner = x.narrow(dim, 2, n - 2) - 2 * x.narrow(dim, 1, n - 2) + x.narrow(dim, 0, n - 2)
    return torch.cat([zero, inner, zero], dim)


def _central_adjoint(y: Tensor, dim: int) -> Tensor:
    n = y.shape[dim]
    if n < 3:
        return torch.zeros_like(y)
    inner = y.narrow(dim, 1, n - 2)
    pair = torch.zeros_like(y.narrow(dim, 0, 2))
    one_ = torch.zeros_like(y.narrow(dim, 0, 1))
    return (
        torch.cat([pair, inner], dim)
        - 2 * torch.cat([one_, inner, one_], dim)
        + torch.cat([inner, pair], dim)
    )


class HessianNuclear(Prior):
    """h(Z) = Σ of the singular values of the matrices Z[:, :, ...], for `HessianSchatten`.

    The two dimensions of the matrices are the first two of the space, as in ``(axis, axis, channel, y, x)``.
    Matrices must be symmetric, as Hessians are.

    Examples
    --------
    >>> HessianNuclear().value(torch.tensor([[1.0, 0.0], [0.0, -2.0]]).reshape(2, 2, 1, 1))
    tensor(3.)
    """

    def _value(self, x: Tensor, space: Space) -> Tensor:
        s = self._singular(x, space)
        return s.sum(tuple(range(-len(space.shape) + 1, 0)))

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        t = per_sample(step, space)
        at = x.ndim - len(space.shape)
        if _closed(x, at):
            first, off, last = (x.select(at, i).select(at, j) for i, j in ((0, 0), (0, 1), (1, 1)))
            shift = t.squeeze(at).squeeze(at) if isinstance(t, Tensor) and t.ndim else t
            mean, half, radius = _eigen(first, off, last)
            high, low = _soft(mean + radius, shift), _soft(mean - radius, shift)
            middle, ratio = (high + low) / 2, (high - low) / (2 * radius)
            corner = ratio * off
            rows = [[middle + ratio * half, corner], [corner, middle - ratio * half]]
            return torch.stack([torch.stack(row, at) for row in rows], at)
        entrywise = shrink3 if _real3(x, at) else shrink2 if x.shape[at] == 2 else None
        if entrywise is not None:
            shift = t.squeeze(at).squeeze(at) if isinstance(t, Tensor) and t.ndim else t
            rows = entrywise(_entries(x, at), shift)
            return torch.stack([torch.stack(row, at) for row in rows], at)
        return _shrunk_by_svd(x, t, at)

    def _conjugate(self, u: Tensor, space: Space, weight: float | Tensor) -> Tensor:
        """(weight h)*(u): 0 where no singular value exceeds ``weight`` (up to rounding), else infinity."""
        s = self._singular(u, space)
        top = s.amax(tuple(range(-len(space.shape) + 1, 0)))
        return torch.where(
            top <= weight * (1 + 1000 * torch.finfo(top.dtype).eps), torch.zeros_like(top), math.inf
        )

    def _singular(self, x: Tensor, space: Space) -> Tensor:
        """Singular values, first of the trailing dimensions."""
        at = x.ndim - len(space.shape)
        if _closed(x, at):
            mean, _, radius = _eigen(*(x.select(at, i).select(at, j) for i, j in ((0, 0), (0, 1), (1, 1))))
            return torch.stack([(mean + radius).abs(), (mean - radius).abs()], at)
        if _real3(x, at):
            return torch.stack([e.abs() for e in eigen3(_entries(x, at))[0]], at)
        if x.shape[at] == 2:
            return torch.stack(singular2(_entries(x, at)), at)
        return torch.linalg.svdvals(x.movedim((at, at + 1), (-2, -1))).movedim(-1, at)


def _shrunk_by_svd(x: Tensor, t: float | Tensor, at: int) -> Tensor:
    """The proximal operator for matrices of any kind and size, slow where they are many."""
    matrices = x.movedim((at, at + 1), (-2, -1))
    if isinstance(t, Tensor) and t.ndim:
        t = t.movedim((at, at + 1), (-2, -1)).squeeze((-2, -1))
    return shrink(matrices, t).movedim((-2, -1), (at, at + 1)).contiguous()


def _entries(x: Tensor, at: int) -> list[list[Tensor]]:
    n = x.shape[at]
    return [[x.select(at, i).select(at, j) for j in range(n)] for i in range(n)]


def _real3(x: Tensor, at: int) -> bool:
    return not x.is_complex() and x.shape[at] == 3


def _closed(x: Tensor, at: int) -> bool:
    """True if the matrices are real and 2 x 2: no library needed."""
    return not x.is_complex() and x.shape[at] == 2


def _eigen(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and half the difference of the diagonal, and the radius: eigenvalues are mean ± radius."""
    half = (a - c) / 2
    power = (half.square() + b.square()).clamp_min(torch.finfo(a.dtype).tiny)
    return (a + c) / 2, half, power.sqrt()


def _soft(v: Tensor, t: float | Tensor) -> Tensor:
    return v.sign() * (v.abs() - t).clamp_min(0)
