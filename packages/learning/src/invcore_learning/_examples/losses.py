"""Instances of losses, with a small network and a problem to train it on."""

from __future__ import annotations

import torch
from torch import Tensor

import invcore
from invcore import Physics, Space
from invcore.noises import GammaNoise, GaussianMapNoise, GaussianNoise, PoissonGaussianNoise, PoissonNoise
from invcore.operators import Convolution, Identity, Mask, RandomMask
from invcore.testing import LossExample, ModelExample

from .._losses.base import Ramp, Steps, WeightedSum
from .._losses.data import MeasurementConsistency, Regularity
from .._losses.denoising import Neighbor2Neighbor, Noise2Score
from .._losses.recorruption import R2R
from .._losses.risk import ENSURE, SURE, UNSURE, UnknownVariance
from .._losses.splitting import Splitting
from .._losses.wrapped import WrappedModel
from .._networks.unet import UNet
from .probes import initialized, picture, seeded


class Filter(torch.nn.Module):
    """A filter after the adjoint, and a smooth nonlinearity."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular")
        self.second = torch.nn.Conv2d(2, 1, 3, padding=1, padding_mode="circular")
        initialized(self)

    def forward(self, y: Tensor, physics: Physics) -> Tensor:
        """Reconstruct."""
        x = physics.operator.H(y)  # type: ignore[attr-defined]
        return (
            torch.complex(self.filtered(x.real), self.filtered(x.imag))
            if x.is_complex()
            else self.filtered(x)
        )

    def filtered(self, x: Tensor) -> Tensor:
        """Of real images."""
        flat = x.reshape(-1, *x.shape[-3:])
        return x + self.second(torch.nn.functional.softplus(self.first(flat))).reshape(x.shape)


def denoise(noise: invcore.Noise, x: Tensor | None = None) -> tuple[torch.nn.Module, Physics, Tensor]:
    """A network and a problem of denoising."""
    x = picture(8, 10) if x is None else x
    return (
        Filter(),
        Physics(Identity(Space(tuple(x.shape), "complex" if x.is_complex() else "real")), noise),
        x,
    )


def inpaint(noise: invcore.Noise) -> tuple[torch.nn.Module, Physics, Tensor]:
    """A network and a problem of inpainting."""
    x = picture(8, 9)
    mask = (torch.rand(x.shape, generator=seeded(1)) > 0.3).double()
    return Filter(), Physics(Mask(mask, Space(tuple(x.shape))), noise), x


def deblur(noise: invcore.Noise) -> tuple[torch.nn.Module, Physics, Tensor]:
    """A network and a problem of deblurring."""
    x = picture(8, 9)
    kernel = torch.full((1, 3, 3), 1 / 9, dtype=torch.float64)
    return Filter(), Physics(Convolution(kernel, Space(tuple(x.shape))), noise), x


GAUSSIAN = GaussianNoise(sigma=0.1)


def consistency() -> dict[str, object]:
    """Instances of the loss ``learning.consistency``."""
    return {
        "mse": LossExample(MeasurementConsistency(), *inpaint(GAUSSIAN)),
        "mae": LossExample(MeasurementConsistency(metric="mae"), *deblur(GAUSSIAN)),
        "likelihood": LossExample(MeasurementConsistency(metric="likelihood"), *deblur(GAUSSIAN)),
    }


def ensure() -> dict[str, object]:
    """Instances of the loss ``learning.ensure``."""
    return {"columns": LossExample(ENSURE(density=torch.full((1, 1, 9), 0.7)), *inpaint(GAUSSIAN))}


def neighbor2neighbor() -> dict[str, object]:
    """Instances of the loss ``learning.neighbor2neighbor``."""
    return {
        "even": LossExample(Neighbor2Neighbor(), *denoise(GAUSSIAN)),
        "odd": LossExample(Neighbor2Neighbor(gamma=0.0), *denoise(PoissonNoise(gain=0.1), picture(7, 5))),
    }


def noise2score() -> dict[str, object]:
    """Instances of the loss ``learning.noise2score``."""
    return {
        "Gaussian": LossExample(Noise2Score(), *denoise(GAUSSIAN)),
        "Gamma": LossExample(Noise2Score(delta=(0.1, 0.1)), *denoise(GammaNoise(looks=4.0))),
    }


def r2r() -> dict[str, object]:
    """Instances of the loss ``learning.r2r``."""
    wave = torch.polar(picture(6, 6), picture(6, 6))
    levels = torch.linspace(0.05, 0.2, 9, dtype=torch.float64).expand(1, 8, 9)
    return {
        "Gaussian": LossExample(R2R(), *inpaint(GAUSSIAN)),
        "complex": LossExample(R2R(alpha=0.5), *denoise(GAUSSIAN, wave)),
        "map": LossExample(R2R(), *deblur(GaussianMapNoise(sigma=levels))),
        "Poisson": LossExample(R2R(alpha=0.3), *deblur(PoissonNoise(gain=0.05))),
        "Gamma": LossExample(R2R(alpha=0.5), *denoise(GammaNoise(looks=4.0))),
    }


def regularity() -> dict[str, object]:
    """Instances of the loss ``learning.regularity``."""
    return {"total variation": LossExample(Regularity(), *inpaint(GAUSSIAN))}


def splitting() -> dict[str, object]:
    """Instances of the loss ``learning.splitting``."""
    columns = RandomMask((8, 9), keep=0.5, axes=(1,), exact=True)
    return {
        "pixels": LossExample(Splitting(), *inpaint(GAUSSIAN)),
        "denoising": LossExample(Splitting(keep=0.5), *denoise(PoissonNoise(gain=0.1))),
        "columns": LossExample(Splitting(masks=columns, distance="l1l2", evaluate="all"), *deblur(GAUSSIAN)),
    }


def sum() -> dict[str, object]:
    """Instances of the loss ``learning.sum``."""
    both = MeasurementConsistency() + 0.1 * Regularity()
    scheduled = WeightedSum(
        (R2R(), Regularity()), (Steps((1.0, 0.5), (4,)), Ramp(start=0.1, stop=1.0, steps=5))
    )
    return {
        "two": LossExample(both, *inpaint(GAUSSIAN)),
        "scheduled": LossExample(scheduled, *inpaint(GAUSSIAN)),
    }


def sure() -> dict[str, object]:
    """Instances of the loss ``learning.sure``."""
    counts = PoissonGaussianNoise(gain=0.05, sigma=0.05)
    wave = torch.polar(picture(6, 6), picture(6, 6))
    return {
        "Gaussian": LossExample(SURE(), *inpaint(GAUSSIAN)),
        "complex": LossExample(SURE(), *denoise(GAUSSIAN, wave)),
        "Poisson": LossExample(SURE(), *deblur(PoissonNoise(gain=0.05, background=0.1))),
        "both": LossExample(SURE(second_derivative=True, tau=1e-2), *denoise(counts)),
        "in the image": LossExample(SURE(domain="image"), *inpaint(GAUSSIAN)),
    }


def unsure() -> dict[str, object]:
    """Instances of the loss ``learning.unsure``."""
    return {"denoising": LossExample(UNSURE(sigma=0.2), *denoise(GAUSSIAN))}


# -- wrapped models ---------------------------------------------------------------------------------------


def unknown_variance() -> dict[str, object]:
    """Instances of the model ``learning.unknown_variance``."""
    x = picture()
    noisy = Physics(Identity(Space(tuple(x.shape))), GaussianNoise(sigma=0.3))
    network = initialized(UNet(features=(4, 8), blocks=1))
    return {"denoising": ModelExample(UnknownVariance(network, sigma=0.1).eval(), noisy, x)}


def wrapped() -> dict[str, object]:
    """Instances of the model ``learning.wrapped``."""
    x = picture()
    noisy = Physics(Identity(Space(tuple(x.shape))), GaussianNoise(sigma=0.3))
    network = initialized(UNet(features=(4, 8), blocks=1), seed=1)
    halves = Splitting(keep=0.5, samples=2)
    return {
        "recorrupted": ModelExample(WrappedModel(network, R2R(samples=2)).eval(), noisy, x),
        "split": ModelExample(WrappedModel(network, halves).eval(), noisy, x),
    }
