"""Block matching and collaborative filtering, the engine of `BM3D`.

An image is worked through in bands of rows of reference blocks, so that memory grows with the width of the
image, not with its area. The 2-D transform is applied once to every block of a band; groups are gathered,
filtered and added up in the transform domain, and the 2-D inverse is applied once to the sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

_DISTANCES = 2**23
"""Largest number of block distances held at a time."""

_CACHED = 2**18
"""Number of pixel differences worked on at a time: what fits a processor's cache."""


@dataclass(frozen=True)
class Pass:
    """Parameters of one pass over the image: hard thresholding, or Wiener filtering."""

    block: int
    """Side of the blocks."""
    stride: int
    """Distance between reference blocks."""
    group: int
    """Largest number of blocks in a group, a power of two."""
    window: int
    """Side of the square of offsets in which similar blocks are searched, odd."""
    match: float
    """Largest mean squared difference between similar blocks."""
    transform: str
    """``"dct"``, or a biorthogonal wavelet of PyWavelets (blocks of 2^k)."""
    threshold: float = 0.0
    """Threshold of the coefficients, in standard deviations."""


def collaborative_filter(noisy: Tensor, sigma: Tensor, basic: Tensor | None, step: Pass) -> Tensor:
    """One pass over one image.

    Parameters
    ----------
    noisy : Tensor, shape (channel, y, x)
        Blocks are matched by the first channel. No side may be shorter than a block.
    sigma : Tensor, shape (channel,)
        Noise level of each channel.
    basic : Tensor, shape (channel, y, x), optional
        An estimate of the image: blocks are matched in it and it gives the Wiener weights. Without it
        coefficients are thresholded.
    step : Pass

    Returns
    -------
    Tensor, shape (channel, y, x)
    """
    channels, height, width = noisy.shape
    b, reach = step.block, step.window // 2
    forward, inverse = (t.to(noisy) for t in block_transform(step.transform, b))
    kaiser = torch.from_numpy(np.kaiser(b, 2.0)).to(noisy)
    taper = torch.outer(kaiser, kaiser).reshape(-1, 1)
    guide = (noisy if basic is None else basic)[0].detach()
    num, den = torch.zeros_like(noisy), torch.zeros_like(noisy)
    for rows in _bands(height, width, step):
        top, bottom = max(0, rows[0] - reach), min(height - b, rows[-1] + reach)
        strip = slice(top, bottom + b)
        size = (bottom + b - top, width)
        position, count = match_blocks(guide, rows, top, step)
        blocks = [_coefficients(image[:, strip], b, forward) for image in (noisy, basic) if image is not None]
        sums = torch.zeros_like(blocks[0])
        weights = torch.zeros_like(sums[..., 0])
        for members in _groups(position, count):
            values, weight = _filtered([c[:, members] for c in blocks], sigma, step)
            index = members.flatten()
            sums = _index_add(sums, index, values.reshape(channels, -1, b * b))
            weights = _index_add(weights, index, weight.expand(-1, *members.shape).reshape(channels, -1))
        num[:, strip] += _overlap_add((inverse @ sums.mT) * taper, size, b)
        den[:, strip] += _overlap_add(weights[:, None] * taper, size, b)
    return num / den


# --------------------------------------------------------------------------------------------------
# matching


def _starts(length: int, block: int, stride: int) -> list[int]:
    """Positions of reference blocks along an axis; the last one ends where the axis does."""
    starts = list(range(0, length - block + 1, stride))
    return starts if starts[-1] == length - block else [*starts, length - block]


