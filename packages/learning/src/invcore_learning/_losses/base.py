"""`TrainingLoss`: what the losses have in common, and sums of them."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor

import invcore
from invcore import LinearOperator, Physics, Value
from invcore.generators import seeded
from invcore.metrics import Metric
from invcore.noises import NoNoise, PoissonGaussianNoise, PoissonNoise
from invcore.operators import Mask
from invcore.spaces import Space, SpaceLike, add, batch_shape, per_sample, randn, spaces_of, tree_map, vdot

from .._data.sample import sample_generators


class TrainingLoss(Value, abstract=True):
    """Base class of losses: ``loss(x_hat, x, y, physics, model)`` gives one value per sample.

    Losses are added and scaled: ``supervised + 0.1 * SURE()``; a factor is a number or a `Schedule` over the
    training steps. A loss that changes what the model does in training wraps it:
    ``model = loss.wrap(model)``. ``loss.at(k)`` is the loss of training step k, and
    ``loss.at(k).of_samples(positions)`` that of some samples of the step.

    Attributes
    ----------
    needs_reference : bool
        Whether it uses x; others take None.
    needs_reconstruction : bool
        Whether it uses x_hat. Training does not compute it for those that draw their own inputs of the model.

    Examples
    --------
    >>> class Energy(TrainingLoss):
    ...     def __call__(self, x_hat, x, y, physics, model): return x_hat.square().mean((-3, -2, -1))
    >>> (2.0 * Energy())(torch.ones(5, 1, 2, 2), None, None, None, None)
    tensor([2., 2., 2., 2., 2.])
    """

    needs_reference: ClassVar[bool] = False
    needs_reconstruction: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, x_hat: Tensor, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """Score ``x_hat = model(y, physics)``.

        Parameters
        ----------
        x_hat : Tensor, shape (batch..., channel, *spatial)
        x : Tensor or None
            The reference, where there is one.
        y : Tensor or tuple of Tensor
        physics : Physics
        model : callable
            What gave ``x_hat``; `wrap` returned it.

        Returns
        -------
        Tensor, shape (batch...)
        """

    def at(self, k: int) -> Self:
        """Return the loss of training step ``k``: random ones draw from their seed and ``k`` only."""
        return self

    def of_samples(self, positions: tuple[int, ...]) -> Self:
        """Return the loss of the samples that have these positions in the step.

        They matter where a step is shared out: random losses draw for a sample by its position, so that the
        batches and processes it is divided among do not change it.
        """
        return self

    @property
    def stochastic(self) -> bool:
        """True if `at` gives another loss in each step."""
        return False

    def wrap(self, model: Any) -> Any:
        """Return what is trained, evaluated and saved in place of ``model``: itself, for most losses."""
        return model

    def __add__(self, other: Any) -> Any:
        return sum_of(self, other)

    def __radd__(self, other: Any) -> Any:
        return self if isinstance(other, int) and other == 0 else sum_of(other, self)

    def __mul__(self, weight: Any) -> Any:
        return WeightedSum((self,), (weight,)) if _is_weight(weight) else NotImplemented

    __rmul__ = __mul__


class StochasticLoss(TrainingLoss, abstract=True, fields=True):
    """Base class of losses that draw random numbers.

    Parameters
    ----------
    seed : int
    k : int
        The training step, which `at` fills in.
    positions : tuple of int
        Of the samples of the batch in the step, which `of_samples` fills in; by default the first ones. The
        draws of a sample follow from ``seed``, ``k`` and its position: a resumed training draws the same,
        and several processes what one draws with their batches together.
    """

    seed: int = 0
    k: int = 0
    positions: tuple[int, ...] = ()

    def at(self, k: int) -> Self:
        """Return the loss of training step ``k``."""
        return dataclasses.replace(self, k=k, positions=())

    def of_samples(self, positions: tuple[int, ...]) -> Self:
        """See `TrainingLoss.of_samples`."""
        return dataclasses.replace(self, positions=tuple(positions))

    @property
    def stochastic(self) -> bool:
        """True."""
        return True

    def generator(self, stream: str = "") -> torch.Generator:
        """The generator of this step for what all samples share, one for each kind of draw."""
        return seeded(self._name(stream))

    def generators(self, stream: str, batch: Sequence[int]) -> list[torch.Generator]:
        """The generators of the samples of a batch (batch...), one after the other."""
        return sample_generators(self._name(stream), batch, self.positions)

    def _name(self, stream: str) -> str:
        return f"{type(self).__name__}, seed {self.seed}, step {self.k}, {stream}"


class Schedule(Value, abstract=True):
    """Base class of weights that change with the training step."""

    @abstractmethod
    def at(self, k: int) -> float:
        """The weight in step ``k``."""


class Steps(Schedule):
    """A weight that is constant between given steps: switch losses on and off, or halve their weight.

    Parameters
    ----------
    values : tuple of float
    changes : tuple of int
        Increasing, one fewer than ``values``: ``values[i + 1]`` holds from step ``changes[i]`` on.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> [Steps((0.0, 1.0), (100,)).at(k) for k in (0, 99, 100)]
    [0.0, 0.0, 1.0]
    """

    values: tuple[float, ...]
    changes: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.changes) + 1 or list(self.changes) != sorted(set(self.changes)):
            raise invcore.ParameterError(
                f"Steps: expected increasing changes, one fewer than values; got {len(self.values)} values "
                f"and changes {self.changes}"
            )

    def at(self, k: int) -> float:
        """See `Schedule.at`."""
        return self.values[sum(k >= change for change in self.changes)]


class Ramp(Schedule):
    """A weight that goes linearly from one value to another.

    Parameters
    ----------
    start, stop : float
    steps : int
        The number of steps from ``start`` to ``stop``, which it keeps from there on.

    Examples
    --------
    >>> [Ramp(start=0.0, stop=1.0, steps=4).at(k) for k in (0, 1, 9)]
    [0.0, 0.25, 1.0]
    """

    start: float
    stop: float
    steps: int

    def at(self, k: int) -> float:
        """See `Schedule.at`."""
        share = min(max(k / self.steps, 0.0), 1.0) if self.steps > 0 else 1.0
        return (1 - share) * self.start + share * self.stop


class Cycle(Schedule):
    """A weight that runs through values, one a step: interleave losses.

    Parameters
    ----------
    values : tuple of float

    Examples
    --------
    >>> [Cycle((1.0, 0.0)).at(k) for k in range(3)]
    [1.0, 0.0, 1.0]
    """

    values: tuple[float, ...]

    def at(self, k: int) -> float:
        """See `Schedule.at`."""
        return self.values[k % len(self.values)]


class WeightedSum(TrainingLoss):
    """Σ wᵢ Lᵢ; ``0.1 * a + b`` makes it.

    Losses of weight zero are not evaluated. At most one of the losses may wrap the model.

    Parameters
    ----------
    losses : tuple of Loss
    weights : tuple of float or Schedule
    k : int
        The training step, which `at` fills in.

    Raises
    ------
    ParameterError
        If there are not as many weights as losses, or one is no number.

    Examples
    --------
    >>> import invcore
    >>> mse = invcore.loss("supervised")
    >>> mae = invcore.loss("supervised", metric="mae")
    >>> loss = WeightedSum((mse, mae), (1.0, Ramp(start=0, stop=1, steps=10)))
    >>> x = torch.ones(1, 4, 4)
    >>> loss(0.5 * x, x, None, None, None), loss.at(10)(0.5 * x, x, None, None, None)
    (tensor(0.2500), tensor(0.7500))
    """

    losses: tuple[Any, ...]
    weights: tuple[Any, ...]
    k: int = 0

    def __post_init__(self) -> None:
        if len(self.losses) != len(self.weights) or not self.losses:
            raise invcore.ParameterError(
                f"WeightedSum: expected as many weights as losses, got {len(self.weights)} and "
                f"{len(self.losses)}"
            )
        for loss, weight in zip(self.losses, self.weights):
            if not callable(loss) or not _is_weight(weight):
                raise invcore.ParameterError(
                    f"WeightedSum: expected a loss and a number or Schedule, got {loss!r} and {weight!r}"
                )

    @property
    def needs_reference(self) -> bool:  # type: ignore[override]
        """True if one of them does."""
        return any(getattr(loss, "needs_reference", True) for loss in self.losses)

    @property
    def needs_reconstruction(self) -> bool:  # type: ignore[override]
        """True if one of them does."""
        return any(getattr(loss, "needs_reconstruction", True) for loss in self.losses)

    @property
    def stochastic(self) -> bool:
        """True if one of them is, or a weight changes."""
        varying = any(isinstance(weight, Schedule) for weight in self.weights)
        return varying or any(getattr(loss, "stochastic", False) for loss in self.losses)

    def at(self, k: int) -> WeightedSum:
        """Return the sum of training step ``k``."""
        losses = tuple(loss.at(k) if hasattr(loss, "at") else loss for loss in self.losses)
        return dataclasses.replace(self, losses=losses, k=k)

    def of_samples(self, positions: tuple[int, ...]) -> WeightedSum:
        """See `TrainingLoss.of_samples`."""
        return dataclasses.replace(self, losses=tuple(of_samples(loss, positions) for loss in self.losses))

    def wrap(self, model: Any) -> Any:
        """Wrap the model by the loss that wraps it, if there is one."""
        wrapped = (loss.wrap(model) for loss in self.losses if hasattr(loss, "wrap"))
        changed = [m for m in wrapped if m is not model]
        if len(changed) > 1:
            names = [type(loss).__name__ for loss in self.losses]
            raise invcore.ParameterError(f"WeightedSum: more than one of {names} wraps the model")
        return changed[0] if changed else model

    def __call__(self, x_hat: Tensor, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """See `TrainingLoss`."""
        weights = [w.at(self.k) if isinstance(w, Schedule) else w for w in self.weights]
        total: Any = 0
        for loss, weight in zip(self.losses, weights):
            if weight:
                total = total + weight * loss(x_hat, x, y, physics, model)
        if isinstance(total, Tensor):
            return total
        space = physics.domain if isinstance(physics, Physics) else Space(tuple(x_hat.shape[-3:]))
        return 0 * mean_square(x_hat, space)


def _is_weight(weight: Any) -> bool:
    return isinstance(weight, int | float | Schedule) and not isinstance(weight, bool)


def of_samples(loss: Any, positions: tuple[int, ...]) -> Any:
    """The loss of the samples of these positions in the step; one that draws nothing is the same for all."""
    return loss.of_samples(positions) if hasattr(loss, "of_samples") else loss


def sum_of(a: Any, b: Any) -> Any:
    """a + b of losses."""
    if not callable(a) or not callable(b):
        return NotImplemented
    parts = [p if isinstance(p, WeightedSum) else WeightedSum((p,), (1.0,)) for p in (a, b)]
    return WeightedSum(losses=parts[0].losses + parts[1].losses, weights=parts[0].weights + parts[1].weights)


# -- distances --------------------------------------------------------------------------------------------


def size_of(space: SpaceLike) -> int:
    """The number of entries, complex ones counted once."""
    return sum(s.size for s in spaces_of(space))


def mean_square(x: Any, space: SpaceLike) -> Tensor:
    """Mean over the entries of |x|², one value per sample."""
    return vdot(x, x, space) / size_of(space)


def distance(metric: str | Metric, a: Any, b: Any, space: SpaceLike) -> Tensor:
    """A metric between elements of a space, smaller is better: ``"mse"``, ``"mae"`` or any for one block."""
    difference = add(a, b, -1.0)
    if metric == "mse":
        return mean_square(difference, space)
    if metric == "mae":
        sizes = tree_map(torch.abs, difference)
        plain = tree_map_spaces(lambda s: Space(s.shape), space)
        return vdot(sizes, tree_map(torch.ones_like, sizes), plain) / size_of(space)
    value: Tensor = metric(a, b)  # type: ignore[operator]
    return -value if metric.higher_is_better else value  # type: ignore[union-attr]


def support(physics: Physics, y: Any) -> Any:
    """Ones where the data are measured, zeros where a mask leaves them empty (or with noise only)."""
    A = physics.operator
    if isinstance(A, Mask):
        return (A.mask.abs() > 0).to(y.real.dtype)
    if isinstance(y, Tensor) and isinstance(A, LinearOperator) and "mask" in A.parameters():
        g = seeded("support")  # rows of zeros give zero for any image
        with torch.no_grad():
            u = A(randn(A.domain, generator=g, dtype=y.dtype, device=y.device))
        return (u.abs() > 0).to(y.real.dtype)
    return tree_map(lambda t: torch.ones_like(t.real), y)


def expected(u: Any, physics: Physics) -> Any:
    """The mean of the data whose noiseless value is u: with the background of counts."""
    background = getattr(physics.noise, "background", None)
    if background is None:
        return u
    if isinstance(background, tuple):
        return tree_map(torch.add, u, background)
    return tree_map(lambda t: t + background, u)


def noise_variance(u: Tensor, physics: Physics) -> Tensor:
    """The variance of each entry of the data whose noiseless value is u."""
    noise, space = physics.noise, physics.range
    if isinstance(noise, NoNoise):
        return torch.zeros_like(u.real)
    if isinstance(noise, PoissonNoise | PoissonGaussianNoise):
        u = u.clamp_min(0)
    if isinstance(noise, PoissonGaussianNoise):
        noise = noise.per_sample(space, tuple(batch_shape(u, space)))
        gain, sigma = (torch.as_tensor(p, dtype=u.dtype, device=u.device) for p in (noise.gain, noise.sigma))
        return per_sample(gain, cast(Space, space)) * u + per_sample(sigma, cast(Space, space)) ** 2
    components = 2 if u.is_complex() else 1
    return cast(Tensor, components / noise.information(u, space))


def tree_map_spaces(function: Any, space: SpaceLike) -> Any:
    """Apply a function to each block of a space."""
    if isinstance(space, tuple):
        return tuple(tree_map_spaces(function, s) for s in space)
    return function(space)


def check_metric(name: str, metric: Any) -> None:
    """Refuse what is no metric."""
    if metric not in ("mse", "mae") if isinstance(metric, str) else not hasattr(metric, "higher_is_better"):
        raise invcore.ParameterError(f"{name}: metric must be 'mse', 'mae' or a metric, got {metric!r}")
