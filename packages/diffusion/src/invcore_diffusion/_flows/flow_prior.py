"""Flow priors: the most likely image, sought along the flow."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from invcore import Denoiser, Fidelity, LinearOperator, ParameterError, Solver
from invcore.generators import seeded
from invcore.solvers import Problem
from invcore.spaces import batch_shape, randn, tree_map

from .transport import check_flow
from .velocity import Velocity, check_images, earliest

DECAY = (0.9, 0.999)
"""Of the mean gradient and the mean squared gradient."""
TINY = 1e-8
"""Added to the root of the mean squared gradient."""


class _State(NamedTuple):
    x: Tensor
    k: int
    mean: Tensor
    square: Tensor
    noise: Tensor


class FlowPrior(Solver):
    r"""Follow a flow, and before each of its steps move the image to where density and data want it [1]_.

    From t to t + h an image x becomes x' = x + h v(x, t), and by the change of variables

    .. math:: -\log p_{t+h}(x') = -\log p_t(x) + h \operatorname{div} v(x, t).

    A few steps of Adam in x lower it together with f(A x'; y'), where y' = (t + h) y + (1 - t - h) A ε is
    what the data would be at that time. The gradient of log p_t is the score (t v - x)/(1 - t), and the
    divergence is estimated by one random vector of signs. With many steps it ends at the most likely image
    given the data, up to an error of order h; the default is the cheap version.

    Parameters
    ----------
    denoiser : Denoiser
    steps : int
        Steps of the flow.
    inner_steps : int
        Steps of Adam for each.
    step_size : float
        Of Adam.
    seed : int
        Of ε, where the flow starts, and of the vectors; they are the same for all samples.
    fidelity : Fidelity, optional
        f; by default the likelihood of the noise.

    References
    ----------
    .. [1] Y. Zhang, P. Yu, Y. Zhu, Y. Chang, F. Gao, Y. N. Wu, O. Leong, Flow priors for linear inverse
       problems via iterative corrupted trajectory matching, NeurIPS 2024.

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.denoisers import GaussianDenoiser
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> physics = Physics(Identity((1, 2)), GaussianNoise(sigma=0.1))
    >>> D = GaussianDenoiser(mean=torch.zeros(1, 2), covariance=torch.eye(2))
    >>> FlowPrior(D, inner_steps=10)(torch.tensor([[1.0, -1.0]]), physics).round(decimals=0)
    tensor([[ 1., -1.]])
    """

    exact = False
    fidelity_by = "smooth"
    units = None
    denoiser: Denoiser
    steps: int = 100
    inner_steps: int = 1
    step_size: float = 1e-2
    seed: int = 0
    fidelity: Fidelity | None = None
    max_steps: int = 20_000
    rtol: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        check_flow("FlowPrior", self.steps, "euler")
        if not (self.step_size > 0 and isinstance(self.inner_steps, int) and self.inner_steps >= 0):
            raise ParameterError(
                "FlowPrior: expected step_size > 0 and inner_steps >= 0, got "
                f"{self.step_size!r} and {self.inner_steps!r}"
            )

    def init(self, problem: Problem) -> _State:
        """See `Solver.init`."""
        if not isinstance(problem.A, LinearOperator):
            raise ParameterError(
                f"FlowPrior needs data of images on the way, as linear operators have; "
                f"{type(problem.A).__name__} is not linear: use 'diffusion.d_flow'"
            )
        check_images("FlowPrior", self.denoiser, problem.space)
        x = problem.start()
        noise = self._drawn(problem, x, "start")
        zero = torch.zeros_like(x)
        return _State(zero + noise, 0, zero, zero, problem.linear(noise))

    def step(self, problem: Problem, state: _State) -> _State:
        """See `Solver.step`."""
        x, k, mean, square, noise = state
        t = max(k / self.steps, earliest(self.denoiser, x.real.dtype))
        following = (k + 1) / self.steps
        h = following - t
        y = tree_map(lambda y, n: following * y + (1 - following) * n, problem.y, noise)
        data = problem.replace(y=y)
        signs = self._drawn(problem, x, f"step {k}").sgn()
        for i in range(self.inner_steps):
            g = self._gradient(data, x, t, h, signs.expand_as(x))
            mean = DECAY[0] * mean + (1 - DECAY[0]) * g
            square = DECAY[1] * square + (1 - DECAY[1]) * g.abs().square()
            n = k * self.inner_steps + i + 1
            size = (square / (1 - DECAY[1] ** n)).real.sqrt() + TINY
            x = x - self.step_size * mean / (1 - DECAY[0] ** n) / size
        return _State(x + h * Velocity(self.denoiser)(x, t), k + 1, mean, square, noise)

    def _gradient(self, data: Problem, x: Tensor, t: float, h: float, signs: Tensor) -> Tensor:
        """Of -log p_{t+h}(x') + f(A x'; y') in x."""
        velocity = Velocity(self.denoiser)
        with torch.enable_grad():
            z = x.detach().requires_grad_()
            v = velocity(z, t)
            (probed,) = torch.autograd.grad(v, z, signs, create_graph=True)
            spread = h * (probed * signs.conj()).real.sum()
            curved = spread if spread.requires_grad else 0 * z.real.sum()
            moved = (z + h * v).detach()
            (g,) = torch.autograd.grad(
                [z + h * v, curved], z, [data.gradient(moved), torch.ones_like(curved)]
            )
        return g + (x - t * v.detach()) / (1 - t)

    def _drawn(self, problem: Problem, x: Tensor, what: str) -> Tensor:
        """White noise, the same for all samples."""
        space = problem.image_space
        generator = seeded(f"FlowPrior, seed {self.seed}, {what}")
        ones = (1,) * len(batch_shape(x, space))
        noise: Tensor = randn(space, ones, generator=generator, dtype=x.dtype, device=x.device)
        return noise

    def converged(self, problem: Problem, state: _State) -> Any:
        """At the end of the flow."""
        done = torch.tensor(state.k >= self.steps, device=state.x.device)
        return done.expand(batch_shape(state.x, problem.space))
