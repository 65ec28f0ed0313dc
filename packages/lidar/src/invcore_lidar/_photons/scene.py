"""Synthetic scene, and time tags simulated from any scene."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError

from .impulse import ImpulseResponse
from .tags import TimeTags
from .units import time_of_flight


class Surfaces(NamedTuple):
    """Depths and reflectivities of a scene.

    Attributes
    ----------
    depth : Tensor, shape (K, ny, nx)
        Meters, nearest surface first.
    reflectivity : Tensor, shape (K, ny, nx)
        Between 0 and 1.
    """

    depth: Tensor
    reflectivity: Tensor


def still_life(
    shape: tuple[int, int] = (128, 128),
    *,
    near: float = 2.0,
    far: float = 3.5,
    surfaces: int = 1,
    dtype: torch.dtype = torch.float32,
) -> Surfaces:
    """Return depth and reflectivity of a still life: wall, table, ball, bowl, cone, books and stick.

    It combines the test cases of depth imaging (smooth curved surfaces, slanted planes, sharp steps, thin
    objects) with textures that do not follow the depth: a checkered cloth, titles, stripes. It is defined by
    formulas, so that any size shows the same scene.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``.
    near, far : float
        Approximate distances of the nearest and farthest points in meters.
    surfaces : int
        1, or 2: with a half-transparent curtain in front, a fifth of the depth range before ``near``.
    dtype : torch.dtype

    Returns
    -------
    Surfaces

    Raises
    ------
    ShapeError, ParameterError
        If an argument is out of range.

    Examples
    --------
    >>> scene = still_life((64, 80))
    >>> scene.depth.shape, bool((scene.reflectivity > 0).all())
    (torch.Size([1, 64, 80]), True)
    >>> 1.9 < scene.depth.min().item() < scene.depth.max().item() < 3.6
    True
    """
    if len(shape) != 2 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ShapeError(f"still_life: shape must be (ny, nx), two positive numbers, got {shape!r}")
    if not 0 < near < far < math.inf:
        raise ParameterError(f"still_life: expected 0 < near < far in meters, got {near!r} and {far!r}")
    if surfaces not in (1, 2):
        raise ParameterError(f"still_life: surfaces must be 1 or 2, got {surfaces!r}")
    ny, nx = shape
    y = ((torch.arange(ny, dtype=torch.float64) + 0.5) / ny)[:, None].expand(ny, nx)
    x = ((torch.arange(nx, dtype=torch.float64) + 0.5) / nx)[None].expand(ny, nx)

    # The wall: slanted, with papered stripes.
    depth = 0.92 + 0.08 * x
    light = 0.45 + 0.12 * torch.sign(torch.sin(2 * math.pi * 7 * x))
    # The table: comes nearer downwards; a checkered cloth.
    table = 0.95 - 1.9 * (y - 0.68)
    on_table = table < depth
    checks = torch.sign(torch.sin(30 * x / (0.4 + y)) * torch.sin(26 * y))
    depth, light = torch.where(on_table, table, depth), torch.where(on_table, 0.55 + 0.3 * checks, light)

    def put(inside: Tensor, at: Tensor | float, brightness: Tensor | float) -> None:
        nonlocal depth, light
        at = torch.as_tensor(at, dtype=torch.float64)
        front = inside & (at < depth)
        depth = torch.where(front, at, depth)
        light = torch.where(front, torch.as_tensor(brightness, dtype=torch.float64), light)

    # Books, standing: three upright boxes of different depth with bars for titles.
    for left, right, top, at, shade in (
        (0.06, 0.12, 0.30, 0.74, 0.85),
        (0.12, 0.20, 0.24, 0.68, 0.25),
        (0.20, 0.27, 0.34, 0.78, 0.6),
    ):
        title = torch.sin(2 * math.pi * (y - top) * 16) > 0.3
        put((x > left) & (x < right) & (y > top) & (y < 0.76), at, torch.where(title, shade, 0.7 * shade))
    # A ball with a darker band.
    rx, ry = (x - 0.46) / 0.15, (y - 0.60) / 0.15
    inside = rx**2 + ry**2 < 1
    bulge = (1 - rx**2 - ry**2).clamp_min(0).sqrt()
    put(inside, 0.50 - 0.17 * bulge, (0.25 + 0.6 * bulge) * torch.where(ry.abs() < 0.2, 0.5, 1.0))
    # A bowl, seen from the front, hollow.
    rx, ry = (x - 0.77) / 0.17, (y - 0.62) / 0.13
    inside = (rx**2 + ry**2 < 1) & (ry > -0.25)
    put(inside, 0.42 + 0.14 * (rx**2 + ry**2), 0.35 + 0.35 * (1 - rx**2).clamp_min(0))
    # A cone.
    height = (y - 0.12) / 0.36
    half = 0.09 * height
    offset = (x - 0.66) / half.clamp_min(1e-9)
    inside = (height > 0) & (height < 1) & (offset.abs() < 1)
    put(inside, 0.62 - half * (1 - offset**2).clamp_min(0).sqrt(), 0.9 - 0.5 * height)
    # A stick that leans, thin, in front.
    along = x - 0.28 - 0.12 * (0.9 - y)
    put((along.abs() < 0.012) & (y > 0.08) & (y < 0.92), 0.25 + 0.15 * (0.9 - y), 0.95)

    low = torch.tensor(0.25, dtype=torch.float64)
    depth = near + (depth - low) * ((far - near) / 0.75)
    light = light.clamp(0.05, 1.0)
    if surfaces == 1:
        return Surfaces(depth[None].to(dtype), light[None].to(dtype))
    folds = torch.sin(2 * math.pi * 3 * x + 0.6 * torch.sin(2 * math.pi * y))
    curtain = near - (far - near) * (0.22 - 0.02 * folds)
    thin = 0.28 + 0.08 * folds
    return Surfaces(
        torch.stack([curtain, depth]).to(dtype),
        torch.stack([thin, (1 - thin) ** 2 * light]).to(dtype),  # light passes it twice
    )


def simulate_tags(
    depth: Tensor,
    reflectivity: Tensor,
    *,
    impulse: ImpulseResponse,
    photons: float,
    signal_to_background: float,
    generator: torch.Generator,
    tick: float = 1e-12,
    gate: tuple[float, float] | None = None,
) -> TimeTags:
    """Draw time tags from the Poisson process of a scene, exactly up to the ticks.

    Each surface sends back a Poisson number of photons at the time of flight plus a draw from the impulse
    response; background is uniform over the gate. The photons of a pixel are in random order, as over many
    pulses.

    Parameters
    ----------
    depth, reflectivity : Tensor, shape (K, ny, nx)
        Depth in meters; reflectivity in any unit, scaled so that ``photons`` is its mean.
    impulse : ImpulseResponse
    photons : float
        Mean *signal* photons per pixel, all surfaces together.
    signal_to_background : float
        Mean signal photons over mean background photons in the gate; ``math.inf`` for no background.
    generator : torch.Generator
    tick : float
        Seconds.
    gate : tuple of float, optional
        Start and stop in seconds. By default the times of flight of the scene, extended on both sides by a
        tenth of their range, but at least by the impulse response.

    Returns
    -------
    TimeTags
        Signal outside of the gate is lost.

    Raises
    ------
    ShapeError, ParameterError
        If the images do not fit together, or a number is out of range.

    Examples
    --------
    >>> scene = still_life((32, 32))
    >>> h, g = ImpulseResponse.gaussian(fwhm=300e-12), torch.Generator().manual_seed(0)
    >>> tags = simulate_tags(*scene, impulse=h, photons=5.0, signal_to_background=1.0, generator=g)
    >>> 9 < tags.counts().double().mean() < 11
    tensor(True)
    """
    if depth.ndim != 3 or depth.shape != reflectivity.shape:
        raise ShapeError(
            f"simulate_tags: depth and reflectivity must both be (K, ny, nx), "
            f"got {tuple(depth.shape)} and {tuple(reflectivity.shape)}"
        )
    depth, reflectivity = depth.double(), reflectivity.double()
    if (
        not bool(torch.isfinite(depth).all())
        or not bool((reflectivity >= 0).all())
        or reflectivity.sum() == 0
    ):
        raise ParameterError("simulate_tags: depth must be finite, reflectivity nonnegative and not all zero")
    if not (0 < photons < math.inf and signal_to_background > 0 and 0 < tick < math.inf):
        raise ParameterError("simulate_tags: photons, signal_to_background and tick must be positive")
    _, ny, nx = depth.shape
    flight = time_of_flight(depth)
    low, high = impulse.support
    if gate is None:
        first, last = flight.min().item(), flight.max().item()
        spare = 0.1 * (last - first)
        gate = first + min(low, -spare), last + max(high, spare)
    start, stop = math.floor(gate[0] / tick), math.ceil(gate[1] / tick)
    if not start < stop:
        raise ParameterError(f"simulate_tags: the gate must be start < stop in seconds, got {gate!r}")

    rate = reflectivity * (photons / reflectivity.sum(0).mean())
    number = torch.poisson(rate, generator=generator).long().reshape(-1)
    which = torch.repeat_interleave(torch.arange(len(number)), number)
    times = flight.reshape(-1)[which] + impulse.sample(len(which), generator=generator)
    ambient = torch.full((ny * nx,), photons / signal_to_background, dtype=torch.float64)
    number = torch.poisson(ambient, generator=generator).long()
    where = torch.repeat_interleave(torch.arange(ny * nx), number)
    uniform = torch.randint(start, stop, (len(where),), generator=generator)

    pixels = torch.cat([which % (ny * nx), where])
    tags = torch.cat([(times / tick).floor().long(), uniform])
    order = torch.randperm(len(tags), generator=generator)
    return TimeTags.from_pixels(
        pixels=pixels[order], tags=tags[order], tick=tick, shape=(ny, nx), start=start, stop=stop
    )
