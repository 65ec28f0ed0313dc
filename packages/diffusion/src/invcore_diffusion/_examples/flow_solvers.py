"""Instances of solvers with a flow as their prior, and of what they are made of."""

from __future__ import annotations

import torch

from invcore import Physics, Space
from invcore.denoisers import GaussianDenoiser, GaussianMixtureDenoiser
from invcore.noises import GaussianNoise
from invcore.operators import Mask
from invcore.priors import Tikhonov
from invcore.testing import SolverExample

from .._flows.d_flow import DFlow, NoiseLength
from .._flows.flow_map import FlowMap
from .._flows.flow_prior import FlowPrior
from .._flows.pnp_flow import PnPFlow


def images() -> GaussianDenoiser:
    """Gaussian images of four pixels."""
    root = torch.tensor(
        [[1.0, 0.5, 0.2, 0.0], [0.0, 1.0, 0.5, 0.2], [0.0, 0.0, 1.0, 0.5], [0.0, 0.0, 0.0, 1.0]]
    )
    covariance = (root @ root.mT / 2).double()
    return GaussianDenoiser(mean=torch.full((1, 2, 2), 0.3).double(), covariance=covariance)


def problem() -> tuple[Physics, torch.Tensor]:
    """A weak pixel, and noise."""
    mask = torch.tensor([[[1.0, 0.9], [0.2, 0.8]]], dtype=torch.float64)
    physics = Physics(Mask(mask, Space((1, 2, 2))), GaussianNoise(sigma=0.3))
    return physics, torch.tensor([[[0.8, -0.4], [0.0, 1.1]]], dtype=torch.float64)


def flow_map() -> dict[str, object]:
    """Instances of the operator ``diffusion.flow_map``."""
    means = torch.tensor([[[[-1.0, 0.0]]], [[[1.0, 0.5]]]], dtype=torch.float64)
    covariances = 0.3 * torch.eye(2, dtype=torch.float64).expand(2, 2, 2)
    mixture = GaussianMixtureDenoiser(
        weights=torch.tensor([0.4, 0.6]).double(), means=means, covariances=covariances.contiguous()
    )
    return {
        "two modes": FlowMap(mixture, Space((1, 1, 2)), steps=4),
        "Gaussian": FlowMap(images(), Space((1, 2, 2)), steps=3, method="heun"),
    }


def pnp_flow() -> dict[str, object]:
    """Instances of the solver ``diffusion.pnp_flow``."""
    return {"weak pixel": SolverExample(PnPFlow(images(), steps=20), *problem())}


def d_flow() -> dict[str, object]:
    """Instances of the solver ``diffusion.d_flow``."""
    length = DFlow(images(), prior=NoiseLength(), weight=0.1, flow_steps=2)
    return {
        "most likely noise": SolverExample(DFlow(images(), prior=Tikhonov(), flow_steps=2), *problem()),
        "noise of typical length": SolverExample(length, *problem()),
    }


def noise_length() -> dict[str, object]:
    """Instances of the prior ``diffusion.noise_length``."""
    return {"default": NoiseLength()}


def flow_prior() -> dict[str, object]:
    """Instances of the solver ``diffusion.flow_prior``."""
    return {"weak pixel": SolverExample(FlowPrior(images(), steps=20, inner_steps=2), *problem())}
