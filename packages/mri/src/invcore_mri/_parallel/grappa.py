"""GRAPPA: missing samples as linear combinations of their neighbors, of all coils."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from invcore import DataError, ParameterError

from .._sampling.center import calibration_shape, center_crop, check_kspace, intended, sampled


@dataclass(frozen=True, kw_only=True)
class Grappa:
    r"""GRAPPA: k-space in, k-space with its holes filled out.

    A missing sample is predicted from the measured samples of all coils in a window around it,

    .. math:: y_c(k) = \sum_{d, \delta} g_{cd\delta} \, y_d(k + \delta),

    with weights fitted by ridge regression to the fully sampled center, one set for each pattern of measured
    neighbors: lines, any regular grid, sheared grids, and irregular patterns too, which have many. Samples
    that were never meant to be measured (see `intended`), as those of partial Fourier, stay zero.

    Parameters
    ----------
    kernel : int or tuple of int
        Size of the window on each axis, in samples; odd.
    calib : int, optional
        Largest number of samples of the calibration region on each axis; ``None`` for no limit.
    ridge : float
        Shift of the normal equations, relative to the mean of their diagonal.
    spatial_dims : int
        Number of spatial axes, 2 or 3.

    References
    ----------
    M. A. Griswold et al., "Generalized autocalibrating partially parallel acquisitions (GRAPPA)", Magn.
    Reson. Med. 47, 1202 (2002).

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import Grappa, MaskEquispaced, simulate
    >>> mask = MaskEquispaced(shape=(48, 48), acceleration=2, calib=16, net=False)()
    >>> scan = simulate((48, 48), coils=6, sigma=0.0, generator=torch.Generator().manual_seed(0))
    >>> filled = Grappa()(mask * scan.kspace)
    >>> bool((filled - scan.kspace).norm() < 0.05 * scan.kspace.norm())
    True
    """

    kernel: int | tuple[int, ...] = 5
    calib: int | None = None
    ridge: float = 1e-4
    spatial_dims: int = 2

    def __post_init__(self) -> None:
        if self.spatial_dims not in (2, 3):
            raise ParameterError(
                f"spatial_dims is the number of spatial axes, 2 or 3; got {self.spatial_dims!r}"
            )
        if len(self._window) != self.spatial_dims or any(k < 1 or k % 2 == 0 for k in self._window):
            raise ParameterError(f"kernel is an odd number, or one for each spatial axis; got {self.kernel}")
        if not 0 < self.ridge < 1:
            raise ParameterError(f"ridge is relative and lies between 0 and 1; got {self.ridge}")

    @property
    def _window(self) -> tuple[int, ...]:
        return (self.kernel,) * self.spatial_dims if isinstance(self.kernel, int) else tuple(self.kernel)

    def __call__(self, kspace: Tensor) -> Tensor:
        """Fill the holes of k-space ``(..., coil, *spatial)``; measured samples stay as they are.

        Raises
        ------
        DataError
            If k-space has NaN, its fully sampled center is smaller than the window, or a hole has no measured
            sample in its window.
        ShapeError
            If k-space is not complex with a coil axis and ``spatial_dims`` spatial axes.
        """
        check_kspace(kspace, self.spatial_dims)
        scans = kspace.detach().reshape(-1, *kspace.shape[-self.spatial_dims - 1 :])
        filled = [self._one(scan) for scan in scans]
        return torch.stack(filled).reshape(kspace.shape) if filled else kspace.clone()

    def _one(self, scan: Tensor) -> Tensor:
        d, window, coils = self.spatial_dims, self._window, len(scan)
        if not bool(torch.isfinite(torch.view_as_real(scan.resolve_conj()).sum())):
            raise DataError("k-space has NaN or infinite samples; repair or remove them")
        measured = sampled(scan, spatial_dims=d)
        holes = (intended(measured, spatial_dims=d) & ~measured).nonzero()  # (hole, d)
        if not len(holes):
            return scan.clone()
        gram, targets = self._normal_equations(scan, measured)
        margin = [m for k in reversed(window) for m in (k // 2, k // 2)]
        around, data = pad(measured, margin), pad(scan, margin).flatten(1)
        offsets = torch.cartesian_prod(*(torch.arange(k, device=scan.device) for k in window))
        strides = torch.tensor([math.prod(around.shape[axis + 1 :]) for axis in range(d)], device=scan.device)
        places, steps = (holes * strides).sum(-1), (offsets * strides).sum(-1)
        patterns, which = around.flatten()[places[:, None] + steps].unique(dim=0, return_inverse=True)
        filled = scan.clone().flatten(1)
        missing = torch.zeros_like(measured)
        missing[tuple(holes.T)] = True
        here = missing.flatten().nonzero().flatten()  # in the order of the holes
        ridge = self.ridge * gram.diagonal().real.mean()
        for index, pattern in enumerate(patterns):
            if not bool(pattern.any()):
                raise DataError(
                    f"{int((which == index).sum())} missing samples have no measured one in a window of "
                    f"{' x '.join(map(str, window))} samples around them: take a larger kernel="
                )
            used = pattern.repeat(coils)
            normal = gram[used][:, used]
            normal.diagonal().add_(ridge)
            weights = torch.linalg.solve(normal, targets[used]).to(scan.dtype)  # (source, coil)
            chosen = (which == index).nonzero().flatten()
            for part in chosen.split(max(1, _BYTES // (weights.shape[0] * scan.element_size()))):
                sources = data[:, places[part, None] + steps[pattern]]  # (coil, hole, neighbor)
                filled[:, here[part]] = (sources.movedim(0, 1).flatten(1) @ weights).T
        return filled.reshape(scan.shape)

    def _normal_equations(self, scan: Tensor, measured: Tensor) -> tuple[Tensor, Tensor]:
        """PᴴP and Pᴴ c of all windows P and centers c of the calibration region."""
        window, spatial = self._window, scan.shape[1:]
        limit = tuple(spatial) if self.calib is None else (self.calib,) * len(spatial)
        shape = calibration_shape(measured, limit)
        if any(c < k for c, k in zip(shape, window)):
            raise DataError(
                f"the largest fully sampled box at the center of k-space measures {shape}, smaller than the "
                f"window {window}: GRAPPA cannot calibrate on it. Take a smaller kernel=, or a scan with "
                "more calibration lines"
            )
        return window_products(center_crop(scan, shape), window)


_BYTES = 64 * 2**20  # of the neighbors that are gathered at once


def window_products(region: Tensor, window: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """PᴴP ``(source, source)`` and Pᴴ c ``(source, coil)`` in double precision, sources (coil, *offset)."""
    patches = region.to(torch.complex128)
    for axis, k in enumerate(window):
        patches = patches.unfold(axis + 1, k, 1)  # (coil, *positions, *window), a view
    patches = patches.movedim(0, len(window))
    width, middle = len(region) * math.prod(window), math.prod(window) // 2
    gram = patches.new_zeros(width, width)
    rows = max(1, _BYTES // (16 * width * max(1, math.prod(patches.shape[1 : len(window)]))))
    for piece in patches.split(rows):
        matrix = piece.reshape(-1, width)
        gram.addmm_(matrix.mH, matrix)
    return gram, gram[:, middle :: math.prod(window)]
