"""Checks for noise models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import InvcoreError, ParameterError
from ..fidelities import Fidelity
from ..noises import Noise
from ..spaces import Space, spaces_of
from . import _fidelities, _functions, _values
from ._blocks import BlockedNoise, in_blocks
from ._checks import fail, skip
from ._fidelities import positive
from ._operator_inputs import require_device, require_no_global_randomness
from ._probes import distance, item, mapped, require_same, seeded, snapshot

_SPACES = (Space((2, 3)), Space((2, 3), "complex"))
_DRAWS = 10_000


def _spaces(noise: Noise) -> list[Space]:
    found = []
    for space in _SPACES:
        try:
            _sample(noise, positive(space, _parameter_batch(noise)), space)
        except InvcoreError:  # a model of real data only
            continue
        found.append(space)
    if not found:
        fail(f"{type(noise).__name__} accepts neither real nor complex data of shape {_SPACES[0].shape}")
    return found


def _sample(noise: Noise, y: Tensor, space: Space, seed: int = 0) -> Tensor:
    return noise(y, space=space, generator=seeded(seed))


def _parameter_batch(noise: Noise) -> tuple[int, ...]:
    space = _SPACES[0]
    f = _likelihood(noise)
    if f is None:
        return tuple(noise.parameter_batch(space))
    return tuple(f.value(positive(space), positive(space, seed=1), space).shape)


def _likelihood(noise: Noise) -> Fidelity | None:
    """The likelihood, or None for a model that says that it has none."""
    try:
        return noise.likelihood()
    except ParameterError as error:
        if "likelihood" not in str(error) and "density" not in str(error):
            fail(f"likelihood() raises an error that does not say that there is none: {error}")
        return None


def check_shape_and_precision(noise: Noise) -> None:
    """A noisy version has the shape, kind and precision of the clean data, which is not changed."""
    own = _parameter_batch(noise)
    for space in _spaces(noise):
        for dtype in (torch.float32, torch.float64):
            for batch in ((*own,), (3, *own), (0, *own)):
                y = positive(space, batch, dtype=dtype)
                kept = snapshot(y)
                out = _sample(noise.to(dtype), y, space)
                if out.shape != y.shape or out.dtype != y.dtype:
                    fail(f"clean data {y.dtype} {tuple(y.shape)} becomes {out.dtype} {tuple(out.shape)}")
                if kept.changed():
                    fail("sample changes its input in place")


def check_needs_a_generator(noise: Noise) -> None:
    """Random noise without a generator raises a ParameterError that asks for one."""
    if not noise.random:
        skip("not random")
    space = _spaces(noise)[0]
    try:
        noise(positive(space, _parameter_batch(noise)), space=space)
    except ParameterError as error:
        if "generator" not in str(error):
            fail(f"the error without a generator does not name the argument: {error}")
        return
    fail(f"{type(noise).__name__} draws without a generator; it should raise a ParameterError")


def check_uses_its_generator(noise: Noise) -> None:
    """The same seed gives the same noise, another seed another, and drawing advances the generator."""
    if not noise.random:
        skip("not random")
    for space in _spaces(noise):
        y = positive(space, (2, *_parameter_batch(noise)))
        first, again, other = (_sample(noise, y, space, seed) for seed in (1, 1, 2))
        if distance(first, y) == 0:
            skip("no noise at this level")
        if distance(again, first) > 0:
            fail("the same seed gives another noise: the generator is ignored, or state is kept")
        if distance(other, first) == 0:
            fail("another seed gives the same noise: the generator is ignored")
        generator = seeded(1)
        drawn = [noise(y, space=space, generator=generator) for _ in range(2)]
        if distance(*drawn) == 0:
            fail("two draws from one generator are equal: sample does not advance it")


def check_no_global_randomness(noise: Noise) -> None:
    """Nothing reads or advances the random state of torch, numpy or Python."""
    space = _spaces(noise)[0]
    y = positive(space, _parameter_batch(noise))
    require_no_global_randomness(lambda: _sample(noise, y, space), type(noise).__name__)


def check_batch_split_invariance(noise: Noise) -> None:
    """The same seed gives the same noise however a batch is split."""
    own = _parameter_batch(noise)
    for space in _spaces(noise):
        y = positive(space, (4, *own))
        together = _sample(noise, y, space, 3)
        generator = seeded(3)
        split = torch.cat([noise(part, space=space, generator=generator) for part in (y[:1], y[1:])])
        require_same(split, together, 1e-6, "drawing for a batch in two parts gives other noise than at once")


def check_parameters_per_sample(noise: Noise) -> None:
    """Parameters with one value per sample act sample by sample."""
    if _parameter_batch(noise):
        skip("the parameters of this example carry a batch already")
    held = {n: getattr(noise, n) for n in noise.params}
    plain = {n: float(v) for n, v in held.items() if isinstance(v, int | float | Tensor) and _is_scalar(v)}
    if not plain:
        skip("no parameters that are one number")
    space = _spaces(noise)[0]
    y = positive(space, (3,))
    for name, value in plain.items():
        values = (value or 1.0) * torch.tensor([1.0, 0.9, 0.5], dtype=torch.float64)
        dims = len(spaces_of(space)[0].shape) if name in noise.maps else 0
        values = values.reshape(-1, *[1] * dims)
        together = noise.bind(**{name: values})(y, space=space, generator=seeded(4))
        generator = seeded(4)
        for i in range(3):
            alone = noise.bind(**{name: float(values[i])})(item(y, i), space=space, generator=generator)
            require_same(
                item(together, i), alone, 1e-6, f"noise with one {name!r} per sample differs from the loop"
            )


def check_misfitting_parameters_raise(noise: Noise) -> None:
    """A parameter whose shape fits neither data nor batch raises an error with its name and shape."""
    space = _spaces(noise)[0]
    y = positive(space, (3, *_parameter_batch(noise)))
    _values.require_misfits_refused(noise, lambda n: _sample(n, y, space))


def _is_scalar(v: Any) -> bool:
    return not isinstance(v, Tensor) or v.numel() == 1


def check_every_parameter_matters(noise: Noise) -> None:
    """Another value of a parameter gives other noise."""
    if not noise.random:
        skip("not random")
    space = _spaces(noise)[0]
    y = positive(space, _parameter_batch(noise))
    for name in noise.params:
        value = getattr(noise, name)
        if not isinstance(value, int | float | Tensor):
            continue
        another = 0.5 * value if isinstance(value, Tensor) or value else 0.5
        if distance(_sample(noise.bind(**{name: another}), y, space), _sample(noise, y, space)) == 0:
            fail(f"parameter {name!r} is ignored: another value gives the same noise")


def check_moments(noise: Noise) -> None:
    """Samples follow the likelihood: its score has mean 0 and the variance of its curvature (Bartlett).

    With f = -log p(y | u): E ∂f/∂u = 0 and E (∂f/∂u)² = E ∂²f/∂u². Of a likelihood that is not smooth only
    the mean is tested, and of one without gradient (an indicator) that samples lie in its support.
    """
    if _parameter_batch(noise):
        skip("the parameters of this example carry a batch")
    if _likelihood(noise) is None:
        skip("no likelihood")
    noise = noise.to(torch.float64)
    for space in _spaces(noise):
        u = positive(space, seed=5)
        many = u.expand(_DRAWS, *u.shape)
        y = _sample(noise, many, space, 6)
        f = noise.likelihood()
        if not _fidelities.has_grad(f):
            if not bool((f.value(many, y, space) < torch.inf).all()):
                fail(f"{space.kind} data: samples lie outside the support of the likelihood")
            continue
        if not noise.random:
            if distance(y, many) > 0:
                fail("noise that calls itself not random changes the data")
            return
        if distance(y, many) == 0:
            skip("no noise at this level")
        score = _components(f.grad(many, y, space))
        mean, square = score.mean(0), (score**2).mean(0)
        error = (score.var(0) / _DRAWS).sqrt()
        if bool((mean.abs() > 6 * error).any()):
            worst = float((mean / error).abs().max())
            fail(
                f"{space.kind} data: the mean of the likelihood's gradient is {worst:.0f} standard errors "
                "from zero: samples are biased"
            )
        if not f.smooth:
            continue
        ratio = square / _curvature(f, many, y, space)
        if bool(((ratio - 1).abs() > 0.1).any()):
            fail(
                f"{space.kind} data: the variance of the noise is {float(ratio.mean()):.3g} x what the "
                "likelihood implies (its gradient squared against its curvature)"
            )


def _components(x: Tensor) -> Tensor:
    return torch.view_as_real(x.resolve_conj()) if x.is_complex() else x.unsqueeze(-1)


def _curvature(f: Any, u: Tensor, y: Tensor, space: Space) -> Tensor:
    """Estimate the mean second derivative in each real component by differences of the gradient."""
    h = 1e-4
    parts = [1.0, 1j] if space.kind == "complex" else [1.0]
    out = u.new_zeros((*space.shape, len(parts)), dtype=torch.float64)
    for entry in range(space.size):
        one = torch.zeros(space.size, dtype=u.dtype)
        one[entry] = h
        at = one.reshape(space.shape)
        for k, part in enumerate(parts):
            difference = f.grad(u + part * at, y, space) - f.grad(u - part * at, y, space)
            slope = _components(difference)[..., k].mean(0) / (2 * h)
            out.view(-1, len(parts))[entry, k] = slope.reshape(-1)[entry]
    return out


def check_information(noise: Noise) -> None:
    """The Fisher information is what the gradient of the likelihood has: (E ∂²f/∂u²)²/E (∂f/∂u)².

    For the gradient of any function f it is at least that; the check allows a tenth more.
    """
    if _parameter_batch(noise):
        skip("the parameters of this example carry a batch")
    noise = noise.to(torch.float64)
    for space in _spaces(noise):
        u = positive(space, seed=5)
        try:
            information = noise.information(u, space)
        except ParameterError:
            skip("it states none")
        many = u.expand(_DRAWS, *u.shape)
        y, f = _sample(noise, many, space, 6), noise.likelihood()
        square = (_components(f.grad(many, y, space)) ** 2).mean(0)
        curvature = _curvature(f, many, y, space) if f.smooth else square
        ratio = information.unsqueeze(-1) * square / curvature**2
        if information.is_complex() or information.shape != u.shape:
            fail(f"information is {information.dtype} {tuple(information.shape)} for {tuple(u.shape)}")
        if bool((ratio < 0.9).any()) or bool((ratio > 1.1).any()):
            fail(f"{space.kind} data: information() is {float(ratio.mean()):.3g} x that of the likelihood")


def check_likelihood(noise: Noise) -> None:
    """``likelihood()`` is a fidelity whose gradient and proximal operator match its value."""
    f = _likelihood(noise)
    if f is None:
        skip("no likelihood")
    if _parameter_batch(noise):
        skip("the parameters of this example carry a batch")
    for function in _fidelities._functions_of(f):
        if function.grad is not None:
            _functions.require_gradient(function)
        _functions.require_prox(function)


def check_device(noise: Noise) -> None:
    """Noise for data on another device is on that device, the same as on the CPU."""
    space = _spaces(noise)[0]
    y = positive(space, _parameter_batch(noise))

    def use(device: torch.device) -> Any:
        return mapped(lambda t: t, noise.to(device)(y.to(device), space=space, generator=seeded(0)))

    require_device(use, type(noise).__name__)


def checks(noise: Noise) -> list[Callable[[Any], None]]:
    """The checks for a noise model."""
    own = (
        check_shape_and_precision,
        check_needs_a_generator,
        check_uses_its_generator,
        check_no_global_randomness,
        check_batch_split_invariance,
        check_parameters_per_sample,
        check_misfitting_parameters_raise,
        check_every_parameter_matters,
        check_moments,
        check_information,
        check_likelihood,
        check_device,
    )
    space = _SPACES[0]
    return [
        *in_blocks(noise, own, BlockedNoise, lambda n: _sample(n, positive(space), space)),
        *_values.CHECKS,
    ]
