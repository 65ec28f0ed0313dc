"""`Denoiser`: the contract."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from .._contract import check_stated
from .._errors import DataError, DtypeError, ParameterError, ShapeError
from .._value import Value, real_dtype


class Denoiser(Value, abstract=True):
    """Base class of denoisers: ``D(x, sigma)`` estimates the clean image from ``x = clean + noise``.

    ``sigma`` is the standard deviation of each real component of the noise (of the real and of the imaginary
    part for complex images), as in `invcore.noises.GaussianNoise`; a float, or one per sample. Write
    ``denoise(x, sigma)``; arguments are validated before it is called.

    Attributes
    ----------
    channels : int or None
        The number of channels it takes; None means any.
    value_range : tuple of float or None
        Smallest and largest value of the clean images it is meant for; None if it adapts to any scale.
    sigma_range : tuple of float
        Smallest and largest noise level it handles; others raise `ParameterError`.
    identity_at_zero : bool
        Whether ``D(x, 0)`` is ``x``, as it should; False for a denoiser of noise that does not vanish with
        ``sigma``.
    spatial_dims : int
        Number of trailing spatial dimensions of the image.
    shape : tuple of int or None
        (channel, *spatial) of the images, for a denoiser of images of one shape; None, the default, for any.

    Examples
    --------
    >>> class Shrink(Denoiser):
    ...     channels, value_range, sigma_range, spatial_dims = None, None, (0.0, float("inf")), 2
    ...     def denoise(self, x, sigma): return x / (1 + sigma**2)
    >>> Shrink()(torch.ones(1, 1, 2), 1.0)
    tensor([[[0.5000, 0.5000]]])
    """

    identity_at_zero: ClassVar[bool] = True
    shape: ClassVar[tuple[int, ...] | None] = None

    if TYPE_CHECKING:
        channels: ClassVar[int | None]
        value_range: ClassVar[tuple[float, float] | None]
        sigma_range: ClassVar[tuple[float, float]]

        @property
        def spatial_dims(self) -> int:
            """Number of trailing spatial dimensions."""

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(abstract=abstract, **kwargs)
        if not abstract:
            wanted = ("channels", "value_range", "sigma_range", "spatial_dims")
            check_stated(cls, wanted, "class attributes such as sigma_range = (0.0, 1.0), None for no limit")

    @abstractmethod
    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Estimate the clean image.

        Parameters
        ----------
        x : Tensor, shape (batch..., channel, *spatial)
        sigma : Tensor
            Real, broadcasts against ``x``: shape ``(batch..., 1, *1)``, or no dimensions.
        """

    def at(self, k: int) -> Self:
        """Return the denoiser of iteration ``k``: a stochastic one draws here, from its seed."""
        return self

    @property
    def stochastic(self) -> bool:
        """True if `at` gives another denoiser in each iteration."""
        return False

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Denoise ``x``.

        Parameters
        ----------
        x : Tensor, shape (batch..., channel, *spatial)
            Real or complex.
        sigma : float or Tensor, shape (batch...)
            Noise level, for all samples or one per sample.

        Returns
        -------
        Tensor
            Same shape and dtype as ``x``.

        Raises
        ------
        ShapeError, DtypeError, ParameterError, DataError
        """
        return self.denoise(x, self._level(x, sigma))

    def _level(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Validate, and give sigma the dimensions of ``x``."""
        name, d = type(self).__name__, self.spatial_dims
        if not isinstance(x, Tensor) or not (x.is_floating_point() or x.is_complex()):
            got = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise DtypeError(f"{name}: expected a floating-point or complex tensor, got {got}.")
        if x.ndim < d + 1:
            raise ShapeError(
                f"{name}: expected an image (batch..., channel, *spatial) with {d} spatial dimensions, "
                f"got shape {tuple(x.shape)}."
            )
        batch, channel = tuple(x.shape[: x.ndim - d - 1]), x.shape[x.ndim - d - 1]
        if self.channels is not None and channel != self.channels:
            raise ShapeError(
                f"{name}: expected {self.channels} channels, got {channel} in shape {tuple(x.shape)}."
            )
        if self.shape is not None and tuple(x.shape[len(batch) :]) != self.shape:
            dims = ", ".join(map(str, self.shape))
            raise ShapeError(f"{name}: expected images of shape (batch..., {dims}), got {tuple(x.shape)}.")
        low, high = self.sigma_range
        if isinstance(sigma, int | float) and math.isfinite(sigma) and low <= sigma <= high:
            return torch.tensor(sigma, dtype=real_dtype(x.dtype), device=x.device)
        # checked where it is: no synchronisation with a GPU for a plain number
        level = sigma if isinstance(sigma, Tensor) else torch.as_tensor(sigma, dtype=torch.float64)
        if level.ndim and tuple(level.shape) != batch:
            raise ShapeError(
                f"{name}: sigma must be a number or have the batch shape {batch}, got {tuple(level.shape)}."
            )
        if not bool(torch.isfinite(level).all()):
            raise DataError(f"{name}: sigma contains NaN or infinity.")
        if bool(((level < low) | (level > high)).any()):
            raise ParameterError(
                f"{name}: sigma must lie in [{low:g}, {high:g}], got values from {float(level.min()):g} to "
                f"{float(level.max()):g}."
            )
        level = level.to(dtype=real_dtype(x.dtype), device=x.device)
        return level.reshape(*level.shape, *(1,) * (d + 1)) if level.ndim else level
