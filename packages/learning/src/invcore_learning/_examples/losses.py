"""Instances of losses, with a small network and a problem to train it on."""

from __future__ import annotations

import torch
from torch import Tensor

import invcore
from invcore import Physics, Space
from invcore.noises import (
    GammaNoise,
    GaussianMapNoise,
    GaussianNoise,
    NoNoise,
    PoissonGaussianNoise,
    PoissonNoise,
)
from invcore.operators import Convolution, Identity, Mask, RandomMask
from invcore.testing import LossExample, ModelExample

from .._losses.adversarial import DiscriminatorLoss, GeneratorLoss
from .._losses.base import Ramp, Steps, WeightedSum
from .._losses.data import MeasurementConsistency, Regularity
from .._losses.denoising import Neighbor2Neighbor, Noise2Score
from .._losses.equivariant import (
    AugmentConsistency,
    EquivariantImaging,
    EquivariantSplitting,
    MultiOperator,
)
from .._losses.jacobian import JacobianNorm
from .._losses.kspace import DensityMask, FrameMask, WeightedSplitting
from .._losses.kspace import artifact2artifact as artifact2artifact_loss
from .._losses.kspace import phase2phase as phase2phase_loss
from .._losses.kspace import ssdu as ssdu_loss
from .._losses.recorruption import R2R
from .._losses.risk import ENSURE, SURE, UNSURE, UnknownVariance
from .._losses.splitting import Splitting
from .._losses.splitting import partial_measurements as partial_measurements_loss
from .._losses.wrapped import WrappedModel
from .._networks.unet import UNet
from .._transforms.grid import Reflect, Shift
from .._transforms.perturb import AddNoise
from .._transforms.rotate import Rotate
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


def augment_consistency() -> dict[str, object]:
    """Instances of the loss ``learning.augment_consistency``."""
    both = AugmentConsistency(transform=Shift(), perturbation=AddNoise(sigma=0.05))
    return {
        "both": LossExample(both, *inpaint(GAUSSIAN)),
        "turns": LossExample(AugmentConsistency(transform=Reflect(), seed=1, stop=False), *deblur(GAUSSIAN)),
    }


def equivariant() -> dict[str, object]:
    """Instances of the loss ``learning.equivariant``."""
    network, physics, x = inpaint(GAUSSIAN)
    others = (physics, physics.bind(mask=physics.parameters()["mask"].flip(-1)))
    counts = EquivariantImaging(transform=Reflect(), metric="mae", stop=True)
    return {
        "shifts": LossExample(EquivariantImaging(transform=Shift()), network, physics, x),
        "two operators": LossExample(
            EquivariantImaging(transform=Rotate(step=0.0, limit=0.3), physics=others, noise=False),
            network,
            physics,
            x,
        ),
        "Poisson": LossExample(counts, Softplus(), *deblur(PoissonNoise(gain=0.05))[1:]),
    }


class Softplus(Filter):
    """A network that gives positive images."""

    def filtered(self, x: Tensor) -> Tensor:
        """Of real images."""
        return torch.nn.functional.softplus(super().filtered(x))


def equivariant_splitting() -> dict[str, object]:
    """Instances of the loss ``learning.equivariant_splitting``."""
    loss = EquivariantSplitting(transform=Shift(), keep=0.6, consistency=0.5)
    return {"shifts": LossExample(loss, *inpaint(GAUSSIAN))}


def multi_operator() -> dict[str, object]:
    """Instances of the loss ``learning.multi_operator``."""
    network, physics, x = inpaint(GAUSSIAN)
    masks = RandomMask((8, 9), keep=0.6)
    others = (physics.bind(mask=physics.parameters()["mask"].flip(-1)), deblur(GAUSSIAN)[1])
    return {
        "masks": LossExample(MultiOperator(generate=masks), network, physics, x),
        "two": LossExample(MultiOperator(physics=others, stop=True), network, physics, x),
    }


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
        "both": LossExample(SURE(second_derivative=True), *denoise(counts)),
        "in the image": LossExample(SURE(domain="image"), *inpaint(GAUSSIAN)),
    }


def unsure() -> dict[str, object]:
    """Instances of the loss ``learning.unsure``."""
    return {"denoising": LossExample(UNSURE(sigma=0.2), *denoise(GAUSSIAN))}


# -- k-space ----------------------------------------------------------------------------------------------


