"""Multiresolution (coarse-to-fine) starts: the solution on a grid of half the resolution, interpolated."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .._errors import ParameterError
from .._physics import Physics
from .._problem import Problem
from ..fidelities import LeastSquares
from ..operators import Space
from ._base import Solver

_RTOL = 1e-5
"""Smallest tolerance of a coarse solve: interpolation is not that good, and single precision is near."""


def coarse_start(solver: Solver, problem: Problem, levels: int) -> Tensor:
    """Starting point from up to ``levels`` coarser grids, each half as fine as the next.

    A gradient method takes many short steps until the slow, low frequencies are right, and few for the rest.
    On half the grid a step costs a quarter in the plane and an eighth in space. The operator says what it is
    there (`LinearOperator.coarser`); as neighboring samples of the data are averaged, noise level and weight
    stay: the objective of a coarse image is that of the blocks of pixels it stands for, divided by the number
    of samples averaged, if the prior is an integral of the magnitude of the gradient.

    Parameters
    ----------
    solver : Solver
        Solves the coarse problems; it has a field ``coarse_levels``.
    problem : Problem
    levels : int
        0: the starting point of the problem.

    Returns
    -------
    Tensor, shape (batch..., *domain.shape)

    Raises
    ------
    ParameterError
        If the operator does not say what it is on a coarser grid, or the noise differs from sample to sample.
    """
    start = problem.start()
    if not levels:
        return start
    if not isinstance(problem.fidelity, LeastSquares):
        raise ParameterError(
            f"coarse_levels averages data of the same noise level; {type(problem.fidelity).__name__} is not "
            "least squares: use coarse_levels=0"
        )
    found = problem.linear.coarser(problem.y)
    if found is None:
        return start
    operator, y = found
    space, coarse = problem.space, operator.domain
    assert isinstance(space, Space) and isinstance(coarse, Space)
    own: dict[str, Any] = {"prior": problem.prior, "weight": problem.weight, "fidelity": problem.fidelity}
    own |= {"coarse_levels": levels - 1, "rtol": max(solver.rtol / 2, _RTOL)}  # type: ignore[attr-defined]
    inner = dataclasses.replace(solver, **own)
    solution = inner.solve(
        y,
        Physics(operator, problem.physics.noise),
        x0=block_means(start, space, coarse),
        differentiate="unroll" if torch.is_grad_enabled() else "none",
    )
    return interpolated(solution.value, coarse, space)


def block_means(x: Tensor, fine: Space, coarse: Space) -> Tensor:
    """Mean of each 2 x 2 block of pixels (2 x 2 x 2 in space), of what there is of it at an odd end.

    An axis as long on the coarse grid as on the fine one is kept.
    """
    for axis, (n, m) in enumerate(zip(fine.shape, coarse.shape), -len(fine.shape)):
        if n != m:
            whole = torch.cat([x, x.narrow(axis, n - 1, 1)], axis) if n % 2 else x
            x = whole.unflatten(axis, (m, 2)).mean(axis)
    return x


def interpolated(x: Tensor, coarse: Space, fine: Space) -> Tensor:
    """Linear interpolation from the centers of the blocks of `block_means` to those of their pixels."""
    if x.is_complex():
        return torch.complex(*(interpolated(part, coarse, fine) for part in (x.real, x.imag)))
    lead = x.shape[: x.ndim - len(coarse.shape)]
    channel, *spatial = coarse.shape
    doubled = [m if m == n else 2 * m for m, n in zip(spatial, fine.shape[1:])]
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(spatial)]
    flat = x.reshape(math.prod(lead), channel, *spatial)
    flat = F.interpolate(flat, size=doubled, mode=mode, align_corners=False)
    flat = flat[(..., *(slice(n) for n in fine.shape[1:]))]
    return flat.reshape(*lead, *fine.shape)
