"""`Noise`: the random part of a measurement."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from .._errors import DataError, ParameterError, ShapeError
from .._finite import is_finite
from .._fit import fitted
from .._value import Value, real_dtype
from ..fidelities import Fidelity
from ..fidelities._separable import need_real as need_real
from ..spaces import (
    Space,
    SpaceLike,
    batch_shape,
    broadcast_shapes,
    expand_batch,
    space_of,
    spaces_of,
    tree_map,
)


class Noise(Value, abstract=True):
    """A noise model, separate from the operator.

    To write one, provide `sample` and `likelihood`, so that the right data fidelity is the default of every
    solver; a model without a usable density raises a `ParameterError` there. Noise whose entries are
    independent is shorter to write from `EntryNoise`.

    Attributes
    ----------
    maps : tuple of str
        The parameters that may have one value for each entry of the data: their trailing dimensions are those
        of the data, and batch dimensions come before. The others have one value per sample.

    Examples
    --------
    >>> from invcore.noises import GaussianNoise
    >>> g = torch.Generator().manual_seed(0)
    >>> GaussianNoise(sigma=0.1)(torch.zeros(3), generator=g).shape
    torch.Size([3])
    """

    maps: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def sample(self, y: Any, space: SpaceLike, generator: torch.Generator) -> Any:
        """Draw a noisy version of the clean ``y``; dimensions before those of ``space`` are batch."""

    @abstractmethod
    def likelihood(self) -> Fidelity:
        """The negative log-likelihood of this noise, up to a constant, as a data fidelity."""

    def information(self, u: Any, space: SpaceLike | None = None) -> Any:
        """Fisher information of the data about their noiseless value ``u``, entry by entry.

        E (∂ log p(y | u)/∂u)²: one over the variance for Gaussian noise, and the largest precision that any
        unbiased estimate of ``u`` from its one datum could have. `invcore.cramer_rao` takes it to the image.

        Parameters
        ----------
        u : Tensor or tuple of Tensor
            Noiseless data.
        space : Space, optional
            Space of one item; by default ``u`` is one item without batch dimensions.

        Returns
        -------
        Tensor or tuple of Tensor
            Real, in the shape of ``u``: that of each real component.

        Raises
        ------
        ParameterError
            If the noise states none: because there is no noise, or its density is not smooth, or not known.

        Examples
        --------
        >>> from invcore.noises import PoissonNoise
        >>> PoissonNoise(gain=0.5).information(torch.tensor([1.0, 4.0]))
        tensor([2.0000, 0.5000])
        """
        space = self._space_of(u) if space is None else space
        return self.per_sample(space, batch_shape(u, space))._information(u, space)

    def _information(self, u: Any, space: SpaceLike) -> Any:
        """`information` with one parameter per sample."""
        raise ParameterError(
            f"{type(self).__name__} states no Fisher information: there are Gaussian, Laplace, Poisson, "
            "Poisson-Gaussian, log-Poisson and Gamma noise that do."
        )

    @property
    def random(self) -> bool:
        """True if `sample` draws anything."""
        return True

    def parameter_batch(self, space: SpaceLike) -> torch.Size:
        """The batch dimensions that the parameters carry."""
        held = [getattr(self, name) for name in self.params]
        return broadcast_shapes(*(p.shape for p in held if isinstance(p, Tensor)))

    def of_item(self, index: int, batch: torch.Size, space: SpaceLike) -> Self:
        """The noise of one sample: parameters broadcast to ``batch``, at the flat ``index``."""
        held = {name: getattr(self, name) for name in self.params}
        own = {
            n: p.expand(batch).reshape(-1)[index] for n, p in held.items() if isinstance(p, Tensor) and p.ndim
        }
        return dataclasses.replace(self, **own) if own else self

    def __call__(
        self, y: Any, *, space: SpaceLike | None = None, generator: torch.Generator | None = None
    ) -> Any:
        """Add the noise.

        Parameters
        ----------
        y : Tensor or tuple of Tensor
            Clean data.
        space : Space, optional
            Space of one item; by default ``y`` is one item without batch dimensions.
        generator : torch.Generator
            Source of randomness; the same seed gives the same noise however a batch is split.

        Raises
        ------
        ParameterError
            If the noise is random and there is no generator.
        """
        if generator is None:
            if self.random:
                raise ParameterError(
                    f"{type(self).__name__} draws random numbers: pass "
                    "generator=torch.Generator().manual_seed(0). invcore never uses the global generator."
                )
            generator = torch.Generator()
        if not isinstance(generator, torch.Generator):
            raise ParameterError(
                f"{type(self).__name__}: generator must be a torch.Generator, got {generator!r}. "
                "torch.Generator().manual_seed(0) makes one of a seed."
            )
        if space is None:
            space = self._space_of(y)
        return self.per_sample(space, batch_shape(y, space)).sample(y, space, generator)

    def _space_of(self, y: Any) -> Any:
        """The space of all of ``y``, or where a parameter is (batch..., 1, 1) that of one of its samples."""
        whole = space_of(y)
        if not isinstance(whole, Space):
            return whole
        for name in set(self.params) - set(self.maps):
            p = getattr(self, name)
            if not isinstance(p, Tensor) or p.numel() == 1:
                continue
            if p.ndim == y.ndim > 1:
                count = max(i + 1 for i, n in enumerate(p.shape) if n > 1)
                return Space(whole.shape[count:], whole.kind)
            if p.shape == y.shape[: p.ndim]:
                raise ShapeError(
                    f"{type(self).__name__}: {name} {tuple(p.shape)} has one value per sample, and data "
                    f"{tuple(y.shape)} without a space are one sample: pass "
                    f"space=Space({whole.shape[p.ndim :]})"
                )
        return whole

    def per_sample(self, space: SpaceLike, batch: tuple[int, ...]) -> Self:
        """The same noise with parameters of shape (batch...), also if they came as (batch..., 1, 1, 1).

        Raises
        ------
        ShapeError
            If one does not broadcast against the batch of the data, or a map against its entries.
        """
        return fitted(self, space, batch)


class EntryNoise(Noise, abstract=True):
    """Noise that is drawn sample by sample.

    A subclass provides `draw` for a single sample, with one value per parameter.

    The samples of a batch draw one after the other from the generator, so that the numbers are the same
    however a batch is split.
    """

    @abstractmethod
    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        """A noisy version of one block of one clean sample."""

    def sample(self, y: Any, space: SpaceLike, generator: torch.Generator) -> Any:
        return item_by_item(
            self, y, space, lambda noise, item: tree_map(lambda t: noise.draw(t, generator), item)
        )


def item_by_item(noise: Any, y: Any, space: SpaceLike, sample: Any) -> Any:
    """Apply ``sample(noise of the item, item)`` to every item of a batch, in order."""
    batch = broadcast_shapes(batch_shape(y, space), noise.parameter_batch(space))
    y = expand_batch(y, space, batch)
    n = math.prod(batch)
    if n == 0:
        return tree_map(torch.clone, y)
    if not batch:
        return sample(noise, y)
    flat = [t.reshape(n, *s.shape) for t, s in zip(_leaves(y), spaces_of(space))]
    drawn = [sample(noise.of_item(i, batch, space), _tree([t[i] for t in flat], space)) for i in range(n)]
    stacked = [torch.stack(parts) for parts in zip(*(_leaves(d) for d in drawn))]
    return _tree([t.reshape(*batch, *t.shape[1:]) for t in stacked], space)


def _leaves(x: Any) -> list[Tensor]:
    return [x] if isinstance(x, Tensor) else [t for part in x for t in _leaves(part)]


def _tree(leaves: list[Tensor], space: SpaceLike) -> Any:
    """Blocks in the structure of ``space``."""
    if not isinstance(space, tuple):
        return leaves[0]
    parts, start = [], 0
    for s in space:
        count = len(spaces_of(s))
        parts.append(_tree(leaves[start : start + count], s))
        start += count
    return tuple(parts)


_COUNTABLE = 2.0**36
"""Rates above which Poisson numbers are drawn as Gaussian ones, rounded: their skewness is below 4e-6, while
torch's draws are off by 4 % of a standard deviation at 2**52 and overflow at 2**63."""


