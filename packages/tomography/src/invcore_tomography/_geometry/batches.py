"""Batches of scans: a geometry with leading dimensions, one scan at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from invcore import Space
from invcore.spaces import broadcast_shapes

from .geometry import Geometry


def scans(geometry: Geometry) -> list[Geometry]:
    """The geometries of a batch, one by one, without batch dimensions."""
    batch: Any = geometry.batch
    if not batch:
        return [geometry]
    flat = {
        name: t.expand(*batch, *t.shape[-2:]).reshape(-1, *t.shape[-2:])
        for name, t in geometry.parameters().items()
    }
    return [geometry.bind(**{name: t[k] for name, t in flat.items()}) for k in range(math.prod(batch))]


def learns(geometry: Geometry) -> bool:
    """True if a vector requires a gradient: an optimizer changes it in place, so nothing may be cached."""
    return any(t.requires_grad for t in geometry.parameters().values())


def over_batch(
    geometry: Geometry, x: Tensor, source: Space, target: Space, function: Callable[[int, Tensor], Tensor]
) -> Tensor:
    """Apply a function to the images of each scan, and put the batch together again.

    Parameters
    ----------
    geometry : Geometry
    x : Tensor, shape (..., *source.shape)
        Its batch broadcasts against that of the geometry.
    source, target : Space
        Of one image and of its result; the first dimension is the channel.
    function : callable
        From the index into `scans` and images (n, *source.shape[1:]) to (n, *target.shape[1:]).

    Returns
    -------
    Tensor, shape (..., *target.shape)
    """
    own = geometry.batch
    batch = broadcast_shapes(x.shape[: x.ndim - len(source.shape)], own)
    sizes = (1,) * (len(batch) - len(own)) + tuple(own)
    changing = [i for i, n in enumerate(sizes) if n > 1]  # batch dimensions along which the scan changes
    order = [*changing, *(i for i in range(len(batch)) if i not in changing)]
    x = x.expand(*batch, *source.shape).permute(*order, *range(len(batch), len(batch) + len(source.shape)))
    count = math.prod(batch[i] for i in changing)
    items = math.prod(batch[i] for i in order[len(changing) :]) * source.shape[0]
    parts = x.reshape(count, items, *source.shape[1:])
    if count == 1:  # no copy
        done = function(0, parts[0])
    else:
        done = torch.stack([function(k, part) for k, part in enumerate(parts)]) if count else x.new_zeros(0)
    done = done.reshape(*(batch[i] for i in order), *target.shape)
    back = [order.index(i) for i in range(len(batch))]
    return done.permute(*back, *range(len(batch), len(batch) + len(target.shape)))
