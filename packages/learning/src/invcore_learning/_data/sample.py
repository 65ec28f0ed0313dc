"""One entry of a data set that holds measurements, and the random numbers of each entry."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError, Physics
from invcore.generators import seeded
from invcore.spaces import SpaceLike, batch_shape, tree_map


class Sample(NamedTuple):
    """An image, its measurements, and the parameters ξ of the physics that made them.

    Attributes
    ----------
    x : Tensor, shape (channel, *spatial), or None
        The image, where it is known.
    y : Tensor or tuple of Tensor, shape (*range.shape), or None
        The measurements, where they are stored.
    params : dict of str to Tensor
        What to bind to the physics: ``physics.bind(**sample.params)``.
    """

    x: Tensor | None
    y: Any
    params: dict[str, Tensor]


def sample_generator(seed: int, *index: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of its own for each index, independent of those of its neighbors.

    Examples
    --------
    >>> draw = lambda *index: float(torch.rand((), generator=sample_generator(0, *index)))
    >>> draw(1, 2) == draw(1, 2), draw(1, 2) == draw(2, 1)
    (True, False)
    """
    generator = torch.Generator(device=device)
    return generator.manual_seed(seeded(" ".join(map(str, (seed, *index)))).initial_seed())


def drawn(parameters: Mapping[str, Callable[..., Any]], generator: torch.Generator) -> dict[str, Tensor]:
    """Draw parameters ξ of one sample; a generator may give several, by name."""
    found: dict[str, Tensor] = {}
    for name, draw in parameters.items():
        value = draw(generator=generator)
        found |= value if isinstance(value, Mapping) else {name: value}
    return found


def sample_generators(
    name: str, batch: Sequence[int], positions: Sequence[int] = ()
) -> list[torch.Generator]:
    """A generator for each sample of a batch, by its position in the step; by default 0, 1, …."""
    count = math.prod(batch)
    if positions and len(positions) != count:
        raise ParameterError(
            f"a batch of {count} samples has {len(positions)} positions in its step: give one for each to "
            "loss.of_samples and at_step"
        )
    return [seeded(f"{name}, sample {i}") for i in positions or range(count)]


def stacked_draws(
    draw: Callable[[torch.Generator], Tensor], batch: Sequence[int], generators: Sequence[torch.Generator]
) -> Tensor:
    """``draw(generator)`` for each sample, shape (batch..., *that of one)."""
    if not generators:
        one = draw(torch.Generator())
        return one.new_zeros(*batch, *one.shape)
    drawn = torch.stack([draw(g) for g in generators])
    return drawn.reshape(*batch, *drawn.shape[1:])


def sample_by_sample(draw: Any, y: Any, space: SpaceLike, generators: Sequence[torch.Generator]) -> Any:
    """Apply ``draw(sample, index, generator)`` to each sample with its generator, and stack what it gives."""
    batch = batch_shape(y, space)
    flat = tree_map(lambda t, s: t.reshape(-1, *s.shape), y, space)
    drawn = [draw(tree_map(lambda t, i=i: t[i], flat), i, g) for i, g in enumerate(generators)]
    if not drawn:
        return y
    return tree_map(lambda *parts: torch.stack(parts).reshape(*batch, *parts[0].shape), *drawn)


def noisy(physics: Physics, u: Any, generators: Sequence[torch.Generator]) -> Any:
    """Clean data with noise, each sample from its generator: as if each were measured alone."""
    if not physics.noise.random:
        return u
    space = physics.range
    batch = batch_shape(u, space)
    noise = physics.noise.per_sample(space, tuple(batch))

    def draw(sample: Any, i: int, g: torch.Generator) -> Any:
        own = noise.of_item(i, batch, space) if batch else noise
        return own(sample, space=space, generator=g)

    return sample_by_sample(draw, u, space, generators)
