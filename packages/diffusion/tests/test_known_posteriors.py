"""Samplers on images of 2, 16 and 256 pixels, whose posterior is known in closed form.

The error of a covariance is estimated without the one that so few draws have: two halves of them have
covariances S₁ and S₂, and the expectation of ⟨S₁ - C, S₂ - C⟩ is the square of what the sampler does wrong.
"""

import pytest
import torch

import invcore
from invcore.testing import KnownPrior
from invcore.testing._draws import Truth
from invcore.testing._known import data_of, moments_of, physics_of, posterior_of
from invcore_diffusion import (
    FPS,
    HMC,
    MALA,
    MYULA,
    NUTS,
    PCN,
    PSGLA,
    SKROCK,
    ULA,
    FlowSampler,
    Gibbs,
    Karras,
    Latino,
    MCGdiff,
    PnPULA,
    TwistedSMC,
)

SHAPES = {2: (1, 2), 16: (1, 4, 4), 256: (1, 16, 16)}
OPERATORS = ("identity", "mask", "blur", "matrix")
DRAWS = {2: 10_000, 16: 8000, 256: 2000}


def prior_of(known):
    """The density, or for samplers by proximal operators the denoiser where the density has none."""
    return {"prior": known.prior} if known.prior.has_prox else {"denoiser": known.denoiser}


def by_particles(kind, particles, steps):
    levels = Karras(sigma_min=0.03, sigma_max=10.0, rho=3.0)
    return lambda known: kind(known.denoiser, particles=particles, variance=0.6, schedule=levels, steps=steps)


EXACT = {
    "diffusion.flow": lambda known: FlowSampler(known.denoiser, steps=15, moves=12),
    "diffusion.fps": by_particles(FPS, 32, 160),
    "diffusion.gibbs": lambda known: Gibbs(
        **prior_of(known), coupling=0.03, inner=3, step_size=0.5, burn_in=400
    ),
    "diffusion.hmc": lambda known: HMC(prior=known.prior, burn_in=50),
    "diffusion.latino": lambda known: Latino(known.denoiser, steps=300),
    "diffusion.mala": lambda known: MALA(prior=known.prior, burn_in=300),
    "diffusion.mcgdiff": by_particles(MCGdiff, 96, 80),
    "diffusion.myula": lambda known: MYULA(**prior_of(known), smoothing=0.03, step_size=0.4, burn_in=1500),
    "diffusion.nuts": lambda known: NUTS(prior=known.prior, burn_in=62, max_depth=3),
    "diffusion.pcn": lambda known: PCN(denoiser=known.denoiser, burn_in=1500),
    "diffusion.pnp_ula": lambda known: PnPULA(
        denoiser=known.denoiser, sigma=0.05, box=(-20.0, 20.0), projected=True, step_size=1.5, burn_in=1500
    ),
    "diffusion.psgla": lambda known: PSGLA(**prior_of(known), step_size=0.03, burn_in=1500),
    "diffusion.sk_rock": lambda known: SKROCK(prior=known.prior, step_size=0.5, burn_in=200),
    "diffusion.smc": by_particles(TwistedSMC, 32, 80),
    "diffusion.ula": lambda known: ULA(prior=known.prior, step_size=0.04, burn_in=1500),
}
"""Samplers whose draws tend to the posterior, with settings by which they come within 5 %."""

SHORT = {
    "diffusion.fps": (3000, ("identity", "mask")),
    "diffusion.mcgdiff": (3000, ("identity", "mask")),
    "diffusion.smc": (5000, OPERATORS),
    "diffusion.pnp_ula": (5000, OPERATORS),
}
"""Number of draws, and operators, of those that take long."""

NOT_FOR_MIXTURES = {"diffusion.pcn"}
"""Has a Gaussian prior."""

BOUNDS = {
    (2, "diffusion.ula"): (0.05, 0.05),  # of first order in the step
    (2, "diffusion.psgla"): (0.06, 0.05),
    (2, "diffusion.myula"): (0.12, 0.06),  # by the envelope of the prior, too
    (2, "diffusion.gibbs"): (0.13, 0.08),  # by the distance that splitting leaves
    (16, "diffusion.ula"): (0.08, 0.05),
    (16, "diffusion.psgla"): (0.08, 0.05),
    (16, "diffusion.ald"): (0.5, 0.5),
    (16, "diffusion.flow_dps"): (0.7, 0.25),
}
"""How far covariance and mean may be off, with the settings of the kit's examples."""

