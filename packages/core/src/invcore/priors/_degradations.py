"""Random degradations of an image, and the base class of priors that restore them."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from .._errors import ParameterError
from .._physics import Physics
from .._value import complex_dtype
from ..noises import GaussianNoise
from ..spaces import batch_shape, device_of, dtype_of, tensor_dtype, tree_map, zeros
from ._base import Prior

Restorer = Callable[[Any, Physics], Tensor]
"""``restorer(s, physics)``: an estimate of the image behind the data ``s``, any model of the library."""

Draw = Callable[..., dict[str, Any]]
"""``draw((), generator=g)``: parameters of a physics by name, as `invcore.generators.Joint` draws them."""


class StochasticPrior(Prior, abstract=True):
    """Base class of priors that draw random numbers in each iteration of a solver; they declare these fields.

    Parameters
    ----------
    draws : int or "all"
        How many draws each iteration averages over. All samples of a batch meet the same ones. ``"all"``:
        nothing is drawn, every physics counts once, without noise. For restorers that are affine, with
        parameters that are fixed, that is the average over all draws.
    seed : int
    draw : int, optional
        The iteration, which `at` fills in. All draws follow from ``seed`` and it.
    """

    def _check(self) -> None:
        own: Any = self
        name = type(self).__name__
        if own.draws != "all" and not (isinstance(own.draws, int) and own.draws >= 1):
            raise ParameterError(f"{name}: draws must be 'all' or a whole number >= 1, got {own.draws!r}")
        if not 0 <= own.seed < 2**31:
            raise ParameterError(f"{name}: seed must be from 0 to 2**31 - 1, got {own.seed!r}")

    @property
    @abstractmethod
    def _random(self) -> bool:
        """Whether an iteration depends on what is drawn, or on its number."""

    def at(self, k: int) -> Self:
        """The prior of iteration ``k``."""
        own: Any = self
        return dataclasses.replace(own, draw=k) if self.stochastic else self

    @property
    def stochastic(self) -> bool:
        """True if the iterations differ."""
        own: Any = self
        return own.draw is None and self._random

    def _generator(self) -> torch.Generator:
        """The generator of this iteration."""
        own: Any = self
        mixed = (own.seed * 0x9E3779B1 + (own.draw or 0)) % 2**32
        return torch.Generator().manual_seed(mixed)


def several(physics: Physics | tuple[Physics, ...]) -> tuple[Physics, ...]:
    """One physics, or several, as a tuple."""
    return physics if isinstance(physics, tuple) else (physics,)


def check_degradation(name: str, physics: Any, varying: Any) -> None:
    """Raise unless these are physics on images of one space, and a generator of parameters or none."""
    parts = several(physics)
    if not (parts and all(isinstance(p, Physics) for p in parts)):
        raise ParameterError(f"{name}: physics must be a Physics or a tuple of them, got {physics!r:.80}")
    if len({p.domain for p in parts}) > 1:
        raise ParameterError(f"{name}: all physics must act on the same images, got {parts!r:.120}")
    if varying is not None and not callable(varying):
        raise ParameterError(f"{name}: varying must be a generator that draws a dict, got {varying!r}")


def drawn(
    physics: Physics | tuple[Physics, ...],
    varying: Draw | None,
    generator: torch.Generator,
    device: torch.device,
) -> Physics:
    """One of several physics, with parameters of its own if there is a generator of them."""
    parts = several(physics)
    i = int(torch.randint(len(parts), (), generator=generator)) if len(parts) > 1 else 0
    if varying is None:
        return parts[i]
    named = varying((), generator=generator)
    if not isinstance(named, dict):
        raise ParameterError(
            f"a generator of physics draws a dict of parameters by name, got a {type(named).__name__}: wrap "
            'it, Joint((("name of the parameter", generator),))'
        )
    return parts[i].bind(**{n: v.to(device) if isinstance(v, Tensor) else v for n, v in named.items()})


def degraded(x: Tensor, physics: Physics, generator: torch.Generator | None) -> Any:
    """The operator, and the noise of ``generator`` (none without one), the same for all samples of a batch.

    The noise is drawn in double precision, so that it does not depend on that of the image.
    """
    u, noise, space = physics.operator(x), physics.noise, physics.range
    batch, narrow = batch_shape(u, space), dtype_of(u)
    count = math.prod(batch)
    if generator is None or not noise.random or not count:
        return u
    if isinstance(noise, GaussianNoise):
        e = noise(zeros(space, dtype=torch.float64, device=device_of(u)), space=space, generator=generator)
        return tree_map(lambda v, s, n: v + n.to(tensor_dtype(s, narrow)), u, space, e)
    wide = tree_map(lambda v: v.to(complex_dtype(torch.float64) if v.is_complex() else torch.float64), u)
    flat = tree_map(lambda v, s: v.reshape(count, *s.shape), wide, space)
    before, made = generator.clone_state(), []
    for i in range(count):  # the last one moves the generator on
        own = before.clone_state() if i < count - 1 else generator
        made.append(noise(tree_map(lambda v, i=i: v[i], flat), space=space, generator=own))
    return tree_map(lambda v, *each: torch.stack(each).to(v.dtype).reshape(v.shape), u, *made)
