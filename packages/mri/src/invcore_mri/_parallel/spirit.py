"""SPIRiT: the k-space that agrees best with itself and has the measured samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from invcore import DataError, LinearOperator, ParameterError, Space
from invcore.operators import least_squares

from .._sampling.center import calibration_shape, center_crop, check_kspace, sampled
from .._sampling.fft import centered_fft, centered_ifft
from .grappa import window_products


@dataclass(frozen=True, kw_only=True)
class Spirit:
    r"""SPIRiT: k-space in, k-space with all its samples out.

    Every sample, measured or not, is a combination of all its neighbors of all coils, y = G y, with weights
    fitted to the fully sampled center. The missing samples z solve

    .. math:: \min_z \tfrac12 \|(G - I)(y + z)\|^2

    by conjugate gradient, which starts at zero and stops early. Unlike `Grappa` the pattern of the measured
    samples does not matter. G is a multiplication of the coil images by a matrix at each voxel, whose
    ``coils**2 * voxels`` entries are held in memory.

    Parameters
    ----------
    kernel : int
        Size of the window on each axis, in samples; odd.
    calib : int, optional
        Largest number of samples of the calibration region on each axis; ``None`` for no limit.
    ridge : float
        Shift of the normal equations of the calibration, relative to the mean of their diagonal.
    rtol : float
        Relative residual at which conjugate gradient stops.
    max_steps : int
        Largest number of steps.
    spatial_dims : int
        Number of spatial axes, 2 or 3.

    References
    ----------
    M. Lustig, J. M. Pauly, "SPIRiT: iterative self-consistent parallel imaging reconstruction from arbitrary
    k-space", Magn. Reson. Med. 64, 457 (2010).

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import MaskEquispaced, Spirit, simulate
    >>> mask = MaskEquispaced(shape=(48, 48), acceleration=2, calib=16, net=False)()
    >>> scan = simulate((48, 48), coils=6, sigma=0.0, generator=torch.Generator().manual_seed(0))
    >>> filled = Spirit()(mask * scan.kspace)
    >>> bool((filled - scan.kspace).norm() < 0.05 * scan.kspace.norm())
    True
    """

    kernel: int = 5
    calib: int | None = None
    ridge: float = 1e-4
    rtol: float = 1e-3
    max_steps: int = 200
    spatial_dims: int = 2

    def __post_init__(self) -> None:
        if self.spatial_dims not in (2, 3):
            raise ParameterError(
                f"spatial_dims is the number of spatial axes, 2 or 3; got {self.spatial_dims!r}"
            )
        if self.kernel < 3 or self.kernel % 2 == 0:
            raise ParameterError(f"kernel is an odd number, 3 or more; got {self.kernel}")
        if not (0 < self.ridge < 1 and 0 < self.rtol < 1) or self.max_steps < 1:
            raise ParameterError(
                f"ridge and rtol lie between 0 and 1 and max_steps is at least 1; got {self.ridge}, "
                f"{self.rtol}, {self.max_steps}"
            )

    def __call__(self, kspace: Tensor) -> Tensor:
        """Fill k-space ``(..., coil, *spatial)``; measured samples stay as they are.

        Raises
        ------
        DataError
            If k-space has NaN, or its fully sampled center is smaller than the window.
        ShapeError
            If k-space is not complex with a coil axis and ``spatial_dims`` spatial axes.
        """
        check_kspace(kspace, self.spatial_dims)
        scans = kspace.detach().reshape(-1, *kspace.shape[-self.spatial_dims - 1 :])
        filled = [self._one(scan) for scan in scans]
        return torch.stack(filled).reshape(kspace.shape) if filled else kspace.clone()

    @torch.no_grad()
    def _one(self, scan: Tensor) -> Tensor:
        d = self.spatial_dims
        if not bool(torch.isfinite(torch.view_as_real(scan.resolve_conj()).sum())):
            raise DataError("k-space has NaN or infinite samples; repair or remove them")
        measured = sampled(scan, spatial_dims=d)
        if bool(measured.all()):
            return scan.clone()
        inconsistency = self._inconsistency(scan, measured)
        operator = _Inconsistency(matrix=inconsistency, free=(~measured).to(scan.real.dtype))
        b = -operator.images(scan)
        z = cast(Tensor, least_squares(operator, b, rtol=self.rtol, max_steps=self.max_steps))
        return torch.where(measured, scan, z)

    def _inconsistency(self, scan: Tensor, measured: Tensor) -> Tensor:
        """G - I in the image, ``(coil, coil, *spatial)``."""
        spatial, d, coils = tuple(scan.shape[1:]), self.spatial_dims, len(scan)
        limit = spatial if self.calib is None else (self.calib,) * d
        shape, window = calibration_shape(measured, limit), (self.kernel,) * d
        if any(c < k for c, k in zip(shape, window)):
            raise DataError(
                f"the largest fully sampled box at the center of k-space measures {shape}, smaller than the "
                f"window {window}: SPIRiT cannot calibrate on it. Take a smaller kernel=, or a scan with "
                "more calibration lines"
            )
        gram, targets = window_products(center_crop(scan, shape), window)
        gram.diagonal().add_(self.ridge * gram.diagonal().real.mean())
        count, rows = math.prod(window), torch.arange(len(gram), device=scan.device)
        kernels = gram.new_zeros(coils, len(gram))
        for c in range(coils):
            others = rows[rows != c * count + count // 2]  # all but the sample itself
            kernels[c, others] = torch.linalg.solve(gram[others][:, others], targets[others, c])
        kernels = kernels.reshape(coils, coils, *window).flip(tuple(range(2, d + 2)))  # offset δ at -δ
        placed = scan.new_zeros(coils, coils, *spatial)
        center_crop(placed, window).copy_(kernels)
        matrix = math.sqrt(math.prod(spatial)) * centered_ifft(placed, d)
        matrix.diagonal(dim1=0, dim2=1).sub_(1)
        return matrix


class _Inconsistency(LinearOperator):
    """z ↦ (G - I) F⁻¹ z, of the free samples z, as coil images."""

    matrix: Tensor
    free: Tensor
    params = ()

    @property
    def domain(self) -> Space:
        return Space((len(self.matrix), *self.free.shape), "complex")

    @property
    def range(self) -> Space:
        return self.domain

    def images(self, kspace: Tensor) -> Tensor:
        """(G - I) of the coil images of any k-space."""
        d = self.free.ndim
        return (self.matrix * centered_ifft(kspace, d).unsqueeze(-d - 2)).sum(-d - 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.images(self.free * x)

    def adjoint(self, y: Tensor) -> Tensor:
        d = self.free.ndim
        back = (self.matrix.conj() * y.unsqueeze(-d - 1)).sum(-d - 2)
        return self.free * centered_fft(back, d)
