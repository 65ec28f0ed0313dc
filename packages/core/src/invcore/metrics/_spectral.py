"""Metrics of multispectral images: spectral angle, ERGAS, and QNR, which needs no reference."""

from __future__ import annotations

import math
from dataclasses import field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .._errors import DataError, ParameterError, ShapeError
from ._base import Comparison, Judgment, check_image
from ._ssim import similarity


class SpectralAngle(Comparison):
    r"""Mean angle between the spectra of two images (spectral angle mapper), in radians, from 0 to π.

    .. math:: \frac1N \sum_i \arccos \frac{\mathrm{Re} ⟨x_i, {\hat x}_i⟩}{\|x_i\| \, \|{\hat x}_i\|}

    The spectrum of pixel ``i`` is its vector of channels. A pixel whose reference is zero has none and does
    not count; where only ``x_hat`` is zero the angle is π/2. The angle is computed from sums and differences
    of unit vectors, because the arc cosine of nearly parallel ones loses half of the digits. Differentiable.

    Raises
    ------
    ShapeError
        If the images differ in shape or have no channel dimension or a single channel.
    DataError
        If the reference is zero everywhere.

    References
    ----------
    R. Yuhas, A. Goetz, J. Boardman, "Discrimination among semi-arid landscape endmembers using the spectral
    angle mapper (SAM) algorithm", JPL Airborne Geoscience Workshop (1992).
    W. Kahan, "How futile are mindless assessments of roundoff in floating-point computation?" (2006), section
    12.

    Examples
    --------
    >>> x = torch.tensor([1.0, 0.0]).reshape(2, 1, 1)
    >>> x_hat = torch.tensor([3.0, 3.0]).reshape(2, 1, 1)
    >>> torch.rad2deg(SpectralAngle()(x_hat, x))
    tensor(45.)
    """

    higher_is_better: ClassVar[bool] = False

    def _value(self, x_hat: Tensor, x: Tensor) -> Tensor:
        channel = -self.spatial_dims - 1
        if x.shape[channel] < 2:
            raise ShapeError("SpectralAngle: images of one channel have no spectra; at least 2 are needed.")
        if x.is_complex():
            x_hat, x = (torch.cat((v.real, v.imag), channel) for v in (x_hat, x))
        (a, none_a), (b, none_b) = _unit(x_hat, channel), _unit(x, channel)
        angle = 2 * torch.atan2(_length(a - b, channel), _length(a + b, channel))
        angle = torch.where(none_a, math.pi / 2, angle)
        space = tuple(range(-self.spatial_dims, 0))
        count = (~none_b).sum(space)
        if bool((count == 0).any()):
            raise DataError("SpectralAngle: a reference is zero everywhere, so it has no spectra.")
        return torch.where(none_b, 0, angle).sum(space) / count


class ERGAS(Comparison):
    r"""Relative dimensionless global error in synthesis (Wald, 2000), in percent; 0 for equal images.

    .. math:: \frac{100}{r} \Bigl(\frac1C \sum_{k=1}^{C} \frac{\mathrm{MSE}_k}{μ_k^2}\Bigr)^{1/2}

    with the mean squared error and the mean of the reference of each of C channels.

    Parameters
    ----------
    factor : float
        The ratio ``r`` of pixel sizes, low resolution to high, e.g. 4.0 where 4 x 4 pixels make one. There is
        no default: the value depends on it.

    Raises
    ------
    DataError
        If a channel of the reference has mean zero.

    References
    ----------
    L. Wald, "Quality of high resolution synthesised images: is there a simple criterion?", Int. Conf. Fusion
    of Earth Data (2000).

    Examples
    --------
    >>> x = torch.full((3, 8, 8), 0.5)
    >>> ERGAS(factor=4.0)(x + 0.125, x)
    tensor(6.2500)
    """

    higher_is_better: ClassVar[bool] = False

    factor: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.factor < math.inf:
            raise ParameterError(f"ERGAS: factor must be a positive number, got {self.factor!r}.")

    def _value(self, x_hat: Tensor, x: Tensor) -> Tensor:
        space = tuple(range(-self.spatial_dims, 0))
        mean = x.mean(space)
        if bool((mean == 0).any()):
            raise DataError(
                "ERGAS: a channel of the reference has mean zero, so its relative error is undefined."
            )
        difference = x_hat - x
        squared = (difference.abs().square() if x.is_complex() else difference.square()).mean(space)
        mean_square = (squared / mean.abs().square()).mean(-1)
        exact = mean_square == 0
        return torch.where(exact, 0, torch.where(exact, 1, mean_square).sqrt()) * (100 / self.factor)


