"""Structural similarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .._errors import ParameterError, ShapeError
from ._base import Fit, check_data_range, check_options, image_dims, prepared, range_of


@dataclass(frozen=True, kw_only=True)
class SSIM:
    """Mean structural similarity (Wang et al., 2004), in 2-D or 3-D.

    Local means, variances and covariance are taken in a sliding window; only windows that lie wholly inside
    the image count. The index is averaged over pixels and channels. With the same options it equals
    ``skimage.metrics.structural_similarity``. Differentiable.

    Parameters
    ----------
    data_range : float or "max"
        The span of possible values (1.0 for images in [0, 1]), or ``"max"`` for the largest magnitude of
        each reference, as fastMRI does. There is no default: the value depends on it.
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
    complex : {"magnitude"}, optional
        Must be given for complex images, of which only magnitudes can be compared; real ones ignore it.
    fit : {"none", "scalar"}
        ``"scalar"`` first multiplies ``x_hat`` by the number that brings it closest to ``x`` in the
        least-squares sense.
    spatial_dims : int
        Number of trailing spatial dimensions: 1, 2 or 3.

    Raises
    ------
    ShapeError
        If the images differ in shape, have no channel dimension, or are smaller than the window.
    DataError
        If the reference holds NaN or infinity, or is zero everywhere with ``data_range="max"``.
    ParameterError
        If an option is unknown, or the images are complex and ``complex`` is not given.

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

    data_range: float | Literal["max"]
    window: Literal["gaussian", "uniform"] = "gaussian"
    sigma: float = 1.5
    size: int = 7
    k1: float = 0.01
    k2: float = 0.03
    unbiased: bool = False
    complex: Literal["magnitude"] | None = None
    fit: Fit = "none"
    spatial_dims: int = 2

    def __post_init__(self) -> None:
        check_options("SSIM", self.spatial_dims, self.complex, self.fit)
        check_data_range("SSIM", self.data_range)
        if self.complex == "complex":
            raise ParameterError("SSIM compares magnitudes of complex images: complex='magnitude'.")
        if self.window not in ("gaussian", "uniform"):
            raise ParameterError(f"SSIM: window must be 'gaussian' or 'uniform', got {self.window!r}.")
        if self.size < 3 or self.size % 2 == 0:
            raise ParameterError(
                f"SSIM: size must be an odd number of pixels, at least 3, got {self.size!r}."
            )
        if not self.sigma > 0 or self.k1 < 0 or self.k2 < 0:
            raise ParameterError(
                f"SSIM: sigma must be positive, k1 and k2 not negative, got {self.sigma}, {self.k1}, {self.k2}."
            )

    def __call__(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Compare ``x_hat`` with the reference ``x``."""
        x_hat, x = prepared("SSIM", x_hat, x, self.spatial_dims, self.complex, self.fit)
        taps = self._taps(x)
        spatial = x.shape[x.ndim - self.spatial_dims :]
        if min(spatial) < len(taps):
            raise ShapeError(
                f"SSIM: the image {tuple(spatial)} is smaller than the window of {len(taps)} pixels. "
                "Use window='uniform' with a smaller size, or a smaller sigma."
            )
        dims = image_dims(self.spatial_dims)
        peak = torch.as_tensor(
            range_of(x, self.data_range, self.spatial_dims), dtype=x.dtype, device=x.device
        )
        peak = peak.reshape(*peak.shape, *(1,) * len(dims)) if peak.ndim else peak
        c1, c2 = (self.k1 * peak) ** 2, (self.k2 * peak) ** 2
        # second moments about the mean of each image: no cancellation when the mean is large
        m_hat, m = (v.mean(dims, keepdim=True).detach() for v in (x_hat, x))
        a, b = x_hat - m_hat, x - m
        mean_a, mean_b, aa, bb, ab = _smoothed(
            torch.stack((a, b, a * a, b * b, a * b)), taps, self.spatial_dims
        )
        samples = len(taps) ** self.spatial_dims
        scale = samples / (samples - 1) if self.unbiased else 1.0
        var_a, var_b = scale * (aa - mean_a.square()), scale * (bb - mean_b.square())
        covariance = scale * (ab - mean_a * mean_b)
        mean_a, mean_b = mean_a + m_hat, mean_b + m
        luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
        structure = (2 * covariance + c2) / (var_a + var_b + c2)
        return (luminance * structure).mean(dims)

    def _taps(self, like: Tensor) -> Tensor:
        """The window along one axis."""
        if self.window == "uniform":
            return torch.full((self.size,), 1 / self.size, dtype=like.dtype, device=like.device)
        radius = int(3.5 * self.sigma + 0.5)
        offsets = torch.arange(-radius, radius + 1, dtype=like.dtype, device=like.device)
        weights = torch.exp(-0.5 * (offsets / self.sigma) ** 2)
        return weights / weights.sum()


def _smoothed(v: Tensor, taps: Tensor, spatial_dims: int) -> Tensor:
    """Separable correlation over the last ``spatial_dims`` axes, without padding."""
    conv = (F.conv1d, F.conv2d, F.conv3d)[spatial_dims - 1]
    lead = v.shape[: v.ndim - spatial_dims]
    v = v.reshape(-1, 1, *v.shape[v.ndim - spatial_dims :])
    for axis in range(spatial_dims):
        shape = [1] * (2 + spatial_dims)
        shape[2 + axis] = len(taps)
        v = conv(v, taps.reshape(shape))
    return v.reshape(*lead, *v.shape[2:])
