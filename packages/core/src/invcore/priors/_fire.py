"""FiRe: images that degrading and restoring leaves as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from .._errors import ParameterError
from .._physics import Physics
from .._value import Value
from .._weights import Weight
from ..denoisers._mmse import squared
from ..fidelities import Fidelity, LeastSquares
from ..operators import Space, SpaceLike
from ._degradations import Draw, Restorer, StochasticPrior, check_degradation, degraded, drawn, several


class Cycle(Value):
    """A degradation and what restores images from it.

    Parameters
    ----------
    restorer : callable
        R: ``restorer(s, physics)``, any model.
    physics : Physics or tuple of Physics
        What degrades, with any noise; one of a tuple is drawn each time.
    varying : generator, optional
        Draws parameters of the physics by name (`invcore.generators.Joint`): kernels, masks, noise levels.
    gamma : float
        γ > 0: how much of an image the restored one replaces.

    Examples
    --------
    >>> from invcore.models import GaussianRestorer
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> R = GaussianRestorer(mean=torch.zeros(1, 2), covariance=3 * torch.eye(2))
    >>> Cycle(R, Physics(Identity((1, 2)), GaussianNoise(sigma=1.0))).gamma
    1.0
    """

    restorer: Restorer
    physics: Physics | tuple[Physics, ...]
    varying: Draw | None = None
    gamma: float = 1.0

    def __post_init__(self) -> None:
        check_degradation("Cycle", self.physics, self.varying)
        if not self.gamma > 0:
            raise ParameterError(f"Cycle: gamma must be positive, got {self.gamma!r}")


class FiRe(StochasticPrior):
    r"""Fixed points of restoration [1]_: natural images are those that degrade-and-restore does not change.

    .. math::
        \operatorname{prox}_{t g}(x) := S^{-1} \left[(1 - γ)\, S x + γ R(H S x + n)\right]

    with a random cycle of degradation H, noise n and restorer R, and a random circular shift S. As with
    `PnP` there is no function g, and the step t plays no part; nor does the weight in 'pgd'. The iteration of
    [1]_ is that of 'scaled_pgd', which takes x minus the above for the gradient, and whose weight is over the
    variance of the data: by default that of least squares, so that λ = 1 in [1]_. Both average the iterates.

    Parameters
    ----------
    cycles : Cycle or tuple of Cycle
        One is drawn each time; with ``draws="all"`` their average is taken.
    shifts : float
        Shifts are drawn up to this share of each side; 0 for none, and none with ``draws="all"``.

    References
    ----------
    .. [1] M. Terris, U. Kamilov, T. Moreau, "FiRe: fixed-points of restoration priors for solving inverse
       problems", CVPR (2025).

    Examples
    --------
    >>> from invcore.models import GaussianRestorer
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> R = GaussianRestorer(mean=torch.zeros(1, 2), covariance=3 * torch.eye(2))
    >>> cycle = Cycle(R, Physics(Identity((1, 2)), GaussianNoise(sigma=1.0)))
    >>> FiRe(cycle, draws="all").prox(torch.tensor([[4.0, -8.0]]), 1.0)  # 3/(3 + 1) of it
    tensor([[ 3., -6.]])
    """

    cycles: Cycle | tuple[Cycle, ...]
    shifts: float = 0.1
    draws: int | Literal["all"] = 1
    seed: int = 0
    draw: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self._cycles and all(isinstance(c, Cycle) for c in self._cycles)):
            raise ParameterError(f"FiRe: cycles must be a Cycle or a tuple of them, got {self.cycles!r:.80}")
        if not 0 <= self.shifts <= 0.5:
            raise ParameterError(f"FiRe: shifts is a share of the sides, from 0 to 0.5, got {self.shifts!r}")
        if self.draws == "all" and any(c.varying is not None for c in self._cycles):
            raise ParameterError(
                "FiRe: draws='all' goes through every physics; with parameters that are drawn there is no "
                "last one. Give a number of draws, or a tuple of physics."
            )

    @property
    def _cycles(self) -> tuple[Cycle, ...]:
        return self.cycles if isinstance(self.cycles, tuple) else (self.cycles,)

    @property
    def _random(self) -> bool:
        return self.draws != "all"

    @property
    def settles(self) -> bool:
        """No: a restorer need not be the proximal operator of any function."""
        return False

    def _drawn(self, device: torch.device) -> Iterator[tuple[Cycle, Physics, torch.Generator | None]]:
        """The cycles of this iteration, each with its physics, and the generator of the noise."""
        if self.draws == "all":
            for cycle in self._cycles:
                for physics in several(cycle.physics):
                    yield cycle, physics, None
            return
        g = self._generator()
        for _ in range(self.draws):
            cycle = self._cycles[int(torch.randint(len(self._cycles), (), generator=g))]
            yield cycle, drawn(cycle.physics, cycle.varying, g, device), g

    def _value(self, x: Tensor, space: Space) -> Tensor:
        raise ParameterError(
            "FiRe has no value: what restores is not the proximal operator of a known function. "
            "'scaled_pgd' and 'pgd' take none; residual(x, generator=g) says how much a cycle moves an image"
        )

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        total, weight = torch.zeros_like(x), 0.0
        for cycle, physics, g in self._drawn(x.device):
            offsets, dims = self._shift(space, g)
            shifted = x.roll(offsets, dims) if dims else x
            restored = cycle.restorer(degraded(shifted, physics, g), physics)
            moved = (1 - cycle.gamma) * shifted + cycle.gamma * restored
            moved = moved.roll([-n for n in offsets], dims) if dims else moved
            share = 1 / len(several(cycle.physics)) if g is None else 1.0  # each cycle counts alike
            total, weight = total + share * moved, weight + share
        return total / weight

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        return x - self._prox(x, 1.0, space)

    def _shift(self, space: Space, generator: torch.Generator | None) -> tuple[list[int], list[int]]:
        """Offsets along the spatial dimensions."""
        if generator is None or not self.shifts:
            return [], []
        dims = list(range(1 - len(space.shape), 0))
        most = [int(self.shifts * space.shape[d]) for d in dims]
        return [int(torch.randint(-m, m + 1, (), generator=generator)) for m in most], dims

    def majorizer(self, space: SpaceLike) -> float:
        """1: as if each restored image were a conditional mean, and moved no further than the image did."""
        return 1.0

    def residual(self, x: Tensor, space: SpaceLike | None = None, *, generator: torch.Generator) -> Tensor:
        """‖x - R(Hx + n)‖²/2 of each sample, one draw for every cycle, averaged over them.

        Parameters
        ----------
        x : Tensor, shape (batch..., channel, *spatial)
        space : Space, optional
            Of one image; by default all of ``x`` is one.
        generator : torch.Generator

        Returns
        -------
        Tensor, shape (batch...)
        """
        item, found = self._item(x, space), []
        for cycle in self._cycles:
            physics = drawn(cycle.physics, cycle.varying, generator, x.device)
            left = x - cycle.restorer(degraded(x, physics, generator), physics)
            found.append(squared(left).sum(tuple(range(-len(item.shape), 0))) / 2)
        return sum(found[1:], found[0]) / len(found)

    def suggested_weight(self, y: Any, physics: Physics, fidelity: Fidelity | None = None) -> Weight:
        """1/σ² of least squares, so that the squared residual and a move weigh alike; else 1."""
        f = physics.likelihood() if fidelity is None else fidelity
        return Weight(f.precision() if isinstance(f, LeastSquares) else 1.0)
