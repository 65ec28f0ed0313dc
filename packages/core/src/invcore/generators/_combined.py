"""Generators made of generators: draw(batch, generator=g)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError
from .._value import Value

Draw = Callable[..., Any]
"""``draw(batch=(), *, generator)``: a tensor with leading dimensions ``batch``, or a dict of them."""


class Joint(Value):
    """The parameters of several generators at once, as a dict for ``physics(x, generator=g, **parameters)``.

    Parameters
    ----------
    parts : tuple
        Generators that return a dict (`invcore.noises.SigmaUniform`), and pairs ``(name, generator)`` for
        those that return a tensor (``("kernel", MotionKernel(15))``).

    Raises
    ------
    ParameterError
        If two have a parameter of the same name, when drawn.

    Examples
    --------
    >>> from invcore.noises import SigmaUniform
    >>> from invcore.operators import GaussianKernel
    >>> draw = Joint((("kernel", GaussianKernel(5)), SigmaUniform(0.0, 0.1)))
    >>> {n: t.shape for n, t in draw(batch=(3,), generator=torch.Generator().manual_seed(0)).items()}
    {'kernel': torch.Size([3, 1, 5, 5]), 'sigma': torch.Size([3])}
    """

    parts: tuple[Draw | tuple[str, Draw], ...]

    def __post_init__(self) -> None:
        held = self.parts
        if not (isinstance(held, tuple) and held and all(callable(_part(p)) for p in held)):
            raise ParameterError(
                f"Joint: parts must be generators or pairs (name, generator), got {held!r:.80}"
            )

    def __call__(self, batch: tuple[int, ...] = (), *, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw sample by sample: the same seed gives the same parameters however a batch is split."""
        return _stacked(self._one, batch, generator)

    def _one(self, generator: torch.Generator) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for part in self.parts:
            drawn = _part(part)((), generator=generator)
            named = {part[0]: drawn} if isinstance(part, tuple) else drawn
            if not isinstance(named, dict):
                raise ParameterError(
                    f"Joint: {type(part).__name__} draws a {type(drawn).__name__} without a name: give it as "
                    '("name of the parameter", generator)'
                )
            if twice := set(found) & set(named):
                raise ParameterError(f"Joint: {sorted(twice)} are drawn twice")
            found |= named
        return found


class Mixture(Value):
    """Parameters from one of several generators, drawn anew for each sample.

    Parameters
    ----------
    parts : tuple
        Generators that give tensors of one shape, or dicts of the same names.
    shares : tuple of float, optional
        The probability of each, of sum one; by default all are as likely.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> from invcore.operators import GaussianKernel, MotionKernel
    >>> draw = Mixture((GaussianKernel(9), MotionKernel(9)), shares=(0.2, 0.8))
    >>> draw(batch=(4,), generator=torch.Generator().manual_seed(0)).shape
    torch.Size([4, 1, 9, 9])
    """

    parts: tuple[Draw, ...]
    shares: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        n = len(self.parts)
        shares = self.shares or (1 / max(n, 1),) * n
        good = n and len(shares) == n and all(s >= 0 for s in shares) and abs(math.fsum(shares) - 1) < 1e-9
        if not (good and all(map(callable, self.parts))):
            raise ParameterError(
                f"Mixture: parts must be generators, and shares as many probabilities of sum one, got {n} "
                f"parts and shares={self.shares}"
            )

    def __call__(self, batch: tuple[int, ...] = (), *, generator: torch.Generator) -> Any:
        """Draw sample by sample: the same seed gives the same parameters however a batch is split."""
        return _stacked(self._one, batch, generator)

    def _one(self, generator: torch.Generator) -> Any:
        u = float(torch.rand((), generator=generator, device=generator.device, dtype=torch.float64))
        shares = self.shares or (1 / len(self.parts),) * len(self.parts)
        edges = torch.tensor(shares, dtype=torch.float64).cumsum(0)
        chosen = min(int((u >= edges).sum()), len(self.parts) - 1)
        return self.parts[chosen]((), generator=generator)


def _part(part: Any) -> Any:
    return part[1] if isinstance(part, tuple) and len(part) == 2 and isinstance(part[0], str) else part


def _stacked(
    one: Callable[[torch.Generator], Any], batch: tuple[int, ...], generator: torch.Generator
) -> Any:
    """Draw the samples of a batch one after the other."""
    if not isinstance(generator, torch.Generator):
        raise ParameterError(f"a generator must be a torch.Generator, got {generator!r}")
    n = math.prod(batch)
    # an empty batch: the shape of one, from a copy
    draws = [one(generator) for _ in range(n)] or [one(generator.clone_state())]

    def joined(parts: list[Tensor]) -> Tensor:
        try:
            return torch.stack(parts)[:n].reshape((*batch, *parts[0].shape))
        except RuntimeError as error:
            shapes = sorted({tuple(p.shape) for p in parts})
            raise ParameterError(f"the samples of a batch have different shapes: {shapes}") from error

    if isinstance(draws[0], dict):
        return {name: joined([d[name] for d in draws]) for name in draws[0]}
    return joined(draws)


def seeded(name: str | int) -> torch.Generator:
    """A generator whose seed is the name of a file, a sample or an experiment: the same on every machine.

    Examples
    --------
    >>> a, b = (torch.rand(1, generator=seeded("scan_012.h5")) for _ in range(2))
    >>> bool(a == b)
    True
    """
    digest = hashlib.sha256(str(name).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def expectation(draw: Draw, count: int, *, generator: torch.Generator) -> Any:
    """The mean of ``count`` draws: the probability that a random mask keeps a pixel, a mean kernel.

    Parameters
    ----------
    draw : callable
    count : int
        Its error falls with the root of the number of draws.
    generator : torch.Generator

    Examples
    --------
    >>> from invcore.operators import RandomMask
    >>> mean = expectation(RandomMask((8, 8), keep=0.25), 2000, generator=seeded(0))
    >>> mean.shape, bool((mean - 0.25).abs().max() < 0.05)
    (torch.Size([1, 8, 8]), True)
    """
    if count < 1:
        raise ParameterError(f"expectation: count must be at least 1, got {count}")

    def mean(total: Tensor | None, new: Tensor) -> Tensor:
        return new.double() if total is None else total + new.double()

    total: Any = None
    for _ in range(count):
        drawn = draw((), generator=generator)
        if isinstance(drawn, dict):
            total = {n: mean(None if total is None else total[n], t) for n, t in drawn.items()}
        else:
            total = mean(total, drawn)
    return {n: t / count for n, t in total.items()} if isinstance(total, dict) else total / count
