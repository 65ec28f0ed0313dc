"""Priors on the moments of a source: total flux, centroid and size."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invcore import ParameterError

from .functionals import FunctionalPenalty

_FWHM = 2 * math.sqrt(2 * math.log(2))


class TotalFlux(FunctionalPenalty):
    """Prior on the total flux, g(x) = (Σ x - F)² / (2 σ²).

    Parameters
    ----------
    flux : float
        Total flux F, in the units of Σ x (Jy for images in Jy/pixel).
    sigma : float
        Standard deviation σ, in the same units.

    References
    ----------
    A. Chael et al., "Interferometric imaging directly with closure phases and closure amplitudes", ApJ 857
    (2018) 23.

    Examples
    --------
    >>> g = TotalFlux(flux=1.0, sigma=0.5)
    >>> g.value(torch.tensor([[1.0, 1.0]])), g.prox(torch.tensor([[1.0, 1.0]]), 1e9).sum().round(decimals=3)
    (tensor(2.), tensor(1.))
    """

    power = 0
    units = {"flux": 1, "sigma": 1}
    flux: float
    sigma: float = 1.0

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ParameterError(f"TotalFlux: sigma must be positive, got {self.sigma!r}")

    def functionals(self, shape: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
        return like.new_ones((1, *shape)) / self.sigma, like.new_full((1,), self.flux / self.sigma)


class Centroid(FunctionalPenalty):
    r"""Prior on the source centroid, which closure quantities do not constrain [1]_.

    .. math:: g(x) = \frac{1}{2σ^2} \left| \frac{1}{F} \sum_i x_i (r_i - r_0) \right|^2,

    where r_i is the position of a pixel relative to the phase center. The total flux F is a given number, so
    that g is quadratic.

    Parameters
    ----------
    flux : float
        Total flux F.
    pixel : float
        Size of a pixel, in the unit of all lengths.
    sigma : float
        Standard deviation σ of each coordinate of the centroid.
    center : (float, float)
        Expected centroid r₀, east and north of the phase center.

    References
    ----------
    .. [1] A. Chael et al., "Interferometric imaging directly with closure phases and closure amplitudes", ApJ
       857 (2018) 23.

    Examples
    --------
    >>> image = torch.zeros(1, 4, 4)
    >>> image[0, 2, 0] = 1.0  # two pixels to the east
    >>> Centroid(flux=1.0).value(image)
    tensor(2.)
    """

    power = 0
    units = {"flux": 1}
    flux: float
    pixel: float = 1.0
    sigma: float = 1.0
    center: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        _positive("Centroid", flux=self.flux, pixel=self.pixel, sigma=self.sigma)

    def functionals(self, shape: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
        east, north = _offsets(shape, self.pixel, like)
        a = torch.stack(torch.broadcast_tensors(east - self.center[0], north - self.center[1]))
        return a / (self.flux * self.sigma), like.new_zeros(2)


class SecondMoment(FunctionalPenalty):
    r"""Prior on the size of the source, as second moments about the phase center [1]_.

    .. math:: g(x) = \frac{1}{2} \left\| \frac{1}{F} \sum_i x_i r_i r_i^T - C \right\|_F^2 / (f c)^2,

    where C is the covariance of the Gaussian of the given widths and c the mean of its diagonal. The total
    flux F is a given number, so that g is quadratic.

    Parameters
    ----------
    flux : float
        Total flux F.
    fwhm : float or (float, float, float)
        Full width at half maximum; or along the major and the minor axis, and the position angle of the major
        axis in radians, from north to east.
    pixel : float
        Size of a pixel, in the unit of ``fwhm``.
    fraction : float
        Relative uncertainty f of the second moments.

    References
    ----------
    .. [1] S. Issaoun et al., "VLBI imaging of black holes via second moment regularization", A&A 629 (2019)
       A32.

    Examples
    --------
    >>> image = torch.zeros(1, 5, 5)
    >>> image[0, 2, 1] = image[0, 2, 3] = image[0, 1, 2] = image[0, 3, 2] = 0.25  # variances of 1/2
    >>> SecondMoment(flux=1.0, fwhm=2.354820 * 0.5**0.5).value(image).round(decimals=6)
    tensor(0.)
    """

    power = 0
    units = {"flux": 1}
    flux: float
    fwhm: float | tuple[float, float, float]
    pixel: float = 1.0
    fraction: float = 0.1

    def __post_init__(self) -> None:
        major, minor, _ = self._axes
        _positive(
            "SecondMoment", flux=self.flux, fwhm=min(major, minor), pixel=self.pixel, fraction=self.fraction
        )

    @property
    def _axes(self) -> tuple[float, float, float]:
        return self.fwhm if isinstance(self.fwhm, tuple) else (self.fwhm, self.fwhm, 0.0)

    def functionals(self, shape: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
        east, north = torch.broadcast_tensors(*_offsets(shape, self.pixel, like))
        major, minor, angle = self._axes
        a2, b2 = (major / _FWHM) ** 2, (minor / _FWHM) ** 2
        s, c = math.sin(angle), math.cos(angle)
        scale = self.fraction * (a2 + b2) / 2
        # the off-diagonal entry counts twice in the Frobenius norm
        a = torch.stack([east * east, north * north, math.sqrt(2) * east * north])
        target = [a2 * s * s + b2 * c * c, a2 * c * c + b2 * s * s, math.sqrt(2) * (a2 - b2) * s * c]
        return a / (self.flux * scale), torch.cat([like.new_full((1,), t / scale) for t in target])


def _offsets(shape: tuple[int, int], pixel: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """Offsets of the pixels from (ny//2, nx//2): to the east, (1, x), and to the north, (y, 1)."""
    ny, nx = shape
    row = torch.arange(ny, dtype=like.dtype, device=like.device)
    column = torch.arange(nx, dtype=like.dtype, device=like.device)
    return (nx // 2 - column)[None, :] * pixel, (ny // 2 - row)[:, None] * pixel


def _positive(name: str, **given: float) -> None:
    for key, number in given.items():
        if not (number > 0 and math.isfinite(number)):
            raise ParameterError(f"{name}: {key} must be positive and finite, got {number!r}")
