"""Instances of modules around solvers."""

from __future__ import annotations

from typing import Any

import torch

import invcore
from invcore import Physics, Space
from invcore.noises import GaussianNoise, PoissonNoise
from invcore.operators import Identity, Mask, Matrix
from invcore.priors import TV, PnP, Tikhonov, WaveletL1
from invcore.solvers import FISTA, Anderson, ProximalGradient
from invcore.testing import ModelExample

from .._networks.unet import UNet
from .._restoration.denoiser import NetworkDenoiser
from .._unrolled import lista as lista_file
from .._unrolled import model_based, primal_dual, weighted
from .._unrolled import poisson_equilibrium as poisson
from .._unrolled import variational_network as variational
from .._unrolled.equilibrium import Equilibrium
from .._unrolled.unfolded_dual import UnfoldedDual
from .._unrolled.unrolled import Unrolled
from .._unrolled.weighted import PoissonMean
from .networks import noisy
from .probes import initialized, picture, seeded


def missing_pixels(x: torch.Tensor) -> Physics:
    """A mask and noise."""
    mask = (torch.rand(x.shape, generator=seeded(1)) > 0.4).double()
    return Physics(Mask(mask, Space(tuple(x.shape))), GaussianNoise(sigma=0.05))


def small() -> UNet:
    """A network that starts near the identity."""
    network = initialized(UNet(features=(4, 8), blocks=1), scale=0.2)
    assert isinstance(network, UNet)
    return network


def plugged(network: torch.nn.Module) -> ProximalGradient:
    """Proximal gradient with a network in place of the proximal operator."""
    return ProximalGradient(prior=PnP(NetworkDenoiser(network, blind=True)), weight=1.0)


def unrolled() -> dict[str, object]:
    """Instances of the model ``learning.unrolled``."""
    x = picture()
    complex_x = torch.complex(x, 1 - x)
    mask = (torch.rand(x.shape, generator=seeded(2)) > 0.4).double()
    coded = Physics(Mask(mask, Space(tuple(x.shape), "complex")), GaussianNoise(sigma=0.05))
    each = Unrolled(plugged(small()), steps=3, per_step=("prior.denoiser.network",))
    return {
        "one network": ModelExample(Unrolled(plugged(small()), steps=3), missing_pixels(x), x),
        "a network for each step": ModelExample(each, missing_pixels(x), x),
        "a weight, no network": ModelExample(
            Unrolled(FISTA(prior=TV(max_steps=20, rtol=0.1), weight=0.1), steps=6, learn=("weight",)),
            missing_pixels(x),
            x,
        ),
        "complex": ModelExample(Unrolled(plugged(small()), steps=3, checkpointed=True), coded, complex_x),
    }


def equilibrium() -> dict[str, object]:
    """Instances of the model ``learning.equilibrium``."""
    x = picture(8, 8)
    smoother = UnfoldedDual(features=4, steps=3, variant="difb", tied=True, strength=100.0, value_range=None)
    smoother.filters.data = torch.randn(smoother.filters.shape, generator=seeded(5)) / 3
    plug = ProximalGradient(prior=PnP(NetworkDenoiser(smoother), sigma=0.1), weight=1.0)
    ridge = FISTA(prior=Tikhonov(), weight=0.1, rtol=1e-7, max_steps=500)
    A = Matrix(torch.randn(12, 8, generator=seeded(3), dtype=torch.float64))
    line = torch.linspace(-1, 1, 8, dtype=torch.float64)
    return {
        "a ridge": ModelExample(
            Equilibrium(ridge, learn=("weight",)), Physics(A, GaussianNoise(sigma=0.5)), line
        ),
        "a network, Anderson": ModelExample(
            Equilibrium(Anderson(solver=plug, rtol=1e-6, max_steps=300)), missing_pixels(x), x
        ),
    }


def lista() -> dict[str, object]:
    """Instances of the model ``learning.lista``."""
    A = Matrix(torch.randn(6, 8, generator=seeded(3), dtype=torch.float64))
    sparse = torch.tensor([0, 1.0, 0, 0, -2.0, 0, 0, 0], dtype=torch.float64)
    physics = Physics(A, GaussianNoise(sigma=0.05))
    return {
        "tied": ModelExample(lista_file.LISTA(A, weight=0.05, steps=5), physics, sparse),
        "of each step": ModelExample(lista_file.LISTA(A, weight=0.05, steps=3, tied=False), physics, sparse),
    }


