"""The contract of metrics, and the options and preparation that all of them share."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, cast, dataclass_transform, runtime_checkable

import torch
from torch import Tensor

from .._contract import check_methods, check_stated
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
        """True if a larger value means a better reconstruction."""
        ...

    def __call__(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Compare ``x_hat`` with the reference ``x``."""
        ...


@runtime_checkable
class NoReferenceMetric(Protocol):
    """Anything that judges an image on its own, one value per sample: ``metric(x_hat)``.

    The class says so with ``no_reference = True``; a reference that is given all the same raises a
    `ParameterError`, for it would be ignored.
    """

    no_reference: ClassVar[bool] = True

    @property
    def higher_is_better(self) -> bool:
        """True if a larger value means a better image."""
        ...

    def __call__(self, x_hat: Tensor) -> Tensor:
        """Judge ``x_hat``."""
        ...


def scored(metric: Any, x_hat: Tensor, x: Tensor | None) -> Tensor:
    """The value of a metric of either sort; ``x`` is left out where the metric takes no reference."""
    if getattr(metric, "no_reference", False):
        return cast(Tensor, metric(x_hat))
    if x is None:
        raise ParameterError(f"{type(metric).__name__} compares with a reference, and none was given.")
    return cast(Tensor, metric(x_hat, x))


