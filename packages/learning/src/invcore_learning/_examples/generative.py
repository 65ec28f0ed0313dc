"""Instances of solvers that fit a network to data."""

from __future__ import annotations

import torch

from invcore import Physics, Space
from invcore.noises import GaussianNoise
from invcore.operators import Mask
from invcore.testing import SolverExample

from .._generative.conv_decoder import ConvDecoder
from .._generative.deep_image_prior import DeepImagePrior
from .._networks.unet import UNet
from .probes import initialized, picture, seeded


def deep_image_prior() -> dict[str, object]:
    """Instances of the solver ``learning.deep_image_prior``."""
    x = picture(6, 5)
    mask = (torch.rand(x.shape, generator=seeded(1)) > 0.3).double()
    physics = Physics(Mask(mask, Space(tuple(x.shape))), GaussianNoise(sigma=0.05))
    y = physics(x, generator=seeded(2))
    unet = initialized(UNet(features=(2, 3), blocks=1))
    decoder = initialized(ConvDecoder((1, 6, 5), start=3, features=3, layers=2), seed=1)
    return {
        "unet": SolverExample(DeepImagePrior(unet, max_steps=4), physics, y),
        "decoder": SolverExample(DeepImagePrior(decoder, max_steps=4, step_size=0.02), physics, y),
    }
