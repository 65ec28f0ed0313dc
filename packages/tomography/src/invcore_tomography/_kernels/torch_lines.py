"""`lines` in plain torch: the same sums on any device, differentiable, slow; the compiled kernel's oracle."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["lines_adjoint", "lines_forward"]

_REACH = 5.0
_CHUNK = 2**22  # samples held at once


def lines_forward(
    volume: Tensor, start: Tensor, stop: Tensor, spacing: Tensor, edges: Tensor, sigma: float, only: Tensor
) -> Tensor:
    """Integrals of volumes (n, z, y, x) along segments; see the compiled kernel for the arguments."""
    bins = 1 if only.numel() else max(1, edges.numel() - 1)
    out = volume.new_zeros(start.shape[0], volume.shape[0], bins)
    axis = (stop - start).abs().argmax(-1)
    for m in range(3):
        planes = volume.shape[3 - m]
        chosen = ((axis == m) & (start[:, m] != stop[:, m])).nonzero()[:, 0]
        for lines in chosen.split(max(1, _CHUNK // (planes * bins))):
            some = only[lines] if only.numel() else only
            part = _along(m, volume, start[lines], stop[lines], spacing, edges, sigma, some)
            out = out.index_put((lines,), part)
    return out.permute(1, 2, 0)


def lines_adjoint(
    shape: tuple[int, int, int],
    values: Tensor,
    start: Tensor,
    stop: Tensor,
    spacing: Tensor,
    edges: Tensor,
    sigma: float,
    only: Tensor,
) -> Tensor:
    """The transpose, by reverse-mode differentiation."""
    with torch.enable_grad():
        volume = values.new_zeros(values.shape[0], *shape, requires_grad=True)
        out = lines_forward(volume, start.detach(), stop.detach(), spacing, edges, sigma, only)
        return torch.autograd.grad(out, volume, values, allow_unused=False)[0]


def _along(
    m: int,
    volume: Tensor,
    start: Tensor,
    stop: Tensor,
    spacing: Tensor,
    edges: Tensor,
    sigma: float,
    only: Tensor,
) -> Tensor:
    """Segments that advance most along axis m: (lines, n, bins)."""
    a, b = (axis for axis in range(3) if axis != m)
    d = stop - start
    length = torch.linalg.vector_norm(d * spacing, dim=-1)
    k = torch.arange(volume.shape[3 - m], device=volume.device, dtype=start.dtype)
    t = (k - start[:, m, None]) / d[:, m, None]
    inside = (t >= 0) & (t <= 1)
    planes = volume.movedim(3 - m, 1).flatten(
        2
    )  # (n, planes, the two other axes, the later one of x, y, z first)
    across = volume.shape[3 - a]
    total = volume.new_zeros(volume.shape[0], *t.shape)
    row = k.long().expand(t.shape)
    qa, qb = start[:, a, None] + t * d[:, a, None], start[:, b, None] + t * d[:, b, None]
    for ca in (0, 1):
        for cb in (0, 1):
            ia, ib = qa.detach().floor() + ca, qb.detach().floor() + cb
            weight = (1 - (qa - ia).abs()) * (1 - (qb - ib).abs())
            good = inside & (ia >= 0) & (ia < across) & (ib >= 0) & (ib < volume.shape[3 - b])
            index = torch.where(good, ib.long() * across + ia.long(), 0)
            total = total + planes[:, row, index] * torch.where(good, weight, 0.0).to(volume.dtype)
    total = total * (length / d[:, m].abs())[:, None].to(volume.dtype)
    if edges.numel() < 2:
        return total.sum(-1).T[..., None]
    distance = (t - 0.5) * length[:, None]
    if only.numel():
        below, above = edges[only][:, None], edges[only + 1][:, None]
        share = _normal((above - distance) / sigma) - _normal((below - distance) / sigma)
        return (total * share.to(volume.dtype)).sum(-1).T[..., None]
    share = _normal((edges - distance[..., None]) / sigma).diff(dim=-1)
    return torch.einsum("nlk,lkj->lnj", total, share.to(volume.dtype))


def _normal(z: Tensor) -> Tensor:
    phi = torch.special.ndtr(z)
    return torch.where(z <= -_REACH, 0.0, torch.where(z >= _REACH, 1.0, phi))
