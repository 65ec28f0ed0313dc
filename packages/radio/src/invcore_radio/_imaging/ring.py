"""Diameter, width, orientation and asymmetry of a ring in an image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invcore import DataError, ShapeError, Value

_ANGLES = 180
_REACH = 0.4  # of the field of view


class Ring(Value):
    """Ring parameters found by `measure_ring`.

    Lengths are in the unit of ``pixel``, angles in radians from north to east.

    Parameters
    ----------
    diameter : float
        Twice the radius of the brightest point, averaged over position angles.
    spread : float
        Standard deviation of twice that radius.
    width : float
        Mean full width at half maximum of the radial profiles.
    orientation : float
        Position angle of the bright side, in [0, 2π).
    asymmetry : float
        From 0 for a uniform ring to 1 for one with all its flux on one side.
    floor : float
        Brightness at the center relative to the mean along the ring: near 0 for a ring, about 1 for a disk.
    gap : float
        Ratio of the faintest to the brightest point along the ring: near 0 if it is not closed, as for
        separate sources.
    center : (float, float)
        Offset from the phase center, to the east and to the north.
    """

    diameter: float
    spread: float
    width: float
    orientation: float
    asymmetry: float
    floor: float
    gap: float
    center: tuple[float, float]

    @property
    def sharp_diameter(self) -> float:
        """Diameter of the infinitely thin ring that a circular Gaussian blur turns into this one.

        A thin ring of diameter d, blurred to a width w, has its ridge at the diameter d - w²/(4 ln 2 d).
        """
        return self.diameter + self.width**2 / (4 * math.log(2) * self.diameter)


@torch.no_grad()
def measure_ring(image: Tensor, *, pixel: float = 1.0) -> Ring:
    """Measure the ring in an image, as the Event Horizon Telescope does [1]_.

    The center is the point about which the radii of the brightest points, one for each position angle, vary
    least in relation to their mean. Diameter and width are means over the position angles; orientation and
    asymmetry are the phase and modulus of the first circular moment of the brightness, averaged over the
    radii within half a width of the ridge.

    Any image is measured: check ``floor`` and ``gap`` to see whether it shows a ring.

    Parameters
    ----------
    image : Tensor, shape (y, x) or (1, y, x)
        Image with north up and east left.
    pixel : float
        Size of a pixel, in the unit wanted for the lengths.

    Returns
    -------
    Ring

    Raises
    ------
    ShapeError, DataError
        If ``image`` is not a single image, or is nowhere positive.

    References
    ----------
    .. [1] The Event Horizon Telescope Collaboration, "First M87 Event Horizon Telescope results. IV. Imaging
       the central supermassive black hole", ApJL 875 (2019) L4, Section 9.

    Examples
    --------
    >>> y, x = torch.meshgrid(torch.arange(64.0) - 32, torch.arange(64.0) - 32, indexing="ij")
    >>> r = (x**2 + y**2).sqrt()
    >>> ring = measure_ring(torch.exp(-((r - 10) ** 2) / 8) * (1 + 0.5 * y / (r + 1)), pixel=2.0)
    >>> round(ring.diameter), round(math.degrees(ring.orientation))  # brighter in the south
    (40, 180)
    """
    if image.ndim == 3 and image.shape[0] == 1:
        image = image[0]
    if image.ndim != 2:
        raise ShapeError(f"measure_ring takes one image (y, x) or (1, y, x), got {tuple(image.shape)}")
    image = image.double().cpu()
    if not bool(torch.isfinite(image).all()) or not float(image.max()) > 0:
        raise DataError("measure_ring: the image must be finite and somewhere positive")
    center, reach = _centroid(image), _REACH * min(image.shape)
    for count, spacing, span, step in (
        (36, 0.5, 0.15 * min(image.shape), 2.0),
        (72, 0.25, 2.0, 0.5),
        (_ANGLES, 0.125, 0.5, 0.125),
    ):
        angles = torch.arange(count, dtype=torch.float64) * (2 * math.pi / count)
        radii = torch.arange(0, reach, spacing, dtype=torch.float64)
        n = max(1, round(span / step))
        shifts = torch.arange(-n, n + 1, dtype=torch.float64) * step
        candidates = center + torch.cartesian_prod(shifts, shifts)
        dispersions = []
        for some in candidates.split(64):
            peaks = radii[_profiles(image, some, angles, radii).argmax(-1)]
            mean = peaks.mean(-1)
            dispersions.append(torch.where(mean > 1.5, peaks.std(-1) / mean.clamp_min(1e-9), math.inf))
        center = candidates[torch.cat(dispersions).argmin()]

    profiles = _profiles(image, center[None], angles, radii)[0]  # (angle, radius)
    peak, at = profiles.max(-1)
    ridge = radii[at]
    diameter = 2 * float(ridge.mean())
    width = float(_widths(profiles, radii).mean())
    near = (radii - diameter / 2).abs() <= width / 2
    phases = torch.polar(torch.ones_like(angles), angles)
    ringwise = profiles[:, near].to(torch.complex128)
    moment = (phases[:, None] * ringwise).mean(0) / ringwise.mean(0)
    orientation = float(torch.angle((moment / moment.abs().clamp_min(1e-300)).mean()))
    ny, nx = image.shape
    return Ring(
        diameter=diameter * pixel,
        spread=2 * float(ridge.std()) * pixel,
        width=width * pixel,
        orientation=orientation % (2 * math.pi),
        asymmetry=float(moment.abs().mean()),
        floor=float(profiles[:, radii <= 0.125 * diameter].mean() / peak.mean()),
        gap=float(peak.min() / peak.max()),
        center=(float(nx // 2 - center[1]) * pixel, float(ny // 2 - center[0]) * pixel),
    )


def _centroid(image: Tensor) -> Tensor:
    """(row, column) of the center of brightness."""
    weight = image.clamp_min(0)
    row, column = (torch.arange(n, dtype=torch.float64) for n in image.shape)
    return torch.stack([(weight.sum(1) * row).sum(), (weight.sum(0) * column).sum()]) / weight.sum()


def _profiles(image: Tensor, centers: Tensor, angles: Tensor, radii: Tensor) -> Tensor:
    """Brightness along rays, (center, angle, radius), bilinearly interpolated; angles from north to east."""
    row = centers[:, 0, None, None] - radii * torch.cos(angles)[:, None]
    column = centers[:, 1, None, None] - radii * torch.sin(angles)[:, None]
    ny, nx = image.shape
    grid = torch.stack([2 * column / (nx - 1) - 1, 2 * row / (ny - 1) - 1], -1)
    flat = grid.reshape(1, len(centers), -1, 2)
    out = torch.nn.functional.grid_sample(image[None, None], flat, align_corners=True)
    return out.reshape(len(centers), len(angles), len(radii))


def _widths(profiles: Tensor, radii: Tensor) -> Tensor:
    """Full width at half maximum about the peak of each profile."""
    peak, at = profiles.max(-1, keepdim=True)
    index = torch.arange(len(radii))
    below = profiles < peak / 2
    inner = torch.where(below & (index < at), index, -1).amax(-1)
    outer = torch.where(below & (index > at), index, len(radii)).amin(-1)
    spacing = float(radii[1] - radii[0])
    return (outer - inner - 1).double() * spacing
