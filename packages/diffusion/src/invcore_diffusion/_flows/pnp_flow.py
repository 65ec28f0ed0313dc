"""Plug-and-play flow."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from invcore import Denoiser, Fidelity, ParameterError, Solver
from invcore.generators import seeded
from invcore.solvers import Problem
from invcore.spaces import batch_shape, per_sample, randn

from .transport import check_flow
from .velocity import check_images, earliest


class _State(NamedTuple):
    x: Tensor
    k: int


class PnPFlow(Solver):
    r"""Alternate a gradient step of the data, noise, and the flow's denoiser, from noise to image [1]_.

    .. math::
        z = x_k - \frac{γ (1 - t)^α}{L} ∇f(A x_k), \qquad
        x_{k+1} = \operatorname{mean}_j D_t(t z + (1 - t) ε_j), \qquad t = k/N,

    where D_t(x) = D(x/t, (1 - t)/t) is the mean of the image given x on the path of the flow, L the Lipschitz
    constant of ∇f, and the ε_j are a few draws from N(0, 1). It ends after N steps with an estimate that
    still depends on the draws; it is neither a point of a posterior nor a draw from it.

    Parameters
    ----------
    denoiser : Denoiser
    steps : int
        N.
    draws : int
        Number of the ε_j.
    step_size : float
        γ, below 2.
    decay : float
        α ≥ 0.
    seed : int
        Of the draws, which are the same for all samples.
    fidelity : Fidelity, optional
        f, with a Lipschitz gradient; by default the likelihood of the noise.

    References
    ----------
    .. [1] S. Martin, A. Gagneux, P. Hagemann, G. Steidl, PnP-Flow: plug-and-play image restoration with flow
       matching, ICLR 2025.

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.denoisers import GaussianDenoiser
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> physics = Physics(Identity((1, 2)), GaussianNoise(sigma=0.1))
    >>> D = GaussianDenoiser(mean=torch.zeros(1, 2), covariance=torch.eye(2))
    >>> PnPFlow(D, draws=100)(torch.tensor([[1.0, -1.0]]), physics).sign()
    tensor([[ 1., -1.]])
    """

    exact = False
    fidelity_by = "lipschitz"
    units = None
    denoiser: Denoiser
    steps: int = 100
    draws: int = 5
    step_size: float = 1.0
    decay: float = 0.5
    seed: int = 0
    fidelity: Fidelity | None = None
    max_steps: int = 20_000
    rtol: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        check_flow("PnPFlow", self.steps, "euler")
        if not (
            0 < self.step_size < 2 and self.decay >= 0 and isinstance(self.draws, int) and self.draws >= 1
        ):
            raise ParameterError(
                "PnPFlow: expected 0 < step_size < 2, decay >= 0 and draws >= 1, got "
                f"{self.step_size!r}, {self.decay!r} and {self.draws!r}"
            )

    def init(self, problem: Problem) -> _State:
        """See `Solver.init`."""
        check_images("PnPFlow", self.denoiser, problem.space)
        return _State(problem.start(), 0)

    def step(self, problem: Problem, state: _State) -> _State:
        """See `Solver.step`."""
        x, space = state.x, problem.image_space
        t = max(state.k / self.steps, earliest(self.denoiser, x.real.dtype))
        length = self.step_size * (1 - t) ** self.decay / problem.lipschitz
        z = x - per_sample(length, space) * problem.gradient(x)
        sigma, ones = (1 - t) / t, (1,) * len(batch_shape(x, space))
        generator = seeded(f"PnPFlow, seed {self.seed}, step {state.k}")
        noise = randn(space, (self.draws, *ones), generator=generator, dtype=x.dtype, device=x.device)
        return _State(self.denoiser(z + sigma * noise, sigma).mean(0), state.k + 1)

    def converged(self, problem: Problem, state: _State) -> Any:
        """At the end of the flow."""
        done = torch.tensor(state.k >= self.steps, device=state.x.device)
        return done.expand(batch_shape(state.x, problem.space))
