"""Trajectories through k-space and the density of their samples, in cycles per field of view."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from invcore import DtypeError, ParameterError, ShapeError

_GOLDEN = (1 + math.sqrt(5)) / 2


def radial(
    spokes: int,
    samples: int,
    size: float,
    *,
    order: Literal["uniform", "golden", "tiny"] = "uniform",
    tiny: int = 7,
) -> Tensor:
    r"""Return spokes through the center of k-space.

    The radius of sample i is ``size / samples * (i - samples // 2)``, from -size / 2 up to a step before
    size / 2. A spoke at the angle θ lies along (cos θ, sin θ), in the order of the image axes. Spoke j is at
    :math:`j \pi / \text{spokes}`, or at j times an angle that spreads any number of successive spokes nearly
    evenly: the golden angle :math:`\pi / \varphi`, 111.25° [1]_, or the tiny golden angle
    :math:`\pi / (\varphi + N - 1)` [2]_, whose smaller steps cause less eddy currents.

    Parameters
    ----------
    spokes : int
        Number of spokes.
    samples : int
        Samples of a spoke.
    size : float
        Pixels of the image across its field of view, along one axis. Samples are 1 / field of view apart if
        ``samples == size``, half as far if a readout is oversampled twice.
    order : {"uniform", "golden", "tiny"}
        Angles of the spokes.
    tiny : int
        N of the tiny golden angle: 7 is 23.63°. 1 is the golden angle.

    Returns
    -------
    Tensor, shape (spokes, samples, 2)
        In cycles per field of view, float32.

    Raises
    ------
    ParameterError

    References
    ----------
    .. [1] S. Winkelmann, T. Schaeffter, T. Koehler, H. Eggers, O. Doessel, "An optimal radial profile order
       based on the golden ratio for time-resolved MRI", IEEE Trans. Med. Imaging 26 (2007).
    .. [2] S. Wundrak, J. Paul, J. Ulrici, E. Hell, V. Rasche, "A small surrogate for the golden angle in
       time-resolved radial MRI based on generalized Fibonacci sequences", IEEE Trans. Med. Imaging 34 (2015).

    Examples
    --------
    >>> radial(2, 4, 8)[0]
    tensor([[-4., -0.],
            [-2., -0.],
            [ 0.,  0.],
            [ 2.,  0.]])
    """
    _check("radial", {"spokes": spokes, "samples": samples, "tiny": tiny}, size)
    steps = {"uniform": math.pi / spokes, "golden": math.pi / _GOLDEN, "tiny": math.pi / (_GOLDEN + tiny - 1)}
    if order not in steps:
        raise ParameterError(f"radial: order must be 'uniform', 'golden' or 'tiny', got {order!r}")
    angles = torch.arange(spokes, dtype=torch.float64) * steps[order] % (2 * math.pi)
    radii = (torch.arange(samples, dtype=torch.float64) - samples // 2) * (size / samples)
    directions = torch.stack([angles.cos(), angles.sin()], -1)
    return (directions.unsqueeze(1) * radii.unsqueeze(-1)).float()


def spiral(interleaves: int, samples: int, size: float, *, turns: float | None = None) -> Tensor:
    r"""Return interleaved Archimedean spirals from the center of k-space outward.

    .. math:: k(t) = \tfrac12 \text{size} \, t \, (\cos \theta, \sin \theta), \quad
       \theta = 2 \pi (\text{turns} \, t + j / \text{interleaves})

    of interleaf j at ``samples`` equal steps of t from 0 to 1.

    Parameters
    ----------
    interleaves : int
        Number of spirals.
    samples : int
        Samples of each; along the outermost turn they are π size turns / samples apart.
    size : float
        Pixels of the image across its field of view, along one axis.
    turns : float, optional
        Turns of each spiral; ``None`` is size / (2 interleaves), where neighboring turns are 1 / field of
        view apart (Nyquist). Fewer undersample.

    Returns
    -------
    Tensor, shape (interleaves, samples, 2)
        In cycles per field of view, axes in the order of the image, float32.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> spiral(1, 5, 4)[:, ::2].round(decimals=3).abs()
    tensor([[[0., 0.],
             [1., 0.],
             [2., 0.]]])
    """
    _check("spiral", {"interleaves": interleaves, "samples": samples}, size)
    turns = size / (2 * interleaves) if turns is None else turns
    if not (math.isfinite(turns) and turns > 0):
        raise ParameterError(f"spiral: turns must be positive, got {turns!r}")
    time = torch.linspace(0, 1, samples, dtype=torch.float64)
    first = torch.arange(interleaves, dtype=torch.float64).unsqueeze(-1) / interleaves
    angles = 2 * math.pi * (turns * time + first)
    return (size / 2 * time.unsqueeze(-1) * torch.stack([angles.cos(), angles.sin()], -1)).float()


def radial_density(trajectory: Tensor) -> Tensor:
    r"""Return the area of k-space that each sample of a radial trajectory stands for.

    Spokes at any angles go straight through the center, their samples equally far apart. A sample at the
    radius r has the area :math:`|r| \, \Delta r \, \Delta \theta`, where Δθ is half the angle between the two
    neighboring spokes. The samples at the center share :math:`\pi \Delta r^2 / 6`: then the sum along a line
    is the integral of \|r\| times a smooth function but for terms in :math:`\Delta r^4` (Euler, Maclaurin).
    The area of the disc, a fourth instead of a sixth, would add a constant to the image. With the root of the
    area as ``weights`` of `NUFFTSense`, the adjoint of the weighted data is the gridded image.

    Parameters
    ----------
    trajectory : Tensor, shape (spoke, sample, 2)
        In any unit, as of `radial`.

    Returns
    -------
    Tensor, shape (spoke, sample)
        In the square of that unit. In cycles per field of view, 1 is the density of a fully sampled grid.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If the samples do not lie on straight lines through the center.

    Examples
    --------
    >>> radial_density(radial(2, 4, 4))
    tensor([[3.1416, 1.5708, 0.2618, 1.5708],
            [3.1416, 1.5708, 0.2618, 1.5708]])
    """
    if trajectory.ndim != 3 or trajectory.shape[-1] != 2 or 0 in trajectory.shape or trajectory.shape[1] < 2:
        raise ShapeError(
            "radial_density: the trajectory must be (spoke, sample, 2) with two samples or more, got "
            f"{tuple(trajectory.shape)}"
        )
    if not trajectory.is_floating_point():
        raise DtypeError(f"radial_density: the trajectory must be real and floating, got {trajectory.dtype}")
    k = trajectory.detach().double()
    along = k[:, -1] - k[:, 0]
    length = torch.linalg.vector_norm(along, dim=-1, keepdim=True)
    step = length / (k.shape[1] - 1)
    directions = along / length
    radii = (k * directions.unsqueeze(1)).sum(-1)
    straight = radii.unsqueeze(-1) * directions.unsqueeze(1)
    even = radii[:, :1] + step * torch.arange(k.shape[1], device=k.device)
    tolerance = 1e-3 * float(step.mean())
    off = max(float((k - straight).abs().max()), float((radii - even).abs().max()))
    if not off <= tolerance:  # nan included
        raise ParameterError(
            "radial_density: samples must be equally far apart on straight lines through the center; some "
            f"are {off / float(step.mean()):.2g} of a step away"
        )
    widths = _widths(torch.atan2(directions[:, 1], directions[:, 0]) % math.pi).unsqueeze(-1)
    area = radii.abs() * step * widths
    center = radii.abs() < 0.5 * step * (1 - 1e-6)
    shared = math.pi * step**2 / (6 * center.sum().clamp_min(1))
    return torch.where(center, shared, area).to(trajectory.dtype)


def _widths(angles: Tensor) -> Tensor:
    """Half the angle between the neighbors of each line, modulo π; coincident lines share."""
    ordered, order = angles.sort()
    gaps = torch.diff(ordered, append=ordered[:1] + math.pi)
    widths = torch.empty_like(ordered)
    widths[order] = (gaps + gaps.roll(1)) / 2
    return widths


def _check(name: str, counts: dict[str, int], size: float) -> None:
    for count, value in counts.items():
        if int(value) != value or value < 1:
            raise ParameterError(f"{name}: {count} must be a positive integer, got {value!r}")
    if not (math.isfinite(size) and size > 0):
        raise ParameterError(f"{name}: size is a number of pixels and must be positive, got {size!r}")
