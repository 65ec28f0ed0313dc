"""Point spread functions with voxel sizes: resampling, light, confocal and two-photon."""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError, ShapeError, Value
from invcore.operators import Convolution, disk_kernel


class PSF(Value):
    """A point spread function on a grid of voxels, centered at n // 2.

    Parameters
    ----------
    values : Tensor, shape (plane, y, x)
        Light per voxel, not negative. A two-dimensional one has one plane.
    voxel : tuple of float
        ``(dz, dy, dx)`` in meters; dz has no meaning for one plane.

    Raises
    ------
    ShapeError, ParameterError, DataError

    Examples
    --------
    >>> from invcore_optics import Objective, PupilPSF
    >>> A = PupilPSF(objective=Objective(520e-9, 0.85), pixel=65e-9, shape=(45, 45), modes=(4,))
    >>> psf = PSF(A(torch.zeros(1)), (1e-6, 65e-9, 65e-9))
    >>> camera = psf.resample((1e-6, 130e-9, 130e-9))
    >>> camera.kernel().shape, abs(float(camera.light - psf.light)) < 0.01
    (torch.Size([1, 23, 23]), True)
    """

    values: Tensor
    voxel: tuple[float, float, float]

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or 0 in self.values.shape or not self.values.is_floating_point():
            raise ShapeError(f"PSF: values must be real, (plane, y, x), got {tuple(self.values.shape)}")
        if len(self.voxel) != 3 or not all(0 < h < math.inf for h in self.voxel):
            raise ParameterError(f"PSF: voxel is (dz, dy, dx) in meters, got {self.voxel!r}")
        if not bool(torch.isfinite(self.values).all()) or not float(self.values.sum()) > 0:
            raise DataError("PSF: values must be finite, and their sum positive")

    @property
    def light(self) -> Tensor:
        """Light of each plane, of shape (plane,): constant along z as far as the grid holds it."""
        return self.values.sum((-2, -1))

    @property
    def fwhm(self) -> tuple[float, float, float]:
        """Full width at half maximum along z, y, x in meters, through the maximum; NaN beyond the grid."""
        peak = np.unravel_index(int(self.values.argmax()), self.values.shape)
        values = self.values.detach().cpu().numpy()
        widths = []
        for axis, at in enumerate(peak):
            line = values[tuple(slice(None) if k == axis else peak[k] for k in range(3))]
            ends = [_half(line[at::-1]), _half(line[at:])]
            widths.append(sum(ends) * self.voxel[axis])
        return (widths[0], widths[1], widths[2])

    def resample(
        self,
        voxel: tuple[float, float, float],
        *,
        shape: tuple[int, int, int] | None = None,
        least: float = 0.97,
    ) -> PSF:
        """Return it on other voxels, with the same center.

        Across, the light of each voxel is conserved: the integral from the edge of the grid is interpolated
        monotonically. Along z, values are interpolated.

        Parameters
        ----------
        voxel : tuple of float
            ``(dz, dy, dx)`` in meters.
        shape : tuple of int, optional
            By default as many voxels as cover the grid.
        least : float
            Warn if the new grid holds less than this share of the light of the brightest plane.

        Returns
        -------
        PSF

        Warns
        -----
        RuntimeWarning
        """
        from scipy.interpolate import PchipInterpolator

        found = self.values.detach().double().cpu().numpy()
        before = float(found.sum((1, 2)).max())
        for axis in range(3):
            count, step, new = found.shape[axis], self.voxel[axis], voxel[axis]
            if axis == 0 and count == 1:
                continue
            wanted = max(1, 2 * int((count // 2) * step / new) + 1) if shape is None else shape[axis]
            if axis == 0:
                old, at = step * (np.arange(count) - count // 2), new * (np.arange(wanted) - wanted // 2)
                inside = (at >= old[0] - 1e-9 * step) & (at <= old[-1] + 1e-9 * step)
                found = PchipInterpolator(old, found, axis=0)(np.clip(at, old[0], old[-1]))
                found[~inside] = 0
                continue
            edges = step * (np.arange(count + 1) - 0.5 - count // 2)
            total = np.concatenate([np.zeros_like(found.take([0], axis)), found.cumsum(axis)], axis)
            at = np.clip(new * (np.arange(wanted + 1) - 0.5 - wanted // 2), edges[0], edges[-1])
            found = np.diff(PchipInterpolator(edges, total, axis=axis)(at), axis=axis)
        after = float(found.sum((1, 2)).max())
        if after < least * before:
            warnings.warn(
                f"PSF.resample: the new grid holds {after / before:.1%} of the light; use a larger shape",
                RuntimeWarning,
                stacklevel=2,
            )
        values = torch.from_numpy(np.ascontiguousarray(found)).to(self.values)
        return PSF(values.clamp_min(0), voxel)

    def kernel(self) -> Tensor:
        """Return it with sum 1 for a convolution: (1, plane, y, x), or (1, y, x) of one plane."""
        kernel = self.values / self.values.sum()
        return kernel if len(kernel) == 1 else kernel[None]


def confocal(excitation: PSF, emission: PSF, *, pinhole: float) -> PSF:
    """Point spread function of a confocal microscope: excitation times emission through the pinhole.

    Parameters
    ----------
    excitation, emission : PSF
        Each at its wavelength, on the same grid.
    pinhole : float
        Radius of the pinhole, divided by the magnification, in meters. One Airy unit is a diameter of
        1.22 λ / NA. 0: a point.

    Returns
    -------
    PSF
        With sum 1.

    Raises
    ------
    ShapeError
        If the grids differ.
    ParameterError

    Examples
    --------
    >>> h = PSF(torch.tensor([[[0.0, 1.0, 2.0, 1.0, 0.0]]]), (1e-7, 1e-7, 1e-7))
    >>> confocal(h, h, pinhole=0.0).values
    tensor([[[0.0000, 0.1667, 0.6667, 0.1667, 0.0000]]])
    """
    if excitation.values.shape != emission.values.shape or not np.allclose(excitation.voxel, emission.voxel):
        raise ShapeError(
            f"confocal: both on one grid, got {tuple(excitation.values.shape)} of {excitation.voxel}, "
            f"{tuple(emission.values.shape)} of {emission.voxel}; PSF.resample brings them there"
        )
    dy, dx = emission.voxel[1:]
    if not math.isclose(dy, dx, rel_tol=1e-3) or not 0 <= pinhole < math.inf:
        raise ParameterError(f"confocal: needs square pixels and pinhole >= 0, got {(dy, dx)}, {pinhole!r}")
    seen = emission.values
    if pinhole > 0:
        kernel = disk_kernel(pinhole / dx, dtype=seen.dtype)
        seen = Convolution(kernel, domain=tuple(seen.shape), boundary="zero")(seen)  # type: ignore[arg-type]
    values = excitation.values * seen.clamp_min(0)
    return PSF(values / values.sum(), emission.voxel)


def two_photon(excitation: PSF) -> PSF:
    """Point spread function of a two-photon microscope, the square of the excitation, with sum 1.

    Examples
    --------
    >>> two_photon(PSF(torch.tensor([[[1.0, 3.0, 1.0]]]), (1e-7, 1e-7, 1e-7))).values
    tensor([[[0.0909, 0.8182, 0.0909]]])
    """
    values = excitation.values.square()
    return PSF(values / values.sum(), excitation.voxel)


def _half(line: np.ndarray) -> float:
    """Samples from the maximum at 0 to half of it, by linear interpolation."""
    below = np.flatnonzero(line < line[0] / 2)
    if not below.size:
        return math.nan
    k = int(below[0])
    return k - 1 + float((line[k - 1] - line[0] / 2) / (line[k - 1] - line[k]))
