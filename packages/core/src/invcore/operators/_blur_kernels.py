"""Kernels for `Convolution`: Gaussian, disk (defocus), random motion."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .._errors import ParameterError
from .._value import Value

_FINE = 16  # points per pixel and axis that a disk is sampled with


def gaussian_kernel(
    sigma: float | tuple[float, ...],
    *,
    ndim: int = 2,
    size: int | tuple[int, ...] | None = None,
    angle: float = 0.0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    r"""A Gaussian of sum one sampled at pixel centers.

    .. math:: k \propto \exp(-\tfrac12 |\Sigma^{-1/2} r|^2)

    Parameters
    ----------
    sigma : float or tuple of float
        Standard deviation in pixels, one for all axes or one for each.
    ndim : int
        Number of dimensions, 1 to 3, where ``sigma`` is one number.
    size : int or tuple of int, optional
        Pixels along each axis; by default as far as four standard deviations, an odd number.
    angle : float
        Radians by which a Gaussian in the plane is turned, from the first axis towards the second.
    dtype : torch.dtype

    Returns
    -------
    Tensor, shape (1, *size)
        The maximum lies at the center n // 2 of each axis.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> gaussian_kernel(1.0, ndim=1, size=3)
    tensor([[0.2741, 0.4519, 0.2741]])
    """
    sigmas = sigma if isinstance(sigma, tuple) else (float(sigma),) * ndim
    d = len(sigmas)
    if d not in (1, 2, 3) or not all(math.isfinite(s) and s > 0 for s in sigmas):
        raise ParameterError(f"gaussian_kernel: sigma must be positive, for one to three axes, got {sigma!r}")
    if angle and d != 2:
        raise ParameterError(f"gaussian_kernel: an angle needs two dimensions, got {d}")
    if size is None:
        # a turned Gaussian reaches as far as its longer axis
        reach = (max(sigmas),) * d if angle else sigmas
        size = tuple(2 * math.ceil(4 * s) + 1 for s in reach)
    r = _positions(_sizes("gaussian_kernel", size, d))
    if angle:
        c, s = math.cos(angle), math.sin(angle)
        r = (c * r[0] + s * r[1], c * r[1] - s * r[0])
    exponent = torch.stack([(a / s) ** 2 for a, s in zip(r, sigmas)]).sum(0)
    kernel = torch.exp(-exponent / 2)
    return (kernel / kernel.sum()).to(dtype)[None]


def disk_kernel(
    radius: float, *, size: int | tuple[int, int] | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """A uniform disk of sum one, the blur of a defocused lens.

    Each entry is the share of its pixel that the disk covers.

    Parameters
    ----------
    radius : float
        In pixels.
    size : int or tuple of int, optional
        Pixels along each axis; by default an odd number that holds the disk.
    dtype : torch.dtype

    Returns
    -------
    Tensor, shape (1, *size)
        Centered at n // 2. Covered areas are found from 16 x 16 points in each pixel.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> disk_kernel(0.3).shape, disk_kernel(3.0).shape
    (torch.Size([1, 1, 1]), torch.Size([1, 7, 7]))
    """
    if not (math.isfinite(radius) and radius > 0):
        raise ParameterError(f"disk_kernel: radius must be positive, got {radius!r}")
    if size is None:
        size = 2 * math.ceil(radius - 0.5) + 1
    fine = (torch.arange(_FINE, dtype=torch.float64) + 0.5) / _FINE - 0.5
    y, x = _positions(_sizes("disk_kernel", size, 2))
    y, x = y[..., None, None] + fine[:, None], x[..., None, None] + fine
    kernel = (y**2 + x**2 <= radius**2).double().sum((-2, -1))
    if not float(kernel.sum()) > 0:  # smaller than the distance of the points
        kernel = _point(tuple(kernel.shape))
    return (kernel / kernel.sum()).to(dtype)[None]


class MotionKernel(Value):
    r"""Random motion blur: the trace of a camera whose position is a smooth Gaussian process in time.

    Both coordinates are drawn independently over one unit of time, with the Matérn covariance
    of smoothness 3/2,
    :math:`\sigma^2 (1 + \sqrt 3\, |t - t'| / l) \exp(-\sqrt 3\, |t - t'| / l)`. The trace is centered on
    its mean, shrunk where it would leave the kernel, and shared between pixels by linear interpolation.

    Parameters
    ----------
    size : int
        Pixels along each of the two axes.
    length : float
        l, in units of the exposure.
    amplitude : float
        σ, in units of ``size``.
    steps : int
        Points of the trace.

    Raises
    ------
    ParameterError

    References
    ----------
    C. J. Schuler, M. Hirsch, S. Harmeling, B. Schölkopf, "Learning to deblur", IEEE Trans. Pattern Anal.
    Mach. Intell. 38 (2016).

    Examples
    --------
    >>> kernel = MotionKernel(9)(batch=(2,), generator=torch.Generator().manual_seed(0))
    >>> kernel.shape, bool((kernel >= 0).all())
    (torch.Size([2, 1, 9, 9]), True)
    """

    size: int
    length: float = 0.3
    amplitude: float = 0.25
    steps: int = 200

    def __post_init__(self) -> None:
        if self.size < 1 or self.steps < 2 or not (self.length > 0 and self.amplitude >= 0):
            raise ParameterError(
                "MotionKernel: size >= 1, steps >= 2, length > 0 and amplitude >= 0 are needed, got "
                f"size={self.size}, steps={self.steps}, length={self.length}, amplitude={self.amplitude}"
            )

    def __call__(
        self,
        batch: tuple[int, ...] = (),
        *,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Draw kernels one after the other: the same seed gives the same ones however a batch is split.

        Returns
        -------
        Tensor, shape (*batch, 1, size, size)
            Non-negative, of sum one.
        """
        t = torch.linspace(0, 1, self.steps, dtype=torch.float64)
        distance = 3**0.5 * (t[:, None] - t).abs() / self.length
        # the diagonal is raised a little: the covariance of a smooth process is singular to rounding
        covariance = (1 + distance) * torch.exp(-distance) + 1e-9 * torch.eye(self.steps, dtype=torch.float64)
        root = torch.linalg.cholesky(covariance)
        kernels = [_trace(self.size, self.amplitude, root, generator) for _ in range(math.prod(batch))]
        empty = torch.zeros(0, self.size, self.size, dtype=torch.float64)
        out = torch.stack(kernels) if kernels else empty
        return out.reshape(*batch, 1, self.size, self.size).to(dtype).to(generator.device)


