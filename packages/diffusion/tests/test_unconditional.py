"""Draws without data: every integrator, on the levels of every schedule, recovers a mixture of Gaussians."""

import dataclasses

import pytest
import torch

import invcore
from invcore import Denoiser
from invcore_diffusion import Churn, Consistency, DiffusionSampler, DPMSolver
from invcore_diffusion._latent.probability_flow import ProbabilityFlow
from invcore_testsupport import rng

F64 = torch.float64
WEIGHTS = torch.tensor([0.3, 0.7], dtype=F64)
MEANS = torch.tensor([[-2.0, 1.0], [2.0, -1.0]], dtype=F64)
VARIANCES = torch.tensor([[0.16, 0.04], [0.09, 0.25]], dtype=F64)
DENOISER = invcore.denoiser(
    "gaussian_mixture", means=MEANS.view(2, 1, 2), covariances=VARIANCES.diag_embed(), weights=WEIGHTS
)
DRAWS = 3000


class Consistent(Denoiser):
    """Where the probability flow ends: what a consistency model learns."""

    channels, value_range, sigma_range, spatial_dims = None, None, (1e-4, 1e4), 1

    def denoise(self, x, sigma):
        return ProbabilityFlow(DENOISER, steps=16)(x, float(sigma.flatten()[0]))


def examples(kind, *, first=False):
    """Instances of the registered components that the kit tests, by name."""
    found = {}
    for component in invcore.components(kind=kind):
        if component.name.startswith("diffusion."):
            for label, made in list(component.load_examples().items())[: 1 if first else None]:
                found[f"{component.name[10:]}: {label}"] = made
    return found


SCHEDULES = examples("schedule", first=True)
INTEGRATORS = {n: i for n, i in examples("integrator").items() if not i.bias or isinstance(i, Consistency)}
STEPS = {"ancestral": 400, "churn": 400, "consistency": 6, "predictor_corrector": 400, "renoised": 400}
"""Of those whose error is of first order; of the exact map a few are enough. Others take 100."""


def require_mixture(integrator, schedule, steps):
    """Weights within 0.03; means within 0.12 standard deviations; variances within 17 %, of which 14 % are
    three standard errors of the smaller mode."""
    denoiser = Consistent() if isinstance(integrator, Consistency) else DENOISER
    sampler = DiffusionSampler(denoiser, integrator=integrator, schedule=schedule, steps=steps)
    x = sampler.unconditional((1, 2), batch=(DRAWS,), generator=rng(3), dtype=F64)[:, 0]
    right = x[:, 0] > 0  # 5 standard deviations from either mean
    for mode, weight, mean, variance in zip((x[~right], x[right]), WEIGHTS, MEANS, VARIANCES):
        found = (
            abs(len(mode) / DRAWS - float(weight)),
            float(((mode.mean(0) - mean) / variance.sqrt()).abs().max()),
            float((mode.var(0) / variance - 1).abs().max()),
        )
        assert found[0] < 0.03 and found[1] < 0.12 and found[2] < 0.17, found


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_mixture_is_recovered_on_the_levels_of_each_schedule(schedule):
    require_mixture(DPMSolver(), schedule, 60)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("name", INTEGRATORS)
def test_mixture_is_recovered_by_each_integrator_on_each_schedule(name, schedule):
    integrator, steps = INTEGRATORS[name], STEPS.get(name.split(":")[0], 100)
    if isinstance(integrator, Churn):
        integrator = dataclasses.replace(integrator, gamma=8 / steps)  # as its docstring asks for
    require_mixture(integrator, schedule, steps)
