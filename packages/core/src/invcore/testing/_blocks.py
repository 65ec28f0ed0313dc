"""Fidelities and noises of data in several blocks, seen as ones of a single block, for the same checks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import DtypeError, InvcoreError
from ..noises import Noise
from ..spaces import Space, SpaceLike, flatten, tree_map, unflatten
from ._checks import fail

BLOCKS = (
    (Space((2,)), Space((2, 2))),
    (Space((1,), "complex"), Space((2, 2))),
)
"""Two blocks of six real components, as many as the data of the other checks have."""


class OneBlock:
    """A value of several blocks, applied to data of one block with as many real components."""

    def __init__(self, held: Any, blocks: SpaceLike) -> None:
        self.held, self.blocks = held, blocks

    def __getattr__(self, name: str) -> Any:
        return getattr(self.held, name)

    def to(self, target: Any) -> Any:
        """The same in another precision or on another device."""
        return type(self)(self.held.to(target), self.blocks)

    def _split(self, x: Tensor, space: Space | None) -> Any:
        if x.is_complex():
            raise DtypeError("blocks of real components are needed")
        return unflatten(x.flatten() if space is None else flatten(x, space), self.blocks)

    def _joined(self, x: Any, space: Space) -> Tensor:
        return unflatten(flatten(x, self.blocks), space)


class BlockedFidelity(OneBlock):
    """A fidelity of several blocks."""

    def value(self, u: Tensor, y: Tensor, space: Space | None = None) -> Tensor:
        blocks = None if space is None else self.blocks
        return self.held.value(self._split(u, space), self._split(y, space), blocks)

    def grad(self, u: Tensor, y: Tensor, space: Space) -> Tensor:
        return self._joined(self.held.grad(self._split(u, space), self._split(y, space), self.blocks), space)

    def prox(self, u: Tensor, y: Tensor, step: Any, space: Space) -> Tensor:
        found = self.held.prox(self._split(u, space), self._split(y, space), step, self.blocks)
        return self._joined(found, space)


class BlockedNoise(OneBlock):
    """A noise of several blocks."""

    def __call__(self, y: Tensor, *, space: Space, generator: torch.Generator | None = None) -> Tensor:
        drawn = self.held(self._split(y, space), space=self.blocks, generator=generator)
        return self._joined(drawn, space)

    def bind(self, **params: Any) -> Any:
        """The same with other parameters."""
        return type(self)(self.held.bind(**params), self.blocks)

    def parameter_batch(self, space: Space) -> Any:
        """Batch dimensions of the parameters."""
        return self.held.parameter_batch(self.blocks)

    def likelihood(self) -> Any:
        """The fidelity, as of one block too."""
        return BlockedFidelity(self.held.likelihood(), self.blocks)

    def information(self, u: Tensor, space: Space) -> Tensor:
        """Fisher information of each real component."""
        found = self.held.information(self._split(u, space), self.blocks)
        both = tree_map(lambda t, s: torch.complex(t, t) if s.kind == "complex" else t, found, self.blocks)
        return self._joined(both, space)


def in_blocks(
    held: Any, own: tuple[Callable[[Any], None], ...], wrap: type[OneBlock], use: Callable[[Any], Any]
) -> list[Callable[[Any], None]]:
    """The checks ``own``; for an object that takes blocks, each run on it as an object of one.

    ``use`` applies an object to data of one block, and raises for data that the object does not take.
    """

    def takes(candidate: Any) -> bool:
        try:
            use(candidate)
        except InvcoreError:
            return False
        return True

    taken = [] if takes(held) else [blocks for blocks in BLOCKS if takes(wrap(held, blocks))]
    if not taken:
        return list(own)

    def spread(check: Callable[[Any], None]) -> Callable[[Any], None]:
        @functools.wraps(check)
        def run(held: Any) -> None:
            for blocks in taken:
                check(wrap(held, blocks))

        return run

    return [*map(spread, own), check_wrong_blocks_raise]


def check_wrong_blocks_raise(held: Any) -> None:
    """Data in too few or too many blocks, or in none, raise an error of invcore's."""
    one = torch.ones(2, dtype=torch.float64)
    for what, y in (("one tensor", one), ("one block", (one,)), ("three blocks", (one, one, one))):
        space = tree_map(lambda t: Space(tuple(t.shape)), y)
        try:
            if isinstance(held, Noise):
                held(y, space=space, generator=torch.Generator().manual_seed(0))
            else:
                held.value(y, y, space)
        except InvcoreError:
            continue
        fail(f"{type(held).__name__} takes {what} in silence")
