"""Batches of inputs and of parameters: everything behaves as if each sample came alone."""

from __future__ import annotations

from typing import Any

import torch

from .._errors import InvcoreError, ShapeError
from ..operators import Operator
from ..spaces import flatten, real_size_of
from ._checks import fail, skip
from ._probes import (
    item,
    mapped,
    maps_of,
    parameter_batch,
    probe,
    require_same,
    shapes,
    tensors_in,
    with_parameter_batch,
)

_TOLERANCE = 1e-12


def check_batch_equals_loop(A: Operator) -> None:
    """A batch of 1, 3, or 2 x 2 inputs gives what the inputs give one by one."""
    B = A.to(torch.float64)
    own = parameter_batch(B)
    for m in maps_of(B):
        for batch in ((1,), (3,), (2, 2)):
            if batch == (2, 2) and real_size_of(m.domain) > 4096:
                continue
            x = probe(m.domain, (*batch, *own), seed=11)
            together = m.apply(x)
            for index in _indices(batch):
                alone = m.apply(item(x, index))
                require_same(
                    item(together, index),
                    alone,
                    _TOLERANCE,
                    f"{m.label} of a batch {batch} differs from {m.label} of its item {index} alone",
                )


def _indices(batch: tuple[int, ...]) -> list[tuple[int, ...]]:
    grid = torch.ones(batch).nonzero()
    return [tuple(row) for row in grid.tolist()]


def check_empty_batch(A: Operator) -> None:
    """A batch of 0 inputs gives an output of batch 0 in the declared space."""
    B = A.to(torch.float64)
    own = parameter_batch(B)
    for m in maps_of(B):
        out = m.apply(probe(m.domain, (0, *own)))
        one = m.apply(probe(m.domain, (1, *own)))
        expected = mapped(lambda t: t[:0], one)
        if shapes(out) != shapes(expected):
            fail(f"{m.label} of an empty batch has shape {shapes(out)} instead of {shapes(expected)}")
        if [t.dtype for t in tensors_in(out)] != [t.dtype for t in tensors_in(one)]:
            fail(f"{m.label} of an empty batch changes the dtype to {tensors_in(out)[0].dtype}")


def check_independent_of_batch_mates(A: Operator) -> None:
    """Changing the other samples of a batch, even to huge values, changes nothing for a sample."""
    B = A.to(torch.float64)
    own = parameter_batch(B)
    for m in maps_of(B):
        x = probe(m.domain, (3, *own), seed=12)
        first = item(m.apply(x), 1)
        for factor in (1e4, 0.0):
            scale = torch.tensor([factor, 1.0, factor], dtype=torch.float64)
            other = mapped(lambda t, s=scale: s.reshape(3, *(1,) * (t.ndim - 1)) * t, x)  # type: ignore[misc]
            require_same(
                item(m.apply(other), 1),
                first,
                _TOLERANCE,
                f"{m.label} of a sample changes when its batch-mates are multiplied by {factor:g}",
            )


def check_parameters_per_sample(A: Operator) -> None:
    """A batch of parameters acts sample by sample, on one input and on a batch of inputs."""
    B = A.to(torch.float64)
    if not B.parameters():
        skip("no parameters")
    if parameter_batch(B):
        skip("the parameters of this example carry a batch already")
    done = False
    for name in B.parameters():
        pair = with_parameter_batch(B, name, 2)
        if pair is None:
            continue
        done = True
        many, singles = pair
        singles_maps = [maps_of(s) for s in singles]
        for k, m in enumerate(maps_of(many)):
            for lead in ((), (2,)):
                x = probe(m.domain, (*lead, 2), seed=13)
                columns = [
                    flatten(maps[k].apply(_column(x, i, m.domain)), m.range)
                    for i, maps in enumerate(singles_maps)
                ]
                require_same(
                    flatten(m.apply(x), m.range),
                    torch.stack(columns, dim=-2),
                    _TOLERANCE,
                    f"{m.label} with a batch of 2 values of {name!r} and inputs of batch {(*lead, 2)} "
                    "differs from the loop",
                )
            x = probe(m.domain, seed=14)
            columns = [flatten(maps[k].apply(x), m.range) for maps in singles_maps]
            require_same(
                flatten(m.apply(x), m.range),
                torch.stack(columns, dim=-2),
                _TOLERANCE,
                f"{m.label} with a batch of 2 values of {name!r} and one input differs from the loop",
            )
    if not done:
        skip("no other value of a parameter was accepted")


def _column(x: Any, i: int, space: Any) -> Any:
    """Item ``i`` of the last batch dimension."""
    if isinstance(x, tuple):
        return tuple(_column(part, i, s) for part, s in zip(x, space))
    return x.select(x.ndim - len(space.shape) - 1, i)


def check_batch_mismatch_raises(A: Operator) -> None:
    """Inputs of batch 3 against parameters of batch 2 raise a ShapeError that shows both."""
    B = A.to(torch.float64)
    if not B.parameters():
        skip("no parameters")
    if parameter_batch(B):
        skip("the parameters of this example carry a batch already")
    for name in B.parameters():
        pair = with_parameter_batch(B, name, 2)
        if pair is None:
            continue
        for m in maps_of(pair[0]):
            try:
                out = m.apply(probe(m.domain, (3,)))
            except ShapeError:
                continue
            except InvcoreError as error:
                fail(
                    f"{m.label}: batch 3 against parameter batch 2 raises {type(error).__name__}, not "
                    f"ShapeError: {error}"
                )
            except Exception as error:
                fail(
                    f"{m.label}: an input of batch 3 against {name!r} of batch 2 raises a bare "
                    f"{type(error).__name__}, not a ShapeError: {error}"
                )
            fail(
                f"{m.label} accepts an input of batch 3 with {name!r} of batch 2 and returns shape "
                f"{shapes(out)}; it should raise a ShapeError"
            )


CHECKS = (
    check_batch_equals_loop,
    check_empty_batch,
    check_independent_of_batch_mates,
    check_parameters_per_sample,
    check_batch_mismatch_raises,
)
