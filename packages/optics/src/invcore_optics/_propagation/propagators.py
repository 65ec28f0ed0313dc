"""Free-space propagation of coherent fields between parallel planes."""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from invcore import LinearOperator, ParameterError, ShapeError, Space
from invcore.operators import under_transform


class AngularSpectrum(LinearOperator):
    r"""Propagate a field over a distance, by its spectrum of plane waves.

    .. math:: u_z = F^H\, [H_z\, F u], \qquad H_z(f) = e^{2πi z \sqrt{n^2/λ^2 - |f|^2}}

    (e^{-iωt}: waves that travel to +z gain phase), or in Fresnel's approximation
    :math:`H_z = e^{2πi z n/λ} e^{-πi λ z |f|^2/n}`. The field is continued by zeros to twice its size, so
    that nothing comes around, and H is set to zero where the grid undersamples it [1]_. The inverse over
    short distances is ``A.H``, which propagates by -z what is not evanescent.

    Parameters
    ----------
    distance : Tensor, shape (...)
        z in meters, of either sign; one for each sample, if it has dimensions.
    domain : Space
        ``(channel, y, x)``, complex.
    wavelength : float
        λ of vacuum in meters.
    pixel : float
        In meters, the same before and after.
    refractive_index : float
        n.
    kernel : {"exact", "fresnel"}
    padding : bool
        Continue by zeros. Without it the plane is periodic, and A unitary but for evanescent waves.
    band_limit : bool
        Leave out the frequencies that would be undersampled.

    Raises
    ------
    ShapeError, ParameterError

    References
    ----------
    .. [1] K. Matsushima and T. Shimobaba, "Band-limited angular spectrum method for numerical simulation of
       free-space propagation in far and near fields", Opt. Express 17 (2009).

    Examples
    --------
    >>> A = AngularSpectrum(torch.tensor(1e-3), Space((1, 8, 8), "complex"), wavelength=5e-7, pixel=5e-6,
    ...                     padding=False)
    >>> A(torch.ones(1, 8, 8) + 0j).abs().mean().round(decimals=4)
    tensor(1.)
    """

    distance: Tensor
    domain: Space
    wavelength: float
    pixel: float
    refractive_index: float = 1.0
    kernel: Literal["exact", "fresnel"] = "exact"
    padding: bool = True
    band_limit: bool = True
    positional: ClassVar[int | None] = 2
    params = ("distance",)
    param_ndim: ClassVar[dict[str, int]] = {"distance": 0}

    def __post_init__(self) -> None:
        check_plane(self, ("wavelength", "pixel", "refractive_index"))
        if self.kernel not in ("exact", "fresnel"):
            raise ParameterError(f"AngularSpectrum: kernel must be 'exact' or 'fresnel', got {self.kernel!r}")

    @property
    def range(self) -> Space:
        return self.domain

    @property
    def _sizes(self) -> tuple[int, int]:
        ny, nx = self.domain.shape[-2:]
        return (2 * ny, 2 * nx) if self.padding else (ny, nx)

    def transfer(self) -> Tensor:
        """H on the grid of the FFT, zero frequency first: (..., 1, y, x)."""
        z = self.distance
        like: Any = {"dtype": z.dtype, "device": z.device}
        fy, fx = (torch.fft.fftfreq(n, self.pixel, dtype=torch.float64) for n in self._sizes)
        squared = fy[:, None] ** 2 + fx**2
        k = self.refractive_index / self.wavelength
        real = squared < k**2
        if self.kernel == "exact":
            axial = (k**2 - squared).clamp_min(0).sqrt()
        else:
            axial, real = k - squared / (2 * k), torch.ones_like(real)
        z = z.double()[..., None, None, None]
        turns = z * axial.to(z.device)
        phase = 2 * math.pi * (turns - turns.detach().round())  # whole turns would cost digits
        keep = real.to(z.device)
        if self.band_limit:
            keep = keep & self._sampled(z.detach().abs(), fy.to(z.device), fx.to(z.device), k)
        found = torch.where(keep, torch.polar(torch.ones_like(phase), phase), 0)
        return found.to(torch.complex64 if like["dtype"] == torch.float32 else torch.complex128)

    def _sampled(self, z: Tensor, fy: Tensor, fx: Tensor, k: float) -> Tensor:
        """Where neighboring samples of H differ by less than half a turn along each axis."""
        steps = [1 / (n * self.pixel) for n in self._sizes]
        if self.kernel == "exact":  # |f| ≤ k / √((2 Δf z)² + 1)
            limits = [k / ((2 * step * z).square() + 1).sqrt() for step in steps]
        else:
            limits = [k / (2 * step * z).clamp_min(1e-300) for step in steps]
        return (fy[:, None].abs() <= limits[0]) & (fx.abs() <= limits[1])

    def forward(self, x: Tensor) -> Tensor:
        return self._filtered(x, self.transfer())

    def adjoint(self, y: Tensor) -> Tensor:
        return self._filtered(y, self.transfer().conj())

    def _gram(self, x: Tensor) -> Tensor:
        if self.padding:
            return self.adjoint(self.forward(x))
        return self._filtered(x, self.transfer().detach().abs())  # 0 or 1, whatever the distance

    def _filtered(self, x: Tensor, transfer: Tensor) -> Tensor:
        ny, nx = self.domain.shape[-2:]
        spectrum = torch.fft.fft2(x, s=self._sizes)
        return torch.fft.ifft2(transfer * spectrum)[..., :ny, :nx]

    def norm_bound(self) -> Tensor:
        """1: no plane wave is amplified."""
        return torch.ones((), dtype=self.distance.dtype, device=self.distance.device)


