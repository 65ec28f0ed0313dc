"""Instances of networks as models R(y, physics), and as denoisers."""

from __future__ import annotations

import torch

from invcore import Physics, Space
from invcore.noises import GaussianNoise
from invcore.operators import Convolution, FourierTransform, Mask
from invcore.testing import ModelExample

from .._networks.unet import UNet
from .._restoration.artifact_removal import ArtifactRemoval
from .._restoration.denoiser import NetworkDenoiser
from .._restoration.gradient_step import GradientStepDenoiser
from .._restoration.ram import RAM
from .probes import initialized, picture, seeded


def artifact_removal() -> dict[str, object]:
    """Instances of the model ``learning.artifact_removal``."""
    x = picture()
    mask = (torch.rand(x.shape, generator=seeded(1)) > 0.4).double()
    physics = Physics(Mask(mask, Space(tuple(x.shape))), GaussianNoise(sigma=0.05))
    network = initialized(UNet(features=(4, 8), blocks=1))
    return {"missing pixels": ModelExample(ArtifactRemoval(network), physics, x)}


def gradient_step() -> dict[str, object]:
    """Instances of the denoiser ``learning.gradient_step``."""
    return {"average": GradientStepDenoiser(Average(), step=0.8)}


def network() -> dict[str, object]:
    """Instances of the denoiser ``learning.network``."""
    return {"average": NetworkDenoiser(Average())}


def ram() -> dict[str, object]:
    """Instances of the model ``learning.ram``."""
    x, g = picture(9, 8), seeded(1)
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, 2.0, 1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)[None] / 6
    blur = Convolution(kernel, Space((1, 9, 8)), boundary="circular")
    small = {"features": (4, 6), "blocks": 1}
    phases = torch.polar(x, 0.5 * picture(8, 9).mT)
    mask = (torch.rand(phases.shape, generator=g) > 0.3).double()
    fourier = Mask(mask, Space(tuple(x.shape), "complex")) @ FourierTransform(
        Space(tuple(x.shape), "complex")
    )
    return {
        "blur": ModelExample(
            initialized(RAM(channels=(1,), **small), seed=1),  # type: ignore[arg-type]
            Physics(blur, GaussianNoise(sigma=0.05)),
            x,
        ),
        "part of the Fourier transform": ModelExample(
            initialized(RAM(channels=(2,), **small), seed=1),  # type: ignore[arg-type]
            Physics(fourier, GaussianNoise(sigma=0.05)),
            phases,
        ),
    }


class Average(torch.nn.Module):
    """The local mean, the more of it the stronger the noise."""

    def forward(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """Denoise."""
        mean = torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        share = sigma**2 / (sigma**2 + 0.05**2)
        return torch.lerp(x, mean, share.reshape(-1, 1, 1, 1))
