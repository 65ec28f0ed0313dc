"""Methods of the literature, each a `DiffusionSampler` spelled out: schedule, integrator and guidance.

What they have in common, ``denoiser``, ``schedule``, ``integrator`` and ``steps``, `DiffusionSampler` says.
"""

from __future__ import annotations

from invcore import Denoiser
from invcore.samplers import Integrator, Schedule

from .._guidance.ald import ALD
from .._guidance.ddnm import DDNM
from .._guidance.diffpir import DiffPIR
from .._guidance.dpg import DPG
from .._guidance.dps import DPS
from .._guidance.flow_dps import FlowDPS
from .._guidance.loss_guided import LossGuided
from .._guidance.moment_matching import MomentMatching
from .._guidance.pigdm import PiGDM
from .._guidance.replacement import Replacement
from .._integrators.euler import Ancestral, Euler
from .._integrators.multistep import DPMSolver
from .._integrators.predictor_corrector import PredictorCorrector
from .._integrators.renoised import Renoised
from .._schedules.flow import Flow
from .._schedules.karras import Karras
from .._schedules.variance_exploding import VarianceExploding
from .._schedules.variance_preserving import VariancePreserving
from .diffusion import DiffusionSampler


def ald(
    denoiser: Denoiser,
    *,
    gamma: float = 1.0,
    corrections: int = 3,
    snr: float = 0.16,
    schedule: Schedule = VarianceExploding(),
    steps: int = 200,
) -> DiffusionSampler:
    """Annealed Langevin dynamics led by the likelihood of the noisy image.

    Parameters
    ----------
    denoiser : Denoiser
    gamma : float
        See `ALD`.
    corrections : int
        Langevin steps at each level.
    snr : float
        Their length, see `PredictorCorrector`.
    schedule : Schedule
    steps : int

    Examples
    --------
    >>> import invcore
    >>> ald(invcore.denoiser("tv")).guidance
    ALD(gamma=1.0)
    """
    integrator = PredictorCorrector(predictor=Euler(), snr=snr, corrections=corrections)
    return DiffusionSampler(
        denoiser, guidance=ALD(gamma=gamma), schedule=schedule, integrator=integrator, steps=steps
    )


def ddnm(
    denoiser: Denoiser,
    *,
    schedule: Schedule = VariancePreserving(),
    eta: float = 0.85,
    steps: int = 100,
) -> DiffusionSampler:
    """DDNM, for data without noise: the range of the operator from the data, the rest denoised.

    Parameters
    ----------
    denoiser : Denoiser
    schedule : Schedule
    eta : float
        η of DDIM, see `Ancestral`.
    steps : int

    Examples
    --------
    >>> import invcore
    >>> ddnm(invcore.denoiser("tv")).guidance
    DDNM()
    """
    return DiffusionSampler(
        denoiser, guidance=DDNM(), schedule=schedule, integrator=Ancestral(eta=eta), steps=steps
    )


