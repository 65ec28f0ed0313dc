"""Checks for how data lead a diffusion, with exact denoisers and linear operators."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._physics import Physics
from .._problem import Problem
from ..denoisers import Denoiser, GaussianDenoiser
from ..operators import Space
from ..samplers import Guidance
from . import _values
from ._checks import fail, skip
from ._known import SIGMA, KnownPrior, data_of, moments_of, physics_of, posterior_of, seen_through
from ._operator_inputs import require_no_global_randomness
from ._probes import distance, item, require_same, seeded, snapshot

_LEVEL = 0.8
"""Of the noisy image, where the data matter as much as the prior."""


@functools.lru_cache(maxsize=1)
def _known() -> tuple[KnownPrior, KnownPrior]:
    return KnownPrior.gaussian(), KnownPrior.mixture()


def _problem(physics: Physics, y: Any) -> Problem:
    return Problem(physics=physics, y=y, fidelity=physics.likelihood())


def _noisy(known: KnownPrior, n: int = 3, sigma: float = _LEVEL) -> Tensor:
    x = known.images(known.density.sample(n, seeded(161)))
    return x + sigma * torch.randn(x.shape, generator=seeded(162), dtype=torch.float64)


def _lead(guidance: Guidance, problem: Problem, D: Denoiser, x: Tensor, sigma: float = _LEVEL) -> Tensor:
    """The estimate, as a sampler asks for it."""
    with torch.no_grad():
        return guidance.estimate(problem, D, x, sigma, seeded(163))


def _blurred(known: KnownPrior, n: int = 3) -> tuple[Problem, Tensor]:
    """A problem with other data for each of a batch of noisy images, and these."""
    physics = physics_of("blur")
    y = data_of(known, physics)
    return _problem(physics, torch.stack([y + 0.3 * k for k in range(n)])), _noisy(known, n)


def check_shape_and_precision(guidance: Guidance) -> None:
    """The estimate is finite, has shape and precision of the image, and needs no gradient."""
    known = _known()[0]
    physics = physics_of("blur")
    for dtype in (torch.float32, torch.float64):
        D, precise = known.denoiser.to(dtype), physics.to(dtype)
        for batch in ((), (3,), (2, 2)):
            x = torch.ones(*batch, *known.space.shape, dtype=dtype)
            problem = _problem(precise, precise.operator(torch.zeros_like(x)))
            out = _lead(guidance.to(dtype), problem, D, x)
            if out.shape != x.shape or out.dtype != dtype:
                fail(f"an image {dtype} {tuple(x.shape)} has the estimate {out.dtype} {tuple(out.shape)}")
            if not bool(torch.isfinite(out).all()):
                fail("the estimate is not finite")
            if out.requires_grad:
                fail("the estimate holds the graph of its computation, also under no_grad: detach it")


def check_complex_images(guidance: Guidance) -> None:
    """Complex images have a finite complex estimate, that of real ones where nothing is imaginary."""
    known = _known()[0]
    flat = known.density
    D = GaussianDenoiser(mean=known.images(flat.means[0]) + 0j, covariance=flat.covariances[0])
    physics = physics_of("blur", Space(known.space.shape, "complex"))
    problem, x = _blurred(known)
    expected = _lead(guidance, problem, known.denoiser, x)
    out = _lead(guidance, _problem(physics, problem.y + 0j), D, x + 0j)
    if not out.is_complex():
        fail(f"the estimate of a complex image is {out.dtype}")
    if _is_random(guidance):
        return
    require_same(out.real, expected, 1e-3, "a real image as a complex one has another estimate")
    if not float(out.imag.abs().max()) < 1e-3:
        fail("the estimate of a real image as a complex one has an imaginary part")


def check_data_that_say_nothing(guidance: Guidance) -> None:
    """Where the data say nothing, hidden by a mask or by noise, the estimate is the denoised image."""
    hidden = {"hidden by a mask": (physics_of("nothing"), 1e-6)}
    if not guidance.ignores_noise:
        hidden["hidden by noise"] = (physics_of("blur", sigma=1e4), 1e-3)
    for known in _known():
        x = _noisy(known)
        for what, (physics, tolerance) in hidden.items():
            y = data_of(known, physics).expand(3, -1, -1)
            require_same(
                _lead(guidance, _problem(physics, y), known.denoiser, x),
                known.denoiser(x, _LEVEL),
                tolerance,
                f"{known.name} images, data {what}: the estimate is not D(x, σ)",
            )


def check_exact(guidance: Guidance) -> None:
    """Without a stated bias, the estimate is E[clean | x, y] of Gaussian images and of a mixture."""
    if guidance.bias:
        skip(f"the guidance states a bias: {guidance.bias}")
    eye = torch.eye(2, dtype=torch.float64)
    for known in _known():
        for operator in ("blur", "mask", "matrix"):
            physics = physics_of(operator)
            y, x = data_of(known, physics), _noisy(known)
            posterior = posterior_of(known, physics, y)
            expected = torch.stack([moments_of(seen_through(posterior, eye, _LEVEL, v))[0] for v in x])
            found = _lead(guidance, _problem(physics, y.expand(3, *y.shape)), known.denoiser, x)
            require_same(
                found,
                expected.view(x.shape),
                1e-3,
                f"{known.name} images, {operator}: the estimate is not E[clean | x, y]; state a bias if "
                "it is not meant to be",
            )


def check_data_lead(guidance: Guidance) -> None:
    """The estimate fits the data better than the denoised image, or `after` changes the image."""
    known = _known()[0]
    problem, x = _blurred(known, 64)
    problem = problem.replace(y=problem.y[:1].expand_as(problem.y))
    led, clean = _lead(guidance, problem, known.denoiser, x), known.denoiser(x, _LEVEL)
    corrected = guidance.after(problem, x, _LEVEL, seeded(164))
    if distance(led, clean) < 1e-9 and distance(corrected, x) < 1e-9:
        fail("the data change nothing: estimate is D(x, σ), and after(x) is x")
    before, found = (float((problem.A(v) - problem.y).square().mean()) for v in (clean, led))
    if distance(led, clean) >= 1e-9 and not found < before:
        fail(
            f"the estimate is farther from the data than the denoised image: mean squared residual "
            f"{found:.3g} instead of {before:.3g}"
        )


def check_little_noise_is_left(guidance: Guidance) -> None:
    """As σ falls the estimate tends to the image, where the data are of this image."""
    for known in _known():
        physics = physics_of("mask")
        x, sigma = _noisy(known), 1e-3
        y = physics.operator(x)
        moved = (_lead(guidance, _problem(physics, y), known.denoiser, x, sigma) - x).abs()
        if not float(moved.max()) < 20 * sigma:
            fail(
                f"{known.name} images, noise {sigma:g} left, data of this very image: the estimate is "
                f"{float(moved.max()):.2g} away from it"
            )


def check_batch_equals_loop(guidance: Guidance) -> None:
    """A batch gives what its images give alone, with one noise level of the data for all or for each."""
    known = _known()[0]
    problem, x = _blurred(known)
    together = _lead(guidance, problem, known.denoiser, x)
    mates = problem.replace(y=torch.cat([problem.y[:1], 3 * problem.y[1:]]))
    changed = _lead(guidance, mates, known.denoiser, torch.cat([x[:1], 3 * x[1:]]))
    require_same(changed[0], together[0], 1e-4, "the estimate of a sample changes with its batch-mates")
    if _is_random(guidance):
        return
    levels = torch.tensor([0.5, 0.3, 1.0], dtype=torch.float64)
    own = problem.physics.bind(sigma=levels)
    each = _lead(guidance, _problem(own, problem.y), known.denoiser, x)
    for i in range(3):
        one = item(problem.y, i)
        for what, batch, sigma in (
            ("", together, SIGMA),
            (" with its own noise level", each, float(levels[i])),
        ):
            alone = _lead(guidance, _problem(physics_of("blur", sigma=sigma), one), known.denoiser, x[i])
            require_same(batch[i], alone, 1e-4, f"a batch differs from its item {i}{what} alone")


def check_pure(guidance: Guidance) -> None:
    """Image, data and guidance are not changed; results repeat and depend on no global random state."""
    known = _known()[0]
    problem, x = _blurred(known)
    kept = {"the image": snapshot(x), "the data": snapshot(problem.y), "the guidance": snapshot(guidance)}
    first = _lead(guidance, problem, known.denoiser, x)
    guidance.after(problem, x, _LEVEL, seeded(164))
    for what, before in kept.items():
        if before.changed() is not None:
            fail(f"it changes {what}")
    if distance(_lead(guidance, problem, known.denoiser, x), first) > 0:
        fail("the same call gives another estimate: state is kept, or the generator ignored")
    require_no_global_randomness(lambda: _lead(guidance, problem, known.denoiser, x), type(guidance).__name__)


def _is_random(guidance: Guidance) -> bool:
    known = _known()[0]
    problem, x = _blurred(known)
    with torch.no_grad():
        first, second = (guidance.estimate(problem, known.denoiser, x, _LEVEL, seeded(s)) for s in (1, 2))
    return distance(second, first) > 0


def checks(guidance: Guidance) -> list[Callable[[Any], None]]:
    """The checks for a guidance."""
    own = (
        check_shape_and_precision,
        check_complex_images,
        check_data_that_say_nothing,
        check_exact,
        check_data_lead,
        check_little_noise_is_left,
        check_batch_equals_loop,
        check_pure,
    )
    return [*own, *_values.CHECKS]
