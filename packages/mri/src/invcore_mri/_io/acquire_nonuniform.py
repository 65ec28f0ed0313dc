"""From samples along a trajectory to an `Acquisition`: check, whiten, calibrate, describe."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any, Literal

import torch
from torch import Tensor

from invcore import DataError, ParameterError, Physics, ShapeError, Space
from invcore.io import Acquisition
from invcore.noises import GaussianNoise
from invcore.operators import NUFFT
from invcore.solvers import CGLS

from .._coils.espirit import Espirit
from .._coils.nlinv import Nlinv
from .._sampling.center import center_crop
from .._sampling.density import radial_density
from .._sampling.fft import centered_fft
from .._sampling.nonuniform import NUFFTSense
from .calibrate import Calibration, Method, calibrated, calibration_of, compression_of
from .output import NonuniformOutput
from .preparation import (
    check_options,
    check_samples,
    given_maps,
    normalize,
    unit_in_raw_coils,
    without_silent_coils,
)

_CENTER = 16.0
"""Radius of k-space, in cycles per field of view, that the coil maps are calibrated on."""


def acquire_nonuniform(
    samples: Tensor,
    trajectory: Tensor,
    shape: tuple[int, ...],
    *,
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
    r"""Turn samples along a trajectory into data and physics that a solver takes.

    As :func:`acquire` does with Cartesian scans: samples are checked, coils whitened by a noise scan or by
    the samples farthest from the center, and coil maps come from ESPIRiT, here of the center of k-space on a
    grid: of each coil the image with few pixels that fits the samples there best. The noise of the samples is
    white, so the physics, `NUFFTSense`, has no weights; the density of the samples makes only the gridded
    image that is shown beside the reconstruction.

    Parameters
    ----------
    samples : Tensor, shape (coil, shot, sample)
        Complex.
    trajectory : Tensor, shape (shot, sample, d)
        In cycles per field of view, axes in the order of the image; d is 2 or 3.
    shape : tuple of int
        Pixels of the image.
    maps, noise, sigma, whiten
        As of :func:`acquire`.
    calibration : {"espirit", "nlinv", "walsh"}, or Espirit, Nlinv or Walsh, optional
        Calibration applied to the center of k-space on a grid of n pixels, of which it may use all; NLINV
        takes all samples as they are. By default ``Espirit(crop=0, soft=0, threshold=0.05)``.
    sets : int or "auto", optional
        Number of sets of ESPIRiT maps, instead of that of ``calibration``; one by default.
    compress : int or "auto", optional
        As of :func:`acquire`.
    metadata : dict, optional
        Facts to add to those found here.
    left_out : tuple of str
        What of the file is not used.

    Returns
    -------
    Acquisition

    Raises
    ------
    DataError, ShapeError, ParameterError

    Examples
    --------
    >>> from invcore_mri import NUFFTSense, acquire_nonuniform, radial, simulate
    >>> scan = simulate((64, 64), coils=4, generator=torch.Generator().manual_seed(0))
    >>> k = radial(40, 64, 64)
    >>> y = NUFFTSense(scan.maps, k.reshape(-1, 2))(scan.image).reshape(4, 40, 64)
    >>> acq = acquire_nonuniform(y, k, (64, 64), sigma=0.01)
    >>> acq.y.shape, acq.physics.domain.shape
    (torch.Size([4, 2560]), (1, 64, 64))
    """
    d = trajectory.shape[-1]
    if d not in (2, 3) or trajectory.ndim != 3 or len(shape) != d or not trajectory.is_floating_point():
        raise ShapeError(
            "acquire_nonuniform: expected a real trajectory (shot, sample, 2 or 3) and as many pixels, got "
            f"{trajectory.dtype} {tuple(trajectory.shape)} and {shape}"
        )
    if not samples.is_complex() or samples.shape[1:] != trajectory.shape[:2] or 0 in samples.shape:
        raise ShapeError(
            f"acquire_nonuniform: expected complex samples (coil, {trajectory.shape[0]}, "
            f"{trajectory.shape[1]}), as the trajectory has, got {samples.dtype} {tuple(samples.shape)}"
        )
    check_options(sigma=sigma, noise=noise, whiten=whiten)
    default = Espirit(spatial_dims=d, calib=None, crop=0.0, soft=0.0, threshold=0.05, sets=1)
    chosen = calibration_of(calibration, sets, d, default)
    samples, trajectory = samples.detach().resolve_conj(), trajectory.detach()
    check_samples(samples)
    if not bool(torch.isfinite(trajectory).all()):
        raise DataError("the trajectory has NaN or infinite values")
    if maps is not None:
        maps = maps.detach().resolve_conj()
    samples, maps, noise, silent = without_silent_coils(samples, maps, noise, 2)
    coils, notes = len(samples), list[str]()
    samples, covariance, facts = normalize(
        samples, noise, sigma, whiten, 2, notes, border=_outermost(trajectory, shape, coils)
    )
    compression = compression_of(samples, compress, 2)
    if compression is not None:
        samples = compression.kspace(samples)
        compression = replace(compression, spatial_dims=d)
        facts["compressed"] = {"coils": compression.coils, "lost": compression.lost}
    measured = (samples != 0).any(0)
    density = _density(trajectory)
    y, k = samples[:, measured].contiguous(), trajectory[measured]
    density = None if density is None else density[measured]
    if maps is not None:
        if sets is not None or calibration is not None:
            raise ParameterError("give either maps=, or calibration=/sets= of maps from the data, not both")
        maps = given_maps(maps, y, coils, shape, covariance, facts["sigma"])
        maps = maps if compression is None else compression.maps(maps)
        described: dict[str, Any] = {"method": "given"}
    elif coils == 1:
        maps, described = torch.ones(1, *shape, dtype=y.dtype), {"method": "single coil"}
    else:
        if isinstance(chosen, Nlinv):
            maps, described = (
                chosen.solve(y, _coil_samples(k, len(y), shape)).maps,
                {"method": "nlinv", **asdict(chosen)},
            )
        else:
            maps, described, said = calibrated(gridded_center(y, k, shape), chosen, facts["sigma"])
            described["method"] += " of the center on a grid"
            notes.extend(said)
        maps = unit_in_raw_coils(maps, covariance, facts["sigma"], d, compression)
    used = maps.shape[-d - 2] if maps.ndim > d + 1 else 1
    if used == 1 and maps.ndim > d + 1:
        maps = maps.squeeze(-d - 2)
    physics = Physics(
        operator=NUFFTSense(maps=maps, trajectory=k, spatial_dims=d, sets=used),
        noise=GaussianNoise(sigma=1.0),
    )
    facts |= {
        "coils": coils,
        "shape": list(shape),
        "shots": len(trajectory),
        "samples": y.shape[-1],
        "acceleration": math.prod(shape) / y.shape[-1],
        "calibration": {**described, "sets": used},
        "units": {"y": "noise standard deviation", "x": "noise standard deviation"},
    }
    facts["notes"] = [*(metadata or {}).get("notes", ()), *notes]
    return Acquisition(
        y=y,
        physics=physics,
        metadata={**(metadata or {}), **facts},
        solver={"name": "fista", "prior": {"name": "wavelet"}},
        left_out=(*left_out, *silent),
        output=NonuniformOutput(used, d, density),
    )


def gridded_center(y: Tensor, k: Tensor, shape: tuple[int, ...]) -> Tensor:
    """K-space on the grid of an image, (coil, *shape), nonzero in its center, from samples (coil, sample).

    Of each coil it is the transform of the image with few pixels that ten steps of conjugate gradients fit
    to the samples near the center: no density of the samples is needed, and where they are too far apart the
    field of view fills in.
    """
    d = len(shape)
    small = tuple(min(n, 2 * int(_CENTER) + n % 2) for n in shape)
    half = torch.tensor(small, dtype=k.dtype, device=k.device) / 2
    near = (k.abs() < half).all(-1) & (torch.linalg.vector_norm(k / half, dim=-1) <= 1)
    if int(near.sum()) < 4 * len(y):
        raise DataError(
            f"{int(near.sum())} samples lie within {_CENTER:g} cycles per field of view of the center, too "
            "few for coil maps; give maps="
        )
    one = torch.ones(1, *small, dtype=y.dtype, device=y.device)
    physics = Physics(operator=NUFFTSense(maps=one, trajectory=k[near], spatial_dims=d))
    images = CGLS(max_steps=10, rtol=1e-3, discrepancy=None)(y[:, None, near], physics)
    center = centered_fft(images[:, 0], d)
    box = tuple(max(1, int(n / math.sqrt(d))) // 2 * 2 for n in small)  # within the ball of the samples
    out = y.new_zeros(len(y), *shape)
    center_crop(out, box).copy_(center_crop(center, box))
    return out


def _coil_samples(k: Tensor, coils: int, shape: tuple[int, ...]) -> NUFFT:
    """The transform of coil images to their samples."""
    pixels = torch.tensor(shape, dtype=k.dtype, device=k.device)
    return NUFFT(k / pixels, Space((coils, *shape), "complex"), unit="cycles")


def _outermost(trajectory: Tensor, shape: tuple[int, ...], coils: int) -> Tensor:
    """The twentieth of the samples that is farthest from the center, at least 32 a coil; (shot, sample)."""
    pixels = torch.tensor(shape, dtype=trajectory.dtype, device=trajectory.device)
    radius = torch.linalg.vector_norm(trajectory / pixels, dim=-1)
    count = min(radius.numel(), max(radius.numel() // 20, 32 * coils))
    return radius >= radius.flatten().kthvalue(radius.numel() - count + 1).values


def _density(trajectory: Tensor) -> Tensor | None:
    """Area of k-space that each sample of straight spokes stands for; None of other trajectories."""
    try:
        return radial_density(trajectory)
    except (ParameterError, ShapeError):
        return None