def diffpir(
    denoiser: Denoiser,
    *,
    weight: float = 1.0,
    zeta: float = 0.3,
    schedule: Schedule = Karras(),
    steps: int = 100,
) -> DiffusionSampler:
    """DiffPIR: denoise, fit the data by a proximal step, add noise in part anew.

    Parameters
    ----------
    denoiser : Denoiser
    weight : float
        λ, see `DiffPIR`.
    zeta : float
        ζ, see `Renoised`.
    schedule : Schedule
    steps : int

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
    weight : float
    normalized : bool
        See `DPS`.
    schedule : Schedule
    integrator : Integrator
    steps : int
        As many as the authors take; fewer will do where the noise of the data is not small.

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


def flow_dps(
    denoiser: Denoiser,
    *,
    gradient_steps: int = 3,
    schedule: Schedule = Flow(),
    steps: int = 50,
) -> DiffusionSampler:
    """FlowDPS: a rectified flow whose clean image is moved to the data, with noise in part anew.

    The noise that is kept is that of the image so moved; the authors keep that of the flow alone.

    Parameters
    ----------
    denoiser : Denoiser
        Of a velocity field: ``invcore.denoiser("diffusion.from_velocity", ...)``.
    gradient_steps : int
        See `FlowDPS`.
    schedule : Schedule
    steps : int

    Examples
    --------
    >>> import invcore
    >>> flow_dps(invcore.denoiser("tv")).integrator
    Renoised(zeta=None)
    """
    return DiffusionSampler(
        denoiser,
        guidance=FlowDPS(gradient_steps=gradient_steps),
        schedule=schedule,
        integrator=Renoised(zeta=None),
        steps=steps,
    )


def ilvr(
    denoiser: Denoiser,
    *,
    schedule: Schedule = VariancePreserving(),
    integrator: Integrator = Ancestral(),
    steps: int = 250,
) -> DiffusionSampler:
    """ILVR: ancestral sampling in which the low frequencies are replaced by those of the data.

    Parameters
    ----------
    denoiser : Denoiser
    schedule : Schedule
    integrator : Integrator
    steps : int

    Examples
    --------
    >>> import invcore
    >>> ilvr(invcore.denoiser("tv")).guidance
    Replacement(weight=1.0)
    """
    return DiffusionSampler(
        denoiser, guidance=Replacement(), schedule=schedule, integrator=integrator, steps=steps
    )


def lgd(
    denoiser: Denoiser,
    *,
    draws: int = 10,
    variance: float = 1.0,
    schedule: Schedule = Karras(),
    integrator: Integrator = Ancestral(),
    steps: int = 1000,
) -> DiffusionSampler:
    """LGD-MC: ancestral sampling led by the likelihood of several draws of the clean image.

    Parameters
    ----------
    denoiser : Denoiser
    draws : int
    variance : float
        See `LossGuided`.
    schedule : Schedule
    integrator : Integrator
    steps : int

    Examples
    --------
    >>> import invcore
    >>> lgd(invcore.denoiser("tv")).guidance
    LossGuided(draws=10, variance=1.0)
    """
    return DiffusionSampler(
        denoiser,
        guidance=LossGuided(draws=draws, variance=variance),
        schedule=schedule,
        integrator=integrator,
        steps=steps,
    )


def pigdm(
    denoiser: Denoiser,
    *,
    variance: float = 1.0,
    schedule: Schedule = Karras(),
    integrator: Integrator = DPMSolver(eta=1.0),
    steps: int = 100,
) -> DiffusionSampler:
    """ΠGDM: the reverse diffusion led by the likelihood of a clean image with white uncertainty.

    Parameters
    ----------
    denoiser : Denoiser
    variance : float
        See `PiGDM`.
    schedule : Schedule
    integrator : Integrator
        The authors take `Ancestral`, which needs some hundred steps for the right variance of the draws. New
        noise corrects in part what a biased guidance does to the image; the probability flow does not.
    steps : int

    Examples
    --------
    >>> import invcore
    >>> pigdm(invcore.denoiser("tv"), variance=0.25).guidance
    PiGDM(variance=0.25)
    """
    return DiffusionSampler(
        denoiser, guidance=PiGDM(variance=variance), schedule=schedule, integrator=integrator, steps=steps
    )


def repaint(
    denoiser: Denoiser,
    *,
    jump: int = 10,
    repeats: int = 10,
    schedule: Schedule = VariancePreserving(),
    integrator: Integrator = Ancestral(),
    steps: int = 250,
) -> DiffusionSampler:
    """RePaint: known pixels are replaced by the data, and each stretch of levels is gone down several times.

    Parameters
    ----------
    denoiser : Denoiser
    jump, repeats : int
        See `DiffusionSampler`.
    schedule : Schedule
    integrator : Integrator
    steps : int

    Examples
    --------
    >>> import invcore
    >>> repaint(invcore.denoiser("tv")).burn_in
    2725
    """
    return DiffusionSampler(
        denoiser,
        guidance=Replacement(),
        schedule=schedule,
        integrator=integrator,
        steps=steps,
        jump=jump,
        repeats=repeats,
    )


def score_sde(
    denoiser: Denoiser,
    *,
    weight: float = 1.0,
    snr: float = 0.16,
    schedule: Schedule = VarianceExploding(),
    steps: int = 1000,
) -> DiffusionSampler:
    """Score-SDE: predictor and corrector, after which the data replace what they know.

    Parameters
    ----------
    denoiser : Denoiser
    weight : float
        See `Replacement`.
    snr : float
        See `PredictorCorrector`.
    schedule : Schedule
    steps : int

    Examples
    --------
    >>> import invcore
    >>> score_sde(invcore.denoiser("tv"), weight=0.5).guidance
    Replacement(weight=0.5)
    """
    return DiffusionSampler(
        denoiser,
        guidance=Replacement(weight=weight),
        schedule=schedule,
        integrator=PredictorCorrector(snr=snr),
        steps=steps,
    )


def tmpd(
    denoiser: Denoiser,
    *,
    rtol: float = 1e-4,
    max_steps: int | None = None,
    schedule: Schedule = Karras(),
    integrator: Integrator = DPMSolver(eta=1.0),
    steps: int = 100,
) -> DiffusionSampler:
    """Moment matching: the reverse diffusion led by the likelihood with the true covariance.

    Parameters
    ----------
    denoiser : Denoiser
    rtol : float
    max_steps : int, optional
        See `MomentMatching`.
    schedule : Schedule
    integrator : Integrator
    steps : int

    Examples
    --------
    >>> import invcore
    >>> tmpd(invcore.denoiser("tv")).guidance
    MomentMatching(rtol=0.0001, max_steps=None)
    """
    return DiffusionSampler(
        denoiser,
        guidance=MomentMatching(rtol=rtol, max_steps=max_steps),
        schedule=schedule,
        integrator=integrator,
        steps=steps,
    )
