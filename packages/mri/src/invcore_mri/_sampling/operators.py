"""Cartesian MRI operators: sampled k-space of one image, and of an image seen by several coils."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from invcore import DtypeError, LinearOperator, ShapeError, Space
from invcore.operators import under_transform
from invcore.spaces import align

from . import coilwise
from .fft import fftn, ifftn, modulation


class Fourier(LinearOperator):
    """Sampled Fourier transform, y = M F x, of each channel.

    F is the centered orthonormal FFT (DC at index n // 2) and M the sampling mask, so ‖A‖ = max |M|.

    Parameters
    ----------
    mask : Tensor, shape (..., *spatial)
        Real or boolean weights of the k-space samples; an axis along which the mask is constant may have size
        1. Leading dimensions are batch. With fewer dimensions than k-space, as a mask over the phase encodes,
        it lies along the axes that have its lengths; a `ShapeError` names the choices where several do.
    shape : tuple of int
        Spatial dimensions, two or three.
    channels : int
        Number of channels, transformed separately.

    Notes
    -----
    Domain and range are ``(channels, *spatial)``, complex. Unsampled entries of y are zero.

    Examples
    --------
    >>> A = Fourier(torch.ones(4, 1), shape=(4, 4))
    >>> x = torch.zeros(1, 4, 4, dtype=torch.complex64); x[0, 2, 2] = 1
    >>> A(x).abs().unique()
    tensor([0.2500])
    """

    mask: Tensor
    shape: tuple[int, ...]
    channels: int = 1
    params = ("mask",)

    def __post_init__(self) -> None:
        _check_spatial("Fourier", self.shape)
        object.__setattr__(self, "mask", _aligned("Fourier", self.mask, self.shape))

    @property
    def domain(self) -> Space:
        return Space((self.channels, *self.shape), "complex")

    @property
    def range(self) -> Space:
        return self.domain

    @cached_property
    def _pre(self) -> Tensor:
        return modulation(self.shape, kspace=False, dtype=self.mask.dtype, device=self.mask.device)

    @cached_property
    def _post(self) -> Tensor:
        return modulation(self.shape, kspace=True, dtype=self.mask.dtype, device=self.mask.device)

    def forward(self, x: Tensor) -> Tensor:
        axes = _axes(self.shape)
        return self._post * _over_channels(self.mask, self.shape) * fftn(self._pre * x, dim=axes)

    def adjoint(self, y: Tensor) -> Tensor:
        axes = _axes(self.shape)
        weight = self._post.conj() * _over_channels(self.mask, self.shape).conj()
        return self._pre.conj() * ifftn(weight * y, dim=axes)

    def _gram(self, x: Tensor) -> Tensor:
        weight, axes = _gram_weight(self.mask, self.shape)
        weight = _over_channels(weight, self.shape)
        if not axes:
            return weight * x
        return ifftn(weight * fftn(x, dim=axes), dim=axes)

    def _ridge(self, y: Tensor | None, z: Tensor | None, weight: Tensor) -> Tensor:
        """(AᴴA + w)⁻¹ (Aᴴy + w z): AᴴA is a multiplication in k-space."""
        w = weight.reshape(*weight.shape, *(1,) * len(self.domain.shape)) if weight.ndim else weight
        parts = ([] if y is None else [self.adjoint(y)]) + ([] if z is None else [w * z])
        total = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        power, axes = _gram_weight(self.mask, self.shape)
        power = _over_channels(power, self.shape) + w
        return ifftn(fftn(total, dim=axes) / power, dim=axes) if axes else total / power

    def norm_bound(self) -> Tensor:
        return self.mask.abs().to(self.dtype).flatten(-len(self.shape)).amax(-1)


class Sense(LinearOperator):
    """Multi-coil Cartesian MRI, y_c = M F S_c x (SENSE; Pruessmann et al., 1999).

    F is the centered orthonormal FFT, S_c the coil sensitivities and M the sampling mask.

    Parameters
    ----------
    maps : Tensor, shape (..., coil, *spatial), or (..., set, coil, *spatial) if ``sets > 1``
        Complex coil sensitivities. Leading dimensions are batch.
    mask : Tensor, shape (..., *spatial)
        Real or boolean weights of the k-space samples, the same for all coils; an axis along which the mask
        is constant may have size 1 (and is detected if it has not). With fewer dimensions than k-space, as a
        mask over the phase encodes, it lies along the axes that have its lengths; a `ShapeError` names the
        choices where several do.
    spatial_dims : int
        2 or 3.
    sets : int
        Number of sets of maps (ESPIRiT). Each set has its own image, so x has ``sets`` channels; the data are
        the sum over sets.

    Notes
    -----
    Domain ``(sets, *spatial)``, range ``(coil, *spatial)``, both complex. In AᴴA the Fourier transforms along
    axes on which the mask is constant cancel and are left out.

    References
    ----------
    K. Pruessmann, M. Weiger, M. Scheidegger, P. Boesiger, "SENSE: sensitivity encoding for fast MRI",
    Magn. Reson. Med. 42 (1999).

    Examples
    --------
    >>> maps = torch.ones(2, 4, 4, dtype=torch.complex64) / 2**0.5
    >>> A = Sense(maps, torch.ones(4, 1))
    >>> A
    Sense(maps=complex64[2, 4, 4], mask=float32[4, 1], spatial_dims=2, sets=1)
    >>> x = torch.randn(1, 4, 4, dtype=torch.complex64)
    >>> torch.allclose(A.gram(x), x, atol=1e-6)
    True
    """

    maps: Tensor
    mask: Tensor
    spatial_dims: int = 2
    sets: int = 1
    params = ("maps", "mask")

    def __post_init__(self) -> None:
        needed = self.spatial_dims + 1 + (self.sets > 1)
        if not self.maps.is_complex():
            raise DtypeError(f"Sense: maps must be complex, got {self.maps.dtype}")
        if self.maps.ndim < needed or (self.sets > 1 and self.maps.shape[-needed] != self.sets):
            layout = "(..., set, coil, *spatial)" if self.sets > 1 else "(..., coil, *spatial)"
            raise ShapeError(
                f"Sense: maps must be {layout} with {self.spatial_dims} spatial dimensions and "
                f"sets={self.sets}, got {tuple(self.maps.shape)}"
            )
        _check_spatial("Sense", self.shape)
        object.__setattr__(self, "mask", _aligned("Sense", self.mask, self.shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial dimensions."""
        return tuple(self.maps.shape[-self.spatial_dims :])

    @property
    def coils(self) -> int:
        """Number of coils."""
        return self.maps.shape[-self.spatial_dims - 1]

    @property
    def domain(self) -> Space:
        return Space((self.sets, *self.shape), "complex")

    @property
    def range(self) -> Space:
        return Space((self.coils, *self.shape), "complex")

    # The phase of the centered transform is multiplied into the image and the mask. Nothing that depends on a
    # tensor with gradients is cached: the graph of a cached value could be backpropagated only once.

    @cached_property
    def _kept_weight(self) -> Tensor:
        return self._modulated_mask()

    @cached_property
    def _kept_gram_weight(self) -> tuple[Tensor, tuple[int, ...]]:
        return _gram_weight(self.mask, self.shape)

    @cached_property
    def _work(self) -> coilwise.Workspace:
        return coilwise.Workspace(self.maps.detach(), self.spatial_dims)

    def _modulated_mask(self) -> Tensor:
        """The mask times the phase of k-space, (..., *spatial)."""
        return modulation(self.shape, kspace=True, dtype=self.maps.dtype, device=self.maps.device) * self.mask

    @property
    def _phase(self) -> Tensor:
        return modulation(self.shape, kspace=False, dtype=self.maps.dtype, device=self.maps.device)

    def forward(self, x: Tensor) -> Tensor:
        weight = self._modulated_mask() if self.mask.requires_grad else self._kept_weight
        axes, x = _axes(self.shape), self._phase * x
        if self._coilwise(x):
            return coilwise.forward(self._work, self._set_maps, weight, axes, x, self.spatial_dims)
        return _over_channels(weight, self.shape) * fftn(self._spread(x), dim=axes)

    def adjoint(self, y: Tensor) -> Tensor:
        weight = self._modulated_mask() if self.mask.requires_grad else self._kept_weight
        axes, phase = _axes(self.shape), self._phase.conj()
        if self._coilwise(y):
            return phase * coilwise.adjoint(self._work, self._set_maps, weight, axes, y, self.spatial_dims)
        return phase * self._gather(ifftn(_over_channels(weight, self.shape).conj() * y, dim=axes))

    def _gram(self, x: Tensor) -> Tensor:
        """Σ_c S̄_c F⁻¹ |M|² F S_c x, with F only along the axes on which the mask varies."""
        weight, axes = (
            _gram_weight(self.mask, self.shape) if self.mask.requires_grad else self._kept_gram_weight
        )
        if self._coilwise(x):
            return coilwise.gram(self._work, self._set_maps, weight, axes, x, self.spatial_dims)
        weight = _over_channels(weight, self.shape)
        images = self._spread(x)
        return self._gather(ifftn(weight * fftn(images, dim=axes), dim=axes) if axes else weight * images)

    def norm_bound(self) -> Tensor:
        """max |M| times the largest singular value of the coil sensitivities of a pixel."""
        maps = self.maps.flatten(-self.spatial_dims)
        if self.sets == 1:
            unit = (
                maps.detach().abs().amax().clamp_min(torch.finfo(self.dtype).tiny)
            )  # whose squares are safe
            largest = unit * torch.linalg.vector_norm(maps / unit, dim=-2).amax(-1)
        else:
            pixels = maps.movedim(-1, -3)  # (..., pixel, set, coil)
            largest = torch.linalg.matrix_norm(pixels, ord=2).amax(-1)
        return largest * self.mask.abs().to(largest.dtype).flatten(-len(self.shape)).amax(-1)

    # -- parts ---------------------------------------------------------------------------------------

    @property
    def _set_maps(self) -> Tensor:
        """The maps as (..., set, coil, *spatial)."""
        return self.maps if self.sets > 1 else self.maps.unsqueeze(-self.spatial_dims - 2)

    def _spread(self, x: Tensor) -> Tensor:
        """Σ_set S x: coil images, (..., coil, *spatial)."""
        if self.sets == 1:
            return self.maps * x
        return (self.maps * x.unsqueeze(-self.spatial_dims - 1)).sum(-self.spatial_dims - 2)

    def _gather(self, images: Tensor) -> Tensor:
        """Sᴴ of the coil images: (..., set, *spatial)."""
        if self.sets == 1:
            return (self.maps.conj() * images).sum(-self.spatial_dims - 1, keepdim=True)
        return (self.maps.conj() * images.unsqueeze(-self.spatial_dims - 2)).sum(-self.spatial_dims - 1)

    def _coilwise(self, v: Tensor) -> bool:
        """True on a CPU for plain tensors if no derivative is recorded: coil by coil is faster there."""
        learning = torch.is_grad_enabled() and any(t.requires_grad for t in (v, self.maps, self.mask))
        plain = (
            type(v) is Tensor
            and v.dtype == self.maps.dtype
            and v.device.type == self.maps.device.type == "cpu"
        )
        return plain and not learning and not under_transform()


def _axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(-len(shape), 0))


