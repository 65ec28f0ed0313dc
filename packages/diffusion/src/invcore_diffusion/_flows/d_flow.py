"""D-Flow: the image that a flow makes of the most likely noise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invcore import Denoiser, Fidelity, LinearOperator, ParameterError, Physics, Prior, Solver
from invcore.generators import seeded
from invcore.priors import Tikhonov
from invcore.solvers import LBFGS, Problem
from invcore.spaces import SpaceLike, batch_shape, flatten, randn, real_size_of, scaled

from .flow_map import FlowMap
from .transport import Method, check_flow
from .velocity import check_images


class NoiseLength(Prior):
    """g(z) = ‖z‖²/2 - (n - 1) log ‖z‖ - c: minus the log-density of the length of white noise of n entries.

    c makes its minimum, at ‖z‖² = n - 1, zero. It keeps noise typical, where ‖z‖² alone would have it vanish.
    It is for the noise that a flow starts from, in place of an image.

    References
    ----------
    H. Ben-Hamu, O. Puny, I. Gat, B. Karrer, U. Singer, Y. Lipman, D-Flow: differentiating through flows for
    controlled generation, ICML 2024.

    Examples
    --------
    >>> NoiseLength().grad(torch.full((1, 5), (4 / 5) ** 0.5)).abs().max() < 1e-6  # ‖z‖² = n - 1
    tensor(True)
    """

    units = None
    blocks = True

    def _value(self, x: Any, space: SpaceLike) -> Tensor:
        square, most = flatten(x, space).square().sum(-1), real_size_of(space) - 1
        ratio = square.clamp_min(_least(square)) / max(most, 1)
        return (square - most - most * ratio.log()) / 2

    def _grad(self, x: Any, space: SpaceLike) -> Any:
        square = flatten(x, space).square().sum(-1)
        return scaled(1 - (real_size_of(space) - 1) / square.clamp_min(_least(square)), x, space)


def _least(square: Tensor) -> float:
    """Squared length that noise of length zero counts as."""
    return torch.finfo(square.dtype).tiny ** 0.5


class DFlow(Solver):
    r"""Minimize over the noise that a flow starts from, and return the image that it becomes [1]_.

    .. math:: \hat z = \operatorname{argmin}_z f(A\,T(z); y) + λ g(z), \qquad \hat x = T(\hat z),

    by L-BFGS with derivatives through all steps of the flow T. With λ = 1 and g(z) = ‖z‖²/2 it is the most
    likely noise given the data; for Gaussian images T is affine and x̂ the most likely image, else not.

    Parameters
    ----------
    denoiser : Denoiser
    prior : Prior
        g, with a gradient: `Tikhonov`, or `NoiseLength`.
    weight : float
        λ.
    flow_steps : int
        Steps of the flow; each is kept in memory.
    method : {"midpoint", "heun", "euler"}
    blend : float
        a: the noise at the start is √a T⁻¹(Aᴴy) + √(1 - a) ε, with ε ~ N(0, 1) the same for all samples.
        Given a starting point x0 it is T⁻¹(x0).
    seed : int
        Of ε.
    memory : int
        Of L-BFGS.
    rtol : float
        Stop, per sample, when the gradient has fallen by this factor.

    References
    ----------
    .. [1] H. Ben-Hamu, O. Puny, I. Gat, B. Karrer, U. Singer, Y. Lipman, D-Flow: differentiating through
       flows for controlled generation, ICML 2024.

    Examples
    --------
    >>> from invcore.denoisers import GaussianDenoiser
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> physics = Physics(Identity((1, 2)), GaussianNoise(sigma=1.0))
    >>> D = GaussianDenoiser(mean=torch.zeros(1, 2), covariance=torch.diag(torch.tensor([1.0, 3.0])))
    >>> DFlow(D, flow_steps=20)(torch.ones(1, 2), physics).round(decimals=2)
    tensor([[0.5000, 0.7500]])
    """

    exact = False
    units = None
    prior_by = "grad"
    fidelity_by = "smooth"
    denoiser: Denoiser
    prior: Prior = Tikhonov()
    weight: float = 1.0
    flow_steps: int = 5
    method: Method = "midpoint"
    blend: float = 0.1
    seed: int = 0
    fidelity: Fidelity | None = None
    memory: int = 10
    max_steps: int = 400
    rtol: float = 1e-5

    def __post_init__(self) -> None:
        check_flow("DFlow", self.flow_steps, self.method)
        if not 0 <= self.blend <= 1:
            raise ParameterError(f"DFlow: blend must lie in [0, 1], got {self.blend!r}")

    @property
    def _search(self) -> LBFGS:
        return LBFGS(memory=self.memory, max_steps=self.max_steps, rtol=self.rtol)

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        """The problem in the noise."""
        images = super().problem(y, physics, x0)
        check_images("DFlow", self.denoiser, images.space)
        flow = FlowMap(self.denoiser, images.image_space, steps=self.flow_steps, method=self.method)
        latent = Physics(physics.operator @ flow, physics.noise)
        return images.replace(physics=latent, x0=self._first(images, flow))

    def _first(self, images: Problem, flow: FlowMap) -> Tensor:
        x, space = images.start(), images.space
        if images.x0 is not None:
            return flow.inverse(x)
        ones = (1,) * len(batch_shape(x, space))
        generator = seeded(f"DFlow, seed {self.seed}")
        noise = randn(space, ones, generator=generator, dtype=x.dtype, device=x.device)
        back = images.backprojection if isinstance(images.A, LinearOperator) else x
        return self.blend**0.5 * flow.inverse(back + 0 * x) + (1 - self.blend) ** 0.5 * noise

    def init(self, problem: Problem) -> Any:
        """See `Solver.init`."""
        return self._search.init(problem)

    def step(self, problem: Problem, state: Any) -> Any:
        """See `Solver.step`."""
        return self._search.step(problem, state)

    def converged(self, problem: Problem, state: Any) -> Any:
        """See `Solver.converged`."""
        return self._search.converged(problem, state)

    def change(self, problem: Problem, state: Any) -> Any:
        """The relative gradient."""
        return self._search.change(problem, state)

    def noise(self, problem: Problem, state: Any) -> Tensor:
        """ẑ in a state."""
        z: Tensor = self._search.value(problem, state)
        return z

    def value(self, problem: Problem, state: Any) -> Tensor:
        """See `Solver.value`."""
        flow = FlowMap(self.denoiser, problem.image_space, steps=self.flow_steps, method=self.method)
        return flow(self.noise(problem, state))

    def objective(self, problem: Problem, state: Any) -> Tensor:
        """See `Solver.objective`."""
        return problem.objective(self.noise(problem, state))
