"""What is known of a source as a whole: its flux, where it is, how large it is."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invcore import ParameterError
from invcore.operators import SpaceLike
from invcore.priors import Prior

from .functionals import image_shape, item_sum, misfit, offsets, pulled, real_image, unfold

_FWHM = 2 * math.sqrt(2 * math.log(2))


class TotalFlux(Prior):
    """The total flux F is known: g(x) = (Σ x - F)² / (2 σ²).

    Parameters
    ----------
    flux : float
        F, in the units of Σ x (Jy for images in Jy/pixel).
    sigma : float
        σ, in the same units.

    References
    ----------
    A. Chael et al., "Interferometric imaging directly with closure phases and closure amplitudes", ApJ 857 (2018) 23.

    Examples
    --------
    >>> g = TotalFlux(flux=1.0, sigma=0.5)
    >>> g.value(torch.tensor([[1.0, 1.0]])), g.prox(torch.tensor([[1.0, 1.0]]), 1e9).sum().round(decimals=3)
    (tensor(2.), tensor(1.))
    """

    flux: float
    sigma: float = 1.0

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ParameterError(f"TotalFlux: sigma must be positive, got {self.sigma!r}")

    def value(self, x: Tensor, space: SpaceLike | None = None) -> Tensor:
        real_image(x, "TotalFlux")
        return ((item_sum(x, space) - self.flux) / self.sigma).square() / 2

    def grad(self, x: Tensor, space: SpaceLike | None = None) -> Tensor:
        a, c = self._functional(x, space)
        return unfold(misfit(x, a, c, space), a, x, space)

    def prox(self, x: Tensor, step: float | Tensor, space: SpaceLike | None = None) -> Tensor:
        return pulled(x, *self._functional(x, space), step, space)

    def _functional(self, x: Tensor, space: SpaceLike | None) -> tuple[Tensor, Tensor]:
        real_image(x, "TotalFlux")
        a = x.new_ones((1, *image_shape(x, space, "TotalFlux")))
        return a / self.sigma, x.new_full((1,), self.flux / self.sigma)


class Centroid(Prior):
    r"""The center of the source is known, which closure quantities do not tell [1]_.

    .. math:: g(x) = \frac{1}{2σ^2} \left| \frac{1}{F} \sum_i x_i (r_i - r_0) \right|^2,

    r_i being the position of a pixel relative to the phase center, and F the total flux: a number, so that g is quadratic.

    Parameters
    ----------
    flux : float
        F.
    pixel : float
        Size of a pixel; the unit of all lengths.
    sigma : float
        σ.
    center : (float, float)
        r₀, east and north of the phase center.

    References
    ----------
    .. [1] A. Chael et al., "Interferometric imaging directly with closure phases and closure amplitudes", ApJ 857 (2018) 23.

    Examples
    --------
    >>> image = torch.zeros(1, 4, 4)
    >>> image[0, 2, 0] = 1.0  # two pixels to the east
    >>> Centroid(flux=1.0).value(image)
    tensor(2.)
    """

    flux: float
    pixel: float = 1.0
    sigma: float = 1.0
    center: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        _positive("Centroid", flux=self.flux, pixel=self.pixel, sigma=self.sigma)

    def value(self, x: Tensor, space: SpaceLike | None = None) -> Tensor:
        return misfit(x, *self._functionals(x, space), space).square().sum(-1) / 2

    def grad(self, x: Tensor, space: SpaceLike | None = None) -> Tensor:
        a, c = self._functionals(x, space)
        return unfold(misfit(x, a, c, space), a, x, space)

    def prox(self, x: Tensor, step: float | Tensor, space: SpaceLike | None = None) -> Tensor:
        return pulled(x, *self._functionals(x, space), step, space)

    def _functionals(self, x: Tensor, space: SpaceLike | None) -> tuple[Tensor, Tensor]:
        real_image(x, "Centroid")
        east, north = offsets(image_shape(x, space, "Centroid"), self.pixel, x)
        a = torch.stack(torch.broadcast_tensors(east - self.center[0], north - self.center[1]))
        return a / (self.flux * self.sigma), x.new_zeros(2)


class SecondMoment(Prior):
    r"""The size of the source is known: its second moments about the phase center [1]_.

    .. math:: g(x) = \frac{1}{2} \left\| \frac{1}{F} \sum_i x_i r_i r_i^T - C \right\|_F^2 / (f c)^2,

    C being the covariance of the Gaussian of the given widths, c the mean of its diagonal, F the total flux (a number, so that g
    is quadratic).

    Parameters
    ----------
    flux : float
        F.
    fwhm : float or (float, float, float)
        Full width at half maximum; or along the major and the minor axis, and the position angle of the major axis in radians,
        from north to east.
    pixel : float
        Size of a pixel, in the unit of ``fwhm``.
    fraction : float
        f, the relative uncertainty of the second moments.

    References
    ----------
    .. [1] S. Issaoun et al., "VLBI imaging of black holes via second moment regularization", A&A 629 (2019) A32.

    Examples
    --------
    >>> image = torch.zeros(1, 5, 5)
    >>> image[0, 2, 1] = image[0, 2, 3] = image[0, 1, 2] = image[0, 3, 2] = 0.25  # variances of 1/2
    >>> SecondMoment(flux=1.0, fwhm=2.354820 * 0.5**0.5).value(image).round(decimals=6)
    tensor(0.)
    """

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

    def value(self, x: Tensor, space: SpaceLike | None = None) -> Tensor:
        return misfit(x, *self._functionals(x, space), space).square().sum(-1) / 2

    def grad(self, x: Tensor, space: SpaceLike | None = None) -> Tensor:
        a, c = self._functionals(x, space)
        return unfold(misfit(x, a, c, space), a, x, space)

    def prox(self, x: Tensor, step: float | Tensor, space: SpaceLike | None = None) -> Tensor:
        return pulled(x, *self._functionals(x, space), step, space)

    def _functionals(self, x: Tensor, space: SpaceLike | None) -> tuple[Tensor, Tensor]:
        real_image(x, "SecondMoment")
        east, north = torch.broadcast_tensors(*offsets(image_shape(x, space, "SecondMoment"), self.pixel, x))
        major, minor, angle = self._axes
        a2, b2 = (major / _FWHM) ** 2, (minor / _FWHM) ** 2
        s, c = math.sin(angle), math.cos(angle)
        scale = self.fraction * (a2 + b2) / 2
        # the off-diagonal entry counts twice in the Frobenius norm
        a = torch.stack([east * east, north * north, math.sqrt(2) * east * north])
        target = [a2 * s * s + b2 * c * c, a2 * c * c + b2 * s * s, math.sqrt(2) * (a2 - b2) * s * c]
        return a / (self.flux * scale), torch.cat([x.new_full((1,), t / scale) for t in target])


def _positive(name: str, **given: float) -> None:
    for key, number in given.items():
        if not (number > 0 and math.isfinite(number)):
            raise ParameterError(f"{name}: {key} must be positive and finite, got {number!r}")
