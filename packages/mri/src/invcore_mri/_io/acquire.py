"""From raw Cartesian k-space to an `Acquisition`: check, whiten, calibrate, describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from invcore import DataError, ParameterError, Physics, ShapeError
from invcore.io import Acquisition, Output
from invcore.noises import GaussianNoise

from .._coils.espirit import Espirit, NoSignalError, overlap_note
from .._coils.noise import estimate_noise, noise_covariance, prewhiten, unwhiten
from .._sampling.center import check_kspace, extent, intended, sampled
from .._sampling.fft import centered_ifft
from .._sampling.operators import Sense


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
    calibration : Espirit, optional
        Settings of ESPIRiT; see :func:`acquire`.
    sets : int or "auto", optional
        Number of sets of ESPIRiT maps, which is an image each: more than one for a field of view smaller than
        the object. By default from the data.
    """

    maps: Tensor | str | Path | None = None
    noise: Tensor | str | Path | None = None
    mask: Tensor | None = None
    sigma: float | None = None
    whiten: bool | None = None
    calibration: Espirit | None = None
    sets: int | Literal["auto"] | None = None


@dataclass(frozen=True)
class _CoilOutput(Output):
    """Names the coils and the acceleration; shows the images of several sets of maps as one, and each."""

    nifti = True

    sets: int = 1
    spatial_dims: int = 2

    def pictures(self, x: Tensor) -> Mapping[str, Tensor]:
        if self.sets == 1:
            return {"Reconstruction": x}
        axis = -self.spatial_dims - 1
        shown = {"Root sum of squares of the sets": torch.linalg.vector_norm(x, dim=axis, keepdim=True)}
        return shown | {f"Set {i + 1}": x.narrow(axis, i, 1) for i in range(self.sets)}

    def summary(self, acquisition: Acquisition) -> str:
        coils, acceleration = (acquisition.metadata[fact] for fact in ("coils", "acceleration"))
        return f"{super().summary(acquisition)}, {coils} coils, acceleration {acceleration:.2f}"


