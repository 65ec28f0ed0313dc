"""What a metric is, and the preparation that all metrics share."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from .._errors import DataError, DtypeError, ParameterError, ShapeError

ComplexPolicy = Literal["magnitude", "complex"]
Fit = Literal["none", "scalar"]


@runtime_checkable
class Metric(Protocol):
    """Anything that compares a reconstruction with a reference, one value per sample.

    ``metric(x_hat, x)`` takes two images ``(batch..., channel, *spatial)`` and returns ``(batch...)``.
    """

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value means a better reconstruction."""
        ...

    def __call__(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Compare ``x_hat`` with the reference ``x``."""
        ...


def check_options(name: str, spatial_dims: int, complex: str | None, fit: str) -> None:
    """Validate the options that all metrics have."""
    if spatial_dims not in (1, 2, 3):
        raise ParameterError(f"{name}: spatial_dims must be 1, 2 or 3, got {spatial_dims!r}.")
    if complex not in (None, "magnitude", "complex"):
        raise ParameterError(f"{name}: complex must be 'magnitude' or 'complex', got {complex!r}.")
    if fit not in ("none", "scalar"):
        raise ParameterError(f"{name}: fit must be 'none' or 'scalar', got {fit!r}.")


def check_data_range(name: str, data_range: float | str) -> None:
    """Validate ``data_range``: a positive number or ``"max"``."""
    if isinstance(data_range, bool) or not (
        data_range == "max" or (isinstance(data_range, int | float) and 0 < data_range < float("inf"))
    ):
        raise ParameterError(
            f"{name}: data_range must be a positive number or 'max' (the largest magnitude of each reference), "
            f"got {data_range!r}."
        )


def prepared(
    name: str, x_hat: Tensor, x: Tensor, spatial_dims: int, complex: str | None, fit: str
) -> tuple[Tensor, Tensor]:
    """Validate a pair of images, apply the complex policy and the fit."""
    for label, image in (("x_hat", x_hat), ("x", x)):
        if not isinstance(image, Tensor):
            raise DtypeError(f"{name}: {label} must be a torch.Tensor, got {type(image).__name__}.")
        if not (image.is_floating_point() or image.is_complex()):
            raise DtypeError(
                f"{name}: {label} must be floating point or complex, got {image.dtype}. Convert with .float()."
            )
    if x_hat.shape != x.shape:
        raise ShapeError(
            f"{name}: x_hat and x must have the same shape, got {tuple(x_hat.shape)} and {tuple(x.shape)}."
        )
    if x.ndim < spatial_dims + 1 or 0 in x.shape[x.ndim - spatial_dims - 1 :]:
        hint = " The channel dimension is missing: use x[None]." if x.ndim == spatial_dims else ""
        raise ShapeError(
            f"{name}: expected images (batch..., channel, *spatial) with {spatial_dims} spatial dimensions and "
            f"no empty one, got shape {tuple(x.shape)}.{hint}"
        )
    if x_hat.device != x.device:
        raise DataError(
            f"{name}: x_hat is on {x_hat.device}, x on {x.device}. Move one of them with .to(device)."
        )
    if not bool(torch.isfinite(x).all()):
        raise DataError(
            f"{name}: the reference x contains NaN or infinity, so no comparison with it means anything."
        )
    if x_hat.is_complex() or x.is_complex():
        if complex is None:
            raise ParameterError(
                f"{name}: the images are complex. Say how to compare them: complex='magnitude' (ignores phase) "
                "or complex='complex' (phase errors count)."
            )
        if complex == "magnitude":
            x_hat, x = x_hat.abs(), x.abs()
    dtype = torch.promote_types(x_hat.dtype, x.dtype)
    dtype = {torch.float16: torch.float32, torch.bfloat16: torch.float32}.get(dtype, dtype)
    x_hat, x = x_hat.to(dtype), x.to(dtype)
    if fit == "scalar":
        x_hat = fitted(x_hat, x, spatial_dims)
    return x_hat, x


def image_dims(spatial_dims: int) -> tuple[int, ...]:
    """The trailing dimensions of one sample: channel and space."""
    return tuple(range(-spatial_dims - 1, 0))


def fitted(x_hat: Tensor, x: Tensor, spatial_dims: int) -> Tensor:
    """``a * x_hat`` with the scalar ``a`` that minimizes ``||a x_hat - x||`` for each sample."""
    dims = image_dims(spatial_dims)
    overlap = (x_hat.conj() * x).sum(dims, keepdim=True)
    energy = energy_of(x_hat, spatial_dims, keepdim=True)
    zero = energy == 0
    return x_hat * torch.where(zero, torch.zeros_like(overlap), overlap / torch.where(zero, 1, energy))


def energy_of(x: Tensor, spatial_dims: int, *, keepdim: bool = False) -> Tensor:
    """Squared norm of each sample, with a derivative at zero."""
    squared = x.real.square() + x.imag.square() if x.is_complex() else x.square()
    return squared.sum(image_dims(spatial_dims), keepdim=keepdim)


def range_of(x: Tensor, data_range: float | str, spatial_dims: int) -> Tensor | float:
    """The data range of each sample: the number given, or the largest magnitude of the reference."""
    if data_range != "max":
        return float(data_range)
    largest = x.abs().amax(image_dims(spatial_dims))
    if bool((largest == 0).any()):
        raise DataError(
            "data_range='max' needs a reference that is not zero everywhere; give a number instead."
        )
    return largest
