"""Instances of core's fidelities for the conformance kit: the first of each is tiny."""

from __future__ import annotations

from typing import Any

import torch

from ..fidelities import (
    L1,
    Amplitude,
    BlockFidelity,
    Box,
    Composed,
    FisherTippettLikelihood,
    FunctionFidelity,
    GammaLikelihood,
    Huber,
    L2Ball,
    LeastSquares,
    LogPoisson,
    PoissonKL,
    RicianLikelihood,
    ShiftedPoisson,
    StudentT,
    WeightedLeastSquares,
    Zero,
)
from ..operators import Mask, Space


def amplitude() -> dict[str, object]:
    """Unit and other precision."""
    return {"tiny": Amplitude(), "precise": Amplitude(sigma=0.2)}


def blocks() -> dict[str, object]:
    """Smooth, with a kink, and of counts."""
    return {
        "tiny": BlockFidelity((LeastSquares(sigma=0.5), LeastSquares(sigma=2.0))),
        "robust": BlockFidelity((LeastSquares(), L1(scale=0.3))),
        "counts": BlockFidelity((PoissonKL(gain=0.5), LeastSquares(sigma=0.2))),
    }


def box() -> dict[str, object]:
    """A small and a large box."""
    return {"tiny": Box(radius=0.2), "large": Box(radius=5.0)}


def composed() -> dict[str, object]:
    """A linear solve, a dual iteration, and gradients."""
    gains = Mask(mask=torch.linspace(0.5, 2.0, 6, dtype=torch.float64).reshape(2, 3), domain=Space((2, 3)))
    accurate: Any = {"rtol": 1e-11, "max_steps": 50_000}
    return {
        "tiny": Composed(LeastSquares(sigma=0.5), gains, **accurate),
        "robust": Composed(L1(scale=0.3), gains, **accurate),
        "ball": Composed(L2Ball(radius=0.5), gains, **accurate),
        "not convex": Composed(StudentT(dof=3.0, sigma=4.0), gains, **accurate),
    }


def _log_cosh(u: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    r = (u - y).abs()
    return (r + torch.nn.functional.softplus(-2 * r)).sum()


def function() -> dict[str, object]:
    """A smooth magnitude of the residual."""
    return {"tiny": FunctionFidelity(_log_cosh, constant=1.0, rtol=1e-9)}


def fisher_tippett() -> dict[str, object]:
    """One look and several."""
    return {"tiny": FisherTippettLikelihood(looks=1.0), "looks": FisherTippettLikelihood(looks=8.0)}


def gamma() -> dict[str, object]:
    """One look and several."""
    return {"tiny": GammaLikelihood(looks=1.0), "looks": GammaLikelihood(looks=8.0)}


def huber() -> dict[str, object]:
    """Mostly linear, and mostly quadratic."""
    return {"tiny": Huber(delta=0.2), "quadratic": Huber(delta=0.8, sigma=0.5)}


def l1() -> dict[str, object]:
    """Unit and other scale."""
    return {"tiny": L1(), "scaled": L1(scale=0.3)}


def l2_ball() -> dict[str, object]:
    """A small and a large ball."""
    return {"tiny": L2Ball(radius=0.5), "large": L2Ball(radius=10.0)}


def least_squares() -> dict[str, object]:
    """Unit and other precision."""
    return {"tiny": LeastSquares(), "precise": LeastSquares(sigma=0.2)}


def log_poisson() -> dict[str, object]:
    """Few and many photons."""
    return {"tiny": LogPoisson(photons=10.0), "many": LogPoisson(photons=4096.0, mu=0.5)}


def poisson_kl() -> dict[str, object]:
    """Without and with background."""
    return {"tiny": PoissonKL(), "background": PoissonKL(gain=0.1, background=0.5)}


def rician() -> dict[str, object]:
    """High and low noise."""
    return {"tiny": RicianLikelihood(sigma=1.0), "precise": RicianLikelihood(sigma=0.2)}


def shifted_poisson() -> dict[str, object]:
    """Little and much read noise."""
    return {"tiny": ShiftedPoisson(gain=1.0, sigma=0.1), "read noise": ShiftedPoisson(gain=0.1, sigma=0.5)}


def student_t() -> dict[str, object]:
    """Heavy and lighter tails."""
    return {"tiny": StudentT(), "narrow": StudentT(dof=3.0, sigma=0.2)}


def weighted_least_squares() -> dict[str, object]:
    """A map of weights, one of them zero, and one weight for all."""
    weight = torch.tensor([[0.5, 1.0, 2.0], [0.0, 4.0, 1.5]])
    return {
        "tiny": WeightedLeastSquares(weight=weight),
        "scalar": WeightedLeastSquares(weight=torch.tensor(3.0)),
    }


def zero() -> dict[str, object]:
    """There is one."""
    return {"tiny": Zero()}
