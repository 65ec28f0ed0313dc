"""Receiver noise: covariance between coils, level, whitening."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from invcore import DataError, ShapeError

from .._sampling.center import check_kspace, sampled


@dataclass(frozen=True, kw_only=True)
class NoiseEstimate:
    """Noise covariance estimated from k-space.

    Attributes
    ----------
    covariance : Tensor
        ``E[n n^H]`` over the coils, shape ``(coil, coil)``, complex.
    samples : int
        Number of k-space positions used.
    white : bool
        True if those samples look like noise: Gaussian tails, uncorrelated with their neighbors. If not,
        object signal reaches the border and the estimate is too large.
    kurtosis : float
        ``E|n|^4 / (E|n|^2)^2`` of the whitened samples; 2 for complex Gaussian noise.
    correlation : float
        Largest correlation between neighboring samples along any axis; 0 for noise.
    """

    covariance: Tensor
    samples: int
    white: bool
    kurtosis: float
    correlation: float

    @property
    def sigma(self) -> float:
        """Standard deviation of each real component, root mean square over the coils."""
        return math.sqrt(float(self.covariance.diagonal().real.mean()) / 2)


def noise_covariance(noise: Tensor) -> Tensor:
    r"""Estimate the covariance of the coils from a noise scan.

    .. math:: \Psi_{cd} = \frac{1}{N} \sum_t n_c(t) \, \overline{n_d(t)}

    Samples at which every coil is exactly zero were not acquired and are left out.

    Parameters
    ----------
    noise : Tensor
        Complex, shape ``(coil, ...)``: any number of axes after the coil axis.

    Returns
    -------
    Tensor
        Shape ``(coil, coil)``, complex, Hermitian.

    Raises
    ------
    DataError
        If there are NaN, too few samples, or coils that are silent or copies of one another.
    ShapeError
        If ``noise`` is not complex with a coil axis and at least one more.

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import noise_covariance
    >>> g = torch.Generator().manual_seed(0)
    >>> noise = 3 * torch.view_as_complex(torch.randn(2, 50_000, 2, generator=g))
    >>> (noise_covariance(noise).diagonal().real / 2).sqrt().round(decimals=1)
    tensor([3., 3.])
    """
    if noise.ndim < 2 or not noise.is_complex():
        raise ShapeError(
            f"expected complex noise of shape (coil, samples...), got {noise.dtype} {tuple(noise.shape)}"
        )
    flat = noise.detach().flatten(1).to(torch.complex128)
    flat = flat[:, (flat != 0).any(0)]
    coils, count = flat.shape
    if not bool(torch.isfinite(torch.view_as_real(flat)).all()):
        raise DataError("the noise scan has NaN or infinite samples; remove them first")
    if count < 4 * coils:
        raise DataError(
            f"{count} noise samples are too few for the covariance of {coils} coils: at least {4 * coils} "
            "are needed, and a good estimate takes some hundreds per coil"
        )
    covariance = flat @ flat.mH / count
    _factor(covariance)
    return covariance.to(noise.dtype)


def estimate_noise(
    kspace: Tensor, *, spatial_dims: int = 2, fraction: float = 0.05, mask: Tensor | None = None
) -> NoiseEstimate:
    """Estimate the noise covariance from the outermost measured samples of a k-space.

    The ``fraction`` of measured positions farthest from DC (relative to the extent of the measured region on
    each axis) is taken; its covariance is computed, then recomputed without samples whose whitened energy
    only a signal would have. Whether the samples look like noise is tested and reported, never assumed.

    Parameters
    ----------
    kspace : Tensor
        Complex, shape ``(..., coil, *spatial)``; zero where not sampled. Leading axes share one covariance.
    spatial_dims : int
        Number of spatial axes, 2 or 3.
    fraction : float
        Fraction of the measured positions to use; at least 32 per coil are used.
    mask : Tensor, optional
        Measured positions, shape ``(*spatial)``; by default those where k-space is not zero.

    Returns
    -------
    NoiseEstimate
        Covariance, and evidence that it is that of noise.

    Raises
    ------
    DataError
        If too few positions are measured, or a coil is silent.

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import estimate_noise, simulate
    >>> scan = simulate((128, 128), coils=4, sigma=0.05, generator=torch.Generator().manual_seed(0))
    >>> round(estimate_noise(scan.kspace).sigma, 2)
    0.05
    """
    check_kspace(kspace, spatial_dims)
    coils, spatial = kspace.shape[-spatial_dims - 1], kspace.shape[-spatial_dims:]
    scans = kspace.detach().reshape(-1, coils, *spatial)
    where = sampled(scans, spatial_dims=spatial_dims).any(0)
    if mask is not None:
        where = where & (mask.to(where.device) != 0).broadcast_to(spatial)
    count = int(where.sum())
    if count < 8 * coils:
        raise DataError(
            f"k-space has {count} measured positions, too few to find the noise of {coils} coils; "
            "give a noise scan, or the noise level by hand"
        )
    radius = torch.zeros(spatial, dtype=torch.float64, device=where.device)
    for axis, n in enumerate(spatial):
        offset = (torch.arange(n, device=where.device) - n // 2).abs().to(torch.float64)
        others = tuple(a for a in range(spatial_dims) if a != axis)
        reach = float((offset * where.any(others)).max())
        shape = [1] * spatial_dims
        shape[axis] = n
        radius += (offset / max(reach, 1.0)).reshape(shape) ** 2
    keep = min(count, max(round(fraction * count), -(-32 * coils // len(scans))))
    cut = radius[where].kthvalue(count - keep + 1).values
    border = where & (radius >= cut)
    samples = scans.movedim(0, 1)[:, :, border].flatten(1).to(torch.complex128)
    covariance = noise_covariance(samples)
    for _ in range(4):
        energy = _whiten(samples, covariance).abs().square().sum(0) / 2  # gamma of shape `coils` for noise
        limit = coils + 6 * math.sqrt(coils) + 8
        calm = samples[:, energy < limit]
        if calm.shape[1] < max(4 * coils, samples.shape[1] // 2):
            break
        covariance = noise_covariance(calm)
    white, kurtosis, correlation = _noise_like(scans, border, covariance)
    return NoiseEstimate(
        covariance=covariance.to(kspace.dtype),
        samples=samples.shape[1],
        white=white,
        kurtosis=kurtosis,
        correlation=correlation,
    )


def _noise_like(scans: Tensor, border: Tensor, covariance: Tensor) -> tuple[bool, float, float]:
    """Test whether the whitened border samples are Gaussian and uncorrelated with their neighbors."""
    spatial_dims = border.ndim
    whitened = _whiten(scans.movedim(0, 1).flatten(1).to(torch.complex128), covariance)
    whitened = whitened.reshape(scans.shape[1], len(scans), *border.shape)
    inside = whitened[:, :, border].flatten(1)
    power = inside.abs().square()
    kurtosis = float(power.square().mean() / power.mean() ** 2)
    correlation, doubt = 0.0, 4 / math.sqrt(inside.numel())
    for axis in range(spatial_dims):
        n = border.shape[axis]
        for gap in (1, 2):  # neighbors are two apart if every other line was skipped
            if n <= gap:
                continue
            pairs = border.narrow(axis, 0, n - gap) & border.narrow(axis, gap, n - gap)
            left = whitened.narrow(axis + 2, 0, n - gap)[:, :, pairs]
            right = whitened.narrow(axis + 2, gap, n - gap)[:, :, pairs]
            if left.numel() < 256:
                continue
            value = float((left.conj() * right).mean().abs() / power.mean())
            correlation = max(correlation, value)
            doubt = max(doubt, 4 / math.sqrt(left.numel()))
    white = abs(kurtosis - 2) < 0.2 + 5 * doubt and correlation < 0.05 + doubt
    return white, kurtosis, correlation


def estimate_sigma(kspace: Tensor, *, spatial_dims: int = 2, fraction: float = 0.05) -> float:
    """Estimate the noise level of a k-space from its outermost measured samples.

    Parameters
    ----------
    kspace : Tensor
        Complex, shape ``(..., coil, *spatial)``; zero where not sampled.
    spatial_dims : int
        Number of spatial axes, 2 or 3.
    fraction : float
        As in :func:`estimate_noise`.

    Returns
    -------
    float
        Standard deviation of each real component, root mean square over the coils.

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import estimate_sigma, simulate
    >>> scan = simulate((128, 128), coils=4, sigma=0.2, generator=torch.Generator().manual_seed(0))
    >>> round(estimate_sigma(scan.kspace), 1)
    0.2
    """
    return estimate_noise(kspace, spatial_dims=spatial_dims, fraction=fraction).sigma


def prewhiten(kspace: Tensor, covariance: Tensor, *, spatial_dims: int = 2) -> Tensor:
    r"""Mix the coils so that their noise is independent, with standard deviation 1 in each real component.

    With :math:`L L^H = \Psi / 2` (Cholesky) the result is :math:`L^{-1} y`. The factor 2 is the two real
    components of a complex sample. Zeros stay zeros. Coil maps must be mixed in the same way.

    Parameters
    ----------
    kspace : Tensor
        Complex, shape ``(..., coil, *spatial)``.
    covariance : Tensor
        :math:`\Psi = E[n n^H]`, shape ``(coil, coil)``.
    spatial_dims : int
        Number of axes after the coil axis.

    Returns
    -------
    Tensor
        The whitened k-space, of the same shape.

    Raises
    ------
    ShapeError
        If the covariance does not fit the coils.
    DataError
        If the covariance is not Hermitian and positive definite.

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import prewhiten
    >>> kspace = torch.ones(2, 4, 4, dtype=torch.complex64)
    >>> covariance = torch.diag(torch.tensor([2.0, 8.0])).to(torch.complex64)
    >>> prewhiten(kspace, covariance)[:, 0, 0]
    tensor([1.0000+0.j, 0.5000+0.j])
    """
    return _mix(kspace, covariance, spatial_dims, inverse=True)


def unwhiten(kspace: Tensor, covariance: Tensor, *, spatial_dims: int = 2) -> Tensor:
    """Undo :func:`prewhiten`: multiply by L."""
    return _mix(kspace, covariance, spatial_dims, inverse=False)


def _mix(kspace: Tensor, covariance: Tensor, spatial_dims: int, *, inverse: bool) -> Tensor:
    axis = kspace.ndim - spatial_dims - 1
    if axis < 0 or not kspace.is_complex():
        raise ShapeError(
            f"expected complex k-space of shape (..., coil, *spatial) with {spatial_dims} spatial axes, "
            f"got {kspace.dtype} {tuple(kspace.shape)}"
        )
    coils = kspace.shape[axis]
    if tuple(covariance.shape) != (coils, coils):
        raise ShapeError(
            f"k-space has {coils} coils, so the noise covariance must have shape ({coils}, {coils}); "
            f"got {tuple(covariance.shape)}"
        )
    matrix = (_inverse_factor if inverse else _factor)(covariance).to(
        device=kspace.device, dtype=kspace.dtype
    )
    return torch.movedim(torch.tensordot(matrix, kspace, dims=([1], [axis])), 0, axis)


def _factor(covariance: Tensor) -> Tensor:
    """Cholesky factor of half the covariance, or a clear error."""
    double = covariance.to(torch.complex128)
    size = double.diagonal().real
    if not bool(torch.isfinite(torch.view_as_real(double)).all()) or bool((size <= 0).any()):
        silent = torch.nonzero(~(size > 0)).flatten().tolist()
        raise DataError(
            f"the noise covariance is not positive: coils {silent} have no noise power. "
            "Leave out coils without signal, or give a covariance by hand"
        )
    if not torch.allclose(double, double.mH, rtol=1e-4, atol=1e-4 * float(size.max())):
        raise DataError("the noise covariance is not Hermitian: expected E[n n^H] of shape (coil, coil)")
    scale = size.rsqrt().to(torch.complex128)
    balanced = scale[:, None] * double * scale
    lower, info = torch.linalg.cholesky_ex((balanced + balanced.mH) / 2)
    if int(info) or float(lower.diagonal().real.min()) < 1e-5:
        raise DataError(
            "the noise covariance is singular: some coils are copies or combinations of others. "
            "Leave out the copies, or give the noise level (sigma=), with which coils count as independent"
        )
    return lower / scale[:, None] / math.sqrt(2)


def _inverse_factor(covariance: Tensor) -> Tensor:
    lower = _factor(covariance)
    eye = torch.eye(len(lower), dtype=lower.dtype, device=lower.device)
    return torch.linalg.solve_triangular(lower, eye, upper=False)


def _whiten(samples: Tensor, covariance: Tensor) -> Tensor:
    return _inverse_factor(covariance).to(samples.device) @ samples
