"""One entry of a data set that holds measurements, and the random numbers of one entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from invcore.generators import seeded


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
