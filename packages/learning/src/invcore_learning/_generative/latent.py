"""Reconstruction on the manifold of a decoder."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module

import invcore
from invcore import Fidelity, Operator, Physics, Solver, Space
from invcore.priors import Tikhonov
from invcore.solvers import LevenbergMarquardt, Problem
from invcore.spaces import device_of, dtype_of, per_sample


class _Decoder(Operator):
    """Images of the latent variables of one chart."""

    chart: Module
    range: Space

    @property
    def domain(self) -> Space:
        return Space((self.chart.latent,))  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.chart.decode(x)  # type: ignore[operator]


class _State(NamedTuple):
    x: Tensor
    runs: tuple[Any, ...]
    objective: Tensor
    change: Tensor


class Latent(Solver):
    r"""The image that fits the data best among those of a decoder D, or of several [1]_.

    .. math:: \min_{k,\, z} \; \frac{1}{2σ^2} ‖A D_k(z) - y‖^2 + λ \left(\tfrac12 ‖z‖^2 - \log α_k\right)

    by Levenberg-Marquardt in the latent variables z of each chart, of which each sample takes the best one.
    λ = 1 is the density that `VAE` and `VAEAtlas` give z and k. The metric of the manifold is in JᵀJ, J =
    A D'(z): for A = 1 a step is one of the Riemannian gradient. It finds a local minimum for each start.

    Parameters
    ----------
    model : Module
        A `VAE`, a `VAEAtlas`, or any module with ``latent`` (a number) and ``decode(z)``.
    weight : float or Tensor, shape (batch...)
        λ.
    starts : int
        Starting points in each chart: z = 0, and others drawn from its density.
    seed : int
        Of the starting points.
    fidelity : LeastSquares, optional
        By default the likelihood of the noise, which is Gaussian.
    rtol : float
        Stop when the gradient has fallen by this factor, for each start.

    References
    ----------
    .. [1] P. Causin, A. Marta, Estimating dataset dimension via singular metrics under the manifold
       hypothesis: application to inverse problems, 2025, arXiv:2507.07291.

    Examples
    --------
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Mask
    >>> from invcore_learning import VAE
    >>> half = Mask((torch.arange(16) % 2).float().view(1, 4, 4), (1, 4, 4))
    >>> physics = Physics(half, GaussianNoise(sigma=0.1))
    >>> Latent(VAE((1, 4, 4), latent=2, hidden=(8,)))(torch.zeros(1, 4, 4), physics).shape
    torch.Size([1, 4, 4])
    """

    exact = False
    units: ClassVar[dict[str, int] | None] = None
    model: Module
    weight: float | Tensor = 1.0
    starts: int = 1
    seed: int = 0
    fidelity: Fidelity | None = None
    max_steps: int = 100
    rtol: float = 1e-5
    params = ("weight",)

    def __post_init__(self) -> None:
        if self.starts < 1 or not 0 <= self.seed < 2**63:
            raise invcore.ParameterError(
                f"Latent: expected starts >= 1 and seed >= 0, got {self.starts!r} and {self.seed!r}"
            )
        for chart in self._charts:
            if not (hasattr(chart, "decode") and hasattr(chart, "latent")):
                raise invcore.ParameterError(
                    f"Latent: the model must have latent (a number) and decode(z), or charts that do, which "
                    f"{type(chart).__name__} has not"
                )

    @property
    def _charts(self) -> list[Any]:
        return list(getattr(self.model, "charts", [self.model]))

    def _posed(self, problem: Problem) -> list[tuple[Problem, _Decoder]]:
        """The problem in the latent variables of each chart, and its decoder: made once."""
        kept: Any = problem.__dict__
        if "_latent" not in kept:
            kept["_latent"] = [self._of_chart(problem, chart) for chart in self._charts]
        return kept["_latent"]

    def _of_chart(self, problem: Problem, chart: Module) -> tuple[Problem, _Decoder]:
        space, shape = problem.space, getattr(chart, "shape", None)
        if not isinstance(space, Space) or space.kind != "real" or shape not in (None, space.shape):
            raise invcore.ParameterError(
                f"Latent: the model makes real images of shape {shape}, those of the operator are in {space}"
            )
        real = torch.zeros((), dtype=dtype_of(problem.y)).real.dtype
        decoder = _Decoder(chart=chart, range=space).to(real).to(device_of(problem.y))
        physics = Physics(problem.A @ decoder, problem.physics.noise)
        own = Problem(physics=physics, y=problem.y, fidelity=problem.fidelity, weight=problem.weight)
        return own.replace(prior=Tikhonov()), decoder

    def init(self, problem: Problem) -> _State:
        """See `Solver.init`."""
        if problem.x0 is not None:
            raise invcore.ParameterError("Latent starts from latent variables, z = 0 and random ones, not x0")
        generator, runs = torch.Generator().manual_seed(self.seed), []
        for posed, decoder in self._posed(problem):
            (q,) = decoder.domain.shape
            drawn = torch.randn(self.starts, q, generator=generator, dtype=torch.float64)
            drawn[0] = 0
            for z in drawn.to(device_of(problem.y), decoder.dtype):
                runs.append(self._inner.init(posed.replace(x0=z)))
        blank = _State(None, tuple(runs), None, None)  # type: ignore[arg-type]
        first = self._chosen(problem, blank)
        return first._replace(change=torch.full_like(first.objective, torch.inf))

    def step(self, problem: Problem, state: _State) -> _State:
        """See `Solver.step`."""
        posed = self._posed(problem)
        runs = tuple(self._inner.step(posed[i // self.starts][0], run) for i, run in enumerate(state.runs))
        new = self._chosen(problem, state._replace(runs=runs))
        return new._replace(change=problem.change(new.x - state.x, new.x, new.objective))

    def converged(self, problem: Problem, state: _State) -> Tensor:
        """See `Solver.converged`."""
        posed = self._posed(problem)
        done = [self._inner.converged(posed[i // self.starts][0], run) for i, run in enumerate(state.runs)]
        return torch.stack([torch.as_tensor(d) for d in done]).all(0)

    def objective(self, problem: Problem, state: _State) -> Tensor:
        """That of the best start."""
        return state.objective

    @property
    def _inner(self) -> LevenbergMarquardt:
        return LevenbergMarquardt(prior=Tikhonov(), max_steps=self.max_steps, rtol=self.rtol)

    def _chosen(self, problem: Problem, state: _State) -> _State:
        """The state with the image of the start of least objective, for each sample."""
        posed = self._posed(problem)
        log_weights = getattr(self.model, "log_weights", torch.zeros(len(posed))).detach()
        values, images = [], []
        for i, run in enumerate(state.runs):
            own, decoder = posed[i // self.starts]
            values.append(run.objective - problem.weight * log_weights[i // self.starts].to(run.objective))
            images.append(decoder(self._inner.value(own, run)))
        x, best = images[0], values[0]
        for value, image in zip(values[1:], images[1:]):
            x = torch.where(per_sample(value < best, problem.space), image, x)
            best = torch.minimum(value, best)
        return state._replace(x=x, objective=best)
