"""Photon counting of one scene at several laser wavelengths."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from invcore import Operator, ParameterError, Physics, ShapeError, Space
from invcore.noises import PoissonNoise
from invcore.spaces import broadcast_shapes

from .._photons.impulse import ImpulseResponse
from .returns import Gate, check_gate, check_impulse, check_pixels, check_trailing, returns
from .tcspc import blurred


class SpectralScene(NamedTuple):
    """Parts of an image.

    Attributes
    ----------
    depth : Tensor, shape (..., surface, y, x)
        Meters.
    reflectivity : Tensor, shape (..., wavelength, surface, y, x)
        Expected signal photons.
    background : Tensor, shape (..., wavelength, 1, y, x)
        Expected photons per bin.
    """

    depth: Tensor
    reflectivity: Tensor
    background: Tensor


class Multispectral(Operator):
    r"""Photon counting at several wavelengths, with common depths and separate reflectivities,

    .. math:: y_{l,b} = \sum_k r_{l,k} ∫_{t_b}^{t_{b+1}} h_l(t - 2 d_k/c) dt + β_l.

    Parameters
    ----------
    impulse : ImpulseResponse or tuple of ImpulseResponse
        h, for all wavelengths or for each, as lasers differ in the width and time of their pulses. Gradients
        reach the parameters.
    wavelengths : int
        L.
    bins, bin_width, shape, start, surfaces, psf, boundary
        As for `TCSPC`, the same for all wavelengths.

    Notes
    -----
    Domain ``(K + L K + L, y, x)``, channels in the order d₁ … d_K in meters; r of the first wavelength for
    all K surfaces, then of the next …, in photons; β₁ … β_L in photons per bin. Range ``(wavelength, bin, y,
    x)``. With one wavelength it is `TCSPC`.

    Raises
    ------
    ParameterError, ShapeError
        If the fields describe no gate or image, or the number of responses is not that of the wavelengths.

    References
    ----------
    A. M. Wallace et al., "Design and evaluation of multispectral LiDAR for the recovery of arboreal
    parameters", IEEE Trans. Geosci. Remote Sens. 52 (2014). J. Tachella et al., "Bayesian 3D reconstruction
    of subsampled multispectral single-photon lidar signals", IEEE Trans. Comput. Imaging 6 (2020).

    Examples
    --------
    >>> h = ImpulseResponse.gaussian(fwhm=1e-9)
    >>> A = Multispectral(impulse=h, wavelengths=4, bins=50, bin_width=1e-9, shape=(2, 3), surfaces=2)
    >>> A.domain.shape, A.range.shape
    ((14, 2, 3), (4, 50, 2, 3))
    """

    impulse: ImpulseResponse | tuple[ImpulseResponse, ...]
    wavelengths: int
    bins: int
    bin_width: float
    shape: tuple[int, int]
    start: float = 0.0
    surfaces: int = 1
    psf: Tensor | None = None
    boundary: Literal["replicate", "reflect", "zero", "circular"] = "replicate"
    params = ("psf",)

    def __post_init__(self) -> None:
        for impulse in self.impulse if isinstance(self.impulse, tuple) else (self.impulse,):
            check_impulse(self, impulse)
        check_gate(self, self.bins, self.bin_width, self.start)
        check_pixels(self, self.shape, self.surfaces)
        check_trailing(self, "psf", self.psf, None)
        if not isinstance(self.wavelengths, int) or self.wavelengths < 1:
            raise ParameterError(
                f"Multispectral: wavelengths must be a positive int, got {self.wavelengths!r}"
            )
        if isinstance(self.impulse, tuple) and len(self.impulse) != self.wavelengths:
            raise ParameterError(
                f"Multispectral: {self.wavelengths} wavelengths need that many impulse responses, or a "
                f"single one, got {len(self.impulse)}"
            )

    @property
    def domain(self) -> Space:
        return Space((self.surfaces + self.wavelengths * (self.surfaces + 1), *self.shape))

    @property
    def range(self) -> Space:
        return Space((self.wavelengths, self.bins, *self.shape))

    @property
    def gate(self) -> Gate:
        """Start, bin width and number of bins."""
        return Gate(self.start, self.bin_width, self.bins)

    def forward(self, x: Tensor) -> Tensor:
        depth, photons, background = self.scene(x)
        base = background if self.psf is None else None
        if isinstance(self.impulse, tuple):
            cubes = [
                returns(depth, r, h, self.gate, base=None if base is None else b)
                for h, r, b in zip(self.impulse, photons.unbind(-4), background.unbind(-4))
            ]
            batch = broadcast_shapes(*(c.shape[:-3] for c in cubes))
            cube = torch.stack([c.expand(*batch, *c.shape[-3:]) for c in cubes], dim=-4)
        else:
            cube = returns(depth.unsqueeze(-4), photons, self.impulse, self.gate, base=base, axes=5)
        if self.psf is None:
            return cube
        return (
            blurred(cube.flatten(-4, -3), self.psf, self.boundary).unflatten(-3, self.range.shape[:2])
            + background
        )

    def scene(self, x: Tensor) -> SpectralScene:
        """Split an image into depth, reflectivity and background.

        Parameters
        ----------
        x : Tensor, shape (..., K + L K + L, y, x)

        Returns
        -------
        SpectralScene
            ``depth`` (..., K, y, x), ``reflectivity`` (..., L, K, y, x), ``background`` (..., L, 1, y, x).
        """
        k, n = self.surfaces, self.wavelengths
        depth, photons, background = x.split([k, k * n, n], dim=-3)
        return SpectralScene(depth, photons.unflatten(-3, (n, k)), background.unsqueeze(-3))

    def image(self, *, depth: Tensor, reflectivity: Tensor, background: Tensor | float = 0.0) -> Tensor:
        """Assemble an image.

        Parameters
        ----------
        depth : Tensor, shape (..., K, y, x)
            Meters.
        reflectivity : Tensor, shape (..., L, K, y, x)
            Expected signal photons.
        background : float or Tensor, shape (..., L, 1, y, x)
            Expected photons per bin.

        Returns
        -------
        Tensor, shape (..., K + L K + L, y, x)

        Raises
        ------
        ShapeError
            If a part has another shape.
        """
        k, n = self.surfaces, self.wavelengths
        if not isinstance(background, Tensor):
            background = reflectivity.new_full((n, 1, *self.shape), background)
        parts = SpectralScene(depth, reflectivity, background)
        shapes = ((k, *self.shape), (n, k, *self.shape), (n, 1, *self.shape))
        for name, part, shape in zip(SpectralScene._fields, parts, shapes):
            if tuple(part.shape[part.ndim - len(shape) :]) != shape:
                raise ShapeError(
                    f"Multispectral.image: {name} must be (..., {str(shape)[1:-1]}), got {tuple(part.shape)}"
                )
        flat = (depth, reflectivity.flatten(-4, -3), background.flatten(-4, -3))
        batch = broadcast_shapes(*(p.shape[:-3] for p in flat))
        return torch.cat([p.expand(*batch, *p.shape[-3:]) for p in flat], dim=-3)

    def physics(self) -> Physics:
        """Return the measurement: these rates, counted with Poisson noise."""
        return Physics(operator=self, noise=PoissonNoise())
