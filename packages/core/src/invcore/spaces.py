"""Spaces and their vectors: shapes, inner products, scalars per sample, for tensors and tuples of them.

A `Space` states the trailing dimensions that an operator takes or gives; those before are batch. The
functions here serve a tensor and a tuple of blocks alike, real or complex, with or without batch dimensions,
so that authors of operators, priors and solvers need no other code for batches and blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from numbers import Integral
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from ._errors import DtypeError, ParameterError, ShapeError
from ._value import BELOW, below_single, complex_dtype, real_dtype

__all__ = [
    "Space",
    "SpaceLike",
    "Vector",
    "add",
    "align",
    "as_space",
    "batch_shape",
    "broadcast_shapes",
    "check",
    "flatten",
    "norm",
    "per_sample",
    "randn",
    "real_size_of",
    "scaled",
    "space_of",
    "spaces_of",
    "tree_map",
    "unflatten",
    "vdot",
    "zeros",
]

Vector = Tensor | tuple["Vector", ...]
"""A tensor, or for several blocks a (nested) tuple of tensors."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Space:
    """The trailing dimensions of a tensor, without batch, and whether it is real or complex.

    Several blocks (the range of a stacked operator) are a plain tuple of spaces, and their elements a plain
    tuple of tensors.

    Parameters
    ----------
    shape : tuple of int
        Trailing dimensions. An image is ``(channel, *spatial)``.
    kind : {"real", "complex"}
        Complex data is native complex (``complex64``), never two real channels.

    Raises
    ------
    ShapeError, DtypeError
        If the shape is not made of non-negative integers, or there is no such kind.

    Examples
    --------
    >>> Space((1, 64, 64), "complex")
    Space((1, 64, 64), 'complex')
    """

    shape: tuple[int, ...]
    kind: Literal["real", "complex"] = "real"

    def __post_init__(self) -> None:
        if self.kind not in ("real", "complex"):
            raise DtypeError(f"Space kind must be 'real' or 'complex', got {self.kind!r}")
        if type(self.shape) is tuple and all(type(n) is int and n >= 0 for n in self.shape):
            return
        if not _is_shape(self.shape):
            raise ShapeError(f"Space shape must be a tuple of non-negative ints, got {self.shape!r}")
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    def __repr__(self) -> str:
        return f"Space({self.shape})" if self.kind == "real" else f"Space({self.shape}, 'complex')"

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def real_size(self) -> int:
        """Number of real degrees of freedom: twice `size` for a complex space."""
        return self.size * (2 if self.kind == "complex" else 1)


SpaceLike = Space | tuple["SpaceLike", ...]
"""A space, or for several blocks a (nested) tuple of spaces."""

# -- spaces ------------------------------------------------------------------------------------------


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, tuple | list) and all(
        isinstance(n, Integral) and not isinstance(n, bool) and int(n) >= 0 for n in shape
    )


def as_space(space: Any, what: str = "space") -> SpaceLike:
    """Return a space given as such or as its shape: ``(1, 8, 8)`` is ``Space((1, 8, 8))``, a real one.

    A tuple of spaces or shapes stands for several blocks; ``what`` is the subject of the error message.

    Raises
    ------
    ShapeError
        If it is neither, or if it is empty: the space of scalars is ``Space(())``.

    Examples
    --------
    >>> as_space((1, 8, 8)), as_space(((2,), Space((3,), "complex")))
    (Space((1, 8, 8)), (Space((2,)), Space((3,), 'complex')))
    """
    if isinstance(space, Space):
        return space
    if isinstance(space, tuple | list) and len(space):
        if _is_shape(space):
            return Space(tuple(space))
        if all(isinstance(block, Space | tuple | list) for block in space):
            return tuple(as_space(block, f"{what}, block {i}") for i, block in enumerate(space))
    hint = " A space without dimensions is Space(())." if space == () else ""
    raise ShapeError(
        f"{what}: expected a Space or its shape, as Space((1, 8, 8)) or (1, 8, 8) with non-negative ints, "
        f"got {space!r}.{hint}"
    )


