"""Batched real FFTs of a blur with several kernels: one spectrum in, many out, and the other way round."""

from __future__ import annotations

from typing import Literal, NamedTuple

import scipy.fft
import torch
from torch import Tensor

from invcore.operators import under_transform

Boundary = Literal["valid", "zero", "circular"]
BOUNDARIES = ("valid", "zero", "circular")


class Layout(NamedTuple):
    """Plan of a convolution: circular on ``sizes``, entry j of the kernel at j - shift, cut to ``out``."""

    sizes: tuple[int, ...]
    shift: tuple[int, ...]
    out: tuple[int, ...]


def layout(spatial: tuple[int, ...], taps: tuple[int, ...], boundary: Boundary) -> Layout:
    """Return the plan of a convolution of images by kernels of ``taps`` entries."""
    center = tuple(k // 2 for k in taps)
    if boundary == "circular":
        return Layout(spatial, center, spatial)
    if boundary == "zero":
        return Layout(tuple(good_size(n + k // 2) for n, k in zip(spatial, taps)), center, spatial)
    last = tuple(k - 1 for k in taps)
    return Layout(tuple(map(good_size, spatial)), last, tuple(n - k for n, k in zip(spatial, last)))


def good_size(n: int) -> int:
    """Return the smallest length of a fast FFT that is at least ``n``."""
    return int(scipy.fft.next_fast_len(n, real=True))


def transfer(kernels: Tensor, sizes: tuple[int, ...], shift: tuple[int, ...]) -> Tensor:
    """Return the spectra of kernels, entry j at j - shift, as the half that determines them."""
    padding = [n for size, k in zip(reversed(sizes), reversed(kernels.shape)) for n in (0, size - k)]
    grid = torch.nn.functional.pad(kernels, padding)
    return spectrum(grid.roll(tuple(-s for s in shift), axes(len(sizes))), sizes)


def spectrum(x: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Return the real Fourier transform, zero-padded to ``sizes``."""
    return torch.fft.rfftn(x, s=sizes, dim=axes(len(sizes)))


def image(s: Tensor, sizes: tuple[int, ...], out: tuple[int, ...]) -> Tensor:
    """Return the inverse of `spectrum`, cut to ``out``."""
    x = torch.fft.irfftn(s, s=sizes, dim=axes(len(sizes)))
    for dim, n in zip(axes(len(out)), out):
        x = x.narrow(dim, 0, n)
    return x


def mixed(x: Tensor, transfers: Tensor, plan: Layout, out: tuple[int, ...], maps: Tensor) -> Tensor:
    """Return Σ_k h_k * (w_k ⊙ x) in K + 1 FFTs; ``x`` is (..., channel, *spatial)."""
    d = len(plan.sizes)
    if _learning(x, transfers, maps):
        weighted = x.unsqueeze(-d - 1) * maps.unsqueeze(-d - 2)
        total = (spectrum(weighted, plan.sizes) * transfers.unsqueeze(-d - 2)).sum(-d - 1)
        return image(total, plan.sizes, out)
    total = x.new_zeros(())
    for w, h in zip(maps.unbind(-d - 1), transfers.unbind(-d - 1), strict=True):  # each stays in the cache
        piece = spectrum(x * w.unsqueeze(-d - 1), plan.sizes)
        h = h.unsqueeze(-d - 1)
        total = total.addcmul_(piece, h) if total.ndim else piece.mul(h)
    return image(total, plan.sizes, out)


def spread(x: Tensor, transfers: Tensor, plan: Layout, out: tuple[int, ...], maps: Tensor) -> Tensor:
    """Return Σ_k w_k ⊙ (h_k * x) in K + 1 FFTs."""
    d = len(plan.sizes)
    source = spectrum(x, plan.sizes)
    if _learning(x, transfers, maps):
        blurred = image(source.unsqueeze(-d - 1) * transfers.unsqueeze(-d - 2), plan.sizes, out)
        return (blurred * maps.unsqueeze(-d - 2)).sum(-d - 1)
    total = x.new_zeros(())
    for w, h in zip(maps.unbind(-d - 1), transfers.unbind(-d - 1), strict=True):
        piece = image(source * h.unsqueeze(-d - 1), plan.sizes, out)
        w = w.unsqueeze(-d - 1)
        total = total.addcmul_(piece, w) if total.ndim else piece * w
    return total


def _learning(*tensors: Tensor) -> bool:
    return (torch.is_grad_enabled() and any(t.requires_grad for t in tensors)) or under_transform()


def axes(d: int) -> tuple[int, ...]:
    """Return the last ``d`` dimensions."""
    return tuple(range(-d, 0))
