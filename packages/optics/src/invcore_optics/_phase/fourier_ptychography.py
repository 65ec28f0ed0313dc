"""Fourier ptychography: low-resolution images under light from many directions."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from invcore import DtypeError, LinearOperator, ParameterError, ShapeError, Space
from invcore.operators import FourierTransform, under_transform
from invcore.spaces import broadcast_shapes

from .._pupils.zernike import zernike
from .frames import gather, power, scatter
from .intensity import Intensity
from .lights import back, fields, one_by_one

_PARAM_NDIM = {"positions": 2, "radius": 0, "aberrations": 1, "pupil": 2, "brightness": 1}
_EDGE = 0.4  # pixels of the spectrum over which the pupil fades


class PupilFields(LinearOperator):
    r"""Fields in the image plane under light from many directions: the B of `FourierPtychography`.

    .. math::
        u_j = \sqrt{b_j\, n/N}\, F_n^H\, [C(κ)\, P(κ - δ_j)\, X(κ + c_j)], \qquad
        s_j = c_j + δ_j, \quad c_j = \lfloor s_j\rceil

    for the spectrum X of the object, N pixels of it and n of the images. The fields differ from those of an
    unmoved pupil by linear phases, which intensities do not see.

    Parameters
    ----------
    positions, radius, aberrations, pupil, brightness, shape, detector, indices
        As of `FourierPtychography`.

    Notes
    -----
    Domain ``(1, y, x)``, range ``(led, y, x)``, complex.

    Examples
    --------
    >>> B = PupilFields(positions=torch.zeros(1, 2), radius=torch.tensor(1.5), shape=(6, 6), detector=(4, 4))
    >>> B(torch.ones(1, 6, 6) + 0j).abs().mean().round(decimals=3)  # the rim is soft
    tensor(0.8670)
    """

    positions: Tensor
    radius: Tensor
    shape: tuple[int, int]
    detector: tuple[int, int]
    aberrations: Tensor | None = None
    indices: tuple[int, ...] = ()
    pupil: Tensor | None = None
    brightness: Tensor | None = None
    params = ("positions", "radius", "aberrations", "pupil", "brightness")
    param_ndim: ClassVar[dict[str, int]] = _PARAM_NDIM

    def __post_init__(self) -> None:
        check_lights(self)

    @property
    def domain(self) -> Space:
        return Space((1, *self.shape), "complex")

    @property
    def range(self) -> Space:
        return Space((self.positions.shape[-2], *self.detector), "complex")

    @property
    def corners(self) -> Tensor:
        """First row and column in the spectrum of the window of each light, (..., led, 2)."""
        middle = [N // 2 - n // 2 for N, n in zip(self.shape, self.detector)]
        whole = self.positions.detach().round().long()
        return torch.stack([c + m for c, m in zip(whole.unbind(-1), middle)], -1)

    @property
    def pupils(self) -> Tensor:
        """√b C(κ) P(κ - δ) for each light, (..., led, y, x), with zero frequency at n // 2."""
        graded = any(p.requires_grad for p in self.parameters().values())
        return self._made() if graded or under_transform() else self._kept

    @cached_property
    def _kept(self) -> Tensor:
        with torch.inference_mode(False):
            return self._made()

    def _made(self) -> Tensor:
        found = self.disks()
        if self.pupil is not None:
            found = self.pupil.unsqueeze(-3) * found
        return found if self.brightness is None else self.brightness.sqrt()[..., None, None] * found

    def disks(self) -> Tensor:
        """P(κ - δ) for each light, the pupil without what is in ``pupil``: (..., led, y, x)."""
        by = self.positions - self.positions.detach().round()
        y, x = (torch.arange(n, dtype=by.dtype, device=by.device) - n // 2 for n in self.detector)
        y = y[:, None] - by[..., 0, None, None]
        x = x - by[..., 1, None, None]
        radius = self.radius[..., None, None, None]
        inside = torch.sigmoid((radius.square() - y.square() - x.square()) / (2 * _EDGE * radius))
        if self.aberrations is None:
            return inside + 0j
        tiny = 1e-6  # polar coordinates have no derivative at the origin
        modes = zernike(self.indices, (y + tiny) / radius, (x + tiny) / radius)
        phase = (self.aberrations[..., None, None, None, :] * modes.movedim(0, -1)).sum(-1)
        return inside * torch.polar(torch.ones_like(phase), phase)

    @cached_property
    def _transform(self) -> FourierTransform:
        return FourierTransform(self.domain, centered=True)

    @cached_property
    def _low(self) -> FourierTransform:
        return FourierTransform(self.range, spatial_dims=2, centered=True)

    @property
    def _scale(self) -> float:
        return math.sqrt(math.prod(self.detector) / math.prod(self.shape))

    def spectrum(self, x: Tensor) -> Tensor:
        """X, the spectrum of an object (..., 1, y, x), scaled as that of the images: (..., y, x)."""
        return self._scale * self._transform.forward(x).squeeze(-3)

    def object(self, spectrum: Tensor) -> Tensor:
        """The object (..., 1, y, x) of a spectrum: the inverse of `spectrum`."""
        return self._transform.adjoint(spectrum.unsqueeze(-3)) / self._scale

    def images(self, windows: Tensor) -> Tensor:
        """Fields of the windows of a spectrum that were passed, (..., led, y, x)."""
        return self._low.adjoint(windows)

    def spectra(self, fields: Tensor) -> Tensor:
        """The inverse of `images`."""
        return self._low.forward(fields)

    def forward(self, x: Tensor) -> Tensor:
        if one_by_one(self, x):
            return fields(self, x)
        return self.images(self.pupils * gather(self.spectrum(x), self.corners, self.detector))

    def adjoint(self, y: Tensor) -> Tensor:
        if one_by_one(self, y):
            return back(self, y)
        windows = self.pupils.conj() * self.spectra(y)
        return self._scale**2 * self.object(scatter(windows, self.corners, self.shape))

    def coverage(self) -> Tensor:
        """Σ_j |P(κ - s_j)|², what each frequency of the object passes, (..., 1, y, x)."""
        graded = any(p.requires_grad for p in self.parameters().values())
        return self._covered() if graded or under_transform() else self._kept_coverage

    @cached_property
    def _kept_coverage(self) -> Tensor:
        with torch.inference_mode(False):
            return self._covered()

    def _covered(self) -> Tensor:
        passed = self.pupils.abs().square()
        batch = broadcast_shapes(passed.shape[:-3], self.positions.shape[:-2])
        return scatter(passed.expand(*batch, *passed.shape[-3:]), self.corners, self.shape).unsqueeze(-3)

    def _gram(self, x: Tensor) -> Tensor:
        return self._scale**2 * self._transform.adjoint(self.coverage() * self._transform.forward(x))

    def _ridge(self, y: Tensor | None, z: Tensor | None, weight: Tensor) -> Tensor:
        """(Bᴴy + weight z) over the coverage + weight, in the spectrum."""
        shift = weight[..., None, None, None]
        top: Any = 0 if y is None else self.adjoint(y)
        top = top if z is None else top + shift * z
        filtered = self._transform.forward(top) / (self._scale**2 * self.coverage() + shift)
        return self._transform.adjoint(filtered)

    def norm_bound(self) -> Tensor:
        """The root of the largest coverage, exact."""
        return self._scale * self.coverage().flatten(-3).amax(-1).sqrt()


class FourierPtychography(Intensity):
    r"""Images of an object under coherent light from many directions, through a small pupil [1]_.

    .. math:: y_j = b_j \left| F^H [P(κ)\, X(κ + s_j)] \right|^2

    with the spectrum X of the object on a fine grid, of which the pupil P passes a disk about s, and the
    inverse Fourier transform on the grid of the camera. A transparent object gives images of 1.

    Parameters
    ----------
    positions : Tensor, shape (..., led, 2)
        s, the frequencies (y, x) of the object at the center of the pupil, in cycles per field of view; minus
        those of the light. `led_frequencies` gives them. They may have fractions.
    radius : Tensor, shape (...)
        Radius of the pupil in the same unit, NA L/λ for a field of view L.
    shape, detector : tuple of int
        Pixels (y, x) of the object and of an image, over the same field of view.
    aberrations : Tensor, shape (..., mode), optional
        Phase of the pupil, coefficients of Zernike polynomials of unit rms, in radians.
    indices : tuple of int
        Their indices in Noll's order.
    pupil : Tensor, complex, shape (..., y, x), optional
        Transmission C of the pupil, pixel by pixel of the spectrum of an image (zero frequency at n // 2),
        in addition to the disk and its aberrations. It is moved by whole pixels only.
    brightness : Tensor, shape (..., led), optional
        b > 0, of each light; by default 1.

    Notes
    -----
    Domain ``(1, y, x)``, complex; range ``(led, y, x)``. The edge of the pupil fades over a fraction of a
    pixel of the spectrum, so that its radius and positions have derivatives. All images take one FFT of the
    object, one gather and one batched FFT; on a CPU without derivatives a few lights at a time.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If shapes disagree, a window leaves the spectrum of the object, or the pupil that of the images.

    References
    ----------
    .. [1] G. Zheng, R. Horstmeyer, C. Yang, "Wide-field, high-resolution Fourier ptychographic microscopy",
       Nat. Photonics 7 (2013).

    Examples
    --------
    >>> lights = led_frequencies(torch.tensor([[0.0, 0.0], [0.0, 8e-3]]), height=0.18, wavelength=532e-9,
    ...                          field=(74.75e-6, 74.75e-6))
    >>> A = FourierPtychography(positions=lights, radius=torch.tensor(14.1),
    ...                         shape=(128, 128), detector=(64, 64))
    >>> A(torch.ones(1, 128, 128) + 0j).mean((1, 2)).round(decimals=3)
    tensor([1., 1.])
    """

    positions: Tensor
    radius: Tensor
    shape: tuple[int, int]
    detector: tuple[int, int]
    aberrations: Tensor | None = None
    indices: tuple[int, ...] = ()
    pupil: Tensor | None = None
    brightness: Tensor | None = None
    params = ("positions", "radius", "aberrations", "pupil", "brightness")
    param_ndim: ClassVar[dict[str, int]] = _PARAM_NDIM

    def __post_init__(self) -> None:
        check_lights(self)

    @property
    def domain(self) -> Space:
        return Space((1, *self.shape), "complex")

    @property
    def range(self) -> Space:
        return Space((self.positions.shape[-2], *self.detector))

    @property
    def field(self) -> PupilFields:
        """The fields before intensities are taken, linear in the object."""
        graded = any(p.requires_grad for p in self.parameters().values())
        return self._made() if graded else self._field

    def forward(self, x: Tensor) -> Tensor:
        B = self.field
        return fields(B, x, power) if one_by_one(B, x) else self.intensity(B(x))

    @cached_property
    def _field(self) -> PupilFields:
        return self._made()

    def _made(self) -> PupilFields:
        return PupilFields(
            positions=self.positions,
            radius=self.radius,
            shape=self.shape,
            detector=self.detector,
            aberrations=self.aberrations,
            indices=self.indices,
            pupil=self.pupil,
            brightness=self.brightness,
        )


def led_frequencies(
    places: Tensor, *, height: float, wavelength: float, field: tuple[float, float]
) -> Tensor:
    """Frequencies of the object at the center of the pupil under light from point sources.

    Parameters
    ----------
    places : Tensor, shape (..., led, 2)
        Of the sources (y, x), in meters from the optical axis.
    height : float
        Of the object above them, in meters.
    wavelength : float
        In meters.
    field : tuple of float
        Field of view (y, x) in meters.

    Returns
    -------
    Tensor, shape (..., led, 2)
        sin(angle) L/λ along both axes, in cycles per field of view. The light of a source at +x travels to
        -x: its frequency is negative, and that of the object at the center of the pupil is positive.

    Raises
    ------
    ParameterError
        If a length is not positive.

    Examples
    --------
    >>> led_frequencies(torch.tensor([[0.0, 3.0]]), height=4.0, wavelength=0.5, field=(10.0, 10.0))
    tensor([[ 0., 12.]])
    """
    for name, held in (("height", height), ("wavelength", wavelength), ("field", min(field))):
        if not 0 < held < math.inf:
            raise ParameterError(f"led_frequencies: {name} must be a positive length in meters, got {held!r}")
    distance = (places.square().sum(-1, keepdim=True) + height**2).sqrt()
    return places / distance * (places.new_tensor(field) / wavelength)


def check_lights(lights: PupilFields | FourierPtychography) -> None:
    """Raise unless positions, pupil and grids fit together."""
    name, positions, radius = type(lights).__name__, lights.positions, lights.radius
    for what in ("shape", "detector"):
        held = getattr(lights, what)
        if len(held) != 2 or not all(isinstance(n, int) and n > 0 for n in held):
            raise ParameterError(f"{name}: {what} must be pixels (y, x), got {held!r}")
    if not positions.is_floating_point() or not radius.is_floating_point():
        raise DtypeError(
            f"{name}: positions and radius must be floating point, got {positions.dtype}, {radius.dtype}"
        )
    if positions.ndim < 2 or positions.shape[-1] != 2:
        raise ShapeError(f"{name}: positions must be (..., led, 2), got {tuple(positions.shape)}")
    modes = 0 if lights.aberrations is None else lights.aberrations.shape[-1]
    if modes != len(lights.indices):
        raise ShapeError(f"{name}: {modes} aberrations and {len(lights.indices)} indices of polynomials")
    if lights.pupil is not None and (
        not lights.pupil.is_complex() or tuple(lights.pupil.shape[-2:]) != tuple(lights.detector)
    ):
        raise ShapeError(
            f"{name}: the pupil must be complex, (..., {lights.detector[0]}, {lights.detector[1]}), got "
            f"{lights.pupil.dtype} {tuple(lights.pupil.shape)}"
        )
    if lights.brightness is not None and lights.brightness.shape[-1:] != positions.shape[-2:-1]:
        raise ShapeError(
            f"{name}: brightness must be (..., {positions.shape[-2]}), one for each light, got "
            f"{tuple(lights.brightness.shape)}"
        )
    if under_transform() or not positions.numel():
        return
    whole = positions.detach().round()
    for at, N, n in zip(whole.unbind(-1), lights.shape, lights.detector):
        low, high = float(at.min()) + N // 2 - n // 2, float(at.max()) + N // 2 - n // 2 + n
        if not (low >= 0 and high <= N):
            raise ParameterError(
                f"{name}: positions up to {float(at.abs().max()):.4g} and images of {n} pixels need an "
                f"object of at least {n + 2 * math.ceil(float(at.abs().max())) + 1} pixels, got {N}"
            )
    most = float(radius.detach().max())
    if not 0 < most <= (min(lights.detector) - 1) / 2:
        raise ParameterError(
            f"{name}: the radius of the pupil must be positive and within the spectrum of the images, up to "
            f"{(min(lights.detector) - 1) / 2}; got {most:.4g}"
        )
