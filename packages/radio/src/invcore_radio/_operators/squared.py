"""Amplitudes, squared visibilities and bispectra, the data of optical interferometers."""

from __future__ import annotations

import torch
from torch import Tensor

from invcore import DtypeError, ParameterError, ShapeError
from invcore.noises import GaussianMapNoise
from invcore.operators import Operator, Space

from .._data.closure_sets import ClosureSet
from .._noise.closure_errors import debias_amplitude, with_fraction


class Amplitudes(Operator):
    """Amplitudes |V| of visibilities.

    The gradient at a visibility of zero is taken as zero. Correct data for the noise bias by
    `debias_amplitude`.

    Parameters
    ----------
    domain : Space
        Visibilities, ``(row, frequency)`` complex.
    index : Tensor, shape (n,), int64, optional
        Selected visibilities, as indices into the flattened array; all by default.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If the domain is not complex, or an index lies outside.

    References
    ----------
    A. R. Thompson, J. M. Moran, G. W. Swenson, Interferometry and Synthesis in Radio Astronomy, 3rd ed.
    (2017).

    Examples
    --------
    >>> A = Amplitudes(Space((2, 1), "complex"))
    >>> A(torch.tensor([[3 + 4j], [-1j]]))
    tensor([[5.],
            [1.]])
    """

    domain: Space
    index: Tensor | None = None

    def __post_init__(self) -> None:
        _check(self)

    @property
    def range(self) -> Space:
        """``(row, frequency)`` real, or ``(n,)``."""
        return _range(self)

    def forward(self, x: Tensor) -> Tensor:
        return _chosen(self, x).abs()

    def measured(self, visibilities: Tensor, sigma: Tensor) -> Tensor:
        """Return the amplitudes of data, corrected for the noise bias by `debias_amplitude`.

        Parameters
        ----------
        visibilities : Tensor, shape (..., row, frequency), complex
            Measured visibilities.
        sigma : Tensor, shape (row, frequency)
            Standard deviation of their real and imaginary part.

        Returns
        -------
        Tensor, in the range of this operator
        """
        return self(debias_amplitude(visibilities, sigma).to(visibilities.dtype))

    def noise(
        self, visibilities: Tensor, sigma: Tensor, *, systematic: float = 0.0, fraction: float = 0.0
    ) -> GaussianMapNoise:
        """Return the noise of the amplitudes, which is Gaussian at signal-to-noise ratios above about 3.

        Parameters
        ----------
        visibilities : Tensor, shape (row, frequency), complex
            Measured visibilities.
        sigma : Tensor, shape (row, frequency)
            Standard deviation of their real and imaginary part.
        systematic : float
            Error of every amplitude in Jy, added in quadrature.
        fraction : float
            Error as a fraction of the amplitude, such as that of the gains, added in quadrature.
        """
        total = with_fraction(sigma, visibilities, fraction)
        total = torch.hypot(total, torch.full_like(total, systematic))
        return GaussianMapNoise(sigma=total if self.index is None else total.flatten(-2)[..., self.index])


class SquaredVisibilities(Operator):
    """Squared visibilities |V|², which do not depend on the phases of the telescopes.

    Optical interferometers measure them relative to the total flux: compose it with a model of flux 1 or with
    `UnitFlux`.

    Parameters
    ----------
    domain : Space
        Visibilities, ``(row, frequency)`` complex.
    index : Tensor, shape (n,), int64, optional
        Selected visibilities, as indices into the flattened array; all by default.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If the domain is not complex, or an index lies outside.

    References
    ----------
    T. A. Pauls, J. S. Young, W. D. Cotton, J. D. Monnier, "A data exchange standard for optical (visible/IR)
    interferometry", PASP 117 (2005).

    Examples
    --------
    >>> A = SquaredVisibilities(Space((2, 1), "complex"), index=torch.tensor([0]))
    >>> A(torch.tensor([[3 + 4j], [-1j]]))
    tensor([25.])
    """

    domain: Space
    index: Tensor | None = None

    def __post_init__(self) -> None:
        _check(self)

    @property
    def range(self) -> Space:
        """``(row, frequency)`` real, or ``(n,)``."""
        return _range(self)

    def forward(self, x: Tensor) -> Tensor:
        v = _chosen(self, x)
        return v.real.square() + v.imag.square()


