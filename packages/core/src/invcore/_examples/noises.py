"""Instances of core's noises and generators of levels for the conformance kit: the first of each is tiny."""

from __future__ import annotations

import torch

from .._errors import DtypeError
from ..fidelities import StudentT
from ..noises import (
    BlockNoise,
    Compose,
    FisherTippettNoise,
    FunctionNoise,
    GainUniform,
    GammaNoise,
    GaussianMapNoise,
    GaussianNoise,
    LaplaceNoise,
    LogPoissonNoise,
    NoNoise,
    PoissonGaussianNoise,
    PoissonNoise,
    Quantize,
    RicianNoise,
    SaltPepperNoise,
    Saturate,
    SigmaUniform,
    Thinning,
    UniformNoise,
)


def blocks() -> dict[str, object]:
    """Two levels, counts beside a Gaussian block, and a part without density."""
    return {
        "tiny": BlockNoise((GaussianNoise(sigma=0.1), GaussianNoise(sigma=0.5))),
        "counts": BlockNoise((PoissonNoise(gain=0.1), GaussianNoise(sigma=0.2))),
        "not random": BlockNoise((NoNoise(), Quantize(step=0.25))),
    }


def compose() -> dict[str, object]:
    """With a known likelihood, and a camera."""
    sensor = (PoissonNoise(gain=0.05), GaussianNoise(sigma=0.1), Saturate(high=4.0), Quantize(step=1 / 16))
    return {
        "tiny": Compose(noises=(GaussianNoise(sigma=0.3), GaussianNoise(sigma=0.4))),
        "counts": Compose(noises=(PoissonNoise(gain=0.1), GaussianNoise(sigma=0.2))),
        "camera": Compose(noises=sensor),
    }


def fisher_tippett() -> dict[str, object]:
    """One look and several."""
    return {"tiny": FisherTippettNoise(looks=1.0), "looks": FisherTippettNoise(looks=8.0)}


def _cauchy(y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if y.is_complex():
        raise DtypeError("Cauchy's density is one of real numbers")
    return y + torch.empty_like(y).cauchy_(generator=generator)


def function() -> dict[str, object]:
    """Cauchy's density, with its likelihood and without."""
    return {"tiny": FunctionNoise(_cauchy, StudentT(dof=1.0, sigma=1.0)), "bare": FunctionNoise(_cauchy)}


def gamma() -> dict[str, object]:
    """Several looks."""
    return {"tiny": GammaNoise(looks=8.0), "one look": GammaNoise(looks=1.0)}


def gaussian() -> dict[str, object]:
    """One level, and one level per sample."""
    return {"tiny": GaussianNoise(sigma=0.3), "tensor": GaussianNoise(sigma=torch.tensor(2.0))}


def gaussian_map() -> dict[str, object]:
    """A full map, and one value per column."""
    full = torch.tensor([[0.1, 0.5, 1.0], [0.2, 0.3, 2.0]])
    return {"tiny": GaussianMapNoise(sigma=full), "columns": GaussianMapNoise(sigma=full[:1])}


def laplace() -> dict[str, object]:
    """One scale."""
    return {"tiny": LaplaceNoise(scale=0.4)}


def log_poisson() -> dict[str, object]:
    """Many photons."""
    return {"tiny": LogPoissonNoise(photons=1000.0), "thin": LogPoissonNoise(photons=200.0, mu=0.5)}


def none() -> dict[str, object]:
    """No noise."""
    return {"tiny": NoNoise()}


def poisson() -> dict[str, object]:
    """Few and many counts."""
    return {
        "tiny": PoissonNoise(gain=0.5),
        "many": PoissonNoise(gain=0.01),
        "background": PoissonNoise(gain=0.2, background=1.5),
    }


def poisson_gaussian() -> dict[str, object]:
    """Both noises matter."""
    return {"tiny": PoissonGaussianNoise(gain=0.1, sigma=0.2)}


def quantize() -> dict[str, object]:
    """With and without offset."""
    return {"tiny": Quantize(step=0.25), "offset": Quantize(step=0.1, offset=0.05)}


def rician() -> dict[str, object]:
    """High and low noise."""
    return {"tiny": RicianNoise(sigma=0.2), "noisy": RicianNoise(sigma=0.8)}


def salt_pepper() -> dict[str, object]:
    """Unequal probabilities."""
    return {"tiny": SaltPepperNoise(pepper=0.6, salt=0.4)}


def saturate() -> dict[str, object]:
    """One range."""
    return {"tiny": Saturate(low=0.1, high=1.2)}


def thinning() -> dict[str, object]:
    """Two halves, and three parts."""
    return {"tiny": Thinning(), "three": Thinning(shares=(0.2, 0.3, 0.5))}


def uniform() -> dict[str, object]:
    """One width."""
    return {"tiny": UniformNoise(width=0.4)}


def gain() -> dict[str, object]:
    """Linear and logarithmic."""
    return {"tiny": GainUniform(low=0.01, high=0.2), "log": GainUniform(low=0.01, high=1.0, scale="log")}


def sigma_uniform() -> dict[str, object]:
    """Linear and logarithmic."""
    return {"tiny": SigmaUniform(low=0.0, high=0.2), "log": SigmaUniform(low=0.01, high=1.0, scale="log")}