def space_of(x: Any, ndim: int | None = None, what: str = "space_of") -> Any:
    """Return the space of ``x``, taken as one sample: all its dimensions, or the last ``ndim``.

    Raises
    ------
    ParameterError
        If ``x`` is not a tensor or a tuple of tensors; ``what`` names it in the message.

    Examples
    --------
    >>> space_of(torch.ones(5, 1, 8, 8), 3), space_of((torch.ones(2), torch.ones(3) + 0j))
    (Space((1, 8, 8)), (Space((2,)), Space((3,), 'complex')))
    """
    if isinstance(x, tuple):
        return tuple(space_of(part, ndim, what) for part in x)
    if not isinstance(x, Tensor):
        raise ParameterError(f"{what}: expected a tensor or a tuple of tensors, got {type(x).__name__}")
    shape = x.shape if ndim is None else x.shape[max(x.ndim - ndim, 0) :]
    return Space(tuple(shape), "complex" if x.is_complex() else "real")


def spaces_of(space: SpaceLike) -> list[Space]:
    """Return the blocks of a space, depth first."""
    return [space] if isinstance(space, Space) else [s for block in space for s in spaces_of(block)]


def size_of(space: SpaceLike) -> int:
    """Return the number of entries in all blocks."""
    return sum(s.size for s in spaces_of(space))


def real_size_of(space: SpaceLike) -> int:
    """Return the number of real degrees of freedom in all blocks.

    Examples
    --------
    >>> real_size_of((Space((2, 3)), Space((4,), "complex")))
    14
    """
    return sum(s.real_size for s in spaces_of(space))


def check(x: Any, space: SpaceLike, what: str) -> None:
    """Raise unless ``x`` lies in ``space``, with any batch dimensions before; ``what`` names it in messages.

    Raises
    ------
    ShapeError, DtypeError
        If the trailing dimensions, the number of blocks or the kind are others, or ``x`` is not a tensor.

    Examples
    --------
    >>> check(torch.ones(5, 2, 4), Space((2, 3)), "image")
    Traceback (most recent call last):
    invcore._errors.ShapeError: image: expected shape (batch..., 2, 3), got (5, 2, 4).
    """
    if isinstance(space, tuple):
        if not isinstance(x, tuple) or len(x) != len(space):
            got = f"{len(x)} of them" if isinstance(x, tuple) else type(x).__name__
            raise ShapeError(f"{what}: expected a tuple of {len(space)} tensors (one per block), got {got}.")
        for i, (part, s) in enumerate(zip(x, space)):
            check(part, s, f"{what}, block {i}")
        return
    if not isinstance(x, Tensor):
        raise DtypeError(
            f"{what}: expected a torch.Tensor, got {type(x).__name__}. Use torch.as_tensor(...)."
        )
    if below_single(x.dtype):
        raise DtypeError(f"{what} is {x.dtype}: {BELOW}")
    n = len(space.shape)
    if x.ndim < n or tuple(x.shape[x.ndim - n :]) != space.shape:
        dims = ", ".join(map(str, space.shape))
        bare = x.ndim == n - 1 and tuple(x.shape) == space.shape[1:]
        hint = " The channel dimension is missing: use x[None]." if bare else ""
        raise ShapeError(f"{what}: expected shape (batch..., {dims}), got {tuple(x.shape)}.{hint}")
    if space.kind == "complex" and not x.is_complex():
        raise DtypeError(
            f"{what}: expected a complex tensor, got {x.dtype}. Convert with x + 0j or x.to(torch.complex64)."
        )
    if space.kind == "real" and not x.is_floating_point():
        advice = "Take x.real or x.abs()" if x.is_complex() else "Convert with x.float()"
        raise DtypeError(f"{what}: expected a real floating-point tensor, got {x.dtype}. {advice}.")


