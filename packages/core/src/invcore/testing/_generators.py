"""Checks for generators of parameters: ``generate(batch=(), generator=g)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ._checks import fail
from ._operator_inputs import require_no_global_randomness
from ._probes import distance, mapped, require_same, seeded, shapes, tensors_in
from ._values import pickled


def check_batch_shape(generate: Any) -> None:
    """A batch puts its dimensions in front of the shape of a single draw."""
    single = generate(generator=seeded(0))
    if not tensors_in(single):
        fail(f"it returns {type(single).__name__}, which holds no tensor")
    for batch in ((1,), (3,), (2, 2)):
        many = generate(batch=batch, generator=seeded(0))
        expected = mapped(lambda t, b=batch: t.expand(*b, *t.shape), single)  # type: ignore[misc]
        if shapes(many) != shapes(expected):
            fail(f"batch={batch} gives shape {shapes(many)}; a single draw has {shapes(single)}")


def check_finite(generate: Any) -> None:
    """What is drawn is finite."""
    for t in tensors_in(generate(batch=(3,), generator=seeded(1))):
        if not bool(torch.isfinite(t).all()):
            fail("a draw holds NaN or infinity")


def check_uses_its_generator(generate: Any) -> None:
    """The same seed gives the same draw; different seeds differ; drawing advances the generator."""
    if distance(generate(generator=seeded(1)), generate(generator=seeded(1))) > 0:
        fail("the same seed gives another draw: the generator is ignored, or state is kept")
    draws = [generate(generator=seeded(s)) for s in range(8)]
    if all(distance(d, draws[0]) == 0 for d in draws):
        fail("eight seeds give the same draw: the generator is ignored")
    generator = seeded(1)
    draws = [generate(generator=generator) for _ in range(8)]
    if all(distance(d, draws[0]) == 0 for d in draws):
        fail("eight draws from one generator are equal: it is not advanced")


def check_batch_split_invariance(generate: Any) -> None:
    """The same seed gives the same draws however a batch is split."""
    together = generate(batch=(4,), generator=seeded(2))
    generator = seeded(2)
    parts = [generate(batch=(n,), generator=generator) for n in (1, 3)]
    for whole, *pieces in zip(tensors_in(together), *(tensors_in(p) for p in parts)):
        require_same(
            torch.cat(pieces), whole, 0.0, "a batch drawn in two parts differs from one drawn at once"
        )


def check_no_global_randomness(generate: Any) -> None:
    """Nothing reads or advances the random state of torch, numpy or Python."""
    require_no_global_randomness(lambda: generate(generator=seeded(0)), type(generate).__name__)


def check_without_generator(generate: Any) -> None:
    """Without a generator it either raises, or draws the same every time: never from a global state."""

    def draw() -> Any:
        try:
            return generate()
        except Exception:  # refusing is as good as a fixed seed
            return torch.zeros(())

    require_no_global_randomness(draw, f"{type(generate).__name__} without a generator")


def check_pickle(generate: Any) -> None:
    """A pickled copy draws the same."""
    other = pickled(generate)
    require_same(
        other(generator=seeded(3)),
        generate(generator=seeded(3)),
        0.0,
        "the pickled copy draws something else",
    )


def checks(generate: Any) -> list[Callable[[Any], None]]:
    """The checks for a generator."""
    return [
        check_batch_shape,
        check_finite,
        check_uses_its_generator,
        check_batch_split_invariance,
        check_no_global_randomness,
        check_without_generator,
        check_pickle,
    ]
