r"""Multistep methods with exact exponentials: DPM-Solver++ and UniPC.

With λ = -log σ the probability flow is dx/dλ = D - x, and with a share η of the noise of the reverse
diffusion dx = (1 + η) (D - x) dλ + √(2 η) σ dw. Over a step of length h

.. math:: x' = e^{-(1+η)h} x + \int_0^h (1+η) e^{-(1+η)(h-τ)} D(λ+τ) dτ + σ' \sqrt{1 - e^{-2ηh}} ε.

D is replaced by the polynomial in λ through estimates of several levels, whose integral is exact.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import ParameterError, Sampler
from invcore.samplers import Integrator

History = tuple[tuple[float, Tensor], ...]
"""Earlier levels with their estimates, the latest first."""


class DPMSolver(Integrator):
    """DPM-Solver++ of order 1, 2 or 3 (2M, 3M), deterministic or stochastic, with one estimate a step [1]_.

    The weights of the estimates are exact integrals of the polynomial through them. They are those of the
    authors in order 1, and in order 2 in the variant that the library diffusers calls "heun". In order 3 the
    published code takes half of the quadratic term, and is of second order; this one is of third. As there is
    no past, the first steps are of lower order: at large σ, where estimates hardly change, this costs little.
    So are steps much longer, in log σ, than those before, as the last one of levels evenly spaced in time:
    of second order if more than 1.5 times as long, of first if more than twice. The last step, to σ = 0, is
    the estimate itself.

    Parameters
    ----------
    order : int
        1, 2 or 3: of the error at η = 0. With noise, the variance of images is of second order at most.
    eta : float
        η: 0 follows the probability flow, 1 the reverse diffusion.

    References
    ----------
    .. [1] C. Lu et al., DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models,
       2022, arXiv:2211.01095.

    Examples
    --------
    >>> D = lambda x, sigma: x / (1 + sigma**2)
    >>> x, sigma, memory = torch.ones(1, dtype=torch.float64), 2.0, None
    >>> for following in (1.75, 1.5, 1.25, 1.0):
    ...     x, memory = DPMSolver().step(D, x, sigma, following, memory, torch.Generator())
    ...     sigma = following
    >>> round(float(x), 3), round(0.4**0.5, 3)
    (0.631, 0.632)
    """

    order: int = 2
    eta: float = 0.0

    def __post_init__(self) -> None:
        _require_order("DPMSolver", self.order)
        if not 0 <= self.eta < math.inf:
            raise ParameterError(f"DPMSolver: eta must not be negative, got {self.eta!r}")

    def step(
        self,
        estimate: Any,
        x: Tensor,
        sigma: float,
        following: float,
        memory: Any,
        generator: torch.Generator,
    ) -> tuple[Tensor, Any]:
        """See `Integrator.step`."""
        history = ((sigma, estimate(x, sigma)), *(memory or ()))[: self.order]
        x = extrapolated(x, history, following, 1 + self.eta)
        if self.eta > 0 and following > 0:
            kept = (following / sigma) ** (2 * self.eta)
            x = x + following * math.sqrt(1 - kept) * Sampler.noise(x, generator)
        return x, history[: self.order - 1]


class UniPC(Integrator):
    """UniPC of order 1, 2 or 3: predict, and correct at the next level by its estimate, one a step [1]_.

    The predictor is `DPMSolver`. The corrector adds the estimate at the predicted image, which the next step
    needs anyhow, to the polynomial, and raises the order by one. It acts on the image that the next step
    starts from; the last step, to σ = 0, is the estimate itself.

    Parameters
    ----------
    order : int
        1, 2 or 3: of the predictor.

    References
    ----------
    .. [1] W. Zhao, L. Bai, Y. Rao, J. Zhou, J. Lu, UniPC: a unified predictor-corrector framework for fast
       sampling of diffusion models, NeurIPS 2023.

    Examples
    --------
    >>> D = lambda x, sigma: x / (1 + sigma**2)
    >>> x, sigma, memory = torch.ones(1, dtype=torch.float64), 2.0, None
    >>> for following in (1.75, 1.5, 1.25, 1.0):
    ...     x, memory = UniPC().step(D, x, sigma, following, memory, torch.Generator())
    ...     sigma = following
    >>> round(float(x), 3), round(0.4**0.5, 3)
    (0.633, 0.632)
    """

    order: int = 2

    def __post_init__(self) -> None:
        _require_order("UniPC", self.order)

    def step(
        self,
        estimate: Any,
        x: Tensor,
        sigma: float,
        following: float,
        memory: Any,
        generator: torch.Generator,
    ) -> tuple[Tensor, Any]:
        """See `Integrator.step`."""
        past: History = memory or ()
        now = (sigma, estimate(x, sigma))
        if past:  # both integrals begin with the same image, so that it is enough to exchange them
            first, used = past[0][0], reaching(past, sigma)
            x = x + _integral((now, *past), first, sigma, 1.0) - _integral(used, first, sigma, 1.0)
        history = (now, *past)[: self.order]
        return extrapolated(x, history, following, 1.0), history


def extrapolated(x: Tensor, history: History, following: float, rate: float) -> Tensor:
    """The image at the next level, without its noise."""
    sigma, clean = history[0]
    if following == 0:
        return clean
    return (following / sigma) ** rate * x + _integral(reaching(history, following), sigma, following, rate)


def reaching(history: History, following: float) -> History:
    """What of the past is near enough to extrapolate from: less if the step is longer than the last."""
    if len(history) == 1:
        return history
    (sigma, _), (before, _) = history[:2]
    growth = math.log(sigma / following) / math.log(before / sigma)
    return history[: 1 if growth > 2 else 2 if growth > 1.5 else None]


def _integral(points: History, sigma: float, following: float, rate: float) -> Any:
    """∫ of the polynomial through the estimates between two levels, against the exponential."""
    nodes = tuple(math.log(sigma / level) for level, _ in points)
    found = weights(nodes, math.log(sigma / following), rate)
    return sum(weight * clean for weight, (_, clean) in zip(found, points))


@functools.lru_cache(maxsize=1024)
def weights(nodes: tuple[float, ...], h: float, rate: float) -> tuple[float, ...]:
    """∫₀ʰ rate exp(-rate (h - τ)) ℓ_j(τ) dτ for the Lagrange polynomials ℓ_j of the nodes."""
    place, share = np.polynomial.legendre.leggauss(32)
    tau, share = (place + 1) * h / 2, share * h / 2
    against = share * rate * np.exp(-rate * (h - tau))
    found = []
    for j, node in enumerate(nodes):
        others = (other for i, other in enumerate(nodes) if i != j)
        basis = math.prod(((tau - other) / (node - other) for other in others), start=np.ones_like(tau))
        found.append(float(against @ basis))
    return tuple(found)


def _require_order(name: str, order: int) -> None:
    if isinstance(order, bool) or order not in (1, 2, 3):
        raise ParameterError(f"{name}: order must be 1, 2 or 3, got {order!r}")
