"""Several noises, one after the other."""

from __future__ import annotations

from typing import Any, Self

import torch

from .._errors import ParameterError
from ..fidelities import Fidelity, LeastSquares
from ..operators import Space, SpaceLike
from ..spaces import broadcast_shapes
from ._base import Noise, item_by_item
from ._counts import PoissonGaussianNoise, PoissonNoise
from ._gaussian import GaussianNoise
from ._none import NoNoise


class Compose(Noise):
    """Noises applied in order: the first to the clean data, the second to what the first gives, and so on.

    For each sample of a batch all stages draw before the next sample, so that a batch may be split anywhere.
    Parameters of stages are bound by name where it is unambiguous, else with their position, as
    ``bind(**{"0.sigma": 0.1})``.

    The likelihood exists where the composition is a known density: a single random stage beside `NoNoise`;
    Gaussian stages (variances add); Poisson and then Gaussian (`PoissonGaussianNoise`). Else `likelihood`
    raises a `ParameterError`.

    Parameters
    ----------
    noises : tuple of Noise

    Raises
    ------
    ParameterError
        If ``noises`` is not a tuple of noises.

    References
    ----------
    A. Foi, M. Trimeche, V. Katkovnik, K. Egiazarian, "Practical Poissonian-Gaussian noise modeling and
    fitting for single-image raw-data", IEEE Trans. Image Process. 17 (2008): the sensor as a chain of such
    stages.

    Examples
    --------
    >>> from invcore.noises import Quantize, Saturate
    >>> camera = Compose((GaussianNoise(sigma=0.05), Saturate(), Quantize(step=1 / 255)))
    >>> y = camera(torch.linspace(0, 1, 1000), generator=torch.Generator().manual_seed(0))
    >>> y.min(), y.max(), bool((255 * y - (255 * y).round()).abs().max() < 1e-3)
    (tensor(0.), tensor(1.), True)
    """

    units = {"noises": 1}
    noises: tuple[Noise, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.noises, tuple) or not all(isinstance(n, Noise) for n in self.noises):
            raise ParameterError(
                f"Compose: noises must be a tuple of noises, got {type(self.noises).__name__}"
            )

    @property
    def random(self) -> bool:
        return any(n.random for n in self.noises)

    def parameter_batch(self, space: SpaceLike) -> torch.Size:
        return broadcast_shapes(*(n.parameter_batch(space) for n in self.noises))

    def per_sample(self, space: SpaceLike, batch: tuple[int, ...]) -> Self:
        return type(self)(noises=tuple(n.per_sample(space, batch) for n in self.noises))

    def _space_of(self, y: Any) -> Any:
        found = [n._space_of(y) for n in self.noises] or [super()._space_of(y)]
        return min(found, key=lambda s: len(s.shape) if isinstance(s, Space) else 0)

    def of_item(self, index: int, batch: torch.Size, space: SpaceLike) -> Self:
        return type(self)(noises=tuple(n.of_item(index, batch, space) for n in self.noises))

    def sample(self, y: Any, space: SpaceLike, generator: torch.Generator) -> Any:
        def stages(noise: Compose, item: Any) -> Any:
            for stage in noise.noises:
                item = stage.sample(item, space, generator)
            return item

        return item_by_item(self, y, space, stages)

    def likelihood(self) -> Fidelity:
        stages = [n for n in self._flat() if not isinstance(n, NoNoise)]
        if not stages:
            return LeastSquares()
        first, *rest = stages
        if not rest:
            return first.likelihood()
        gaussian = [n.sigma**2 for n in stages if isinstance(n, GaussianNoise)]
        if len(gaussian) == len(stages):
            return LeastSquares(sigma=sum(gaussian[1:], gaussian[0]) ** 0.5)
        if isinstance(first, PoissonNoise) and len(gaussian) == len(rest):
            sigma = sum(gaussian[1:], gaussian[0]) ** 0.5
            return PoissonGaussianNoise(gain=first.gain, sigma=sigma).likelihood()
        names = ", then ".join(type(n).__name__ for n in stages)
        raise ParameterError(f"the density of {names} is not known: pass a fidelity to the solver")

    def _flat(self) -> list[Noise]:
        return [n for held in self.noises for n in (held._flat() if isinstance(held, Compose) else [held])]
