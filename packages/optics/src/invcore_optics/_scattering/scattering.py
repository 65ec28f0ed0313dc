"""Scattering by a refractive index in the plane: Lippmann-Schwinger, and Born's approximation to it."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from invcore import LinearOperator, Operator, ParameterError, ShapeError, Space
from invcore.operators import solve
from invcore.spaces import broadcast_shapes

from . import waves


class Scattering(Operator):
    r"""The field that an object scatters, from its contrast: all orders of scattering in the plane [1]_.

    The contrast is χ = n² - 1, n the refractive index over that of the medium around (relative permittivity
    minus one, for TM waves). The total field u in the pixels and the data y at the receivers are

    .. math:: u = u_\mathrm{in} + k^2 \int G\, χ u, \qquad y = k^2 \int G\, χ u,

    with pixels taken as disks of the same area [2]_, FFTs on a grid of twice the size and GMRES. Time goes as
    e^{-iωt}: conjugate data of the other convention. Derivatives are those of the discrete equation (the
    adjoint state), to the contrast, the incident fields and the receivers. The error falls as the square of
    the spacing: for an index of 1.5 it is 1.5 % at 20 pixels a wavelength.

    Parameters
    ----------
    incident : Tensor, complex, shape (..., emitter, y, x)
        u_in in the pixels: `plane_waves`, `line_sources`, or calibrated ones.
    greens : Tensor, complex, shape (..., receiver, y, x)
        What receivers see of the pixels: `near_receivers`, `far_receivers`.
    spacing : float
        Of the pixels, meters.
    wavelength : float
        In the medium around, meters.
    kind : {"real", "complex"}
        Complex contrasts absorb, where their imaginary part is positive.
    rtol : float
        Relative residual of the equation.

    Notes
    -----
    Domain ``(1, y, x)``, range ``(emitter, receiver)``, complex.

    References
    ----------
    .. [1] E. Soubies, T.-A. Pham, M. Unser, "Efficient inversion of multiple-scattering model for optical
       diffraction tomography", Opt. Express 25 (2017).
    .. [2] J. H. Richmond, "Scattering by a dielectric cylinder of arbitrary cross section shape", IEEE Trans.
       Antennas Propag. 13 (1965).

    Examples
    --------
    >>> angles = torch.arange(6) * torch.pi / 3
    >>> A = Scattering.of_angles(angles, angles, (8, 8), spacing=0.1, wavelength=1.0)
    >>> F = A(0.2 * torch.ones(1, 8, 8, dtype=torch.float64))
    >>> bool((F[0, 1] - F[4, 3]).abs() < 1e-5)  # reciprocity
    True
    """

    incident: Tensor
    greens: Tensor
    spacing: float
    wavelength: float
    kind: Literal["real", "complex"] = "real"
    rtol: float = 1e-6
    params = ("incident", "greens")
    param_ndim: ClassVar[dict[str, int]] = {"incident": 3, "greens": 3}

    def __post_init__(self) -> None:
        check_waves(self)
        for name in ("spacing", "wavelength", "rtol"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 < value < math.inf):
                raise ParameterError(f"Scattering: {name} must be a positive number, got {value!r}")
        if 2 * self.spacing >= self.wavelength:
            raise ParameterError(
                f"Scattering: pixels of {self.spacing:.3g} m do not sample a wavelength of "
                f"{self.wavelength:.3g} m; take a tenth of it, over the largest index"
            )

    @classmethod
    def of_angles(
        cls,
        incoming: Any,
        outgoing: Any,
        shape: tuple[int, int],
        *,
        spacing: float,
        wavelength: float,
        kind: Literal["real", "complex"] = "real",
        rtol: float = 1e-6,
    ) -> Self:
        """Plane waves, looked at in the far field.

        Parameters
        ----------
        incoming, outgoing : Tensor, shape (emitter,), shape (receiver,)
            Angles of the directions in which waves travel, radians.
        shape : tuple of int
            Pixels (y, x).
        spacing, wavelength, kind, rtol
            As of the class.
        """
        where = {"spacing": spacing, "wavelength": wavelength}
        incident = waves.plane_waves(incoming, shape, **where)
        greens = waves.far_receivers(outgoing, shape, **where)
        return cls(incident=incident, greens=greens, kind=kind, rtol=rtol, **where)

    @classmethod
    def of_positions(
        cls,
        emitters: Tensor,
        receivers: Tensor,
        shape: tuple[int, int],
        *,
        spacing: float,
        wavelength: float,
        kind: Literal["real", "complex"] = "real",
        rtol: float = 1e-6,
    ) -> Self:
        """Line sources and receivers at positions (emitter, 2) and (receiver, 2), (y, x) in meters."""
        where = {"spacing": spacing, "wavelength": wavelength}
        incident = waves.line_sources(emitters, shape, **where)
        greens = waves.near_receivers(receivers, shape, **where)
        return cls(incident=incident, greens=greens, kind=kind, rtol=rtol, **where)

    @property
    def domain(self) -> Space:
        return self.born.domain

    @property
    def range(self) -> Space:
        return self.born.range

    @property
    def born(self) -> Born:
        """Born's approximation: the field of one scattering, which is the derivative at zero contrast."""
        return Born(incident=self.incident, greens=self.greens, kind=self.kind)

    def total_field(self, x: Tensor) -> Tensor:
        """The field u in the pixels for a contrast (..., 1, y, x): (..., emitter, y, x)."""
        incident = self.incident.to(x.dtype.to_complex())
        batch = broadcast_shapes(x.shape[:-3], incident.shape[:-3])
        equation = LippmannSchwinger(
            contrast=x,
            domain=Space(incident.shape[-3:], "complex"),
            spacing=self.spacing,
            wavelength=self.wavelength,
        )
        rtol = max(self.rtol, 20 * torch.finfo(x.dtype).eps)
        u: Any = solve(equation, incident.expand(*batch, *incident.shape[-3:]), rtol=rtol)
        return u

    def forward(self, x: Tensor) -> Tensor:
        return radiated(x * self.total_field(x), self.greens)


