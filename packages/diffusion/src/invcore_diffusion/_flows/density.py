"""Models with draws and a density: a normal start, flows, and draws that are rejected and drawn again."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from invcore import ParameterError

from .likelihood import EXACT, divergence

Energy = Callable[[Tensor], Tensor]
"""Minus the logarithm of a density, up to a constant, of vectors (n, d)."""

_CHUNK = 16
"""Random vectors that are drawn for each row at once."""


class Rows:
    """Random numbers of rows, for each in an order of its own: what others take changes nothing for it."""

    def __init__(self, generator: torch.Generator, number: int, size: int, dtype: torch.dtype) -> None:
        self.generator, self.size = generator, size
        self.how: Any = {"generator": generator, "dtype": dtype, "device": generator.device}
        self.taken = torch.zeros(number, dtype=torch.long, device=generator.device)
        self.normal = torch.zeros((number, 0, size), dtype=dtype, device=generator.device)
        self.uniform = self.normal[..., 0]

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """A normal vector and a uniform number for each of these rows."""
        at = self.taken[rows]
        self.taken[rows] += 1
        while len(at) and int(at.max()) >= self.uniform.shape[1]:
            shape = (len(self.taken), _CHUNK)
            self.normal = torch.cat([self.normal, torch.randn((*shape, self.size), **self.how)], 1)
            self.uniform = torch.cat([self.uniform, torch.rand(shape, **self.how)], 1)
        return self.normal[rows, at], self.uniform[rows, at]


class Layer(ABC):
    """A model of vectors: draws, and the logarithm of their density; a `Start`, or a `Step` after others."""

    size: int
    dtype: torch.dtype
    start: Start
    above: list[Step]
    """The steps from the start to this one."""

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """The logarithm of the density at vectors (n, d)."""

    def drawn(self, rows: Rows, index: Tensor) -> tuple[Tensor, Tensor]:
        """A draw for each of these rows, with its log-density.

        What a layer rejects begins again at the start, to pass that layer when it comes back.
        """
        start, above = self.start, self.above
        due = torch.zeros((len(index), len(above)), dtype=torch.bool, device=index.device)
        active, outcome = torch.arange(len(index), device=index.device), None
        while outcome is None or len(active):
            z, p = start.begun(rows, index[active])
            if outcome is None:
                outcome = torch.zeros_like(z), torch.zeros_like(p)
            left, kept = [], active
            for j, layer in enumerate(above):
                if not len(kept):
                    break
                chance = (
                    torch.zeros(len(kept)) if isinstance(layer, Transported) else rows.take(index[kept])[1]
                )
                z, p, stay = layer.passed(z, p, chance.to(z), due[kept, j].to(z.device))
                stay = stay.to(kept.device)
                due[kept, j] = ~stay
                left.append(kept[~stay])
                kept = kept[stay]
            outcome[0][kept], outcome[1][kept] = z, p
            active = torch.cat(left) if left else kept[:0]
        return outcome

    def sample(self, number: int, *, generator: torch.Generator) -> Tensor:
        """Draws, shape (number, d)."""
        return self.with_density(number, generator)[0]

    def with_density(self, number: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draws and their log-density."""
        rows = Rows(generator, number, self.size, self.dtype)
        return self.drawn(rows, torch.arange(number, device=generator.device))


class Start(Layer, ABC):
    """A layer that is drawn from nothing."""

    def __init__(self, size: int, dtype: torch.dtype) -> None:
        self.size, self.dtype, self.start, self.above = size, dtype, self, []

    @abstractmethod
    def begun(self, rows: Rows, index: Tensor) -> tuple[Tensor, Tensor]:
        """Draws, one for each of these rows, with their log-density."""