def _trace(size: int, amplitude: float, root: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(2, len(root), dtype=torch.float64, generator=generator, device=generator.device)
    path = amplitude * size * (noise.cpu() @ root.T)
    path = path - path.mean(-1, keepdim=True)
    center = size // 2
    room = max(size - 1 - center, 0)  # on the narrower side
    path = path * min(1.0, room / max(float(path.abs().max()), 1e-300)) + center
    low = path.floor().clamp(0, max(size - 2, 0))
    share = path - low
    kernel = torch.zeros(size, size, dtype=torch.float64)
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (share[0] if dy else 1 - share[0]) * (share[1] if dx else 1 - share[1])
            rows = (low[0].long() + dy).clamp(max=size - 1)
            columns = (low[1].long() + dx).clamp(max=size - 1)
            kernel.index_put_((rows, columns), weight, accumulate=True)
    return kernel / kernel.sum()


def _sizes(name: str, size: int | tuple[int, ...], d: int) -> tuple[int, ...]:
    sizes = size if isinstance(size, tuple) else (size,) * d
    if len(sizes) != d or any(not isinstance(n, int) or n < 1 for n in sizes):
        raise ParameterError(f"{name}: size must be a positive integer, or {d} of them, got {size!r}")
    return sizes


def _positions(sizes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Coordinates of the pixels relative to the center n // 2, one array an axis."""
    axes = [torch.arange(n, dtype=torch.float64) - n // 2 for n in sizes]
    return torch.meshgrid(*axes, indexing="ij")


def _point(shape: tuple[int, ...]) -> Tensor:
    kernel = torch.zeros(shape, dtype=torch.float64)
    kernel[tuple(n // 2 for n in shape)] = 1
    return kernel
