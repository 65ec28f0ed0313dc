"""Examples of a component that are more than an instance: it and a problem that it is for. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._errors import ParameterError


@dataclass(frozen=True)
class ReaderExample:
    """A reader and a function that writes a valid sample file for it.

    Attributes
    ----------
    reader : object
        With ``sniff(path)`` and ``read(path)``.
    write : callable
        Takes a folder, writes a sample into it, returns the path to read.
    """

    reader: Any
    write: Callable[[Path], Path]


@dataclass(frozen=True)
class SolverExample:
    """A solver and a problem that it can solve, for a solver made for certain operators only.

    The kit checks it on this problem, other solvers on linear problems of the kit's own.

    Attributes
    ----------
    solver : Solver
    physics : Physics
        In double precision.
    y : Tensor or tuple of Tensor, shape (*range.shape)
        Data of one image.
    """

    solver: Any
    physics: Any
    y: Any


@dataclass(frozen=True)
class ModelExample:
    """A model ``R(y, physics)`` and a problem that it is for: what `examples` of kind ``"model"`` return.

    Attributes
    ----------
    model : callable
        A frozen value, or a module of torch.
    physics : Physics
        In double precision.
    x : Tensor, shape (*domain.shape)
        An image that the model can restore from data of this physics, in double precision.
    """

    model: Any
    physics: Any
    x: Any


@dataclass(frozen=True)
class LossExample:
    """A loss and a training problem that it is for, where the kit's own one (missing pixels) is not.

    Attributes
    ----------
    loss : Loss
    model : torch.nn.Module
        A model R(y, physics) in double precision, not wrapped by the loss.
    physics : Physics
        In double precision.
    x : Tensor, shape (*domain.shape)
        An image, in double precision.
    """

    loss: Any
    model: Any
    physics: Any
    x: Any


@dataclass(frozen=True, eq=False)
class SamplerExample:
    """A sampler for images whose density is known: what `examples` of kind ``"sampler"`` return.

    The kit makes the sampler for Gaussian images of two pixels and for a mixture of three Gaussians, gives it
    data of linear operators with Gaussian noise, and compares its draws with the exact posterior. What a
    sampler states as its `bias` is not compared; it then must draw from the prior where the data say nothing,
    and fit the data.

    Attributes
    ----------
    make : callable
        ``make(known)`` for a known prior: with its exact ``known.denoiser``, ``known.prior`` (minus the
        logarithm of its density) and ``known.name``, "gaussian" or "mixture". Returns the sampler, or None if
        it is not for such images (one that needs a proximal operator, which the mixture has not).
    tolerance : float
        Relative error of mean, covariance and probabilities that the finite number or size of its steps
        makes, at most 0.1. The statistical error of the draws is allowed for besides.
    exact : tuple of str
        Names of known priors for which draws are exact in the limit in spite of a bias on others.
    draws : int
        How many draws are compared, at least 1000: fewer for a slow sampler.
    physics : Physics, optional
        In double precision: a problem of its own, for a sampler that cannot be made for known images. Its
        draws are then compared with nothing.
    y : Tensor or tuple of Tensor, shape (*range.shape), optional
        Data of that problem.

    Examples
    --------
    >>> SamplerExample(lambda known: Mine(known.denoiser), tolerance=0.3)
    Traceback (most recent call last):
    invcore._errors.ParameterError: SamplerExample: tolerance must lie in (0, 0.1], got 0.3: take more or ...
    """

    make: Callable[[Any], Any]
    tolerance: float = 0.05
    exact: tuple[str, ...] = ()
    draws: int = 2000
    physics: Any = None
    y: Any = None

    def __post_init__(self) -> None:
        if not 0 < self.tolerance <= 0.1:
            raise ParameterError(
                f"SamplerExample: tolerance must lie in (0, 0.1], got {self.tolerance!r}: take more or "
                "smaller steps, or state a bias in the class"
            )
        if self.draws < 1000:
            raise ParameterError(f"SamplerExample: draws must be at least 1000, got {self.draws!r}")
        if (self.physics is None) != (self.y is None):
            raise ParameterError("SamplerExample: give physics and y, or none of them")
