"""Helpers of denoisers: batches as lists, images continued beyond their edges, neighbors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from .._errors import DtypeError, ParameterError, ShapeError

Boundary = Literal["symmetric", "reflect", "replicate", "circular"]


def require_real(denoiser: Any, x: Tensor) -> None:
    """Raise `DtypeError` for complex images."""
    if x.is_complex():
        raise DtypeError(
            f"{type(denoiser).__name__}: expected a real image, got {x.dtype}; denoise the real and the "
            "imaginary part (or the magnitude) instead."
        )


def flat_batch(x: Tensor, sigma: Tensor, spatial_dims: int) -> tuple[Tensor, Tensor]:
    """``x`` as ``(n, channel, *spatial)`` and ``sigma`` as ``(n,)``."""
    batch = x.shape[: x.ndim - spatial_dims - 1]
    levels = sigma.reshape(batch) if sigma.ndim else sigma.expand(batch)
    return x.reshape(batch.numel(), *x.shape[len(batch) :]), levels.reshape(-1)


def check_options(name: str, spatial_dims: int, boundary: str) -> None:
    """Raise `ParameterError` unless the options are known."""
    if spatial_dims not in (1, 2, 3):
        raise ParameterError(f"{name}: spatial_dims must be 1, 2 or 3, got {spatial_dims!r}.")
    if boundary not in get_args(Boundary):
        raise ParameterError(f"{name}: boundary must be one of {get_args(Boundary)}, got {boundary!r}.")


def extended(x: Tensor, margin: int, dims: Sequence[int], boundary: Boundary) -> Tensor:
    """Continue ``x`` by ``margin`` on both sides of the axes ``dims``, however short they are.

    ``symmetric`` repeats the edge sample (``dcba|abcd|dcba``), ``reflect`` does not (``dcb|abcd|cba``).

    Examples
    --------
    >>> extended(torch.tensor([1.0, 2.0, 3.0]), 2, (-1,), "symmetric").tolist()
    [2.0, 1.0, 1.0, 2.0, 3.0, 3.0, 2.0]
    """
    for d in dims:
        n = x.shape[d]
        if n == 0:
            raise ShapeError(f"expected an image with samples along every axis, got shape {tuple(x.shape)}.")
        i = torch.arange(-margin, n + margin, device=x.device)
        if boundary == "replicate":
            i = i.clamp(0, n - 1)
        elif boundary == "circular":
            i = i % n
        elif boundary == "symmetric":
            i = i % (2 * n)
            i = torch.minimum(i, 2 * n - 1 - i)
        else:
            period = max(2 * n - 2, 1)
            i = i % period
            i = torch.minimum(i, period - i)
        x = x.index_select(d, i)
    return x


def offsets(radius: int, dims: int) -> Iterator[tuple[int, ...]]:
    """All offsets of a cubic window, each axis from ``-radius`` to ``radius``."""
    return product(range(-radius, radius + 1), repeat=dims)


def window(x: Tensor, start: Sequence[int], lengths: Sequence[int]) -> Tensor:
    """The part of the last axes that begins at ``start``: a view."""
    for d, (s, n) in enumerate(zip(start, lengths), start=x.ndim - len(lengths)):
        x = x.narrow(d, s, n)
    return x
