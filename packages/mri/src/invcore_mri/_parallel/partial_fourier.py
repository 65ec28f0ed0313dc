"""Partial Fourier: the side of k-space that was not measured, from a smooth phase of the image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from invcore import DataError, ParameterError

from .._sampling.center import check_kspace, extent, intended, sampled
from .._sampling.fft import centered_fft, centered_ifft


@dataclass(frozen=True, kw_only=True)
class Homodyne:
    r"""Homodyne detection: k-space in, k-space of an image with the phase of its center out.

    An image without phase has a Hermitian k-space, of which one half is enough. With :math:`\varphi` the
    phase of the symmetric center of k-space, and weights w that are 2 where only one side is measured, a ramp
    from 0 to 2 across the center and 0 elsewhere,

    .. math:: x = e^{i \varphi} \, \mathrm{Re} \left( e^{-i \varphi} F^{-1} w y \right).

    What varies faster in phase than the center resolves is lost, and noise is up to √2 times as strong;
    `Pocs` keeps the measured samples. Each coil
    for itself; a scan that is not partial is returned as it is.

    Parameters
    ----------
    spatial_dims : int
        Number of spatial axes, 2 or 3. The axis that is partial is found.

    References
    ----------
    D. C. Noll, D. G. Nishimura, A. Macovski, "Homodyne detection in magnetic resonance imaging", IEEE Trans.
    Med. Imaging 10, 154 (1991).

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import Homodyne, simulate
    >>> scan = simulate((64, 64), coils=1, sigma=0.0, generator=torch.Generator().manual_seed(0))
    >>> part = scan.kspace.clone(); part[..., 40:] = 0
    >>> left = lambda k: float((k - scan.kspace).norm() / (part - scan.kspace).norm())
    >>> left(Homodyne()(part)) < 0.6
    True
    """

    spatial_dims: int = 2

    def __post_init__(self) -> None:
        _check(self.spatial_dims)

    def __call__(self, kspace: Tensor) -> Tensor:
        """Fill k-space ``(..., coil, *spatial)``.

        Raises
        ------
        DataError
            If k-space has NaN, holes between measured samples, or two partial axes, or does not reach beyond
            its center.
        ShapeError
            If k-space is not complex with a coil axis and ``spatial_dims`` spatial axes.
        """
        return _each(kspace, self.spatial_dims, self._one)

    def _one(self, scan: Tensor, measured: Tensor, axis: int, reach: int, side: int) -> Tensor:
        d, n = self.spatial_dims, scan.shape[axis]
        phase = _phase(scan, axis, reach, d)
        k = side * (
            torch.arange(n, dtype=torch.float64, device=scan.device) - n // 2
        )  # negative on the side that is short
        ramp = (1 + k / max(reach, 1)).clamp(0, 2).to(scan.real.dtype)
        shape = [1] * d
        shape[axis] = n
        images = centered_ifft(scan * ramp.reshape(shape), d)
        return centered_fft(phase * (phase.conj() * images).real, d)


@dataclass(frozen=True, kw_only=True)
class Pocs:
    r"""Projections onto convex sets: k-space in, k-space with its missing side filled out.

    In turn, the image gets the phase of the symmetric center of k-space,
    :math:`x \leftarrow |x| \, e^{i \varphi}`, and its k-space the measured samples. Each coil for itself; a
    scan that is not partial is returned as it is.

    Parameters
    ----------
    steps : int
        Number of turns.
    spatial_dims : int
        Number of spatial axes, 2 or 3. The axis that is partial is found.

    References
    ----------
    E. M. Haacke, E. D. Lindskog, W. Lin, "A fast, iterative, partial-Fourier technique capable of local phase
    recovery", J. Magn. Reson. 92, 126 (1991).

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import Pocs, simulate
    >>> scan = simulate((64, 64), coils=1, sigma=0.0, generator=torch.Generator().manual_seed(0))
    >>> part = scan.kspace.clone(); part[..., 40:] = 0
    >>> left = lambda k: float((k - scan.kspace).norm() / (part - scan.kspace).norm())
    >>> left(Pocs()(part)) < 0.6
    True
    """

    steps: int = 20
    spatial_dims: int = 2

    def __post_init__(self) -> None:
        _check(self.spatial_dims)
        if self.steps < 1:
            raise ParameterError(f"steps must be at least 1, got {self.steps}")

    def __call__(self, kspace: Tensor) -> Tensor:
        """Fill k-space ``(..., coil, *spatial)``; measured samples stay as they are. Raises as `Homodyne`."""
        return _each(kspace, self.spatial_dims, self._one)

    def _one(self, scan: Tensor, measured: Tensor, axis: int, reach: int, side: int) -> Tensor:
        d, filled = self.spatial_dims, scan
        phase = _phase(scan, axis, reach, d)
        # what lies opposite to measured samples can be known
        k = torch.arange(scan.shape[axis], device=scan.device)
        mirror = (2 * (scan.shape[axis] // 2) - k) % scan.shape[axis]
        known = measured.index_select(axis, mirror) | measured
        for _ in range(self.steps):
            image = centered_ifft(filled, d)
            filled = torch.where(measured, scan, centered_fft(image.abs() * phase, d) * known)
        return filled


def _check(spatial_dims: int) -> None:
    if spatial_dims not in (2, 3):
        raise ParameterError(f"spatial_dims is the number of spatial axes, 2 or 3; got {spatial_dims!r}")


def _each(
    kspace: Tensor, spatial_dims: int, one: Callable[[Tensor, Tensor, int, int, int], Tensor]
) -> Tensor:
    """Apply ``one`` to each scan that is partial."""
    check_kspace(kspace, spatial_dims)
    scans = kspace.detach().reshape(-1, *kspace.shape[-spatial_dims - 1 :])
    filled = []
    for scan in scans:
        if not bool(torch.isfinite(torch.view_as_real(scan.resolve_conj()).sum())):
            raise DataError("k-space has NaN or infinite samples; repair or remove them")
        measured = sampled(scan, spatial_dims=spatial_dims)
        found = _partial_axis(measured)
        filled.append(scan.clone() if found is None else one(scan, measured, *found))
    return torch.stack(filled).reshape(kspace.shape) if filled else kspace.clone()


def _partial_axis(measured: Tensor) -> tuple[int, int, int] | None:
    """The partial axis (from the last), the reach of its shorter side, and the sign of the longer one."""
    d = measured.ndim
    if not bool(measured.any()):
        raise DataError("k-space holds only zeros")
    if bool((intended(measured, spatial_dims=d) & ~measured).any()):
        raise DataError(
            "k-space has holes between measured samples, which a phase constraint alone does not fill: fill "
            "them first (Grappa, Spirit)"
        )
    found = []
    for axis, (n, (first, last)) in enumerate(zip(measured.shape, extent(measured))):
        below, above = n // 2 - first, last - n // 2
        even = 1 if n % 2 == 0 and first == 0 else 0  # the sample at -n/2 has no opposite one
        if below - even != above:
            if min(below, above) < 1:
                raise DataError(
                    f"spatial axis {axis} is measured from {-below} to {above} samples of its center, and "
                    "must reach beyond it on both sides: the phase is not known"
                )
            found.append((axis - d, min(below, above), 1 if above > below else -1))
    if len(found) > 1:
        raise DataError(
            f"k-space is partial along {len(found)} axes, of which a phase constraint can fill one only: set "
            "the longer side of the others to zero"
        )
    return found[0] if found else None


def _phase(scan: Tensor, axis: int, reach: int, dims: int) -> Tensor:
    """exp(i φ) of the image of the symmetric center, under a window."""
    n = scan.shape[axis]
    k = (torch.arange(n, dtype=torch.float64, device=scan.device) - n // 2) / (reach + 1)
    window = torch.where(k.abs() < 1, (math.pi / 2 * k).cos().square(), 0).to(scan.real.dtype)
    shape = [1] * dims
    shape[axis] = n
    image = centered_ifft(scan * window.reshape(shape), dims)
    return torch.where(image == 0, 1, image / image.abs().clamp_min(torch.finfo(image.real.dtype).tiny))
