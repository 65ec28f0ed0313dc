"""Draws by a flow: from the posterior, or without data."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from invcore import Denoiser, LinearOperator, ParameterError, Sampler
from invcore.noises import NoNoise
from invcore.samplers import Guidance
from invcore.solvers import Problem
from invcore.spaces import batch_shape, per_sample

from .._guidance.moment_matching import MomentMatching
from .._guidance.pigdm import PiGDM
from .flow_map import FlowMap
from .transport import Field, Method, check_flow, evenly, moved, transported
from .velocity import Velocity, check_images, earliest

REACH = (1.0, 0.6, 0.35, 0.2, 0.1)
"""β of the moves in the noise, in turn."""

LEAST = 5.0
"""The noise level that a denoiser must be for at least, so that images are lost in it."""


class _State(NamedTuple):
    x: Tensor
    k: int
    noise: Tensor
    misfit: Tensor


class FlowSampler(Sampler):
    r"""Follow the flow that carries noise to images that fit the data: ẋ = (E[x_1 | x_t, y] - x_t)/(1 - t).

    Given the data the path x_t = (1 - t) ε + t x_1 still begins at N(0, 1), and its velocity is that of a
    denoiser that knows them: the estimate of a guidance. The default takes the image given x_t for Gaussian,
    with its true covariance, and so is exact for Gaussian images; what another one neglects it states as its
    bias. The last step is to t = 1.

    With ``moves`` each draw is then moved so often, so that its law tends to the posterior whatever the
    guidance, the prior, the operator and the noise: with T the map of noise to images by this flow without
    data, z' = √(1 - β²) z + β ζ with ζ ~ N(0, 1) is accepted with the probability min(1, L(T z')/L(T z)), L
    the likelihood (preconditioned Crank-Nicolson in the noise [2]_). The sizes β, from 1 to 0.1, take turns.
    A move costs as much as a draw without data; for Gaussian images ``moves=0`` saves it.

    Parameters
    ----------
    denoiser : Denoiser
        For noise up to 5 at least. `FromVelocity` makes one of a velocity network.
    guidance : Guidance, optional
        What the data ask for; without it draws are from the prior.
    method : {"midpoint", "heun", "euler"}
    steps : int
        Number of steps in time.
    moves : int
    start : float
        The time t_0 to start at, from (1 - t_0) ε + t_0 Aᴴ y, if not 0.

    References
    ----------
    .. [1] Y. Lipman, R. T. Q. Chen, H. Ben-Hamu, M. Nickel, M. Le, Flow matching for generative modeling,
       ICLR 2023.
    .. [2] S. L. Cotter, G. O. Roberts, A. M. Stuart, D. White, MCMC methods for functions: modifying old
       algorithms to make them faster, Statist. Sci. 28 (2013).

    Examples
    --------
    >>> import invcore
    >>> from invcore import Physics, noises, operators
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 1), covariance=torch.ones(1, 1))
    >>> physics = Physics(operators.Identity((1, 1)), noises.GaussianNoise(sigma=1.0))
    >>> g = torch.Generator().manual_seed(0)
    >>> x = FlowSampler(D, moves=0)(torch.full((4000, 1, 1), 2.0), physics, generator=g)  # N(1, 1/2)
    >>> round(float(x.mean()), 1), round(float(x.var()), 1)
    (1.0, 0.5)
    """

    denoiser: Denoiser
    guidance: Guidance | None = MomentMatching()
    method: Method = "midpoint"
    steps: int = 30
    moves: int = 10
    start: float = 0.0
    independent: ClassVar[bool] = True
    thin: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_flow("FlowSampler", self.steps, self.method)
        if not (isinstance(self.moves, int) and self.moves >= 0 and 0 <= self.start < 1):
            raise ParameterError(
                f"FlowSampler: expected moves >= 0 and 0 <= start < 1, got {self.moves!r} and {self.start!r}"
            )
        largest = self.denoiser.sigma_range[1]
        if largest < LEAST:
            raise ParameterError(
                f"FlowSampler: the flow begins as noise, and {type(self.denoiser).__name__} is for noise up "
                f"to {largest:.4g} only, expected at least {LEAST:g}: take diffusion.tmpd or diffusion.daps, "
                "which can start from a direct estimate"
            )

    @property
    def burn_in(self) -> int:
        """The steps of a run."""
        return self.steps + self.moves

    @property
    def bias(self) -> str:  # type: ignore[override]
        """What the guidance says, unless moves correct it; and what the start neglects."""
        if self.moves:
            return ""
        if self.start > 0:
            return "OT-ODE starts from the data"
        return "without guidance draws are from the prior" if self.guidance is None else self.guidance.bias

    @property
    def ignores_noise(self) -> bool:  # type: ignore[override]
        """See `Sampler`: what the guidance says, unless moves weigh images by their likelihood."""
        return self.guidance is not None and not self.moves and self.guidance.ignores_noise

    def init(self, problem: Problem, generator: torch.Generator) -> _State:
        """See `Sampler.init`."""
        check_images("FlowSampler", self.denoiser, problem.space)
        if self.moves and isinstance(problem.physics.noise, NoNoise):
            raise ParameterError(
                "FlowSampler: moves compare likelihoods, and data without noise have none: moves=0"
            )
        like = problem.start()
        x = self.noise(like, generator)
        if self.start > 0:
            if not isinstance(problem.A, LinearOperator):
                raise ParameterError("FlowSampler: a start from the data needs a linear operator")
            x = (1 - self.start) * x + self.start * problem.backprojection
        blank = torch.zeros(batch_shape(x, problem.space), dtype=x.real.dtype, device=x.device)
        return _State(x, 0, torch.zeros_like(x), blank)

    def step(self, problem: Problem, state: _State, generator: torch.Generator) -> _State:
        """See `Sampler.step`."""
        if state.k >= self.steps:
            return self._proposed(problem, state, generator)
        x, first = state.x, earliest(self.denoiser, state.x.real.dtype)
        t, following = evenly(self.steps, max(self.start, first))[state.k : state.k + 2]
        x = moved(self._field(problem, generator), x, t, following, self.method)
        if self.guidance is not None:
            x = following * self.guidance.after(
                problem, x / following, (1 - following) / following, generator
            )
        if self.moves and state.k == self.steps - 1:
            return self._placed(problem, x)
        return state._replace(x=x, k=state.k + 1)

    def _field(self, problem: Problem, generator: torch.Generator) -> Field:
        """The velocity given the data."""
        guidance = self.guidance
        if guidance is None:
            return Velocity(self.denoiser)

        def field(x: Tensor, t: float) -> Tensor:
            clean = guidance.estimate(problem, self.denoiser, x / t, (1 - t) / t, generator)
            return (clean - x) / (1 - t)

        return field

    def _flow(self, problem: Problem) -> FlowMap:
        return FlowMap(self.denoiser, problem.image_space, steps=self.steps, method=self.method)

    def _placed(self, problem: Problem, x: Tensor) -> _State:
        """The noise of an image, and the image of that noise: where moves start."""
        flow = self._flow(problem)
        noise = flow.inverse(x)
        x = flow(noise)
        return _State(x, self.steps, noise, problem.fidelity.value(problem.A(x), problem.y, problem.A.range))

    def _proposed(self, problem: Problem, state: _State, generator: torch.Generator) -> _State:
        """One move in the noise."""
        beta = REACH[state.k % len(REACH)]
        noise = (1 - beta**2) ** 0.5 * state.noise + beta * self.noise(state.noise, generator)
        x = self._flow(problem)(noise)
        misfit = problem.fidelity.value(problem.A(x), problem.y, problem.A.range)
        real, device = misfit.dtype, generator.device
        chance = torch.rand(misfit.shape, generator=generator, dtype=real, device=device).to(misfit.device)
        taken = chance.log() < state.misfit - misfit
        chosen = per_sample(taken, problem.space)
        return _State(
            torch.where(chosen, x, state.x),
            state.k + 1,
            torch.where(chosen, noise, state.noise),
            torch.where(taken, misfit, state.misfit),
        )

    def unconditional(
        self,
        shape: tuple[int, ...],
        *,
        batch: tuple[int, ...] = (),
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Draw images without data, whatever the guidance.

        Parameters
        ----------
        shape : tuple of int
            (channel, *spatial)
        batch : tuple of int
        generator : torch.Generator
            On the device of the denoiser.
        dtype : torch.dtype

        Returns
        -------
        Tensor, shape (batch..., channel, *spatial)
        """
        x = self.noise(torch.zeros((*batch, *shape), dtype=dtype, device=generator.device), generator)
        times = evenly(self.steps, earliest(self.denoiser, x.real.dtype))
        with torch.no_grad():
            return transported(Velocity(self.denoiser), x, times, self.method)


