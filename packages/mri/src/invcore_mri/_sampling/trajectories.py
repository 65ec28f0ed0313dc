"""Trajectories through k-space, in cycles per field of view."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from invcore import ParameterError

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
    check_counts("radial", {"spokes": spokes, "samples": samples, "tiny": tiny}, size)
    steps = {"uniform": math.pi / spokes, "golden": math.pi / _GOLDEN, "tiny": math.pi / (_GOLDEN + tiny - 1)}
    if order not in steps:
        raise ParameterError(f"radial: order must be 'uniform', 'golden' or 'tiny', got {order!r}")
    angles = torch.arange(spokes, dtype=torch.float64) * steps[order] % (2 * math.pi)
    radii = (torch.arange(samples, dtype=torch.float64) - samples // 2) * (size / samples)
    directions = torch.stack([angles.cos(), angles.sin()], -1)
    return (directions.unsqueeze(1) * radii.unsqueeze(-1)).float()


def spiral(
    interleaves: int, samples: int, size: float, *, turns: float | None = None, power: float = 1.0
) -> Tensor:
    r"""Return interleaved spirals from the center of k-space outward: Archimedean, or of variable density.

    .. math:: k(t) = \tfrac12 \text{size} \, t^p \, (\cos \theta, \sin \theta), \quad
       \theta = 2 \pi (\text{turns} \, t + j / \text{interleaves})

    of interleaf j at ``samples`` equal steps of t from 0 to 1. With a power p above 1 turns are closer to
    each other near the center [1]_.

    Parameters
    ----------
    interleaves : int
        Number of spirals.
    samples : int
        Samples of each; along the outermost turn they are π size turns / samples apart.
    size : float
        Pixels of the image across its field of view, along one axis.
    turns : float, optional
        Turns of each spiral; ``None`` is p size / (2 interleaves), where neighboring turns are 1 / field of
        view apart at the edge of k-space (Nyquist). Fewer undersample.
    power : float
        p, at least 1.

    Returns
    -------
    Tensor, shape (interleaves, samples, 2)
        In cycles per field of view, axes in the order of the image, float32.

    Raises
    ------
    ParameterError

    References
    ----------
    .. [1] D. Kim, E. Adalsteinsson, D. Spielman, "Simple analytic variable density spiral design", Magn.
       Reson. Med. 50 (2003).

    Examples
    --------
    >>> spiral(1, 5, 4)[:, ::2].round(decimals=3).abs()
    tensor([[[0., 0.],
             [1., 0.],
             [2., 0.]]])
    """
    check_counts("spiral", {"interleaves": interleaves, "samples": samples}, size)
    if not (math.isfinite(power) and power >= 1):
        raise ParameterError(f"spiral: power must be 1 or more, got {power!r}")
    turns = power * size / (2 * interleaves) if turns is None else turns
    if not (math.isfinite(turns) and turns > 0):
        raise ParameterError(f"spiral: turns must be positive, got {turns!r}")
    time = torch.linspace(0, 1, samples, dtype=torch.float64)
    first = torch.arange(interleaves, dtype=torch.float64).unsqueeze(-1) / interleaves
    angles = 2 * math.pi * (turns * time + first)
    return (size / 2 * time.unsqueeze(-1) ** power * torch.stack([angles.cos(), angles.sin()], -1)).float()


def rosette(
    shots: int, samples: int, size: float, *, oscillations: float = 5.0, rotations: float = 1.0
) -> Tensor:
    r"""Return rosettes, which cross the center of k-space once each half oscillation [1]_.

    .. math:: k(t) = \tfrac12 \text{size} \, \sin(2 \pi f_1 t) \, (\cos \theta, \sin \theta), \quad
       \theta = 2 \pi f_2 t + \pi j / \text{shots}

    of shot j at ``samples`` equal steps of t from 0 to 1.

    Parameters
    ----------
    shots : int
        Number of rosettes, turned against each other.
    samples : int
        Samples of each.
    size : float
        Pixels of the image across its field of view, along one axis.
    oscillations, rotations : float
        f₁ and f₂ in one shot.

    Returns
    -------
    Tensor, shape (shots, samples, 2)
        In cycles per field of view, float32.

    Raises
    ------
    ParameterError

    References
    ----------
    .. [1] D. Noll, "Multishot rosette trajectories for spectrally selective MR imaging", IEEE Trans. Med.
       Imaging 16 (1997).

    Examples
    --------
    >>> rosette(1, 5, 4, oscillations=1, rotations=0)[0, :, 0].round(decimals=3) + 0.0
    tensor([ 0.,  2.,  0., -2.,  0.])
    """
    check_counts("rosette", {"shots": shots, "samples": samples}, size)
    if not (math.isfinite(oscillations) and oscillations > 0 and math.isfinite(rotations)):
        raise ParameterError(
            "rosette: oscillations must be positive and rotations finite, got "
            f"{oscillations!r} and {rotations!r}"
        )
    time = torch.linspace(0, 1, samples, dtype=torch.float64)
    radius = size / 2 * torch.sin(2 * math.pi * oscillations * time)
    first = math.pi * torch.arange(shots, dtype=torch.float64).unsqueeze(-1) / shots
    angles = 2 * math.pi * rotations * time + first
    return (radius.unsqueeze(-1) * torch.stack([angles.cos(), angles.sin()], -1)).float()


def epi(shape: tuple[int, int], *, shots: int = 1, oversampling: int = 1) -> Tensor:
    """Return the lines of echo-planar imaging, back and forth.

    Shot j takes the lines j, j + shots, … of a Cartesian grid, every other one backward: samples of odd and
    of even lines are mirrored, as the scanner takes them.

    Parameters
    ----------
    shape : tuple of int
        Pixels ``(y, x)``: phase encoding along y, readout along x.
    shots : int
        Number of shots, a divisor of the lines.
    oversampling : int
        Samples per pixel along a readout.

    Returns
    -------
    Tensor, shape (shots, lines * samples, 2)
        In cycles per field of view, float32.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> epi((2, 3))[0]
    tensor([[-1., -1.],
            [-1.,  0.],
            [-1.,  1.],
            [ 0.,  1.],
            [ 0.,  0.],
            [ 0., -1.]])
    """
    ny, nx = shape
    check_counts("epi", {"lines": ny, "samples": nx, "shots": shots, "oversampling": oversampling}, nx)
    if ny % shots:
        raise ParameterError(f"epi: {ny} lines are not a multiple of {shots} shots")
    samples = nx * oversampling
    kx = (torch.arange(samples, dtype=torch.float64) - samples // 2) / oversampling
    lines = []
    for shot in range(shots):
        for i, line in enumerate(range(shot, ny, shots)):
            along = kx.flip(0) if i % 2 else kx
            lines.append(torch.stack([torch.full_like(along, line - ny // 2), along], -1))
    return torch.stack(lines).reshape(shots, -1, 2).float()


def check_counts(name: str, counts: dict[str, int], size: float) -> None:
    for count, value in counts.items():
        if int(value) != value or value < 1:
            raise ParameterError(f"{name}: {count} must be a positive integer, got {value!r}")
    if not (math.isfinite(size) and size > 0):
        raise ParameterError(f"{name}: size is a number of pixels and must be positive, got {size!r}")
