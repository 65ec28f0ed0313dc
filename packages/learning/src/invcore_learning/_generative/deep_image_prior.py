"""The deep image prior: a network fitted to one measurement."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import Module

import invcore
from invcore import Fidelity, Solver, Space
from invcore.noises import GaussianNoise
from invcore.spaces import batch_shape, device_of, dtype_of, norm, per_sample, real_size_of, tree_map

from .._networks.base import Network

DECAY = (0.9, 0.999)
"""Of the mean gradient and the mean squared gradient."""
TINY = 1e-8
"""Added to the root of the mean squared gradient."""


class _State(NamedTuple):
    x: Tensor
    weights: Tensor
    mean: Tensor
    square: Tensor
    slope: Tensor
    powers: Tensor
    residual: Tensor
    unit: Tensor
    start: Tensor
    change: Tensor


class DeepImagePrior(Solver):
    r"""Fit the weights of a network to the data of one image, and stop early [1]_.

    .. math:: \min_θ f(A\,s\,N_θ(u); y)

    by Adam, from the weights that the network has; u is a fixed input, drawn from ``seed`` (or the grid of
    coordinates, for a `NeuralField`), and s = ‖y‖/‖A N(u)‖ at the start brings the output to the unit of the
    data. A convolutional network fits structure before noise: stop where the residual is as large as the
    noise, or after ``max_steps``. The network itself is not changed. Each sample of a batch has its own
    weights. No derivative passes through the fit.

    Parameters
    ----------
    network : Module
        A `Network`, which gets an image of noise, or a module that says what it gets: ``latent(space,
        generator=g)``.
    seed : int
        Of the input.
    step_size : float
        Of Adam.
    discrepancy : float
        Stop when ‖A x - y‖² ≤ discrepancy · E‖noise‖², if the noise is Gaussian of known level; 0: never.
    fidelity : Fidelity, optional
        f; by default the likelihood of the noise.
    max_steps : int
        Maximum number of steps.
    rtol : float
        Stop, per sample, when ‖x_{k+1} - x_k‖ ≤ rtol ‖x_{k+1}‖.

    References
    ----------
    .. [1] D. Ulyanov, A. Vedaldi, V. Lempitsky, Deep image prior, Int. J. Comput. Vis. 128 (2020).

    Examples
    --------
    >>> import torch
    >>> from invcore import Physics
    >>> from invcore.operators import Identity
    >>> from invcore_learning import UNet
    >>> solver = DeepImagePrior(UNet(features=(4, 8), blocks=1), max_steps=5)
    >>> solver(torch.rand(1, 8, 8), Physics(Identity((1, 8, 8)), GaussianNoise(sigma=0.1))).shape
    torch.Size([1, 8, 8])
    """

    exact = False
    network: Module
    seed: int = 0
    step_size: float = 1e-2
    discrepancy: float = 1.0
    fidelity: Fidelity | None = None
    max_steps: int = 3000
    rtol: float = 0.0

    def __post_init__(self) -> None:
        if not (self.step_size > 0 and self.discrepancy >= 0 and 0 <= self.seed < 2**63):
            raise invcore.ParameterError(
                "DeepImagePrior: expected step_size > 0, discrepancy >= 0 and seed >= 0, got "
                f"{self.step_size!r}, {self.discrepancy!r} and {self.seed!r}"
            )

    def init(self, problem: Any) -> _State:
        """See `Solver.init`."""
        if problem.x0 is not None:
            raise invcore.ParameterError("DeepImagePrior starts from the weights of its network, not from x0")
        space, y = problem.space, problem.y
        dtype, device = dtype_of(y), device_of(y)
        real = torch.zeros((), dtype=dtype).real.dtype
        self._latent(space, torch.zeros((), dtype=real))
        weights = torch.cat([p.detach().reshape(-1) for p in self.network.parameters()])
        batch = batch_shape(y, problem.A.range)
        weights = weights.to(device=device, dtype=real).expand(*batch, -1).clone()
        x = self._image(weights, problem)
        seen = norm(problem.A(x), problem.A.range)
        unit = norm(y, problem.A.range) / torch.where(seen > 0, seen, 1)
        first = problem.fidelity.value(problem.A(per_sample(unit, space) * x), y, problem.A.range).abs()
        zero, one = torch.zeros_like(weights), torch.ones((*batch, 2), dtype=real, device=device)
        blank = _State(x, weights, zero, zero, zero, one, unit, unit, torch.where(first > 0, first, 1), unit)
        return self._looked(problem, blank, weights)._replace(change=torch.full_like(unit, torch.inf))

    def step(self, problem: Any, state: _State) -> _State:
        """See `Solver.step`."""
        mean = DECAY[0] * state.mean + (1 - DECAY[0]) * state.slope
        square = DECAY[1] * state.square + (1 - DECAY[1]) * state.slope**2
        powers = state.powers * torch.tensor(DECAY).to(state.powers)
        first, second = (1 - powers).unsqueeze(-2).unbind(-1)
        moved = state.weights - self.step_size * (mean / first) / ((square / second).sqrt() + TINY)
        return self._looked(problem, state._replace(mean=mean, square=square, powers=powers), moved)

    @torch.no_grad()
    def _looked(self, problem: Any, state: _State, weights: Tensor) -> _State:
        """The state at other weights: image, residual and gradient."""
        A, space = problem.A, problem.space
        with torch.enable_grad():
            at = weights.detach().requires_grad_()
            x = per_sample(state.unit, space) * self._image(at, problem)
            seen = A(x)
            loss = problem.fidelity.value(seen, problem.y, A.range) / state.start
            (slope,) = torch.autograd.grad(loss.sum(), at) if at.numel() else (at,)
        x = x.detach()
        residual = norm(tree_map(torch.sub, tree_map(Tensor.detach, seen), problem.y), A.range)
        change = problem.change(x - state.x, x, residual)
        return state._replace(x=x, weights=weights.detach(), slope=slope, residual=residual, change=change)

    def converged(self, problem: Any, state: _State) -> Tensor:
        """See `Solver.converged`."""
        done = (
            (state.change <= self.rtol) if self.rtol else torch.zeros_like(state.residual, dtype=torch.bool)
        )
        noise = problem.physics.noise
        if isinstance(noise, GaussianNoise) and self.discrepancy:
            expected = self.discrepancy * real_size_of(problem.A.range) * noise.sigma**2
            done = done | (state.residual**2 <= expected)
        return done

    def _image(self, weights: Tensor, problem: Any) -> Tensor:
        """N_θ(u) for weights (batch..., n)."""
        names = dict(self.network.named_parameters())
        flat = weights.reshape(-1, weights.shape[-1])
        buffers = {
            n: b.to(weights) if b.is_floating_point() else b.to(weights.device)
            for n, b in self.network.named_buffers()
        }
        u, space = self._latent(problem.space, weights), problem.space
        images = []
        for one in flat:
            parts = one.split([p.numel() for p in names.values()])
            own = {n: part.reshape(p.shape) for (n, p), part in zip(names.items(), parts)}
            images.append(functional_call(self.network, own | buffers, (u,)))
            made = images[-1]
            if tuple(made.shape) != space.shape or made.is_complex() != (space.kind == "complex"):
                raise invcore.ParameterError(
                    f"DeepImagePrior: the network makes images {tuple(made.shape)} of {made.dtype}, those of "
                    f"the operator are in {space}"
                )
        batch = weights.shape[:-1]
        if not images:
            none = weights[..., :1].reshape(*batch, *(1,) * len(space.shape)).expand(*batch, *space.shape)
            return torch.complex(none, none) if space.kind == "complex" else none
        return torch.stack(images).reshape(*batch, *space.shape)

    def _latent(self, space: Any, like: Tensor) -> Tensor:
        """The fixed input of the network."""
        if not isinstance(space, Space):
            raise invcore.ParameterError("DeepImagePrior: it makes single images, not several blocks")
        generator, network = torch.Generator().manual_seed(self.seed), self.network
        own = getattr(network, "latent", None)
        if own is not None:
            u = own(space, generator=generator)
        elif isinstance(network, Network) and not network.noise_level and not network.complex:
            if len(space.shape) != network.spatial_dims + 1:
                raise invcore.ParameterError(
                    f"DeepImagePrior: the network makes images with {network.spatial_dims} spatial "
                    f"dimensions, those of the operator are in {space}"
                )
            u = torch.rand(network.in_channels, *space.shape[1:], generator=generator, dtype=torch.float64)
        else:
            raise invcore.ParameterError(
                f"DeepImagePrior: what goes into {type(network).__name__}? Give a real Network without a "
                "noise level, or a module with latent(space, generator=g)"
            )
        return u.to(device=like.device, dtype=like.dtype)