def modl() -> dict[str, object]:
    """Instances of the model ``learning.modl``."""
    x = picture()
    return {"missing pixels": ModelExample(model_based.modl(small(), steps=3), missing_pixels(x), x)}


def unfolded_dual() -> dict[str, object]:
    """Instances of the model ``learning.unfolded_dual``."""
    x = picture()

    line = x[:, 5]
    bank = UnfoldedDual(features=9, steps=4, strength=100.0, value_range=None)
    frame = UnfoldedDual(
        features=4, steps=2, strength=1.0, variant="cp", tight=True, tied=True, spatial_dims=1
    )
    apart = UnfoldedDual(features=5, steps=3, strength=100.0, variant="difb", apart=True)
    for network in (bank, frame, apart):
        network.filters.data = torch.randn(network.filters.shape, generator=seeded(5)) / 3
    assert apart.back is not None
    apart.back.data = apart.filters.data + torch.randn(apart.filters.shape, generator=seeded(6)) / 10
    return {
        "forward-backward": ModelExample(bank, noisy(x), x),
        "a tight frame, Chambolle-Pock": ModelExample(frame, noisy(line), line),
        "synthesis apart": ModelExample(apart, noisy(x), x),
    }


def wide(channels: int, out: int) -> torch.nn.Module:
    """A network of one scale."""
    return initialized(UNet(in_channels=channels, out_channels=out, features=(4,), blocks=1), scale=0.2)


def variational_network() -> dict[str, object]:
    """Instances of the model ``learning.variational_network``."""
    x = picture()
    model = variational.variational_network(wide(1, 1), steps=2)
    return {"missing pixels": ModelExample(model, missing_pixels(x), x)}


class Coils(invcore.LinearOperator):
    """Images times the sensitivity of each coil."""

    maps: torch.Tensor
    params = ("maps",)

    @property
    def domain(self) -> Space:
        """An image."""
        return Space((1, *self.maps.shape[-2:]), "complex")

    @property
    def range(self) -> Space:
        """One for each coil."""
        return Space(tuple(self.maps.shape[-3:]), "complex")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply."""
        return self.maps * x

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Combine."""
        return (self.maps.conj() * y).sum(-3, keepdim=True)


def e2e_varnet() -> dict[str, object]:
    """Instances of the model ``learning.e2e_varnet``."""
    x = torch.complex(picture(8, 8), 1 - picture(8, 8))
    maps = torch.randn(3, 8, 8, generator=seeded(6), dtype=torch.complex128)
    maps = maps / maps.abs().square().sum(0).sqrt()
    model = variational.E2EVarNet(variational.variational_network(wide(2, 2), steps=2), wide(2, 2))
    return {"three coils": ModelExample(model, Physics(Coils(maps), GaussianNoise(sigma=0.2)), x)}


def learned_primal_dual() -> dict[str, object]:
    """Instances of the model ``learning.learned_primal_dual``."""
    x = picture()
    model = primal_dual.learned_primal_dual(wide(3, 2), wide(4, 2), memory=2, steps=2)
    return {"missing pixels": ModelExample(model, missing_pixels(x), x)}


def poisson_mean() -> dict[str, object]:
    """Instances of the model ``learning.poisson_mean``."""
    x = 20 * picture()
    return {
        "counts": ModelExample(
            PoissonMean(features=4), Physics(Identity(Space(tuple(x.shape))), PoissonNoise()), x
        )
    }


def weighted_unrolled() -> dict[str, object]:
    """Instances of the model ``learning.weighted_unrolled``."""
    x = 40 * picture(8, 8)
    gain = 0.5 + torch.rand(x.shape, generator=seeded(4), dtype=torch.float64)
    physics = Physics(Mask(gain, Space(tuple(x.shape))), PoissonNoise())

    def model(weights: Any) -> torch.nn.Module:
        return weighted.weighted_unrolled(weights, prior=WaveletL1(levels=2), steps=3, weight=0.05)

    return {
        "learned": ModelExample(model(PoissonMean(features=4)), physics, x),
        "pearson": ModelExample(model("pearson"), physics, x),
    }


def poisson_equilibrium() -> dict[str, object]:
    """Instances of the model ``learning.poisson_equilibrium``."""
    x = 40 * picture(8, 8)
    gain = 0.5 + torch.rand(x.shape, generator=seeded(4), dtype=torch.float64)
    model = poisson.poisson_equilibrium(small(), weight=1e-3, backward="implicit", rtol=1e-7, max_steps=300)
    physics = Physics(Mask(gain, Space(tuple(x.shape))), PoissonNoise())
    return {"attenuated counts": ModelExample(model, physics, x)}
