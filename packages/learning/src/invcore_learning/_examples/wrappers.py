"""Instances of networks for complex images, volumes and large images."""

from __future__ import annotations

import torch

from invcore import Physics, Space
from invcore.noises import GaussianNoise
from invcore.operators import Identity
from invcore.testing import ModelExample

from .._networks.drunet import DRUNet
from .._networks.unet import UNet
from .._networks.wrappers import ComplexNetwork, Slices, TiledNetwork
from .networks import noisy
from .probes import initialized, picture


def complex() -> dict[str, object]:  # the name of the component
    """Instances of the model ``learning.complex``."""
    x = torch.polar(picture(8, 9), 0.5 * picture(9, 8).mT)
    physics = Physics(Identity(Space(tuple(x.shape), "complex")), GaussianNoise(sigma=0.3))
    channels = {"in_channels": 2, "out_channels": 2, "features": (4, 8), "blocks": 1}
    level = DRUNet(**channels)  # type: ignore[arg-type]
    plain = UNet(**channels)  # type: ignore[arg-type]
    return {
        "phase-equivariant": ModelExample(
            initialized(ComplexNetwork(plain, phase_equivariant=True)), physics, x
        ),
        "with the noise level": ModelExample(initialized(ComplexNetwork(level)), physics, x),
    }


def slices() -> dict[str, object]:
    """Instances of the model ``learning.slices``."""
    x = torch.stack([picture(7, 8), 1 - picture(7, 8), picture(7, 8) ** 2], dim=2)
    return {
        "middle axis": ModelExample(
            Slices(initialized(DRUNet(features=(4, 8), blocks=1)), axis=1), noisy(x), x
        )
    }


def tiled() -> dict[str, object]:
    """Instances of the model ``learning.tiled``."""
    x = picture(13, 11)
    network = initialized(DRUNet(features=(4, 8), blocks=1))
    return {"four tiles": ModelExample(TiledNetwork(network, tile=8, margin=3), noisy(x), x)}
