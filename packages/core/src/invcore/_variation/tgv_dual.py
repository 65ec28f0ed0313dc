"""The primal-dual iteration behind `TGVDenoiser`, with a duality gap per sample."""

from __future__ import annotations

import torch
from torch import Tensor


class SecondOrder:
    """Differences D of images and symmetrized differences E of fields: E D vanishes on affine images only.

    Images are ``(sample, channel, *spatial)``; fields have one, matrices two more axes in front. The forward
    difference along axis a does not exist at the end of that axis; nothing that needs it exists either, and
    is zero here.
    """

    def __init__(self, dims: int, spacing: tuple[float, ...] | None = None) -> None:
        self.dims = dims
        self.scales = tuple(1 / h for h in spacing or (1.0,) * dims)
        self.square = 4 * sum(s**2 for s in self.scales)
        """Bounds ‖D‖² and ‖E‖²."""
        self.bound = self.square + (1 + (1 + 4 * self.square) ** 0.5) / 2
        """Bounds the squared norm of (x, w) ↦ (D x - w, E w)."""

    def _axis(self, a: int) -> int:
        return a - self.dims

    def forward(self, x: Tensor) -> Tensor:
        """D x."""
        return torch.stack([s * _forward(x, self._axis(a)) for a, s in enumerate(self.scales)])

    def divergence(self, p: Tensor) -> Tensor:
        """The adjoint of `forward`."""
        terms = (s * _forward_adjoint(p[a], self._axis(a)) for a, s in enumerate(self.scales))
        return sum(terms, torch.zeros_like(p[0]))

    def valid(self, w: Tensor) -> Tensor:
        """Zero where the difference does not exist."""
        w = w.clone()
        for a in range(self.dims):
            w[a].narrow(self._axis(a), w.shape[self._axis(a)] - 1, 1).zero_()
        return w

    def symmetrized(self, w: Tensor) -> Tensor:
        """E w."""
        rows = []
        for a, s in enumerate(self.scales):
            row = torch.stack([self._masked(_backward(w[b], self._axis(a)), b) for b in range(self.dims)])
            rows.append(s * row)
        g = torch.stack(rows)
        return (g + g.transpose(0, 1)) / 2

    def symmetrized_adjoint(self, q: Tensor) -> Tensor:
        """The adjoint of `symmetrized`."""
        q = (q + q.transpose(0, 1)) / 2
        columns = []
        for b in range(self.dims):
            terms = [
                s * _backward_adjoint(self._masked(q[a, b], b), self._axis(a))
                for a, s in enumerate(self.scales)
            ]
            columns.append(sum(terms[1:], terms[0]))
        return torch.stack(columns)

    def _masked(self, x: Tensor, b: int) -> Tensor:
        x = x.clone()
        x.narrow(self._axis(b), x.shape[self._axis(b)] - 1, 1).zero_()
        return x


def _forward(x: Tensor, dim: int) -> Tensor:
    return torch.cat([x.diff(dim=dim), torch.zeros_like(x.narrow(dim, 0, 1))], dim)


def _forward_adjoint(y: Tensor, dim: int) -> Tensor:
    edge = torch.zeros_like(y.narrow(dim, 0, 1))
    inner = y.narrow(dim, 0, y.shape[dim] - 1)
    return torch.cat([edge, inner], dim) - torch.cat([inner, edge], dim)


def _backward(x: Tensor, dim: int) -> Tensor:
    return torch.cat([torch.zeros_like(x.narrow(dim, 0, 1)), x.diff(dim=dim)], dim)


def _backward_adjoint(y: Tensor, dim: int) -> Tensor:
    edge = torch.zeros_like(y.narrow(dim, 0, 1))
    inner = y.narrow(dim, 1, y.shape[dim] - 1)
    return torch.cat([edge, inner], dim) - torch.cat([inner, edge], dim)


def magnitude(field: Tensor, spatial: int, front: int) -> Tensor:
    """Norm over the axes in front and the channels: ``(sample, 1, *spatial)``."""
    power = field.real.square() + field.imag.square() if field.is_complex() else field.square()
    power = power.sum(tuple(range(front))).sum(1, keepdim=True)
    positive = power > 0  # no infinite derivative at zero
    return torch.where(positive, torch.where(positive, power, 1.0).sqrt(), 0.0)


