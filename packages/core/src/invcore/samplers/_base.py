"""`Sampler`: the base class of methods that draw images from a posterior."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from .._errors import ParameterError
from .._physics import Physics
from .._problem import Problem
from .._value import Value
from ..fidelities import Fidelity
from ..priors import Prior
from ..spaces import tree_map
from ._chain import Chain, drive


class Sampler(Value, abstract=True):
    """A frozen configuration that draws images from p(x | y) ∝ exp(-f(A x; y) - λ g(x)).

    f is minus the log-likelihood of the noise, and λ g minus the log-density of the prior, which may be
    given by a denoiser instead. To write a sampler, declare its options as fields and provide `init` and
    `step`; the driver owns the loop. A state is any named tuple or dataclass of tensors with an entry ``x``.
    All random numbers come from the generator.

    A chain gives its first draw after ``burn_in`` steps, and the following ones every ``thin`` steps; they
    depend on each other. A sampler whose draws are ``independent`` starts anew after each.

    Attributes
    ----------
    independent : bool
        Whether each draw is the end of a run of its own, of ``burn_in`` steps.
    bias : str
        Why the draws do not tend to the posterior, however many steps are taken; empty for a sampler that is
        exact in the limit. A biased sampler is not compared with the posterior by the conformance kit.
    ignores_noise : bool
        Whether the noise level of the data plays no part, as in methods that take data as exact.

    Examples
    --------
    >>> from typing import NamedTuple
    >>> import torch
    >>> from invcore import Physics
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> class State(NamedTuple):
    ...     x: torch.Tensor
    >>> class Langevin(Sampler):
    ...     step_size: float
    ...     burn_in: int = 100
    ...     thin: int = 10
    ...     def init(self, problem, generator): return State(problem.start())
    ...     def step(self, problem, state, generator):
    ...         x = state.x - self.step_size * (problem.gradient(state.x) + state.x)
    ...         return State(x + (2 * self.step_size) ** 0.5 * self.noise(x, generator))
    >>> physics = Physics(Identity((1, 8, 8)), GaussianNoise(sigma=1.0))
    >>> y, g = torch.ones(1, 8, 8), torch.Generator().manual_seed(0)
    >>> chain = Langevin(step_size=0.05).chain(y, physics, draws=200, generator=g)
    >>> round(float(chain.mean.mean()), 1), chain.draws.shape
    (0.5, torch.Size([200, 1, 8, 8]))
    """

    independent: ClassVar[bool] = False
    bias: ClassVar[str] = ""
    ignores_noise: ClassVar[bool] = False
    if TYPE_CHECKING:  # each sampler has them as fields, properties or class attributes

        @property
        def burn_in(self) -> int:
            """Steps before the first draw."""

        @property
        def thin(self) -> int:
            """Steps between draws."""
    else:
        thin = 1

    @abstractmethod
    def init(self, problem: Problem, generator: torch.Generator) -> Any:
        """The first state."""

    @abstractmethod
    def step(self, problem: Problem, state: Any, generator: torch.Generator) -> Any:
        """The next state."""

    def value(self, problem: Problem, state: Any) -> Any:
        """The image in a state."""
        return state.x

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        """The problem whose posterior is sampled: the likelihood of the noise, the prior and its weight."""
        fidelity: Fidelity = getattr(self, "fidelity", None) or physics.likelihood()
        prior: Prior | None = getattr(self, "prior", None)
        weight = getattr(self, "weight", 1.0)
        return Problem(physics=physics, y=y, fidelity=fidelity, prior=prior, weight=weight, x0=x0)

    @staticmethod
    def noise(like: Any, generator: torch.Generator) -> Any:
        """White noise as large as ``like``, with unit variance of each real component."""
        return white_noise(like, generator)

    def __call__(
        self, y: Any, physics: Physics, *, generator: torch.Generator, progress: bool = False
    ) -> Any:
        """Draw one image for each of the data.

        Parameters
        ----------
        y : Tensor or tuple of Tensor, shape (batch..., *range.shape)
        physics : Physics
        generator : torch.Generator
            On the device of the data.
        progress : bool
            Show where it stands.

        Returns
        -------
        Tensor, shape (batch..., *domain.shape)

        Raises
        ------
        ParameterError, ShapeError, DtypeError, DataError
        SolverError
            If the chain diverges.
        """
        return self.chain(y, physics, draws=1, generator=generator, progress=progress).last

    def chain(
        self,
        y: Any,
        physics: Physics,
        *,
        draws: int,
        generator: torch.Generator,
        chains: int | None = None,
        keep: int = 1000,
        x0: Any = None,
        progress: bool = False,
        callback: Callable[[int, Problem, Any], Any] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: float = 60.0,
    ) -> Chain:
        """Draw many images for each of the data, with their running moments.

        Parameters
        ----------
        y, physics
            As in `__call__`.
        draws : int
            Number of draws of each chain.
        generator : torch.Generator
        chains : int, optional
            Number of chains for each of the data, run side by side, as the first batch dimension.
        keep : int
            Store at most so many draws of each chain, evenly spaced; mean and variance are over all of them.
        x0 : Tensor, optional
            Where to start, for samplers that start anywhere.
        progress : bool
        callback : callable, optional
            ``callback(k, problem, state)`` after each step; what it returns stops the chain if it is true.
        checkpoint : path, optional
            A file from which the same call goes on where it was killed, to the same draws.
        checkpoint_every : float
            Seconds between its writes.

        Returns
        -------
        Chain
        """
        return drive(
            self,
            y,
            physics,
            draws=draws,
            generator=generator,
            chains=chains,
            keep=keep,
            x0=x0,
            progress=progress,
            callback=callback,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
        )

    def _check(self) -> None:
        for name, least in (("burn_in", int(self.independent)), ("thin", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ParameterError(
                    f"{type(self).__name__}: {name} must be a whole number from {least} on, got {value!r}"
                )


def white_noise(like: Any, generator: torch.Generator) -> Any:
    """White noise as large as ``like``, with unit variance of each real component."""

    def drawn(x: Tensor) -> Tensor:
        real = torch.view_as_real(x) if x.is_complex() else x
        n = torch.randn(real.shape, generator=generator, dtype=real.dtype, device=generator.device)
        n = n.to(x.device)
        return torch.view_as_complex(n) if x.is_complex() else n

    return tree_map(drawn, like)