@dataclass_transform(frozen_default=True, kw_only_default=True)
@dataclass(frozen=True, kw_only=True)
class Common(ABC):
    """Base class of metrics: one value per sample. Subclasses become frozen dataclasses without a decorator.

    Images are ``(batch..., channel, *spatial)``, values ``(batch...)``.

    Parameters
    ----------
    complex : {"magnitude", "complex"}, optional
        How complex images are taken: by magnitude, or as they are, so that phase errors count. Must be given
        for complex images; real ones ignore it. Some metrics take magnitudes only.
    crop : int
        Number of pixels to leave out at each border.
    spatial_dims : int
        Number of trailing spatial dimensions.

    Raises
    ------
    ParameterError
        If an option is unknown, or an image is complex and ``complex`` is not given.
    ShapeError
        If an image has no channel dimension, or is empty.
    """

    higher_is_better: ClassVar[bool]
    dimensions: ClassVar[tuple[int, ...]] = (1, 2, 3)
    """Numbers of spatial dimensions that the metric is defined for."""
    magnitude_only: ClassVar[bool] = False
    """True if complex images can be taken by magnitude only."""

    complex: ComplexPolicy | None = None
    crop: int = 0
    spatial_dims: int = 2

    def __init_subclass__(cls, *, eq: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_methods(cls, complete=False)
        if "_value" in vars(cls) and not getattr(vars(cls)["_value"], "__isabstractmethod__", False):
            check_stated(cls, ("higher_is_better",), "higher_is_better = True")
        dataclass(frozen=True, kw_only=True, eq=eq)(cls)

    def __post_init__(self) -> None:
        name = type(self).__name__
        if isinstance(self.spatial_dims, bool) or self.spatial_dims not in self.dimensions:
            *most, last = map(str, self.dimensions)
            allowed = f"{', '.join(most)} or {last}" if most else last
            raise ParameterError(f"{name}: spatial_dims must be {allowed}, got {self.spatial_dims!r}.")
        if self.complex not in (None, "magnitude", "complex"):
            raise ParameterError(f"{name}: complex must be 'magnitude' or 'complex', got {self.complex!r}.")
        if self.magnitude_only and self.complex == "complex":
            raise ParameterError(f"{name} takes magnitudes of complex images: complex='magnitude'.")
        if isinstance(self.crop, bool) or not isinstance(self.crop, int) or self.crop < 0:
            raise ParameterError(
                f"{name}: crop is the number of pixels to leave out at each border, an integer, got "
                f"{self.crop!r}."
            )

    def _real(self, *images: Tensor) -> tuple[Tensor, ...]:
        """Images of one floating-point type, borders removed, complex ones as the policy says."""
        name = type(self).__name__
        if any(image.is_complex() for image in images):
            if self.complex is None:
                ways = "complex='magnitude' (ignores phase)"
                if not self.magnitude_only:
                    ways += " or complex='complex' (phase errors count)"
                raise ParameterError(f"{name}: the images are complex. Say how to take them: {ways}.")
            if self.complex == "magnitude":
                images = tuple(image.abs() for image in images)
        images = tuple(cropped(name, image, self.crop, self.spatial_dims) for image in images)
        dtype = functools.reduce(torch.promote_types, (image.dtype for image in images))
        dtype = {torch.float16: torch.float32, torch.bfloat16: torch.float32}.get(dtype, dtype)
        return tuple(image.to(dtype) for image in images)


class Comparison(Common):
    """Base class of metrics that compare a reconstruction with a reference.

    Parameters
    ----------
    fit : {"none", "scalar"}
        ``"scalar"`` first multiplies ``x_hat`` by the number that brings it closest to ``x`` in the
        least-squares sense (after the complex policy), for data of arbitrary scale.

    Raises
    ------
    ShapeError
        If the images differ in shape.
    DataError
        If the reference holds NaN or infinity. NaN in ``x_hat`` makes the value NaN.
    """

    fit: Fit = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fit not in ("none", "scalar"):
            raise ParameterError(f"{type(self).__name__}: fit must be 'none' or 'scalar', got {self.fit!r}.")

    def __call__(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Compare ``x_hat`` with the reference ``x``."""
        name = type(self).__name__
        check_image(name, "x_hat", x_hat)
        check_image(name, "x", x)
        if x_hat.shape != x.shape:
            raise ShapeError(
                f"{name}: x_hat and x must have the same shape, got {tuple(x_hat.shape)} and "
                f"{tuple(x.shape)}."
            )
        check_shape(name, x, self.spatial_dims)
        if x_hat.device != x.device:
            raise DataError(
                f"{name}: x_hat is on {x_hat.device}, x on {x.device}. Move one of them with .to(device)."
            )
        if not bool(torch.isfinite(x).all()):
            raise DataError(
                f"{name}: the reference x contains NaN or infinity, so no comparison with it means anything."
            )
        x_hat, x = self._real(x_hat, x)
        if self.fit == "scalar":
            x_hat = fitted(x_hat, x, self.spatial_dims)
        return self._value(x_hat, x)

    @abstractmethod
    def _value(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """The value, ``(batch...)``, for valid images ``(batch..., channel, *spatial)`` of one type."""

    def _reference_energy(self, x: Tensor) -> Tensor:
        """The squared norm of each reference, to divide by."""
        energy = energy_of(x, self.spatial_dims)
        if bool((energy == 0).any()):
            name = type(self).__name__
            raise DataError(f"{name}: a reference is zero everywhere, so the value is undefined. Use MSE.")
        return energy


class RangedComparison(Comparison):
    """Base class of comparisons whose value depends on the span of possible values.

    Parameters
    ----------
    data_range : float or "max"
        The span of possible values (1.0 for images in [0, 1]), or ``"max"`` for the largest magnitude of
        each reference, as fastMRI does. There is no default: the value depends on it.

    Raises
    ------
    DataError
        If a reference is zero everywhere with ``data_range="max"``.
    """

    data_range: float | Literal["max"]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_data_range(type(self).__name__, self.data_range)

    def _peak(self, x: Tensor) -> Tensor:
        """Return the data range: the number given, or each reference's peak, ``(batch..., 1, ...)``."""
        if self.data_range != "max":
            return torch.as_tensor(float(self.data_range), dtype=x.dtype, device=x.device)
        largest = x.abs().amax(image_dims(self.spatial_dims), keepdim=True)
        if bool((largest == 0).any()):
            raise DataError(
                "data_range='max' needs a reference that is not zero everywhere; give a number instead."
            )
        return largest


class Judgment(Common):
    """Base class of metrics without reference. NaN in the image makes the value NaN.

    Raises
    ------
    ParameterError
        If a reference is given.
    """

    no_reference: ClassVar[bool] = True

    def __call__(self, x_hat: Tensor, x: None = None) -> Tensor:
        """Judge ``x_hat``; a reference is refused."""
        name = type(self).__name__
        if x is not None:
            raise ParameterError(f"{name} takes no reference: call metric(x_hat).")
        check_image(name, "x_hat", x_hat)
        check_shape(name, x_hat, self.spatial_dims)
        (image,) = self._real(x_hat)
        dims = image_dims(self.spatial_dims)
        broken = ~torch.isfinite(image).all(dim=-1).flatten(image.ndim - len(dims)).all(dim=-1)
        value = self._value(torch.where(broken.reshape(*broken.shape, *(1,) * len(dims)), 0, image))
        return torch.where(broken, float("nan"), value)

    @abstractmethod
    def _value(self, image: Tensor) -> Tensor:
        """The value, ``(batch...)``, for a valid image ``(batch..., channel, *spatial)``."""


def check_data_range(name: str, data_range: float | str) -> None:
    """Validate ``data_range``: a positive number or ``"max"``."""
    if isinstance(data_range, bool) or not (
        data_range == "max" or (isinstance(data_range, int | float) and 0 < data_range < float("inf"))
    ):
        raise ParameterError(
            f"{name}: data_range must be a positive number or 'max' (the largest magnitude of each "
            f"reference), got {data_range!r}."
        )


def check_image(name: str, label: str, image: Any) -> None:
    """Refuse what is not a floating-point or complex tensor."""
    if not isinstance(image, Tensor):
        raise DtypeError(f"{name}: {label} must be a torch.Tensor, got {type(image).__name__}.")
    if not (image.is_floating_point() or image.is_complex()):
        raise DtypeError(
            f"{name}: {label} must be floating point or complex, got {image.dtype}. Convert with .float()."
        )


def check_shape(name: str, x: Tensor, spatial_dims: int) -> None:
    """Refuse what is not ``(batch..., channel, *spatial)`` or is empty."""
    if x.ndim < spatial_dims + 1 or 0 in x.shape[x.ndim - spatial_dims - 1 :]:
        hint = " The channel dimension is missing: use x[None]." if x.ndim == spatial_dims else ""
        raise ShapeError(
            f"{name}: expected images (batch..., channel, *spatial) with {spatial_dims} spatial dimensions "
            f"and no empty one, got shape {tuple(x.shape)}.{hint}"
        )


def cropped(name: str, x: Tensor, crop: int, spatial_dims: int) -> Tensor:
    """The image without ``crop`` pixels at each border."""
    if crop == 0:
        return x
    spatial = tuple(x.shape[x.ndim - spatial_dims :])
    if min(spatial) <= 2 * crop:
        raise ShapeError(f"{name}: crop={crop} leaves nothing of an image {spatial}.")
    for axis in range(-spatial_dims, 0):
        x = x.narrow(axis, crop, x.shape[axis] - 2 * crop)
    return x


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


def decibel(signal: Tensor, error: Tensor) -> Tensor:
    """10 log10(signal/error); where there is no error infinite, with a derivative of zero."""
    exact = error == 0
    return torch.where(exact, torch.inf, 10 * torch.log10(signal / torch.where(exact, 1, error)))