def align(t: Tensor, shape: tuple[int, ...], what: str, *, channels: int = 0) -> Tensor:
    """Give a tensor of few dimensions the singleton ones with which it broadcasts against ``shape``.

    Each dimension longer than 1 goes to the axis of its length, in order: a mask of 60 phase encodes for an
    image of (1, 48, 60) pixels lies along x, one of 48 along y. A tensor of as many dimensions or more is
    returned as it is. The first ``channels`` axes are considered only if it fits nowhere else; ``what`` names
    it in messages.

    Raises
    ------
    ShapeError
        If it fits nowhere, or in several places: a mask of 8 on (1, 8, 8) may lie along y or x.

    Examples
    --------
    >>> align(torch.ones(4), (1, 4, 6), "mask").shape
    torch.Size([1, 4, 1])
    """
    if not 0 < t.ndim < len(shape):
        return t
    found: set[tuple[int, ...]] = set()
    for first in dict.fromkeys((channels, 0)):
        for axes in combinations(range(first, len(shape)), t.ndim):
            placed = dict(zip(axes, t.shape))
            if all(n in (1, shape[a]) for a, n in placed.items()):
                found.add(tuple(placed.get(a, 1) for a in range(len(shape))))
        if found:
            break
    got = f"{what} of shape {tuple(t.shape)} for {shape}"
    if not found:
        raise ShapeError(
            f"{got}: no axes have these lengths. Give it all {len(shape)} dimensions, 1 where it is constant."
        )
    if len(found) > 1:
        choices = " or ".join(f".reshape{full}" for full in sorted(found))
        raise ShapeError(f"{got} fits in {len(found)} ways; say which: {choices}.")
    full = found.pop()
    return t if full[-t.ndim :] == tuple(t.shape) else t.reshape(full)


# -- batches -----------------------------------------------------------------------------------------


def broadcast_shapes(*shapes: tuple[int, ...]) -> torch.Size:
    """Return the shape to which tensors of these shapes broadcast.

    As `torch.broadcast_shapes`, which at its first call imports a package for symbolic mathematics: 0.4 s.

    Raises
    ------
    RuntimeError
        If they do not broadcast, as in torch.

    Examples
    --------
    >>> broadcast_shapes((5, 1), (3,), ())
    torch.Size([5, 3])
    """
    try:
        return torch.Size(np.broadcast_shapes(*shapes))
    except ValueError:
        listed = ", ".join(str(tuple(s)) for s in shapes)
        raise RuntimeError(f"the shapes {listed} cannot be broadcast to one") from None


def batch_shape(x: Vector, space: SpaceLike) -> torch.Size:
    """Return the leading (batch) dimensions of ``x``; blocks broadcast against each other.

    Examples
    --------
    >>> batch_shape(torch.ones(5, 4, 2, 3), Space((2, 3)))
    torch.Size([5, 4])
    """
    if isinstance(x, tuple):
        return broadcast_shapes(*(batch_shape(part, s) for part, s in zip(x, space)))  # type: ignore[arg-type]
    return x.shape[: x.ndim - len(space.shape)]  # type: ignore[union-attr]


def expand_batch(x: _T, space: SpaceLike, batch: torch.Size) -> _T:
    """Return ``x`` broadcast to the batch dimensions ``batch``."""
    return tree_map(lambda part, s: part.expand((*batch, *s.shape)), x, space)


def per_sample(s: _T, space: SpaceLike | None) -> _T:
    """Give scalars (batch...), one per sample, the dimensions to broadcast against an element of ``space``.

    A number or a tensor without dimensions serves all samples and is returned, and so is any ``s`` without a
    space or for several blocks (see `scaled`). Scalars that have these dimensions already, as (batch..., 1,
    1, 1) for images, stay as they are.

    Examples
    --------
    >>> per_sample(torch.ones(5), Space((1, 8, 8))).shape
    torch.Size([5, 1, 1, 1])
    """
    if not isinstance(s, Tensor) or s.ndim == 0 or not isinstance(space, Space):
        return s
    if len(space.shape) > 1 and s.ndim > len(space.shape) and s.shape[-len(space.shape) :].numel() == 1:
        return s
    return s.reshape(*s.shape, *(1,) * len(space.shape))  # type: ignore[return-value]


