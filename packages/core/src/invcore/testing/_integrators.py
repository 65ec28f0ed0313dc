"""Checks for the steps of diffusions, with the exact denoiser of Gaussian images."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..samplers import Integrator
from . import _values
from ._checks import fail, skip
from ._operator_inputs import require_no_global_randomness
from ._probes import distance, require_same, seeded, snapshot

_MEAN, _DEVIATION = 0.5, (1.0, 0.3)
"""Mean and standard deviations of two independent pixels."""
_LARGEST, _SMALLEST = 20.0, 0.002
_DRAWS = 20_000
_CHANCE = 5 * (2 / _DRAWS) ** 0.5
"""Relative error that the variance of as many exact draws can have."""


def _estimate(x: Tensor, sigma: float) -> Tensor:
    """E[clean | x] of the two pixels."""
    if not sigma > 0:
        fail(f"the estimate is asked for at the noise level {sigma:g}; denoisers take positive ones")
    C = torch.tensor(_DEVIATION, dtype=x.real.dtype).square()
    return _MEAN + C / (C + sigma**2) * (x - _MEAN)


def _levels(steps: int) -> list[float]:
    root = torch.linspace(_LARGEST ** (1 / 7), _SMALLEST ** (1 / 7), steps, dtype=torch.float64)
    return [*(root**7).tolist(), 0.0]


def _run(integrator: Integrator, estimate: Any, x: Tensor, levels: list[float], seed: int = 0) -> Tensor:
    memory, generator = None, seeded(seed)
    with torch.no_grad():
        for sigma, following in pairwise(levels):
            x, memory = integrator.step(estimate, x, sigma, following, memory, generator)
    return x


def _start(n: int = _DRAWS, dtype: torch.dtype = torch.float64) -> Tensor:
    """Images with the largest noise."""
    spread = (torch.tensor(_DEVIATION, dtype=torch.float64).square() + _LARGEST**2).sqrt()
    return (_MEAN + spread * torch.randn(n, 1, 2, generator=seeded(151), dtype=torch.float64)).to(dtype)


def check_shape_and_precision(integrator: Integrator) -> None:
    """The image keeps its shape and precision, without batch, in an empty one, real and complex."""
    for dtype in (torch.float32, torch.float64, torch.complex64):
        for shape in ((1, 2), (3, 1, 2), (0, 1, 2)):
            x = torch.ones(shape, dtype=dtype)
            out = _run(integrator, _estimate, x, _levels(3))
            if out.shape != x.shape or out.dtype != dtype:
                fail(f"an image {dtype} {shape} becomes {out.dtype} {tuple(out.shape)}")


def check_gaussian_in_the_limit(integrator: Integrator) -> None:
    """On Gaussian images mean and variance tend to theirs, to first order or better."""
    if integrator.bias:
        skip(f"the integrator states a bias: {integrator.bias}")
    errors = {}
    for steps in (15, 60):
        x = _run(integrator, _estimate, _start(), _levels(steps), seed=1)[:, 0]
        deviation = torch.tensor(_DEVIATION, dtype=torch.float64)
        errors["mean", steps] = float(((x.mean(0) - _MEAN) / deviation).abs().max())
        errors["variance", steps] = float((x.var(0) / deviation.square() - 1).abs().max())
    for name, chance in (("mean", 5 / _DRAWS**0.5), ("variance", _CHANCE)):
        few, many = errors[name, 15], errors[name, 60]
        if not many <= 0.35 * few + chance:
            fail(
                f"the relative error of the {name} is {few:.2g} with 15 steps and {many:.2g} with 60: a "
                "method of first order would have a fourth of it"
            )
        if not many < 0.25:
            fail(f"the relative error of the {name} is {many:.2g} with 60 steps")


def check_known_image_is_reached(integrator: Integrator) -> None:
    """Where D(x, σ) = c is known, the image at each level is c with noise of this level, and c at 0."""
    c = torch.tensor([0.7, -0.2], dtype=torch.float64)
    levels = [*torch.logspace(1, -1, 8, dtype=torch.float64).tolist(), 0.0]
    x = c + levels[0] * torch.randn(_DRAWS, 1, 2, generator=seeded(152), dtype=torch.float64)
    memory, generator = None, seeded(2)
    for sigma, following in pairwise(levels):
        x, memory = integrator.step(lambda x, _: c.expand_as(x), x, sigma, following, memory, generator)
        ratio = float((x - c).square().mean().sqrt()) / following if following else 1.0
        if not abs(ratio - 1) < 0.1:
            fail(
                f"from the level {sigma:.3g} to {following:.3g} the noise of a known image becomes "
                f"{ratio:.3g} x what the level says"
            )
    require_same(x, c.expand_as(x), 1e-9, "at the level 0 a known image is not reached")


def check_uses_its_generator(integrator: Integrator) -> None:
    """The same seed gives the same image, and nothing touches the global random state."""
    x, levels = _start(5), _levels(6)
    first, again = (_run(integrator, _estimate, x, levels, seed=3) for _ in range(2))
    if distance(again, first) > 0:
        fail("the same seed gives another image: the generator is ignored, or state is kept")
    require_no_global_randomness(lambda: _run(integrator, _estimate, x, levels), type(integrator).__name__)


def check_batch_equals_loop(integrator: Integrator) -> None:
    """Batch-mates do not matter; and where nothing is random a batch gives what its images give alone."""
    x, levels = _start(3), _levels(6)
    tolerance = max(1e-9, 10 * getattr(integrator, "rtol", 0.0))  # of one that chooses its own steps
    together = _run(integrator, _estimate, x, levels, seed=4)
    mates = torch.cat([x[:1], 3 * x[1:]])
    changed = _run(integrator, _estimate, mates, levels, seed=4)
    require_same(changed[0], together[0], tolerance, "the image of a sample changes with its batch-mates")
    same = _run(integrator, _estimate, x[:1].expand(2, 1, 2), levels, seed=4)
    if distance(_run(integrator, _estimate, x, levels, seed=5), together) == 0:
        for i in range(3):
            alone = _run(integrator, _estimate, x[i], levels)
            require_same(alone, together[i], tolerance, f"a batch differs from its item {i} alone")
    elif distance(same[1], same[0]) == 0:
        fail("two equal images of a batch get the same noise")


def check_nothing_is_changed(integrator: Integrator) -> None:
    """A step leaves its image and the estimate alone."""
    x = _start(3)
    held = 0.5 * x
    kept = [snapshot(x, "the image"), snapshot(held, "the estimate")]
    memory, generator = None, seeded(6)
    for sigma, following in pairwise(_levels(4)):
        _, memory = integrator.step(lambda x, _: held, x, sigma, following, memory, generator)
    for before in kept:
        if before.changed():
            fail(f"a step changes {before.changed()} in place")


def check_memory_can_be_stored(integrator: Integrator) -> None:
    """What a step keeps for the next one is made of tensors, numbers and tuples, as checkpoints store it."""
    x, memory, generator = _start(2), None, seeded(7)
    for sigma, following in pairwise(_levels(5)):
        x, memory = integrator.step(_estimate, x, sigma, following, memory, generator)
        _require_storable(memory)


def _require_storable(memory: Any) -> None:
    if isinstance(memory, tuple):
        for part in memory:
            _require_storable(part)
    elif not (memory is None or isinstance(memory, Tensor | bool | int | float | str)):
        fail(f"the memory of a step holds a {type(memory).__name__}; keep tensors, numbers and tuples")
    elif isinstance(memory, float) and not math.isfinite(memory):
        fail(f"the memory of a step holds {memory}")


def checks(integrator: Integrator) -> list[Callable[[Any], None]]:
    """The checks for an integrator."""
    own = (
        check_shape_and_precision,
        check_gaussian_in_the_limit,
        check_known_image_is_reached,
        check_uses_its_generator,
        check_batch_equals_loop,
        check_nothing_is_changed,
        check_memory_can_be_stored,
    )
    return [*own, *_values.CHECKS]
