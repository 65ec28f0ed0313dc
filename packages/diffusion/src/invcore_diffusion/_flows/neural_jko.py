"""Neural JKO: flows trained as steps of a gradient flow in the space of densities, and rejections between."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from invcore import Fidelity, ParameterError, Prior, Sampler
from invcore.solvers import Problem
from invcore.spaces import Space, batch_shape, flatten, real_size_of, unflatten

from .density import Energy, Layer, Normal, Resampled, Rows, Transported, balanced, check_size, log_evidence
from .transport import check_flow

Velocity = Callable[[Tensor, Tensor, float], Tensor]
"""``velocity(weights, x, t)``, for weights in one vector."""


class Perceptron:
    """Three hidden layers of SiLU from (x, t) to a velocity, whose weights are one vector."""

    def __init__(self, size: int, width: int) -> None:
        sizes = (size + 1, width, width, width, size)
        self.shapes = [(n, m) for m, n in pairwise(sizes)]

    def first(self, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        """Weights to begin with: a velocity near zero."""
        parts = []
        for i, (n, m) in enumerate(self.shapes):
            scale = m**-0.5 if i < len(self.shapes) - 1 else 1e-2 * m**-0.5
            drawn = torch.randn((n, m), generator=generator, dtype=dtype, device=generator.device)
            parts += [scale * drawn.flatten(), torch.zeros(n, dtype=dtype, device=generator.device)]
        return torch.cat(parts)

    def __call__(self, weights: Tensor, x: Tensor, t: float) -> Tensor:
        """The velocity of vectors (n, d)."""
        z, at = torch.cat([x, torch.full_like(x[:, :1], t)], 1), 0
        for i, (n, m) in enumerate(self.shapes):
            W, b = weights[at : at + n * m].view(n, m), weights[at + n * m : at + n * m + n]
            at += n * m + n
            z = torch.addmm(b, z, W.mT)
            if i < len(self.shapes) - 1:
                z = torch.nn.functional.silu(z)
        return z


def jko_step(
    velocity: Velocity,
    weights: Tensor,
    x: Tensor,
    energy: Energy,
    tau: float,
    *,
    generator: torch.Generator,
    steps: int = 300,
    batch: int = 500,
    rate: float = 5e-3,
    ode_steps: int = 5,
) -> Tensor:
    r"""Train a velocity to take draws one step down the divergence from exp(-E): a JKO step.

    .. math:: \min_v \; E\left[E(x(1)) - \int_0^1 \operatorname{div} v \, dt
       + \frac{1}{2τ} \int_0^1 \|v\|^2 \, dt\right]

    over paths from the draws x(0). It is W₂²(p, q)/(2τ) + KL(q | exp(-E)), up to a constant, at its best v.

    Parameters
    ----------
    velocity : callable
        ``velocity(weights, x, t)`` of vectors (n, d).
    weights : Tensor
        Those to begin with.
    x : Tensor, shape (n, d)
    energy : callable
    tau : float
        τ, the length of the step.
    generator : torch.Generator
    steps, batch : int
        Of Adam, and the draws that each sees.
    rate : float
        Its first learning rate, which falls by 0.95 every 100 steps.
    ode_steps : int
        Midpoint steps of the path.

    Returns
    -------
    Tensor
        The trained weights.
    """
    theta = weights.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([theta], lr=rate)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 100, 0.95)
    basis = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    with torch.enable_grad():
        for _ in range(steps):
            chosen = torch.randperm(len(x), generator=generator, device=generator.device)[:batch]
            z, cost = x[chosen.to(x.device)].clone(), torch.zeros((), dtype=x.dtype, device=x.device)
            h = 1 / ode_steps
            for k in range(ode_steps):
                middle = z + h / 2 * velocity(theta, z, k * h)
                middle = middle if middle.requires_grad else middle.requires_grad_()
                v = velocity(theta, middle, (k + 0.5) * h)
                columns = torch.autograd.grad(
                    v, middle, basis[:, None].expand(-1, *v.shape), create_graph=True, is_grads_batched=True
                )[0]
                spread = columns.diagonal(dim1=0, dim2=2).sum(-1)
                cost = cost + h * (v.square().sum(-1) / (2 * tau) - spread).mean()
                z = z + h * v
            cost = cost + energy(z).mean()
            optimizer.zero_grad()
            cost.backward()
            optimizer.step()
            schedule.step()
    return theta.detach()


class _State(NamedTuple):
    x: Tensor
    k: int
    which: Tensor
    weights: tuple[Tensor, ...]
    levels: Tensor


class NeuralJKO(Sampler):
    r"""Learn the posterior of few unknowns as a model with a density, then draw from it [1]_.

    From N(x0, scale²) some flows, each trained as one step of the gradient flow of KL(q | exp(-E)) in
    Wasserstein's distance (`jko_step`), E = f(A x; y) + λ g(x). Then blocks of one flow and several steps of
    `resample`, which move mass between modes. KL falls in each step. It needs derivatives of E only, no
    denoiser, and the model tells the evidence of the data (`model`). Each different item of the data has a
    model of its own, which is what takes the time; draws from it are independent. As it trains on each new
    item, for half a minute and more where its draws are to be right, it is not registered: the conformance
    kit would train it some fifty times.

    Parameters
    ----------
    prior : Prior, optional
        g, differentiable by torch.
    weight : float
        λ.
    fidelity : Fidelity, optional
        f; by default the likelihood of the noise.
    scale : float
        Standard deviation at the start: wider than the posterior.
    flows, blocks, rejections : int
        Flows at the start, blocks after them, and rejection steps in each.
    tau, growth : float
        Length of the i-th flow step, τ · growth^i.
    rate : float
        Share of the draws that a rejection step draws again.
    particles : int
        Draws on which flows and rejections are fitted.
    training, batch : int
        Steps of Adam for each flow, and draws in each.
    learning_rate : float
    width : int, optional
        Of the hidden layers; by default 2 n + 50 for n unknowns.
    ode_steps : int
        Steps of each flow.

    References
    ----------
    .. [1] J. Hertrich, R. Gruhlke, Importance corrected neural JKO sampling, ICML 2025.

    Examples
    --------
    >>> from invcore import Physics, noises, operators, priors
    >>> sampler = NeuralJKO(prior=priors.Tikhonov(), flows=0, blocks=1, rejections=8, training=50)
    >>> physics = Physics(operators.Identity((2,)), noises.GaussianNoise(sigma=1.0))
    >>> g = torch.Generator().manual_seed(0)
    >>> x = sampler(torch.tensor([2.0, 0.0]).expand(2000, 2), physics, generator=g)
    >>> (x.mean(0) - torch.tensor([1.0, 0.0])).abs().max() < 0.15
    tensor(True)
    """

    prior: Prior | None = None
    weight: float = 1.0
    fidelity: Fidelity | None = None
    scale: float = 1.0
    flows: int = 4
    blocks: int = 6
    rejections: int = 3
    tau: float = 0.01
    growth: float = 4.0
    rate: float = 0.2
    particles: int = 5000
    training: int = 300
    batch: int = 500
    learning_rate: float = 5e-3
    width: int | None = None
    ode_steps: int = 8
    burn_in: int = 1

    def __post_init__(self) -> None:
        check_flow("NeuralJKO", self.ode_steps, "midpoint")
        counts = (self.flows, self.blocks, self.rejections, self.training, self.particles - 1, self.batch - 1)
        if not all(isinstance(n, int) and n >= 0 for n in counts):
            raise ParameterError("NeuralJKO: numbers of steps, particles and batches must be whole and >= 0")
        if not (self.scale > 0 and self.tau > 0 and self.growth > 0 and 0 < self.rate < 1):
            raise ParameterError(
                "NeuralJKO: expected scale, tau and growth > 0 and 0 < rate < 1, got "
                f"{self.scale!r}, {self.tau!r}, {self.growth!r} and {self.rate!r}"
            )

    @property
    def _plan(self) -> list[str]:
        return ["flow"] * self.flows + (["flow"] + ["reject"] * self.rejections) * self.blocks

    def init(self, problem: Problem, generator: torch.Generator) -> _State:
        """Learn the models, and draw nothing yet."""
        x, space = problem.start(), problem.space
        if not isinstance(space, Space):
            raise ParameterError("NeuralJKO draws single images; those of this physics have several blocks")
        check_size("NeuralJKO", real_size_of(space))
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        items, which = self._items(problem)
        fits = [self._fit(self._energy(item), problem, x, seed) for item in items]
        weights = (
            tuple(torch.stack([fit[0][i] for fit in fits]) for i in range(len(fits[0][0]))) if fits else ()
        )
        levels = torch.tensor([fit[1] for fit in fits], dtype=torch.float64)
        return _State(x, 0, which, weights, levels)

    def step(self, problem: Problem, state: _State, generator: torch.Generator) -> _State:
        """Draw from the models."""
        space, batch = problem.space, batch_shape(state.x, problem.space)
        number = math.prod(batch)
        size = real_size_of(space)
        flat = flatten(state.x, space).reshape(number, size).clone()
        rows = Rows(generator, number, size, flat.dtype)
        items, _ = self._items(problem)
        for i, item in enumerate(items):
            index = (state.which == i).nonzero().flatten()
            model = self._model(state, i, self._energy(item), problem, flat)
            flat[index.to(flat.device)] = model.drawn(rows, index.to(generator.device))[0]
        return state._replace(x=unflatten(flat.reshape(*batch, size), space), k=state.k + 1)

    def model(self, problem: Problem, state: _State, item: int = 0) -> Layer:
        """The model of one of the different data: ``sample(n, generator=g)`` and ``log_prob(x)``.

        Vectors are images in real coordinates, (n, d).
        """
        items, _ = self._items(problem)
        like = flatten(state.x, problem.space)
        return self._model(state, item, self._energy(items[item]), problem, like)

    def log_evidence(
        self,
        problem: Problem,
        state: _State,
        *,
        generator: torch.Generator,
        number: int = 2000,
        item: int = 0,
    ) -> tuple[float, float]:
        """Two estimates of log ∫ exp(-E): a lower bound on average, and one by importance weights."""
        model = self.model(problem, state, item)
        x, log_prob = model.with_density(number, generator)
        items, _ = self._items(problem)
        return log_evidence(self._energy(items[item]), x, log_prob)

    def _items(self, problem: Problem) -> tuple[list[Problem], Tensor]:
        """A problem for each different item of the data, and which of them each sample is."""
        A, batch = problem.A, batch_shape(problem.y, problem.A.range)
        if batch_shape(problem.start(), problem.space) != batch:
            raise ParameterError("NeuralJKO: give physics without batch dimensions, and x0 like the data")
        flat = flatten(problem.y, A.range).reshape(math.prod(batch), -1)
        known, which = torch.unique(flat, dim=0, return_inverse=True)
        return [problem.replace(y=unflatten(y, A.range), x0=None) for y in known], which

    def _energy(self, item: Problem) -> Energy:
        return lambda x: item.objective(unflatten(x, item.space))

    def _start(self, problem: Problem, like: Tensor) -> Normal:
        mean = torch.zeros(like.shape[-1], dtype=like.dtype, device=like.device)
        if problem.x0 is not None:
            mean = flatten(problem.x0, problem.space).reshape(-1, like.shape[-1])[0].to(like)
        return Normal(mean, self.scale)

    def _network(self, size: int) -> Perceptron:
        return Perceptron(size, 2 * size + 50 if self.width is None else self.width)

    def _fit(
        self, energy: Energy, problem: Problem, x: Tensor, seed: int
    ) -> tuple[list[Tensor], list[tuple[float, float]]]:
        """The weights of the flows, and c and E_p a of the rejections."""
        like = flatten(x, problem.space)
        generator = torch.Generator(device=like.device).manual_seed(seed)
        model: Layer = self._start(problem, like)
        network = self._network(model.size)
        weights: list[Tensor] = []
        levels: list[tuple[float, float]] = []
        x, log_prob = model.with_density(self.particles, generator)
        for part in self._plan:
            if part == "reject":
                constant, accepted = balanced(-energy(x) - log_prob, self.rate)
                levels.append((constant, accepted))
                above = Resampled(model, energy, constant, accepted)
                chance = torch.rand(len(x), generator=generator, dtype=x.dtype, device=x.device)
                again = chance >= above.acceptance(x, log_prob)
                if bool(again.any()):
                    x[again], log_prob[again] = model.with_density(int(again.sum()), generator)
                log_prob = log_prob + (above.acceptance(x, log_prob) + 1 - accepted).log()
                model = above
                continue
            trained = jko_step(
                network,
                network.first(generator, like.dtype),
                x,
                energy,
                self.tau * self.growth ** len(weights),
                generator=generator,
                steps=self.training,
                batch=self.batch,
                rate=self.learning_rate,
            )
            weights.append(trained)
            flow = self._flow(model, network, trained)
            x, spread = flow.moved(x, 0.0, 1.0)
            model, log_prob = flow, log_prob - spread
        return weights, levels

    def _flow(self, model: Layer, network: Perceptron, weights: Tensor) -> Transported:
        return Transported(model, lambda x, t: network(weights, x, t), self.ode_steps)

    def _model(self, state: _State, i: int, energy: Energy, problem: Problem, like: Tensor) -> Layer:
        """The model of the i-th item from what a state holds."""
        model: Layer = self._start(problem, like)
        network = self._network(model.size)
        weights, levels = iter(state.weights), iter(state.levels[i].tolist())
        for part in self._plan:
            if part == "reject":
                model = Resampled(model, energy, *next(levels))
            else:
                model = self._flow(model, network, next(weights)[i])
        return model
