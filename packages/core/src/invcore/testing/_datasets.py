"""Checks for data sets: sequences of images, and those that write a raw file and a reference for a demo."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._errors import InvcoreError
from ..io import Acquisition, read
from ..run import reconstruct
from ._checks import fail, require_refused
from ._operator_inputs import require_no_global_randomness
from ._probes import distance, seeded, tensors_in


@contextmanager
def _written(dataset: Any, seed: int = 0) -> Iterator[tuple[Path, Path]]:
    """The raw file and the reference, in a folder that vanishes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        files = dataset.write(folder, generator=seeded(seed))
        if not (isinstance(files, tuple) and len(files) == 2 and all(isinstance(f, Path) for f in files)):
            fail(f"write returns {files!r}; expected the paths of the raw file and of the reference")
        for what, path in zip(("raw file", "reference"), files, strict=True):
            if not (path.exists() and path.resolve().is_relative_to(folder)):
                fail(f"write returns {path} as the {what}, which is not in the folder that it was given")
        yield files


def _digest(dataset: Any, seed: int) -> Tensor:
    """A digest of all that is written, names and contents."""
    digest = hashlib.sha256()
    with _written(dataset, seed) as (raw, _):
        for path in sorted(path for path in raw.parent.rglob("*") if path.is_file()):
            digest.update(path.name.encode() + path.read_bytes())
    return torch.tensor(list(digest.digest()), dtype=torch.float64)


def check_a_reader_recognizes_the_raw_file(dataset: Any) -> None:
    """``write`` gives a raw file that `invcore.read` recognizes, and a reference."""
    with _written(dataset) as (raw, _):
        try:
            read(raw)
        except InvcoreError as error:
            fail(f"the raw file {raw.name} cannot be read: {error}")


def check_same_seed_same_bytes(dataset: Any) -> None:
    """The same seed writes the same bytes, whatever the global random state; another seed writes others."""
    require_no_global_randomness(lambda: _digest(dataset, 1), f"{type(dataset).__name__}.write")
    if distance(_digest(dataset, 1), _digest(dataset, 2)) == 0:
        fail("seeds 1 and 2 write the same bytes: draw from the generator")


def check_needs_a_generator(dataset: Any) -> None:
    """``write`` without a generator is refused."""
    with tempfile.TemporaryDirectory() as folder:
        refused = (TypeError, InvcoreError)
        require_refused("write without a generator", refused, lambda: dataset.write(Path(folder)))


def check_the_demo_ends(dataset: Any) -> None:
    """The raw file is reconstructed and compared with the reference, here in three steps."""
    with _written(dataset) as (raw, reference):
        try:
            found = reconstruct(raw, reference=reference, max_steps=3, output=raw.parent / "result")
        except InvcoreError as error:
            fail(f"{raw.name} is not reconstructed and compared with {reference.name}: {error}")
        if not found.metrics:
            fail(f"the image is not compared with {reference.name}")


def _entry(dataset: Any, index: int) -> Any:
    """The tensors of an entry: an image, images and data, or what a record holds of them."""
    found = dataset[index]
    if isinstance(found, Acquisition):
        return found.y
    if dataclasses.is_dataclass(found):
        found = [getattr(found, field.name) for field in dataclasses.fields(found)]
    if not tensors_in(found):
        fail(f"dataset[{index}] is a {type(found).__name__}, which holds no tensor")
    return found


def check_indexing_ends(dataset: Any) -> None:
    """Entries run from 0 to ``len - 1``, or from the end; others raise IndexError, so that loops end."""
    n = len(dataset)
    if distance(_entry(dataset, n - 1), _entry(dataset, -1)) > 0:
        fail(f"dataset[-1] is not dataset[{n - 1}]")
    require_refused(f"dataset[{n}] of {n} entries", (IndexError,), lambda: dataset[n])
    require_refused(f"dataset[{-n - 1}] of {n} entries", (IndexError,), lambda: dataset[-n - 1])


def check_entries_are_the_same_each_time(dataset: Any) -> None:
    """An entry depends on its index only: not on what was read before, nor on a global random state."""
    first = _entry(dataset, 0)
    dataset[len(dataset) - 1]
    if distance(_entry(dataset, 0), first) > 0:
        fail("dataset[0] changes after another entry was read")
    require_no_global_randomness(lambda: _entry(dataset, 0), type(dataset).__name__)


def check_worker_processes_read_the_same(dataset: Any) -> None:
    """A pickled copy, as a DataLoader's worker gets it, gives the same entries."""
    if distance(_entry(pickle.loads(pickle.dumps(dataset)), 0), _entry(dataset, 0)) > 0:
        fail("a pickled copy gives another dataset[0]")


def checks(dataset: Any) -> list[Callable[[Any], None]]:
    """The checks for a data set, by what it offers: ``write``, or ``len`` and entries."""
    if hasattr(dataset, "write"):
        return [
            check_a_reader_recognizes_the_raw_file,
            check_same_seed_same_bytes,
            check_needs_a_generator,
            check_the_demo_ends,
        ]
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        fail(
            f"{type(dataset).__name__} is no data set: it needs write(folder, *, generator), or __len__ and "
            "__getitem__"
        )
    return [check_indexing_ends, check_entries_are_the_same_each_time, check_worker_processes_read_the_same]
