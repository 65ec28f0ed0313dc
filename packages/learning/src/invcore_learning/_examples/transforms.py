"""Instances of transforms, and of what is made equivariant to them."""

from __future__ import annotations

import math

import torch

from invcore import Physics, Space
from invcore.denoisers import WaveletDenoiser
from invcore.noises import GaussianNoise
from invcore.operators import Mask
from invcore.testing import ModelExample

from .._networks.unet import UNet
from .._restoration.artifact_removal import ArtifactRemoval
from .._transforms.base import Chain, Choice
from .._transforms.equivariance import EquivariantDenoiser, EquivariantModel, Transformed
from .._transforms.grid import Reflect, Shift, TimeShift
from .._transforms.perturb import AddNoise, PhaseError
from .._transforms.rotate import Rotate
from .._transforms.warp import Diffeomorphism, Homography, Scale
from .probes import initialized, picture, seeded


def shift() -> dict[str, object]:
    """Instances of the transform ``learning.shift``."""
    return {"any": Shift(), "line": Shift(limit=2, spatial_dims=1), "volume": Shift(spatial_dims=3)}


def reflect() -> dict[str, object]:
    """Instances of the transform ``learning.reflect``."""
    return {"both": Reflect(), "one of a volume": Reflect(axes=(-3,), spatial_dims=3)}


def time_shift() -> dict[str, object]:
    """Instances of the transform ``learning.time_shift``."""
    return {"wrapped": TimeShift(), "short": TimeShift(limit=1)}


def rotate() -> dict[str, object]:
    """Instances of the transform ``learning.rotate``."""
    return {
        "quarter turns": Rotate(),
        "half turns": Rotate(step=math.pi),
        "shear": Rotate(step=0.0, method="shear"),
        "any": Rotate(step=0.0),
        "volume": Rotate(spatial_dims=3),
    }


def scale() -> dict[str, object]:
    """Instances of the transform ``learning.scale``."""
    return {"smaller": Scale(low=0.75, center=0.1), "larger": Scale(low=1.0, high=1.3, center=0.0)}


def homography() -> dict[str, object]:
    """Instances of the transform ``learning.homography``."""
    small = {"shift": 0.1, "tilt": 0.1, "zoom": 1.1, "skew": 0.1}
    families = ("projective", "affine", "similarity", "euclidean", "pan_tilt_rotate")
    return {family: Homography(family=family, **small) for family in families}  # type: ignore[arg-type]


def diffeomorphism() -> dict[str, object]:
    """Instances of the transform ``learning.diffeomorphism``."""
    return {"smooth": Diffeomorphism(), "rough": Diffeomorphism(modes=4, strength=0.02)}


def add_noise() -> dict[str, object]:
    """Instances of the transform ``learning.add_noise``."""
    return {"white": AddNoise()}


def phase_error() -> dict[str, object]:
    """Instances of the transform ``learning.phase_error``."""
    return {"echo-planar": PhaseError(scale=1.0)}


def chain() -> dict[str, object]:
    """Instances of the transform ``learning.chain``."""
    return {"dihedral": Chain(transforms=(Rotate(), Reflect(axes=(-1,)))), "noisy": AddNoise() @ Shift()}


def choice() -> dict[str, object]:
    """Instances of the transform ``learning.choice``."""
    return {"two": Choice(transforms=(Shift(limit=2), Reflect()))}


# -- made equivariant -------------------------------------------------------------------------------------


def transformed() -> dict[str, object]:
    """Instances of the operator ``learning.transformed``."""
    space = Space((1, 5, 6))
    shifts = Shift().draw((), generator=seeded(0))
    tilt = Homography(family="affine").draw(generator=seeded(1))
    return {
        "shift": Transformed(transform=Shift(), element=shifts, domain=space),
        "affine, inverted": Transformed(
            transform=Homography(), element=tilt, domain=Space((1, 7, 6), "complex"), inverted=True
        ),
    }


def equivariant_denoiser() -> dict[str, object]:
    """Instances of the denoiser ``learning.equivariant_denoiser``."""
    wavelet = WaveletDenoiser(wavelet="haar", levels=1)
    return {
        "reflections": EquivariantDenoiser(wavelet, Reflect()),
        "a random shift": EquivariantDenoiser(wavelet, Shift(limit=3), draw="random"),
    }


def equivariant_model() -> dict[str, object]:
    """Instances of the model ``learning.equivariant_model``."""
    x = picture(8, 8)
    mask = (torch.rand(x.shape, generator=seeded(1)) > 0.4).double()
    physics = Physics(Mask(mask, Space(tuple(x.shape))), GaussianNoise(sigma=0.05))
    network = ArtifactRemoval(initialized(UNet(features=(4, 8), blocks=1), seed=2))
    return {"quarter turns": ModelExample(EquivariantModel(network).eval(), physics, x)}