def acquire(
    kspace: Tensor,
    *,
    spatial_dims: int = 2,
    mask: Tensor | None = None,
    maps: Tensor | None = None,
    noise: Tensor | None = None,
    sigma: float | None = None,
    whiten: bool | None = None,
    calibration: Espirit | None = None,
    sets: int | Literal["auto"] | None = None,
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
    calibration : Espirit, optional
        Calibration applied to k-space in units of its noise. By default ``Espirit(crop=0, soft=0, sigma=1,
        sets="auto")``: the image is not cropped where the calibration region has little signal, noise does
        not enter the maps, and an object larger than the field of view gets as many sets as it needs.
    sets : int or "auto", optional
        Number of sets of ESPIRiT maps, instead of that of ``calibration``.
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
    _check_samples(kspace)
    maps, noise = (None if given is None else given.detach().resolve_conj() for given in (maps, noise))
    kspace, maps, noise, silent = _without_silent_coils(kspace, maps, noise, spatial_dims)
    coils, spatial = kspace.shape[-spatial_dims - 1], tuple(kspace.shape[-spatial_dims:])
    if sigma is not None and not (isinstance(sigma, int | float) and 0 < sigma < float("inf")):
        raise ParameterError(f"sigma is a standard deviation and must be positive; got {sigma!r}")
    if calibration is not None and not isinstance(calibration, Espirit):
        raise ParameterError(
            f"calibration= takes an Espirit(...), which only Python can give; got {calibration!r}"
        )
    if whiten is not None and not isinstance(whiten, bool):
        raise ParameterError(f"whiten= takes true, false or none; got {whiten!r}")
    if sigma is not None and (noise is not None or whiten):
        raise ParameterError(
            "give either sigma= or noise=/whiten=, not both: one noise level, or a covariance"
        )

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
    kspace, maps, covariance, facts = _normalize(kspace, maps, noise, sigma, whiten, spatial_dims, notes)
    if not bool(torch.isfinite(torch.view_as_real(kspace)).all()):
        raise DataError(
            "k-space in units of the noise is beyond the largest number of its precision: some samples are "
            "far larger than the others, as in a damaged file, or sigma= is far too small"
        )

    if maps is None:
        calibration = calibration or Espirit(
            spatial_dims=spatial_dims, crop=0.0, soft=0.0, sigma=1.0, sets="auto"
        )
        if sets is not None:
            calibration = replace(calibration, sets=sets)
        if calibration.spatial_dims != spatial_dims:
            raise ParameterError(
                f"calibration= works on {calibration.spatial_dims} spatial axes, k-space has {spatial_dims}; "
                f"pass Espirit(spatial_dims={spatial_dims}, ...)"
            )
        used = 1
        if coils == 1:
            maps = torch.ones_like(kspace)
            described: dict[str, Any] = {"method": "single coil"}
        else:
            maps, needed = _calibrated(calibration, kspace, facts["sigma"])
            used = maps.shape[-spatial_dims - 2] if maps.ndim > kspace.ndim else 1
            maps = _unit_in_raw_coils(maps, covariance, facts["sigma"], spatial_dims)
            described = {"method": "espirit", **asdict(calibration), "sets": used}
            if needed > used:
                notes.append(overlap_note(needed, used))
            elif calibration.sets == "auto" and used > 1:
                notes.append(
                    f"the field of view is smaller than the object, which overlaps itself: {used} sets of "
                    f"coil maps are used, and the image has {used} channels, one a part that overlaps. "
                    "The root sum of squares of the channels shows the object as it overlaps"
                )
        if not bool((maps != 0).any()):
            raise DataError(
                f"no voxel reaches the eigenvalue crop={calibration.crop}: the calibration region shows no "
                "coil structure. Lower crop=, change threshold=, or pass coil maps"
            )
    else:
        if sets is not None or calibration is not None:
            raise ParameterError("give either maps=, or calibration=/sets= of maps from the data, not both")
        used = maps.shape[-spatial_dims - 2] if maps.ndim > spatial_dims + 1 else 1
        if used == 1 and maps.ndim > spatial_dims + 1:
            maps = maps.squeeze(-spatial_dims - 2)
        described = {"method": "given", "sets": used}

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
        output=_CoilOutput(used, spatial_dims),
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


def _calibrated(calibration: Espirit, kspace: Tensor, sigma: float) -> tuple[Tensor, int]:
    """Coil maps, and the number of sets needed; errors name the noise level in the units of the file."""
    try:
        return calibration.maps_and_need(kspace)
    except NoSignalError as error:
        raise NoSignalError(f"{error} (here sigma={sigma:.3g} in the units of k-space)") from None


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


def _normalize(
    kspace: Tensor,
    maps: Tensor | None,
    noise: Tensor | None,
    sigma: float | None,
    whiten: bool | None,
    spatial_dims: int,
    notes: list[str],
) -> tuple[Tensor, Tensor | None, Tensor | None, dict[str, Any]]:
    """Bring k-space (and given maps) to unit noise; return them with the covariance and a record."""
    coils, spatial = kspace.shape[-spatial_dims - 1], tuple(kspace.shape[-spatial_dims:])
    if maps is not None:
        _check_maps(maps, coils, spatial)
        maps = maps.to(device=kspace.device, dtype=kspace.dtype)
    facts: dict[str, Any] = {}
    covariance = None
    if noise is not None:
        if noise.shape[0] != coils:
            raise DataError(
                f"the noise scan has {noise.shape[0]} coils on its first axis, k-space {coils}: "
                "give the noise scan of the same coil array, shape (coil, samples)"
            )
        covariance = noise_covariance(noise).to(device=kspace.device, dtype=kspace.dtype)
        sigma = float((covariance.diagonal().real.mean() / 2).sqrt())
        facts["noise"] = {"from": "noise scan", "samples": noise[0].numel()}
    elif sigma is None:
        estimate = estimate_noise(kspace, spatial_dims=spatial_dims)
        sigma = estimate.sigma
        facts["noise"] = {
            "from": "outermost k-space samples",
            "samples": estimate.samples,
            "white": estimate.white,
            "kurtosis": estimate.kurtosis,
            "correlation": estimate.correlation,
        }
        if whiten or (whiten is None and estimate.white):
            covariance = estimate.covariance
        if not estimate.white:
            notes.append(
                f"the outermost k-space samples do not look like noise (kurtosis {estimate.kurtosis:.2f} for "
                f"2, correlation {estimate.correlation:.2f} for 0), so the noise level {sigma:.3g} may be "
                "too high; give a noise scan, or sigma by hand"
            )
    else:
        facts["noise"] = {"from": "given"}
    if whiten is False:
        covariance = None
    if covariance is None:
        kspace = kspace / sigma
    else:
        kspace = prewhiten(kspace, covariance, spatial_dims=spatial_dims)
        if maps is not None:
            # y = L^-1 (s x): take 1/sigma out, so that x is in units of the noise here too
            maps = sigma * prewhiten(maps, covariance, spatial_dims=spatial_dims)
    facts |= {"sigma": sigma, "scale": 1 / sigma, "whitened": covariance is not None}
    return kspace, maps, covariance, facts


def _unit_in_raw_coils(maps: Tensor, covariance: Tensor | None, sigma: float, spatial_dims: int) -> Tensor:
    """Scale maps of whitened coils so that, seen by the raw coils, they have norm 1 (times their weight).

    The image then has the brightness of the root sum of squares of the raw coils, for any covariance.
    """
    if covariance is None:
        return maps
    axis = -spatial_dims - 1
    raw = unwhiten(maps, covariance, spatial_dims=spatial_dims) / sigma
    norm = torch.linalg.vector_norm(maps, dim=axis, keepdim=True)
    gain = torch.linalg.vector_norm(raw, dim=axis, keepdim=True)
    return maps * torch.where(gain > 0, norm / gain, 0)


def _check_samples(kspace: Tensor) -> None:
    parts = torch.view_as_real(kspace)
    if not bool(torch.isfinite(parts.sum())):  # cheap; a sum may overflow, so look closer only then
        bad = ~torch.isfinite(parts).all(-1)
        if bool(bad.any()):
            first = bad.nonzero()[0].tolist()
            raise DataError(
                f"k-space has {int(bad.sum())} NaN or infinite samples, the first at index {first}; "
                "acquire or convert the scan again, or set them to zero (not measured)"
            )


def _without_silent_coils(
    kspace: Tensor, maps: Tensor | None, noise: Tensor | None, spatial_dims: int
) -> tuple[Tensor, Tensor | None, Tensor | None, tuple[str, ...]]:
    """Leave out coils that hold only zeros, in k-space, maps and noise scan, and say so."""
    axis = -spatial_dims - 1
    heard = (kspace != 0).transpose(0, axis).flatten(1).any(1)
    coils = len(heard)
    if not bool(heard.any()):
        raise DataError("k-space holds only zeros")
    if bool(heard.all()):
        return kspace, maps, noise, ()
    keep, silent = heard.nonzero().flatten(), (~heard).nonzero().flatten().tolist()
    if maps is not None and maps.ndim > spatial_dims and maps.shape[axis] == coils:
        maps = maps.index_select(maps.ndim + axis, keep.to(maps.device))
    if noise is not None and noise.shape[0] == coils:
        noise = noise[keep.to(noise.device)]
    said = f"{len(keep)} of {coils} coils used; {silent} (from 0) have only zeros"
    return kspace.index_select(kspace.ndim + axis, keep), maps, noise, (said,)


def _check_maps(maps: Tensor, coils: int, spatial: tuple[int, ...]) -> None:
    if not maps.is_complex():
        raise DataError(f"coil maps must be complex, got {maps.dtype}")
    have = tuple(maps.shape[-len(spatial) - 1 :])
    if maps.ndim not in (len(spatial) + 1, len(spatial) + 2) or have != (coils, *spatial):
        raise DataError(
            f"the coil maps have shape {tuple(maps.shape)}; for this k-space they must have {coils} coils "
            f"and shape {(coils, *spatial)}, or {('sets', coils, *spatial)} for several sets"
        )
    if not bool(torch.isfinite(torch.view_as_real(maps)).all()):
        raise DataError("the coil maps have NaN or infinite values")


def _compact(mask: Tensor, spatial_dims: int) -> Tensor:
    """Drop redundant entries: slices with the same mask, axes along which it is constant."""
    if mask.ndim > spatial_dims and bool((mask == mask[:1]).all()):
        mask = mask[0]
    for axis in range(-spatial_dims, 0):
        first = mask.narrow(axis, 0, 1)
        if bool((mask == first).all()):
            mask = first
    return mask.contiguous()
