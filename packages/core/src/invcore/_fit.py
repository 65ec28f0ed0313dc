"""Whether the parameters of a noise, fidelity or prior fit the data or image that they meet."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from ._errors import ShapeError
from .spaces import Space, SpaceLike, one_per_sample


def fitted(value: Any, space: SpaceLike, batch: tuple[int, ...]) -> Any:
    """A value with parameters of shape (batch...), also if they came as (batch..., 1, 1, 1).

    Parameters
    ----------
    value : Value
        Its parameters have one value per sample; those in ``maps`` have one for each entry, or 1 where they
        are constant along an axis.
    space : Space or tuple
        Of one item of what it meets.
    batch : tuple of int
        Of what it meets.

    Raises
    ------
    ShapeError
        If one has another shape.
    """
    own = {}
    for name in value.params:
        held = getattr(value, name)
        if name in value.maps:
            _check_map(f"{type(value).__name__}: {name}", held, space, batch)
        elif isinstance(held, Tensor) and held.ndim:
            one = one_per_sample(held, space, batch)
            if not _broadcast(one.shape, batch):
                raise ShapeError(
                    f"{type(value).__name__}: {name} has shape {tuple(held.shape)}, one value per sample; "
                    f"what it is for has the batch {tuple(batch)}"
                )
            if one is not held:
                own[name] = one
    return dataclasses.replace(value, **own) if own else value


def _check_map(what: str, held: Any, space: SpaceLike, batch: tuple[int, ...]) -> None:
    if isinstance(held, tuple) and isinstance(space, tuple) and len(held) == len(space):
        for i, (part, s) in enumerate(zip(held, space)):
            _check_map(f"{what}, block {i}", part, s, batch)
    if not isinstance(held, Tensor) or not held.ndim or not isinstance(space, Space):
        return
    shape, n = tuple(held.shape), len(space.shape)
    leading, own = shape[: max(len(shape) - n, 0)], shape[max(len(shape) - n, 0) :]
    if any(a not in (1, b) for a, b in zip(reversed(own), reversed(space.shape))):
        wanted = "".join(f", {k}" for k in space.shape)
        raise ShapeError(
            f"{what} has shape {shape}; expected (batch...{wanted}), "
            "with 1 where it is constant along an axis"
        )
    if not _broadcast(leading, batch):
        raise ShapeError(f"{what} has shape {shape}, so the batch {leading}; expected {tuple(batch)}")


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(a), reversed(b)))
