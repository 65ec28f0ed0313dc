"""The parts of a diffusion sampler: `Schedule`, `Integrator`, `Guidance`.

All of them compute in one coordinate, x = clean image + σ · white noise, which is what a `Denoiser` takes.
The processes of the literature, x_t = s(t) (clean + σ(t) noise), differ in it by their noise levels only:
their probability flow is dx/dσ = (x - D(x, σ)) / σ whatever s, and their transitions between two levels are
the same Gaussians (Karras et al. 2022).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from .._errors import ParameterError
from .._problem import Problem
from .._value import Value
from ..denoisers import Denoiser

Estimate = Callable[[Tensor, float], Tensor]
"""What a level's image says of the clean one, E[clean | x, data]: ``estimate(x, sigma)``."""


class Schedule(Value, abstract=True):
    """The noise levels of a diffusion, from the largest to none.

    Write ``between(steps)``, the positive levels.

    Examples
    --------
    >>> import torch
    >>> class Halving(Schedule):
    ...     largest: float = 8.0
    ...     def between(self, steps): return self.largest * 0.5 ** torch.arange(steps, dtype=torch.float64)
    >>> Halving().levels(3).tolist()
    [8.0, 4.0, 2.0, 0.0]
    """

    @abstractmethod
    def between(self, steps: int) -> Tensor:
        """The levels before zero: ``steps`` decreasing positive numbers in double precision."""

    def levels(self, steps: int) -> Tensor:
        """The noise levels of so many steps.

        Parameters
        ----------
        steps : int

        Returns
        -------
        Tensor, shape (steps + 1,)
            In double precision, decreasing, the last one 0.

        Raises
        ------
        ParameterError
        """
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ParameterError(
                f"{type(self).__name__}: steps must be a whole number from 1 on, got {steps!r}"
            )
        return torch.cat([self.between(steps), torch.zeros(1, dtype=torch.float64)])

    def scale(self, sigma: float) -> float:
        """s of the process whose image is s (clean + σ noise): what networks trained on it see."""
        return 1.0


class Integrator(Value, abstract=True):
    """How an image goes from one noise level to the next: `step`.

    Attributes
    ----------
    bias : str
        Why images are not from the density of the denoiser, however many levels there are; empty if they are
        in the limit.

    Examples
    --------
    >>> import torch
    >>> class Denoised(Integrator):
    ...     def step(self, estimate, x, sigma, following, memory, generator): return estimate(x, sigma), None
    >>> x, _ = Denoised().step(lambda x, sigma: x / (1 + sigma**2), torch.ones(2), 1.0, 0.0, None, None)
    >>> x
    tensor([0.5000, 0.5000])
    """

    bias: ClassVar[str] = ""

    @abstractmethod
    def step(
        self,
        estimate: Estimate,
        x: Tensor,
        sigma: float,
        following: float,
        memory: Any,
        generator: torch.Generator,
    ) -> tuple[Tensor, Any]:
        """Go from ``sigma`` to ``following``, which is smaller.

        Parameters
        ----------
        estimate : callable
            ``estimate(x, sigma)``: the expected clean image.
        x : Tensor
            The image at the level ``sigma``.
        sigma, following : float
        memory : object
            What the last step returned; None in the first one. Tensors, numbers and tuples of them.
        generator : torch.Generator

        Returns
        -------
        x : Tensor
        memory : object
            What the next step is to know of this one.
        """


class Guidance(Value, abstract=True):
    """How the data lead a diffusion: `estimate`, the expected clean image given the noisy one and the data.

    With the likelihood of the noisy image it would be D(x, σ) + σ² ∇ log p(y | x). It has a closed form for
    Gaussian images only, so that each method of the literature is an approximation of its own.

    Attributes
    ----------
    bias : str
        Why the estimate is not the expected clean image; empty if it is.
    ignores_noise : bool
        Whether the noise level of the data plays no part, as in methods that take data as exact.

    Examples
    --------
    >>> class Unguided(Guidance):
    ...     def estimate(self, problem, denoiser, x, sigma, generator): return denoiser(x, sigma)
    >>> Unguided()
    Unguided()
    """

    bias: ClassVar[str] = ""
    ignores_noise: ClassVar[bool] = False

    @abstractmethod
    def estimate(
        self, problem: Problem, denoiser: Denoiser, x: Tensor, sigma: float, generator: torch.Generator
    ) -> Tensor:
        """The expected clean image.

        Parameters
        ----------
        problem : Problem
            Data and physics.
        denoiser : Denoiser
        x : Tensor, shape (batch..., *domain.shape)
            The clean image with noise of the level ``sigma``.
        sigma : float
        generator : torch.Generator
        """

    def after(self, problem: Problem, x: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
        """Correct the image that the integrator has brought to the level ``sigma``; by default not at all."""
        return x
