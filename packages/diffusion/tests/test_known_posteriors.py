"""Samplers on Gaussian images of 2, 16 and 256 pixels, whose posterior is known in closed form.

The error of a covariance is estimated without the one that so few draws have: two halves of them have
covariances S₁ and S₂, and the expectation of ⟨S₁ - C, S₂ - C⟩ is the square of what the sampler does wrong.
"""

import pytest
import torch

import invcore
from invcore.testing import KnownPrior
from invcore.testing._known import data_of, moments_of, physics_of, posterior_of

SHAPES = {2: (1, 2), 16: (1, 4, 4), 256: (1, 16, 16)}
OPERATORS = ("identity", "mask", "blur", "matrix")
DRAWS = {2: 8000, 16: 2000, 256: 2000}

EXACT = {
    2: ("diffusion.hmc", "diffusion.mala", "diffusion.sk_rock"),
    16: ("diffusion.hmc", "diffusion.mala", "diffusion.nuts", "diffusion.pcn", "diffusion.sk_rock"),
}
"""Those whose draws are held to 5 %."""

LARGE = ("diffusion.sk_rock",)
"""Those held to 5 % with 256 pixels behind a blur, which takes longer."""

BOUNDS = {
    (2, "diffusion.ula"): (0.05, 0.05),  # of first order in the step
    (2, "diffusion.psgla"): (0.06, 0.05),
    (2, "diffusion.myula"): (0.12, 0.06),  # by the envelope of the prior, too
    (2, "diffusion.gibbs"): (0.13, 0.08),  # by the distance that splitting leaves
    (2, "diffusion.nuts"): (0.08, 0.05),  # by masses that still adapt in most of its 50 steps
    (16, "diffusion.ula"): (0.08, 0.05),
    (16, "diffusion.psgla"): (0.08, 0.05),
    (16, "diffusion.ald"): (0.5, 0.5),
    (16, "diffusion.flow_dps"): (0.7, 0.25),
}
"""How far covariance and mean of others may be off, with the steps of the examples."""


def errors(name, n, operator):
    """Relative errors of the covariance and of the mean, and the variance over the right one, of a sampler.

    The mean's is in standard deviations of the posterior. The sampler is the first example of the kit.
    """
    known = KnownPrior.gaussian(SHAPES[n])
    (component,) = (c for c in invcore.components(kind="sampler") if c.name == name)
    sampler = next(iter(component.load_examples().values())).make(known)
    physics = physics_of(operator, known.space)
    y, generator = data_of(known, physics), torch.Generator().manual_seed(0)
    chain = sampler.chain(y, physics, draws=1, chains=DRAWS[n], keep=0, generator=generator)
    mean, C = moments_of(posterior_of(known, physics, y))
    halves = [half - mean for half in known.vectors(chain.last).chunk(2)]
    first, second = (half.mT.cov() - C for half in halves)
    scale = C.diagonal().sum()
    return {
        "covariance": float((first * second).sum().clamp_min(0).sqrt() / C.norm()),
        "mean": float((halves[0].mean(0) @ halves[1].mean(0)).clamp_min(0).div(scale).sqrt()),
        "ratio": float(1 + (first + second).trace() / 2 / scale),
    }


def require(name, n, covariance, mean, operators=OPERATORS):
    for operator in operators:
        found = errors(name, n, operator)
        assert found["covariance"] < covariance and found["mean"] < mean, (operator, found)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "name"), [(n, name) for n, names in EXACT.items() for name in names])
def test_draws_of_an_exact_sampler_have_the_posterior(n, name):
    require(name, n, 0.05, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_draws_of_many_pixels_have_the_posterior(name):
    require(name, 256, 0.05, 0.05, ("blur",))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "name"), BOUNDS)
def test_draws_of_another_are_as_far_off_as_it_states(n, name):
    require(name, n, *BOUNDS[n, name])
