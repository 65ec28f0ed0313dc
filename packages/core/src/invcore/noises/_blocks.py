"""One noise for each block of the data."""

from __future__ import annotations

from typing import Any, Self

import torch

from .._errors import ParameterError, ShapeError
from ..fidelities import BlockFidelity
from ..spaces import SpaceLike, broadcast_shapes
from ._base import Noise, item_by_item


class BlockNoise(Noise):
    """The noise of data in several blocks, one model for each: those of a stacked operator.

    The likelihood is the sum of those of the blocks (`invcore.fidelities.BlockFidelity`).

    Parameters
    ----------
    parts : tuple of Noise
        One for each block.

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.noises import GaussianNoise, PoissonNoise
    >>> from invcore.operators import Identity, stack
    >>> I = Identity((2,))
    >>> physics = Physics(stack([I, I]), BlockNoise((GaussianNoise(sigma=0.1), PoissonNoise())))
    >>> y = physics(torch.ones(2), generator=torch.Generator().manual_seed(0))
    >>> [type(f).__name__ for f in physics.likelihood().parts]
    ['LeastSquares', 'PoissonKL']
    """

    units = {"parts": 1}

    parts: tuple[Noise, ...]

    def __post_init__(self) -> None:
        held = self.parts
        if not (isinstance(held, tuple) and held and all(isinstance(n, Noise) for n in held)):
            raise ParameterError(
                f"BlockNoise: parts must be a tuple of Noise, one for each block of the data, "
                f"got {held!r:.80}"
            )

    @property
    def random(self) -> bool:
        return any(n.random for n in self.parts)

    def _of(self, space: Any) -> Any:
        """The noises with the space of each."""
        if not isinstance(space, tuple) or len(space) != len(self.parts):
            raise ShapeError(
                f"BlockNoise of {len(self.parts)} parts: the data must be a tuple of as many blocks, as "
                f"from a stacked operator; got {space}"
            )
        return zip(self.parts, space)

    def parameter_batch(self, space: SpaceLike) -> torch.Size:
        return broadcast_shapes(*(n.parameter_batch(s) for n, s in self._of(space)))

    def per_sample(self, space: SpaceLike, batch: tuple[int, ...]) -> Self:
        return type(self)(parts=tuple(n.per_sample(s, batch) for n, s in self._of(space)))

    def of_item(self, index: int, batch: torch.Size, space: SpaceLike) -> Self:
        return type(self)(parts=tuple(n.of_item(index, batch, s) for n, s in self._of(space)))

    def sample(self, y: Any, space: SpaceLike, generator: torch.Generator) -> Any:
        def blocks(noise: BlockNoise, item: Any) -> Any:
            return tuple(n.sample(part, s, generator) for (n, s), part in zip(noise._of(space), item))

        return item_by_item(self, y, space, blocks)

    def _information(self, u: Any, space: SpaceLike) -> Any:
        return tuple(n._information(part, s) for (n, s), part in zip(self._of(space), u))

    def likelihood(self) -> BlockFidelity:
        return BlockFidelity(tuple(n.likelihood() for n in self.parts))
