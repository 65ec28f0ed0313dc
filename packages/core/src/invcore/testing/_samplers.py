"""Checks of posterior samplers, on images and data whose posterior is known: see `SamplerExample`."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .._errors import DataError, DtypeError, InvcoreError, ParameterError, ShapeError
from .._physics import Physics
from .._value import real_dtype
from ..samplers import Chain, Sampler
from ..spaces import batch_shape, check, dtype_of
from . import _values
from ._checks import fail, require_refused, skip
from ._draws import COVERED, DrawErrors, Truth
from ._example import SamplerExample
from ._known import KnownPrior, data_of, physics_of, posterior_of
from ._operator_inputs import require_no_global_randomness
from ._probes import cast, distance, item, mapped, require_same, seeded, snapshot

_PROBLEMS = (
    ("gaussian", "matrix"),
    ("gaussian", "blur"),
    ("mixture", "identity"),
    ("mixture", "mask"),
    ("complex gaussian", "blur"),
)
"""Prior and operator of the problems whose posterior the draws are compared with."""

_SHORT = 20
"""Steps where draws need not be from the posterior."""


@functools.lru_cache(maxsize=1)
def _known() -> dict[str, KnownPrior]:
    return {
        "gaussian": KnownPrior.gaussian(),
        "mixture": KnownPrior.mixture(),
        "complex gaussian": KnownPrior.gaussian(kind="complex"),
    }


def _sampler(example: SamplerExample, prior: str) -> Sampler | None:
    made = example.make(_known()[prior])
    if made is not None and not isinstance(made, Sampler):
        fail(f"make(known) gives a {type(made).__name__}, not a Sampler")
    return made


def any_sampler(example: SamplerExample) -> tuple[str, Sampler]:
    """The first known prior that the example is for, and its sampler."""
    for prior in ("gaussian", "mixture"):
        sampler = _sampler(example, prior)
        if sampler is not None:
            return prior, sampler
    fail("make(known) gives a sampler for no known prior")


# -- the posterior ------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=32)
def _compared(example: SamplerExample, prior: str, operator: str) -> tuple[Truth, DrawErrors] | None:
    """Draws from a known posterior compared with it; None where the sampler is not for, or biased on, it."""
    known = _known()[prior]
    if known.space.kind == "complex" and _refusal_of_complex(example):
        return None
    sampler = _sampler(example, prior)
    if sampler is None or (sampler.bias and known.name not in example.exact):
        return None
    physics = physics_of(operator, known.space)
    truth = _truth(prior, operator, example.draws)
    return truth, truth.errors(_vectors(example, known, sampler, physics, data_of(known, physics)))


@functools.lru_cache(maxsize=32)
def _truth(prior: str, operator: str, draws: int) -> Truth:
    known = _known()[prior]
    physics = physics_of(operator, known.space)
    return Truth(posterior_of(known, physics, data_of(known, physics)), draws)


@functools.lru_cache(maxsize=64)
def _allowed(truth: Truth, tolerance: float) -> DrawErrors:
    return truth.allowed(tolerance)


def _vectors(
    example: SamplerExample, known: KnownPrior, sampler: Sampler, physics: Physics, y: Any
) -> torch.Tensor:
    """The ends of ``example.draws`` chains, shape (draw, n)."""
    chain = sampler.chain(y, physics, draws=1, chains=example.draws, keep=0, generator=seeded(142))
    return known.vectors(chain.last)


@functools.lru_cache(maxsize=8)
def _refusal_of_complex(example: SamplerExample) -> str:
    """Why the sampler does not take complex images; empty if it does."""
    known = _known()["complex gaussian"]
    physics = physics_of("blur", known.space)
    try:
        sampler = example.make(known)
        if sampler is None:
            return "make(known) gives no sampler"
        x = _few_steps(sampler)(data_of(known, physics), physics, generator=seeded(145))
    except (DtypeError, ParameterError, ShapeError) as error:
        return f"{type(error).__name__}: {error}"
    if not x.is_complex():
        fail(f"complex data give {x.dtype}")
    return ""


def _require_close(example: SamplerExample, name: str, say: Callable[[DrawErrors, Truth], str]) -> None:
    """Fail where one of the errors is larger than what the example and the number of draws allow."""
    if example.physics is not None:
        skip("the example brings a problem of its own, whose posterior is not known")
    known_to_be_exact = False
    for prior, operator in _PROBLEMS:
        found = _compared(example, prior, operator)
        if found is None:
            continue
        known_to_be_exact = True
        truth, errors = found
        limit = getattr(_allowed(truth, example.tolerance), name)
        if not abs(getattr(errors, name)) <= limit:
            fail(f"{prior} images, {operator}: {say(errors, truth)} (allowed {limit:.2g})")
    if not known_to_be_exact:
        skip(f"the sampler states a bias: {any_sampler(example)[1].bias}")


def check_posterior_mean(example: SamplerExample) -> None:
    """The mean of many draws is that of the posterior, for Gaussian images and for a mixture of Gaussians."""
    _require_close(
        example,
        "mean",
        lambda e, t: (
            f"the mean of {t.draws} draws is {e.mean:.2g} standard deviations from the posterior mean "
            f"{[round(m, 3) for m in t.mean.tolist()]}"
        ),
    )


def check_posterior_covariance(example: SamplerExample) -> None:
    """The covariance of many draws is that of the posterior in every direction."""
    _require_close(
        example,
        "variance",
        lambda e, t: (
            f"the covariance of the draws is {e.ratio:.3g} x that of the posterior in the direction where "
            f"they differ most; relative error {e.variance:.2g}"
        ),
    )


def check_mode_weights(example: SamplerExample) -> None:
    """Each mode of a mixture gets its share of the draws."""
    _require_close(
        example,
        "weights",
        lambda e, t: (
            f"the probability of a mode is wrong by {e.weights:.2g}, where the modes have "
            f"{[round(w, 2) for w in t.density.weights.tolist()]}"
        ),
    )


def check_coverage(example: SamplerExample) -> None:
    """The smallest set with 90 % of the posterior holds 90 % of the draws."""
    _require_close(
        example,
        "coverage",
        lambda e, t: (
            f"the set that holds {COVERED:.0%} of the posterior holds {COVERED + e.coverage:.1%} of the draws"
        ),
    )


def check_sliced_wasserstein(example: SamplerExample) -> None:
    """The distribution of the draws along random directions is that of the posterior."""
    _require_close(
        example,
        "distance",
        lambda e, t: (
            f"the sliced Wasserstein distance to exact draws is {e.distance:.2g} standard deviations"
        ),
    )


def check_prior_where_data_say_nothing(example: SamplerExample) -> None:
    """A sampler with a stated bias draws from the prior where noise, or a mask, hides everything."""
    for prior, sampler in _biased(example):
        known = _known()[prior]
        physics = physics_of("nothing") if sampler.ignores_noise else physics_of("matrix", sigma=30.0)
        y = physics(known.images(known.density.means[0]), generator=seeded(143))
        truth = Truth(posterior_of(known, physics, y), example.draws)
        errors = truth.errors(_vectors(example, known, sampler, physics, y))
        limit = truth.allowed(0.1)
        if not (errors.mean <= limit.mean and errors.variance <= limit.variance):
            fail(
                f"{prior} images, data that say nothing: the mean of the draws is "
                f"{errors.mean:.2g} standard deviations from that of the prior (allowed {limit.mean:.2g}), "
                f"and their variance {errors.ratio:.3g} x that of the prior where they differ most (allowed "
                f"relative error {limit.variance:.2g})"
            )


def check_draws_fit_the_data(example: SamplerExample) -> None:
    """Draws of a sampler with a stated bias fit data rather as the posterior than as the prior does."""
    for prior, sampler in _biased(example):
        known, physics = _known()[prior], physics_of("mask", sigma=0.3)
        y, g = data_of(known, physics), seeded(144)
        exact, unled = (p.sample(example.draws, g) for p in (posterior_of(known, physics, y), known.density))
        found, right, wrong = (
            float((physics.operator(known.images(v)) - y).square().mean().sqrt())
            for v in (_vectors(example, known, sampler, physics, y), exact, unled)
        )
        if not found < (right + wrong) / 2:
            fail(
                f"{prior} images, half of the pixels seen with noise 0.3: the draws differ from the data by "
                f"{found:.2g}, exact ones by {right:.2g}, and images drawn without data by {wrong:.2g}"
            )


def _biased(example: SamplerExample) -> list[tuple[str, Sampler]]:
    if example.physics is not None:
        skip("the example brings a problem of its own, whose posterior is not known")
    made = [(prior, _sampler(example, prior)) for prior in ("gaussian", "mixture")]
    biased = [(prior, sampler) for prior, sampler in made if sampler is not None and sampler.bias]
    return biased or skip("the sampler states no bias: it is compared with the posterior")


def check_complex_images(example: SamplerExample) -> None:
    """Complex images are drawn, and then compared as the others are, or refused with a reason."""
    if example.physics is not None:
        skip("the example brings a problem of its own")
    if reason := _refusal_of_complex(example):
        skip(f"complex images are refused: {reason}")


# -- the contract -------------------------------------------------------------------------------------------


def _problem(example: SamplerExample) -> tuple[Sampler, Physics, Any]:
    """A sampler that takes few steps, and a problem to call it with."""
    prior, sampler = any_sampler(example)
    sampler = _few_steps(sampler)
    if example.physics is not None:
        return sampler, example.physics, example.y
    physics = physics_of("mask")  # which leaves something to draw also where data count as exact
    return sampler, physics, data_of(_known()[prior], physics)


def _few_steps(sampler: Sampler) -> Sampler:
    most: dict[str, int] = {"burn_in": _SHORT, "steps": _SHORT, "thin": 2}
    names = {f.name for f in dataclasses.fields(sampler)}
    own = {n: few for n, few in most.items() if n in names and getattr(sampler, n) > few}
    return dataclasses.replace(sampler, **own) if own else sampler


def _repeated(y: Any, n: int) -> Any:
    return mapped(lambda t: t.expand(n, *t.shape), y)


def check_result_is_an_image(example: SamplerExample) -> None:
    """A draw lies in the domain of the operator, in the precision of the data, one for each of the batch."""
    sampler, physics, y = _problem(example)
    for dtype in (torch.float32, torch.float64):
        own, precise = sampler.to(dtype), physics.to(dtype)
        for n in (None, 3):
            data = cast(y if n is None else _repeated(y, n), dtype)
            x = own(data, precise, generator=seeded(0))
            check(x, physics.domain, "the draw")
            expected = () if n is None else (n,)
            batch = tuple(batch_shape(x, physics.domain))
            if real_dtype(dtype_of(x)) != dtype or batch != expected:
                fail(f"data {dtype} of batch {expected} give {dtype_of(x)} of batch {batch}")


def check_uses_its_generator(example: SamplerExample) -> None:
    """The same seed gives the same draw, another seed another; equal data of a batch get different draws."""
    sampler, physics, y = _problem(example)
    first, again, other = (sampler(_repeated(y, 2), physics, generator=seeded(s)) for s in (1, 1, 2))
    if distance(again, first) > 0:
        fail("the same seed gives another draw: the generator is ignored, or state is kept")
    if distance(other, first) == 0:
        fail("another seed gives the same draw: the generator is ignored")
    if distance(item(first, 0), item(first, 1)) < 1e-6:
        fail("two samples of a batch with equal data get the same draw: they share their noise")


def check_batch_mates_do_not_matter(example: SamplerExample) -> None:
    """The same seed gives a sample the same draw whether its batch-mates have these or other data."""
    sampler, physics, y = _problem(example)
    same = _repeated(y, 3)
    mates = mapped(lambda t: torch.cat([t[:1], 3 * t[1:] + 1]), same)
    require_same(
        item(sampler(mates, physics, generator=seeded(3)), 0),
        item(sampler(same, physics, generator=seeded(3)), 0),
        1e-9,
        "the draw for a sample changes with its batch-mates",
    )


def check_no_global_randomness(example: SamplerExample) -> None:
    """Nothing reads or advances the random state of torch, numpy or Python."""
    sampler, physics, y = _problem(example)
    require_no_global_randomness(
        lambda: sampler(_repeated(y, 2), physics, generator=seeded(0)), type(sampler).__name__
    )


def check_needs_a_generator(example: SamplerExample) -> None:
    """Without a generator it raises a ParameterError or a TypeError."""
    sampler, physics, y = _problem(example)
    call: Callable[[], Any] = functools.partial(sampler, y, physics)
    require_refused("a call without a generator", (ParameterError, TypeError), call)


def check_bad_data_raises(example: SamplerExample) -> None:
    """NaN raises an error, a wrong shape a ShapeError."""
    sampler, physics, y = _problem(example)
    if not isinstance(y, torch.Tensor):
        skip("the data are several tensors")
    broken = y.clone()
    broken.view(-1)[0] = float("nan")
    cases: tuple[tuple[str, torch.Tensor, tuple[type[Exception], ...]], ...] = (
        ("NaN in the data", broken, (DataError, InvcoreError)),
        ("data one entry too long", torch.cat([y, y[..., :1]], -1), (ShapeError,)),
    )
    for what, value, kinds in cases:
        require_refused(what, kinds, functools.partial(sampler, value, physics, generator=seeded(0)))


def check_nothing_is_changed(example: SamplerExample) -> None:
    """Sampling changes neither the data nor the physics nor the sampler."""
    sampler, physics, y = _problem(example)
    y = mapped(torch.clone, y)
    kept = {"the data": snapshot(y), "the physics": snapshot(physics), "the sampler": snapshot(sampler)}
    sampler(y, physics, generator=seeded(0))
    for what, before in kept.items():
        field = before.changed()
        if field is not None:
            fail(f"sampling changes {what}{f' in {field!r}' if field else ''}")


def check_chain(example: SamplerExample) -> None:
    """`chain` gives as many draws as it was asked for, all different, and their mean and variance."""
    sampler, physics, y = _problem(example)
    chain = sampler.chain(y, physics, draws=4, chains=3, generator=seeded(4))
    batch = tuple(batch_shape(chain.draws, physics.domain))
    if batch != (4, 3) or chain.number != 4:
        fail(f"4 draws of 3 chains have the batch dimensions {batch}, and their number is {chain.number}")
    for axis, what in ((0, "successive draws of a chain"), (1, "two chains")):
        first, second = chain.draws.select(axis, 0), chain.draws.select(axis, 1)
        if distance(first, second) < 1e-9:
            fail(f"{what} are equal")
    require_same(chain.mean, chain.draws.mean(0), 1e-9, "the mean of a chain is not that of its draws")
    variance = chain.draws.var(0)
    require_same(chain.variance, variance, 1e-9, "the variance of a chain is not that of its draws")
    require_same(chain.last, chain.draws[-1], 0.0, "the last image of a chain is not its last draw")


def check_resumes(example: SamplerExample) -> None:
    """A chain that was stopped goes on from its checkpoint to the same draws, bit by bit."""
    sampler, physics, y = _problem(example)

    def run(path: Path | None, stop: int | None = None) -> tuple[Chain, torch.Tensor]:
        generator = seeded(5)
        chain = sampler.chain(
            y,
            physics,
            draws=3,
            chains=2,
            generator=generator,
            checkpoint=path,
            checkpoint_every=1e9,
            callback=None if stop is None else lambda k, problem, state: k + 1 == stop,
        )
        return chain, generator.get_state()

    whole, end = run(None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chain.h5"
        stopped, _ = run(path, max(1, 2 * whole.steps // 3))
        if whole.steps > 1 and not stopped.stopped:
            fail("a callback that returns True does not stop the chain")
        sampler(y, physics, generator=seeded(6))  # what is kept beside the state is lost with a process
        resumed, again = run(path)
    for name in ("draws", "mean", "variance", "last"):
        if not torch.equal(getattr(resumed, name), getattr(whole, name)):
            fail(f"after an interruption the chain goes on to another {name}: its state is not complete")
    if not torch.equal(again, end):
        fail("after an interruption the generator ends in another state")


def _of_the_sampler(function: Callable[[Any], None]) -> Callable[[SamplerExample], None]:
    @functools.wraps(function)
    def checked(example: SamplerExample) -> None:
        function(any_sampler(example)[1])

    return checked


def check_is_an_example(obj: Any) -> None:
    """The kit makes the sampler for images whose posterior it knows: `SamplerExample(make)`."""
    fail(
        f"got a {type(obj).__name__}; the kit compares draws with posteriors that it knows, and makes the "
        "sampler for them: register invcore.testing.SamplerExample(make)"
    )


def checks(example: Any) -> list[Callable[[Any], None]]:
    """The checks for a sampler."""
    if not isinstance(example, SamplerExample):
        return [check_is_an_example]
    return [
        check_posterior_mean,
        check_posterior_covariance,
        check_mode_weights,
        check_coverage,
        check_sliced_wasserstein,
        check_prior_where_data_say_nothing,
        check_draws_fit_the_data,
        check_complex_images,
        check_result_is_an_image,
        check_uses_its_generator,
        check_batch_mates_do_not_matter,
        check_no_global_randomness,
        check_needs_a_generator,
        check_bad_data_raises,
        check_nothing_is_changed,
        check_chain,
        check_resumes,
        *map(_of_the_sampler, _values.CHECKS),
    ]
