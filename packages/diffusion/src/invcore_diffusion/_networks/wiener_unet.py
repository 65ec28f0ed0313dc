"""A U-Net around the Wiener filter: a prior of images that starts from their spectrum."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from invcore import ParameterError
from invcore_learning import Network, UNet


class WienerUNet(Network):
    r"""The Wiener filter of images with a known mean and spectrum, and a U-Net that corrects it.

    .. math:: D(x, σ) = W_σ x + c(σ)\, F(x, W_σ x, \ln σ), \qquad
              W_σ x = m + C^T \frac{λ}{λ + σ^2} C (x - m), \quad
              c(σ)^2 = \operatorname{mean}_k \frac{λ_k σ^2}{λ_k + σ^2}

    with the cosine transform C. W is the best linear denoiser, c its error, and F, which has unit variance
    whatever the noise, is zero at first. For a flat spectrum λ = σ_data² these are the weights of EDM [1]_;
    with the spectrum of photographs the network need not learn at high noise what is known in closed form,
    brightness and large shapes. The U-Net works on half the size: four pixels are four channels.

    Parameters
    ----------
    spectrum : Tensor, shape (n, n)
        Variances λ of the coefficients of the orthonormal cosine transform (DCT-II) of n × n images. For
        other sizes see `spectrum_at`.
    mean : float
        Of the pixels.
    features : tuple of int
        Of the scales of the U-Net.
    blocks : int
        Residual blocks on each scale, on the way down and on the way up.

    References
    ----------
    .. [1] T. Karras, M. Aittala, T. Aila, S. Laine, Elucidating the design space of diffusion-based
       generative models, NeurIPS 2022, section 5.

    Examples
    --------
    >>> network = WienerUNet(spectrum=torch.ones(4, 4), mean=0.5, features=(2, 4), blocks=1)
    >>> network(torch.ones(1, 4, 4), 1.0)[0, 0, 0]  # half way to the mean, as nothing is learned yet
    tensor(0.7500, grad_fn=<SelectBackward0>)
    """

    in_channels = out_channels = 1
    spatial_dims = 2
    noise_level = True
    spectrum: Tensor

    def __init__(
        self,
        *,
        spectrum: Tensor,
        mean: float = 0.5,
        features: tuple[int, ...] = (32, 64, 128),
        blocks: int = 2,
    ) -> None:
        super().__init__()
        if spectrum.ndim != 2 or spectrum.shape[0] != spectrum.shape[1] or not bool((spectrum > 0).all()):
            raise ParameterError(
                f"WienerUNet: spectrum must be positive, of shape (n, n), got {tuple(spectrum.shape)} with "
                f"values from {float(spectrum.min()) if spectrum.numel() else math.nan:.3g}"
            )
        self.register_buffer("spectrum", spectrum)
        self.mean, self.features, self.blocks = mean, tuple(features), blocks
        self.multiple = 2 ** len(features)
        self.unet = UNet(in_channels=12, out_channels=4, features=features, blocks=blocks)
        for p in self.unet.tail.parameters():
            torch.nn.init.zeros_(p)

    def restore(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        """See `Network.restore`."""
        assert sigma is not None
        if sigma.shape[-2:] != (1, 1):
            raise ParameterError("WienerUNet: the Wiener filter is for one noise level an image, got a map")
        power = self.spectrum_at((x.shape[-2], x.shape[-1])).to(x.dtype)
        C = [_cosines(n, x) for n in x.shape[-2:]]
        centered = x - self.mean
        shrink = power / (power + sigma**2)
        wiener = C[0].mT @ (shrink * (C[0] @ centered @ C[1].mT)) @ C[1]
        variance = power.mean()
        level = (sigma.clamp_min(1e-4).log() / 4).expand_as(x)
        seen = torch.cat([centered / (variance + sigma**2).sqrt(), wiener / variance.sqrt(), level], 1)
        F = pixel_shuffle(self.unet(pixel_unshuffle(seen, 2)), 2)
        return self.mean + wiener + (shrink * sigma**2).mean((-2, -1), keepdim=True).sqrt() * F

    def spectrum_at(self, size: tuple[int, int]) -> Tensor:
        """Return the variances (y, x) of the cosine coefficients of images of another size.

        The mean of an image has the same variance whatever the size, that of its coefficient grows with it.
        """
        log = self.spectrum.to(torch.promote_types(self.spectrum.dtype, torch.float32)).log()
        log[0, 0] += math.log(size[0] * size[1] / log.numel())
        for dim, n in enumerate(size):
            own = log.shape[dim]
            if n != own:
                at = torch.arange(n, device=log.device) * (own / n)
                low = at.long().clamp_max(own - 1)
                share = (at - low).to(log.dtype).reshape(-1, *(1,) * (1 - dim))
                high = (low + 1).clamp_max(own - 1)
                log = torch.lerp(log.index_select(dim, low), log.index_select(dim, high), share)
        return log.exp()


def _cosines(n: int, like: Tensor) -> Tensor:
    """The matrix of the orthonormal DCT-II."""
    k = torch.arange(n, device=like.device, dtype=like.dtype)
    C = (2 / n) ** 0.5 * (math.pi / n * k[:, None] * (k + 0.5)).cos()
    C[0] /= 2**0.5
    return C