def normal(y: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers in each real component, in the shape and type of ``y``."""
    return _drawn(y, generator, lambda t: t.normal_(generator=generator))


def uniform(y: Tensor, generator: torch.Generator) -> Tensor:
    """Numbers in [0, 1) in each real component, in the shape and type of ``y``."""
    return _drawn(y, generator, lambda t: t.uniform_(generator=generator))


def exponential(y: Tensor, generator: torch.Generator) -> Tensor:
    """Exponential numbers of mean one in each real component, in the shape and type of ``y``."""
    return _drawn(y, generator, lambda t: t.exponential_(generator=generator))


def _drawn(y: Tensor, generator: torch.Generator, fill: Any) -> Tensor:
    shape = (*y.shape, 2) if y.is_complex() else y.shape
    x = fill(torch.empty(shape, dtype=real_dtype(y.dtype), device=generator.device)).to(y.device)
    return torch.view_as_complex(x) if y.is_complex() else x


def poisson(mean: Tensor, generator: torch.Generator) -> Tensor:
    """Poisson numbers, in the type of ``mean``, which must be finite and >= 0.

    Very large ones are drawn from the Gaussian limit.
    """
    mean = mean.detach()
    if not is_finite(mean):
        bad = mean[~torch.isfinite(mean)]
        raise DataError(f"Poisson noise needs clean data that are finite, got {float(bad.reshape(-1)[0])}")
    if bool((mean < 0).any()):
        raise DataError(
            f"Poisson noise needs clean data >= 0, got {float(mean.min()):.3g}: clamp it, or add the "
            "background"
        )
    rate = mean.to(generator.device)
    many = rate > _COUNTABLE
    if not bool(many.any()):
        return torch.poisson(rate, generator=generator).to(mean.device)
    few = torch.poisson(torch.where(many, 0, rate), generator=generator)
    return torch.where(many, (rate + rate.sqrt() * normal(rate, generator)).round(), few).to(mean.device)


def standard_gamma(shape: Any, like: Tensor, generator: torch.Generator) -> Tensor:
    """Gamma numbers of the given shape parameter and unit scale, in the shape and type of ``like``."""
    alpha = torch.as_tensor(shape, dtype=like.dtype, device=generator.device).expand(like.shape).contiguous()
    return torch._standard_gamma(alpha, generator=generator).to(like.device)