def ot_ode(
    denoiser: Denoiser,
    *,
    variance: float = 1.0,
    steps: int = 100,
    start: float = 0.0,
    method: Method = "euler",
) -> FlowSampler:
    r"""OT-ODE: the flow led by pseudoinverse guidance [1]_.

    .. math:: \dot x = v(x, t) + \frac{1 - t}{t} D_t'(x)^H A^H (r^2 A A^H + σ_y^2)^{-1} (y - A D_t(x)), \qquad
       r^2 = \frac{v (1 - t)^2}{(1 - t)^2 + v t^2}

    Exact for images N(0, v) and start 0; for others it draws with a bias that no number of steps removes.

    Parameters
    ----------
    denoiser : Denoiser
    variance : float
        v.
    steps : int
    start : float
        t_0: 0, to start from noise; the authors start at 0.2 from (1 - t_0) ε + t_0 Aᴴ y.
    method : {"euler", "midpoint", "heun"}

    Returns
    -------
    FlowSampler
        With the guidance `PiGDM`, and no moves.

    References
    ----------
    .. [1] A. Pokle, M. J. Muckley, R. T. Q. Chen, B. Karrer, Training-free linear image inverses via flows,
       TMLR 2024.

    Examples
    --------
    >>> import invcore
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 1), covariance=torch.ones(1, 1))
    >>> ot_ode(D, steps=50).guidance
    PiGDM(variance=1.0)
    """
    guidance = PiGDM(variance=variance)
    return FlowSampler(denoiser, guidance=guidance, method=method, steps=steps, moves=0, start=start)
