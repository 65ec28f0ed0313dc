"""The steps of blind deblurring of one gray image: sharp edges for a kernel, a kernel for sharp edges."""

from __future__ import annotations

import math

import numpy as np
import scipy.ndimage
import torch
from torch import Tensor
from torch.fft import irfft2, rfft2
from torch.nn.functional import interpolate, pad

from invcore.operators import liu_jia_pad, transfer_function

from .spectra import good_size

_DOUBLINGS = 17  # of the coupling between image and gradients, from 2 λ on
_TOO_WEAK = 0.05  # entries of a kernel below this part of its maximum are noise
_TOO_SMALL = 0.1  # and so are separate pieces with less than this part of its sum
_CG_STEPS = 20


def sharpened(y: Tensor, kernel: Tensor, edges: float | Tensor) -> Tensor:
    """Minimize ‖k * x − y‖² + λ #{∇x ≠ 0} by half-quadratic splitting, an FFT of the padded data each step.

    Parameters
    ----------
    y : Tensor, shape (y, x)
    kernel : Tensor, shape (ky, kx)
    edges : float or Tensor, shape ()
        λ.

    Returns
    -------
    Tensor, shape (y + ky − 1, x + kx − 1)
        All that the data see; what lies beyond them continues them smoothly to their periodic copies.
    """
    (h, w), (kh, kw) = y.shape, kernel.shape
    sizes = (good_size(h + 2 * kh - 2), good_size(w + 2 * kw - 2))
    margins = tuple(((s - n) // 2, s - n - (s - n) // 2) for s, n in zip(sizes, (h, w)))
    x = liu_jia_pad(y, (margins[0], margins[1]))
    K = transfer_function(kernel, sizes, half=True)
    seen, power = K.conj() * rfft2(x), K.real**2 + K.imag**2
    laplacian = _laplacian(sizes, y)
    beta = 2 * edges
    for _ in range(_DOUBLINGS):
        right, down = x.roll(-1, -1) - x, x.roll(-1, -2) - x
        keep = right.square() + down.square() >= edges / beta
        right, down = right * keep, down * keep
        divergence = right.roll(1, -1) - right + down.roll(1, -2) - down
        x = irfft2((seen + beta * rfft2(divergence)) / (power + beta * laplacian), s=sizes)
        beta = 2 * beta
    top = margins[0][0] - (kh - 1 - kh // 2)
    left = margins[1][0] - (kw - 1 - kw // 2)
    return x[top : top + h + kh - 1, left : left + w + kw - 1]


def _laplacian(sizes: tuple[int, int], like: Tensor) -> Tensor:
    """Return the transfer function of −∇·∇ with periodic differences."""
    rows, columns = (
        2 - 2 * torch.cos(2 * math.pi / n * torch.arange(m, dtype=like.dtype, device=like.device))
        for n, m in zip(sizes, (sizes[0], sizes[1] // 2 + 1))
    )
    return rows[:, None] + columns


def differences(x: Tensor) -> Tensor:
    """Return the differences to the left and to the upper neighbor, (2, y − 1, x − 1)."""
    return torch.stack((x[1:, 1:] - x[1:, :-1], x[1:, 1:] - x[:-1, 1:]))


def edge_threshold(gradients: Tensor, taps: tuple[int, ...]) -> Tensor:
    """Return the magnitude that 2 K gradients exceed in each quarter of orientations, K the larger tap."""
    right, down = gradients.detach()
    size, angle = torch.hypot(right, down), torch.atan2(down, right) % math.pi
    quarter = (angle * 4 / math.pi).long().clamp_max(3)
    strong = []
    for q in range(4):
        sizes = size[quarter == q].sort(descending=True).values
        if len(sizes) > 1:
            strong.append(sizes[min(2 * max(taps), len(sizes) - 1)])
    return torch.stack(strong).min() if strong else size.new_zeros(())


def strong_edges(gradients: Tensor, threshold: Tensor) -> Tensor:
    """Return gradients without those below the threshold, or below half the largest if that is less."""
    size = torch.hypot(*gradients.detach())
    return gradients * (size >= torch.minimum(threshold, size.max() / 2))


def fitted_kernel(edges: Tensor, observed: Tensor, start: Tensor, ridge: float) -> Tensor:
    """Minimize ‖k * ∇x − ∇y‖² + ridge ‖k‖² over k where all of k * ∇x is known, by conjugate gradients.

    Parameters
    ----------
    edges : Tensor, shape (2, y + ky − 1, x + kx − 1)
    observed : Tensor, shape (2, y, x)
    start : Tensor, shape (ky, kx)
    ridge : float
    """
    (kh, kw), (h, w) = start.shape, observed.shape[-2:]
    sizes = tuple(map(good_size, edges.shape[-2:]))
    G = rfft2(edges, s=sizes)

    def normal(k: Tensor) -> Tensor:
        u = irfft2(G * rfft2(k, s=sizes), s=sizes)[..., kh - 1 : kh - 1 + h, kw - 1 : kw - 1 + w]
        return correlated(u) + ridge * k

    def correlated(u: Tensor) -> Tensor:
        total = (G.conj() * rfft2(pad(u, (kw - 1, 0, kh - 1, 0)), s=sizes)).sum(0)
        return irfft2(total, s=sizes)[:kh, :kw]

    k, b = start, correlated(observed)
    rest = b - normal(k)
    direction, square = rest, rest.square().sum()
    enough = 1e-20 * b.square().sum()
    for _ in range(min(_CG_STEPS, k.numel() // 3)):  # more would end in rounding
        if square <= enough:
            break
        image = normal(direction)
        step = square / (direction * image).sum()
        k, rest = k + step * direction, rest - step * image
        square, last = rest.square().sum(), square
        direction = rest + square / last * direction
    return k


def cleaned(kernel: Tensor) -> Tensor:
    """Return the kernel without negative, weak and separate small entries, of sum one and centered."""
    k = kernel.clamp_min(0)
    if not bool(k.sum() > 0):
        return wide(kernel)
    k = k * (k >= _TOO_WEAK * k.detach().max())
    shares = (k / k.sum()).detach().cpu().numpy()
    pieces, count = scipy.ndimage.label(shares > 0, structure=np.ones((3, 3)))
    totals = scipy.ndimage.sum_labels(shares, pieces, np.arange(count + 1))
    lasting = (totals >= min(_TOO_SMALL, totals.max()))[pieces]
    k = centered(k * torch.from_numpy(lasting).to(k.device))
    return k / k.sum()


def wide(like: Tensor) -> Tensor:
    """Return the kernel of the same shape that is the same everywhere."""
    return torch.full_like(like, 1 / like.numel())


def pair(taps: tuple[int, ...], like: Tensor) -> Tensor:
    """Return the kernel of two equal neighbors, where the search begins."""
    k = like.new_zeros(taps)
    k[taps[0] // 2, taps[1] // 2 : taps[1] // 2 + 2] = 0.5
    return k


def contrast(y: Tensor) -> Tensor:
    """Return the range of an image between its quantiles 0.005 and 0.995 (1 of a constant one)."""
    values = y.flatten().sort().values
    least = len(values) // 200
    size = values[-1 - least] - values[least]
    return torch.where(size > 0, size, 1)


def windowed(kernel: Tensor, taps: tuple[int, ...]) -> Tensor:
    """Return a kernel in a window of another size, center on center."""
    margins = [n for new, old in zip(reversed(taps), reversed(kernel.shape)) for n in _margins(new, old)]
    return pad(kernel, margins)


def _margins(new: int, old: int) -> tuple[int, int]:
    before = new // 2 - old // 2
    return before, new - old - before


def centered(kernel: Tensor) -> Tensor:
    """Shift a kernel by whole pixels so that its center of mass is next to the center of its window."""
    k = kernel.detach()
    for dim, n in enumerate(kernel.shape):
        place = torch.arange(n, dtype=k.dtype, device=k.device)
        mean = float((k.sum(1 - dim) * place).sum() / k.sum())
        shift = n // 2 - round(mean)
        margin = [0, 0, 0, 0]
        margin[2 * (1 - dim)], margin[2 * (1 - dim) + 1] = shift, -shift
        kernel = pad(kernel, margin)
    return kernel


def resized(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Resample an image by the antialiased bicubic filter."""
    if tuple(x.shape) == shape:
        return x
    return interpolate(x[None, None], size=shape, mode="bicubic", antialias=True, align_corners=False)[0, 0]
