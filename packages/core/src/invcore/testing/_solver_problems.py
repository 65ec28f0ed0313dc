"""The problems that the kit poses to solvers, and what it reads from a solver or a `SolverExample`."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from .._physics import Physics
from ..noises import GaussianNoise
from ..operators import LinearOperator
from ..priors import Prior, Tikhonov
from ..solvers import Solver
from ..spaces import Space
from . import _priors
from ._checks import skip
from ._example import SolverExample
from ._probes import mapped, probe, seeded

SIGMA, WEIGHT = 0.4, 0.3


class DenseProblem(LinearOperator):
    """A dense matrix on images: the operator of the problems that the kit poses."""

    matrix: Tensor
    domain: Space
    range: Space
    params = ("matrix",)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(*x.shape[: x.ndim - len(self.domain.shape)], self.domain.size, 1)
        y = self.matrix @ flat
        return y.reshape(*y.shape[:-2], *self.range.shape)

    def adjoint(self, y: Tensor) -> Tensor:
        flat = y.reshape(*y.shape[: y.ndim - len(self.range.shape)], self.range.size, 1)
        x = self.matrix.mH @ flat
        return x.reshape(*x.shape[:-2], *self.domain.shape)


Example = Solver | SolverExample


def solver_of(example: Example) -> Solver:
    """The solver, with a weight that is a number on problems of the kit's own."""
    return example.solver if isinstance(example, SolverExample) else plain_solver(example)


def kinds_of(example: Example) -> tuple[str, ...]:
    return ("own",) if isinstance(example, SolverExample) else kinds_of_solver(example)


def physics_of(example: Example, kind: str = "real") -> Physics:
    return example.physics if isinstance(example, SolverExample) else dense_physics(example, kind)


def data_of(example: Example, physics: Physics, batch: tuple[int, ...] = ()) -> Any:
    """Data that differ from sample to sample."""
    if not isinstance(example, SolverExample):
        return dense_data(example, physics, batch)

    def several(t: Tensor) -> Tensor:
        samples = [t.roll(k, -1) for k in range(math.prod(batch))]
        return (torch.stack(samples) if samples else t[None][:0]).reshape(*batch, *t.shape)

    return mapped(several, example.y)


def prior_of(solver: Solver) -> Prior | None:
    return getattr(solver, "prior", None)


def image_space(solver: Solver, kind: str) -> Space:
    prior = prior_of(solver)
    shape = (1, 2, 3) if prior is None or isinstance(prior, Tikhonov) else _priors._space(prior).shape
    return Space(shape, kind)  # type: ignore[arg-type]


def kinds_of_solver(solver: Solver) -> tuple[str, ...]:
    return ("real",) if solver.requires_nonnegative else ("real", "complex")


def dense_physics(solver: Solver, kind: str = "real", scale: float = 1.0, sigma: float = SIGMA) -> Physics:
    """A matrix with singular values from 0.5 to 2 (times ``scale``), and Gaussian noise.

    For a solver that is for non-negative problems: the identity and small positive entries.
    """
    domain = image_space(solver, kind)
    if solver.requires_nonnegative:
        small = 0.1 * torch.rand(domain.size + 3, domain.size, generator=seeded(111), dtype=torch.float64)
        matrix = scale * (torch.eye(domain.size + 3, domain.size, dtype=torch.float64) + small)
        operator = DenseProblem(matrix=matrix, domain=domain, range=Space((domain.size + 3,)))
        return Physics(operator=operator, noise=GaussianNoise(sigma=sigma))
    n, m = domain.size, domain.size + 3
    dtype = torch.complex128 if kind == "complex" else torch.float64
    left = torch.linalg.qr(torch.randn(m, n, generator=seeded(111), dtype=dtype))[0]
    right = torch.linalg.qr(torch.randn(n, n, generator=seeded(112), dtype=dtype))[0]
    matrix = left * torch.linspace(0.5, 2.0, n, dtype=torch.float64) @ right.mH
    operator = DenseProblem(matrix=scale * matrix, domain=domain, range=Space((m,), kind))  # type: ignore[arg-type]
    return Physics(operator=operator, noise=GaussianNoise(sigma=sigma))


def dense_data(solver: Solver, physics: Physics, batch: tuple[int, ...] = ()) -> Tensor:
    """Noisy data; where nothing may be negative, exact data of a positive image.

    Every solver for nonnegative problems then has the same solution.
    """
    image = probe(physics.domain, batch, seed=113)
    if solver.requires_nonnegative:
        return physics.operator(positive(image))
    return physics(image, generator=seeded(114))


def positive(image: Tensor) -> Tensor:
    return 1 + 0.5 * torch.tanh(image)


def plain_solver(solver: Solver) -> Solver:
    """The solver with a weight that is a number, and no stopping at the noise level (``discrepancy``)."""
    weight = getattr(solver, "weight", 1.0)
    usual = isinstance(weight, int | float) and weight > 0
    own = {} if usual else {"weight": WEIGHT}
    return with_options(solver, discrepancy=None, **own)


def tight_solver(solver: Solver) -> Solver:
    return with_options(plain_solver(solver), rtol=1e-11, max_steps=20_000)


def weight_of(solver: Solver) -> float:
    return float(getattr(solver, "weight", 0.0)) if prior_of(solver) is not None else 0.0


def need_deterministic_prior(solver: Solver) -> None:
    prior = prior_of(solver)
    if prior is not None and getattr(prior, "stochastic", False):
        skip("the prior is stochastic: there is no single solution to compare with")


def need_exact(solver: Solver) -> None:
    if not getattr(solver, "exact", True):
        skip("the class states exact = False: it solves a neighboring problem")


def with_options(solver: Solver, **options: Any) -> Solver:
    """A copy with other options, of those that it has."""
    names = {f.name for f in dataclasses.fields(solver)}
    own = {n: v for n, v in options.items() if n in names}
    inner = getattr(solver, "solver", None)
    if isinstance(inner, Solver):  # one that wraps another: what it lacks is the other's
        own["solver"] = with_options(inner, **{n: v for n, v in options.items() if n not in names})
    return dataclasses.replace(solver, **own)
