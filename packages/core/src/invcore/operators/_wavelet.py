"""Fast orthogonal wavelet transform in torch: any size, real or complex, 1-D to 3-D.

The functions here are the engine beneath `WaveletTransform`, the wavelet prior and the wavelet denoiser.

One level along one axis of even length is a periodised two-channel filter bank. It is computed as a
banded matrix: windows of the axis times one small dense matrix that yields ``p`` approximation and ``p``
detail coefficients at once, so a level is one batched matrix product per axis. Where all lengths are even
the coefficients equal those of PyWavelets with ``mode="periodization"``.

An axis of odd length ``n`` keeps an exactly orthogonal ``n x n`` transform with ``(n + 1) / 2``
approximation and ``(n - 1) / 2`` detail coefficients. A Householder reflection maps the new coordinate of
``R^(n+1)`` onto one wavelet ``d`` at the seam and therefore embeds ``R^n`` isometrically as the orthogonal
complement of ``d``; the even transform of length ``n + 1`` then has a detail coefficient that is exactly
zero, and it is left out. So the coefficient tensor has the shape of the image, and the inverse is the
adjoint, for every size.

Sources: S. Mallat, *A Wavelet Tour of Signal Processing*, 3rd ed. (2009), chapter 7; the filters are those
of PyWavelets (Lee et al., 2019).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._errors import DtypeError, ParameterError, ShapeError


@dataclass(frozen=True)
class OrthogonalFilters:
    """The analysis filters of an orthogonal wavelet.

    Parameters
    ----------
    name : str
        The PyWavelets name.
    low, high : tuple of float
        Analysis low-pass and high-pass filter, in the order of PyWavelets' ``dec_lo`` and ``dec_hi``.
    """

    name: str
    low: tuple[float, ...]
    high: tuple[float, ...]


@cache
def orthogonal_filters(name: str) -> OrthogonalFilters:
    """The filters of an orthogonal wavelet of PyWavelets, orthonormal to machine precision.

    Tabulated filters satisfy ``sum_k h[k] h[k + 2m] = [m == 0]`` only to the printed digits (``sym20``:
    1e-11); a few Gauss-Newton steps of least norm bring them there, so that the transform is orthogonal to
    rounding error. The change is of the size of that defect.

    Parameters
    ----------
    name : str
        For example ``"haar"``, ``"db4"``, ``"sym8"``, ``"coif2"``.

    Raises
    ------
    ParameterError
        If PyWavelets does not know the name, or the wavelet is not orthogonal.

    Examples
    --------
    >>> [round(v, 4) for v in orthogonal_filters("haar").low]
    [0.7071, 0.7071]
    """
    import pywt

    known = pywt.wavelist(kind="discrete")
    if not isinstance(name, str) or name not in known:
        raise ParameterError(
            f"unknown wavelet {name!r}; expected one of PyWavelets' orthogonal families haar, db1-db38, "
            "sym2-sym20, coif1-coif17, for example 'db4'."
        )
    wavelet = pywt.Wavelet(name)
    low = np.array(wavelet.dec_lo, dtype=np.float64)
    if not wavelet.orthogonal or np.abs(_orthonormality(low)).max() > 1e-6:
        raise ParameterError(
            f"wavelet {name!r} is not orthogonal to working precision, which this transform needs; "
            "use a member of haar, db, sym or coif, for example 'db4'."
        )
    taps = len(low)
    for _ in range(3):
        shifted = np.zeros((taps // 2, taps))  # rows: derivative of each condition
        for m in range(taps // 2):
            shifted[m, : taps - 2 * m] += low[2 * m :]
            shifted[m, 2 * m :] += low[: taps - 2 * m]
        low = low - np.linalg.lstsq(shifted, _orthonormality(low), rcond=None)[0]
    high = (-1.0) ** np.arange(1, taps + 1) * low[::-1]
    return OrthogonalFilters(name, tuple(low.tolist()), tuple(high.tolist()))


def _orthonormality(low: np.ndarray) -> np.ndarray:
    """``sum_k h[k] h[k + 2m] - [m == 0]`` for each m."""
    taps = len(low)
    return np.array([low[: taps - 2 * m] @ low[2 * m :] - (m == 0) for m in range(taps // 2)])


def max_levels(shape: Sequence[int], filters: str | OrthogonalFilters) -> int:
    """The number of levels after which the shortest axis is still at least as long as the filter.

    At least 1, except for images of a single sample, where it is 0.

    Examples
    --------
    >>> max_levels((230, 180), "db4")
    4
    """
    taps = len(_filters(filters).low)
    longest, shortest = max(shape, default=0), min(shape, default=0)
    if longest < 2:
        return 0
    return max(1, math.floor(math.log2(max(1.0, shortest / (taps - 1)))))


# --------------------------------------------------------------------------------------------------
# public functions


def dwt(
    x: Tensor,
    filters: str | OrthogonalFilters,
    levels: int,
    dims: Sequence[int] = (-2, -1),
    shift: Sequence[int] | None = None,
) -> Tensor:
    """Orthogonal wavelet transform ``W`` of ``x``, cyclically shifted first if ``shift`` is given.

    ``W.H W = W W.H = I`` for every size. Differentiable any number of times; the backward pass is `idwt`.

    Parameters
    ----------
    x : Tensor
        Real or complex, any shape.
    filters : str or OrthogonalFilters
        A PyWavelets name such as ``"db4"``.
    levels : int
        Number of levels; 0 gives the (shifted) input. See `max_levels`.
    dims : sequence of int
        The axes to transform, at most three.
    shift : sequence of int, optional
        As in `torch.roll`, one per axis in ``dims``. The coefficients are those of the rolled image.

    Returns
    -------
    Tensor
        Same shape and dtype as ``x``. Mallat layout: along each axis the approximation comes first; the
        block that holds the coarsest approximation is `approximation_index`.

    Raises
    ------
    ParameterError, ShapeError, DtypeError

    Examples
    --------
    >>> c = dwt(torch.ones(1, 4, 4), "haar", 2)
    >>> round(c[0, 0, 0].item(), 4), round(c.abs().sum().item(), 4)
    (4.0, 4.0)
    """
    plan = _plan(x, filters, levels, dims, shift)
    return _Analysis.apply(x, *plan) if plan[3] or any(plan[2]) else x.clone()


def idwt(
    c: Tensor,
    filters: str | OrthogonalFilters,
    levels: int,
    dims: Sequence[int] = (-2, -1),
    shift: Sequence[int] | None = None,
) -> Tensor:
    """Inverse, and adjoint, of `dwt` with the same arguments.

    Examples
    --------
    >>> x = torch.arange(35.0, dtype=torch.float64).reshape(5, 7)
    >>> torch.allclose(idwt(dwt(x, "db4", 2, shift=(1, 3)), "db4", 2, shift=(1, 3)), x)
    True
    """
    plan = _plan(c, filters, levels, dims, shift)
    return _Synthesis.apply(c, *plan) if plan[3] or any(plan[2]) else c.clone()


def approximation_index(
    shape: Sequence[int], levels: int, dims: Sequence[int] = (-2, -1)
) -> tuple[slice, ...]:
    """Index of the coarsest approximation block in the coefficients of a tensor of this shape.

    Everything outside the block is a detail coefficient.

    Examples
    --------
    >>> approximation_index((1, 230, 180), 3)
    (slice(None, None, None), slice(0, 29, None), slice(0, 23, None))
    """
    index = [slice(None)] * len(shape)
    for d in _axes(len(shape), dims):
        index[d] = slice(0, _lengths(shape[d], levels)[-1])
    return tuple(index)


def detail_indices(
    shape: Sequence[int], levels: int, dims: Sequence[int] = (-2, -1)
) -> list[dict[str, tuple[slice, ...]]]:
    """Index of every detail block, from the finest level to the coarsest.

    Keys are words in ``"a"`` and ``"d"`` with one letter per axis in ``dims``, as in PyWavelets.

    Examples
    --------
    >>> detail_indices((8, 6), 1)[0]["da"]
    (slice(4, 8, None), slice(0, 3, None))
    """
    axes = _axes(len(shape), dims)
    lengths = {d: _lengths(shape[d], levels) for d in axes}
    blocks = []
    for level in range(levels):
        block = {}
        for letters in product("ad", repeat=len(axes)):
            index = [slice(None)] * len(shape)
            for d, letter in zip(axes, letters):
                whole, half = lengths[d][level], lengths[d][level + 1]
                index[d] = slice(0, half) if letter == "a" else slice(half, whole)
            block["".join(letters)] = tuple(index)
        del block["a" * len(axes)]
        blocks.append(block)
    return blocks


def soft_threshold(c: Tensor, threshold: float | Tensor) -> Tensor:
    """Shrink magnitudes by ``threshold``: the proximal operator of ``threshold * ||c||_1``, keeping phase.

    Differentiable; at zero the derivative is zero.

    Examples
    --------
    >>> soft_threshold(torch.tensor([3.0, -0.5, -2.0]), 1.0).tolist()
    [2.0, 0.0, -1.0]
    """
    if not c.is_complex():
        return c - torch.clamp(c, min=-threshold, max=threshold)
    squared = c.real.square() + c.imag.square()
    if isinstance(threshold, Tensor):
        threshold = threshold.to(squared.dtype)
    kept = squared > threshold * threshold
    factor = 1 - threshold * torch.where(kept, squared, torch.ones_like(squared)).rsqrt()
    return c * torch.where(kept, factor, torch.zeros_like(factor))


# --------------------------------------------------------------------------------------------------
# arguments


def _filters(filters: str | OrthogonalFilters) -> OrthogonalFilters:
    return filters if isinstance(filters, OrthogonalFilters) else orthogonal_filters(filters)


def _axes(ndim: int, dims: Sequence[int]) -> tuple[int, ...]:
    axes = tuple(d + ndim if d < 0 else d for d in dims)
    if not 1 <= len(axes) <= 3 or len(set(axes)) != len(axes) or not all(0 <= d < ndim for d in axes):
        raise ShapeError(
            f"wavelet transform: dims={tuple(dims)} must name one to three different axes of a tensor "
            f"with {ndim} axes."
        )
    return axes


def _lengths(n: int, levels: int) -> list[int]:
    """Length of the approximation after 0, 1, ... levels."""
    lengths = [n]
    for _ in range(levels):
        lengths.append((lengths[-1] + 1) // 2)
    return lengths


def _plan(
    x: Tensor, filters: str | OrthogonalFilters, levels: int, dims: Sequence[int], shift: Sequence[int] | None
) -> tuple[OrthogonalFilters, tuple[int, ...], tuple[int, ...], int]:
    if not isinstance(x, Tensor) or not (x.is_floating_point() or x.is_complex()):
        got = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise DtypeError(f"wavelet transform: expected a floating-point or complex tensor, got {got}.")
    axes = _axes(x.ndim, dims)
    if isinstance(levels, bool) or not isinstance(levels, int) or levels < 0:
        raise ParameterError(f"wavelet transform: levels must be an integer >= 0, got {levels!r}.")
    moved = tuple(int(s) for s in shift) if shift is not None else (0,) * len(axes)
    if len(moved) != len(axes):
        raise ParameterError(
            f"wavelet transform: shift needs {len(axes)} integers, one per axis in dims, got {shift!r}."
        )
    moved = tuple(s % x.shape[d] if x.shape[d] else 0 for s, d in zip(moved, axes))
    return _filters(filters), axes, moved, levels


# --------------------------------------------------------------------------------------------------
# autograd: each transform is the adjoint of the other


class _Analysis(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, filters: OrthogonalFilters, axes: Any, shift: Any, levels: int) -> Tensor:
        return _from_planar(_analyse(_to_planar(x), filters, _planar_axes(x, axes), shift, levels), x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.plan = inputs[1:]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return _Synthesis.apply(grad, *ctx.plan), None, None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:
        return _Analysis.apply(tangent, *ctx.plan)


class _Synthesis(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(c: Tensor, filters: OrthogonalFilters, axes: Any, shift: Any, levels: int) -> Tensor:
        return _from_planar(_synthesise(_to_planar(c), filters, _planar_axes(c, axes), shift, levels), c)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.plan = inputs[1:]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return _Analysis.apply(grad, *ctx.plan), None, None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:
        return _Synthesis.apply(tangent, *ctx.plan)


def _to_planar(x: Tensor) -> Tensor:
    """Real and imaginary parts as two separate planes in front: the filters are real."""
    return (
        torch.view_as_real(x.resolve_conj()).movedim(-1, 0).contiguous() if x.is_complex() else x.contiguous()
    )


def _from_planar(planar: Tensor, like: Tensor) -> Tensor:
    return torch.complex(planar[0], planar[1]) if like.is_complex() else planar


def _planar_axes(x: Tensor, axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(d + 1 for d in axes) if x.is_complex() else axes


# --------------------------------------------------------------------------------------------------
# all levels


def _analyse(x: Tensor, filters: OrthogonalFilters, axes: Any, shift: Any, levels: int) -> Tensor:
    if x.numel() == 0 or levels == 0:
        return torch.roll(x, shift, axes) if any(shift) else x.clone()
    coefficients, block = x, x
    for level in range(levels):
        for d, s in zip(axes, shift):
            block = _analyse_axis(block, d, filters, s if level == 0 else 0)
        if level == 0:
            coefficients = block
        else:
            _leading(coefficients, block.shape).copy_(block)
        block = _leading(
            block, [(n + 1) // 2 if d in axes else n for d, n in enumerate(block.shape)]
        ).contiguous()
    return coefficients


def _synthesise(c: Tensor, filters: OrthogonalFilters, axes: Any, shift: Any, levels: int) -> Tensor:
    if c.numel() == 0 or levels == 0:
        return torch.roll(c, [-s for s in shift], axes) if any(shift) else c.clone()
    lengths = {d: _lengths(c.shape[d], levels) for d in axes}
    approximation: Tensor | None = None
    for level in reversed(range(levels)):
        block = _leading(c, [lengths[d][level] if d in axes else n for d, n in enumerate(c.shape)])
        if approximation is not None:
            block = block.clone(memory_format=torch.contiguous_format)
            _leading(block, approximation.shape).copy_(approximation)
        for d in reversed(axes):
            block = _synthesise_axis(block, d, filters)
        approximation = block
    assert approximation is not None
    return torch.roll(approximation, [-s for s in shift], axes) if any(shift) else approximation


def _leading(x: Tensor, shape: Sequence[int]) -> Tensor:
    """The corner of ``x`` with this shape."""
    for d, n in enumerate(shape):
        if n != x.shape[d]:
            x = x.narrow(d, 0, n)
    return x


# --------------------------------------------------------------------------------------------------
# one level along one axis


def _analyse_axis(x: Tensor, axis: int, filters: OrthogonalFilters, shift: int) -> Tensor:
    shape, n = x.shape, x.shape[axis]
    if n == 1:
        return x
    seam = _seam(filters, n + 1, x.dtype, x.device) if n % 2 else None
    v = x.reshape(math.prod(shape[:axis]), n, math.prod(shape[axis + 1 :]))
    if seam is not None:
        if shift:
            v, shift = torch.roll(v, shift, 1), 0
        v = _reflect(torch.cat((v, v.new_zeros(v.shape[0], 1, v.shape[2])), 1), seam)
    taps, even = len(filters.low), n + n % 2
    p = _pairs(filters, even)
    count = -(-even // (2 * p))
    extended = _circular(v, -(taps // 2 - 1) - shift, 2 * p * count + taps - 2)
    matrix = _analysis_matrix(filters, p, x.dtype, x.device)
    bands = _banded(extended, matrix, 2 * p, count, halves=True)
    if 2 * p * count != even or seam is not None:
        half = even // 2
        keep = [bands[:, 0, :half]]
        if seam is None:
            keep.append(bands[:, 1, :half])
        else:
            keep += [bands[:, 1, : seam.dropped], bands[:, 1, seam.dropped + 1 : half]]
        bands = torch.cat(keep, 1)
    return bands.reshape(shape)


def _synthesise_axis(c: Tensor, axis: int, filters: OrthogonalFilters) -> Tensor:
    shape, n = c.shape, c.shape[axis]
    if n == 1:
        return c
    seam = _seam(filters, n + 1, c.dtype, c.device) if n % 2 else None
    v = c.reshape(math.prod(shape[:axis]), n, math.prod(shape[axis + 1 :]))
    if seam is not None:
        at = (n + 1) // 2 + seam.dropped
        v = torch.cat((v[:, :at], v.new_zeros(v.shape[0], 1, v.shape[2]), v[:, at:]), 1)
    even = n + n % 2
    p, reach = _pairs(filters, even), len(filters.low) // 4
    count = -(-even // (2 * p))
    length = p * count + 2 * reach
    extended = torch.cat(
        (_circular(v[:, : even // 2], -reach, length), _circular(v[:, even // 2 :], -reach, length)), 1
    )
    matrix = _synthesis_matrix(filters, p, c.dtype, c.device)
    v = _banded(extended, matrix, p, count, halves=False)
    if v.shape[1] != even:
        v = v[:, :even]
    if seam is not None:
        v = _reflect(v, seam)[:, :n]
    return v.reshape(shape)


def _pairs(filters: OrthogonalFilters, even: int) -> int:
    """Coefficient pairs computed by one small matrix: larger for longer filters, at most the axis."""
    return min(even // 2, 8 if len(filters.low) <= 16 else 16)


def _circular(v: Tensor, start: int, length: int) -> Tensor:
    """``v[:, (start + arange(length)) % n]`` by slices."""
    n = v.shape[1]
    position, pieces = start % n, []
    while length > 0:
        piece = v[:, position : position + length]
        pieces.append(piece)
        length -= piece.shape[1]
        position = 0
    return torch.cat(pieces, 1)


def _banded(extended: Tensor, matrix: Tensor, hop: int, count: int, *, halves: bool) -> Tensor:
    """Windows of axis 1 of ``(r, length, m)`` times ``matrix``.

    Analysis (``halves``): windows every ``hop`` samples; returns ``(r, 2, count * p, m)``.
    Synthesis: axis 1 holds the two extended bands one after the other; returns ``(r, count * 2p, m)``.
    """
    r, length, m = extended.shape
    rows, width = matrix.shape
    if halves:
        windows = extended.unfold(1, width, hop)  # (r, count, m, width)
    else:
        bands = extended.view(r, 2, length // 2, m).unfold(2, width // 2, hop)  # (r, 2, count, m, width / 2)
        windows = bands.permute(0, 2, 3, 1, 4).reshape(r, count, m, width)
    if m == 1:  # last axis: rows of the image are the long side of the product
        columns = windows[:, :, 0].transpose(0, 1)  # (count, r, width)
        out = torch.bmm(columns, matrix.T.expand(count, width, rows))  # (count, r, rows)
        if halves:
            return out.view(count, r, 2, rows // 2).permute(1, 2, 0, 3).reshape(r, 2, count * rows // 2, 1)
        return out.transpose(0, 1).reshape(r, count * rows, 1)
    stacked = windows.transpose(2, 3).reshape(r * count, width, m)
    out = torch.bmm(matrix.expand(r * count, rows, width), stacked)  # (r * count, rows, m)
    if halves:
        return out.view(r, count, 2, rows // 2, m).transpose(1, 2).reshape(r, 2, count * rows // 2, m)
    return out.view(r, count * rows, m)


@lru_cache(maxsize=64)
def _analysis_matrix(filters: OrthogonalFilters, p: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """``p`` low-pass rows, then ``p`` high-pass rows, over a window of ``2p + taps - 2`` samples."""
    taps = len(filters.low)
    matrix = np.zeros((2 * p, 2 * p + taps - 2))
    for k in range(p):
        matrix[k, 2 * k : 2 * k + taps] = filters.low[::-1]
        matrix[p + k, 2 * k : 2 * k + taps] = filters.high[::-1]
    return torch.tensor(matrix, dtype=dtype, device=device)


@lru_cache(maxsize=64)
def _synthesis_matrix(filters: OrthogonalFilters, p: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """``2p`` samples from a window of ``p + 2 * (taps // 4)`` coefficients of each band."""
    taps = len(filters.low)
    reach = taps // 4
    width = p + 2 * reach
    matrix = np.zeros((2 * p, 2 * width))
    for sample in range(2 * p):
        for i in range(width):
            tap = 2 * (i - reach) + taps // 2 - sample
            if 0 <= tap < taps:
                matrix[sample, i] = filters.low[tap]
                matrix[sample, width + i] = filters.high[tap]
    return torch.tensor(matrix, dtype=dtype, device=device)


# --------------------------------------------------------------------------------------------------
# odd lengths


@dataclass(frozen=True, eq=False)
class _Seam:
    """Householder vector of the embedding of ``R^(n)`` into ``R^(n+1)``, and the coefficient left out."""

    support: Tensor
    vector: Tensor
    dropped: int


@lru_cache(maxsize=256)
def _seam(filters: OrthogonalFilters, even: int, dtype: torch.dtype, device: torch.device) -> _Seam:
    """Choose the wavelet with the largest weight on the last sample: it disturbs its neighbours least."""
    taps, last = len(filters.high), even - 1
    at_last = np.zeros(even // 2)  # weight of each wavelet on the last sample
    for tap, weight in enumerate(filters.high):
        twice = last - taps // 2 + tap
        if twice % 2 == 0:
            at_last[twice // 2 % (even // 2)] += weight
    dropped = int(np.abs(at_last).argmax())
    d = np.zeros(even)
    for tap, weight in enumerate(filters.high):
        d[(2 * dropped + taps // 2 - tap) % even] += weight
    v = np.sign(d[last]) * d
    v[last] += 1.0  # e_last minus the wavelet, whose sign is chosen so that nothing cancels
    support = np.flatnonzero(v)
    v = v[support] * math.sqrt(2.0 / float(v @ v))
    return _Seam(
        torch.tensor(support, device=device), torch.tensor(v, dtype=dtype, device=device)[:, None], dropped
    )


def _reflect(v: Tensor, seam: _Seam) -> Tensor:
    """Apply ``I - u u.T`` (``|u|^2 = 2``) along axis 1, in place on a fresh tensor."""
    v = v.contiguous()
    part = v.index_select(1, seam.support)
    along = (seam.vector * part).sum(1, keepdim=True)
    return v.index_copy(1, seam.support, part - seam.vector * along)
