"""Ptychography: diffraction of a known or unknown probe at many overlapping positions of an object."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from invcore import DtypeError, LinearOperator, ParameterError, ShapeError, Space
from invcore.operators import under_transform
from invcore.spaces import broadcast_shapes

from .frames import add_windows, gather, plain, scatter, shifted
from .intensity import Intensity

_PIECE = 16  # frames


class DiffractionFields(LinearOperator):
    r"""Complex fields at the detector of a scanned probe, linear in the object: the B of `Ptychography`.

    .. math:: u_{jm} = F\, [P_m(r - δ_j)\, x(r + c_j)], \qquad s_j = c_j + δ_j, \quad c_j = \lfloor s_j\rceil,

    for frames j and modes m: F is the orthonormal Fourier transform with zero frequency at n // 2, or any
    linear operator between fields. The probe, band-limited, is moved by the fractions δ of a pixel.

    Parameters
    ----------
    probe : Tensor, complex, shape (..., mode, y, x)
    positions : Tensor, shape (..., frame, 2)
        s, pixels (y, x) of the object under the first pixel of the probe.
    shape : tuple of int
        Pixels (y, x) of the object.
    propagator : LinearOperator, optional
        From ``(1, y, x)`` of the probe to ``(1, y, x)`` of the detector, complex; without it, the far field.
        Fields that reach it lie still on the detector, whatever δ.
    mask : Tensor, shape (..., frame or 1, y, x), optional
        Of the detector, 0 where it is blind: fields are zero there.

    Notes
    -----
    Domain ``(1, y, x)``, range ``(frame, mode, y, x)``, complex.

    Examples
    --------
    >>> probe = torch.full((1, 2, 2), 0.5 + 0j)
    >>> B = DiffractionFields(probe=probe, positions=torch.tensor([[0.0, 1.0]]), shape=(2, 3))
    >>> B(torch.ones(1, 2, 3) + 0j).abs()
    tensor([[[[0., 0.],
              [0., 1.]]]])
    """

    probe: Tensor
    positions: Tensor
    shape: tuple[int, int]
    propagator: LinearOperator | None = None
    mask: Tensor | None = None
    params = ("probe", "positions", "mask")
    param_ndim: ClassVar[dict[str, int]] = {"probe": 3, "positions": 2, "mask": 3}

    def __post_init__(self) -> None:
        check_scan(self)

    @property
    def domain(self) -> Space:
        return Space((1, *self.shape), "complex")

    @property
    def range(self) -> Space:
        frames, modes = self.positions.shape[-2], self.probe.shape[-3]
        return Space((frames, modes, *detector_of(self.probe, self.propagator)), "complex")

    @property
    def corners(self) -> Tensor:
        """c, the whole pixels of the positions, shape (..., frame, 2)."""
        return self.positions.detach().round().long()

    @cached_property
    def _whole(self) -> bool:
        """True if no position has a fraction, and none can come by a derivative."""
        if under_transform() or self.positions.requires_grad:
            return False
        return bool((self.positions == self.positions.round()).all())

    @property
    def _fractions(self) -> Tensor:
        """δ, (..., frame, 2)."""
        return self.positions - self.positions.detach().round()

    @property
    def probes(self) -> Tensor:
        """The probe of each frame, moved by δ: (..., frame or 1, mode, y, x)."""
        graded = self.probe.requires_grad or self.positions.requires_grad
        return self._moved() if graded or under_transform() else self._kept_probes

    @cached_property
    def _kept_probes(self) -> Tensor:
        with torch.inference_mode(False):
            return self._moved()

    def _moved(self) -> Tensor:
        probe = self.probe.unsqueeze(-4)
        return probe if self._whole else shifted(probe, self._fractions.unsqueeze(-2))

    def _size(self) -> tuple[int, int]:
        return self.probe.shape[-2], self.probe.shape[-1]

    def exit_waves(self, x: Tensor) -> Tensor:
        """The fields behind the object, (..., frame, mode, y, x)."""
        return self.probes * gather(x.squeeze(-3), self.corners, self._size()).unsqueeze(-3)

    def propagated(self, waves: Tensor) -> Tensor:
        """Exit waves taken to the detector."""
        if self.propagator is None:
            if self._even:
                return torch.fft.fft2(self._signs(waves) * waves, norm="ortho")
            return torch.fft.fftshift(torch.fft.fft2(waves, norm="ortho"), (-2, -1))
        if not self._whole:
            waves = shifted(waves, -self._fractions.unsqueeze(-2))
        return self.propagator(waves.unsqueeze(-3)).squeeze(-3)

    def returned(self, fields: Tensor) -> Tensor:
        """The adjoint of `propagated`."""
        if self.propagator is None:
            if self._even:
                return self._signs(fields) * torch.fft.ifft2(fields, norm="ortho")
            return torch.fft.ifft2(torch.fft.ifftshift(fields, (-2, -1)), norm="ortho")
        waves = self.propagator.H(fields.unsqueeze(-3)).squeeze(-3)
        return waves if self._whole else shifted(waves, self._fractions.unsqueeze(-2))

    @property
    def _even(self) -> bool:
        """True if the fftshift of the frequencies is a multiplication by signs, which is faster."""
        return all(n % 2 == 0 for n in self._size())

    def _signs(self, like: Tensor) -> Tensor:
        """(-1)^(y + x): the Fourier transform of a product with it is moved by half its length."""
        ny, nx = self._size()
        real = like.real.dtype
        y, x = (1 - 2 * (torch.arange(n, dtype=real, device=like.device) % 2) for n in (ny, nx))
        return y[:, None] * x

    def forward(self, x: Tensor) -> Tensor:
        if self.propagator is None and self._even and plain(x, self.corners, self.probe, self.positions):
            fields = self._in_pieces(x)
        else:
            fields = self.propagated(self.exit_waves(x))
        return fields if self.mask is None else self.mask.unsqueeze(-3) * fields

    def adjoint(self, y: Tensor) -> Tensor:
        fields = y if self.mask is None else self.mask.unsqueeze(-3) * y
        if self.propagator is None and self._even and plain(y, self.corners, self.probe, self.positions):
            return self._back_in_pieces(fields)
        waves = _over_modes(self.probes.conj() * self.returned(fields))
        return scatter(waves, self.corners, self.shape).unsqueeze(-3)

    def _pieces(self, like: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """A few frames, their corners and their probes with signs: what stays in the cache of a CPU."""
        probes, corners = self._signs(like) * self.probes, self.corners
        for start in range(0, len(corners), _PIECE):
            part = slice(start, start + _PIECE)
            yield part, corners[part], probes if probes.shape[-4] == 1 else probes[..., part, :, :, :]

    def _in_pieces(self, x: Tensor) -> Tensor:
        batch = broadcast_shapes(x.shape[:-3], self.probe.shape[:-3])
        fields = x.new_empty(*batch, *self.range.shape, dtype=torch.promote_types(x.dtype, self.probe.dtype))
        for part, corners, probes in self._pieces(x):
            windows = gather(x.squeeze(-3), corners, self._size()).unsqueeze(-3)
            fields[..., part, :, :, :] = torch.fft.fft2(probes * windows, norm="ortho")
        return fields

    def _back_in_pieces(self, fields: Tensor) -> Tensor:
        batch = broadcast_shapes(fields.shape[:-4], self.probe.shape[:-3])
        found = fields.new_zeros(
            *batch, *self.shape, dtype=torch.promote_types(fields.dtype, self.probe.dtype)
        )
        for part, corners, probes in self._pieces(fields):
            waves = torch.fft.ifft2(fields[..., part, :, :, :], norm="ortho")
            add_windows(found, _over_modes(probes.conj() * waves), corners)
        return found.unsqueeze(-3)

    def illumination(self) -> Tensor:
        """Σ_j Σ_m |P_m(r - c_j - δ_j)|², the dose that each pixel of the object gets, (..., 1, y, x)."""
        graded = self.probe.requires_grad or self.positions.requires_grad
        return self._dose() if graded or under_transform() else self._kept_dose

    @cached_property
    def _kept_dose(self) -> Tensor:
        with torch.inference_mode(False):
            return self._dose()

    def _dose(self) -> Tensor:
        light = self.probes.abs().square().sum(-3)
        frames = self.positions.shape[-2]
        batch = broadcast_shapes(light.shape[:-3], self.positions.shape[:-2])
        light = light.expand(*batch, frames, *self._size())
        return scatter(light, self.corners, self.shape).unsqueeze(-3)

    @property
    def diagonal(self) -> bool:
        """True if BᴴB multiplies by the `illumination`: in the far field with a detector that sees all."""
        return self.propagator is None and self.mask is None

    def _gram(self, x: Tensor) -> Tensor:
        if self.diagonal:
            return self.illumination() * x
        return self.adjoint(self.forward(x))

    def _ridge(self, y: Tensor | None, z: Tensor | None, weight: Tensor) -> Tensor | None:
        """(Bᴴy + weight z) / (dose + weight) in the far field."""
        if not self.diagonal:
            return None
        shift = weight[..., None, None, None]
        top = 0 if y is None else self.adjoint(y)
        return (top if z is None else top + shift * z) / (self.illumination() + shift)

    def norm_bound(self) -> Tensor | None:
        """The root of the largest dose, in the far field exact."""
        return self.illumination().flatten(-3).amax(-1).sqrt() if self.diagonal else None


class Ptychography(Intensity):
    r"""Diffraction patterns of an object scanned by a probe.

    .. math:: y_j = \sum_m \left| F\, [P_m(r)\, x(r + s_j)] \right|^2

    for frames j at positions s, and mutually incoherent modes m of the probe. F is the orthonormal Fourier
    transform (far field), or the propagator of a near field. With a probe in √photons and a transmission of
    modulus one, y are photons, and `invcore.noises.PoissonNoise` is natural.

    Parameters
    ----------
    probe : Tensor, complex, shape (..., mode, y, x)
        Fields at the object, one for each mode.
    positions : Tensor, shape (..., frame, 2)
        s, the pixels (y, x) of the object under the first pixel of the probe. They may have fractions: the
        probe, which is band-limited, is then moved by Fourier interpolation.
    shape : tuple of int
        Pixels (y, x) of the object, which all frames must lie in.
    propagator : LinearOperator, optional
        From ``(1, y, x)`` at the object to ``(1, y, x)`` at the detector, complex, such as `AngularSpectrum`.
        Without it the detector is in the far field.
    mask : Tensor, shape (..., frame or 1, y, x), optional
        Of the detector, 0 where it is blind: y are zero there.

    Notes
    -----
    Domain ``(1, y, x)``, complex; range ``(frame, y, x)``, with zero frequency at index n // 2. In the far
    field an object pixel measures λ z / (n p), for n detector pixels of size p at distance z; see
    `far_field_pixel`. All frames take one gather, one batched FFT and one scatter.

    If the probe is unknown, object and probe may trade a factor and opposite linear phases; see
    `aligned_ramp`.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If shapes disagree, or a frame leaves the object.

    References
    ----------
    .. [1] J. M. Rodenburg and H. M. L. Faulkner, "A phase retrieval algorithm for shifting illumination",
       Appl. Phys. Lett. 85 (2004).
    .. [2] P. Thibault and A. Menzel, "Reconstructing state mixtures from diffraction measurements", Nature
       494 (2013).

    Examples
    --------
    >>> probe = torch.full((1, 2, 2), 0.5 + 0j)
    >>> A = Ptychography(probe=probe, positions=torch.tensor([[0.0, 0.0], [0.0, 1.0]]), shape=(2, 3))
    >>> A(torch.ones(1, 2, 3) + 0j)[0]
    tensor([[0., 0.],
            [0., 1.]])
    """

    probe: Tensor
    positions: Tensor
    shape: tuple[int, int]
    propagator: LinearOperator | None = None
    mask: Tensor | None = None
    params = ("probe", "positions", "mask")
    param_ndim: ClassVar[dict[str, int]] = {"probe": 3, "positions": 2, "mask": 3}
    mode_axis: ClassVar[int | None] = -3

    def __post_init__(self) -> None:
        check_scan(self)

    @property
    def domain(self) -> Space:
        return Space((1, *self.shape), "complex")

    @property
    def range(self) -> Space:
        return Space((self.positions.shape[-2], *detector_of(self.probe, self.propagator)))

    @cached_property
    def unmasked(self) -> Ptychography:
        """The same scan with a detector that sees all."""
        return dataclasses.replace(self, mask=None)

    @property
    def field(self) -> DiffractionFields:
        """The fields before intensities are taken, linear in the object."""
        return self._field if not self._graded else self._made()

    @property
    def _graded(self) -> bool:
        return any(p.requires_grad for p in self.parameters().values())

    @cached_property
    def _field(self) -> DiffractionFields:
        return self._made()

    def _made(self) -> DiffractionFields:
        return DiffractionFields(
            probe=self.probe,
            positions=self.positions,
            shape=self.shape,
            propagator=self.propagator,
            mask=self.mask,
        )


def far_field_pixel(
    *, wavelength: float, distance: float, pixels: int | tuple[int, int], pitch: float
) -> float | tuple[float, float]:
    """The pixel of an object in meters whose diffraction is measured in the far field, λ z / (n p).

    Parameters
    ----------
    wavelength, distance, pitch : float
        λ, the distance z of the detector, and the size p of its pixels, in meters.
    pixels : int or tuple of int
        n, pixels of the detector, for one axis or for two.

    Returns
    -------
    float or tuple of float

    Raises
    ------
    ParameterError
        If a length is not positive.

    Examples
    --------
    >>> round(1e9 * far_field_pixel(wavelength=0.14e-9, distance=2.0, pixels=128, pitch=75e-6), 2)
    29.17
    """
    for name, held in (("wavelength", wavelength), ("distance", distance), ("pitch", pitch)):
        if not 0 < held < math.inf:
            raise ParameterError(f"far_field_pixel: {name} must be a positive length in meters, got {held!r}")
    if isinstance(pixels, int):
        return wavelength * distance / (pixels * pitch)
    return tuple(wavelength * distance / (n * pitch) for n in pixels)  # type: ignore[return-value]


def _over_modes(waves: Tensor) -> Tensor:
    return waves.squeeze(-3) if waves.shape[-3] == 1 else waves.sum(-3)


def detector_of(probe: Tensor, propagator: LinearOperator | None) -> tuple[int, int]:
    """Rows and columns of the detector."""
    space: Any = probe if propagator is None else propagator.range
    return space.shape[-2], space.shape[-1]


def check_scan(scan: DiffractionFields | Ptychography) -> None:
    """Raise unless probe, positions, object, propagator and mask fit together."""
    name, probe, positions, shape = type(scan).__name__, scan.probe, scan.positions, scan.shape
    if len(shape) != 2 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ParameterError(f"{name}: shape must be the pixels (y, x) of the object, got {shape!r}")
    if not probe.is_complex():
        raise DtypeError(f"{name}: the probe must be complex, got {probe.dtype}. Convert with probe + 0j.")
    if probe.ndim < 3 or 0 in probe.shape[-3:]:
        raise ShapeError(f"{name}: the probe must be (..., mode, y, x), got {tuple(probe.shape)}")
    if not positions.is_floating_point():
        raise DtypeError(f"{name}: positions must be floating point pixels, got {positions.dtype}")
    if positions.ndim < 2 or positions.shape[-1] != 2:
        got = tuple(positions.shape)
        raise ShapeError(f"{name}: positions must be (..., frame, 2), pixels (y, x); got {got}")
    _check_detector(scan)
    if under_transform() or not positions.numel():
        return
    corners = positions.detach().round()
    room = [n - k for n, k in zip(shape, probe.shape[-2:])]
    if not all(bool(((c >= 0) & (c <= most)).all()) for c, most in zip(corners.unbind(-1), room)):
        low, high = (f(corners.flatten(0, -2), 0).tolist() for f in (torch.amin, torch.amax))
        raise ParameterError(
            f"{name}: a probe of {tuple(probe.shape[-2:])} at positions from {low} to {high} leaves the "
            f"object of {shape}: positions must lie from 0 to {room}. Enlarge the object, or move "
            "the positions."
        )


def _check_detector(scan: DiffractionFields | Ptychography) -> None:
    name, probe, out = type(scan).__name__, scan.probe, scan.propagator
    wanted = Space((1, probe.shape[-2], probe.shape[-1]), "complex")
    if out is not None:
        seen: Any = out.range
        if out.domain != wanted or not (
            isinstance(seen, Space) and seen.kind == "complex" and len(seen.shape) == 3 and seen.shape[0] == 1
        ):
            raise ShapeError(
                f"{name}: the propagator must map {wanted} to a complex (1, y, x), not {out.domain} to {seen}"
            )
    if scan.mask is None:
        return
    detector, shape = detector_of(probe, out), tuple(scan.mask.shape)
    if len(shape) < 3 or shape[-2:] != detector or shape[-3] not in (1, scan.positions.shape[-2]):
        raise ShapeError(
            f"{name}: the mask must be (..., frame or 1, {detector[0]}, {detector[1]}), got {shape}"
        )
