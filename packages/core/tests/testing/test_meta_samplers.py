"""The kit on broken samplers: each fault is found by the check meant for it."""

import re
from typing import NamedTuple

import pytest
import torch

import invcore
from invcore import ParameterError
from invcore.denoisers import GaussianDenoiser
from invcore.plugin import Component
from invcore.priors import Prior, Tikhonov
from invcore.samplers import Sampler
from invcore.testing import SamplerExample, check_component, iter_checks, posterior_errors, temporary_plugin


class State(NamedTuple):
    x: torch.Tensor
    k: int = 0


class Langevin(Sampler):
    """The unadjusted Langevin algorithm; ``fault`` breaks it."""

    prior: Prior
    step_size: float = 0.015
    burn_in: int = 400
    thin: int = 5
    fault: str = ""

    def init(self, problem, generator):
        return State(problem.start())

    def step(self, problem, state, generator):
        x, fault, h = state.x, self.fault, self.step_size
        f = problem.gradient(x)
        if fault == "no noise variance":
            f = f * problem.physics.noise.sigma**2
        if fault == "prior alone":
            f = 0 * f
        if fault == "mates":
            f = f / problem.y.abs().max()
        drift = f + self.prior.grad(x, problem.space)
        if fault == "keeps state":
            object.__setattr__(self, "fault_count", getattr(self, "fault_count", 0) + 1)
            drift = drift * (1 + 1e-3 * self.fault_count)
        if fault == "forgets momentum":
            drift = drift + 0.1 * self._velocity(drift, state.k)
        if fault == "factor 2":
            drift = 2 * drift
        noise = self.noise(x, generator)
        if fault == "shared noise" and x.ndim > 2:
            noise = noise[:1].expand_as(noise)
        if fault == "ignored generator":
            noise = self.noise(x, torch.Generator().manual_seed(state.k))
        if fault == "global":
            noise = torch.randn_like(x)
        if fault == "in place":
            problem.y.mul_(1.01)
        scale = 1.0 if fault == "sqrt 2" else 2**0.5
        return State(x - h * drift + scale * h**0.5 * noise, state.k + 1)

    def _velocity(self, drift, k):
        """What the step before left, held beside the state."""
        before = _LEFT.get("velocity", drift) if k else drift
        _LEFT["velocity"] = drift
        return before if before.shape == drift.shape else drift


_LEFT = {}


class Stated(Sampler):
    """A sampler with a bias, in whose draws data and prior have these weights."""

    denoiser: GaussianDenoiser
    data: float = 1.0
    spread: float = 1.0
    burn_in: int = 1
    independent = True
    bias = "the weights"

    def init(self, problem, generator):
        return State(problem.start())

    def step(self, problem, state, generator):
        dtype = state.x.dtype
        A, variance = problem.A.dense(dtype=dtype), problem.physics.noise.sigma**2
        prior = torch.linalg.inv(self.denoiser.covariance.to(dtype))
        covariance = torch.linalg.inv(self.data * A.mT @ A / variance + prior)
        mean = self.denoiser.mean.to(dtype).flatten()
        right = self.data * problem.backprojection.flatten(-2) / variance + prior @ mean
        noise = self.noise(right, generator) @ torch.linalg.cholesky(covariance).mT
        return State((right @ covariance + self.spread * noise).view(state.x.shape))


def langevin(**options):
    return SamplerExample(lambda known: Langevin(known.prior, **options))


class Annealed(Sampler):
    """From much noise to none by exact draws of the clean Gaussian image; ``fault`` breaks it."""

    denoiser: GaussianDenoiser
    burn_in: int = 20
    fault: str = ""
    independent = True

    def levels(self):
        return [*torch.logspace(1.5, -0.2, self.burn_in, dtype=torch.float64).tolist(), 0.0]

    def init(self, problem, generator):
        return State(self.levels()[0] * self.noise(problem.start(), generator))

    def step(self, problem, state, generator):
        sigma, following = self.levels()[state.k : state.k + 2]
        if self.fault == "last level" and not following:
            following = sigma / 2
        clean = self.clean(problem, state.x, sigma, generator)
        noise = following * (1 - (following / sigma) ** 2) ** 0.5 * self.noise(clean, generator)
        return State(torch.lerp(clean, state.x, (following / sigma) ** 2) + noise, state.k + 1)

    def clean(self, problem, x, sigma, generator):
        """Draw from p(clean | x, y): x and y are independent looks at the image."""
        dtype = x.dtype
        A, variance = problem.A.dense(dtype=dtype), problem.physics.noise.sigma**2
        prior = torch.linalg.inv(self.denoiser.covariance.to(dtype))
        mean = self.denoiser.mean.to(dtype).flatten()
        covariance = torch.linalg.inv(
            A.mT @ A / variance + torch.eye(len(prior), dtype=dtype) / sigma**2 + prior
        )
        right = problem.backprojection.flatten(-2) / variance + x.flatten(-2) / sigma**2 + prior @ mean
        noise = self.noise(right, generator) @ torch.linalg.cholesky(covariance).mT
        return (right @ covariance + noise).view(x.shape)


