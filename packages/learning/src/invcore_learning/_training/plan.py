"""Which samples make up which step: a function of the seed and the step alone, so that it needs no state."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from invcore import ParameterError

from .._data.sample import sample_generator

Key = tuple[int, int]
"""Epoch and index of an entry: what all its random numbers depend on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """The order of the samples.

    Attributes
    ----------
    length : int
        Entries of the data set.
    batch, accumulate, processes : int
        A step takes ``batch`` samples in each process, ``accumulate`` times.
    groups : sequence of int, optional
        The physics of each entry.
    physics : int
        How many there are.
    fixed : bool
        Whether a sample is the same in each epoch.
    """

    length: int
    batch: int
    accumulate: int = 1
    processes: int = 1
    groups: Sequence[int] | None = None
    physics: int = 1
    fixed: bool = False
    drop_last: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.length:
            raise ParameterError("train: the data set is empty")
        if self.groups is not None:
            if len(self.groups) != self.length:
                raise ParameterError(
                    f"train: groups says the physics of {len(self.groups)} entries, the data set has "
                    f"{self.length}"
                )
            if not all(0 <= g < self.physics for g in self.groups):
                raise ParameterError(f"train: groups must be from 0 to {self.physics - 1}, of the physics")
        if not self.steps:
            raise ParameterError(
                f"train: drop_last leaves nothing of {self.length} samples, a step has {self.size}. Choose a "
                "smaller batch."
            )

    @property
    def size(self) -> int:
        """Samples of a full step."""
        return self.batch * self.accumulate * self.processes

    @functools.cached_property
    def steps(self) -> int:
        """Steps in an epoch."""
        return len(self.epoch(0))

    def assigned(self, index: int) -> int | None:
        """The physics of an entry, None if it is drawn for each batch."""
        if self.groups is not None:
            return self.groups[index]
        return index % self.physics if self.fixed or self.physics == 1 else None

    @functools.lru_cache(maxsize=2)  # noqa: B019
    def epoch(self, epoch: int) -> list[tuple[int, list[int]]]:
        """Physics and samples of each step."""
        g = sample_generator(self.seed, 0, epoch)
        by_physics: dict[int | None, list[int]] = {}
        for i in torch.randperm(self.length, generator=g).tolist():
            by_physics.setdefault(self.assigned(i), []).append(i)
        parts = [
            (k, some[start : start + self.size])
            for k, some in sorted(by_physics.items(), key=lambda item: item[0] or 0)
            for start in range(0, len(some), self.size)
        ]
        if self.drop_last:
            parts = [(k, part) for k, part in parts if len(part) == self.size]
        if len(by_physics) > 1:
            parts = [parts[i] for i in torch.randperm(len(parts), generator=g).tolist()]
        return [
            (int(torch.randint(self.physics, (), generator=g)) if k is None else k, part) for k, part in parts
        ]

    def step(self, step: int) -> tuple[int, list[int], int]:
        """Physics, samples of all processes, and epoch of a step."""
        epoch, k = divmod(step, self.steps)
        return *self.epoch(epoch)[k], epoch

    def parts(self, step: int, rank: int) -> list[tuple[list[Key], tuple[int, ...], bool]]:
        """The batches of one process in a step: keys, positions in the step, and whether they count.

        A process without a sample takes one that does not count: all must go through the network.
        """
        _, samples, epoch = self.step(step)
        share = self.batch * self.processes
        found = []
        for start in range(0, len(samples), share):
            part = range(start, min(start + share, len(samples)))
            own = tuple(part[rank :: self.processes] or part[:1])
            keys = [(0 if self.fixed else epoch, samples[i]) for i in own]
            found.append((keys, own, rank < len(part)))
        return found

    def keys(self, first: int, last: int, rank: int) -> Iterator[list[Key]]:
        """All batches of one process between two steps."""
        for step in range(first, last):
            for keys, _, _ in self.parts(step, rank):
                yield keys
