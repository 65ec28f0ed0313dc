"""Tensions of cell interfaces and pressures of cells, from the balance of forces in a segmented image."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from invcore import DataError, ShapeError


class Forces(NamedTuple):
    """Relative forces of a tissue that looks like a foam.

    Attributes
    ----------
    tensions : Tensor, shape (interface,)
        γ, of mean 1.
    pressures : Tensor, shape (cell,)
        p, that of cell 0, the outside, being 0; in tensions over the unit of length.
    imbalance : Tensor, shape (junction,)
        Size of the force that is left at each junction.
    """

    tensions: Tensor
    pressures: Tensor
    imbalance: Tensor


def infer_tensions(
    junctions: Tensor, tangents: Tensor, *, sides: Tensor | None = None, curvatures: Tensor | None = None
) -> Forces:
    r"""Infer tensions and pressures from the angles and curvatures of interfaces in a plane,

    .. math:: \sum_α γ_α t_{jα} = 0 \text{ at each junction}, \qquad p_a - p_b = γ_{ab} κ_{ab}

    by least squares with the mean tension 1, and then by Laplace's law with no pressure outside.

    Parameters
    ----------
    junctions : Tensor, shape (junction, 3), int64
        The interfaces that meet.
    tangents : Tensor, shape (junction, 3, 2)
        Unit vectors t along them, away from the junction.
    sides : Tensor, shape (interface, 2), int64, optional
        The cells (a, b) on both sides of each interface; cell 0 is the outside.
    curvatures : Tensor, shape (interface,), optional
        κ = 1/radius, positive where a bulges into b.

    Returns
    -------
    Forces
        Without ``sides`` and ``curvatures`` there are no pressures.

    Raises
    ------
    ShapeError, DataError

    References
    ----------
    S. Ichbiah, F. Delbary, A. McDougall, R. Dumollard, H. Turlier, "Embryo mechanics cartography: inference
    of 3D force atlases from fluorescence microscopy", Nature Methods 20 (2023).

    Examples
    --------
    >>> angles = torch.deg2rad(torch.tensor([90.0, 210.0, 330.0]))
    >>> t = torch.stack((angles.sin(), angles.cos()), -1)
    >>> infer_tensions(torch.tensor([[0, 1, 2]]), t[None]).tensions
    tensor([1.0000, 1.0000, 1.0000])
    """
    count = int(junctions.max()) + 1 if junctions.numel() else 0
    if junctions.ndim != 2 or junctions.shape[-1] != 3 or tuple(tangents.shape) != (*junctions.shape, 2):
        raise ShapeError(
            "infer_tensions: junctions must be (junction, 3) and tangents (junction, 3, 2), got "
            f"{tuple(junctions.shape)} and {tuple(tangents.shape)}"
        )
    if (sides is None) != (curvatures is None):
        raise ShapeError("infer_tensions: pressures need both sides and curvatures")
    t = tangents.double()
    if not bool(((t.norm(dim=-1) - 1).abs() < 1e-3).all()):
        raise DataError("infer_tensions: tangents must be unit vectors")
    A = t.new_zeros(len(junctions), 2, count)
    A.scatter_add_(-1, junctions.unsqueeze(1).expand(-1, 2, -1), t.mT)
    mean = t.new_full((1, count), 1 / count)
    basis = torch.linalg.svd(mean)[2][1:].T  # of tensions with mean zero
    flat = A.flatten(0, 1)
    ones = t.new_ones(count)
    moved = torch.linalg.lstsq(flat @ basis, -(flat @ ones), driver="gelsd").solution
    tensions = ones + basis @ moved
    imbalance = (A @ tensions).norm(dim=-1)
    pressures = t.new_zeros(0)
    if sides is not None and curvatures is not None:
        if tuple(sides.shape) != (count, 2) or tuple(curvatures.shape) != (count,):
            raise ShapeError(
                f"infer_tensions: sides must be ({count}, 2) and curvatures ({count},) for {count} "
                f"interfaces, got {tuple(sides.shape)} and {tuple(curvatures.shape)}"
            )
        cells = int(sides.max()) + 1
        B = torch.nn.functional.one_hot(sides, cells).double()
        jumps = (tensions * curvatures.double()).unsqueeze(-1)
        inner = torch.linalg.lstsq((B[:, 0] - B[:, 1])[:, 1:], jumps, driver="gelsd").solution
        pressures = torch.cat((t.new_zeros(1), inner.squeeze(-1)))
    return Forces(*(part.to(tangents.dtype) for part in (tensions, pressures, imbalance)))