def one_per_sample(s: _T, space: SpaceLike, batch: tuple[int, ...] | None = None) -> _T:
    """Return scalars (batch...), also if they come as (batch..., 1, 1, 1), ready to broadcast against images.

    With the ``batch`` of the image it is clear that dimensions beyond it are those; without, only for spaces
    of two dimensions or more.

    Examples
    --------
    >>> one_per_sample(torch.ones(4, 1, 1, 1), Space((1, 8, 8))).shape
    torch.Size([4])
    """
    if not isinstance(s, Tensor) or s.ndim == 0:
        return s
    n = len(spaces_of(space)[0].shape)
    beyond = s.ndim > len(batch) if batch is not None else n > 1 and s.ndim > n
    if not (beyond and 0 < n <= s.ndim and s.shape[s.ndim - n :].numel() == 1):
        return s
    return s.reshape(s.shape[: s.ndim - n])  # type: ignore[return-value]


def scaled(scale: Any, x: _T, space: SpaceLike | None) -> _T:
    """Return ``scale * x`` with one factor for all, or one per sample; without ``space`` all is one sample.

    Examples
    --------
    >>> scaled(torch.tensor([2.0, 3.0]), torch.ones(2, 2), Space((2,)))
    tensor([[2., 2.],
            [3., 3.]])
    """
    if isinstance(x, tuple):
        parts = space if isinstance(space, tuple) else (None,) * len(x)
        return tuple(scaled(scale, part, s) for part, s in zip(x, parts))  # type: ignore[return-value]
    return (scale if space is None else per_sample(scale, space)) * x


# -- vectors -----------------------------------------------------------------------------------------