class Born(LinearOperator):
    """The field that an object scatters once, linear in its contrast: Born's approximation.

    y = k² ∫ G χ u_in, the first term of `Scattering`, right where the phase that the object adds is small.

    Parameters
    ----------
    incident : Tensor, complex, shape (..., emitter, y, x)
    greens : Tensor, complex, shape (..., receiver, y, x)
    kind : {"real", "complex"}
        As of `Scattering`.

    Notes
    -----
    Domain ``(1, y, x)``, range ``(emitter, receiver)``, complex.

    Examples
    --------
    >>> A = Born(incident=torch.ones(1, 2, 2) + 0j, greens=torch.ones(3, 2, 2) * 1j)
    >>> A(torch.ones(1, 2, 2))
    tensor([[0.+4.j, 0.+4.j, 0.+4.j]])
    """

    incident: Tensor
    greens: Tensor
    kind: Literal["real", "complex"] = "real"
    params = ("incident", "greens")
    param_ndim: ClassVar[dict[str, int]] = {"incident": 3, "greens": 3}

    def __post_init__(self) -> None:
        check_waves(self)

    @property
    def domain(self) -> Space:
        return Space((1, *self.incident.shape[-2:]), self.kind)

    @property
    def range(self) -> Space:
        return Space((self.incident.shape[-3], self.greens.shape[-3]), "complex")

    def forward(self, x: Tensor) -> Tensor:
        return radiated(x * self.incident.to(x.dtype.to_complex()), self.greens)

    def adjoint(self, y: Tensor) -> Tensor:
        greens = self.greens.to(y.dtype)
        back = (y @ greens.flatten(-2).conj()).unflatten(-1, greens.shape[-2:])
        x = (self.incident.to(y.dtype).conj() * back).sum(-3, keepdim=True)
        return x if self.kind == "complex" else x.real


class LippmannSchwinger(LinearOperator):
    """u - k² ∫ G χ u on the pixels: what the incident field is of the total one.

    Parameters
    ----------
    contrast : Tensor, shape (..., 1, y, x)
        χ.
    domain : Space
        Complex fields (emitter, y, x).
    spacing, wavelength : float
        Meters.
    """

    contrast: Tensor
    domain: Space
    spacing: float
    wavelength: float
    params = ("contrast",)
    param_ndim: ClassVar[dict[str, int]] = {"contrast": 3}

    @property
    def range(self) -> Space:
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        return x - self._potential(self.contrast * x)

    def adjoint(self, y: Tensor) -> Tensor:
        return y - self.contrast.conj() * self._potential(y.conj()).conj()  # the potential is symmetric

    def _potential(self, currents: Tensor) -> Tensor:
        ny, nx = self.domain.shape[-2:]
        kernel = waves.pixel_potential(
            (ny, nx), self.spacing, self.wavelength, currents.dtype, currents.device
        )
        spectrum = torch.fft.fft2(currents, s=(2 * ny, 2 * nx))
        return torch.fft.ifft2(kernel * spectrum)[..., :ny, :nx]


def radiated(currents: Tensor, greens: Tensor) -> Tensor:
    """The field at the receivers of currents (..., emitter, y, x): (..., emitter, receiver)."""
    return currents.flatten(-2) @ greens.to(currents.dtype).flatten(-2).mT


def check_waves(A: Scattering | Born) -> None:
    """Raise unless incident fields and greens are complex, on the same pixels."""
    name = type(A).__name__
    for what in ("incident", "greens"):
        held = getattr(A, what)
        if not (isinstance(held, Tensor) and held.is_complex() and held.ndim >= 3):
            got = (held.dtype, tuple(held.shape)) if isinstance(held, Tensor) else type(held).__name__
            raise ParameterError(f"{name}: {what} must be complex, (..., n, y, x), got {got}")
    if A.incident.shape[-2:] != A.greens.shape[-2:]:
        raise ShapeError(
            f"{name}: incident fields are on {tuple(A.incident.shape[-2:])} pixels, the receivers see "
            f"{tuple(A.greens.shape[-2:])}"
        )
    if A.kind not in ("real", "complex"):
        raise ParameterError(f"{name}: kind must be 'real' or 'complex', got {A.kind!r}")
