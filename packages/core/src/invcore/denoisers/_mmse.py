"""`MMSEDenoiser`: the best denoiser of a density that is known."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from .._errors import DtypeError
from ._base import Denoiser


class MMSEDenoiser(Denoiser, abstract=True):
    r"""Base class of conditional means D(x, σ) = E[z | x = z + σ e], z of a density p that is known.

    No denoiser has a smaller mean squared error on images drawn from p, and Tweedie's formula holds [1]_,

    .. math:: D(x, σ) = x + σ^2 ∇ \log p_σ(x), \qquad p_σ = p * N(0, σ^2).

    References
    ----------
    .. [1] B. Efron, "Tweedie's formula and selection bias", J. Am. Stat. Assoc. 106 (2011).
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """(channel, *spatial) of the images."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """What its images are: "real" or "complex"."""

    @property
    def channels(self) -> int:  # type: ignore[override]
        """Number of channels."""
        return self.shape[0]

    @property
    def spatial_dims(self) -> int:
        """Number of spatial dimensions."""
        return len(self.shape) - 1

    @abstractmethod
    def _log_density(self, x: Tensor, sigma: Tensor) -> Tensor:
        """`log_density` of validated arguments."""

    def log_density(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """log p_σ(x), the density of noisy images.

        Parameters
        ----------
        x : Tensor, shape (batch..., channel, *spatial)
        sigma : float or Tensor, shape (batch...)
            Noise level, for all samples or one per sample.

        Returns
        -------
        Tensor, shape (batch...)
            For complex images the density with respect to real and imaginary part.

        Raises
        ------
        ShapeError, DtypeError, ParameterError, DataError
        """
        return self._log_density(x, self._level(x, sigma))

    @abstractmethod
    def sample(self, batch: tuple[int, ...] = (), *, generator: torch.Generator) -> Tensor:
        """Images drawn from the density (without noise), shape (batch..., channel, *spatial).

        The same seed gives the same images however a batch is split.

        Raises
        ------
        ParameterError
            If the density is known in a form that gives no draws.
        """

    def _level(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        level = super()._level(x, sigma)
        if x.is_complex() != (self.kind == "complex"):
            raise DtypeError(
                f"{type(self).__name__}: its density is one of {self.kind} images, got {x.dtype}: make "
                + ("the image complex, x + 0j." if self.kind == "complex" else "the mean complex, m + 0j.")
            )
        return level


def log_normal(squares: Tensor, variances: Tensor, parts: int) -> Tensor:
    """Log of a normal density, summed over the last dimension; ``parts`` is 2 for complex numbers."""
    logs = (2 * math.pi * variances).log() * parts
    return -(squares / variances + logs).sum(-1) / 2


def squared(x: Tensor) -> Tensor:
    """|x|², also differentiable twice at 0."""
    return x.real.square() + x.imag.square() if x.is_complex() else torch.square(x)
