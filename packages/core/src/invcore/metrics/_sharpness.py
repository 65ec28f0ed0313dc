"""Sharpness without a reference: the sharpness index and the blur strength."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .._errors import ParameterError, ShapeError
from ._base import Judgment


class SharpnessIndex(Judgment):
    r"""Sharpness index (Blanchet and Moisan, 2012): large for sharp images without noise or ringing.

    .. math:: -\log_{10} Φ\Bigl(\frac{\mathrm{TV}(x) - μ}{s}\Bigr), \qquad
        μ = \sqrt{2N/π} \, (a_1 + a_2), \qquad
        s^2 = \frac2π \sum_{k,l} a_k a_l \sum_z ω\Bigl(\frac{Γ_{kl}(z)}{a_k a_l}\Bigr)

    with the normal distribution function Φ, ``ω(t) = t arcsin t + √(1 - t²) - 1``, the norms ``a`` of the
    periodic differences of ``x`` along both axes, and their correlations Γ at all shifts. TV is the
    anisotropic total variation; μ and s are its mean and standard deviation for white Gaussian noise filtered
    to the power spectrum of ``x``. Destroying the phases of a sharp image makes its edges oscillate, so its
    own total variation is improbably small. A constant image has the value 0; several channels: the mean over
    channels. Values depend on the image and grow with its size: compare images of one scene. Differentiable.

    Parameters
    ----------
    periodic : bool
        Take the periodic component (Moisan, 2011) first, so that the jump between opposite borders does not
        count as an edge.
    dequantize : bool
        Shift by half a pixel along both axes first, by Fourier interpolation, which takes away the bias of
        integer gray levels.
    complex : {"magnitude"}, optional
        Must be given for a complex image, of which the magnitude is judged; a real one ignores it.

    Raises
    ------
    ShapeError
        If there is no channel dimension.

    References
    ----------
    G. Blanchet, L. Moisan, "An explicit sharpness index related to global phase coherence", ICASSP (2012).
    A. Leclaire, L. Moisan, "No-reference image quality assessment and blind deblurring with sharpness metrics
    exploiting Fourier phase information", J. Math. Imaging Vis. 52 (2015).
    L. Moisan, "Periodic plus smooth image decomposition", J. Math. Imaging Vis. 39 (2011).

    Examples
    --------
    >>> square = torch.zeros(1, 32, 32)
    >>> square[:, 8:24, 8:24] = 1.0
    >>> blurred = (square + square.roll(1, -1) + square.roll(1, -2)) / 3
    >>> bool(SharpnessIndex()(square) > SharpnessIndex()(blurred))
    True
    """

    higher_is_better: ClassVar[bool] = True
    dimensions: ClassVar[tuple[int, ...]] = (2,)
    magnitude_only: ClassVar[bool] = True

    periodic: bool = True
    dequantize: bool = False

    def _value(self, image: Tensor) -> Tensor:
        x = image - image.detach().mean((-2, -1), keepdim=True)
        x = x / torch.where((peak := x.detach().abs().amax((-2, -1), keepdim=True)) == 0, 1, peak)
        if self.periodic:
            x = _periodic_component(x)
        if self.dequantize:
            x = _shifted_by_half(x)
        differences = (x.roll(-1, -1) - x, x.roll(-1, -2) - x)
        tv = sum(d.abs().sum((-2, -1)) for d in differences)
        squares = [d.square().sum((-2, -1)) for d in differences]
        count = math.prod(x.shape[-2:])
        flat = torch.stack([s <= (count * torch.finfo(x.dtype).eps) ** 2 for s in squares])
        norms = [torch.where(f, 1, s).sqrt() for f, s in zip(flat, squares, strict=True)]
        spectra = [torch.fft.fft2(d) for d in differences]
        variance: Tensor = torch.zeros_like(squares[0])
        for k, l in ((0, 0), (1, 1), (0, 1)):
            correlation = torch.fft.ifft2(spectra[k].conj() * spectra[l]).real
            scale = norms[k] * norms[l]
            omega = _Omega.apply((correlation / scale[..., None, None]).clamp(-1, 1)).sum((-2, -1))
            variance = variance + torch.where(flat[k] | flat[l], 0, (1 if k == l else 2) * scale * omega)
        mean = sum(torch.where(f, 0, n) for f, n in zip(flat, norms, strict=True)) * math.sqrt(
            2 * count / math.pi
        )
        none = flat.all(0) | ~(variance > 0)
        deviation = torch.where(none, 1, 2 / math.pi * variance).sqrt()
        index = -torch.special.log_ndtr((tv - mean) / deviation) / math.log(10)
        return torch.where(none, 0, index).mean(-1)


class BlurStrength(Judgment):
    r"""Strength of blur (Crété et al., 2007), from 0 (sharp) to 1 (blurred).

    .. math:: \max_k \; 1 - \frac{\sum_i \max(0, |D_k x|_i - |D_k B_k x|_i)}{\sum_i |D_k x|_i}

    The image is blurred once more, by the mean ``B`` of ``size`` pixels along axis ``k``: a sharp image loses
    much of its variation ``D`` (Sobel) along that axis, a blurred one little. With the same size it equals
    ``skimage.measure.blur_effect``. Noise counts as sharpness. An axis without variation does not count, and
    an image without any has the value 1; several channels: the mean over channels. Differentiable almost
    everywhere.

    Parameters
    ----------
    size : int
        Length of the mean in pixels, odd.
    complex : {"magnitude"}, optional
        Must be given for a complex image, of which the magnitude is judged; a real one ignores it.

    Raises
    ------
    ShapeError
        If there is no channel dimension, or fewer than 4 pixels along an axis.

    References
    ----------
    F. Crété, T. Dolmiere, P. Ladret, M. Nicolas, "The blur effect: perception and estimation with a new
    no-reference perceptual blur metric", Proc. SPIE 6492 (2007).

    Examples
    --------
    >>> step = (torch.arange(32.0) >= 16).to(torch.float32).expand(1, 32, 32)
    >>> BlurStrength()(step).round(decimals=3)
    tensor(0.1820)
    """

    higher_is_better: ClassVar[bool] = False
    magnitude_only: ClassVar[bool] = True

    size: int = 11

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.size, bool) or self.size < 3 or self.size % 2 == 0:
            raise ParameterError(
                f"BlurStrength: size must be an odd number of pixels, at least 3, got {self.size!r}."
            )

    def _value(self, image: Tensor) -> Tensor:
        axes = range(-self.spatial_dims, 0)
        spatial = tuple(image.shape[image.ndim - self.spatial_dims :])
        if min(spatial) < 4:
            raise ShapeError(f"BlurStrength: at least 4 pixels are needed along each axis, got {spatial}.")
        values = []
        for axis in axes:
            mean = _along(image, axis, image.new_full((self.size,), 1 / self.size))
            sharp, blurred = (_inner(_sobel(v, axis, axes).abs(), axes) for v in (image, mean))
            total = sharp.sum(tuple(axes))
            lost = (sharp - blurred).clamp_min(0).sum(tuple(axes))
            flat = total == 0
            values.append(torch.where(flat, -1, 1 - lost / torch.where(flat, 1, total)))
        strength = torch.stack(values).amax(0)
        return torch.where(strength < 0, 1, strength).mean(-1)


class _Omega(torch.autograd.Function):
    """``ω(t) = t arcsin t + √(1 - t²) - 1`` with its derivative ``arcsin t``, finite at ±1 too."""

    @staticmethod
    def forward(ctx: Any, t: Tensor) -> Tensor:
        ctx.save_for_backward(t)
        return t * torch.asin(t) + (1 - t.square()).sqrt() - 1

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (t,) = ctx.saved_tensors
        return grads[0] * torch.asin(t)


def _periodic_component(x: Tensor) -> Tensor:
    """``x`` less the smooth image whose periodic Laplacian is that of the jumps between opposite borders."""
    jumps = torch.zeros_like(x)
    across, down = x[..., :, -1] - x[..., :, 0], x[..., -1, :] - x[..., 0, :]
    edge_x, edge_y = torch.zeros_like(x), torch.zeros_like(x)
    edge_x[..., :, 0], edge_x[..., :, -1] = across, -across
    edge_y[..., 0, :], edge_y[..., -1, :] = down, -down
    jumps = edge_x + edge_y
    rows, columns = x.shape[-2:]
    turns = [
        2 * torch.cos(2 * math.pi * torch.arange(n, dtype=x.dtype, device=x.device) / n)
        for n in (rows, columns)
    ]
    laplacian = turns[0][:, None] + turns[1] - 4
    laplacian[0, 0] = 1
    spectrum = torch.fft.fft2(jumps) / laplacian
    keep = torch.ones_like(laplacian)
    keep[0, 0] = 0
    return x - torch.fft.ifft2(spectrum * keep).real


def _shifted_by_half(x: Tensor) -> Tensor:
    """Shift ``x`` by half a pixel along both axes; Nyquist frequencies, which cannot be shifted, vanish."""
    spectrum = torch.fft.fft2(x)
    for axis in (-2, -1):
        n = x.shape[axis]
        phase = math.pi * torch.fft.fftfreq(n, dtype=x.dtype, device=x.device)
        factor = torch.polar(torch.ones_like(phase), phase)
        if n % 2 == 0:
            factor[n // 2] = 0
        spectrum = spectrum * (factor[:, None] if axis == -2 else factor)
    return torch.fft.ifft2(spectrum).real


def _along(x: Tensor, axis: int, taps: Tensor) -> Tensor:
    """Correlation along one axis; the image is mirrored at the border, the border pixel repeated."""
    moved = x.movedim(axis, -1)
    flat = moved.reshape(-1, 1, moved.shape[-1])
    reach, n = len(taps) // 2, moved.shape[-1]
    index = torch.arange(-reach, n + reach, device=x.device) % (2 * n)
    index = torch.where(index < n, index, 2 * n - 1 - index)
    out = F.conv1d(flat[..., index], taps.reshape(1, 1, -1))
    return out.reshape(moved.shape).movedim(-1, axis)


def _inner(x: Tensor, axes: range) -> Tensor:
    """``x`` without the first two and the last pixel along each axis, as scikit-image takes it."""
    for axis in axes:
        x = x.narrow(axis, 2, x.shape[axis] - 3)
    return x


def _sobel(x: Tensor, axis: int, axes: range) -> Tensor:
    """The Sobel derivative along ``axis``, smoothed along the other ``axes``."""
    out = _along(x, axis, torch.tensor([-0.5, 0.0, 0.5], dtype=x.dtype, device=x.device))
    for other in axes:
        if other != axis:
            out = _along(out, other, torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device))
    return out
