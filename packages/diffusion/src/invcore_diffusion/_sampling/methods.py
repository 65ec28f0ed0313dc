"""Methods of the literature, each a `DiffusionSampler` spelled out: schedule, integrator and guidance."""

from __future__ import annotations

from invcore import Denoiser
from invcore.samplers import Integrator, Schedule

from .._guidance.diffpir import DiffPIR
from .._guidance.dpg import DPG
from .._guidance.dps import DPS
from .._guidance.pigdm import PiGDM
from .._integrators.euler import Ancestral
from .._integrators.renoised import Renoised
from .._schedules.karras import Karras
from .diffusion import DiffusionSampler


def dps(
    denoiser: Denoiser,
    *,
    weight: float = 1.0,
    normalized: bool = False,
    schedule: Schedule = Karras(),
    integrator: Integrator = Ancestral(),
    steps: int = 1000,
) -> DiffusionSampler:
    """Diffusion posterior sampling: ancestral sampling led by the likelihood of the denoised image.

    Parameters
    ----------
    denoiser : Denoiser
    weight, normalized
        See `DPS`.
    schedule, integrator, steps
        See `DiffusionSampler`; the steps are as many as the authors take, and may be fewer where the noise
        of the data is not small.

    Examples
    --------
    >>> import invcore
    >>> dps(invcore.denoiser("tv"), steps=10).guidance
    DPS(weight=1.0, normalized=False)
    """
    return DiffusionSampler(
        denoiser,
        guidance=DPS(weight=weight, normalized=normalized),
        schedule=schedule,
        integrator=integrator,
        steps=steps,
    )


def dpg(
    denoiser: Denoiser,
    *,
    number: int = 256,
    variance: float = 1.0,
    weight: float = 1.0,
    schedule: Schedule = Karras(),
    integrator: Integrator = Ancestral(),
    steps: int = 100,
) -> DiffusionSampler:
    """Diffusion policy gradient: ancestral sampling led by values of the likelihood, not by derivatives.

    Parameters
    ----------
    denoiser : Denoiser
    number, variance, weight
        See `DPG`.
    schedule, integrator, steps
        See `DiffusionSampler`.

    Examples
    --------
    >>> import invcore
    >>> dpg(invcore.denoiser("tv"), number=16).guidance
    DPG(number=16, variance=1.0, weight=1.0)
    """
    return DiffusionSampler(
        denoiser,
        guidance=DPG(number=number, variance=variance, weight=weight),
        schedule=schedule,
        integrator=integrator,
        steps=steps,
    )


def pigdm(
    denoiser: Denoiser,
    *,
    variance: float = 1.0,
    schedule: Schedule = Karras(),
    integrator: Integrator = Ancestral(),
    steps: int = 100,
) -> DiffusionSampler:
    """ΠGDM: ancestral sampling led by the likelihood of a clean image with white uncertainty.

    Parameters
    ----------
    denoiser : Denoiser
    variance
        See `PiGDM`.
    schedule, integrator, steps
        See `DiffusionSampler`.

    Examples
    --------
    >>> import invcore
    >>> pigdm(invcore.denoiser("tv"), variance=0.25).guidance
    PiGDM(variance=0.25)
    """
    return DiffusionSampler(
        denoiser,
        guidance=PiGDM(variance=variance),
        schedule=schedule,
        integrator=integrator,
        steps=steps,
    )


def diffpir(
    denoiser: Denoiser,
    *,
    weight: float = 7.0,
    zeta: float = 0.3,
    schedule: Schedule = Karras(),
    steps: int = 100,
) -> DiffusionSampler:
    """DiffPIR: denoise, fit the data by a proximal step, add noise in part anew.

    Parameters
    ----------
    denoiser : Denoiser
    weight
        λ, see `DiffPIR`.
    zeta
        ζ, see `Renoised`.
    schedule, steps
        See `DiffusionSampler`.

    Examples
    --------
    >>> import invcore
    >>> diffpir(invcore.denoiser("tv")).integrator
    Renoised(zeta=0.3)
    """
    return DiffusionSampler(
        denoiser,
        guidance=DiffPIR(weight=weight),
        schedule=schedule,
        integrator=Renoised(zeta=zeta),
        steps=steps,
    )
