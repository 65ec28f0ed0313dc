"""Instances of solvers that fit a network to data."""

from __future__ import annotations

import torch

from invcore import Physics, Space
from invcore.noises import GaussianNoise
from invcore.operators import Mask
from invcore.testing import SolverExample

from .._generative.atlas import VAEAtlas
from .._generative.conv_decoder import ConvDecoder
from .._generative.deep_image_prior import DeepImagePrior
from .._generative.latent import Latent
from .._generative.vae import VAE
from .._networks.unet import UNet
from .probes import initialized, picture, seeded


def _masked() -> tuple[Physics, torch.Tensor]:
    """Some pixels of a picture, and their noise."""
    x = picture(6, 5)
    mask = (torch.rand(x.shape, generator=seeded(1)) > 0.3).double()
    physics = Physics(Mask(mask, Space(tuple(x.shape))), GaussianNoise(sigma=0.05))
    return physics, physics(x, generator=seeded(2))


def latent() -> dict[str, object]:
    """A decoder from several starts, and several decoders."""
    physics, y = _masked()
    vae = initialized(VAE((1, 6, 5), latent=2, hidden=(8,)))
    atlas = initialized(VAEAtlas((1, 6, 5), charts=2, latent=3, hidden=(4,)))
    return {
        "vae": SolverExample(Latent(vae, starts=2, max_steps=5), physics, y),
        "atlas": SolverExample(Latent(atlas, max_steps=5), physics, y),
    }


def deep_image_prior() -> dict[str, object]:
    """Instances of the solver ``learning.deep_image_prior``."""
    physics, y = _masked()
    unet = initialized(UNet(features=(2, 3), blocks=1))
    decoder = initialized(ConvDecoder((1, 6, 5), start=3, features=3, layers=2), seed=1)
    return {
        "unet": SolverExample(DeepImagePrior(unet, max_steps=4), physics, y),
        "decoder": SolverExample(DeepImagePrior(decoder, max_steps=4, step_size=0.02), physics, y),
    }
