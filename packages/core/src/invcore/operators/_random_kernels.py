"""Random blur kernels: Gaussians and antialiasing filters."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .._errors import ParameterError
from .._value import Value
from ._blur_kernels import gaussian_kernel
from ._resampling import Filter, resampling_kernel


class GaussianKernel(Value):
    """Gaussian kernels of random widths and, in the plane, orientation, for `Convolution`.

    The standard deviation along each axis is uniform between two limits, the angle uniform on a half turn.

    Parameters
    ----------
    size : int or tuple of int
        Pixels along each axis.
    low, high : float
        Limits of the standard deviations in pixels, 0 < low <= high.
    isotropic : bool
        One standard deviation for all axes.
    ndim : int
        Number of spatial dimensions, 1 to 3.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> kernel = GaussianKernel(9)(batch=(2,), generator=torch.Generator().manual_seed(0))
    >>> kernel.shape, torch.allclose(kernel.sum((1, 2, 3)), torch.ones(2))
    (torch.Size([2, 1, 9, 9]), True)
    """

    size: int | tuple[int, ...]
    low: float = 0.5
    high: float = 3.0
    isotropic: bool = False
    ndim: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high < math.inf:
            raise ParameterError(f"GaussianKernel: 0 < low <= high is needed, got {self.low}, {self.high}")
        gaussian_kernel(1.0, ndim=self.ndim, size=self.size)  # says what is wrong with the sizes

    def __call__(
        self, batch: tuple[int, ...] = (), *, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Draw kernels one after the other: the same seed gives the same ones however a batch is split.

        Returns
        -------
        Tensor, shape (*batch, 1, *size)
            Positive, of sum one.
        """
        kernels = [self._draw(generator, dtype) for _ in range(math.prod(batch))]
        one = gaussian_kernel(1.0, ndim=self.ndim, size=self.size, dtype=dtype)
        out = torch.stack(kernels) if kernels else one.new_zeros(0, *one.shape)
        return out.reshape(*batch, *one.shape).to(generator.device)

    def _draw(self, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        u = torch.rand(
            self.ndim + 1, generator=generator, device=generator.device, dtype=torch.float64
        ).tolist()
        sigma = tuple(self.low + (self.high - self.low) * v for v in u[: self.ndim])
        if self.isotropic:
            sigma = sigma[:1] * self.ndim
        angle = math.pi * u[-1] if self.ndim == 2 and not self.isotropic else 0.0
        return gaussian_kernel(sigma, size=self.size, angle=angle, dtype=dtype)


class ResamplingKernel(Value):
    """Antialiasing filters drawn from a list, for `Downsample`: super-resolution of unknown degradation.

    All have the size of the largest: shorter ones are put in the middle.

    Parameters
    ----------
    factor : int
        Of the downsampling; it fixes the shape of the data, so one generator serves one factor.
    names : tuple of str
        Of `resampling_kernel`, each as likely as the others.
    ndim : int
        Number of spatial dimensions, 1 to 3.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> kernel = ResamplingKernel(2)(batch=(3,), generator=torch.Generator().manual_seed(0))
    >>> kernel.shape, torch.allclose(kernel.sum((1, 2, 3)), torch.ones(3))
    (torch.Size([3, 1, 8, 8]), True)
    """

    factor: int
    names: tuple[Filter, ...] = ("gaussian", "bilinear", "bicubic")
    ndim: int = 2

    def __post_init__(self) -> None:
        if self.factor < 1 or not self.names or self.ndim not in (1, 2, 3):
            raise ParameterError(
                f"ResamplingKernel: factor >= 1, one name or more and 1 to 3 dimensions are needed, got "
                f"{self.factor}, {self.names}, {self.ndim}"
            )
        if "none" in self.names and len(self.names) > 1 and self.factor % 2 == 0:
            raise ParameterError(
                "ResamplingKernel: a point has no middle in common with kernels of even length"
            )
        self._kernels()

    def __call__(
        self, batch: tuple[int, ...] = (), *, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Draw kernels one after the other: the same seed gives the same ones however a batch is split.

        Returns
        -------
        Tensor, shape (*batch, 1, *k)
        """
        kernels, n = self._kernels().to(dtype), math.prod(batch)
        drawn = [
            torch.randint(len(kernels), (), generator=generator, device=generator.device) for _ in range(n)
        ]
        chosen = torch.tensor([int(i) for i in drawn], dtype=torch.long)
        return kernels[chosen].reshape(*batch, *kernels.shape[1:]).to(generator.device)

    def _kernels(self) -> Tensor:
        found = [resampling_kernel(n, self.factor, ndim=self.ndim, dtype=torch.float64) for n in self.names]
        longest = max(k.shape[-1] for k in found)
        margins = [(longest - k.shape[-1]) // 2 for k in found]
        return torch.stack([torch.nn.functional.pad(k, (m, m) * self.ndim) for k, m in zip(found, margins)])