def _bands(height: int, width: int, step: Pass) -> Iterator[list[int]]:
    """Rows of reference blocks at equal distances, as many as memory allows at a time."""
    rows = _starts(height, step.block, step.stride)
    per_row = step.window**2 * len(_starts(width, step.block, step.stride))
    many = max(1, _DISTANCES // per_row)
    odd = [rows.pop()] if len(rows) > 1 and rows[-1] - rows[-2] != step.stride else []
    for i in range(0, len(rows), many):
        yield rows[i : i + many]
    if odd:
        yield odd


@torch.no_grad()
def match_blocks(guide: Tensor, rows: list[int], top: int, step: Pass) -> tuple[Tensor, Tensor]:
    """The blocks most similar to each reference block.

    Parameters
    ----------
    guide : Tensor, shape (y, x)
    rows : list of int
        First row of the reference blocks, at distances of ``step.stride``.
    top : int
        The row from which positions are counted.
    step : Pass

    Returns
    -------
    position : Tensor, shape (reference, group)
        Index of the block among those of the image from row ``top`` on, row by row. The most similar first,
        which is the reference block.
    count : Tensor, shape (reference,)
        How many are similar enough.
    """
    width, b, window = guide.shape[1], step.block, step.window
    reach = window // 2
    columns = _starts(width, b, step.stride)
    padded = torch.nn.functional.pad(guide, (reach,) * 4, value=math.inf)
    tall = rows[-1] - rows[0] + b
    strip = guide[rows[0] : rows[0] + tall]
    distance = guide.new_empty(window, window, len(rows), len(columns))
    many = max(1, _CACHED // (tall * width))
    for dy in range(window):
        moved = padded[rows[0] + dy : rows[0] + dy + tall].unfold(1, width, 1).movedim(1, 0)
        for dx in range(0, window, many):
            squares = (moved[dx : dx + many] - strip).square_()
            tallied = _box_sums(squares, 1, len(rows), b, step.stride)
            regular = (width - b) // step.stride + 1
            out = distance[dy, dx : dx + many]
            out[..., :regular] = _box_sums(tallied, 2, regular, b, step.stride)
            if regular < len(columns):
                out[..., -1] = tallied[..., width - b :].sum(-1)
    distance[reach, reach] = -1  # the reference block itself comes first, whatever equals it
    group = min(step.group, window**2)
    nearest, which = torch.topk(
        distance.flatten(2).flatten(0, 1).T.contiguous(), group, dim=1, largest=False, sorted=True
    )
    y = torch.tensor(rows, device=guide.device)[:, None].expand(-1, len(columns)).reshape(-1, 1) - top
    x = torch.tensor(columns, device=guide.device).expand(len(rows), -1).reshape(-1, 1)
    position = (y + which // window - reach) * (width - b + 1) + x + which % window - reach
    return position, (nearest <= step.match * b * b).sum(1)


def _box_sums(x: Tensor, dim: int, count: int, size: int, stride: int) -> Tensor:
    """Sums of ``size`` neighbors along ``dim``, from 0, ``stride``, ... on."""
    index: list[slice] = [slice(None)] * x.ndim
    total = None
    for i in range(size):
        index[dim] = slice(i, i + stride * (count - 1) + 1, stride)
        total = x[tuple(index)].clone() if total is None else total.add_(x[tuple(index)])
    assert total is not None
    return total


def _groups(position: Tensor, count: Tensor) -> Iterator[Tensor]:
    """Groups of equal size, a power of two: members with shape ``(size, reference)``."""
    size = 1
    while size <= position.shape[1]:
        last = 2 * size > position.shape[1]
        chosen = count >= size if last else (count >= size) & (count < 2 * size)
        members = position[chosen, :size].T
        if members.numel():
            yield members
        size *= 2


# --------------------------------------------------------------------------------------------------
# filtering


def _coefficients(strip: Tensor, block: int, forward: Tensor) -> Tensor:
    """2-D transforms of all blocks: ``(channel, y, x)`` to ``(channel, position, coefficient)``."""
    columns = torch.nn.functional.unfold(strip[:, None], block)
    return columns.mT @ forward.T


def _overlap_add(columns: Tensor, size: tuple[int, int], block: int) -> Tensor:
    return torch.nn.functional.fold(columns, size, block)[:, 0]


def _filtered(groups: list[Tensor], sigma: Tensor, step: Pass) -> tuple[Tensor, Tensor]:
    """Shrink groups ``(channel, size, reference, coefficient)`` in the 3-D transform domain.

    Returns the weighted 2-D coefficients and the weights ``(channel, 1, reference)``.
    """
    channels, size, references, coefficients = groups[0].shape
    haar = haar_matrix(size).to(groups[0])
    spectra = [(haar @ g.reshape(channels, size, -1)).view_as(g) for g in groups]
    level = sigma.reshape(-1, 1, 1, 1)
    if len(spectra) == 1:
        kept = spectra[0].detach().abs() > step.threshold * level.detach()
        energy = kept.sum((1, 3), keepdim=True).to(haar)
        filtered, smallest = spectra[0] * kept, 1.0
    else:
        power = spectra[1].square()
        gain = power / (power + level.square())
        energy = gain.square().sum((1, 3), keepdim=True)
        filtered, smallest = spectra[0] * gain, torch.finfo(gain.dtype).eps
    weight = 1 / energy.clamp_min(smallest)
    back = haar.T @ (filtered * weight).reshape(channels, size, references * coefficients)
    return back.view_as(groups[0]), weight[..., 0]


def _index_add(total: Tensor, index: Tensor, values: Tensor) -> Tensor:
    """``total[:, index] += values``, in a fixed order on a GPU too, where ``index_add`` has none."""
    if values.device.type == "cpu":
        return total.index_add(1, index, values)
    first = torch.arange(total.shape[0], device=index.device)[:, None]
    return total.index_put((first, index[None]), values, accumulate=True)


@lru_cache
def haar_matrix(size: int) -> Tensor:
    """The orthonormal Haar transform of ``size = 2^k`` values as a matrix.

    Examples
    --------
    >>> haar_matrix(2)
    tensor([[ 0.7071,  0.7071],
            [ 0.7071, -0.7071]], dtype=torch.float64)
    """
    h = torch.ones(1, 1, dtype=torch.float64)
    while h.shape[0] < size:
        n = h.shape[0]
        low = torch.kron(h, torch.tensor([[1.0, 1.0]], dtype=torch.float64))
        high = torch.kron(torch.eye(n, dtype=torch.float64), torch.tensor([[1.0, -1.0]], dtype=torch.float64))
        h = torch.cat([low, high]) / math.sqrt(2)
    return h


@lru_cache
def block_transform(name: str, side: int) -> tuple[Tensor, Tensor]:
    """Separable 2-D transform of a block as a matrix ``(side², side²)``, and its inverse.

    Each row of the forward matrix has norm one: white noise keeps its level in every coefficient.
    """
    if name == "dct":
        k, n = np.arange(side)[:, None], np.arange(side)
        line = np.cos(np.pi * k * (2 * n + 1) / (2 * side))
    else:
        line = _wavelet_lines(name, side)
    line = line / np.linalg.norm(line, axis=1, keepdims=True)
    forward = torch.from_numpy(np.kron(line, line))
    back = np.linalg.inv(line)
    return forward, torch.from_numpy(np.kron(back, back))


def _wavelet_lines(name: str, side: int) -> np.ndarray:
    """The periodic wavelet transform down to a single approximation coefficient, as a matrix."""
    import pywt

    parts: list[np.ndarray] = []
    approximation = np.eye(side)
    while approximation.shape[0] > 1:
        approximation, detail = pywt.dwt(approximation, name, "periodization", axis=0)
        parts.insert(0, detail)
    return np.concatenate([approximation, *parts])
