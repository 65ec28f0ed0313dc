"""Objectives, and the media between them and the emitter."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invcore import ParameterError, Value


class Objective(Value):
    """Wavelength, numerical aperture and immersion of an imaging system.

    Parameters
    ----------
    wavelength : float
        Vacuum wavelength λ in meters.
    na : float
        Numerical aperture on the side of the object.
    index : float
        Refractive index n of the immersion medium: 1 for air, 1.33 for water, 1.515 for oil.

    Raises
    ------
    ParameterError
        If NA is not between 0 and n, or a length not positive.

    Examples
    --------
    >>> objective = Objective(wavelength=520e-9, na=1.4, index=1.515)
    >>> round(1e9 * objective.pixel, 1), round(1e9 * objective.spacing)
    (92.9, 278)
    """

    wavelength: float
    na: float
    index: float = 1.0
    positional = 2

    def __post_init__(self) -> None:
        if not (isinstance(self.wavelength, int | float) and 0 < self.wavelength < math.inf):
            raise ParameterError(
                f"Objective: wavelength is a positive length in meters, got {self.wavelength!r}"
            )
        if not (self.index > 0 and 0 < self.na < self.index):
            raise ParameterError(
                f"Objective: 0 < na < index is needed (na = index sin α), got na={self.na!r}, "
                f"index={self.index!r}; index= is that of the immersion medium"
            )

    @property
    def cutoff(self) -> float:
        """Highest frequency of incoherent images, 2 NA / λ, in cycles per meter."""
        return 2 * self.na / self.wavelength

    @property
    def pixel(self) -> float:
        """Largest pixel, in the object, that samples all frequencies: λ / (4 NA), in meters."""
        return self.wavelength / (4 * self.na)

    @property
    def spacing(self) -> float:
        """Largest distance of planes that samples all axial frequencies: λ / (2 n (1 - cos α)), in meters."""
        cosine = math.sqrt(1 - (self.na / self.index) ** 2)
        return self.wavelength / (2 * self.index * (1 - cosine))

    def path(self, radius: Tensor, z: Tensor, medium: StratifiedMedium | None = None) -> Tensor:
        """Return the optical path in meters, relative to the axis, at a defocus of ``z`` meters.

        Parameters
        ----------
        radius : Tensor, shape (...)
            Pupil coordinate ρ, 1 at the edge.
        z : Tensor, shape broadcasting with ``radius``
        medium : StratifiedMedium, optional
            Without one, z (sqrt(n² - NA²ρ²) - n).
        """
        lateral = (self.na * radius) ** 2
        if medium is None:
            return z * _slowness(self.index, lateral)
        return z * _slowness(medium.immersion_index, lateral) + medium.path(lateral)


class StratifiedMedium(Value):
    r"""Sample, coverslip and immersion that differ from those an objective is made for (Gibson and Lanni).

    An emitter at depth d below the coverslip has the optical path, up to a constant,

    .. math:: W(ρ) = d\,q_s + t_g q_g - t_g^* q_g^* + t_i q_i - t_i^* q_i^*, \qquad
       q = \sqrt{n^2 - NA^2 ρ^2},

    with indices n and thicknesses t of coverslip (g) and immersion (i), design values starred, and

    .. math:: t_i = z + n_i \left(-\frac{t_g}{n_g} + \frac{t_g^*}{n_g^*} + \frac{t_i^*}{n_i^*}
       - \frac{d}{n_s}\right),

    so that z = 0 is the paraxial focus. Light beyond the critical angle of the sample is neglected.

    Parameters
    ----------
    sample_index : float
        n_s.
    depth : float
        d in meters.
    immersion_index, design_immersion_index : float
        n_i and its design value.
    coverslip_index, design_coverslip_index : float
        n_g and its design value.
    coverslip, design_coverslip : float
        Thickness t_g and its design value in meters.
    working_distance : float
        Design thickness of the immersion layer t_i* in meters.

    Raises
    ------
    ParameterError

    References
    ----------
    S. F. Gibson, F. Lanni, "Experimental test of an analytical model of aberration in an oil-immersion
    objective lens used in three-dimensional light microscopy", J. Opt. Soc. Am. A 8 (1991).

    Examples
    --------
    >>> medium = StratifiedMedium(sample_index=1.33, depth=5e-6)
    >>> objective = Objective(520e-9, 1.2, index=1.515)
    >>> rho = torch.tensor([0.0, 1.0], dtype=torch.float64)
    >>> (1e9 * objective.path(rho, torch.zeros(()), medium)).round().tolist()
    [0.0, -421.0]
    """

    sample_index: float
    depth: float = 0.0
    immersion_index: float = 1.515
    design_immersion_index: float = 1.515
    coverslip_index: float = 1.515
    design_coverslip_index: float = 1.515
    coverslip: float = 170e-6
    design_coverslip: float = 170e-6
    working_distance: float = 150e-6
    positional = 2

    def __post_init__(self) -> None:
        media = (self.sample_index, self.immersion_index, self.design_immersion_index)
        glass = (self.coverslip_index, self.design_coverslip_index)
        lengths = (self.coverslip, self.design_coverslip, self.working_distance)
        if not all(1 <= n < 5 for n in media + glass) or not all(
            0 <= t < 0.1 for t in (*lengths, self.depth)
        ):
            raise ParameterError(
                f"StratifiedMedium: refractive indices lie in [1, 5), depths in [0, 0.1) m, got {self!r}"
            )

    @property
    def lowest(self) -> float:
        """The smallest of the refractive indices, above which NA carries no light."""
        return min(self.sample_index, self.immersion_index, self.coverslip_index)

    def path(self, lateral: Tensor) -> Tensor:
        """Return the optical path in meters, relative to the axis, at (NA ρ)² and z = 0."""
        immersion = self.immersion_index * (
            self.design_coverslip / self.design_coverslip_index
            - self.coverslip / self.coverslip_index
            + self.working_distance / self.design_immersion_index
            - self.depth / self.sample_index
        )
        return (
            self.depth * _slowness(self.sample_index, lateral)
            + self.coverslip * _slowness(self.coverslip_index, lateral)
            - self.design_coverslip * _slowness(self.design_coverslip_index, lateral)
            + immersion * _slowness(self.immersion_index, lateral)
            - self.working_distance * _slowness(self.design_immersion_index, lateral)
        )


def _slowness(index: float, lateral: Tensor) -> Tensor:
    """sqrt(n² - s) - n without cancellation; s is cut just below n²."""
    s = lateral.clamp(max=0.999999 * index**2)
    return -s / (torch.sqrt(index**2 - s) + index)
