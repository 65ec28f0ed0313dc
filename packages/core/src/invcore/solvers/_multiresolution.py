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

_SHARE = 50
"""Longest solve on a coarser grid, in steps on the full grid that cost as much."""
_RTOL = 1e-5
"""Smallest tolerance there: interpolation is not that good, and single precision is near."""


def coarse_start(solver: Solver, problem: Problem, levels: int) -> Tensor:
    """Starting point from up to ``levels`` coarser grids, each half as fine as the next.

    A gradient method takes many short steps until the slow, low frequencies are right, and few for the rest.
    On half the grid a step costs a quarter in the plane and an eighth in space. The operator says what it is
    there (`LinearOperator.coarser`); as neighboring samples of the data are averaged, noise level and weight
    stay: the objective of a coarse image is that of the blocks of pixels it stands for, divided by the number
    of samples averaged, if the prior is an integral of the magnitude of the gradient.

    Each level halves the tolerance, and quarters the one of an iterative proximal operator (a duality gap is
    the square of an error): what is left undone where steps are cheap has to be done where they are not.

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
    x = problem.start()
    if levels and not isinstance(problem.fidelity, LeastSquares):
        raise ParameterError(
            f"coarse_levels averages data of the same noise level; {type(problem.fidelity).__name__} is not "
            "least squares: use coarse_levels=0"
        )
    grids: list[tuple[Any, Any]] = [(problem.linear, problem.y)] if levels else []
    while 0 < len(grids) <= levels and (found := grids[-1][0].coarser(grids[-1][1])) is not None:
        grids.append(found)
        x = block_means(x, grids[-2][0].domain, found[0].domain)
    for level in range(len(grids) - 1, 0, -1):
        operator, y = grids[level]
        solution = _coarse(solver, problem, level, operator.domain).solve(
            y,
            Physics(operator, problem.physics.noise),
            x0=x,
            differentiate="unroll" if torch.is_grad_enabled() else "none",
        )
        x = interpolated(solution.value, operator.domain, grids[level - 1][0].domain)
    return x


def _coarse(solver: Any, problem: Problem, level: int, space: Space) -> Solver:
    """The solver of the problem at a level."""
    prior: Any = problem.prior
    if prior is not None and {"rtol", "max_steps"} <= {f.name for f in dataclasses.fields(prior)}:
        prior = dataclasses.replace(prior, rtol=prior.rtol / 4**level)
    return dataclasses.replace(
        solver,
        prior=prior,
        weight=problem.weight,
        fidelity=problem.fidelity,
        coarse_levels=0,
        rtol=max(solver.rtol / 2**level, _RTOL),
        max_steps=min(solver.max_steps, _SHARE) * problem.image_space.size // space.size,
    )


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
    for axis, n in enumerate(fine.shape[1:], 2):
        flat = flat.narrow(axis, 0, n)
    return flat.reshape(*lead, *fine.shape)
