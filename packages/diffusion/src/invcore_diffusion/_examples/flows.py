"""Instances of flows."""

from __future__ import annotations

from typing import Any

import torch

from invcore import Physics, Space
from invcore.denoisers import GaussianDenoiser
from invcore.noises import GaussianNoise
from invcore.operators import Identity
from invcore.testing import LossExample, ModelExample

from .._flows.distribution_matching import DistributionMatching
from .._flows.matching import FlowMatching
from .._flows.score_matching import ScoreMatching
from .._flows.velocity import FromVelocity, Velocity
from .._flows.velocity import empirical_flow as empirical
from .._flows.velocity import gaussian_flow as gaussian

SIDE = 6


def fields(number: int, seed: int = 0) -> torch.Tensor:
    """Smooth random images (number, 1, 6, 6)."""
    g = torch.Generator().manual_seed(seed)
    white = torch.randn((number, 1, SIDE, SIDE), generator=g, dtype=torch.float64)
    return sum(white.roll((i, j), (-2, -1)) for i in range(2) for j in range(2)) / 2  # type: ignore[return-value]


def spectrum() -> torch.Tensor:
    """Power of the images of `fields`."""
    k = torch.fft.fftfreq(SIDE, dtype=torch.float64) * torch.pi
    return (4 * k.cos().square()[:, None] * k.cos().square())[None]


def denoising(sigma: float = 0.5) -> Physics:
    """White noise."""
    return Physics(Identity(Space((1, SIDE, SIDE))), GaussianNoise(sigma=sigma))


class Network(torch.nn.Module):
    """A small velocity network, smooth in everything; as a model it sees data in place of the time."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular")
        self.second = torch.nn.Conv2d(3, 1, 3, padding=1, padding_mode="circular")
        for i, p in enumerate(self.parameters()):
            p.data = 0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(i))

    def forward(self, x: torch.Tensor, t: torch.Tensor | Physics) -> torch.Tensor:
        """The velocity."""
        flat = x.reshape(-1, *x.shape[-3:])
        when = 0.5 * torch.ones_like(flat) if isinstance(t, Physics) else t[:, None, None, None]
        both = torch.cat([flat, when.expand_as(flat)], 1)
        return self.second(torch.tanh(self.first(both))).reshape(x.shape)


class Averaging(torch.nn.Module):
    """The velocity of the denoiser x + w (average of the neighbors - x), w = σ²/(1 + σ²)."""

    def forward(self, z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The velocity."""
        t = t.reshape(-1, 1, 1, 1)
        shifts = [z.roll(s, dim) for s in (-1, 0, 1) for dim in (-2, -1)]
        away = sum(shifts) / len(shifts) - z
        return z / t + (1 - t) / (t * (t**2 + (1 - t) ** 2)) * away


def from_velocity() -> dict[str, object]:
    """Instances of the denoiser ``diffusion.from_velocity``."""
    return {"average": FromVelocity(Averaging(), value_range=(-1.0, 1.0))}


def to_velocity() -> dict[str, object]:
    """Instances of the model ``diffusion.to_velocity``."""
    D = GaussianDenoiser(mean=torch.full((1, SIDE, SIDE), 0.5).double(), spectrum=spectrum())
    return {"Gaussian": ModelExample(Velocity(D), denoising(), fields(1)[0])}


def empirical_flow() -> dict[str, object]:
    """Instances of the model ``diffusion.empirical_flow``."""
    return {"twelve images": ModelExample(empirical(fields(12)), denoising(2.0), fields(12)[3])}


def gaussian_flow() -> dict[str, object]:
    """Instances of the model ``diffusion.gaussian_flow``."""
    flow = gaussian(mean=torch.zeros(1, SIDE, SIDE).double(), spectrum=spectrum())
    return {"stationary": ModelExample(flow, denoising(), fields(1)[0])}


def flow_matching() -> dict[str, object]:
    """Instances of the loss ``diffusion.flow_matching``."""
    problem = (Network().double(), denoising(), fields(1)[0])
    images = fields(8, seed=1)
    return {
        "independent": LossExample(FlowMatching(), *problem),
        "closed form of some": LossExample(FlowMatching(closed_form=4, images=images), *problem),
        "closed form of all": LossExample(FlowMatching(closed_form=8, images=images), *problem),
    }


class Shrinking(torch.nn.Module):
    """A denoiser x / (1 + a σ²); as a model it is for the level 0.5."""

    def __init__(self) -> None:
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def forward(self, x: torch.Tensor, sigma: torch.Tensor | Physics) -> torch.Tensor:
        """The clean image."""
        level: Any = 0.5 if isinstance(sigma, Physics) else sigma[:, None, None, None]
        return x / (1 + self.a * level**2)


def score_matching() -> dict[str, object]:
    """Instances of the loss ``diffusion.score_matching``."""
    return {"shrinkage": LossExample(ScoreMatching(), Shrinking(), denoising(), fields(1)[0])}


def distribution_matching() -> dict[str, object]:
    """Instances of the loss ``diffusion.distribution_matching``."""
    zero = torch.zeros(1, SIDE, SIDE, dtype=torch.float64)
    wanted, now = (gaussian(mean=zero + m, spectrum=spectrum()) for m in (0.5, 0.0))
    loss = DistributionMatching(observed=wanted, current=now)
    return {"Gaussian": LossExample(loss, Network().double(), denoising(), fields(1)[0])}
