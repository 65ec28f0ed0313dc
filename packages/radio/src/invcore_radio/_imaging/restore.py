"""Restored images: a model convolved with a Gaussian beam, plus the residual."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError, Physics, ShapeError, Value
from invcore.operators import LinearOperator

from .._operators.interferometer import Interferometer
from .clean_beams import beam_and_norm, convolved, image_space, natural, sensitivity


class RestoringBeam(Value):
    r"""Elliptic Gaussian of peak 1, :math:`\exp(-4 \ln 2 (a²/M² + b²/m²))` for distances a, b along its axes.

    Parameters
    ----------
    major, minor : float
        Full widths at half maximum M ≥ m, in radians.
    angle : float
        Position angle of the major axis in radians, from north through east.

    Raises
    ------
    ParameterError
        If the widths are not positive, or in the wrong order.

    Examples
    --------
    >>> RestoringBeam(major=4.0, minor=2.0).pixels(1.0)
    9.064720283654388
    """

    major: float
    minor: float
    angle: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.minor <= self.major < math.inf:
            raise ParameterError(
                f"RestoringBeam: expected widths 0 < minor <= major, got {self.minor!r} and {self.major!r}"
            )

    def pixels(self, pixel: float) -> float:
        """Return the solid angle of the beam in pixels, the ratio of Jy/beam to Jy/pixel."""
        return math.pi / (4 * math.log(2)) * self.major * self.minor / pixel**2

    def kernel(self, pixel: float, *, dtype: torch.dtype = torch.float64) -> Tensor:
        """Return the beam, sampled with pixels of that size (radians), out to where it is below 1e-7.

        Returns
        -------
        Tensor, shape (2h+1, 2h+1)
            The peak is in the middle.
        """
        h = math.ceil(2.5 * self.major / pixel)
        at = -pixel * torch.arange(-h, h + 1, dtype=torch.float64)
        north, east = at[:, None], at
        along = north * math.cos(self.angle) + east * math.sin(self.angle)
        across = east * math.cos(self.angle) - north * math.sin(self.angle)
        power = (along / self.major) ** 2 + (across / self.minor) ** 2
        return torch.exp(-4 * math.log(2) * power).to(dtype)

    def blur(self, x: Tensor, pixel: float) -> Tensor:
        """Convolve an image (..., y, x) in Jy/pixel, zero outside, with this beam to Jy/beam."""
        return convolved(x, self.kernel(pixel, dtype=x.real.dtype).to(x.device))


def fit_beam(beam: Tensor, *, pixel: float, level: float = 0.35) -> RestoringBeam:
    """Fit a Gaussian to the main lobe of a dirty beam by least squares.

    Parameters
    ----------
    beam : Tensor, shape (..., y, x)
        Dirty beam, its peak of 1 at the pixel (ny//2, nx//2); the first one of a batch is used.
    pixel : float
        Size of a pixel in radians.
    level : float
        The main lobe is the connected region around the peak above this level.

    Raises
    ------
    DataError
        If the beam is not finite, or its main lobe fills the image or is not resolved by the pixels.

    Examples
    --------
    >>> wide = RestoringBeam(major=6.0, minor=3.0, angle=0.5)
    >>> found = fit_beam(wide.kernel(1.0), pixel=1.0)
    >>> round(found.major, 3), round(found.minor, 3), round(found.angle, 3)
    (6.0, 3.0, 0.5)
    """
    from scipy.ndimage import label
    from scipy.optimize import least_squares

    ny, nx = beam.shape[-2:]
    image = beam.detach().reshape(-1, ny, nx)[0].real.double().cpu().numpy()
    if not np.isfinite(image).all():
        raise DataError("fit_beam: the dirty beam must be finite everywhere")
    regions, _ = label(image >= level * image[ny // 2, nx // 2], np.ones((3, 3)))
    rows, columns = np.nonzero(regions == regions[ny // 2, nx // 2])
    north, east, values = ny // 2 - rows, nx // 2 - columns, image[rows, columns]
    if len(values) < 5 or np.ptp(north) < 2 or np.ptp(east) < 2:
        raise DataError(
            f"fit_beam: {len(values)} pixels of the main lobe are above {level:g}; "
            "take pixels of a third of the resolution"
        )

    if np.ptp(rows) == ny - 1 and np.ptp(columns) == nx - 1:
        raise DataError("fit_beam: the main lobe fills the image: take a larger image of the dirty beam")

    def misfit(p: np.ndarray) -> np.ndarray:
        a, b, c = np.exp(p[0]), p[1], np.exp(p[2])
        return np.asarray(np.exp(-0.5 * (a * east**2 + 2 * b * east * north + c * north**2)) - values)

    width = max(1.0, math.sqrt(len(values) / math.pi))
    start = math.log(2 * math.log(1 / level)) - 2 * math.log(width)
    a, b, c = least_squares(misfit, [start, 0.0, start], method="lm").x
    curvature = np.array([[math.exp(a), b], [b, math.exp(c)]])
    values, vectors = np.linalg.eigh(curvature)
    if not values[0] > 0:
        raise DataError("fit_beam: the main lobe has no Gaussian fit of finite width: is this a dirty beam?")
    minor, major = (math.sqrt(8 * math.log(2) / v) * pixel for v in (values[1], values[0]))
    direction = vectors[:, 0]
    angle = math.remainder(math.atan2(direction[0], direction[1]), math.pi)
    return RestoringBeam(major=major, minor=min(minor, major), angle=angle)


class Restored(NamedTuple):
    """Result of `restore`.

    Attributes
    ----------
    image : Tensor, shape (..., channel, y, x)
        The model convolved with the restoring beam, plus the residual, in Jy/beam.
    residual : Tensor, shape (..., channel, y, x)
        The dirty image of the data minus the model, in Jy/beam.
    beam : RestoringBeam
        The restoring beam.
    """

    image: Tensor
    residual: Tensor
    beam: RestoringBeam


def restore(
    x: Tensor,
    y: Tensor,
    physics: Physics,
    *,
    weights: Tensor | None = None,
    beam: RestoringBeam | None = None,
) -> Restored:
    r"""Convolve a model with a Gaussian beam of the resolution of the data, and add the residual,

    .. math:: G x + c^{-1} A^{\mathsf H} W (y - A x).

    This is the usual presentation of a CLEAN model.

    Parameters
    ----------
    x : Tensor, shape (..., channel, y, x)
        Model of the sky in Jy/pixel, from `Clean` or any other method.
    y : Tensor, shape (..., row, frequency)
        Visibilities in Jy.
    physics : Physics
        Physics with an `Interferometer`.
    weights : Tensor, shape (..., row, frequency), optional
        Imaging weights W; natural ones by default.
    beam : RestoringBeam, optional
        Restoring beam G; by default fitted to the main lobe of the dirty beam.

    Returns
    -------
    Restored

    Raises
    ------
    ParameterError
        If the operator is not an `Interferometer`, or its pixels are not square.

    Examples
    --------
    >>> from invcore_radio import Clean, vla
    >>> vis = vla("D").observe(hour_angles=(-1.0, 1.0))
    >>> physics = vis.physics(shape=(32, 32), pixel=7e-5)
    >>> x = torch.zeros(1, 32, 32)
    >>> x[0, 12, 20] = 1.0
    >>> picture = restore(x, physics.operator(x), physics)
    >>> round(float(picture.image.max()), 3), bool(picture.residual.abs().max() < 1e-4)
    (1.0, True)
    """
    A = physics.operator
    if not isinstance(A, Interferometer):
        raise ParameterError(f"restore: expected an Interferometer, got {type(A).__name__}")
    py, px = A.pixel if isinstance(A.pixel, tuple) else (A.pixel, A.pixel)
    if py != px:
        raise ParameterError(f"restore: expected square pixels, got {A.pixel}")
    used = _weights(A, physics, y, weights)
    dirty_beam, norm = beam_and_norm(A, used, x)
    if beam is None:
        beam = fit_beam(dirty_beam, pixel=py)
    residual = A.H(used * (y - A(x))) / norm[..., None, None]
    field = sensitivity(A, used, x)
    if field is not None:
        residual = torch.where(field > 0, residual / torch.where(field > 0, field, 1) ** 2, 0)
    return Restored(beam.blur(x, py) + residual, residual, beam)


def _weights(A: LinearOperator, physics: Physics, y: Tensor, weights: Tensor | None) -> Tensor:
    image_space(A, "restore")
    if weights is None:
        return natural(physics.likelihood(), physics.noise.random, y, 2).weights
    if weights.ndim < 2 or weights.shape[-2:] != y.shape[-2:]:
        raise ShapeError(
            f"restore: expected weights of shape {tuple(y.shape[-2:])}, got {tuple(weights.shape)}"
        )
    return weights.to(y.real)
