"""Adversarial manifolds: images far from a solution that fit the data as well."""

from __future__ import annotations

import itertools
import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import ConvergenceWarning, ParameterError
from .._krylov.cg import cg
from .._value import full_precision
from ..operators import Operator
from ..spaces import check, flatten, real_size_of, unflatten
from ._weakest import weakest

_DENSE = 2000
"""Unknowns up to which the Jacobian is a matrix."""


class Manifold(NamedTuple):
    """Points x(c) that fit the data, and the directions they lie along.

    Attributes
    ----------
    points : Tensor, shape (N, *domain.shape)
        x(c), those within ε of the data of the center only.
    coordinates : Tensor, shape (N, dims)
        c.
    misfits : Tensor, shape (N,)
        ‖A(x(c)) - A(x)‖.
    directions : Tensor, shape (dims, *domain.shape)
        The right singular vectors of the Jacobian with the smallest singular values. Directions are real: a
        complex image has two for each of those of a complex matrix.
    singular_values : Tensor, shape (dims + 1,)
        Theirs, and the next one, σ: what fits the data lies within about ε/σ of the manifold.
    """

    points: Tensor
    coordinates: Tensor
    misfits: Tensor
    directions: Tensor
    singular_values: Tensor


@full_precision
@torch.no_grad()
def manifold(
    operator: Operator,
    x: Tensor,
    epsilon: float,
    *,
    dims: int = 2,
    count: int = 21,
    extent: float | None = None,
    rtol: float = 1e-8,
    max_steps: int = 50,
    seed: int = 0,
) -> Manifold:
    r"""Trace the images that an operator hardly tells from ``x``, along its weakest directions [1]_.

    With V the ``dims`` right singular vectors of the Jacobian at x of the smallest singular values σᵢ,

    .. math:: x(c) = \operatorname{argmin}_u \{‖A(u) - A(x)‖ : V^{\mathsf H}(u - x) = c\}

    on a grid of c out to ε/σᵢ, by damped Gauss–Newton steps orthogonal to V from the neighbor nearer to x.
    For a linear operator this is the plane of the weakest directions, and the points kept are an ellipse of
    half axes ε/σᵢ. For others it bends with what the data leave open: scale or position in blind problems,
    say.

    Parameters
    ----------
    operator : Operator
        Linear or not.
    x : Tensor, shape (*domain.shape)
        A solution.
    epsilon : float
        ε, the misfit that noise explains, such as σ√m.
    dims : int
        Dimension of the manifold.
    count : int
        Points of the grid along each direction, an odd number.
    extent : float, optional
        Largest |c| along a direction; by default ‖x‖.
    rtol : float
        A point is found when steps are below rtol times its size.
    max_steps : int
        Gauss–Newton steps a point.
    seed : int
        Of the start of the eigenvectors.

    Returns
    -------
    Manifold

    References
    ----------
    .. [1] N. Munier, E. Soubies, P. Weiss, "Jackpot: approximating uncertainty domains with adversarial
       manifolds", J. Mach. Learn. Res. 26 (2025).

    Examples
    --------
    >>> from invcore.operators import Matrix
    >>> found = manifold(Matrix(torch.diag(torch.tensor([1.0, 0.1]))), torch.ones(2), 0.1, dims=1, count=3)
    >>> found.points.round(decimals=2).abs(), found.misfits.round(decimals=2)
    (tensor([[1., 0.],
            [1., 1.],
            [1., 2.]]), tensor([0.1000, 0.0000, 0.1000]))
    """
    check(x, operator.domain, "manifold: point x")
    n = real_size_of(operator.domain)
    center = flatten(x, operator.domain)
    if center.ndim > 1:
        raise ParameterError(f"manifold: x is one image, got a batch of shape {tuple(center.shape[:-1])}")
    if not (1 <= dims < n and count >= 3 and count % 2 and epsilon > 0):
        raise ParameterError(
            f"manifold: dims must be from 1 to {n - 1}, count odd and at least 3, and epsilon positive; got "
            f"dims={dims}, count={count}, epsilon={epsilon}"
        )
    maps = _Maps(operator, center)
    values, V = _directions(maps, dims + 1, seed)
    sigma, V = values.sqrt(), V[:dims]
    reach = float(center.norm()) if extent is None else extent
    half = [min(reach, epsilon / float(s)) if s > 0 else reach for s in sigma[:dims]]
    found = _traced(maps, V, half, count // 2, rtol, max_steps)
    points, coordinates, misfits = (torch.stack(parts) for parts in zip(*found))
    inside = misfits <= epsilon * (1 + 1e-6)
    return Manifold(
        points=unflatten(points[inside], operator.domain),
        coordinates=coordinates[inside],
        misfits=misfits[inside],
        directions=unflatten(V, operator.domain),
        singular_values=sigma,
    )


class _Maps:
    """A, its Jacobian and the adjoint of that, for vectors in real coordinates."""

    def __init__(self, operator: Operator, center: Tensor) -> None:
        self.A, self.center = operator, center
        self.data = self(center)

    def __call__(self, v: Tensor) -> Tensor:
        return flatten(self.A._apply(unflatten(v, self.A.domain)), self.A.range)

    def jacobian(self, v: Tensor) -> tuple[Any, Any]:
        J = self.A.linearize(unflatten(v, self.A.domain))
        push = lambda d: flatten(J._apply(unflatten(d, J.domain)), J.range)
        pull = lambda r: flatten(J._apply_adjoint(unflatten(r, J.range)), J.domain)
        return push, pull


def _directions(maps: _Maps, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """The smallest eigenvalues of JᴴJ at the center, and eigenvectors as rows."""
    n = maps.center.shape[-1]

    def gram(v: Tensor) -> Tensor:
        push, pull = maps.jacobian(maps.center.expand_as(v))
        return pull(push(v))

    if n <= _DENSE:
        matrix = gram(torch.eye(n, dtype=maps.center.dtype, device=maps.center.device))
        values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
        return values[:count].clamp_min(0), vectors[:, :count].mT
    values, vectors, done = weakest(gram, n, count, maps.center, rtol=1e-6, max_steps=500, seed=seed)
    if not done:
        warnings.warn(
            "manifold: the weakest directions of the Jacobian are not found in 500 steps: these are weak, "
            "but there may be weaker ones",
            ConvergenceWarning,
            stacklevel=4,
        )
    return values, vectors


def _traced(
    maps: _Maps, V: Tensor, half: list[float], rings: int, rtol: float, max_steps: int
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(x(c), c, misfit) on the grid, ring by ring, each from its neighbor nearer to the center."""
    unit = torch.tensor(half, dtype=V.dtype, device=V.device) / rings
    cells = itertools.product(range(-rings, rings + 1), repeat=len(half))
    by_ring: dict[int, list[tuple[int, ...]]] = {}
    for cell in cells:
        by_ring.setdefault(max(map(abs, cell)), []).append(cell)
    off = {(0,) * len(half): torch.zeros_like(maps.center)}
    found = {(0,) * len(half): (maps.center, 0 * unit, torch.zeros((), dtype=V.dtype, device=V.device))}
    for ring in range(1, rings + 1):
        inner = [tuple(i - (i > 0) + (i < 0) for i in cell) for cell in by_ring[ring]]
        c = torch.tensor(by_ring[ring], dtype=V.dtype, device=V.device) * unit
        w, misfits = _corrected(maps, V, c, torch.stack([off[i] for i in inner]), rtol, max_steps)
        points = maps.center + c @ V + w
        for cell, *parts in zip(by_ring[ring], w, points, c, misfits):
            off[cell], found[cell] = parts[0], tuple(parts[1:])
    return [found[cell] for cell in sorted(found)]


def _corrected(
    maps: _Maps, V: Tensor, c: Tensor, w: Tensor, rtol: float, max_steps: int
) -> tuple[Tensor, Tensor]:
    """The w ⟂ V of least ‖A(x + Vc + w) - A(x)‖, by Levenberg and Marquardt, and that misfit."""

    def across(v: Tensor) -> Tensor:
        return v - (v @ V.mT) @ V

    base = maps.center + c @ V
    left = maps(base + w) - maps.data
    damping = torch.full_like(left[..., :1], 1e-6)
    for _ in range(max_steps):
        push, pull = maps.jacobian(base + w)
        slope = across(pull(left))
        size = slope.square().sum(-1, keepdim=True)
        shift = damping * push(slope).square().sum(-1, keepdim=True) / torch.where(size > 0, size, 1)
        s = cg(lambda v: across(pull(push(across(v)))) + shift * v, -slope, rtol=1e-10, max_steps=500).x  # noqa: B023
        tried = maps(base + w + s) - maps.data
        better = tried.norm(dim=-1, keepdim=True) < left.norm(dim=-1, keepdim=True)
        w, left = torch.where(better, w + s, w), torch.where(better, tried, left)
        damping = torch.where(better, damping / 10, damping * 10).clamp(1e-15, 1e15)
        moved = s.norm(dim=-1) <= rtol * (base + w).norm(dim=-1)
        if bool(moved.all()):
            break
    return w, left.norm(dim=-1)