def _over_channels(mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    """(..., *spatial) to (..., 1, *spatial)."""
    return mask.unsqueeze(-len(shape) - 1)


def _gram_weight(mask: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, tuple[int, ...]]:
    """|M|² in the order of the plain FFT, and the axes on which it varies.

    Multiplying the image by the phase of the centered transform shifts k-space, so AᴴA needs no phase if its
    weight is shifted instead.
    """
    weight = mask * mask
    varying = []
    for axis in _axes(shape):
        if weight.shape[axis] == 1:
            continue
        first = weight.narrow(axis, 0, 1)
        if not mask.requires_grad and bool((weight == first).all()):
            weight = first
        else:
            varying.append(axis)
    return torch.fft.ifftshift(weight, dim=varying) if varying else weight, tuple(varying)


def _check_spatial(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) not in (2, 3):
        raise ShapeError(f"{name}: expected two or three spatial dimensions, got {shape}")


def _aligned(name: str, mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The mask with all spatial dimensions, after validation."""
    if mask.is_complex():
        raise DtypeError(f"{name}: the mask must be real or boolean, got {mask.dtype}")
    mask = align(mask, shape, f"{name}: a mask")
    mask = mask.reshape((1,) * (len(shape) - mask.ndim) + mask.shape)
    trailing = tuple(mask.shape[-len(shape) :])
    if len(trailing) < len(shape) or any(m not in (1, n) for m, n in zip(trailing, shape)):
        raise ShapeError(
            f"{name}: the mask must be (..., {', '.join(map(str, shape))}) with size 1 where it is constant, "
            f"got {tuple(mask.shape)}"
        )
    return mask
