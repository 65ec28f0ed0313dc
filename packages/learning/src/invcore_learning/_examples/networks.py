"""Instances of networks from images to images."""

from __future__ import annotations

from invcore import Physics, Space
from invcore.noises import GaussianNoise
from invcore.operators import Identity
from invcore.testing import ModelExample

from .._networks.unet import UNet
from .probes import initialized, picture


def unet() -> dict[str, object]:
    """Instances of the model ``learning.unet``."""
    x = picture()
    noisy = Physics(Identity(Space(tuple(x.shape))), GaussianNoise(sigma=0.3))
    level = initialized(UNet(features=(4, 8), blocks=1, noise_level=True, bias=False))
    return {
        "two scales": ModelExample(initialized(UNet(features=(4, 8), blocks=1)), noisy, x),
        "bias-free, with the noise level": ModelExample(level, noisy, x),
    }
