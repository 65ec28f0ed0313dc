"""Engine of convolution and resampling: boundaries, spectra, direct sums. Everything is differentiable twice.

The last ``d`` dimensions are spatial, the one before them is the channel. A kernel is
``(..., channel or 1, *k)``.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .._value import complex_dtype
from ..spaces import broadcast_shapes
from ._autograd import under_transform

_CONV: dict[int, Any] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Any] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}

_CHUNK = 2**19  # real numbers filtered together, so that images and their spectra stay in cache
_PIECE = 2**18  # numbers of one large volume transformed together


class Layout(NamedTuple):
    """Plan of a convolution: ``x`` is extended, convolved circularly on ``sizes`` and cut to ``out``.

    Entry j of the kernel lies at (j - shift) modulo the size, so that the result begins at 0.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    sizes: tuple[int, ...]
    shift: tuple[int, ...]
    out: tuple[int, ...]


def good_size(n: int) -> int:
    """The smallest product of 2, 3, 5 and 7 that is at least ``n``."""
    while True:
        rest = n
        for p in (2, 3, 5, 7):
            while rest % p == 0:
                rest //= p
        if rest == 1:
            return n
        n += 1


def spectral_layout(shape: tuple[int, ...], kernel: tuple[int, ...], boundary: str) -> Layout:
    """The layout of a convolution by FFT."""
    none = (0,) * len(shape)
    center = tuple(k // 2 for k in kernel)
    if boundary == "circular":
        return Layout(none, none, shape, center, shape)
    if boundary == "zero":
        # zeros beyond the image catch whatever would wrap around
        sizes = tuple(good_size(n + max(k - 1 - c, c)) for n, k, c in zip(shape, kernel, center))
        return Layout(none, none, sizes, center, shape)
    return _valid_layout(shape, kernel, boundary, [good_size] * len(shape))


def direct_layout(shape: tuple[int, ...], kernel: tuple[int, ...], boundary: str) -> Layout:
    """The layout of a convolution by sums: the extended image is ``sizes``."""
    return _valid_layout(shape, kernel, boundary, [int] * len(shape))


def _valid_layout(shape: tuple[int, ...], kernel: tuple[int, ...], boundary: str, fit: list[Any]) -> Layout:
    last = tuple(k - 1 for k in kernel)
    before = tuple(0 if boundary == "valid" else k - 1 - k // 2 for k in kernel)
    after = tuple(0 if boundary == "valid" else k // 2 for k in kernel)
    extended = tuple(n + b + a for n, b, a in zip(shape, before, after))
    out = tuple(n - k for n, k in zip(extended, last))
    return Layout(before, after, tuple(f(n) for f, n in zip(fit, extended)), last, out)


# -- boundaries ------------------------------------------------------------------------------------------


def extend(x: Tensor, before: tuple[int, ...], after: tuple[int, ...], boundary: str) -> Tensor:
    """``x`` continued beyond its last dimensions (cut, where a number is negative)."""
    for dim, b, a in zip(range(-len(before), 0), before, after):
        n = x.shape[dim]
        kept = x.narrow(dim, max(-b, 0), n + min(a, 0) - max(-b, 0))
        if max(a, b) <= 0:
            x = kept
        elif boundary == "zero":
            x = F.pad(kept, (*(0, 0) * (-dim - 1), max(b, 0), max(a, 0)))
        else:
            left, right = _beyond(n, b, a, boundary, x.device)
            x = torch.cat((x.index_select(dim, left), kept, x.index_select(dim, right)), dim)
    return x


def extend_adjoint(
    y: Tensor, shape: tuple[int, ...], before: tuple[int, ...], after: tuple[int, ...], boundary: str
) -> Tensor:
    """The adjoint of `extend` from ``shape``: what lies beyond is added to where it came from."""
    for dim, n, b, a in zip(range(-len(before), 0), shape, before, after):
        length = y.shape[dim]
        start, stop = max(b, 0), length - max(a, 0)
        kept = y.narrow(dim, start, stop - start)
        if min(a, b) < 0:
            kept = F.pad(kept, (*(0, 0) * (-dim - 1), max(-b, 0), max(-a, 0)))
        if max(a, b) > 0 and boundary != "zero":
            left, right = _beyond(n, b, a, boundary, y.device)
            ends = torch.cat((y.narrow(dim, 0, start), y.narrow(dim, stop, length - stop)), dim)
            kept = kept.index_add(dim, torch.cat((left, right)), ends)
        y = kept
    return y


def _beyond(n: int, before: int, after: int, boundary: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each position beyond an axis of length ``n``, the position on it whose value it takes."""
    left = torch.arange(-max(before, 0), 0, device=device)
    right = torch.arange(n, n + max(after, 0), device=device)
    if boundary == "circular":
        return left % n, right % n
    if boundary == "replicate":
        return left.clamp(0, n - 1), right.clamp(0, n - 1)
    period = max(2 * (n - 1), 1)  # the edge itself is not repeated
    left, right = left % period, right % period
    return torch.minimum(left, (period - left) % period), torch.minimum(right, (period - right) % period)


# -- by FFT ----------------------------------------------------------------------------------------------


def place(kernel: Tensor, sizes: tuple[int, ...], shift: tuple[int, ...]) -> Tensor:
    """The kernel on a circular grid, entry j at (j - shift) modulo the size."""
    for dim, size in zip(range(-len(sizes), 0), sizes):
        k = kernel.shape[dim]
        folds = -(-k // size)
        kernel = F.pad(kernel, (*(0, 0) * (-dim - 1), 0, folds * size - k))
        if folds > 1:
            positive = kernel.ndim + dim
            kernel = kernel.unflatten(positive, (folds, size)).sum(positive)
    return kernel.roll(tuple(-s for s in shift), tuple(range(-len(sizes), 0)))


def place_adjoint(grid: Tensor, kernel: tuple[int, ...], shift: tuple[int, ...]) -> Tensor:
    """The adjoint of `place`: reads the entries of the kernel off the grid."""
    for dim, k, s in zip(range(-len(kernel), 0), kernel, shift):
        grid = grid.index_select(dim, (torch.arange(k, device=grid.device) - s) % grid.shape[dim])
    return grid


def spectrum(x: Tensor, sizes: tuple[int, ...], *, real: bool) -> Tensor:
    """Fourier transform zero-padded to ``sizes``; of a real ``x`` the half that determines it."""
    dims = tuple(range(-len(sizes), 0))
    return torch.fft.rfftn(x, s=sizes, dim=dims) if real else torch.fft.fftn(x, s=sizes, dim=dims)


def from_spectrum(s: Tensor, sizes: tuple[int, ...], *, real: bool) -> Tensor:
    """The inverse of `spectrum`."""
    dims = tuple(range(-len(sizes), 0))
    return torch.fft.irfftn(s, s=sizes, dim=dims) if real else torch.fft.ifftn(s, s=sizes, dim=dims)


def cut(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The first ``shape`` entries of the last dimensions."""
    for dim, n in zip(range(-len(shape), 0), shape):
        x = x.narrow(dim, 0, n)
    return x


def filtered(
    x: Tensor, transfer: Tensor, sizes: tuple[int, ...], out: tuple[int, ...], *, real: bool
) -> Tensor:
    """Circular convolution on ``sizes`` by a transfer function, cut to ``out``."""
    transfer = transfer.resolve_conj()
    if _piecewise(x, transfer, len(sizes)):
        return _filtered_in_pieces(x, transfer, sizes, out, real=real)
    return cut(from_spectrum(spectrum(x, sizes, real=real) * transfer, sizes, real=real), out)


def _piecewise(x: Tensor, transfer: Tensor, d: int) -> bool:
    """Return True to work a few images at a time: on a CPU, with one kernel, without derivatives."""
    learning = torch.is_grad_enabled() and (x.requires_grad or transfer.requires_grad)
    return (
        not learning
        and type(x) is Tensor
        and x.device.type == transfer.device.type == "cpu"
        and transfer.shape[: -d - 1].numel() == 1
        and transfer.ndim <= x.ndim
        and complex_dtype(x.dtype) == complex_dtype(transfer.dtype)
        and not under_transform()
    )


def _filtered_in_pieces(
    x: Tensor, transfer: Tensor, sizes: tuple[int, ...], out: tuple[int, ...], *, real: bool
) -> Tensor:
    d = len(sizes)
    x = x.resolve_conj().resolve_neg()
    most = _CHUNK // max(1, math.prod(sizes))
    if (d < 3 or most) and transfer.shape[-d - 1] == 1 and 0 < math.prod(x.shape[:-d]) <= max(1, most):
        # all at once, uncopied
        found = from_spectrum(spectrum(x, sizes, real=real).mul_(transfer), sizes, real=real)
        return found if out == sizes else cut(found, out)
    images = x.reshape(-1, *x.shape[-d:])
    result = large_empty((len(images), *out), images.dtype)
    each = transfer.reshape(-1, *transfer.shape[-d:])
    count = max(1, most)
    channels = x.shape[-d - 1]
    if len(each) > 1:  # whole samples, or channel by channel
        count = count // channels * channels or 1
    for start in range(0, len(images), count):
        if most == 0 and d == 3:
            _filter_volume(images[start], each[start % len(each)], sizes, result[start], real=real)
            continue
        piece = spectrum(images[start : start + count], sizes, real=real)
        if len(each) == 1 or count == 1:
            piece.mul_(each[start % len(each)] if count == 1 else each[0])
        else:
            piece.view(-1, channels, *piece.shape[1:]).mul_(each)
        result[start : start + count] = cut(from_spectrum(piece, sizes, real=real), out)
    return result.view(*x.shape[:-d], *out)


def _filter_volume(
    x: Tensor, transfer: Tensor, sizes: tuple[int, ...], result: Tensor, *, real: bool
) -> None:
    """Write to ``result`` what `filtered` gives for one large volume, with one more array of its size.

    Planes that are zero or cut away are not transformed. Along the first axis a few rows of all planes at a
    time are transformed, multiplied, transformed back and cut while they are in cache.
    """
    depth, n, plane, out = len(x), len(result), sizes[1:], tuple(result.shape[1:])
    lines = large_empty((max(depth, n), *transfer.shape[1:]), transfer.dtype)
    some = max(1, _PIECE // math.prod(plane))
    for start in range(0, depth, some):
        stop = min(start + some, depth)
        lines[start:stop] = spectrum(x[start:stop], plane, real=real)
    rows = max(1, _PIECE // (sizes[0] * transfer.shape[2]))
    for start in range(0, sizes[1], rows):
        few = slice(start, start + rows)
        piece = torch.fft.fft(lines[:depth, few], n=sizes[0], dim=0).mul_(transfer[:, few])
        lines[:n, few] = torch.fft.ifft(piece, dim=0)[:n]
    for start in range(0, n, some):
        stop = min(start + some, n)
        result[start:stop] = cut(from_spectrum(lines[start:stop], plane, real=real), out)


def large_empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """As `torch.empty` on the CPU, in large pages of memory, which numpy asks for and torch does not.

    A new array of torch is mapped in pages of 4 KiB as it is written, which takes longer than a Fourier
    transform of it.
    """
    return torch.from_numpy(np.empty(shape, str(dtype).removeprefix("torch.")))


# -- by sums ---------------------------------------------------------------------------------------------


def direct(x: Tensor, kernel: Tensor, d: int, stride: int = 1) -> Tensor:
    """Σ_j k[j] x[stride n + K - 1 - j], for the n where the whole kernel lies on x."""
    if kernel.is_complex():
        return direct(x, kernel.real, d, stride) + 1j * direct(x, kernel.imag, d, stride)
    if x.is_complex():
        return torch.complex(direct(x.real, kernel, d, stride), direct(x.imag, kernel, d, stride))
    x, weight, batch, groups = _grouped(x, kernel, d)
    out = _CONV[d](x, weight, stride=stride, groups=groups)
    return out.reshape(*batch, *out.shape[-d:])


def direct_adjoint(y: Tensor, kernel: Tensor, d: int, stride: int = 1) -> Tensor:
    """The adjoint of `direct` in x, whose length is stride (n - 1) + K."""
    if kernel.is_complex():
        real = direct_adjoint(y, kernel.real, d, stride)
        return real - 1j * direct_adjoint(y, kernel.imag, d, stride)
    if y.is_complex():
        parts = (direct_adjoint(part, kernel, d, stride) for part in (y.real, y.imag))
        return torch.complex(*parts)
    y, weight, batch, groups = _grouped(y, kernel, d)
    out = _TRANSPOSED[d](y, weight, stride=stride, groups=groups)
    return out.reshape(*batch, *out.shape[-d:])


def _grouped(x: Tensor, kernel: Tensor, d: int) -> tuple[Tensor, Tensor, tuple[int, ...], int]:
    """Input and weight of torch's grouped correlation, batch and channels of the result, number of groups."""
    dtype = torch.promote_types(x.dtype, kernel.dtype)
    x, kernel = x.to(dtype), kernel.to(dtype).flip(tuple(range(-d, 0)))
    shape = (*broadcast_shapes(x.shape[: -d - 1], kernel.shape[: -d - 1]), x.shape[-d - 1])
    # one sample with a group for each image: what torch's libraries are fastest at on a CPU
    x = x.expand(*shape, *x.shape[-d:]).reshape(1, -1, *x.shape[-d:])
    kernel = kernel.expand(*shape, *kernel.shape[-d:]).reshape(-1, 1, *kernel.shape[-d:])
    return x, kernel, shape, kernel.shape[0]
