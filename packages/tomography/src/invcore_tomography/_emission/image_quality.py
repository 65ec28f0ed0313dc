"""Image-quality phantom of emission tomography, after the NEMA standard, and recovery in its images."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError, Value

from .._geometry.grid import Grid
from .._phantoms.phantom import Phantom
from .._phantoms.shapes import ellipses, ellipsoids

_DIAMETERS = (0.010, 0.013, 0.017, 0.022, 0.028, 0.037)  # of the spheres, in meters
_RING = 0.0572  # distance of their centers from the axis
_LUNG = 0.0255  # radius of the insert without activity
_BODY = (0.147, 0.110)  # semi-axes of the body
_TALL = 10.0  # in 3-D body and insert are ellipsoids so tall that they are cylinders where the grid is
_WATER, _AIR = 9.6, 2.9  # attenuation at 511 keV in 1/m, of water and of the insert (lung)


class Recovery(NamedTuple):
    """Result of `ImageQuality.recovery`; tensors of shape (..., sphere), the last of shape (...)."""

    diameters: tuple[float, ...]
    coefficients: Tensor
    contrast: Tensor
    variability: Tensor


class ImageQuality(Value):
    """A body of water with six hot spheres and an insert without activity, after the NEMA NU 2 phantom.

    The spheres have diameters of 10, 13, 17, 22, 28 and 37 mm and lie on a circle of radius 57.2 mm; the
    insert is 51 mm wide. The body is an elliptical cylinder, which the standard's is not: its outline is
    simpler here. In 2-D it is the plane through the centers.

    Parameters
    ----------
    spatial_dims : int
        2 or 3.
    ratio : float
        Activity of the spheres over that of the body.
    activity : float
        Activity of the body, per unit of volume.

    References
    ----------
    NEMA Standards Publication NU 2, "Performance Measurements of Positron Emission Tomographs" (2018),
    section 7.

    Examples
    --------
    >>> grid = Grid(shape=(64, 80), spacing=0.004)
    >>> phantom = ImageQuality(ratio=4.0)
    >>> x = phantom.activity_image(grid)
    >>> phantom.recovery(x, grid).coefficients.round(decimals=2)
    tensor([1., 1., 1., 1., 1., 1.])
    """

    spatial_dims: int = 2
    ratio: float = 4.0
    activity: float = 1.0

    def __post_init__(self) -> None:
        if self.spatial_dims not in (2, 3):
            raise ParameterError(f"ImageQuality: spatial_dims must be 2 or 3, got {self.spatial_dims!r}")
        if not 1 < self.ratio < math.inf or not 0 < self.activity < math.inf:
            raise ParameterError(
                f"ImageQuality: ratio must be > 1 and activity > 0, got {self.ratio!r} and {self.activity!r}"
            )

    @property
    def diameters(self) -> tuple[float, ...]:
        """Sphere diameters in meters."""
        return _DIAMETERS

    @property
    def centers(self) -> list[tuple[float, float]]:
        """Sphere centers (x, y) in meters."""
        angles = [math.pi / 3 * k for k in range(len(_DIAMETERS))]
        return [(_RING * math.cos(a), _RING * math.sin(a)) for a in angles]

    def _phantom(self, body: float, insert: float, spheres: float) -> Phantom:
        axes = [_BODY, (_LUNG, _LUNG), *((d / 2, d / 2) for d in _DIAMETERS)]
        centers = [(0.0, 0.0), (0.0, 0.0), *self.centers]
        density = [body, insert - body, *(spheres - body,) * len(_DIAMETERS)]
        if self.spatial_dims == 2:
            return ellipses(center=centers, axes=axes, density=density)
        heights = [_TALL, _TALL, *(d / 2 for d in _DIAMETERS)]
        return ellipsoids(
            center=[(*c, 0.0) for c in centers],
            axes=[(*a, h) for a, h in zip(axes, heights)],
            density=density,
        )

    def activity_image(self, grid: Grid, *, samples: int = 4) -> Tensor:
        """Activity on a grid, averaged over the voxels, (1, *grid.shape)."""
        hot = self.ratio * self.activity
        return self._phantom(self.activity, 0.0, hot).rasterize(grid, samples=samples).clamp_min(0)

    def attenuation_image(self, grid: Grid, *, samples: int = 4) -> Tensor:
        """Attenuation coefficient at 511 keV in 1/m, (1, *grid.shape)."""
        return self._phantom(_WATER, _AIR, _WATER).rasterize(grid, samples=samples).clamp_min(0)

    def masks(self, grid: Grid) -> Tensor:
        """Fraction of each voxel inside each sphere and the background, last, (sphere + 1, *grid.shape).

        The background is the body at least 15 mm from its border, from the insert and from every sphere.
        """
        out = []
        for center, diameter in zip(self.centers, _DIAMETERS):
            out.append(self._ball(center, diameter / 2).rasterize(grid, samples=4)[0])
        margin = 0.015
        inner = ellipses if self.spatial_dims == 2 else ellipsoids
        axes = tuple(a - margin for a in _BODY)
        body = inner(
            center=[(0.0, 0.0) if self.spatial_dims == 2 else (0.0, 0.0, 0.0)],  # type: ignore[list-item]
            axes=[axes if self.spatial_dims == 2 else (*axes, _TALL)],  # type: ignore[list-item]
            density=[1.0],
        ).rasterize(grid)[0]
        for center, radius in (((0.0, 0.0), _LUNG), *zip(self.centers, (d / 2 for d in _DIAMETERS))):
            height = _TALL if radius == _LUNG else None
            body = body * (self._ball(center, radius + margin, height).rasterize(grid)[0] == 0)
        return torch.stack([*out, body])

    def _ball(self, center: tuple[float, float], radius: float, height: float | None = None) -> Phantom:
        if self.spatial_dims == 2:
            return ellipses(center=[center], axes=[(radius, radius)], density=[1.0])
        return ellipsoids(center=[(*center, 0.0)], axes=[(radius, radius, height or radius)], density=[1.0])

    def recovery(self, x: Tensor, grid: Grid) -> Recovery:
        r"""Recovery of the spheres in an image.

        .. math:: \text{coefficient} =
           \frac{\langle x\rangle_\text{sphere}}{\langle a\rangle_\text{sphere}}, \qquad
           \text{contrast} = \frac{\langle x\rangle_\text{sphere}/\langle x\rangle_\text{background} - 1}
           {\langle a\rangle_\text{sphere}/\langle a\rangle_\text{background} - 1}, \qquad
           \text{variability} =
           \frac{\operatorname{std}_\text{background}\, x}{\langle x\rangle_\text{background}}

        with a the true activity on the same grid: 1 for a perfect image, whatever the size of the voxels.

        Parameters
        ----------
        x : Tensor, shape (..., 1, *grid.shape)
            In the units of ``activity``.
        grid : Grid

        Returns
        -------
        Recovery
            Contrast as a fraction of the true contrast; variability from voxel to voxel, not between regions
            as in the standard.
        """
        if tuple(x.shape[-len(grid.shape) - 1 :]) != (1, *grid.shape):
            raise ShapeError(
                f"recovery: the image must be (..., 1, {str(grid.shape)[1:-1]}), got {tuple(x.shape)}"
            )
        masks = self.masks(grid).flatten(1).to(x)
        values, truth = (t.to(x).flatten(-len(grid.shape) - 1) for t in (x, self.activity_image(grid)))
        means, wanted = (t @ masks.T / masks.sum(-1) for t in (values, truth))
        spheres, level = means[..., :-1], means[..., -1:]
        background = masks[-1]
        spread = ((values - level).square() @ background / background.sum()).sqrt()
        return Recovery(
            diameters=_DIAMETERS,
            coefficients=spheres / wanted[..., :-1],
            contrast=(spheres / level - 1) / (wanted[..., :-1] / wanted[..., -1:] - 1),
            variability=spread / level[..., 0],
        )
