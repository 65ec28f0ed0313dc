"""Instances of networks from images to images."""

from __future__ import annotations

import torch

from invcore import Physics, Space
from invcore.noises import GaussianMapNoise, GaussianNoise
from invcore.operators import Identity, Mask
from invcore.testing import ModelExample

from .._networks.deep_linear import DeepLinear
from .._networks.dncnn import DnCNN
from .._networks.drunet import DRUNet
from .._networks.ffdnet import FFDNet
from .._networks.restormer import Restormer
from .._networks.unet import UNet
from .probes import initialized, picture


def noisy(x: torch.Tensor) -> Physics:
    """Noise on images of the shape of ``x``."""
    return Physics(Identity(Space(tuple(x.shape))), GaussianNoise(sigma=0.3))


def unet() -> dict[str, object]:
    """Instances of the model ``learning.unet``."""
    x = picture()
    level = initialized(UNet(features=(4, 8), blocks=1, noise_level=True, bias=False))
    return {
        "two scales": ModelExample(initialized(UNet(features=(4, 8), blocks=1)), noisy(x), x),
        "bias-free, with the noise level": ModelExample(level, noisy(x), x),
    }


def deep_linear() -> dict[str, object]:
    """Instances of the model ``learning.deep_linear``."""
    x = picture(3, 4)
    A = Mask(torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=torch.float64).expand(1, 3, 4), Space((1, 3, 4)))
    physics = Physics(A, GaussianNoise(sigma=0.05))
    return {"three factors": ModelExample(initialized(DeepLinear(12, 12, width=6), scale=1.0), physics, x)}


def dncnn() -> dict[str, object]:
    """Instances of the model ``learning.dncnn``."""
    x, line = picture(), picture()[:, 5]
    color = torch.cat([x, 1 - x, x**2])
    in_color = DnCNN(in_channels=3, out_channels=3, depth=3, features=4, bias=False)
    return {
        "gray": ModelExample(initialized(DnCNN(depth=3, features=4)), noisy(x), x),
        "color, bias-free": ModelExample(initialized(in_color), noisy(color), color),
        "1-D": ModelExample(initialized(DnCNN(depth=3, features=4, spatial_dims=1)), noisy(line), line),
    }


def ffdnet() -> dict[str, object]:
    """Instances of the model ``learning.ffdnet``."""
    x = picture(12, 11)
    return {"gray": ModelExample(initialized(FFDNet(depth=3, features=8), seed=1), noisy(x), x)}


def restormer() -> dict[str, object]:
    """Instances of the model ``learning.restormer``."""
    x = picture(8, 7)
    network = Restormer(features=4, blocks=(1, 1, 1), heads=(1, 2, 2), refinement=1)
    for i, p in enumerate(initialized(network).parameters()):
        p.data = p.data if p.ndim == 4 else torch.full_like(p, 0.5 + 0.01 * i)
    return {"three scales": ModelExample(network, noisy(x), x)}


def drunet() -> dict[str, object]:
    """Instances of the model ``learning.drunet``."""
    x = picture(12, 11)
    levels = (0.1 + 0.3 * picture(11, 12).mT).contiguous()
    uneven = Physics(Identity(Space(tuple(x.shape))), GaussianMapNoise(sigma=levels))
    elu = initialized(DRUNet(features=(4, 8), blocks=1, activation="elu"))
    return {
        "two scales": ModelExample(initialized(DRUNet(features=(4, 8), blocks=1)), noisy(x), x),
        "map of the noise level": ModelExample(elu, uneven, x),
    }
