"""Simulated measurements on disk: written once, read by every training."""

from __future__ import annotations

import bisect
import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch
from rich.progress import track
from torch import Tensor

import invcore
from invcore import DataError, ParameterError, Physics
from invcore.io import atomic_path, open_hdf5, own_dataset, own_node, own_values, provenance, write_hdf5
from invcore.spaces import batch_shape, tree_map

from .sample import Sample, drawn, noisy, sample_generator

_BATCH_BYTES = 16e6
"""Of samples that are measured together."""
_FORMAT = 2
_OPEN = 32
"""Shards that a process keeps open."""


def generate(
    dataset: Any,
    physics: Physics,
    path: str | os.PathLike[str],
    *,
    parameters: Mapping[str, Callable[..., Tensor]] | None = None,
    seed: int = 0,
    shard_bytes: float = 64e6,
    progress: bool = False,
) -> Store:
    """Simulate the measurements of a data set, and write images, data and parameters to a folder.

    Sample i depends on the seed and on i only, whatever is measured with it. A run that was interrupted, or
    killed, goes on where it stopped and gives the same bytes; shards appear whole or not at all, each with a
    checksum.

    Parameters
    ----------
    dataset : sequence of Tensor, shape (channel, *spatial)
        Images, or `Sample` with one; their sizes may differ if the physics allows it.
    physics : Physics
        What measures them, on its device; stored with the data.
    path : str or Path
        The folder, made if it is missing.
    parameters : dict of str to generator, optional
        Parameters ξ that are drawn for each sample, such as
        ``{"mask": invcore.generator("mask_random", …)}``; they are stored, too.
    seed : int
    shard_bytes : float
        Size of a file in bytes, about.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Store
        Of `Sample`.

    Raises
    ------
    DataError
        If the folder holds a store that was made otherwise; the message names the difference.
    ParameterError
        If the physics has no parameter of a name in ``parameters``.

    Examples
    --------
    >>> import tempfile
    >>> from invcore.operators import Mask
    >>> physics = Physics(Mask(torch.ones(1, 8, 8), (1, 8, 8)))
    >>> draw = invcore.generator("mask_random", (8, 8), keep=0.5)
    >>> images = invcore.dataset("dead_leaves", length=3, size=(8, 8))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = generate(images, physics, folder, parameters={"mask": draw})
    ...     len(store), store[1].x.shape, list(store[1].params)
    (3, torch.Size([1, 8, 8]), ['mask'])
    """
    folder, parameters = Path(path), dict(parameters or {})
    if not len(dataset):
        raise ParameterError("generate: the data set is empty")

    def begun(i: int) -> _Begun:
        g = sample_generator(seed, i, device=physics.device)
        params = {name: value.to(physics.device) for name, value in drawn(parameters, g).items()}
        return _Begun(i, _image(dataset[i]).to(physics.device), params, g)

    first = _measured([begun(0)], physics)[1].one(0)
    batch = max(1, int(_BATCH_BYTES // max(sum(t.nbytes for t in _tensors(first)), 1)))
    if batch_shape(first.y, physics.bind(**first.params).range):  # the physics has a batch of its own
        batch = 1
    shard = max(1, int(shard_bytes // max(sum(t.nbytes for t in _tensors(first)), 1)))
    folder.mkdir(parents=True, exist_ok=True)
    stored = _stored_physics(physics, folder)
    made = {
        "format": _FORMAT,
        "length": len(dataset),
        "shard": shard,
        "seed": seed,
        "physics": stored,
        "parameters": {name: repr(draw) for name, draw in parameters.items()},
        "first sample": _digest(first),
        "last image": _digest(_image(dataset[len(dataset) - 1])),
    }
    _begin(folder, made)
    missing = [k for k in range(-(-len(dataset) // shard)) if not _shard(folder, k).exists()]
    shown: Any = track(missing, description="Measuring") if progress else missing
    for k in shown:
        own = map(begun, range(k * shard, min((k + 1) * shard, len(dataset))))
        runs = dict(_measured(some, physics) for some in _alike(own, batch))
        write_hdf5(_shard(folder, k), _filling(runs), digest=True)
    return Store(folder)


class _Begun(NamedTuple):
    """A sample before it is measured, with the generator of its noise."""

    number: int
    x: Tensor
    params: dict[str, Tensor]
    generator: torch.Generator


def _alike(begun: Iterable[_Begun], batch: int) -> Iterator[list[_Begun]]:
    """Runs of samples of one shape, in their order."""
    kind = lambda one: (one.x.shape, one.x.dtype, {name: p.shape for name, p in one.params.items()})
    some: list[_Begun] = []
    for one in begun:
        if some and (len(some) == batch or kind(one) != kind(some[0])):
            yield some
            some = []
        some.append(one)
    if some:
        yield some


class _Run(NamedTuple):
    """Samples one after the other, all tensors with a dimension for them in front."""

    x: Tensor
    y: Any
    params: dict[str, Tensor]

    def one(self, j: int) -> Sample:
        """The j-th of them."""
        return Sample(self.x[j], tree_map(lambda t: t[j], self.y), {k: p[j] for k, p in self.params.items()})


def _measured(some: Sequence[_Begun], physics: Physics) -> tuple[int, _Run]:
    """The index of the first sample, and all; each has the numbers of it alone, but for rounding."""
    first, x = some[0], torch.stack([one.x for one in some])
    params = {name: torch.stack([one.params[name] for one in some]) for name in first.params}
    if len(some) == 1:
        y = physics.bind(**first.params)(first.x, generator=first.generator)
        return first.number, _Run(x, tree_map(lambda t: t.unsqueeze(0), y), params)
    bound = physics.bind(**params)
    y = noisy(bound, bound.operator(x), [one.generator for one in some])
    return first.number, _Run(x, y, params)


class Store:
    """The samples in a folder that `generate` wrote: a data set of `Sample`.

    A shard is compared with its checksum when a process first reads from it. A store may be used by worker
    processes, forked or spawned.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    DataError
        If it is no store or not complete; when a sample is read, if its shard was changed since: the message
        names the file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.made = _read_manifest(self.path)
        names = [_shard(self.path, k) for k in range(-(-len(self) // self.made["shard"]))]
        missing = [shard.name for shard in names if not shard.exists()]
        if missing:
            raise DataError(
                f"{self.path} is not complete: {len(missing)} of {len(names)} files are missing, first "
                f"{missing[0]}. Call generate again, with the same arguments: it goes on there."
            )
        self._files: OrderedDict[int, tuple[ExitStack, h5py.File, list[int]]] = OrderedDict()
        self._process = os.getpid()
        self._compared: set[int] = set()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_files": OrderedDict()}

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r}, {len(self)} samples)"

    def __len__(self) -> int:
        return int(self.made["length"])

    def __getitem__(self, index: int) -> Sample:
        """Read a sample, on the CPU."""
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"sample {index} of {n}")
        i = index % n
        file, runs = self._opened(i // self.made["shard"])
        first = runs[bisect.bisect_right(runs, i) - 1] if runs else 0
        read = lambda name: _read(file, f"{first}/{name}", i - first)
        params = {name: read(f"params/{name}") for name in own_node(file, f"{first}/params") or ()}
        held = own_node(file, f"{first}/y")
        blocks = range(len(held)) if isinstance(held, h5py.Group) else None
        y = read("y") if blocks is None else tuple(read(f"y/{j}") for j in blocks)
        return Sample(read("x"), y, params)

    def _opened(self, k: int) -> tuple[h5py.File, list[int]]:
        """The file of a shard, and the first samples of its runs."""
        if self._process != os.getpid():  # an open file must not be used in a forked process
            self._files, self._process = OrderedDict(), os.getpid()
        if k in self._files:
            self._files.move_to_end(k)
            return self._files[k][1:]
        path = _shard(self.path, k)
        if k not in self._compared:
            with open_hdf5(path, digest=True):
                self._compared.add(k)
        closing = ExitStack()
        file = closing.enter_context(open_hdf5(path))
        self._files[k] = closing, file, sorted(int(name) for name in file if name.isdecimal())
        if len(self._files) > _OPEN:
            self._files.popitem(last=False)[1][0].close()
        return self._files[k][1:]

    @property
    def physics(self) -> Physics:
        """The physics that made the data; bind the parameters of a sample to it.

        Raises
        ------
        DataError
            If it could not be stored, for the reason that the message gives.
        """
        if "reason" in self.made["physics"]:
            raise DataError(f"{self.path} holds no physics: {self.made['physics']['reason']}")
        found = invcore.models.load(self.path / "physics.safetensors")
        if not isinstance(found, Physics):
            raise DataError(f"{self.path / 'physics.safetensors'} holds a {type(found).__name__}, no physics")
        return found


def _image(entry: Any) -> Tensor:
    x = entry.x if isinstance(entry, Sample) else entry
    if not isinstance(x, Tensor):
        raise ParameterError(
            f"generate: the entries of the data set must be images (tensors) or Sample, got "
            f"{type(x).__name__}"
        )
    return x


def _tensors(sample: Sample) -> Iterator[Tensor]:
    if sample.x is not None:
        yield sample.x
    yield from sample.y if isinstance(sample.y, tuple) else (sample.y,)
    yield from sample.params.values()


def _digest(held: Sample | Tensor) -> str:
    found = hashlib.sha256()
    for t in (held,) if isinstance(held, Tensor) else _tensors(held):
        found.update(repr((t.dtype, tuple(t.shape))).encode() + _array(t).tobytes())
    return found.hexdigest()


def _array(t: Tensor) -> np.ndarray:
    return t.detach().resolve_conj().resolve_neg().cpu().contiguous().numpy()


def _stored_physics(physics: Physics, folder: Path) -> dict[str, str]:
    """What the manifest says of it: a digest of its file, or why there is none."""
    path = folder / "physics.safetensors"
    try:
        with_path = invcore.models.save(physics.to("cpu"), path.with_name(".new-physics.safetensors"))
    except ParameterError as error:
        return {"repr": repr(physics), "reason": str(error)}
    data = with_path.read_bytes()
    with_path.unlink()
    found = hashlib.sha256(data).hexdigest()
    if not path.exists():
        with atomic_path(path) as partial:
            partial.write_bytes(data)
    return {"repr": repr(physics), "sha256": found}


def _begin(folder: Path, made: dict[str, Any]) -> None:
    """Write the manifest, or compare it with the one that is there."""
    path = folder / "store.json"
    if path.exists():
        old = _read_manifest(folder)
        different = [key for key in made if old.get(key) != made[key]]
        if different:
            key = different[0]
            raise DataError(
                f"{folder} holds a store that was made otherwise: its {key} is {str(old.get(key))[:100]}, "
                f"this one's {str(made[key])[:100]}. Choose another folder, or delete that one."
            )
        return
    with atomic_path(path) as partial:
        partial.write_text(json.dumps({**made, "record": provenance(seed=made["seed"])}, indent=1))


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "store.json"
    if not path.is_file():
        raise DataError(f"{folder} is no store: it has no store.json. invcore_learning.generate writes one.")
    try:
        made = json.loads(path.read_text())
        good = made["format"] == _FORMAT and made["length"] >= 1 and made["shard"] >= 1
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {error}") from error
    if not good:
        raise DataError(f"{path} is of another format, or damaged")
    return made


def _shard(folder: Path, k: int) -> Path:
    return folder / f"shard-{k:05d}.h5"


def _filling(runs: Mapping[int, _Run]) -> Callable[[h5py.File], None]:
    def fill(file: h5py.File) -> None:
        for first, run in runs.items():
            group = file.create_group(str(first))
            group["x"] = _array(run.x)
            if isinstance(run.y, tuple):
                for j, block in enumerate(run.y):
                    group[f"y/{j}"] = _array(block)
            else:
                group["y"] = _array(run.y)
            held = group.create_group("params")
            for name, value in run.params.items():
                held[name] = _array(value)

    return fill


def _read(file: h5py.File, name: str, j: int) -> Tensor:
    data = own_dataset(file, name)
    if data is None or not data.ndim or not 0 <= j < len(data):
        raise DataError(
            f"{file.filename} has no {name} of sample {j}: it was not written by invcore_learning.generate"
        )
    return torch.from_numpy(own_values(data, j))