def tensor_dtype(space: Space, dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of an element of ``space`` in the precision of ``dtype``."""
    real = real_dtype(dtype)
    return complex_dtype(real) if space.kind == "complex" else real


def zeros(
    space: SpaceLike, batch: tuple[int, ...] = (), *, dtype: torch.dtype = torch.float32, device: Any = None
) -> Any:
    """Return the zero element, with batch dimensions ``batch``, in the precision of ``dtype``.

    Examples
    --------
    >>> zeros((Space((1,)), Space((2,))))
    (tensor([0.]), tensor([0., 0.]))
    """
    if isinstance(space, tuple):
        return tuple(zeros(s, batch, dtype=dtype, device=device) for s in space)
    return torch.zeros((*batch, *space.shape), dtype=tensor_dtype(space, dtype), device=device)


def randn(
    space: SpaceLike,
    batch: tuple[int, ...] = (),
    *,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
    device: Any = None,
) -> Any:
    """Draw white noise with unit variance in each real component, in the precision of ``dtype``.

    Numbers are drawn on the generator's device, one sample after the other, so that the same seed gives the
    same noise however the batch is split. The result lives there too, unless ``device`` is given.

    Examples
    --------
    >>> x = randn(Space((2,)), (3,), generator=torch.Generator().manual_seed(0))
    >>> torch.equal(x[:1], randn(Space((2,)), (1,), generator=torch.Generator().manual_seed(0)))
    True
    """
    where: Any = {"dtype": real_dtype(dtype), "device": generator.device}
    n = real_size_of(space)
    draws = [torch.randn(n, generator=generator, **where) for _ in range(math.prod(batch))]
    x = torch.stack(draws) if draws else torch.zeros((0, n), **where)
    return unflatten(x.reshape(*batch, n).to(device if device is not None else generator.device), space)


def flatten(x: Vector, space: SpaceLike | None = None) -> Tensor:
    """Return all real components in one vector, (batch..., n); without ``space`` all of ``x`` is one sample.

    It is a view for a single contiguous tensor.

    Examples
    --------
    >>> flatten((torch.ones(2), torch.tensor([3 + 4j])), (Space((2,)), Space((1,), "complex")))
    tensor([1., 1., 3., 4.])
    """
    if space is None:
        space = space_of(x)
    if isinstance(x, tuple):
        batch = batch_shape(x, space)
        parts = [_block(part, s) for part, s in zip(x, space)]  # type: ignore[arg-type]
        return torch.cat([p.expand(*batch, p.shape[-1]) for p in parts], dim=-1)
    assert isinstance(space, Space)
    if x.is_complex():
        x = torch.view_as_real(x.resolve_conj())
    return x.reshape(*x.shape[: x.ndim - len(space.shape) - (space.kind == "complex")], space.real_size)


def _block(x: Vector, space: SpaceLike) -> Tensor:
    """`flatten` of one of several blocks, without a complex view."""
    # the gradient of a view is a slice of all blocks; torch cannot see one at an odd offset as complex
    if isinstance(x, Tensor) and x.is_complex() and isinstance(space, Space):
        return flatten(torch.stack((x.real, x.imag), dim=-1), Space((*space.shape, 2)))
    return flatten(x, space)


def unflatten(v: Tensor, space: SpaceLike) -> Any:
    """Return the element of ``space`` whose real components are ``v``; the inverse of `flatten`.

    Examples
    --------
    >>> unflatten(torch.tensor([1.0, 1.0, 3.0, 4.0]), (Space((2,)), Space((1,), "complex")))
    (tensor([1., 1.]), tensor([3.+4.j]))
    """
    if isinstance(space, tuple):
        parts = v.split([real_size_of(s) for s in space], dim=-1)
        return tuple(_unblock(p, s) for p, s in zip(parts, space))
    if space.kind == "real":
        return v.reshape((*v.shape[:-1], *space.shape))
    return torch.view_as_complex(v.reshape(*v.shape[:-1], *space.shape, 2).contiguous())


def _unblock(v: Tensor, space: SpaceLike) -> Vector:
    """`unflatten` of one of several blocks, without a complex view, as in `_block`."""
    if isinstance(space, Space) and space.kind == "complex":
        pairs = v.reshape(*v.shape[:-1], *space.shape, 2)
        return torch.complex(pairs[..., 0], pairs[..., 1])
    return unflatten(v, space)


def add(x: Any, y: Any, scale: Any = 1.0, space: SpaceLike | None = None) -> Any:
    """Return x + scale · y of tensors or blocks, with one factor for all, or with ``space`` one per sample.

    Examples
    --------
    >>> add((torch.ones(1), torch.ones(2)), (torch.ones(1), torch.ones(2)), -1.0)
    (tensor([0.]), tensor([0., 0.]))
    """
    return tree_map(torch.add, x, scaled(scale, y, space))


def vdot(x: Vector, y: Vector, space: SpaceLike | None = None) -> Tensor:
    """Return the real inner product Re⟨x, y⟩ of each sample, (batch...); without ``space`` all is one sample.

    Examples
    --------
    >>> vdot(torch.tensor([1 + 1j]), torch.tensor([2 + 0j]), Space((1,), "complex"))
    tensor(2.)
    """
    return torch.linalg.vecdot(flatten(x, space), flatten(y, space))


def norm(x: Vector, space: SpaceLike | None = None) -> Tensor:
    """Return the Euclidean norm of each sample, (batch...); without ``space`` all of ``x`` is one sample.

    Examples
    --------
    >>> norm(torch.tensor([[3.0, 4.0], [0.0, 2.0]]), Space((2,)))
    tensor([5., 2.])
    """
    return torch.linalg.vector_norm(flatten(x, space), dim=-1)


def tree_map(function: Callable[..., Any], *vectors: Any) -> Any:
    """Apply ``function`` to corresponding blocks.

    Examples
    --------
    >>> tree_map(torch.add, (torch.ones(1), torch.ones(2)), (torch.ones(1), torch.ones(2)))
    (tensor([2.]), tensor([2., 2.]))
    """
    if isinstance(vectors[0], tuple):
        return tuple(tree_map(function, *parts) for parts in zip(*vectors))
    return function(*vectors)


def device_of(x: Vector) -> torch.device:
    """Return the device of a tensor or of the first block of a tuple."""
    return device_of(x[0]) if isinstance(x, tuple) else x.device


def dtype_of(x: Vector) -> torch.dtype:
    """Return the dtype of a tensor or of the first block of a tuple."""
    return dtype_of(x[0]) if isinstance(x, tuple) else x.dtype
