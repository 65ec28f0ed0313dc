"""Networks of diffusions that the conformance kit tests: exact ones of white Gaussian images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Module

from invcore import Physics, Space
from invcore.noises import GaussianNoise
from invcore.operators import Identity
from invcore.testing import ModelExample

from .._adapters.network import DiffusionDenoiser
from .._networks.wiener_unet import WienerUNet
from .._schedules.edm import EDM
from .._schedules.process import Process
from .._schedules.variance_preserving import Discrete, VariancePreserving


class WhiteImages(Module):
    """What a perfect network says of images of N(0, 1/4) in each pixel."""

    def __init__(self, process: Process, prediction: str) -> None:
        super().__init__()
        self.process, self.prediction = process, prediction

    def forward(self, z: Tensor, time: Tensor) -> Tensor:
        """Give the noise, or the clean image."""
        sigma = self.process.sigma(time.reshape(-1, 1, 1, 1)).to(z.dtype)
        x = z / self.process.scale(sigma)
        clean = x / (1 + 4 * sigma**2)
        return clean if self.prediction == "x0" else (x - clean) / sigma


def network() -> dict[str, object]:
    """Instances of the denoiser ``diffusion.network``."""
    ddpm = Discrete.from_betas(torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), whole=True)
    vp, edm = VariancePreserving(), EDM()
    return {
        "epsilon": DiffusionDenoiser(WhiteImages(vp, "epsilon"), vp),
        "whole steps": DiffusionDenoiser(WhiteImages(ddpm, "epsilon"), ddpm, channels=3, multiple=4),
        "x0": DiffusionDenoiser(WhiteImages(edm, "x0"), edm, prediction="x0", network_range=(0.0, 1.0)),
    }


def wiener_unet() -> dict[str, object]:
    """Instances of the model ``diffusion.wiener_unet``."""
    k = torch.arange(8, dtype=torch.float64)
    spectrum = 4 / (1 + k[:, None] ** 2 + k**2)
    network = WienerUNet(spectrum=spectrum, features=(4, 8), blocks=1).double()
    for i, p in enumerate(network.parameters()):
        p.data = 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(i), dtype=p.dtype)
    x = torch.rand((1, 8, 12), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return {
        "two scales": ModelExample(network, Physics(Identity(Space((1, 8, 12))), GaussianNoise(sigma=0.3)), x)
    }
