"""Fast orthogonal wavelet transform in torch: any size, real or complex, 1-D to 3-D.

The functions here are the engine beneath `WaveletTransform`, the wavelet prior and the wavelet denoiser.

The coefficient tensor has the shape of the image for every size, and the inverse is the adjoint. Where all
lengths are even the coefficients equal those of PyWavelets with ``mode="periodization"``; see
`invcore.operators._filterbank` for odd lengths and for how a level is computed, and `_haar` for two taps.

Sources: S. Mallat, *A Wavelet Tour of Signal Processing*, 3rd ed. (2009), chapter 7; the filters are those
of PyWavelets (Lee et al., 2019).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from .._errors import DtypeError, ParameterError, ShapeError
from ._autograd import applied
from ._filterbank import OrthogonalFilters, analyze_axis, orthogonal_filters, synthesize_axis
from ._haar import haar_analyze, haar_synthesize


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
    return applied(_Transform, x, False, *plan) if plan[3] or any(plan[2]) else x.clone()


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
    return applied(_Transform, c, True, *plan) if plan[3] or any(plan[2]) else c.clone()


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
    >>> soft_threshold(torch.tensor([3.0, 0.5, -2.0]), 1.0).tolist()
    [2.0, 0.0, -1.0]
    """
    if isinstance(threshold, float) and not c.is_complex():
        return torch.nn.functional.softshrink(c, threshold)  # in one pass
    limit = torch.as_tensor(threshold, dtype=c.real.dtype, device=c.device)
    if not c.is_complex():
        return c - torch.maximum(torch.minimum(c, limit), -limit)
    magnitude = c.abs()
    if not torch.is_grad_enabled():
        return c * (1 - limit / magnitude).clamp_min_(0).nan_to_num_()
    kept = magnitude > limit  # where nothing is kept no infinite derivative may arise
    factor = 1 - limit / torch.where(kept, magnitude, 1.0)
    return c * torch.where(kept, factor, 0.0)


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


class _Transform(torch.autograd.Function):
    """`_analyze`, or its adjoint `_synthesize`."""

    @staticmethod
    def forward(
        x: Tensor, adjoint: bool, filters: OrthogonalFilters, axes: Any, shift: Any, levels: int
    ) -> Tensor:
        return (_synthesize if adjoint else _analyze)(x, filters, axes, shift, levels)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        _, ctx.adjoint, *ctx.plan = inputs

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return _Transform.apply(grad, not ctx.adjoint, *ctx.plan), None, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:
        return _Transform.apply(tangent, ctx.adjoint, *ctx.plan)

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, x: Tensor, adjoint: bool, filters: Any, axes: Any, shift: Any, levels: int
    ) -> Any:
        axes = tuple(d + 1 for d in axes)
        return _Transform.apply(x.movedim(in_dims[0], 0), adjoint, filters, axes, shift, levels), 0


# --------------------------------------------------------------------------------------------------
# all levels; ``front``: (lines, *lengths), ``back``: (*lengths, lines)


def _to_front(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Other dimensions, and real and imaginary part (the filters are real), in one dimension in front.

    A view of ``x`` where that is possible.
    """
    lengths = [x.shape[d] for d in axes]
    if x.is_complex():
        x = torch.view_as_real(x.resolve_conj()).movedim((-1, *axes), (0, *range(-len(axes), 0)))
    else:
        x = x.movedim(axes, tuple(range(-len(axes), 0)))
    return x.reshape(-1, *lengths)


def _from_back(back: Tensor, like: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Undo `_to_front` for a result that has its lines last."""
    others = [n for d, n in enumerate(like.shape) if d not in axes]
    lengths = [like.shape[d] for d in axes]
    places = range(len(axes))
    if not like.is_complex():
        return back.reshape(*lengths, *others).movedim(tuple(places), axes).contiguous()
    back = back.reshape(*lengths, 2, *others).movedim(len(axes), -1).movedim(tuple(places), axes)
    return torch.view_as_complex(back.contiguous().view(-1, 2)).view(like.shape)


def _analyze(x: Tensor, filters: OrthogonalFilters, axes: Any, shift: Any, levels: int) -> Tensor:
    if x.numel() == 0 or levels == 0 or max(x.shape[d] for d in axes) == 1:
        return torch.roll(x, shift, axes) if any(shift) else x.clone()
    if len(filters.low) == 2:
        return haar_analyze(torch.roll(x, shift, axes) if any(shift) else x, axes, levels)
    front = _to_front(x, axes)
    lines, out = front.shape[0], front
    for level in range(levels):
        lengths = front.shape[1:]
        v = analyze_axis(front, filters, shift[-1] if level == 0 else 0)
        for n, s in zip(reversed(lengths[:-1]), reversed(shift[:-1])):
            v = analyze_axis(v.view(-1, n), filters, s if level == 0 else 0)
        back = v.reshape(*lengths, lines)
        if level == 0:
            out = back
        else:
            _corner(out, lengths).copy_(back)
        front = _corner(back, [(n + 1) // 2 for n in lengths]).movedim(-1, 0)
    return _from_back(out, x, axes)


def _synthesize(c: Tensor, filters: OrthogonalFilters, axes: Any, shift: Any, levels: int) -> Tensor:
    if c.numel() == 0 or levels == 0 or max(c.shape[d] for d in axes) == 1:
        return torch.roll(c, [-s for s in shift], axes) if any(shift) else c.clone()
    if len(filters.low) == 2:
        x = haar_synthesize(c, axes, levels)
        return torch.roll(x, [-s for s in shift], axes) if any(shift) else x
    front = _to_front(c, axes)
    if front.data_ptr() == c.data_ptr() and levels > 1:
        front = front.clone(memory_format=torch.contiguous_format)  # the approximation is written into it
    lines = front.shape[0]
    lengths = list(zip(*(_lengths(c.shape[d], levels) for d in axes)))
    back = front
    for level in reversed(range(levels)):
        block = front[(slice(None), *(slice(0, n) for n in lengths[level]))]
        if level < levels - 1:
            block[(slice(None), *(slice(0, n) for n in lengths[level + 1]))] = back.movedim(-1, 0)
        v = block
        for n in reversed(lengths[level]):
            v = synthesize_axis(v.reshape(-1, n), filters)
        back = v.reshape(*lengths[level], lines)
    x = _from_back(back, c, axes)
    return torch.roll(x, [-s for s in shift], axes) if any(shift) else x


def _corner(x: Tensor, lengths: Sequence[int]) -> Tensor:
    """The corner of ``(*spatial, lines)`` with these lengths."""
    return x[tuple(slice(0, n) for n in lengths)]