def annealed(**options):
    return SamplerExample(
        lambda known: Annealed(known.denoiser, **options) if known.name == "gaussian" else None
    )


def stated(exact=(), **options):
    return SamplerExample(
        lambda known: Stated(known.denoiser, **options) if known.name == "gaussian" else None, exact=exact
    )


def outcome(example, name):
    return {c.name: c for c in iter_checks(example)}[name].result()


@pytest.mark.parametrize("example", [langevin(), annealed(), stated(data=0.8), stated(exact=("gaussian",))])
def test_a_sound_sampler_passes(example):
    found = {c.name: c.result() for c in iter_checks(example)}
    assert {n: m for n, (status, m) in found.items() if status == "failed"} == {}
    assert found["resumes"][0] == "passed"
    assert "passed" in (found["posterior_covariance"][0], found["draws_fit_the_data"][0])


CASES = [
    (langevin(fault="factor 2"), "posterior_covariance", r"covariance of the draws is 0\.\d+ x"),
    (langevin(fault="sqrt 2"), "posterior_covariance", r"covariance of the draws is 0\.5\d* x"),
    (langevin(fault="no noise variance"), "posterior_mean", "standard deviations from the posterior mean"),
    (langevin(fault="prior alone"), "posterior_mean", "standard deviations from the posterior mean"),
    (langevin(fault="mates"), "batch_mates_do_not_matter", "changes with its batch-mates"),
    (langevin(fault="shared noise"), "uses_its_generator", "they share their noise"),
    (langevin(fault="ignored generator"), "uses_its_generator", "the generator is ignored"),
    (langevin(fault="global"), "no_global_randomness", "draws from the global random state of torch"),
    (langevin(fault="in place"), "nothing_is_changed", "changes the data"),
    (langevin(burn_in=5), "posterior_covariance", "covariance of the draws is"),
    (langevin(fault="keeps state"), "uses_its_generator", "state is kept"),
    (langevin(fault="forgets momentum"), "resumes", "goes on to another draws: its state is not complete"),
    (stated(data=0.0), "draws_fit_the_data", "images drawn without data by"),
    (stated(spread=0.5), "prior_where_data_say_nothing", r"their variance 0\.2\d* x that of the prior"),
    (stated(data=0.5, exact=("gaussian",)), "posterior_covariance", r"covariance of the draws is 1\.\d+ x"),
    (annealed(fault="last level"), "posterior_covariance", r"covariance of the draws is 1\.\d+ x"),
]


@pytest.mark.parametrize(("example", "name", "message"), CASES)
def test_a_broken_sampler_fails_the_check_meant_for_it(example, name, message):
    status, found = outcome(example, name)
    assert status == "failed"

    assert re.search(message, found), found


def test_a_tolerance_has_a_cap():
    with pytest.raises(ParameterError, match="state a bias"):
        SamplerExample(lambda known: None, tolerance=0.2)


def test_a_sampler_alone_is_no_example():
    (check,) = iter_checks(Langevin(Tikhonov()))
    assert "register invcore.testing.SamplerExample" in check.result()[1]


def test_errors_of_larger_images_fall_with_the_draws():
    few, many = (
        posterior_errors(
            lambda known: Annealed(known.denoiser), operator="matrix", shape=(1, 4, 4), draws=draws
        )
        for draws in (200, 20_000)
    )
    assert many.covariance < 0.05 < few.covariance
    assert many.mean < 0.05
    assert abs(many.coverage) < 0.02


def test_errors_show_a_wrong_variance():
    errors = posterior_errors(lambda known: Stated(known.denoiser, spread=2**0.5), shape=(1, 4, 4))
    assert errors.ratio == pytest.approx(2, rel=0.15)
    assert errors.covariance == pytest.approx(1, rel=0.1)
    assert errors.coverage < -0.2


def sound_of_a_plugin():
    return {"default": langevin()}


def broken_of_a_plugin():
    return {"default": langevin(fault="sqrt 2")}


@pytest.mark.parametrize(("name", "failed"), [("sound", set()), ("broken", {"posterior_covariance"})])
def test_the_sampler_of_a_plugin_is_checked(name, failed):
    component = Component(
        "sampler", f"acme.{name}", f"{__name__}:Langevin", examples=f"{__name__}:{name}_of_a_plugin"
    )
    with temporary_plugin([component], name="invcore-acme"):
        (registered,) = invcore.components(plugin="invcore-acme")
        chosen = ("examples_are_instances", "posterior_covariance", "resumes")
        results = list(check_component(registered, select=chosen.__contains__))
    assert {r.name for r in results if r.status == "failed"} == failed
    assert {r.name for r in results} == set(chosen)