LARGER = (
    "diffusion.hmc",
    "diffusion.latino",
    "diffusion.mala",
    "diffusion.nuts",
    "diffusion.pcn",
    "diffusion.psgla",
    "diffusion.sk_rock",
    "diffusion.ula",
)
"""Those held to 5 % with 16 pixels. Of the others so many draws take too long for a test."""

LARGEST = tuple(name for name in LARGER if name != "diffusion.ula")
"""Those held to 5 % with 256 pixels behind a blur; ULA needs shorter steps, and more of them."""


def compared(sampler, prior, n, operator, draws):
    """Relative errors of the covariance, of the mean and of the total variance of a sampler, and all others.

    The mean's is in standard deviations of the posterior.
    """
    known = getattr(KnownPrior, prior)(SHAPES[n])
    physics = physics_of(operator, known.space)
    y, generator = data_of(known, physics), torch.Generator().manual_seed(0)
    chain = sampler(known).chain(y, physics, draws=1, chains=draws, keep=0, generator=generator)
    posterior = posterior_of(known, physics, y)
    mean, C = moments_of(posterior)
    vectors = known.vectors(chain.last)
    halves = [half - mean for half in vectors.chunk(2)]
    first, second = (half.mT.cov() - C for half in halves)
    scale = C.diagonal().sum()
    found = {
        "covariance": float((first * second).sum().clamp_min(0).sqrt() / C.norm()),
        "mean": float((halves[0].mean(0) @ halves[1].mean(0)).clamp_min(0).div(scale).sqrt()),
        "variance": float((first + second).trace() / 2 / scale),
    }
    return found, Truth(posterior, draws).errors(vectors)


def first_example(name):
    """The sampler that the conformance kit tests, by known prior."""
    (component,) = (c for c in invcore.components(kind="sampler") if c.name == name)
    return next(iter(component.load_examples().values())).make


def require(sampler, n, covariance, mean, operators, draws):
    for operator in operators:
        found, _ = compared(sampler, "gaussian", n, operator, draws)
        assert found["covariance"] < covariance and found["mean"] < mean, (operator, found)


def test_each_sampler_without_a_bias_is_held_to_the_truth():
    known, unbiased = KnownPrior.gaussian(), set()
    for component in invcore.components(kind="sampler"):
        if component.name.startswith("diffusion."):
            made = [example.make(known) for example in component.load_examples().values()]
            unbiased |= {component.name for sampler in made if not sampler.bias}
    assert unbiased == EXACT.keys()


def draws_and_operators(name):
    return SHORT.get(name, (DRAWS[2], OPERATORS))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_draws_of_2_pixels_have_the_posterior(name):
    draws, operators = draws_and_operators(name)
    require(EXACT[name], 2, 0.05, 0.05, operators, draws)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(EXACT.keys() - NOT_FOR_MIXTURES))
def test_draws_of_a_mixture_have_the_posterior(name):
    """Three modes, of which the data leave two open: their shares, and sets that hold 90 %, too."""
    draws, _ = draws_and_operators(name)
    found, errors = compared(EXACT[name], "mixture", 2, "mask", draws)
    assert found["covariance"] < 0.05 and found["mean"] < 0.05, found
    assert errors.weights < 0.03 and abs(errors.coverage) < 0.015 and errors.distance < 0.06, errors


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGER)
def test_draws_of_16_pixels_have_the_posterior(name):
    require(EXACT[name], 16, 0.05, 0.05, ("mask", "blur"), DRAWS[16])


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGEST)
def test_draws_of_256_pixels_have_the_posterior(name):
    require(EXACT[name], 256, 0.05, 0.05, ("blur",), DRAWS[256])


@pytest.mark.slow
@pytest.mark.parametrize(("n", "name"), BOUNDS)
def test_draws_of_the_examples_are_as_far_off_as_they_state(n, name):
    require(first_example(name), n, *BOUNDS[n, name], OPERATORS, 8000 if n == 2 else 2000)
