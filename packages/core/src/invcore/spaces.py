"""`Space`: the trailing dimensions and dtype kind of an operator's input or output."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from numbers import Integral
from typing import Any, Literal

import torch
from torch import Tensor

from ._errors import DtypeError, ShapeError
from ._value import complex_dtype, real_dtype

Vector = Any
"""A tensor, or for several blocks a (nested) tuple of tensors."""


@dataclass(frozen=True)
class Space:
    """The trailing dimensions of a tensor and whether it is real or complex.

    Whatever dimensions come before are batch. Several blocks (the range of a stacked operator) are a
    plain tuple of spaces, and their elements a plain tuple of tensors.

    Parameters
    ----------
    shape : tuple of int
        Trailing dimensions. An image is ``(channel, *spatial)``.
    kind : {"real", "complex"}
        Complex data is native complex (``complex64``), never two real channels.

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


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, tuple | list) and all(
        isinstance(n, Integral) and not isinstance(n, bool) and int(n) >= 0 for n in shape
    )


def as_space(space: Any, what: str = "space") -> SpaceLike:
    """A space given as such or as its shape: ``(1, 8, 8)`` is ``Space((1, 8, 8))``, a real one.

    Parameters
    ----------
    space : Space, tuple of int, or tuple of these
        A tuple of spaces or shapes stands for several blocks.
    what : str
        Subject of the error message.

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


def spaces_of(space: SpaceLike) -> list[Space]:
    """The blocks of a space, depth first."""
    return [space] if isinstance(space, Space) else [s for block in space for s in spaces_of(block)]


def size_of(space: SpaceLike) -> int:
    """Number of entries in all blocks."""
    return sum(s.size for s in spaces_of(space))


def real_size_of(space: SpaceLike) -> int:
    """Number of real degrees of freedom in all blocks."""
    return sum(s.real_size for s in spaces_of(space))


def check(x: Vector, space: SpaceLike, what: str) -> None:
    """Raise a `ShapeError` or `DtypeError` that names ``what`` unless ``x`` lies in ``space``."""
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
    n = len(space.shape)
    if x.ndim < n or tuple(x.shape[x.ndim - n :]) != space.shape:
        dims = ", ".join(map(str, space.shape))
        hint = ""
        if x.ndim == n - 1 and tuple(x.shape) == space.shape[1:]:
            hint = " The channel dimension is missing: use x[None]."
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

    Each dimension longer than 1 goes to the axis of its length, in order: a mask of 60 phase encodes for an image of
    (1, 48, 60) pixels lies along x, one of 48 along y. A tensor of as many dimensions as ``shape`` stays as it is.

    Parameters
    ----------
    t : Tensor
        Of 1 to ``len(shape)`` dimensions; with as many or more it has its place already and is returned.
    shape : tuple of int
    what : str
        Subject of the error message.
    channels : int
        Number of leading axes of ``shape`` that are considered only if ``t`` fits nowhere else.

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
    if len(found) == 1:
        full = found.pop()
        same = full[-t.ndim :] == tuple(t.shape)
        return t if same else t.reshape(full)
    got = f"{what} of shape {tuple(t.shape)} for {shape}"
    if not found:
        raise ShapeError(
            f"{got}: no axes have these lengths. Give it all {len(shape)} dimensions, 1 where it is constant."
        )
    choices = " or ".join(f".reshape{full}" for full in sorted(found))
    raise ShapeError(f"{got} fits in {len(found)} ways; say which: {choices}.")


def batch_shape(x: Vector, space: SpaceLike) -> torch.Size:
    """The leading (batch) dimensions of ``x``; blocks broadcast against each other."""
    if isinstance(space, tuple):
        return torch.broadcast_shapes(*(batch_shape(part, s) for part, s in zip(x, space)))
    return x.shape[: x.ndim - len(space.shape)]


def expand_batch(x: Vector, space: SpaceLike, batch: torch.Size) -> Vector:
    """``x`` broadcast to the batch dimensions ``batch``."""
    if isinstance(space, tuple):
        return tuple(expand_batch(part, s, batch) for part, s in zip(x, space))
    return x.expand(*batch, *space.shape)


def tensor_dtype(space: Space, dtype: torch.dtype) -> torch.dtype:
    """The dtype of an element of ``space`` in the precision of ``dtype``."""
    real = real_dtype(dtype)
    return complex_dtype(real) if space.kind == "complex" else real


def zeros(
    space: SpaceLike, batch: tuple[int, ...] = (), *, dtype: torch.dtype = torch.float32, device: Any = None
) -> Vector:
    """The zero element, with batch dimensions ``batch``, in the precision of ``dtype``."""
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
) -> Vector:
    """White noise with unit variance in each real component; drawn on the generator's device, one batch item
    after the other, so that the same seed gives the same numbers however the batch is split."""
    real, n = real_dtype(dtype), real_size_of(space)
    draws = [
        torch.randn(n, generator=generator, dtype=real, device=generator.device)
        for _ in range(math.prod(batch))
    ]
    x = torch.stack(draws) if draws else torch.zeros((0, n), dtype=real, device=generator.device)
    return unflatten(x.reshape(*batch, n).to(device if device is not None else generator.device), space)


def flatten(x: Vector, space: SpaceLike) -> Tensor:
    """All real components in one vector: ``(batch..., n)`` real. A view for a single contiguous tensor."""
    if isinstance(space, tuple):
        batch = batch_shape(x, space)
        parts = [_block(part, s) for part, s in zip(x, space)]
        return torch.cat([p.expand(*batch, p.shape[-1]) for p in parts], dim=-1)
    if x.is_complex():
        x = torch.view_as_real(x.resolve_conj())
    batch = x.shape[: x.ndim - len(space.shape) - (space.kind == "complex")]
    return x.reshape(*batch, space.real_size)


def _block(x: Vector, space: SpaceLike) -> Tensor:
    """`flatten` of one of several blocks. Without a complex view: its gradient is a slice of all blocks, and torch can
    not see a slice at an odd offset as complex."""
    if isinstance(x, Tensor) and x.is_complex() and isinstance(space, Space):
        return flatten(torch.stack((x.real, x.imag), dim=-1), Space((*space.shape, 2)))
    return flatten(x, space)


def unflatten(v: Tensor, space: SpaceLike) -> Vector:
    """The inverse of `flatten`."""
    if isinstance(space, tuple):
        parts = v.split([real_size_of(s) for s in space], dim=-1)
        return tuple(_unblock(p, s) for p, s in zip(parts, space))
    if space.kind == "real":
        return v.reshape(*v.shape[:-1], *space.shape)
    return torch.view_as_complex(v.reshape(*v.shape[:-1], *space.shape, 2).contiguous())


def _unblock(v: Tensor, space: SpaceLike) -> Vector:
    """`unflatten` of one of several blocks, without a complex view, as in `_block`."""
    if isinstance(space, Space) and space.kind == "complex":
        pairs = v.reshape(*v.shape[:-1], *space.shape, 2)
        return torch.complex(pairs[..., 0], pairs[..., 1])
    return unflatten(v, space)


def vdot(x: Vector, y: Vector, space: SpaceLike) -> Tensor:
    """The real inner product Re⟨x, y⟩ of each batch item."""
    return torch.linalg.vecdot(flatten(x, space), flatten(y, space))


def norm(x: Vector, space: SpaceLike) -> Tensor:
    """The Euclidean norm of each batch item."""
    return torch.linalg.vector_norm(flatten(x, space), dim=-1)


def per_sample(s: Any, space: SpaceLike) -> Any:
    """Give a scalar per batch item the trailing singleton dimensions that broadcast against an element of ``space``."""
    if not isinstance(s, Tensor) or s.ndim == 0 or not isinstance(space, Space):
        return s
    return s.reshape(*s.shape, *(1,) * len(space.shape))


def tree_map(function: Callable[..., Any], *vectors: Vector) -> Vector:
    """Apply ``function`` to corresponding blocks."""
    if isinstance(vectors[0], tuple):
        return tuple(tree_map(function, *parts) for parts in zip(*vectors))
    return function(*vectors)


def vjp(function: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """`torch.func.vjp` without auxiliary output."""
    result = torch.func.vjp(function, *primals)
    return result[0], result[1]


def scaled(scale: Any, x: Vector, space: SpaceLike | None) -> Vector:
    """``scale * x`` with one factor for all or one per batch item; without ``space`` all of ``x`` is one item."""
    if isinstance(x, tuple):
        parts = space if isinstance(space, tuple) else (None,) * len(x)
        return tuple(scaled(scale, part, s) for part, s in zip(x, parts))
    return (scale if space is None else per_sample(scale, space)) * x


def real_vector(x: Vector, space: SpaceLike | None) -> Tensor:
    """`flatten`, where without ``space`` all of ``x`` is one item."""
    if space is not None:
        return flatten(x, space)
    if isinstance(x, tuple):
        return torch.cat([real_vector(part, None) for part in x])
    return flatten(x, Space(tuple(x.shape), "complex" if x.is_complex() else "real"))


def broadcast_to_sum(x: Tensor, shape: torch.Size) -> Tensor:
    """Sum ``x`` over the dimensions that broadcasting added to ``shape``."""
    return x if x.shape == shape else x.sum_to_size(shape)


def device_of(x: Vector) -> torch.device:
    """Device of a tensor or of the first block of a tuple."""
    return device_of(x[0]) if isinstance(x, tuple) else x.device


def dtype_of(x: Vector) -> torch.dtype:
    """Dtype of a tensor or of the first block of a tuple."""
    return dtype_of(x[0]) if isinstance(x, tuple) else x.dtype
