"""Adaptive coil combination: maps from the covariance of the coil images around each voxel (Walsh)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from invcore import DataError, ParameterError

from .._sampling.center import calibration_shape, center_crop, check_kspace, sampled
from .._sampling.fft import centered_ifft
from .eigenvectors import top_eigen
from .espirit import virtual_coil


@dataclass(frozen=True, kw_only=True)
class Walsh:
    r"""Adaptive combination: coil maps as the matched filters of the coil images around each voxel.

    The map at a voxel is the eigenvector of the largest eigenvalue of the covariance of the coil images m
    over a box around it,

    .. math:: R_{cd}(r) = \sum_{|q - r|_\infty \le w / 2} m_c(q) \, \overline{m_d(q)},

    of norm 1, its phase fixed by :math:`v^H s(r) \ge 0` with v the strongest combination of the coils. The
    combined image :math:`\sum_c \overline{s_c} m_c` has the largest ratio of signal to noise that weights
    constant over the box can reach, if the noise is white (`prewhiten`). Quick, and robust for a single view;
    for accelerated scans `Espirit` is more accurate at edges and in the dark.

    Parameters
    ----------
    width : int
        Width w of the box on each axis, in voxels of the calibration's resolution; odd.
    calib : int, optional
        Largest number of samples of the calibration region on each axis: the largest fully sampled centered
        box. ``None``: no limit.
    spatial_dims : int
        Number of spatial axes, 2 or 3.

    References
    ----------
    D. O. Walsh, A. F. Gmitro, M. W. Marcellin, "Adaptive reconstruction of phased array MR imagery", Magn.
    Reson. Med. 43, 682 (2000).

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import Walsh, simulate
    >>> scan = simulate((48, 48), coils=4, sigma=0.001, generator=torch.Generator().manual_seed(0))
    >>> maps = Walsh()(scan.kspace)
    >>> cosine = (maps.conj() * scan.maps).sum(0).abs()[scan.image[0].abs() > 0.3]
    >>> bool(cosine.mean() > 0.99)
    True
    """

    width: int = 5
    calib: int | None = None
    spatial_dims: int = 2

    def __post_init__(self) -> None:
        if self.width < 1 or self.width % 2 == 0:
            raise ParameterError(f"width is an odd number of voxels, got {self.width}")
        if self.calib is not None and self.calib < 2:
            raise ParameterError(f"calib is 2 samples or more, or None; got {self.calib}")
        if self.spatial_dims not in (2, 3):
            raise ParameterError(
                f"spatial_dims is the number of spatial axes, 2 or 3; got {self.spatial_dims!r}"
            )

    def __call__(self, kspace: Tensor) -> Tensor:
        """Compute the maps.

        Parameters
        ----------
        kspace : Tensor
            Complex, shape ``(..., coil, *spatial)``, DC at index ``n//2``; zero where not sampled.

        Returns
        -------
        Tensor
            Maps of that shape, of norm 1 over the coils.

        Raises
        ------
        DataError
            If k-space has NaN, or its fully sampled center is empty.
        ShapeError
            If k-space is not complex with a coil axis and ``spatial_dims`` spatial axes.
        """
        check_kspace(kspace, self.spatial_dims)
        one = kspace.shape[-self.spatial_dims - 1 :]
        scans = kspace.detach().reshape(-1, *one)
        maps = torch.empty_like(scans, memory_format=torch.contiguous_format)
        for scan, out in zip(scans, maps):
            out.copy_(self._one(scan))
        return maps.reshape(kspace.shape)

    def _one(self, scan: Tensor) -> Tensor:
        d, spatial = self.spatial_dims, scan.shape[1:]
        limit = spatial if self.calib is None else (self.calib,) * d
        shape = calibration_shape(sampled(scan, spatial_dims=d), tuple(limit))
        if 0 in shape:
            raise DataError("the center of k-space is not sampled: there is nothing to calibrate on")
        region = center_crop(scan, shape)
        size = region.abs().amax()
        if not 0 < float(size) < math.inf:
            raise DataError("the calibration region of k-space holds NaN or infinity, or only zeros")
        region = region / size
        padding: list[int] = []
        for axis, (n, c) in enumerate(zip(spatial, shape)):
            if c < n:  # a window, so that edges do not ring
                k = (torch.arange(c, dtype=torch.float64, device=scan.device) - c // 2) / c
                window = (math.pi * k).cos().square().to(scan.real.dtype)
                region = region * window.reshape(c, *(1,) * (d - 1 - axis))
            before = n // 2 - c // 2
            padding = [before, n - c - before, *padding]
        images = centered_ifft(pad(region, padding), d)
        width = [2 * (self.width * n // (2 * c)) + 1 for n, c in zip(spatial, shape)]
        reach = width[0] // 2
        vectors = torch.empty_like(images)
        rows = max(1, _BYTES // (images.element_size() * len(images) ** 2 * max(1, math.prod(spatial[1:]))))
        for start in range(0, spatial[0], rows):
            stop = min(start + rows, spatial[0])
            first, last = max(0, start - reach), min(spatial[0], stop + reach)
            part = images[:, first:last]
            covariance = (part.unsqueeze(1) * part.conj().unsqueeze(0)).contiguous()
            for axis, w in enumerate(width):
                covariance = _box_sum(covariance, axis + 2, w)
            covariance = covariance[:, :, start - first : stop - first].movedim((0, 1), (-2, -1))
            vector, _ = top_eigen(covariance, 1)
            vectors[:, start:stop] = vector[:, 0].T.reshape(len(images), stop - start, *spatial[1:])
        phase = torch.tensordot(virtual_coil(region).conj(), vectors, dims=([0], [0]))
        return vectors * torch.where(phase == 0, 1, phase.conj() / phase.abs().clamp_min(1e-30))


_BYTES = 64 * 2**20  # of the covariances of one piece


def _box_sum(x: Tensor, axis: int, width: int) -> Tensor:
    """Sums over ``width`` neighbors along an axis, fewer at its ends."""
    n, half = x.shape[axis], width // 2
    total = x.clone()
    for shift in range(1, min(half, n - 1) + 1):
        total.narrow(axis, 0, n - shift).add_(x.narrow(axis, shift, n - shift))
        total.narrow(axis, shift, n - shift).add_(x.narrow(axis, 0, n - shift))
    return total