class SingleTransform(LinearOperator):
    r"""Propagate a field to a distance where it has spread, by a single Fourier transform.

    .. math:: u_z(r) = \frac{1}{i} e^{πi r^2/(λz)}\; F\, [u(r')\, e^{πi r'^2/(λz)}], \qquad p_z = λz/(n p)

    with the orthonormal F centered at n // 2: Fresnel's integral on pixels p_z that grow with the distance.
    As F is orthonormal the power is conserved and A is unitary. The constant phase e^{2πi z/λ} is left out.
    Fraunhofer's far field, without the two quadratic phases, is `invcore.operators.FourierTransform` with
    ``centered=True``; `far_field_pixel` gives its pixels.

    Parameters
    ----------
    distance : Tensor, shape (...)
        z > 0 in meters; one for each sample, if it has dimensions.
    domain : Space
        ``(channel, y, x)``, complex.
    wavelength, pixel : float
        λ and p in meters.

    Warns
    -----
    UserWarning
        If the distance is below n p²/λ, where the grid undersamples the first phase: use `AngularSpectrum`.

    Raises
    ------
    ShapeError, ParameterError

    References
    ----------
    J. W. Goodman, "Introduction to Fourier optics", 3rd ed. (2005), chapter 4; D. G. Voelz, "Computational
    Fourier optics" (2011), chapter 6.

    Examples
    --------
    >>> A = SingleTransform(torch.tensor(1.0), Space((1, 8, 8), "complex"), wavelength=5e-7, pixel=1e-4)
    >>> [round(p, 6) for p in A.pixel_after()]
    [0.000625, 0.000625]
    """

    distance: Tensor
    domain: Space
    wavelength: float
    pixel: float
    positional: ClassVar[int | None] = 2
    params = ("distance",)
    param_ndim: ClassVar[dict[str, int]] = {"distance": 0}

    def __post_init__(self) -> None:
        check_plane(self, ("wavelength", "pixel"))
        if under_transform() or not self.distance.numel():
            return
        nearest = float(self.distance.detach().min())
        if not nearest > 0:
            raise ParameterError(f"SingleTransform: the distance must be positive, got {nearest!r} m")
        least = max(self.domain.shape[-2:]) * self.pixel**2 / self.wavelength
        if nearest < least * (1 - 1e-6):
            warnings.warn(
                f"SingleTransform: at {nearest:.3g} m the quadratic phase is undersampled; from "
                f"{least:.3g} m on it is sampled. AngularSpectrum is for short distances.",
                stacklevel=2,
            )

    @property
    def range(self) -> Space:
        return self.domain

    def pixel_after(self) -> tuple[float, ...]:
        """The pixels (y, x) at the distance, λz/(n p), in meters; of the first sample."""
        z = float(self.distance.detach().flatten()[0])
        return tuple(self.wavelength * z / (n * self.pixel) for n in self.domain.shape[-2:])

    def _chirp(self, after: bool) -> Tensor:
        """The quadratic phase before or after the transform, (..., 1, y, x)."""
        z = self.distance.double()[..., None, None, None]
        r2 = torch.zeros((), dtype=torch.float64, device=z.device)
        for d, n in zip((-2, -1), self.domain.shape[-2:]):
            r = (torch.arange(n, dtype=torch.float64, device=z.device) - n // 2).reshape(-1, *(1,) * (-d - 1))
            pixel: Any = self.wavelength * z / (n * self.pixel) if after else self.pixel
            r2 = r2 + (r * pixel).square()
        phase = math.pi * r2 / (self.wavelength * z)
        chirp = torch.polar(torch.ones_like(phase), phase)
        return chirp.to(torch.complex64 if self.distance.dtype == torch.float32 else torch.complex128)

    def forward(self, x: Tensor) -> Tensor:
        return -1j * self._chirp(after=True) * _centered(self._chirp(after=False) * x, torch.fft.fft2)

    def adjoint(self, y: Tensor) -> Tensor:
        back = _centered(1j * self._chirp(after=True).conj() * y, torch.fft.ifft2)
        return self._chirp(after=False).conj() * back

    def _gram(self, x: Tensor) -> Tensor:
        return x * torch.ones_like(self.distance.detach())[..., None, None, None]

    def norm_bound(self) -> Tensor:
        """1: A is unitary."""
        return torch.ones((), dtype=self.distance.dtype, device=self.distance.device)


def _centered(x: Tensor, transform: Any) -> Tensor:
    return torch.fft.fftshift(transform(torch.fft.ifftshift(x, (-2, -1)), norm="ortho"), (-2, -1))


def check_plane(plane: AngularSpectrum | SingleTransform, positive: tuple[str, ...]) -> None:
    """Raise unless the domain is a complex plane and lengths are positive."""
    name, domain = type(plane).__name__, plane.domain
    if len(domain.shape) != 3 or domain.kind != "complex" or 0 in domain.shape:
        raise ShapeError(f"{name}: fields are complex (channel, y, x), got {domain}")
    if not plane.distance.is_floating_point():
        raise ParameterError(f"{name}: distance must be floating point, got {plane.distance.dtype}")
    for field in positive:
        held = getattr(plane, field)
        if not 0 < held < math.inf:
            raise ParameterError(f"{name}: {field} must be a positive number, got {held!r}")
