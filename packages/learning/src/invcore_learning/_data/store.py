"""Simulated measurements on disk: written once, read by every training."""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from rich.progress import track
from torch import Tensor

import invcore
from invcore import DataError, ParameterError, Physics
from invcore.io import atomic_path, open_hdf5, own_dataset, own_node, own_values, provenance, write_hdf5

from .sample import Sample, drawn, sample_generator

_FORMAT = 1
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

    Sample i depends on the seed and on i only. A run that was interrupted, or killed, goes on where it
    stopped and gives the same bytes; shards appear whole or not at all, each with a checksum.

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

    def measured(i: int) -> Sample:
        g = sample_generator(seed, i, device=physics.device)
        params = {name: value.to(physics.device) for name, value in drawn(parameters, g).items()}
        x = _image(dataset[i]).to(physics.device)
        return Sample(x, physics.bind(**params)(x, generator=g), params)

    first = measured(0)
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
        samples = {i: measured(i) for i in range(k * shard, min((k + 1) * shard, len(dataset)))}
        write_hdf5(_shard(folder, k), _filling(samples), digest=True)
    return Store(folder)


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
        self._files: OrderedDict[int, tuple[ExitStack, h5py.File]] = OrderedDict()
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
        k = i // self.made["shard"]
        file = self._opened(k)
        params = {name: _read(file, f"{i}/params/{name}") for name in own_node(file, f"{i}/params") or ()}
        return Sample(_read(file, f"{i}/x"), _blocks(file, f"{i}/y"), params)

    def _opened(self, k: int) -> h5py.File:
        if self._process != os.getpid():  # an open file must not be used in a forked process
            self._files, self._process = OrderedDict(), os.getpid()
        if k in self._files:
            self._files.move_to_end(k)
            return self._files[k][1]
        path = _shard(self.path, k)
        if k not in self._compared:
            with open_hdf5(path, digest=True):
                self._compared.add(k)
        closing = ExitStack()
        self._files[k] = closing, closing.enter_context(open_hdf5(path))
        if len(self._files) > _OPEN:
            self._files.popitem(last=False)[1][0].close()
        return self._files[k][1]

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


def _filling(samples: Mapping[int, Sample]) -> Callable[[h5py.File], None]:
    def fill(file: h5py.File) -> None:
        for i, sample in samples.items():
            group = file.create_group(str(i))
            group["x"] = _array(sample.x)  # type: ignore[arg-type]
            if isinstance(sample.y, tuple):
                for j, block in enumerate(sample.y):
                    group[f"y/{j}"] = _array(block)
            else:
                group["y"] = _array(sample.y)
            held = group.create_group("params")
            for name, value in sample.params.items():
                held[name] = _array(value)

    return fill


def _read(file: h5py.File, name: str) -> Tensor:
    data = own_dataset(file, name)
    if data is None:
        raise DataError(f"{file.filename} has no {name}: it was not written by invcore_learning.generate")
    return torch.from_numpy(own_values(data))


def _blocks(file: h5py.File, name: str) -> Any:
    node = own_node(file, name)
    if isinstance(node, h5py.Group):
        return tuple(_read(file, f"{name}/{j}") for j in range(len(node)))
    return _read(file, name)
