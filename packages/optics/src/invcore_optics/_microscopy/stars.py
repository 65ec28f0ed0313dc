"""Point spread functions over a field of view, from one wavefront that varies with the position."""

from __future__ import annotations

import torch
from torch import Tensor

from invcore import DtypeError, Operator, ParameterError, ShapeError, Space

from .._pupils.pupil_psf import PupilPSF
from .._pupils.zernike import zernike_indices


class FieldPSF(Operator):
    r"""Images of point sources all over a field of view, as functions of one wavefront field [1]_.

    .. math:: W_i = \sum_{kd} c_{kd} \, π_d(ξ_i, η_i) \, Z_k, \qquad
        y_i = \sum_b w_{ib} \, h_{λ_b}(W_i)

    with Zernike modes Z_k, monomials π_d in the position, and for each star i the shares w of its spectrum.
    From sources in focus, seen through a pupil that is symmetric about its center, the even modes are known
    up to a common sign only: `twin` gives the other wavefront with the same images, and a fit has to be
    compared with both.

    Parameters
    ----------
    pupils : tuple of PupilPSF
        One for each wavelength, alike but for it, with ``unknown="zernike"`` and one plane.
    positions : Tensor, shape (star, 2)
        (η, ξ) of the stars, in units of the half field: -1 to 1.
    spectra : Tensor, shape (..., star or 1, wavelength)
        w, of sum 1; leading dimensions are batch.
    degree : int
        Highest total degree of the monomials, in the order 1, η, ξ, η², ηξ, ξ², ….

    Notes
    -----
    Domain ``(mode, term)`` in meters, range ``(star, y, x)``.

    Raises
    ------
    ShapeError, DtypeError, ParameterError

    References
    ----------
    .. [1] T. Liaudat, J.-L. Starck, M. Kilbinger, P.-A. Frugier, "Rethinking data-driven point spread
       function modeling with a differentiable optical model", Inverse Problems 39 (2023).

    Examples
    --------
    >>> from invcore_optics import Objective
    >>> pupil = PupilPSF(objective=Objective(500e-9, 0.5), pixel=200e-9, shape=(9, 9), modes=(4, 5))
    >>> A = FieldPSF(pupils=(pupil,), positions=torch.zeros(1, 2), spectra=torch.ones(1, 1), degree=1)
    >>> c = 1e-8 * torch.ones(2, 3)
    >>> A.domain.shape, bool(torch.allclose(A(c), A(A.twin(c)), atol=1e-6))
    ((2, 3), True)
    """

    pupils: tuple[PupilPSF, ...]
    positions: Tensor
    spectra: Tensor
    degree: int = 2
    params = ("spectra",)

    def __post_init__(self) -> None:
        if not self.pupils or not all(isinstance(p, PupilPSF) for p in self.pupils):
            raise ParameterError("FieldPSF: pupils must be PupilPSF, one for each wavelength")
        first = self.pupils[0]
        for p in self.pupils:
            if p.unknown != "zernike" or (p.modes, p.range) != (first.modes, first.range):
                raise ParameterError(
                    "FieldPSF: pupils must have unknown='zernike' and the same modes, shape and planes"
                )
        if first.range.shape[0] != 1:
            raise ParameterError(f"FieldPSF: pupils must have one plane, got {first.range.shape[0]}")
        for name, value in (("positions", self.positions), ("spectra", self.spectra)):
            if not value.is_floating_point():
                raise DtypeError(f"FieldPSF: {name} must be a real floating tensor, got {value.dtype}")
        if self.positions.ndim != 2 or self.positions.shape[-1] != 2 or not len(self.positions):
            raise ShapeError(f"FieldPSF: positions must be (star, 2), got {tuple(self.positions.shape)}")
        stars = len(self.positions)
        if (
            self.spectra.ndim < 2
            or self.spectra.shape[-2] not in (1, stars)
            or (self.spectra.shape[-1] != len(self.pupils))
        ):
            raise ShapeError(
                f"FieldPSF: spectra must be (..., {stars} or 1, {len(self.pupils)}), got "
                f"{tuple(self.spectra.shape)}"
            )
        if not (isinstance(self.degree, int) and self.degree >= 0):
            raise ParameterError(f"FieldPSF: degree must be a whole number >= 0, got {self.degree!r}")

    @property
    def domain(self) -> Space:
        return Space((len(self.pupils[0].modes), (self.degree + 1) * (self.degree + 2) // 2))

    @property
    def range(self) -> Space:
        return Space((len(self.positions), *self.pupils[0].shape))

    @property
    def terms(self) -> Tensor:
        """The monomials at the stars, (star, term)."""
        y, x = self.positions.unbind(-1)
        powers = [(total - j, j) for total in range(self.degree + 1) for j in range(total + 1)]
        return torch.stack([y**i * x**j for i, j in powers], -1)

    def coefficients(self, x: Tensor) -> Tensor:
        """Zernike coefficients of each star, (..., star, mode), in meters."""
        return self.terms.to(x.dtype) @ x.mT

    def forward(self, x: Tensor) -> Tensor:
        c = self.coefficients(x)
        images = torch.stack([pupil.forward(c).squeeze(-3) for pupil in self.pupils], -3)
        return (self.spectra[..., None, None] * images).sum(-3)

    def twin(self, x: Tensor) -> Tensor:
        """The other wavefront field with the same images in focus: even modes change their sign.

        Parameters
        ----------
        x : Tensor, shape (..., mode, term)
        """
        first = self.pupils[0]
        orders = [zernike_indices(k, order=first.order)[0] for k in first.modes]
        signs = x.new_tensor([-1.0 if n % 2 == 0 else 1.0 for n in orders])
        return signs.unsqueeze(-1) * x
