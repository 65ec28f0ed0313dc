"""The most likely parameter of the operator, whatever the image: marginal likelihood for Gaussian images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._physics import Physics
from .._problem import Problem
from ..fidelities import Fidelity
from ..models import GaussianRestorer
from ..models._evidence import noise_covariance
from ..operators import Identity, SpaceLike
from ..priors import Prior
from ..spaces import batch_shape, flatten, norm, randn, tree_map
from ._base import Solver
from ._blind import Blind, moved, own_space, solved


class _State(NamedTuple):
    x: Tensor
    parameter: Tensor
    change: Tensor


class MarginalLikelihood(Blind):
    r"""Maximize p(y|ξ) = ∫ p(y|x, ξ) p(x) dx over a parameter ξ, for Gaussian images x ~ N(m, C) and noise.

    .. math:: -\log p(y|ξ) = \tfrac12 (y - A_ξ m)^{\mathsf H} K^{-1} (y - A_ξ m) + \tfrac12 \log\det K,
        \qquad K = A_ξ C A_ξ^{\mathsf H} + Σ

    [1]_. The first term is what joint estimation minimizes, by an operator that does not blur; the second
    charges for all that such an operator could explain. For a convolution it is
    ½ Σ |ŷ|²/(|k̂|² S + σ²) + log(|k̂|² S + σ²), and the width of a blur is found. The image returned is the
    mean of p(x|y, ξ) (`invcore.models.GaussianRestorer`).

    With ``draws`` it is expectation maximization [2]_: in each step images are drawn from p(x|y, ξ), and ξ
    minimizes the mean of -log p(y|x, ξ) over them. That takes no determinant, so it serves any size and
    operator; the draws use the same random numbers in each step, and their number bounds the accuracy.

    The power spectrum of the data, and nothing else, decides for a stationary prior: kernels that differ by a
    shift or a flip are equally likely. Find ξ of a symmetric kind (a width), or start from a good kernel.

    Parameters
    ----------
    restorer : GaussianRestorer
        The prior, m and C.
    parameter_solver : Solver
        Its steps in ξ: it has a field ``fidelity``, which becomes -log p, and maybe a constraint as prior;
        its ``max_steps`` is the number of steps in a turn. ``mirror_descent`` and ``lbfgs`` serve.
    draws : int, optional
        Number of images drawn in a turn of expectation maximization, each with its mirror image about the
        mean. None: -log p(y|ξ) itself is minimized.
    seed : int
        Of the draws.
    rtol : float
        Stop, per sample, when ξ moves by no more than rtol of its size in a turn.

    References
    ----------
    .. [1] A. Levin, Y. Weiss, F. Durand, W. Freeman, "Efficient marginal likelihood optimization in blind
       deconvolution", CVPR (2011).
    .. [2] A. Dempster, N. Laird, D. Rubin, "Maximum likelihood from incomplete data via the EM algorithm", J.
       R. Stat. Soc. B 39 (1977).

    Examples
    --------
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.solvers import LBFGS
    >>> white = GaussianRestorer(mean=torch.zeros(1, 4), spectrum=torch.ones(1, 1))
    >>> physics = Physics(torch.tensor(1.0) * Identity((1, 4)), GaussianNoise(sigma=1.0))  # y = ξ x + n
    >>> solver = MarginalLikelihood(restorer=white, parameter_solver=LBFGS(max_steps=20))
    >>> solution = solver.solve(torch.tensor([[2.0, -2.0, 2.0, -2.0]]), physics)
    >>> solution.physics.operator.scale.square().round(decimals=2)  # y² is ξ² + 1 on average
    tensor(3.)
    """

    restorer: GaussianRestorer  # type: ignore[misc]
    parameter_solver: Solver  # type: ignore[misc]
    draws: int | None = None
    seed: int = 0
    max_steps: int = 100
    rtol: float = 1e-4
    units: ClassVar[dict[str, int] | None] = {"restorer": 1}

    def __post_init__(self) -> None:
        if "fidelity" not in {f.name for f in dataclasses.fields(self.parameter_solver)}:
            raise ParameterError(
                f"MarginalLikelihood: {type(self.parameter_solver).__name__} takes no fidelity; "
                "'mirror_descent' and 'lbfgs' do"
            )
        prior = self.parameter_prior
        if (
            prior is not None
            and prior.power != 0
            and isinstance(getattr(self.parameter_solver, "weight", 1), str)
        ):
            raise ParameterError(
                "MarginalLikelihood: give the solver of the parameter a weight that is a number"
            )
        if self.draws is not None and not (isinstance(self.draws, int) and self.draws >= 1):
            raise ParameterError(f"MarginalLikelihood: draws must be a whole number >= 1, got {self.draws!r}")

    @property
    def parameter_prior(self) -> Prior | None:
        """The prior of the solver of ξ."""
        return getattr(self.parameter_solver, "prior", None)

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        self.name(physics.operator)
        self.restorer._checked(y, physics)
        return super().problem(y, physics, x0)

    def init(self, problem: Problem) -> _State:
        x = problem.start()
        return _State(x, self.first(problem), torch.full_like(norm(x, problem.space), torch.inf))

    def step(self, problem: Problem, state: _State) -> _State:
        old, space = state.parameter, own_space(problem, state.parameter, state.x)
        fidelity = _OfParameter(function=self._function(problem, old))
        turn: Any = dataclasses.replace(self.parameter_solver, fidelity=fidelity)  # type: ignore[call-arg]
        if isinstance(getattr(turn, "weight", 1.0), str):
            turn = dataclasses.replace(turn, weight=1.0)
        parameter = solved(turn, old, Physics(Identity(space)), old)
        return _State(state.x, parameter, moved(parameter, old, space))

    def _function(self, problem: Problem, parameter: Tensor) -> Callable[[Tensor], Tensor]:
        """What a turn minimizes over ξ."""
        if self.draws is None:
            return lambda ξ: -self.restorer.log_evidence(problem.y, self.bound(problem, ξ).physics)
        images = self._posterior(problem, parameter)

        def expected(ξ: Tensor) -> Tensor:
            A = self.bound(problem, ξ).A
            return problem.fidelity.value(A._apply(images), problem.y, A.range).mean(0)

        return expected

    def _posterior(self, problem: Problem, parameter: Tensor) -> Tensor:
        """Pairs of draws from p(x|y, ξ), mirror images about its mean: (2 draws, batch..., *shape).

        All samples of a batch use the same random numbers.
        """
        physics = self.bound(problem, parameter).physics
        batch = tuple(batch_shape(problem.y, physics.range))
        ones = (self.draws or 1, *(1,) * len(batch))
        generator = torch.Generator(problem.start().device).manual_seed(self.seed)
        u = self.restorer.sample(ones, generator=generator).to(problem.start())
        data = physics.operator._apply(u)
        root: Any = noise_covariance(physics.noise, physics.range, batch, power=1)
        if root is not None:
            like = flatten(problem.y, physics.range)
            noise = randn(physics.range, ones, generator=generator, dtype=like.dtype, device=like.device)
            data = tree_map(torch.add, data, root._apply(noise))
        away = u - self.restorer(data, physics)  # of law N(0, P), P the covariance of p(x|y, ξ)
        return self.restorer(problem.y, physics) + torch.cat([away, -away])

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol

    def value(self, problem: Problem, state: _State) -> Any:
        return self.restorer(problem.y, self.bound(problem, state.parameter).physics)

    def change(self, problem: Problem, state: _State) -> Tensor:
        """The relative move of ξ."""
        return state.change

    def objective(self, problem: Problem, state: _State) -> Tensor:
        return -self.restorer.log_evidence(problem.y, self.bound(problem, state.parameter).physics)


class _OfParameter(Fidelity):
    """A function of ξ as a data fidelity; the data play no part."""

    function: Callable[[Tensor], Tensor]

    def value(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        return self.function(u)

    def prox(self, u: Any, y: Any, step: float | Tensor, space: SpaceLike | None = None) -> Any:
        raise ParameterError("-log p(y|ξ) has no proximal operator: choose 'mirror_descent' or 'lbfgs' for ξ")

    def grad(self, u: Any, y: Any, space: SpaceLike | None = None) -> Any:
        value, pull, *_ = torch.func.vjp(self.function, u)
        return pull(torch.ones_like(value))[0]
