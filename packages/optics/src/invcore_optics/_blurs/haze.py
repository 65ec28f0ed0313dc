"""Haze: light of the scene fades with distance, and that of the air takes its place."""

from __future__ import annotations

import torch
from torch import Tensor

from invcore import DtypeError, ShapeError
from invcore.operators import Operator, Space


class Haze(Operator):
    r"""A scene behind haze (Koschmieder's law), an affine map of the scene.

    .. math:: y_{cp} = t_{cp}\, x_{cp} + (1 - t_{cp})\, a_c, \qquad t = e^{-\tau}

    with τ = β d the optical thickness, the scattering coefficient β of the air (1/m) times the distance d
    (m), and a the light of the air, which a pixel at infinity shows. Derivatives reach scene, thickness and
    airlight.

    Parameters
    ----------
    thickness : Tensor, shape (..., channel or 1, y, x)
        τ ≥ 0; leading dimensions are batch.
    airlight : Tensor, shape (..., channel or 1)
        a, in the unit of the image.
    domain : Space
        ``(channel, y, x)``, real.

    Raises
    ------
    ShapeError, DtypeError

    References
    ----------
    .. [1] S. G. Narasimhan and S. K. Nayar, "Vision and the atmosphere", Int. J. Comput. Vis. 48 (2002).
    .. [2] K. He, J. Sun, X. Tang, "Single image haze removal using dark channel prior", IEEE Trans. Pattern
       Anal. Mach. Intell. 33 (2011).

    Examples
    --------
    >>> near_and_far = torch.tensor([[[0.0, 50.0]]])
    >>> A = Haze(thickness=near_and_far, airlight=torch.tensor([0.8]), domain=(1, 1, 2))
    >>> A(torch.tensor([[[0.1, 0.1]]]))
    tensor([[[0.1000, 0.8000]]])
    """

    thickness: Tensor
    airlight: Tensor
    domain: Space
    params = ("thickness", "airlight")

    def __post_init__(self) -> None:
        if len(self.domain.shape) != 3 or self.domain.kind != "real":
            raise ShapeError(f"Haze: the image must be real and (channel, y, x), got {self.domain}")
        for name, t in (("thickness", self.thickness), ("airlight", self.airlight)):
            if not t.is_floating_point():
                raise DtypeError(f"Haze: {name} must be real floating point, got {t.dtype}")
        channels, *spatial = self.domain.shape
        shape = tuple(self.thickness.shape)
        if len(shape) < 3 or shape[-3] not in (1, channels) or list(shape[-2:]) != spatial:
            raise ShapeError(
                f"Haze: thickness must be (..., {channels} or 1, y, x) of {self.domain}, got {shape}"
            )
        if self.airlight.ndim < 1 or self.airlight.shape[-1] not in (1, channels):
            raise ShapeError(
                f"Haze: airlight must be (..., {channels} or 1) for {self.domain}, got "
                f"{tuple(self.airlight.shape)}"
            )

    @property
    def range(self) -> Space:
        return self.domain

    @property
    def transmission(self) -> Tensor:
        """t, of the shape of ``thickness``."""
        return torch.exp(-self.thickness)

    def forward(self, x: Tensor) -> Tensor:
        air = self.airlight[..., None, None]
        return air + self.transmission * (x - air)

    def clear(self, y: Tensor, *, least: float = 0.1) -> Tensor:
        """Return the scene without haze, (y − a)/max(t, least) + a.

        Parameters
        ----------
        y : Tensor, shape (..., channel, y, x)
        least : float
            Where less of the scene gets through, noise would be amplified further: some haze stays.
        """
        air = self.airlight[..., None, None]
        return air + (y - air) / self.transmission.clamp_min(least)
