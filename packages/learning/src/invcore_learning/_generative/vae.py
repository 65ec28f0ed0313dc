"""Variational autoencoders."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

import invcore

from .._networks.layers import require_counts


class VAE(nn.Module):
    r"""β variational autoencoder: images near a manifold of few latent variables [1]_.

    Encoder and decoder are fully connected with tanh. Trained by the loss

    .. math:: \frac{\|x - D(z)\|^2}{2 σ^2} + \frac{β}{2} \sum_j (s_j^2 + μ_j^2 - 1 - \log s_j^2), \qquad
        z = μ(x) + s(x) ⊙ \mathrm{noise}

    it switches off the latent variables that explain less than the noise. Without hidden layers, on Gaussian
    images of covariance U Λ Uᵀ, the optimum is :math:`W W^T = U_q (Λ - βσ^2)_+ U_q^T` for D(z) = W z + b.

    Data of a measurement are reconstructed on the manifold by the solver ``learning.latent``.

    Parameters
    ----------
    shape : tuple of int
        (channel, *spatial) of the images.
    latent : int
        Number q of latent variables.
    hidden : tuple of int
        Widths of the hidden layers of the encoder; the decoder has them in reverse.
    variance : float
        σ², that of the noise in each pixel.
    beta : float
        β.

    References
    ----------
    .. [1] D. P. Kingma, M. Welling, Auto-encoding variational Bayes, ICLR 2014; I. Higgins et al., β-VAE:
       learning basic visual concepts with a constrained variational framework, ICLR 2017.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> vae = VAE((1, 4, 4), latent=2, hidden=(16,))
    >>> x = torch.rand(10, 1, 4, 4, generator=g)
    >>> vae.loss(x, generator=g).shape, vae.decode(vae.encode(x)[0]).shape
    (torch.Size([10]), torch.Size([10, 1, 4, 4]))

    A reconstruction from half the pixels:

    >>> from invcore import Physics
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Mask
    >>> physics = Physics(Mask((x[0] > 0.5).float(), (1, 4, 4)), GaussianNoise(sigma=0.1))
    >>> invcore.solver("learning.latent", model=vae)(x[1] * (x[0] > 0.5), physics).shape
    torch.Size([1, 4, 4])
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        latent: int,
        hidden: tuple[int, ...] = (64, 64),
        variance: float = 1e-2,
        beta: float = 1.0,
    ) -> None:
        super().__init__()
        require_counts("VAE", latent=latent)
        if not (variance > 0 and beta > 0 and shape and min(shape) > 0):
            raise invcore.ParameterError(
                f"VAE: expected a shape, variance > 0 and beta > 0, got {shape!r}, {variance!r} and {beta!r}"
            )
        self.shape, self.latent, self.hidden = tuple(shape), latent, tuple(hidden)
        self.variance, self.beta = variance, beta
        n = math.prod(shape)
        self.encoder = _dense(n, *hidden, 2 * latent)
        self.decoder = _dense(latent, *hidden[::-1], n)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latent variables, shape (..., q), of images (..., *shape)."""
        if tuple(x.shape[x.ndim - len(self.shape) :]) != self.shape:
            raise invcore.ShapeError(f"VAE: expected images (..., *{self.shape}), got {tuple(x.shape)}")
        mean, log = self.encoder(x.flatten(x.ndim - len(self.shape))).chunk(2, dim=-1)
        return mean, torch.exp(log / 2)

    def decode(self, z: Tensor) -> Tensor:
        """Images of latent variables z, shape (..., q): shape (..., *shape)."""
        if z.shape[-1:] != (self.latent,):
            raise invcore.ShapeError(
                f"VAE: expected latent variables (..., {self.latent}), got {tuple(z.shape)}"
            )
        out: Tensor = self.decoder(z)
        return out.reshape(*z.shape[:-1], *self.shape)

    def loss(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """The loss of images (..., *shape), with one draw of the latent variables of each: shape (...)."""
        mean, spread = self.encode(x)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=generator.device)
        z = mean + spread * noise.to(mean.device)
        misfit = (self.decode(z) - x).square().flatten(x.ndim - len(self.shape)).sum(-1)
        divergence = 0.5 * (spread.square() + mean.square() - 1 - 2 * torch.log(spread)).sum(-1)
        return misfit / (2 * self.variance) + self.beta * divergence


def _dense(*sizes: int) -> nn.Sequential:
    layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.Tanh())]
    return nn.Sequential(*layers[:-1])
