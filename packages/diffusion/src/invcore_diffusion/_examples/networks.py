"""Networks of diffusions that the conformance kit tests: exact ones of white Gaussian images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Module

from .._adapters.network import DiffusionDenoiser
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
