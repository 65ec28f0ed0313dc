"""`Noise`: the random part of a measurement."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch

from .._errors import ParameterError
from .._value import Value
from ..fidelities import Fidelity
from ..operators import SpaceLike


class Noise(Value, abstract=True):
    """A noise model, separate from the operator.

    To write one, provide `sample` and, where the density is known, `likelihood`, so that the right data
    fidelity is the default of every solver.

    Examples
    --------
    >>> from invcore.noises import GaussianNoise
    >>> g = torch.Generator().manual_seed(0)
    >>> GaussianNoise(sigma=0.1)(torch.zeros(3), generator=g).shape
    torch.Size([3])
    """

    @abstractmethod
    def sample(self, y: Any, space: SpaceLike, generator: torch.Generator) -> Any:
        """Draw a noisy version of the clean ``y``; dimensions before those of ``space`` are batch."""

    @abstractmethod
    def likelihood(self) -> Fidelity:
        """The negative log-likelihood of this noise, up to a constant, as a data fidelity."""

    @property
    def random(self) -> bool:
        """Whether `sample` draws anything."""
        return True

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
                    f"{type(self).__name__} draws random numbers: pass generator=torch.Generator().manual_seed(0). "
                    "invcore never uses the global generator."
                )
            generator = torch.Generator()
        if space is None:
            space = whole_space(y)
        return self.sample(y, space, generator)


def whole_space(y: Any) -> SpaceLike:
    """The space in which all of ``y`` is a single item."""
    from ..operators import Space

    if isinstance(y, tuple):
        return tuple(whole_space(part) for part in y)
    return Space(tuple(y.shape), "complex" if y.is_complex() else "real")