class Bispectra(Operator):
    """Bispectra (triple products) V_ij V_jk V_ki of visibilities, whose phases are the closure phases.

    Parameters
    ----------
    closures : ClosureSet
        Triangles, from `closure_triangles`.

    Raises
    ------
    ShapeError
        If ``closures`` are not triangles.

    References
    ----------
    A. W. Lohmann, G. Weigelt, B. Wirnitzer, "Speckle masking in astronomy: triple correlation theory and
    applications", Appl. Opt. 22 (1983).

    Examples
    --------
    >>> from invcore_radio import closure_triangles
    >>> a, b = torch.triu_indices(3, 3, 1)
    >>> A = Bispectra(closure_triangles(a, b, torch.zeros(3)))
    >>> A(torch.tensor([[2 + 0j], [1j], [1j]]))  # V_01, V_02, V_12
    tensor([2.+0.j])
    """

    closures: ClosureSet

    def __post_init__(self) -> None:
        if self.closures.index.shape[1] != 3:
            raise ShapeError(
                f"Bispectra: closures must be triangles (3 visibilities), got {self.closures.index.shape[1]}"
            )

    @property
    def domain(self) -> Space:
        """Visibilities, ``(row, frequency)`` complex."""
        return Space(self.closures.shape, "complex")

    @property
    def range(self) -> Space:
        """Bispectra, ``(closure,)`` complex."""
        return Space((len(self.closures),), "complex")

    def forward(self, x: Tensor) -> Tensor:
        legs = x.flatten(-2)[..., self.closures.index]
        turned = torch.where(self.closures.sign > 0, legs, legs.conj())
        return turned[..., 0] * turned[..., 1] * turned[..., 2]


class UnitFlux(Operator):
    """Image relative to its total flux, x ↦ x/Σx, as measured by optical interferometers.

    In ``SquaredVisibilities(...) @ A @ UnitFlux(...)`` the flux of the unknown image is free. An image of sum
    zero is returned unchanged.

    Parameters
    ----------
    domain : Space
        Images, ``(channel, y, x)`` real. Each channel is divided by its own flux.

    Raises
    ------
    ShapeError
        If the domain is not that of real images.

    References
    ----------
    T. A. Pauls, J. S. Young, W. D. Cotton, J. D. Monnier, "A data exchange standard for optical (visible/IR)
    interferometry", PASP 117 (2005): visibilities are normalized to 1 at zero baseline.

    Examples
    --------
    >>> UnitFlux((1, 1, 2))(torch.tensor([[[1.0, 3.0]]]))
    tensor([[[0.2500, 0.7500]]])
    """

    domain: Space

    def __post_init__(self) -> None:
        if self.domain.kind != "real" or len(self.domain.shape) != 3:
            raise ShapeError(f"UnitFlux: the domain must be Space((channel, y, x)), real, got {self.domain}")

    @property
    def range(self) -> Space:
        """Images, ``(channel, y, x)`` real."""
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        flux = x.sum((-2, -1), keepdim=True)
        return x / torch.where(flux == 0, 1, flux)


def _check(operator: Amplitudes | SquaredVisibilities) -> None:
    name, domain, index = type(operator).__name__, operator.domain, operator.index
    if domain.kind != "complex" or len(domain.shape) != 2:
        raise ShapeError(f"{name}: the domain must be Space((rows, frequencies), 'complex'), got {domain}")
    if index is None:
        return
    if index.dtype != torch.int64 or index.ndim != 1:
        raise DtypeError(f"{name}: index must be int64 of shape (n,), got {index.dtype} {tuple(index.shape)}")
    if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < domain.size:
        raise ParameterError(f"{name}: an index lies outside the {domain.size} visibilities of {domain}")


def _range(operator: Amplitudes | SquaredVisibilities) -> Space:
    return Space(operator.domain.shape if operator.index is None else (len(operator.index),))


def _chosen(operator: Amplitudes | SquaredVisibilities, x: Tensor) -> Tensor:
    return x if operator.index is None else x.flatten(-2)[..., operator.index]
