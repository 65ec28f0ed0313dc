"""Checks and whitening of raw samples, on a grid or along a trajectory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invcore import DataError, ParameterError

from .._coils.compress import Compression
from .._coils.noise import estimate_noise, noise_covariance, prewhiten, unwhiten


def check_options(*, sigma: float | None, noise: Tensor | None, whiten: bool | None) -> None:
    """Raise unless the options of a scan are of their types and do not contradict each other."""
    if sigma is not None and not (isinstance(sigma, int | float) and 0 < sigma < float("inf")):
        raise ParameterError(f"sigma is a standard deviation and must be positive; got {sigma!r}")
    if whiten is not None and not isinstance(whiten, bool):
        raise ParameterError(f"whiten= takes true, false or none; got {whiten!r}")
    if sigma is not None and (noise is not None or whiten):
        raise ParameterError(
            "give either sigma= or noise=/whiten=, not both: one noise level, or a covariance"
        )


def check_samples(kspace: Tensor) -> None:
    parts = torch.view_as_real(kspace)
    if not bool(torch.isfinite(parts.sum())):  # cheap; a sum may overflow, so look closer only then
        bad = ~torch.isfinite(parts).all(-1)
        if bool(bad.any()):
            first = bad.nonzero()[0].tolist()
            raise DataError(
                f"k-space has {int(bad.sum())} NaN or infinite samples, the first at index {first}; "
                "acquire or convert the scan again, or set them to zero (not measured)"
            )


def without_silent_coils(
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


def normalize(
    kspace: Tensor,
    noise: Tensor | None,
    sigma: float | None,
    whiten: bool | None,
    spatial_dims: int,
    notes: list[str],
    border: Tensor | None = None,
) -> tuple[Tensor, Tensor | None, dict[str, Any]]:
    """Bring k-space to unit noise; return it with the covariance and a record.

    Without a noise scan and a level the noise is that of the outermost samples, or of those in ``border``.
    """
    coils = kspace.shape[-spatial_dims - 1]
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
        outermost: dict[str, Any] = {} if border is None else {"mask": border, "fraction": 1.0}
        estimate = estimate_noise(kspace, spatial_dims=spatial_dims, **outermost)
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
    facts |= {"sigma": sigma, "scale": 1 / sigma, "whitened": covariance is not None}
    if not bool(torch.isfinite(torch.view_as_real(kspace)).all()):
        raise DataError(
            "k-space in units of the noise is beyond the largest number of its precision: some samples are "
            "far larger than the others, as in a damaged file, or sigma= is far too small"
        )
    return kspace, covariance, facts


def given_maps(
    maps: Tensor, like: Tensor, coils: int, spatial: tuple[int, ...], covariance: Tensor | None, sigma: float
) -> Tensor:
    """Check maps of the raw coils, and mix them as the coils were: y = L⁻¹ (s x), without the factor 1/σ.

    The image is then in units of the noise, whitened or not.
    """
    check_maps(maps, coils, spatial)
    maps = maps.to(device=like.device, dtype=like.dtype)
    return maps if covariance is None else sigma * prewhiten(maps, covariance, spatial_dims=len(spatial))


def check_maps(maps: Tensor, coils: int, spatial: tuple[int, ...]) -> None:
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


def unit_in_raw_coils(
    maps: Tensor,
    covariance: Tensor | None,
    sigma: float,
    spatial_dims: int,
    compression: Compression | None = None,
) -> Tensor:
    """Scale maps of whitened coils, or of virtual ones made of them, to norm 1 (times their weight).

    The norm is that seen by the raw coils.
    The image then has the brightness of the root sum of squares of the raw coils, for any covariance.
    """
    if covariance is None:
        return maps
    axis = -spatial_dims - 1
    white = maps if compression is None else compression.expand(maps)
    raw = unwhiten(white, covariance, spatial_dims=spatial_dims) / sigma
    norm = torch.linalg.vector_norm(maps, dim=axis, keepdim=True)
    gain = torch.linalg.vector_norm(raw, dim=axis, keepdim=True)
    return maps * torch.where(gain > 0, norm / gain, 0)