class QNR(Judgment, eq=False):
    r"""Quality with no reference of a pansharpened image (Alparone et al., 2008), up to 1, which is best.

    .. math:: (1 - D_λ)^α (1 - D_s)^β, \quad
        D_λ = \Bigl(\frac1{C(C-1)}
        \sum_{k \ne l} |Q({\hat x}_k, {\hat x}_l) - Q(m_k, m_l)|^p\Bigr)^{1/p}, \quad
        D_s = \Bigl(\frac1C \sum_k |Q({\hat x}_k, P) - Q(m_k, \tilde P)|^q\Bigr)^{1/q}

    with the measured multispectral image ``m`` of C channels, the panchromatic image P and its block means at
    the resolution of ``m``. Q is the universal image quality index (Wang and Bovik, 2002), the mean of `SSIM`
    without constants over uniform windows. The measurements belong to the metric: ``metric(x_hat)`` judges an
    image ``(batch..., C, y, x)``; one with batch dimensions may meet measurements with the same ones, or with
    none. Differentiable. It rests on the relations between channels being the same at both resolutions. That
    holds only roughly, least in small windows, so the true image need not have the largest value.

    Parameters
    ----------
    multispectral : Tensor
        The measured channels, ``(..., C, y / factor, x / factor)``, C at least 2.
    panchromatic : Tensor
        The measured high-resolution image, ``(..., 1, y, x)``.
    alpha, beta : float
        Exponents of the spectral and of the spatial term.
    p, q : float
        Exponents within the terms.
    size : int
        Side of the windows in pixels, at both resolutions.
    complex : {"magnitude"}, optional
        Must be given for a complex ``x_hat``, of which only magnitudes are taken; a real one ignores it.
    crop : int
        Must be 0: crop the measurements and the image together instead.

    Raises
    ------
    ShapeError
        If the three shapes do not fit together, or an image is smaller than the window.
    DataError
        If a measurement holds NaN or infinity.

    References
    ----------
    L. Alparone, B. Aiazzi, S. Baronti, A. Garzelli, F. Nencini, M. Selva, "Multispectral and panchromatic
    data fusion assessment without reference", Photogramm. Eng. Remote Sens. 74 (2008).
    Z. Wang, A. Bovik, "A universal image quality index", IEEE Signal Process. Lett. 9 (2002).

    Examples
    --------
    >>> x = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    >>> pan = x.mean(0, keepdim=True)
    >>> metric = QNR(multispectral=torch.nn.functional.avg_pool2d(x, 2), panchromatic=pan)
    >>> bool(metric(x) > metric(pan.expand(3, 32, 32)))
    True
    """

    higher_is_better: ClassVar[bool] = True
    dimensions: ClassVar[tuple[int, ...]] = (2,)
    magnitude_only: ClassVar[bool] = True

    multispectral: Tensor = field(repr=False)
    panchromatic: Tensor = field(repr=False)
    alpha: float = 1.0
    beta: float = 1.0
    p: float = 1.0
    q: float = 1.0
    size: int = 7

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crop:
            raise ParameterError("QNR: crop must be 0. Crop the measurements and the image together instead.")
        if min(self.alpha, self.beta) < 0 or not min(self.p, self.q) > 0:
            raise ParameterError(
                "QNR: alpha and beta must not be negative, p and q must be positive, got "
                f"{self.alpha}, {self.beta}, {self.p}, {self.q}."
            )
        if self.size < 2:
            raise ParameterError(f"QNR: size must be at least 2 pixels, got {self.size!r}.")
        for label in ("multispectral", "panchromatic"):
            image = getattr(self, label)
            check_image("QNR", label, image)
            if image.is_complex() or not bool(torch.isfinite(image).all()):
                raise DataError(f"QNR: {label} must be real and finite.")
        m, pan = self.multispectral.shape, self.panchromatic.shape
        if len(m) < 3 or m[-3] < 2 or len(pan) < 3 or pan[-3] != 1 or m[:-3] != pan[:-3]:
            raise ShapeError(
                "QNR: expected multispectral (..., C, y / factor, x / factor) with at least 2 channels and "
                f"panchromatic (..., 1, y, x), got {tuple(m)} and {tuple(pan)}."
            )
        factor = pan[-1] // m[-1] if m[-1] else 0
        if factor < 1 or (factor * m[-2], factor * m[-1]) != tuple(pan[-2:]):
            raise ShapeError(
                f"QNR: the size {tuple(pan[-2:])} of panchromatic must be a whole multiple of the size "
                f"{tuple(m[-2:])} of multispectral."
            )
        if min(m[-2:]) < self.size:
            raise ShapeError(
                f"QNR: multispectral {tuple(m[-2:])} is smaller than the window of {self.size} pixels."
            )

    def _value(self, image: Tensor) -> Tensor:
        expected = (self.multispectral.shape[-3], *self.panchromatic.shape[-2:])
        if tuple(image.shape[-3:]) != expected or (
            self.multispectral.ndim > 3 and self.multispectral.shape[:-3] != image.shape[:-3]
        ):
            raise ShapeError(
                f"QNR: measurements {tuple(self.multispectral.shape)} and {tuple(self.panchromatic.shape)} "
                f"need an image (..., {', '.join(map(str, expected))}), got {tuple(image.shape)}."
            )
        dtype, image = image.dtype, image.double()  # the index divides by variances, which may be tiny
        m, pan = self.multispectral.to(image), self.panchromatic.to(image)
        factor = pan.shape[-1] // m.shape[-1]
        coarse = F.avg_pool2d(pan.reshape(-1, *pan.shape[-3:]), factor).reshape(
            *pan.shape[:-2], *m.shape[-2:]
        )
        channels = image.shape[-3]
        first, second = torch.triu_indices(channels, channels, 1, device=image.device)
        spectral = self._index(image[..., first, :, :], image[..., second, :, :])
        spectral = spectral - self._index(m[..., first, :, :], m[..., second, :, :])
        spatial = self._index(image, pan.expand_as(image)) - self._index(m, coarse.expand_as(m))
        d_spectral, d_spatial = _power_mean(spectral, self.p), _power_mean(spatial, self.q)
        # the index lies in [-1, 1], so a distance may exceed 1: then the quality is 0
        value = (1 - d_spectral).clamp_min(0) ** self.alpha * (1 - d_spatial).clamp_min(0) ** self.beta
        return value.to(dtype)

    def _index(self, a: Tensor, b: Tensor) -> Tensor:
        """The universal image quality index of each channel."""
        # flat windows, and those of rounding errors alone, agree in structure, instead of 0 / 0
        power = (a.detach().square() + b.detach().square()).mean((-2, -1), keepdim=True)
        tiny = 1e-10 * power + torch.finfo(a.dtype).tiny
        taps = a.new_full((self.size,), 1 / self.size)
        luminance, structure = similarity(a, b, taps, tiny, tiny, 2)
        return (luminance * structure).mean((-2, -1))


def _power_mean(v: Tensor, p: float) -> Tensor:
    mean = torch.where(v == 0, 0, torch.where(v == 0, 1, v.abs()) ** p).mean(-1)
    return torch.where(mean == 0, 0, torch.where(mean == 0, 1, mean) ** (1 / p))


def _length(v: Tensor, dim: int) -> Tensor:
    squared = v.square().sum(dim)
    zero = squared == 0  # no derivative there; take zero
    return torch.where(zero, squared, torch.where(zero, 1, squared).sqrt())


def _unit(v: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The unit vectors along ``dim``, and where there is none because the vector is zero."""
    v = v / torch.where((largest := v.detach().abs().amax(dim, keepdim=True)) == 0, 1, largest)
    length = _length(v, dim)
    return v / torch.where(length == 0, 1, length).unsqueeze(dim), length == 0
