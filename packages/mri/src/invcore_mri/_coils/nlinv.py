"""NLINV: image and coil maps together, by regularized Gauss-Newton steps, without a calibration region."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor

from invcore import DataError, LinearOperator, ParameterError, ShapeError, Space
from invcore.operators import least_squares

from .._sampling.center import check_kspace, sampled
from .._sampling.fft import centered_fft, centered_ifft
from .._sampling.operators import Fourier


class JointEstimate(NamedTuple):
    """What `Nlinv.estimate` finds.

    Attributes
    ----------
    image : Tensor, shape (..., 1, *spatial)
        Complex; its magnitude is the root sum of squares of the coil images.
    maps : Tensor, shape (..., coil, *spatial)
        Coil maps of norm 1 over the coils.
    """

    image: Tensor
    maps: Tensor


@dataclass(frozen=True, kw_only=True)
class Nlinv:
    r"""Joint estimate of image and coil maps by regularized nonlinear inversion.

    The data are bilinear in the image and the maps, :math:`y = P (c \cdot x)` with P the sampled Fourier
    transform of the coil images. Smooth maps are written :math:`c = F^{-1} w \hat c` with

    .. math:: w(k) = (1 + 220 |k|^2)^{-16},

    k in cycles per voxel, so that a penalty on :math:`\hat c` is a Sobolev norm of c. From x = 1, c = 0 each
    step solves the linearized problem by conjugate gradient,

    .. math:: (J^H J + \alpha_n) \, d = J^H (y - P(c_n x_n)) - \alpha_n (z_n - z_0), \quad
              \alpha_n = \text{reduction}^n,

    for the update d of :math:`z = (x, \hat c)`. It needs no calibration region: all samples say what the maps
    are, which must be dense enough in the center for the number of coils.

    Called on k-space it gives the maps, as `Espirit` does; `estimate` gives the image too, `solve` takes data
    along any trajectory.

    Parameters
    ----------
    steps : int
        Gauss-Newton steps. More sharpen the image and amplify its noise.
    reduction : float
        Factor of the regularization from step to step.
    inner_rtol : float
        Relative residual at which the linear systems are left.
    inner_steps : int
        Largest number of conjugate gradient steps for a linear system.
    sigma : float
        Noise level (standard deviation of each real component): no further step is taken once the residual
        is that of noise. 0 takes all steps.
    spatial_dims : int
        Number of spatial axes, 2 or 3.

    References
    ----------
    M. Uecker, T. Hohage, K. T. Block, J. Frahm, "Image reconstruction by regularized nonlinear inversion:
    joint estimation of coil sensitivities and image content", Magn. Reson. Med. 60, 674 (2008).

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import Nlinv, simulate
    >>> scan = simulate((48, 48), coils=6, sigma=0.001, generator=torch.Generator().manual_seed(0))
    >>> maps = Nlinv()(scan.kspace)
    >>> cosine = (maps.conj() * scan.maps).sum(0).abs()[scan.image[0].abs() > 0.3]
    >>> bool(cosine.mean() > 0.98)
    True
    """

    steps: int = 10
    reduction: float = 0.5
    inner_rtol: float = 0.1
    inner_steps: int = 60
    sigma: float = 0.0
    spatial_dims: int = 2

    def __post_init__(self) -> None:
        if self.steps < 1 or self.inner_steps < 1:
            raise ParameterError(
                f"steps and inner_steps must be at least 1, got {self.steps}, {self.inner_steps}"
            )
        if not (0 < self.reduction < 1 and 0 < self.inner_rtol < 1):
            raise ParameterError(
                f"reduction and inner_rtol lie between 0 and 1, got {self.reduction}, {self.inner_rtol}"
            )
        if not 0 <= self.sigma < math.inf:
            raise ParameterError(f"sigma is a standard deviation and must not be negative; got {self.sigma}")
        if self.spatial_dims not in (2, 3):
            raise ParameterError(
                f"spatial_dims is the number of spatial axes, 2 or 3; got {self.spatial_dims!r}"
            )

    def __call__(self, kspace: Tensor) -> Tensor:
        """Compute the maps, ``(..., coil, *spatial)``, of k-space of that shape; see `estimate`."""
        return self.estimate(kspace).maps

    def estimate(self, kspace: Tensor) -> JointEstimate:
        """Compute image and maps of Cartesian data.

        Parameters
        ----------
        kspace : Tensor
            Complex, shape ``(..., coil, *spatial)``, DC at index ``n//2``; zero where not sampled.

        Raises
        ------
        DataError
            If k-space has NaN or only zeros.
        ShapeError
            If k-space is not complex with a coil axis and ``spatial_dims`` spatial axes.
        """
        d = self.spatial_dims
        check_kspace(kspace, d)
        coils, spatial = kspace.shape[-d - 1], tuple(kspace.shape[-d:])
        batch = kspace.shape[: -d - 1]
        found = []
        for scan in kspace.detach().reshape(-1, coils, *spatial):
            mask = sampled(scan, spatial_dims=d).to(scan.real.dtype)
            found.append(self.solve(scan, Fourier(mask=mask, shape=spatial, channels=coils)))
        if not found:
            return JointEstimate(kspace.new_empty(*batch, 1, *spatial), kspace.new_empty(kspace.shape))
        image, maps = (torch.stack(parts).reshape(*batch, -1, *spatial) for parts in zip(*found))
        return JointEstimate(image, maps)

    @torch.no_grad()
    def solve(self, y: Tensor, sampling: LinearOperator) -> JointEstimate:
        """Compute image and maps of data that any linear operator takes of the coil images.

        Parameters
        ----------
        y : Tensor, shape (*range.shape)
            Data of one scan; zero where `Fourier` does not sample.
        sampling : LinearOperator
            From coil images ``(coil, *spatial)`` to the data, such as `invcore.operators.NUFFT` with a
            channel a coil, or `Fourier`. Weights, the root of the sampling density, speed up the inner steps.

        Raises
        ------
        DataError
            If the data have NaN or only zeros.
        ShapeError
            If ``sampling`` is not one of coil images with ``spatial_dims`` axes.
        """
        domain, axes = sampling.domain, {2: "y, x", 3: "z, y, x"}[self.spatial_dims]
        if (
            not isinstance(domain, Space)
            or len(domain.shape) != self.spatial_dims + 1
            or domain.kind != "complex"
        ):
            raise ShapeError(f"sampling must take complex coil images (coil, {axes}), not {domain}")
        coils, *spatial = domain.shape
        size = float(torch.linalg.vector_norm(y))
        if not 0 < size < math.inf:
            raise DataError("k-space holds NaN or infinity, or only zeros: there is nothing to reconstruct")
        scale = math.sqrt(math.prod(spatial)) / (2 * size)
        y = y.detach() * scale
        noise = 2 * (scale * self.sigma) ** 2 * int((y != 0).sum())
        smooth = _sobolev(tuple(spatial), y)
        image = y.new_ones(1, *spatial)
        coefficients = y.new_zeros(coils, *spatial)
        maps = torch.zeros_like(coefficients)
        weight = 1.0
        for _ in range(self.steps):
            residual = y - sampling(maps * image)
            if float(residual.abs().square().sum()) <= noise:
                break
            moved = (image - 1, coefficients)
            derivative = _Derivative(sampling=sampling, image=image, maps=maps, smooth=smooth)
            update = cast(
                tuple[Tensor, Tensor],
                least_squares(
                    derivative,
                    residual,
                    shift=weight,
                    center=tuple(-part for part in moved),
                    rtol=self.inner_rtol,
                    max_steps=self.inner_steps,
                ),
            )
            image, coefficients = image + update[0], coefficients + update[1]
            maps = _smoothed(coefficients, smooth)
            weight *= self.reduction
        norm = torch.linalg.vector_norm(maps, dim=0, keepdim=True)
        return JointEstimate(image * norm / scale, maps / norm.clamp_min(1e-30))


class _Derivative(LinearOperator):
    """J(dx, dĉ) = P(c dx + x F⁻¹ w dĉ) at an image x and maps c."""

    sampling: LinearOperator
    image: Tensor
    maps: Tensor
    smooth: Tensor
    params = ()

    @property
    def domain(self) -> tuple[Space, Space]:
        coils, *spatial = self.maps.shape
        return Space((1, *spatial), "complex"), Space((coils, *spatial), "complex")

    @property
    def range(self) -> Space:
        space = self.sampling.range
        assert isinstance(space, Space)
        return space

    def forward(self, x: tuple[Tensor, Tensor]) -> Tensor:
        return self.sampling(self._images(x))

    def adjoint(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return self._back(self.sampling.H(y))

    def _gram(self, x: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return self._back(self.sampling.gram(self._images(x)))

    def _images(self, x: tuple[Tensor, Tensor]) -> Tensor:
        image, coefficients = x
        return torch.addcmul(self.maps * image, self.image, _smoothed(coefficients, self.smooth))

    def _back(self, images: Tensor) -> tuple[Tensor, Tensor]:
        d = self.smooth.ndim
        image = (self.maps.conj() * images).sum(-d - 1, keepdim=True)
        return image, self.smooth * centered_fft(self.image.conj() * images, d)


def _smoothed(coefficients: Tensor, smooth: Tensor) -> Tensor:
    """c = F⁻¹ w ĉ."""
    return centered_ifft(smooth * coefficients, smooth.ndim)


def _sobolev(spatial: tuple[int, ...], like: Tensor) -> Tensor:
    """w(k) = (1 + 220 |k|²)⁻¹⁶, k in cycles per voxel."""
    square = torch.zeros((), dtype=torch.float64, device=like.device)
    for axis, n in enumerate(spatial):
        k = (torch.arange(n, dtype=torch.float64, device=like.device) - n // 2) / n
        square = square + (k**2).reshape(n, *(1,) * (len(spatial) - 1 - axis))
    return (1 + 220 * square).pow(-16).to(like.real.dtype)
