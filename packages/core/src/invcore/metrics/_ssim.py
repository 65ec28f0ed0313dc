"""Structural similarity."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .._errors import ParameterError, ShapeError
from ._base import RangedComparison, image_dims


class SSIM(RangedComparison):
    """Mean structural similarity (Wang et al., 2004), in 2-D or 3-D.

    Local means, variances and covariance are taken in a sliding window; only windows that lie wholly inside
    the image count. The index is averaged over pixels and channels. With the same options it equals
    ``skimage.metrics.structural_similarity``. Differentiable.

    Parameters
    ----------
    window : {"gaussian", "uniform"}
        ``"gaussian"``: the weights of the paper, standard deviation ``sigma``, cut at 3.5 ``sigma``.
        ``"uniform"``: a square of ``size`` pixels.
    sigma : float
        Standard deviation of the Gaussian window in pixels.
    size : int
        Side of the uniform window in pixels, odd.
    k1, k2 : float
        The stabilizing constants.
    unbiased : bool
        Normalize variances by ``N - 1`` instead of ``N`` (scikit-image's ``use_sample_covariance``).

    Raises
    ------
    ShapeError
        If the images are smaller than the window.

    References
    ----------
    Z. Wang, A. Bovik, H. Sheikh, E. Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE Trans. Image Process. 13 (2004).

    Examples
    --------
    >>> x = torch.linspace(0, 1, 256).reshape(1, 16, 16)
    >>> SSIM(data_range=1.0)(x, x)
    tensor(1.)
    """

    higher_is_better: ClassVar[bool] = True

    magnitude_only: ClassVar[bool] = True

    window: Literal["gaussian", "uniform"] = "gaussian"
    sigma: float = 1.5
    size: int = 7
    k1: float = 0.01
    k2: float = 0.03
    unbiased: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window not in ("gaussian", "uniform"):
            raise ParameterError(f"SSIM: window must be 'gaussian' or 'uniform', got {self.window!r}.")
        if self.size < 3 or self.size % 2 == 0:
            raise ParameterError(
                f"SSIM: size must be an odd number of pixels, at least 3, got {self.size!r}."
            )
        _check_constants("SSIM", self.sigma, self.k1, self.k2)

    def _value(self, x_hat: Tensor, x: Tensor) -> Tensor:
        if self.window == "uniform":
            taps = x.new_full((self.size,), 1 / self.size)
        else:
            taps = gaussian_taps(self.sigma, x)
        spatial = x.shape[x.ndim - self.spatial_dims :]
        if min(spatial) < len(taps):
            raise ShapeError(
                f"SSIM: the image {tuple(spatial)} is smaller than the window of {len(taps)} pixels. "
                "Use window='uniform' with a smaller size, or a smaller sigma."
            )
        peak = self._peak(x)
        luminance, structure = similarity(
            x_hat, x, taps, (self.k1 * peak) ** 2, (self.k2 * peak) ** 2, self.spatial_dims, self.unbiased
        )
        return (luminance * structure).mean(image_dims(self.spatial_dims))


class MSSSIM(RangedComparison):
    r"""Multi-scale structural similarity (Wang et al., 2003), in 1-D to 3-D.

    .. math:: \Bigl(\frac1N \sum_i l_i c_i\Bigr)^{w_M} \prod_{j<M} \Bigl(\frac1{N_j} \sum_i c_{ij}\Bigr)^{w_j}

    The structure term ``c`` (contrast and correlation) of `SSIM` is averaged over pixels at each of M scales,
    the luminance term ``l`` counts at the coarsest one only; from scale to scale blocks of 2 pixels along
    each axis are averaged. The value is the mean over channels. A negative mean, which means anticorrelated
    structure, counts as zero. Differentiable where no mean is zero.

    Parameters
    ----------
    weights : tuple of float
        The exponent of each scale, finest first; their number is the number of scales. By default those of
        the paper, from experiments with viewers; five scales need images of 176 pixels.
    sigma : float
        Standard deviation of the Gaussian window in pixels; it is cut at 3.5 ``sigma``.
    k1, k2 : float
        The stabilizing constants.

    Raises
    ------
    ShapeError
        If the images are smaller than the window at the
        coarsest scale.

    References
    ----------
    Z. Wang, E. Simoncelli, A. Bovik, "Multiscale structural similarity for image quality assessment",
    Asilomar Conf. Signals Syst. Comput. (2003).

    Examples
    --------
    >>> x = torch.linspace(0, 1, 48 * 48).reshape(1, 48, 48)
    >>> MSSSIM(data_range=1.0, weights=(0.5, 0.5))(x, x)
    tensor(1.)
    """

    higher_is_better: ClassVar[bool] = True
    magnitude_only: ClassVar[bool] = True

    weights: tuple[float, ...] = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    sigma: float = 1.5
    k1: float = 0.01
    k2: float = 0.03

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.weights or not all(w > 0 for w in self.weights):
            raise ParameterError(f"MSSSIM: weights must be positive numbers, got {self.weights!r}.")
        _check_constants("MSSSIM", self.sigma, self.k1, self.k2)

    def _value(self, x_hat: Tensor, x: Tensor) -> Tensor:
        d = self.spatial_dims
        taps = gaussian_taps(self.sigma, x)
        spatial, least = tuple(x.shape[x.ndim - d :]), len(taps) << (len(self.weights) - 1)
        if min(spatial) < least:
            raise ShapeError(
                f"MSSSIM: {len(self.weights)} scales with a window of {len(taps)} pixels need images of "
                f"{least} pixels, got {spatial}. Give fewer weights, or a smaller sigma."
            )
        peak = self._peak(x)
        c1, c2 = (self.k1 * peak) ** 2, (self.k2 * peak) ** 2
        value: Tensor | float = 1.0
        for scale, weight in enumerate(self.weights, 1):
            luminance, structure = similarity(x_hat, x, taps, c1, c2, d)
            if scale == len(self.weights):
                structure = luminance * structure
            else:
                x_hat, x = halved(x_hat, d), halved(x, d)
            value = value * structure.mean(image_dims(d)[1:]).clamp_min(0) ** weight
        return torch.as_tensor(value).mean(-1)


def _check_constants(name: str, sigma: float, k1: float, k2: float) -> None:
    if not sigma > 0 or k1 < 0 or k2 < 0:
        raise ParameterError(
            f"{name}: sigma must be positive, k1 and k2 not negative, got {sigma}, {k1}, {k2}."
        )


def gaussian_taps(sigma: float, like: Tensor) -> Tensor:
    """A Gaussian window along one axis, cut at 3.5 ``sigma``."""
    radius = int(3.5 * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, dtype=like.dtype, device=like.device)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    return weights / weights.sum()


def halved(x: Tensor, spatial_dims: int) -> Tensor:
    """Means of blocks of two pixels along each spatial axis; an odd last one is left out."""
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[spatial_dims - 1]
    flat = pool(x.reshape(-1, 1, *x.shape[x.ndim - spatial_dims :]), 2)
    return flat.reshape(*x.shape[: x.ndim - spatial_dims], *flat.shape[2:])


def similarity(
    x_hat: Tensor,
    x: Tensor,
    taps: Tensor,
    c1: Tensor,
    c2: Tensor,
    spatial_dims: int,
    unbiased: bool = False,
) -> tuple[Tensor, Tensor]:
    """Luminance and structure of each window inside the image."""
    # second moments about the mean of each image: no cancellation when the mean is large
    dims = image_dims(spatial_dims)
    m_hat, m = (v.mean(dims, keepdim=True).detach() for v in (x_hat, x))
    a, b = x_hat - m_hat, x - m
    mean_a, mean_b, aa, bb, ab = smoothed(torch.stack((a, b, a * a, b * b, a * b)), taps, spatial_dims)
    samples = len(taps) ** spatial_dims
    scale = samples / (samples - 1) if unbiased else 1.0
    var_a, var_b = scale * (aa - mean_a.square()), scale * (bb - mean_b.square())
    covariance = scale * (ab - mean_a * mean_b)
    mean_a, mean_b = mean_a + m_hat, mean_b + m
    luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    structure = (2 * covariance + c2) / (var_a + var_b + c2)
    return luminance, structure


def smoothed(v: Tensor, taps: Tensor, spatial_dims: int) -> Tensor:
    """Separable correlation over the last ``spatial_dims`` axes, without padding."""
    conv = (F.conv1d, F.conv2d, F.conv3d)[spatial_dims - 1]
    lead = v.shape[: v.ndim - spatial_dims]
    v = v.reshape(-1, 1, *v.shape[v.ndim - spatial_dims :])
    for axis in range(spatial_dims):
        shape = [1] * (2 + spatial_dims)
        shape[2 + axis] = len(taps)
        v = conv(v, taps.reshape(shape))
    return v.reshape(*lead, *v.shape[2:])