class Step(Layer, ABC):
    """A layer that changes the draws of those below it."""

    def __init__(self, base: Layer) -> None:
        self.base, self.size, self.dtype = base, base.size, base.dtype
        self.start, self.above = base.start, [*base.above, self]

    @abstractmethod
    def passed(
        self, x: Tensor, log_prob: Tensor, chance: Tensor, due: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draws of the layers below, with their log-density, after this one, and which of them stay.

        ``chance`` is a uniform number for each; those that are ``due`` were rejected here before, and stay.
        """


class Normal(Start):
    """N(mean, scale²)."""

    def __init__(self, mean: Tensor, scale: float) -> None:
        super().__init__(len(mean), mean.dtype)
        self.mean, self.scale = mean, scale

    def begun(self, rows: Rows, index: Tensor) -> tuple[Tensor, Tensor]:
        """See `Layer`."""
        x = self.mean + self.scale * rows.take(index)[0].to(self.mean.device)
        return x, self.log_prob(x)

    def log_prob(self, x: Tensor) -> Tensor:
        """See `Layer`."""
        z = (x - self.mean) / self.scale
        return -z.square().sum(-1) / 2 - self.size * math.log(self.scale * (2 * math.pi) ** 0.5)


class Given(Start):
    """A model of any kind, with ``sample(n, generator=g)`` and ``log_prob(x)``."""

    def __init__(self, model: Any, like: Tensor) -> None:
        super().__init__(like.shape[-1], like.dtype)
        self.model = model

    def begun(self, rows: Rows, index: Tensor) -> tuple[Tensor, Tensor]:
        """See `Layer`."""
        x = self.model.sample(len(index), generator=rows.generator)
        return x, self.model.log_prob(x)

    def log_prob(self, x: Tensor) -> Tensor:
        """See `Layer`."""
        density: Tensor = self.model.log_prob(x)
        return density


class Transported(Step):
    """A model after the flow of a velocity v(x, t) from t = 0 to 1, by Runge and Kutta's method."""

    def __init__(self, base: Layer, velocity: Callable[[Tensor, float], Tensor], steps: int) -> None:
        super().__init__(base)
        self.velocity, self.steps = velocity, steps

    def passed(
        self, x: Tensor, log_prob: Tensor, chance: Tensor, due: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `Layer`."""
        x, spread = self.moved(x, 0.0, 1.0)
        return x, log_prob - spread, torch.ones_like(due)

    def log_prob(self, x: Tensor) -> Tensor:
        """See `Layer`."""
        x, spread = self.moved(x, 1.0, 0.0)
        return self.base.log_prob(x) + spread

    def moved(self, x: Tensor, start: float, stop: float) -> tuple[Tensor, Tensor]:
        """x at the time ``stop``, and the integral of the divergence on the way."""
        h = (stop - start) / self.steps
        total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
        for k in range(self.steps):
            t = start + k * h
            a, da = self._field(x, t)
            b, db = self._field(x + h / 2 * a, t + h / 2)
            c, dc = self._field(x + h / 2 * b, t + h / 2)
            d, dd = self._field(x + h * c, t + h)
            x = x + h / 6 * (a + 2 * b + 2 * c + d)
            total = total + h / 6 * (da + 2 * db + 2 * dc + dd)
        return x, total

    def _field(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        return divergence(lambda z: self.velocity(z, t), x, 1, None)


class Resampled(Step):
    """A model whose draws are accepted with a probability a(x), and if not drawn once more from it.

    a(x) = min(1, e^{-c} g(x)/p(x)); the density becomes p(x) (a(x) + 1 - E_p a). It is what `resample` makes.

    Attributes
    ----------
    base : Layer
        The model before.
    constant, accepted : float
        c, and E_p a.
    """

    def __init__(self, base: Layer, energy: Energy, constant: float, accepted: float) -> None:
        super().__init__(base)
        self.energy, self.constant, self.accepted = energy, constant, accepted

    def acceptance(self, x: Tensor, log_prob: Tensor) -> Tensor:
        """a(x), given log p(x)."""
        return (-self.constant - self.energy(x) - log_prob).clamp_max(0).exp()

    def passed(
        self, x: Tensor, log_prob: Tensor, chance: Tensor, due: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `Layer`."""
        accepted = self.acceptance(x, log_prob)
        stay = due | (chance < accepted)
        return x[stay], (log_prob + (accepted + 1 - self.accepted).log())[stay], stay

    def log_prob(self, x: Tensor) -> Tensor:
        """See `Layer`."""
        base = self.base.log_prob(x)
        return base + (self.acceptance(x, base) + 1 - self.accepted).log()


def resample(
    model: Any, energy: Energy, rate: float = 0.2, *, generator: torch.Generator, number: int = 10_000
) -> Resampled:
    r"""Correct a model towards exp(-energy), by drawing some of its draws again [1]_.

    .. math:: a(x) = \min(1, e^{-c} e^{-E(x)}/p(x)), \qquad \tilde p(x) = p(x) (a(x) + 1 - E_p a)

    A draw is accepted with the probability a(x) and else drawn once more; c is such that ``rate`` of the
    draws are. The divergence KL(p̃ | exp(-E)) is never larger than before, and mass moves between modes that
    no local move connects. It may be applied again and again, and to any model with draws and a density: a
    flow that was trained on a posterior becomes more like it.

    Parameters
    ----------
    model : object
        With ``sample(n, generator=g)``, shape (n, d), and ``log_prob(x)``, shape (n,).
    energy : callable
        E, of vectors (n, d).
    rate : float
        Between 0 and 1.
    generator : torch.Generator
        Of the draws by which c and E_p a are found.
    number : int
        How many these are.

    Returns
    -------
    Resampled
        A model of the same kind.

    Raises
    ------
    ParameterError

    References
    ----------
    .. [1] J. Hertrich, R. Gruhlke, Importance corrected neural JKO sampling, ICML 2025.

    Examples
    --------
    >>> from invcore_diffusion._flows.density import Normal
    >>> wide, g = Normal(torch.zeros(1), 3.0), torch.Generator().manual_seed(0)
    >>> model = wide
    >>> for _ in range(8):
    ...     model = resample(model, lambda x: x.square().sum(-1) / 2, generator=g)
    >>> bool((model.sample(4000, generator=g).std() - 1).abs() < 0.1)
    True
    """
    if not (0 < rate < 1 and number >= 2):
        raise ParameterError(
            f"resample: expected a rate between 0 and 1 and number >= 2, got {rate!r}, {number!r}"
        )
    base = model if isinstance(model, Layer) else Given(model, model.sample(1, generator=generator))
    x, log_prob = base.with_density(number, generator)
    constant, accepted = balanced(-energy(x) - log_prob, rate)
    return Resampled(base, energy, constant, accepted)


def balanced(excess: Tensor, rate: float) -> tuple[float, float]:
    """c and the mean of a = min(1, exp(excess - c)), which is 1 - rate, by bisection."""
    low, high = float(excess.min()), float(excess.max()) + 50.0
    for _ in range(100):
        middle = (low + high) / 2
        if float((excess - middle).clamp_max(0).exp().mean()) > 1 - rate:
            low = middle
        else:
            high = middle
    return high, float((excess - high).clamp_max(0).exp().mean())


def log_evidence(energy: Energy, x: Tensor, log_prob: Tensor) -> tuple[float, float]:
    """Of draws with a density: the mean of -E - log p, which is below log Z on average, and log Z itself."""
    excess = (-energy(x) - log_prob).double()
    return float(excess.mean()), float(torch.logsumexp(excess, 0) - math.log(len(x)))


def check_size(name: str, size: int) -> None:
    """Refuse vectors whose divergence is not computed entry by entry."""
    if size > EXACT:
        raise ParameterError(
            f"{name}: the density of its draws needs the exact divergence of velocities, which is computed "
            f"for up to {EXACT} numbers; images of this physics have {size}"
        )