def solve(
    u: Tensor, K: SecondOrder, *, ratio: float, rtol: float, max_steps: int, every: int = 20
) -> tuple[Tensor, Tensor]:
    """Minimize ``Σ |Dx - w| + ratio Σ |E w| + ‖x - u‖²/2`` over x and w for each sample.

    Parameters
    ----------
    u : Tensor, shape (sample, channel, *spatial)
    K : SecondOrder

    Returns
    -------
    x : Tensor
    gap : Tensor, shape (sample,)
        Relative duality gap.
    """
    dims = K.dims
    x = mean_x = u
    w = mean_w = torch.zeros_like(K.forward(u))
    p, q = w, torch.zeros_like(K.symmetrized(w))
    # steps in proportion to the distances that the slopes and the bounded dual fields go
    slopes = K.forward(u)
    size = _energy(slopes.movedim(0, 1)) / max(slopes[:, :1].numel(), 1)
    balance = (0.13 * size.clamp_min((0.1 / 0.13) ** 2).sqrt()).view(-1, *(1,) * (u.ndim - 1))
    primal, dual = balance / K.bound**0.5, 1 / (balance * K.bound**0.5)
    result = u
    gap = torch.full((len(u),), torch.inf, dtype=u.real.dtype, device=u.device)
    done = torch.zeros(len(u), dtype=torch.bool, device=u.device)
    for k in range(1, max_steps + 1):
        p = p + dual * (K.forward(mean_x) - K.valid(mean_w))
        p = p / magnitude(p, dims, 1).clamp_min(1)
        q = q + dual * K.symmetrized(mean_w)
        q = q / (magnitude(q, dims, 2) / ratio).clamp_min(1)
        new_x = (x + primal * (u - K.divergence(p))) / (1 + primal)
        new_w = w + primal * (p - K.symmetrized_adjoint(q))
        mean_x, mean_w = 2 * new_x - x, 2 * new_w - w
        x, w = new_x, new_w
        if k % every == 0 or k == max_steps:
            with torch.no_grad():
                now = _gap(K, u, x, w, q, ratio)
            kept = done.view(-1, *(1,) * (u.ndim - 1))
            result, gap = torch.where(kept, result, x), torch.where(done, gap, now)
            done = done | (gap <= rtol)
            if bool(done.all()):
                break
    return result, gap


def _gap(K: SecondOrder, u: Tensor, x: Tensor, w: Tensor, q: Tensor, ratio: float) -> Tensor:
    """Primal minus dual value (beyond rounding) over the primal value, with the dual field made feasible."""
    dims = K.dims
    first = magnitude(K.forward(x) - K.valid(w), dims, 1).flatten(1).sum(1)
    second = magnitude(K.symmetrized(w), dims, 2).flatten(1).sum(1)
    value = first + ratio * second + _energy(x - u) / 2
    p = K.symmetrized_adjoint(q)
    largest = magnitude(p, dims, 1).flatten(1).amax(1).clamp_min(1)
    field = K.divergence(p) / largest.view(-1, *(1,) * (u.ndim - 1))
    bound = _inner(u, field) - _energy(field) / 2
    surplus = value - bound - rounding(u, K)
    return torch.where(surplus > 0, surplus / torch.where(surplus > 0, value, 1), 0)


def rounding(x: Tensor, K: SecondOrder) -> Tensor:
    """Bound the rounding error in the value of an affine image, per sample."""
    return 8 * sum(K.scales) * torch.finfo(x.dtype).eps * x.detach().abs().flatten(1).sum(1)


def _energy(x: Tensor) -> Tensor:
    return (x.real.square() + x.imag.square() if x.is_complex() else x.square()).flatten(1).sum(1)


def _inner(x: Tensor, y: Tensor) -> Tensor:
    product = x.real * y.real + x.imag * y.imag if x.is_complex() else x * y
    return product.flatten(1).sum(1)
