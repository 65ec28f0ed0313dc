"""Integrators that the conformance kit tests."""

from __future__ import annotations

from .._integrators.consistency import Consistency
from .._integrators.euler import Ancestral, Euler
from .._integrators.heun import Churn, Heun, Midpoint
from .._integrators.multistep import DPMSolver, UniPC
from .._integrators.predictor_corrector import PredictorCorrector
from .._integrators.runge_kutta import RungeKutta


def ancestral() -> dict[str, object]:
    """Instances of the integrator ``diffusion.ancestral``."""
    return {"DDPM": Ancestral(), "half": Ancestral(eta=0.5)}


def churn() -> dict[str, object]:
    """Instances of the integrator ``diffusion.churn``."""
    return {"Heun": Churn(Heun()), "Euler": Churn(Euler(), gamma=0.2, low=0.1, high=10.0)}


def consistency() -> dict[str, object]:
    """Instances of the integrator ``diffusion.consistency``."""
    return {"default": Consistency()}


def dpm_solver() -> dict[str, object]:
    """Instances of the integrator ``diffusion.dpm_solver``."""
    return {
        "2M": DPMSolver(),
        "3M": DPMSolver(order=3),
        "2M SDE": DPMSolver(eta=1.0),
        "3M SDE": DPMSolver(order=3, eta=1.0),
    }


def euler() -> dict[str, object]:
    """Instances of the integrator ``diffusion.euler``."""
    return {"default": Euler()}


def heun() -> dict[str, object]:
    """Instances of the integrator ``diffusion.heun``."""
    return {"default": Heun()}


def midpoint() -> dict[str, object]:
    """Instances of the integrator ``diffusion.midpoint``."""
    return {"default": Midpoint()}


def predictor_corrector() -> dict[str, object]:
    """Instances of the integrator ``diffusion.predictor_corrector``."""
    return {"default": PredictorCorrector(), "Euler": PredictorCorrector(predictor=Euler(), corrections=2)}


def runge_kutta() -> dict[str, object]:
    """Instances of the integrator ``diffusion.runge_kutta``."""
    return {"default": RungeKutta()}


def unipc() -> dict[str, object]:
    """Instances of the integrator ``diffusion.unipc``."""
    return {"default": UniPC(), "order 3": UniPC(order=3)}