def film() -> tuple[torch.nn.Module, Physics, Tensor]:
    """A network and a problem of an inpainted sequence."""
    x = picture(6, 7).expand(6, 6, 7)[None] * torch.linspace(0.5, 1, 6, dtype=torch.float64)[:, None, None]
    mask = (torch.rand(x.shape, generator=seeded(1)) > 0.3).double()
    return Frames(), Physics(Mask(mask, Space(tuple(x.shape))), GAUSSIAN), x


class Frames(Filter):
    """Each frame on its own."""

    def filtered(self, x: Tensor) -> Tensor:
        """Of real sequences."""
        return super().filtered(x.movedim(-4, -3)).movedim(-3, -4)


def ssdu() -> dict[str, object]:
    """Instances of the loss ``learning.ssdu``."""
    return {"pixels": LossExample(ssdu_loss((8, 9), center=2), *inpaint(GAUSSIAN))}


def partial_measurements() -> dict[str, object]:
    """Instances of the loss ``learning.partial_measurements``."""
    return {"pixels": LossExample(partial_measurements_loss(keep=0.7), *inpaint(NoNoise()))}


def phase2phase() -> dict[str, object]:
    """Instances of the loss ``learning.phase2phase``."""
    return {"six frames": LossExample(phase2phase_loss(6), *film())}


def artifact2artifact() -> dict[str, object]:
    """Instances of the loss ``learning.artifact2artifact``."""
    return {"six frames": LossExample(artifact2artifact_loss(6), *film())}


def weighted_splitting() -> dict[str, object]:
    """Instances of the loss ``learning.weighted_splitting``."""
    p = torch.linspace(0.4, 1, 9, dtype=torch.float64)[None, None]
    q = torch.full((1, 1, 9), 0.6, dtype=torch.float64)
    return {
        "weighted": LossExample(WeightedSplitting(sampling=p, seen=q), *inpaint(GAUSSIAN)),
        "robust": LossExample(WeightedSplitting(sampling=p, seen=q, alpha=1.0), *inpaint(GAUSSIAN)),
    }


def mask_density() -> dict[str, object]:
    """Instances of the generator ``learning.mask_density``."""
    return {"ramp": DensityMask(torch.linspace(0, 1, 12).reshape(3, 4))}


def mask_frames() -> dict[str, object]:
    """Instances of the generator ``learning.mask_frames``."""
    return {"alternate": FrameMask(5), "one": FrameMask(7, size=2, keep="one")}


# -- adversarial, Jacobian --------------------------------------------------------------------------------


class Critic(torch.nn.Module):
    """Scores of patches."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(1, 3, 3), torch.nn.Conv2d(3, 1, 3)
        initialized(self).double()

    def forward(self, x: Tensor) -> Tensor:
        """Score."""
        return self.second(torch.nn.functional.softplus(self.first(x)))


def adversarial() -> dict[str, object]:
    """Instances of the loss ``learning.adversarial``."""
    return {
        "images": LossExample(GeneratorLoss(discriminator=Critic()), *inpaint(GAUSSIAN)),
        "measurements": LossExample(GeneratorLoss(discriminator=Critic(), of="data"), *inpaint(GAUSSIAN)),
        "UAIR": LossExample(
            GeneratorLoss(discriminator=Critic(), of="data", consistency=0.5), *deblur(GAUSSIAN)
        ),
    }


def discriminator() -> dict[str, object]:
    """Instances of the loss ``learning.discriminator``."""
    return {
        "images": LossExample(DiscriminatorLoss(discriminator=Critic()), *inpaint(GAUSSIAN)),
        "measurements": LossExample(DiscriminatorLoss(discriminator=Critic(), of="data"), *deblur(GAUSSIAN)),
    }


class Uneven(Filter):
    """Larger towards one corner, so that the largest singular value of its Jacobian stands out."""

    def filtered(self, x: Tensor) -> Tensor:
        """Of real images."""
        h, w = x.shape[-2:]
        rows, columns = (torch.arange(1, n + 1, dtype=x.dtype, device=x.device) for n in (h, w))
        return super().filtered(x) * rows[:, None] * columns


def jacobian_norm() -> dict[str, object]:
    """Instances of the loss ``learning.jacobian_norm``."""
    _, physics, x = denoise(GAUSSIAN, picture(2, 3))
    return {
        "spectral": LossExample(JacobianNorm(steps=40), Uneven(), physics, x),
        "firm": LossExample(JacobianNorm(firm=True, steps=40), Uneven(), physics, x),
    }


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
