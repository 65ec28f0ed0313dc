"""From raw Cartesian k-space to an `Acquisition`: check, whiten, calibrate, describe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from invcore import DataError, ParameterError, Physics, ShapeError
from invcore.io import Acquisition
from invcore.noises import GaussianNoise

from .._sampling.center import check_kspace, extent, intended, sampled
from .._sampling.fft import centered_ifft
from .._sampling.operators import Sense
from .calibrate import Calibration, Method, calibrated, calibration_of, compression_of
from .output import CoilOutput
from .preparation import (
    check_options,
    check_samples,
    given_maps,
    normalize,
    unit_in_raw_coils,
    without_silent_coils,
)


@dataclass(frozen=True, kw_only=True)
class ScanOptions:
    """Options of every reader of Cartesian scans.

    Parameters
    ----------
    maps : Tensor, str or Path, optional
        Coil maps, ``(coil, *spatial)`` or ``(sets, coil, *spatial)``, or a BART ``.cfl`` of them; by ESPIRiT
        by default.
    noise : Tensor, str or Path, optional
        Noise scan, ``(coil, ...)``, or a ``.cfl`` of it.
    mask : Tensor, optional
        Measured positions; by default those where k-space is not zero, or what the file states.
    sigma : float, optional
        Noise level in the units of k-space (standard deviation of each real component), instead of an
        estimate.
    whiten : bool, optional
        Mix the coils so that their noise is independent. By default if there is a noise scan, or if the
        outermost samples look like noise.
    calibration : {"espirit", "nlinv", "walsh"}, or Espirit, Nlinv or Walsh, optional
        How coil maps are found; in Python with settings. See :func:`acquire`.
    sets : int or "auto", optional
        Number of sets of ESPIRiT maps, which is an image each: more than one for a field of view smaller than
        the object. By default from the data.
    compress : int or "auto", optional
        Number of virtual coils to which the coils are compressed; "auto": as few as keep the signal.
    """

    maps: Tensor | str | Path | None = None
    noise: Tensor | str | Path | None = None
    mask: Tensor | None = None
    sigma: float | None = None
    whiten: bool | None = None
    calibration: Calibration | Method | None = None
    sets: int | Literal["auto"] | None = None
    compress: int | Literal["auto"] | None = None


def acquire(
    kspace: Tensor,
    *,
    spatial_dims: int = 2,
    mask: Tensor | None = None,
    maps: Tensor | None = None,
    noise: Tensor | None = None,
    sigma: float | None = None,
    whiten: bool | None = None,
    calibration: Calibration | Method | None = None,
    sets: int | Literal["auto"] | None = None,
    compress: int | Literal["auto"] | None = None,
    metadata: dict[str, Any] | None = None,
    left_out: tuple[str, ...] = (),
) -> Acquisition:
    """Turn raw Cartesian k-space into data and physics that a solver takes.

    1. The samples are checked: complex, finite, not all zero. Coils that hold only zeros are left out.
    2. The mask is where k-space is not zero, unless given.
    3. The noise covariance comes from ``noise``, else from the outermost samples; the coils are mixed so that
       their noise is independent with standard deviation 1 in each real component (see :func:`prewhiten`).
    4. Coil maps come from ESPIRiT, unless given. They are scaled so that the magnitude of the image is the
       root sum of squares of the raw coils (times ``metadata["scale"]``), with or without whitening.
    5. The physics is `Sense` with Gaussian noise.

    Parameters
    ----------
    kspace : Tensor
        Complex, shape ``(coil, *spatial)`` or ``(slice, coil, *spatial)``, DC at index ``n//2``.
    spatial_dims : int
        2 or 3.
    mask : Tensor, optional
        Measured positions, broadcastable to ``(*spatial)``. Samples elsewhere are set to zero.
    maps : Tensor, optional
        Coil maps of the raw coils, ``(coil, *spatial)`` or ``(sets, coil, *spatial)``; whitened with the
        data.
    noise : Tensor, optional
        Noise scan, complex, shape ``(coil, ...)``.
    sigma : float, optional
        Noise level in the units of ``kspace`` (standard deviation of each real component). The coils are then
        assumed to have independent noise of this level, and the data are only divided by it.
    whiten : bool, optional
        Mix the coils with the estimated covariance. ``None``: if there is a noise scan, or if the outermost
        samples look like noise. Without, the data are divided by the noise level, the same for all coils.
    calibration : {"espirit", "nlinv", "walsh"}, or Espirit, Nlinv or Walsh, optional
        Calibration applied to k-space in units of its noise. By default ``Espirit(crop=0, soft=0, sigma=1,
        sets="auto")``: the image is not cropped where the calibration region has little signal, noise does
        not enter the maps, and an object larger than the field of view gets as many sets as it needs.
    sets : int or "auto", optional
        Number of sets of ESPIRiT maps, instead of that of ``calibration``.
    compress : int or "auto", optional
        Number of virtual coils to which the whitened coils are compressed (`Compress`), or as few as lose
        0.1 % of the energy of the signal. Fewer coils are faster in proportion.
    metadata : dict, optional
        Facts to add to those found here.
    left_out : tuple of str
        What of the file is not used, as in `invcore.io.Acquisition`.

    Returns
    -------
    Acquisition
        ``y`` and ``physics`` in units of the noise; ``metadata`` holds the factor (``scale``) and the
        findings.

    Raises
    ------
    DataError
        If k-space has NaN, is empty, or does not fit the maps, mask or noise scan; if the calibration region
        shows no signal above the noise.
    ShapeError
        If k-space is not complex with a coil axis.
    ParameterError
        If an option is out of range.

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import acquire, simulate
    >>> scan = simulate((96, 96), coils=4, sigma=0.02, generator=torch.Generator().manual_seed(0))
    >>> acq = acquire(scan.kspace)
    >>> acq.y.shape, acq.physics.domain.shape, round(acq.metadata["sigma"], 2)
    (torch.Size([4, 96, 96]), (1, 96, 96), 0.02)
    """
    check_kspace(kspace, spatial_dims)
    if kspace.ndim > spatial_dims + 2:
        raise ShapeError(
            f"expected k-space (coil, *spatial) or (slice, coil, *spatial) with {spatial_dims} spatial axes, "
            f"got {tuple(kspace.shape)}"
        )
    kspace = kspace.detach().resolve_conj()
    check_samples(kspace)
    maps, noise = (None if given is None else given.detach().resolve_conj() for given in (maps, noise))
    kspace, maps, noise, silent = without_silent_coils(kspace, maps, noise, spatial_dims)
    coils, spatial = kspace.shape[-spatial_dims - 1], tuple(kspace.shape[-spatial_dims:])
    check_options(sigma=sigma, noise=noise, whiten=whiten)
    chosen = calibration_of(calibration, sets, spatial_dims)

    measured = sampled(kspace, spatial_dims=spatial_dims)
    if mask is not None:
        try:
            given = (mask != 0).to(kspace.device).broadcast_to(spatial)
        except RuntimeError as error:
            raise DataError(
                f"the mask has shape {tuple(mask.shape)}, k-space {spatial}: they do not fit"
            ) from error
        kspace = kspace * given.to(kspace.real.dtype)
        measured = measured & given
    if not bool(measured.any()):
        raise DataError("no sample is left: k-space is zero wherever the mask measures")

    notes = _partial_fourier(measured, spatial_dims) + _axes_in_doubt(kspace, spatial_dims)
    kspace, covariance, facts = normalize(kspace, noise, sigma, whiten, spatial_dims, notes)

    compression = compression_of(kspace, compress, spatial_dims)
    if compression is not None:
        kspace = compression.kspace(kspace)
        facts["compressed"] = {"coils": compression.coils, "lost": compression.lost}
        notes.append(
            f"{coils} coils compressed to {compression.coils}: {compression.lost:.2g} of the energy lost"
        )
    if maps is not None:
        if sets is not None or calibration is not None:
            raise ParameterError("give either maps=, or calibration=/sets= of maps from the data, not both")
        maps = given_maps(maps, kspace, coils, spatial, covariance, facts["sigma"])
        maps = maps if compression is None else compression.maps(maps)
        used = maps.shape[-spatial_dims - 2] if maps.ndim > spatial_dims + 1 else 1
        if used == 1 and maps.ndim > spatial_dims + 1:
            maps = maps.squeeze(-spatial_dims - 2)
        described: dict[str, Any] = {"method": "given", "sets": used}
    elif coils == 1:
        used, maps, described = 1, torch.ones_like(kspace), {"method": "single coil"}
    else:
        maps, described, said = calibrated(kspace, chosen, facts["sigma"])
        used = described["sets"]
        notes.extend(said)
        maps = unit_in_raw_coils(maps, covariance, facts["sigma"], spatial_dims, compression)

    weights = _compact(measured, spatial_dims).to(kspace.real.dtype)
    physics = Physics(
        operator=Sense(maps=maps, mask=weights, spatial_dims=spatial_dims, sets=used),
        noise=GaussianNoise(sigma=1.0),
    )
    facts |= {
        "coils": coils,
        "shape": list(spatial),
        "acceleration": _acceleration(measured, spatial_dims),
        "calibration": described,
        "units": {"y": "noise standard deviation", "x": "noise standard deviation"},
        "notes": notes,
    }
    return Acquisition(
        y=kspace,
        physics=physics,
        metadata={**(metadata or {}), **facts},
        solver={"name": "fista", "prior": {"name": "wavelet"}},
        left_out=(*left_out, *silent),
        output=CoilOutput(used, spatial_dims),
    )


def root_sum_of_squares(kspace: Tensor, *, spatial_dims: int = 2) -> Tensor:
    """Return the magnitude image of a fully sampled scan: sqrt(Σ_c |F⁻¹ y_c|²).

    Parameters
    ----------
    kspace : Tensor
        Complex, shape ``(..., coil, *spatial)``, DC at index ``n//2``.
    spatial_dims : int
        2 or 3.

    Returns
    -------
    Tensor
        Real, shape ``(..., 1, *spatial)``.

    Raises
    ------
    DataError
        If k-space is not fully sampled: a position between measured ones is missing.

    Examples
    --------
    >>> import torch
    >>> root_sum_of_squares(torch.ones(4, 8, 8, dtype=torch.complex64)).amax().item()
    16.0
    """
    check_kspace(kspace, spatial_dims)
    measured = sampled(kspace, spatial_dims=spatial_dims)
    holes = intended(measured, spatial_dims=spatial_dims) & ~measured
    if not bool(measured.any()):
        raise DataError("the reference scan holds only zeros")
    if bool(holes.any()):
        raise DataError(
            f"the reference scan is not fully sampled ({int(holes.sum())} positions between measured ones "
            "are missing); give a fully sampled scan, or a reconstruction.h5"
        )
    images = centered_ifft(kspace, spatial_dims)
    return torch.linalg.vector_norm(images, dim=-spatial_dims - 1, keepdim=True)


def _acceleration(measured: Tensor, spatial_dims: int) -> float:
    """Positions that the scan covers divided by the measured ones; 1 if no hole is between those.

    It covers the smallest box around them, and on each side what is not farther off than the widest hole.
    More zeros than that are padding, and corners may be left out on purpose.
    """
    if bool((intended(measured, spatial_dims=spatial_dims) == measured).all()):
        return 1.0
    scans = measured.reshape(-1, *measured.shape[-spatial_dims:])
    covered = len(scans)
    for axis, n in enumerate(scans.shape[1:], 1):
        along = scans.any([a for a in range(scans.ndim) if a != axis]).nonzero().flatten()
        widest = int(along.diff().amax()) - 1 if len(along) > 1 else 0
        first, last = int(along[0]), int(along[-1])
        sides = [gap if gap <= widest else 0 for gap in (first, n - 1 - last)]
        covered *= last - first + 1 + sum(sides)
    return covered / float(scans.sum())


_ORDER = "are the axes in order, (coil, *spatial), and in BART (readout, phase 1, phase 2, coil)?"


def _axes_in_doubt(kspace: Tensor, spatial_dims: int) -> list[str]:
    """Say if an axis does not look like what it is: k-space is strong in its middle, coils are not."""
    notes = []
    energy = kspace.abs().square()
    for axis in range(-spatial_dims - 1, 0):
        along = energy.sum([a for a in range(-energy.ndim, 0) if a != axis])
        n, peak = len(along), int(along.argmax())
        contrast = float(along[peak] / along[along > 0].median())
        central = abs(peak - n // 2) <= max(1, n // 16)
        if axis < -spatial_dims:
            if n > 8 and central and contrast > 10:
                notes.append(f"the {n} coils are strong in the middle, as an axis of k-space is: {_ORDER}")
        elif n > 3 and contrast < 3:
            notes.append(
                f"spatial axis {axis + spatial_dims} of {n} entries has no peak in the middle: {_ORDER}"
            )
        elif n > 3 and not central:
            notes.append(
                f"spatial axis {axis + spatial_dims} is strongest at index {peak}, its center is taken to "
                f"be {n // 2}: pad k-space with zeros so that its center lies there"
            )
    return notes


def _partial_fourier(measured: Tensor, spatial_dims: int) -> list[str]:
    """Say on which axes one side of k-space reaches much less far than the other."""
    spatial = measured.shape[-spatial_dims:]
    notes = []
    for axis, (n, (first, last)) in enumerate(zip(spatial, extent(measured.reshape(-1, *spatial).any(0)))):
        below, above = n // 2 - first, last - n // 2 + (n % 2 == 0)
        if min(below, above) < _ASYMMETRIC * max(below, above):
            notes.append(
                f"partial Fourier: on spatial axis {axis} k-space reaches {max(below, 0)} samples to one "
                f"side of its center and {max(above, 0)} to the other. No phase constraint fills the short "
                "side, so the image is blurred along this axis"
            )
    return notes


_ASYMMETRIC = 0.9
"""Ratio of the two sides of k-space below which it is called partial."""


def _compact(mask: Tensor, spatial_dims: int) -> Tensor:
    """Drop redundant entries: slices with the same mask, axes along which it is constant."""
    if mask.ndim > spatial_dims and bool((mask == mask[:1]).all()):
        mask = mask[0]
    for axis in range(-spatial_dims, 0):
        first = mask.narrow(axis, 0, 1)
        if bool((mask == first).all()):
            mask = first
    return mask.contiguous()
