"""Primary beams of antennas, and single-dish maps."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from invcore import DtypeError, LinearOperator, ParameterError, ShapeError, Space

from .direct import SPEED_OF_LIGHT, direction_cosines

_HALF_POWER = 1.0289939  # FWHM of an Airy pattern in units of wavelength / diameter


def gaussian_beam(
    *,
    shape: tuple[int, int],
    pixel: float | tuple[float, float],
    frequencies: Tensor,
    diameter: float | Tensor | None = None,
    fwhm: float | Tensor | None = None,
    reference: float | None = None,
    pointing: tuple[float, float] | Tensor = (0.0, 0.0),
) -> Tensor:
    r"""Gaussian power pattern of an antenna,

    .. math:: B_{p,ν} = e^{-4 \ln 2 ((l_p - l_0)^2 + (m_p - m_0)^2)/θ_ν^2},

    whose width falls with frequency: θ_ν = 1.029 c/(ν D) for a dish of diameter D, or scaled from a reference
    frequency.

    Parameters
    ----------
    shape : (int, int)
        Pixels of the image, ``(ny, nx)``.
    pixel : float or (float, float)
        Size of a pixel in radians; ``(y, x)`` if two.
    frequencies : Tensor, shape (frequency,)
        Frequencies in Hz.
    diameter : float or Tensor, optional
        Diameter D in meters. Give this or ``fwhm``.
    fwhm : float or Tensor, optional
        Full width at half power at ``reference``, in radians (direction cosine).
    reference : float, optional
        Frequency in Hz at which ``fwhm`` holds; required with it.
    pointing : (float, float) or Tensor of 2
        Direction cosines ``(l, m)`` of the antenna's axis relative to the phase center.

    Returns
    -------
    Tensor, shape (frequency, y, x)
        Power pattern, 1 on the axis; differentiable with respect to ``diameter``, ``fwhm`` and ``pointing``.

    Raises
    ------
    ParameterError
        Unless the width is given in exactly one of the two ways.

    References
    ----------
    T. L. Wilson, K. Rohlfs and S. Hüttemeister, "Tools of Radio Astronomy" (2013), Section 7.

    Examples
    --------
    >>> B = gaussian_beam(shape=(1, 5), pixel=1e-3, frequencies=torch.tensor([1e9]), fwhm=4e-3, reference=1e9)
    >>> [round(b, 3) for b in B.flatten().tolist()]
    [0.5, 0.841, 1.0, 0.841, 0.5]
    """
    r2 = _squared_distance(shape, pixel, frequencies, pointing)
    if any(isinstance(given, int | float) and not given > 0 for given in (diameter, fwhm, reference)):
        raise ParameterError(
            f"gaussian_beam: diameter, fwhm and reference must be positive, got {diameter}, {fwhm} and "
            f"{reference}"
        )
    if diameter is not None and fwhm is None and reference is None:
        width = _HALF_POWER * SPEED_OF_LIGHT / (frequencies.double() * diameter)
    elif fwhm is not None and reference is not None and diameter is None:
        width = fwhm * reference / frequencies.double()
    else:
        raise ParameterError(
            "gaussian_beam: give diameter (m) alone, or fwhm (radians) with reference (the frequency in Hz "
            "at which it holds)"
        )
    return torch.exp(-4 * math.log(2) * r2 / width[:, None, None] ** 2).to(frequencies.dtype)


def airy_beam(
    *,
    shape: tuple[int, int],
    pixel: float | tuple[float, float],
    frequencies: Tensor,
    diameter: float,
    blockage: float = 0.0,
    pointing: tuple[float, float] | Tensor = (0.0, 0.0),
) -> Tensor:
    r"""Power pattern of a uniformly illuminated circular aperture with a central blockage,

    .. math:: B = ((D^2 j(D) - d^2 j(d))/(D^2 - d^2))^2, \quad j(a) = 2 J_1(z)/z, \quad z = π a ν r/c,

    with the distance r from the axis in direction cosines.

    Parameters
    ----------
    shape : (int, int)
        Pixels of the image, ``(ny, nx)``.
    pixel : float or (float, float)
        Size of a pixel in radians; ``(y, x)`` if two.
    frequencies : Tensor, shape (frequency,)
        Frequencies in Hz.
    diameter : float
        Diameter D in meters.
    blockage : float
        Diameter d in meters of the part hidden by the secondary mirror.
    pointing : (float, float) or Tensor of 2
        Direction cosines ``(l, m)`` of the antenna's axis relative to the phase center.

    Returns
    -------
    Tensor, shape (frequency, y, x)
        Power pattern, 1 on the axis, without gradients.

    Raises
    ------
    ParameterError
        If the blockage is not smaller than the aperture.

    References
    ----------
    M. Born and E. Wolf, "Principles of Optics" (1999), Sections 8.5.2 and 8.6.2.

    Examples
    --------
    Half power at half of 1.029 λ/D:

    >>> nu = torch.tensor([SPEED_OF_LIGHT])
    >>> B = airy_beam(shape=(1, 3), pixel=1.029 / 2 / 25.0, frequencies=nu, diameter=25.0)
    >>> [round(b, 3) for b in B.flatten().tolist()]
    [0.5, 1.0, 0.5]
    """
    if not 0 <= blockage < diameter:
        raise ParameterError(f"airy_beam: blockage must be from 0 to the diameter {diameter}, got {blockage}")
    with torch.no_grad():
        r = _squared_distance(shape, pixel, frequencies, pointing).sqrt()
        z = math.pi / SPEED_OF_LIGHT * frequencies.double()[:, None, None] * r
        amplitude = diameter**2 * _jinc(diameter * z) - blockage**2 * _jinc(blockage * z)
        return ((amplitude / (diameter**2 - blockage**2)) ** 2).to(frequencies.dtype)


def _jinc(z: Tensor) -> Tensor:
    from scipy.special import j1  # torch's own is accurate to 5e-7 only

    safe = z.clamp_min(1e-8)
    return torch.where(z > 1e-8, 2 * torch.from_numpy(j1(safe.cpu().numpy())).to(z.device) / safe, 1.0)


def _squared_distance(
    shape: tuple[int, int],
    pixel: float | tuple[float, float],
    frequencies: Tensor,
    pointing: tuple[float, float] | Tensor,
) -> Tensor:
    l, m, _ = direction_cosines(shape, pixel, device=frequencies.device)
    return (l - pointing[0]) ** 2 + (m - pointing[1]) ** 2


class SingleDish(LinearOperator):
    r"""Measurement of an image by a single dish that scans the sky,

    .. math:: y_{k,ν} = Σ_p e^{-4 \ln 2 ((l_p - l_k)^2 + (m_p - m_k)^2)/θ_ν^2} x_p.

    With x in Jy/pixel, y is in Jy/beam. It measures the large scales that an interferometer lacks: `stack`
    the two.

    Parameters
    ----------
    pointings : Tensor, shape (..., pointing, 2)
        Direction cosines ``(l, m)`` of the axis, l to the east, m to the north. A parameter ξ.
    fwhm : Tensor, shape (..., frequency)
        Full width of the beam at half power in radians. A parameter ξ.
    shape : (int, int)
        Pixels of the image, ``(ny, nx)``.
    pixel : float or (float, float)
        Size of a pixel in radians; ``(y, x)`` if two.
    channels : int
        1 for an image that is the same at all frequencies, or the number of frequencies.

    Notes
    -----
    The domain is ``(channels, ny, nx)``, the range ``(pointing, frequency)``, both real. The pixel grid is
    that of `Interferometer`.

    References
    ----------
    T. L. Wilson, K. Rohlfs and S. Hüttemeister, "Tools of Radio Astronomy" (2013), Section 7.

    Examples
    --------
    >>> pointings = torch.tensor([[0.0, 0.0], [1e-3, 0.0]])
    >>> A = SingleDish(pointings=pointings, fwhm=torch.tensor([2e-3]), shape=(3, 3), pixel=1e-3)
    >>> x = torch.zeros(1, 3, 3)
    >>> x[0, 1, 1] = 2.0
    >>> A(x).round(decimals=3)
    tensor([[2.],
            [1.]])
    """

    pointings: Tensor
    fwhm: Tensor
    shape: tuple[int, int]
    pixel: float | tuple[float, float]
    channels: int = 1
    params: ClassVar[tuple[str, ...]] = ("pointings", "fwhm")

    def __post_init__(self) -> None:
        for name, t in (("pointings", self.pointings), ("fwhm", self.fwhm)):
            if not isinstance(t, Tensor) or not t.is_floating_point():
                got = t.dtype if isinstance(t, Tensor) else type(t).__name__
                raise DtypeError(f"SingleDish: {name} must be a real floating-point tensor, got {got}")
        if self.pointings.ndim < 2 or self.pointings.shape[-1] != 2:
            raise ShapeError(
                f"SingleDish: pointings must be (..., pointing, 2), got {tuple(self.pointings.shape)}"
            )
        if self.fwhm.ndim < 1:
            raise ShapeError("SingleDish: fwhm must be (..., frequency), got a number without dimensions")
        if bool((self.fwhm.detach() <= 0).any()):
            raise ParameterError("SingleDish: fwhm must be positive (radians)")
        sides = self.pixel if isinstance(self.pixel, tuple) else (self.pixel,)
        if not all(p > 0 for p in sides):
            raise ParameterError(f"SingleDish: pixel must be positive (radians), got {self.pixel!r}")
        if self.channels not in (1, self.fwhm.shape[-1]):
            raise ParameterError(
                f"SingleDish: channels must be 1 or the number of frequencies {self.fwhm.shape[-1]}, got "
                f"{self.channels!r}"
            )

    @property
    def domain(self) -> Space:
        return Space((self.channels, *self.shape))

    @property
    def range(self) -> Space:
        return Space((self.pointings.shape[-2], self.fwhm.shape[-1]))

    def forward(self, x: Tensor) -> Tensor:
        l, m, _ = direction_cosines(self.shape, self.pixel, device=x.device)
        sharpness = -4 * math.log(2) / self.fwhm.double()[..., None, :, None] ** 2

        def profile(axis: Tensor, centers: Tensor) -> Tensor:  # (..., pointing, frequency, pixel)
            offset = axis - centers.double()[..., None]
            return torch.exp(sharpness * offset[..., None, :] ** 2).to(x.dtype)

        east, north = profile(l, self.pointings[..., 0]), profile(m.flatten(), self.pointings[..., 1])
        if self.channels == 1:
            rows = torch.einsum("...kfy,...yx->...kfx", north, x[..., 0, :, :])
        else:
            rows = torch.einsum("...kfy,...fyx->...kfx", north, x)
        return (rows * east).sum(-1)
