"""Instances of Markov chains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from invcore import Sampler
from invcore.testing import SamplerExample

from .._mcmc.gibbs import Gibbs
from .._mcmc.hamiltonian import HMC, MALA
from .._mcmc.langevin import ULA
from .._mcmc.myula import MYULA
from .._mcmc.nuts import NUTS
from .._mcmc.pcn import PCN
from .._mcmc.pnp_ula import PnPULA
from .._mcmc.psgla import PSGLA
from .._mcmc.sk_rock import SKROCK


def _by_prior_and_denoiser(make: Callable[..., Sampler], *, tolerance: float = 0.05) -> dict[str, object]:
    """An instance with the prior of the Gaussian images, one with their denoiser and that of the mixture."""

    def by_prior(known: Any) -> Sampler | None:
        return make(prior=known.prior) if known.name == "gaussian" else None

    return {
        "prior": SamplerExample(by_prior, tolerance=tolerance),
        "denoiser": SamplerExample(lambda known: make(denoiser=known.denoiser), tolerance=tolerance),
    }


def ula() -> dict[str, object]:
    """Instances of the sampler ``diffusion.ula``."""
    return _by_prior_and_denoiser(lambda **given: ULA(**given, burn_in=1000))


def myula() -> dict[str, object]:
    """Instances of the sampler ``diffusion.myula``."""
    return _by_prior_and_denoiser(lambda **given: MYULA(**given, smoothing=0.1, burn_in=500))


def psgla() -> dict[str, object]:
    """Instances of the sampler ``diffusion.psgla``."""
    return _by_prior_and_denoiser(lambda **given: PSGLA(**given, burn_in=500))


def sk_rock() -> dict[str, object]:
    """Instances of the sampler ``diffusion.sk_rock``."""
    return _by_prior_and_denoiser(lambda **given: SKROCK(**given, burn_in=200))


def pnp_ula() -> dict[str, object]:
    """Instances of the sampler ``diffusion.pnp_ula``."""
    return {"default": SamplerExample(lambda known: PnPULA(denoiser=known.denoiser, burn_in=1000))}


def mala() -> dict[str, object]:
    """Instances of the sampler ``diffusion.mala``."""
    return {"prior": SamplerExample(lambda known: MALA(prior=known.prior, burn_in=300))}


def hmc() -> dict[str, object]:
    """Instances of the sampler ``diffusion.hmc``."""
    return {
        "prior": SamplerExample(lambda known: HMC(prior=known.prior, burn_in=50)),
        "denoiser": SamplerExample(lambda known: HMC(denoiser=known.denoiser, burn_in=100)),
    }


def nuts() -> dict[str, object]:
    """Instances of the sampler ``diffusion.nuts``: the first long enough for masses to adapt."""

    def by_prior(known: Any) -> Sampler:
        return NUTS(prior=known.prior, burn_in=62, max_depth=3)

    def by_denoiser(known: Any) -> Sampler:
        return NUTS(denoiser=known.denoiser, burn_in=25, max_depth=3)

    return {
        "prior": SamplerExample(by_prior, draws=1000),
        "denoiser": SamplerExample(by_denoiser, draws=1000),
    }


def pcn() -> dict[str, object]:
    """Instances of the sampler ``diffusion.pcn``."""

    def make(known: Any) -> Sampler | None:
        return PCN(denoiser=known.denoiser, burn_in=300) if known.name == "gaussian" else None

    return {"denoiser": SamplerExample(make)}


def gibbs() -> dict[str, object]:
    """Instances of the sampler ``diffusion.gibbs``."""
    return _by_prior_and_denoiser(lambda **given: Gibbs(**given, burn_in=100))
