"""Samples become batches: entries of the data set are read, stacked, and measured where that is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from invcore import DataError, ParameterError, Physics, ShapeError
from invcore.spaces import tree_map

from .._data.sample import Sample, drawn, noisy, sample_generator
from .plan import Key

_IMAGE, _DATA = 1, 2
"""Which random numbers of a sample: those of its image, those of its measurement."""


class Batch:
    """Images, data and physics of some samples, their loss, and the share of each in the step.

    A plain object: engines look for tensors in tuples and dataclasses, and would change their precision.
    """

    def __init__(self, x: Tensor | None, y: Any, physics: Physics, keys: Sequence[Key]) -> None:
        self.x, self.y, self.physics, self.keys = x, y, physics, keys
        self.weight = 1 / len(keys)
        self.loss: Any = None


class Entries(torch.utils.data.Dataset[tuple[Key, Sample]]):
    """The entries of a data set as samples, each changed by the transform with random numbers of its own."""

    def __init__(self, dataset: Any, transform: Callable[..., Tensor] | None = None, seed: int = 0) -> None:
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise ParameterError(
                f"a data set has len and entries, images (channel, *spatial) or Sample; got "
                f"{type(dataset).__name__}"
            )
        self.dataset, self.transform, self.seed = dataset, transform, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: Key) -> tuple[Key, Sample]:
        entry = self.dataset[key[1]]
        sample = entry if isinstance(entry, Sample) else Sample(entry, None, {})
        x = sample.x
        if not isinstance(x, Tensor) and (x is not None or sample.y is None):
            raise ParameterError(
                f"entry {key[1]} of the data set is a {type(entry).__name__}; expected an image (a tensor), "
                "or invcore_learning.Sample with an image or data"
            )
        if self.transform is None:
            return key, sample
        if x is None or sample.y is not None:
            raise ParameterError(
                f"a transform changes images before they are measured; entry {key[1]} has stored measurements"
            )
        g = sample_generator(self.seed, _IMAGE, *key)
        return key, sample._replace(x=self.transform(x, generator=g))


def stacked(samples: Sequence[tuple[Key, Sample]]) -> tuple[list[Key], Sample]:
    """One sample with batch dimensions."""
    keys = [key for key, _ in samples]
    x, y, params = zip(*(sample for _, sample in samples))
    if any((v is None) != (x[0] is None) for v in x) or any((v is None) != (y[0] is None) for v in y):
        raise DataError("some entries of the data set have an image or data, and others have none")
    if any(set(p) != set(params[0]) for p in params):
        raise DataError("the entries of the data set have different parameters")
    return keys, Sample(
        _stack("images", x, keys) if x[0] is not None else None,
        _stack("data", y, keys) if y[0] is not None else None,
        {name: _stack(name, [p[name] for p in params], keys) for name in params[0]},
    )


def _stack(what: str, values: Sequence[Any], keys: Sequence[Key]) -> Any:
    def joined(*parts: Tensor) -> Tensor:
        shapes = {tuple(part.shape): i for (_, i), part in zip(keys, parts)}
        if len(shapes) > 1:
            (a, i), (b, j), *_ = shapes.items()
            raise ShapeError(
                f"{what} of one batch must have one shape; entry {i} is {a}, entry {j} is {b}. Crop them "
                "with a transform, such as RandomCrop."
            )
        return torch.stack(parts)

    return tree_map(joined, *values)


def measured(
    samples: tuple[list[Key], Sample],
    physics: Physics,
    parameters: Mapping[str, Callable[..., Any]],
    seed: int,
) -> Batch:
    """Move samples to the device of the physics, and measure them unless their data are stored.

    The random numbers of each are its own: they depend on the seed, the epoch and its index only.
    """
    keys, sample = samples
    device = physics.device

    def moved(t: Tensor) -> Tensor:
        return t.to(device, non_blocking=True)

    x = None if sample.x is None else moved(sample.x)
    params = {name: moved(p) for name, p in sample.params.items()}
    if sample.y is not None:
        return Batch(x, tree_map(moved, sample.y), physics.bind(**params), keys)
    generators = [sample_generator(seed, _DATA, *key, device=device) for key in keys]
    each = [drawn(parameters, g) for g in generators]
    params |= {name: torch.stack([d[name] for d in each]) for name in each[0]}
    physics = physics.bind(**params)
    return Batch(x, noisy(physics, physics.operator(x), generators), physics, keys)
