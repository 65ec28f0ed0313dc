"""What a chain learns during the burn-in: the length of its steps, and the variance of each pixel."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from invcore.operators import Space
from invcore.spaces import per_sample

_GAMMA, _EARLY, _KAPPA = 0.05, 10, 0.75
"""γ, t₀ and κ of dual averaging, as its authors set them."""
_SHRINKAGE = 5
"""As many draws as the average of all pixels counts for, in the variance of each."""


class Adaptation(NamedTuple):
    """What has been seen since a window began.

    Attributes
    ----------
    lack : Tensor, shape (batch...)
        Running mean of the wanted acceptance minus the one seen.
    center : Tensor, shape (batch...)
        The logarithm of the size that it is drawn to.
    average : Tensor, shape (batch...)
        The logarithm of the size, averaged.
    steps : int
        How many steps these are over.
    mean, squares : Tensor, shape (batch..., *domain.shape)
        Running mean of the image, and sum of squared deviations (Welford).
    draws : int
        How many images these are over.
    """

    lack: Tensor
    center: Tensor
    average: Tensor
    steps: int
    mean: Tensor
    squares: Tensor
    draws: int


def adapted_until(burn_in: int) -> int:
    """The step from which nothing adapts: a fifth of the burn-in before its end.

    A size that follows the latest acceptance knows where the chain is, and steps with it have another law
    than the posterior: of two pixels NUTS draws variances 3.5 % too small, HMC and MALA 1 %. At a size that
    is fixed the chain forgets that, in some two steps of NUTS.
    """
    return burn_in - burn_in // 5


def begun(size: Tensor, x: Tensor) -> Adaptation:
    """Before the first step, at this size of it."""
    zero, still = torch.zeros_like(size), torch.zeros_like(x)
    return Adaptation(zero, (10 * size).log(), zero, 0, still, still.real.clone(), 0)


def resized(seen: Adaptation, acceptance: Tensor, wanted: float) -> tuple[Tensor, Adaptation]:
    """The size of the next step by dual averaging [1]_, and what it is from.

    References
    ----------
    .. [1] M. Hoffman and A. Gelman, "The No-U-Turn sampler: adaptively setting path lengths in Hamiltonian
       Monte Carlo", J. Mach. Learn. Res. 15 (2014), section 3.2.
    """
    m = seen.steps + 1
    share = 1 / (m + _EARLY)
    lack = (1 - share) * seen.lack + share * (wanted - acceptance)
    size = seen.center - m**0.5 / _GAMMA * lack
    average = torch.lerp(seen.average, size, m**-_KAPPA)
    return size.exp(), seen._replace(lack=lack, average=average, steps=m)


def with_image(seen: Adaptation, x: Tensor) -> Adaptation:
    """With one more image in its mean and variance."""
    n = seen.draws + 1
    mean = seen.mean + (x - seen.mean) / n
    return seen._replace(
        mean=mean, squares=seen.squares + ((x - seen.mean) * (x - mean).conj()).real, draws=n
    )


def variance_of(seen: Adaptation, before: Tensor, space: Space) -> Tensor:
    """The variance of each pixel (of each real component), its logarithm drawn to the mean of all.

    As in Stan [1]_, with another target, which does not depend on the unit of the image; what has not moved
    keeps the variance from ``before``.

    References
    ----------
    .. [1] B. Carpenter et al., "Stan: a probabilistic programming language", J. Stat. Softw. 76 (2017).
    """
    n = seen.draws
    own = seen.squares / (n - 1) / (2 if seen.mean.is_complex() else 1)
    own = torch.where(own > 0, own, before).log()
    everywhere = per_sample(own.flatten(-len(space.shape)).mean(-1), space)
    return torch.lerp(own, everywhere.expand_as(own), _SHRINKAGE / (n + _SHRINKAGE)).exp()


def windows(steps: int) -> tuple[int, frozenset[int]]:
    """The step from which variances are collected, and the ends of the windows, each twice as long.

    A long adaptation is parted as Stan does: 75 steps before the first window of 25, and 50 after the last
    for the size of the steps alone. Below 50 steps only the size adapts.
    """
    if steps < 50:
        return steps, frozenset()
    first, width, last = 75, 25, steps - 50
    if steps < first + width + 50:
        first, last = round(0.15 * steps), steps - max(25, steps // 10)
        width = last - first
    ends, end = [], first + width
    while end + 2 * width <= last:  # the window after it fits as well
        ends.append(end)
        width *= 2
        end += width
    return first, frozenset((*ends, last))
