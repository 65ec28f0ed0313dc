"""The kit on broken schedules, integrators and guidance: each fault is found by the check meant for it."""

import re

import pytest
import torch

from invcore.samplers import Guidance, Integrator, Sampler, Schedule
from invcore.testing import check, iter_checks

# -- schedules --------------------------------------------------------------------------------------------


class Geometric(Schedule):
    """Levels with a constant ratio; ``fault`` breaks it."""

    fault: str = ""

    def between(self, steps):
        if self.fault == "fixed ratio":
            return 80.0 * 0.3 ** torch.arange(steps, dtype=torch.float64)
        levels = torch.logspace(1.9, -2.5, steps, dtype=torch.float64)
        if self.fault == "rising":
            return levels.flip(0)
        if self.fault == "zero twice":
            return levels - levels[-1]
        if self.fault == "random":
            return levels * torch.rand((), dtype=torch.float64)
        return levels[:-1] if self.fault == "one too few" else levels

    def scale(self, sigma):
        return 1 / sigma if self.fault == "scale" and sigma else float(self.fault != "scale")


SCHEDULES = [
    ("fixed ratio", "more_steps_are_shorter", "the steps stay long"),
    ("rising", "levels", "do not decrease"),
    ("zero twice", "levels", "do not decrease"),
    ("one too few", "levels", "not float64 of shape"),
    ("random", "repeats", "others the second time"),
    ("scale", "scale", r"scale\(0\) is 0"),
]


# -- integrators ------------------------------------------------------------------------------------------


class Step(Integrator):
    """Ancestral sampling; ``fault`` breaks it."""

    fault: str = ""

    def step(self, estimate, x, sigma, following, memory, generator):
        fault = self.fault
        clean = estimate(x, sigma)
        kept = (following / sigma) ** 2
        if fault == "factor 2":
            kept = max(2 * kept - 1, 0.0)
        if fault == "asks at zero":
            clean = (clean + estimate(x, following)) / 2
        if fault == "half way":  # as if the image moved for half of the step only
            clean = torch.lerp(clean, x, 0.5) if following else clean
        new = following * (1 - (following / sigma) ** 2) ** 0.5
        if fault == "noise at the end" and not following:
            new = sigma / 2
        if fault == "sqrt 2":
            new = 2**0.5 * new
        noise = self.noise(x, generator)
        if fault == "shared":
            noise = noise[:1].expand_as(noise) if x.ndim > 2 else noise
        if fault == "own generator":
            noise = self.noise(x, None)
        if fault == "mates":
            clean = clean * (1 + 1e-3 * x.abs().sum())
        if fault == "in place":
            return x.lerp_(clean, 1 - kept).add_(new * noise), None
        memory = {"level": sigma} if fault == "memory" else None
        return torch.lerp(clean, x, kept) + new * noise, memory

    @staticmethod
    def noise(x, generator):
        return torch.randn_like(x) if generator is None else Sampler.noise(x, generator)


class Mean(Integrator):
    """Denoise and renoise, which is exact for a known image only; says so if ``honest``."""

    honest: bool = True

    @property
    def bias(self):
        return "takes a mean for a draw" if self.honest else ""

    def step(self, estimate, x, sigma, following, memory, generator):
        return estimate(x, sigma) + following * Sampler.noise(x, generator), None


INTEGRATORS = [
    (Step(fault="factor 2"), "known_image_is_reached", "the noise of a known image becomes"),
    (Step(fault="sqrt 2"), "known_image_is_reached", r"becomes 1\.\d+ x what the level says"),
    (Step(fault="half way"), "known_image_is_reached", "the noise of a known image becomes"),
    (Step(fault="noise at the end"), "known_image_is_reached", "at the level 0 a known image is not reached"),
    (Mean(honest=False), "gaussian_in_the_limit", "a method of first order would have a fourth of it"),
    (Step(fault="asks at zero"), "gaussian_in_the_limit", "asked for at the noise level 0"),
    (Step(fault="shared"), "batch_equals_loop", "get the same noise"),
    (Step(fault="mates"), "batch_equals_loop", "changes with its batch-mates"),
    (Step(fault="own generator"), "uses_its_generator", "the same seed gives another image"),
    (Step(fault="in place"), "nothing_is_changed", "changes the image in place"),
    (Step(fault="memory"), "memory_can_be_stored", "holds a dict"),
]


# -- guidance ---------------------------------------------------------------------------------------------


class Likelihood(Guidance):
    """σ² ∇ log p(y | D(x, σ)), for a denoiser taken as a constant; ``fault`` breaks it."""

    fault: str = ""

    @property
    def bias(self):
        return "" if self.fault == "says no bias" else "takes the denoised image for certain"

    def estimate(self, problem, denoiser, x, sigma, generator):
        fault = self.fault
        if fault == "graph":
            with torch.enable_grad():
                return self.led(problem, denoiser, x.requires_grad_(), sigma)
        if fault == "changes data":
            problem.y.mul_(1.001)
        if fault == "global":
            x = x + 1e-3 * torch.randn_like(x)
        return self.led(problem, denoiser, x, sigma)

    def led(self, problem, denoiser, x, sigma):
        fault, clean = self.fault, denoiser(x, sigma)
        f = problem.gradient(clean)
        if fault == "no noise variance":
            f = problem.A.H(problem.A(clean) - problem.y)
        if fault == "one noise level" and isinstance(problem.physics.noise.sigma, torch.Tensor):
            f = problem.A.H(problem.A(clean) - problem.y) / problem.physics.noise.sigma.mean() ** 2
        if fault == "mates":
            f = f / (1 + f.abs().max())
        if fault == "sign":
            f = -f
        if fault == "no data":
            f = 0 * f
        if fault == "not with sigma":
            return clean - 0.1 * (problem.A.H(problem.A(clean)) - problem.A.H(problem.y) + 0.5 * clean)
        if fault == "real part":
            f = f.real + 0 * f
        # the step of a denoised image with the variance σ²/(1 + σ²)
        return clean - 0.2 * sigma**2 / (1 + sigma**2) * f


GUIDANCE = [
    ("no noise variance", "data_that_say_nothing", r"hidden by noise: the estimate is not D\(x, σ\)"),
    ("says no bias", "exact", "state a bias if it is not meant to be"),
    ("one noise level", "batch_equals_loop", "with its own noise level"),
    ("mates", "batch_equals_loop", "changes with its batch-mates"),
    ("sign", "data_lead", "farther from the data"),
    ("no data", "data_lead", "the data change nothing"),
    ("not with sigma", "data_that_say_nothing", "hidden by a mask"),
    ("graph", "shape_and_precision", "holds the graph of its computation"),
    ("changes data", "pure", "changes the data"),
    ("global", "pure", "the same call gives another estimate"),
]

BROKEN = [
    *((Geometric(fault=fault), name, message) for fault, name, message in SCHEDULES),
    *INTEGRATORS,
    *((Likelihood(fault=fault), name, message) for fault, name, message in GUIDANCE),
]


@pytest.mark.parametrize("part", [Geometric(), Step(), Mean(), Likelihood()], ids=lambda p: type(p).__name__)
def test_a_sound_part_passes(part):
    check(part)


@pytest.mark.parametrize(("part", "name", "message"), BROKEN, ids=lambda v: getattr(v, "fault", None))
def test_a_broken_part_fails_the_check_meant_for_it(part, name, message):
    status, found = {c.name: c for c in iter_checks(part)}[name].result()
    assert status == "failed"

    assert re.search(message, found), found
