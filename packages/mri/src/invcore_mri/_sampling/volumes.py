"""Trajectories through three-dimensional k-space, in cycles per field of view."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invcore import ShapeError

from .trajectories import check_counts

# The two-dimensional golden means: 1/v and 1/v² of the real root of v³ = v + 1 (in the order of the source).
_MEANS = (0.46557123187676802, 0.68232780382801933)
_GOLDEN_ANGLE = math.pi * (math.sqrt(5) - 1) / 2


def stack(planar: Tensor, partitions: int, *, turned: bool = False) -> Tensor:
    r"""Stack a planar trajectory along a Cartesian axis: stack of stars, stack of spirals.

    Parameters
    ----------
    planar : Tensor, shape (shot, sample, 2)
        As of `radial` or `spiral`, in cycles per field of view.
    partitions : int
        Number of planes, 1 / field of view apart along the first axis: pixels of the image along it.
    turned : bool
        Turn each plane by the golden angle of 111.25° against the last one, which spreads what is missing.

    Returns
    -------
    Tensor, shape (partitions, shot, sample, 3)
        Axes z, y, x of the image.

    Raises
    ------
    ShapeError, ParameterError

    Examples
    --------
    >>> from invcore_mri import radial
    >>> stack(radial(2, 4, 4), 3)[:, 0, 0]
    tensor([[-1., -2., -0.],
            [ 0., -2., -0.],
            [ 1., -2., -0.]])
    """
    if planar.ndim != 3 or planar.shape[-1] != 2:
        raise ShapeError(f"stack: the trajectory must be (shot, sample, 2), got {tuple(planar.shape)}")
    check_counts("stack", {"partitions": partitions}, partitions)
    planes = []
    for i in range(partitions):
        angle = _GOLDEN_ANGLE * i if turned else 0.0
        c, s = math.cos(angle), math.sin(angle)
        turn = torch.tensor([[c, s], [-s, c]], dtype=planar.dtype, device=planar.device)
        height = torch.full_like(planar[..., :1], i - partitions // 2)
        planes.append(torch.cat([height, planar @ turn if turned else planar], -1))
    return torch.stack(planes)


def kooshball(spokes: int, samples: int, size: float) -> Tensor:
    r"""Return spokes through the center of three-dimensional k-space, spread by two golden means.

    Spoke j points along :math:`z = \{j m_1\}`, at the azimuth :math:`2 \pi \{j m_2\}`, with the
    fractional parts of multiples of m₁ = 0.4656 and m₂ = 0.6823: any number of successive spokes covers the
    half sphere nearly evenly [1]_. Samples are those of `radial`.

    Parameters
    ----------
    spokes : int
        Number of spokes; π/4 size² or so fill k-space.
    samples : int
        Samples of a spoke.
    size : float
        Pixels of the image across its field of view, along one axis.

    Returns
    -------
    Tensor, shape (spokes, samples, 3)
        In cycles per field of view, axes z, y, x, float32.

    Raises
    ------
    ParameterError

    References
    ----------
    .. [1] R. Chan, E. Ramsay, C. Cunningham, D. Plewes, "Temporal stability of adaptive 3D radial MRI using
       multidimensional golden means", Magn. Reson. Med. 61 (2009).

    Examples
    --------
    >>> kooshball(2, 2, 4)[:, 0]
    tensor([[-0.0000, -0.0000, -2.0000],
            [-0.9311,  1.6124,  0.7301]])
    """
    check_counts("kooshball", {"spokes": spokes, "samples": samples}, size)
    j = torch.arange(spokes, dtype=torch.float64)
    height, azimuth = j * _MEANS[0] % 1, 2 * math.pi * (j * _MEANS[1] % 1)
    flat = (1 - height**2).sqrt()
    directions = torch.stack([height, flat * azimuth.sin(), flat * azimuth.cos()], -1)
    radii = (torch.arange(samples, dtype=torch.float64) - samples // 2) * (size / samples)
    return (directions.unsqueeze(1) * radii.unsqueeze(-1)).float()
