"""An operator from unpaired clean and degraded images."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module

from invcore import Noise, Operator, ParameterError, Physics
from invcore.noises import NoNoise

from .distribution_matching import DistributionMatching
from .matching import FlowMatching
from .velocity import Velocity, empirical_flow, gaussian_flow

TIMES = {"gaussian": (0.0, 0.95), "empirical": (0.0, 0.8)}
"""The times at which velocities are compared; those of finitely many images disagree near 1 anyhow."""


class LearnedOperator(NamedTuple):
    """What `learn_operator` found.

    Attributes
    ----------
    operator : Operator
        With the parameters as they are at the end, detached.
    path : Tensor, shape (step, number of parameters)
        All parameters after each step, in the order of ``module.parameters()``.
    """

    operator: Operator
    path: Tensor


def learn_operator(
    module: Any,
    clean: Tensor,
    degraded: Tensor,
    *,
    noise: Noise | None = None,
    velocity: Literal["gaussian", "empirical"] | Module = "gaussian",
    steps: int = 500,
    batch: int = 64,
    rate: float = 1e-2,
    network_rate: float = 1e-4,
    warm_up: int = 1000,
    penalty: Callable[[Operator], Tensor] | None = None,
    seed: int = 0,
) -> LearnedOperator:
    r"""Find the operator that makes images look like degraded ones, which are of other scenes [1]_.

    A_ξ x + noise gets the law of the degraded images by the gradient of `DistributionMatching`, with Adam in
    ξ. The law of second order of stationary images tells the magnitude of a blur's spectrum only: learn a
    symmetric kernel, or let ``velocity`` be one that sees more.

    Parameters
    ----------
    module : Module
        With the parameters ξ and a property ``operator``, differentiable in them: `OperatorModule`, or one
        that maps free numbers to a kernel. It is trained in place.
    clean, degraded : Tensor, shape (item, channel, *spatial)
        Images, and data of others; both of about unit size.
    noise : Noise, optional
        That of the degraded images, with samples differentiable in the noiseless data; none by default.
    velocity : {"gaussian", "empirical"} or Module
        What laws are compared by: their means and power spectra (no training); velocities of the stored
        images, in closed form, of which one half of the clean images moves and the other half says where it
        is; or a velocity network ``v(z, t)``, one copy of which learns the degraded images before the
        operator is learned, and another follows those that the operator makes.
    steps : int
        Of the operator.
    batch : int
        Images in each of them.
    rate, network_rate : float
        Learning rates of ξ and of the networks.
    warm_up : int
        Steps in which a network learns the degraded images, and half as many those at the start.
    penalty : callable, optional
        Added to the loss, of the operator: see `kernel_penalty`.
    seed : int

    Returns
    -------
    LearnedOperator

    Raises
    ------
    ParameterError

    References
    ----------
    .. [1] G. Meanti, T. Ryckeboer, M. Arbel, J. Mairal, Unsupervised imaging inverse problems with diffusion
       distribution matching, ICCV 2025.

    Examples
    --------
    >>> from invcore import OperatorModule
    >>> from invcore.operators import Identity
    >>> module = OperatorModule(torch.tensor(1.0) * Identity((1, 4, 4)))  # an unknown gain
    >>> g = torch.Generator().manual_seed(0)
    >>> clean, others = torch.randn(2, 300, 1, 4, 4, generator=g)
    >>> found = learn_operator(module, clean, 0.5 * others, steps=200)
    >>> bool((found.operator.scale.abs() - 0.5).abs() < 0.05)
    True
    """
    parameters = [p for p in module.parameters() if p.requires_grad] if isinstance(module, Module) else []
    if not parameters or not isinstance(getattr(module, "operator", None), Operator):
        raise ParameterError(
            "learn_operator: module must be a torch module with parameters to learn and a property "
            f"'operator', such as OperatorModule(A), got {module!r:.80}"
        )
    if not isinstance(velocity, Module) and velocity not in TIMES:
        raise ParameterError(
            f"learn_operator: velocity must be 'gaussian', 'empirical' or a module, got {velocity!r}"
        )
    maker = _Made(module, NoNoise() if noise is None else noise, clean, batch, seed)
    laws = _laws(velocity, maker, degraded, warm_up, network_rate, seed)
    optimizer, path = torch.optim.Adam(parameters, lr=rate), []
    with torch.enable_grad():
        for k in range(steps):
            loss = DistributionMatching(
                observed=laws.observed, current=laws.current(), times=laws.times, seed=seed, k=k
            )
            total = loss(maker.batch(), None, None, None, None).mean()
            if penalty is not None:
                total = total + penalty(module.operator)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            path.append(torch.cat([p.detach().reshape(-1) for p in parameters]).clone())
    operator = module.operator
    frozen = operator.bind(**{name: p.detach() for name, p in operator.parameters().items()})
    return LearnedOperator(frozen, torch.stack(path))


class _Made:
    """Images of the operator as it is."""

    def __init__(self, module: Any, noise: Noise, clean: Tensor, size: int, seed: int) -> None:
        self.module, self.noise, self.clean, self.size = module, noise, clean, size
        self.generator = torch.Generator(device=clean.device).manual_seed(seed)
        self.order = torch.arange(len(clean))

    def shuffled(self) -> None:
        """Divide the clean images anew."""
        drawn = torch.randperm(len(self.clean), generator=self.generator, device=self.generator.device)
        self.order = drawn.to(self.clean.device)

    def batch(self) -> Tensor:
        """Some of the first half of the images, with derivatives."""
        return self._made(self.order[: max(len(self.order) // 2, 1)][: self.size])

    def rest(self) -> Tensor:
        """The second half."""
        with torch.no_grad():
            return self._made(self.order[len(self.order) // 2 :])

    def _made(self, chosen: Tensor) -> Tensor:
        made: Tensor = Physics(self.module.operator, self.noise)(self.clean[chosen], generator=self.generator)
        return made


class _Laws(NamedTuple):
    """The velocity of the degraded images, and a function that gives that of the present ones."""

    observed: Any
    current: Callable[[], Any]
    times: tuple[float, float]


def _laws(
    velocity: Any, maker: _Made, degraded: Tensor, warm_up: int, network_rate: float, seed: int
) -> _Laws:
    if not isinstance(velocity, Module):
        made = _gaussian if velocity == "gaussian" else empirical_flow

        def current() -> Velocity:
            maker.shuffled()
            return made(maker.rest())

        return _Laws(made(degraded), current, TIMES[velocity])
    observed = copy.deepcopy(velocity)
    trainer = _Trainer(observed, network_rate, seed)
    for k in range(warm_up):
        chosen = torch.randperm(len(degraded), generator=trainer.generator)[: maker.size]
        trainer.step(k, degraded[chosen.to(degraded.device)])
    following = copy.deepcopy(observed)
    chaser = _Trainer(following, network_rate, seed + 1)
    count = 0

    def chased() -> Module:
        nonlocal count
        for _ in range(warm_up // 2 if not count else 1):
            maker.shuffled()
            chaser.step(count, maker.batch().detach())
            count += 1
        return following

    return _Laws(observed, chased, TIMES["gaussian"])


class _Trainer:
    """Flow matching of one network."""

    def __init__(self, network: Module, rate: float, seed: int) -> None:
        self.network, self.loss = network, FlowMatching(seed=seed)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=rate)
        self.generator = torch.Generator().manual_seed(seed)

    def step(self, k: int, images: Tensor) -> None:
        with torch.enable_grad():
            value = self.loss.at(k)(None, images, None, None, self.network).mean()
            self.optimizer.zero_grad()
            value.backward()
        self.optimizer.step()


def _gaussian(images: Tensor) -> Velocity:
    """The flow to Gaussian images with the mean and the power spectrum of these."""
    axes = tuple(range(2, images.ndim))
    mean = images.mean((0, *axes), keepdim=True)
    power = torch.fft.fftn(images - mean, dim=axes, norm="ortho").abs().square().mean(0)
    if images.is_complex():
        power = power / 2  # of each real component
    else:
        turned = [a - 1 for a in axes]
        power = (power + power.flip(turned).roll([1] * len(turned), turned)) / 2
    return gaussian_flow(mean=mean[0].expand(images.shape[1:]).contiguous(), spectrum=power)


def kernel_penalty(
    kernel: Tensor, *, size: float = 0.0, center: float = 0.0, total: float = 0.0, spread: float = 0.0
) -> Tensor:
    r"""What a blur kernel should be, as a penalty: sparse, centered, of sum one, and compact [1]_.

    .. math:: λ_1 \|k\|_1 + λ_2 \|c\|^2 + λ_3 |Σ k - 1| + λ_4 Σ |k_u| \|u - c\|^2,

    with c the center of mass of \|k\|, in pixels from the middle of the kernel.

    Parameters
    ----------
    kernel : Tensor, shape (channel, *spatial)
    size, center, total, spread : float
        λ₁ to λ₄.

    Returns
    -------
    Tensor

    References
    ----------
    .. [1] G. Meanti, T. Ryckeboer, M. Arbel, J. Mairal, Unsupervised imaging inverse problems with diffusion
       distribution matching, ICCV 2025.

    Examples
    --------
    >>> kernel = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]])
    >>> kernel_penalty(kernel, center=1.0), kernel_penalty(kernel, spread=1.0, total=1.0)
    (tensor(1.), tensor(0.))
    """
    grids = torch.meshgrid(
        *(torch.arange(n, dtype=kernel.dtype, device=kernel.device) - (n - 1) / 2 for n in kernel.shape[1:]),
        indexing="ij",
    )
    place, weight = torch.stack(grids), kernel.abs()
    mass = weight.sum()
    dims = tuple(range(1, kernel.ndim))
    middle = (weight.sum(0) * place).sum(dims) / mass.clamp_min(torch.finfo(kernel.dtype).tiny)
    away = (place - middle.reshape(-1, *(1,) * len(dims))).square().sum(0)
    each = (mass, middle.square().sum(), (kernel.sum() - 1).abs(), (weight * away).sum())
    return sum(w * term for w, term in zip((size, center, total, spread), each))  # type: ignore[return-value]
