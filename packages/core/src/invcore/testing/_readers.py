"""Checks for readers, on sample files that the examples write."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from .._errors import DataError, InvcoreError
from ..io import Acquisition, write_hdf5
from ..spaces import check
from ._checks import fail, require_refused, skip
from ._operator_inputs import require_no_global_randomness
from ._probes import distance, tensors_in

_FEW = 12
"""Files of a sample that are each cut in four places; of a folder of more each is cut in one."""
_HDF5 = b"\x89HDF\r\n\x1a\n"


@contextmanager
def _sample(example: Any) -> Iterator[tuple[Any, Path]]:
    """The reader and a sample file in a folder that vanishes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(example.write(Path(folder)))
        if not path.exists():
            fail(f"the example wrote no file {path.name}")
        yield example.reader, path


def _contents(path: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in _files(path)}


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.parent.rglob("*") if p.is_file())


def check_sniffs_its_sample(example: Any) -> None:
    """``sniff`` says True to the sample, and a bool."""
    with _sample(example) as (reader, path):
        if reader.sniff(path) is not True:
            fail(f"sniff({path.name!r}) is {reader.sniff(path)!r} for its own sample; expected True")


def check_sniffs_nothing_else(example: Any) -> None:
    """``sniff`` says False to other files, other contents of its container, missing ones; it never raises."""
    with _sample(example) as (reader, path), tempfile.TemporaryDirectory() as elsewhere:
        strange = {
            "an empty file": b"",
            "a text file": b"hello world\n" * 20,
            "random bytes": bytes((37 * i * i + 11 * i) % 256 for i in range(4096)),
            "a PNG header": b"\x89PNG\r\n\x1a\n" + bytes(64),
            "a gzip header": b"\x1f\x8b\x08" + bytes(64),
        }
        for what, content in strange.items():
            file = Path(elsewhere) / "other.xyz"
            file.write_bytes(content)
            _require_refused(reader, file, what)
        ending = "".join(path.suffixes)
        if path.is_file() and path.read_bytes()[:8] == _HDF5:
            foreign = Path(elsewhere) / f"other{ending}"
            write_hdf5(foreign, lambda file: file.create_dataset("something_else", data=[1.0, 2.0]))
            _require_refused(reader, foreign, "an HDF5 file of something else")
        _require_refused(reader, Path(elsewhere) / f"missing{ending}", "a file that does not exist")
        _require_refused(reader, Path(elsewhere) / f"{'a' * 300}{ending}", "a name that is too long")
        _require_refused(reader, Path(elsewhere) / f"\0{ending}", "a name with a zero byte")
        _require_refused(reader, Path(elsewhere), "a folder that is not one of its own")


def _require_refused(reader: Any, path: Path, what: str) -> None:
    try:
        claimed = reader.sniff(path)
    except Exception as error:
        fail(f"sniff raises {type(error).__name__} for {what}; it should say False: {error}")
    if claimed:
        fail(f"sniff claims {what}")


def check_reads_its_sample(example: Any) -> None:
    """``read`` gives an Acquisition whose data are finite and lie in the range of its physics."""
    with _sample(example) as (reader, path):
        found = reader.read(path)
        if not isinstance(found, Acquisition):
            fail(f"read returns {type(found).__name__}, not an Acquisition")
        try:
            check(found.y, found.physics.range, "acquisition.y")
        except InvcoreError as error:
            fail(f"the data do not lie in the range of the physics: {error}")
        for t in tensors_in(found.y):
            if not bool(torch.isfinite(t).all()):
                fail("the data hold NaN or infinity")
        if not all(isinstance(k, str) for k in found.metadata):
            fail("the names of metadata must be strings")


def check_reads_twice_the_same(example: Any) -> None:
    """Reading again gives the same data, and depends on no global random state."""
    with _sample(example) as (reader, path):
        require_no_global_randomness(lambda: reader.read(path).y, type(reader).__name__)


def check_file_is_not_modified(example: Any) -> None:
    """Neither ``sniff`` nor ``read`` changes a file or leaves one behind."""
    with _sample(example) as (reader, path):
        before = _contents(path)
        reader.sniff(path)
        reader.read(path)
        after = _contents(path)
        if after != before:
            names = sorted(set(before.items()) ^ set(after.items()))
            fail(f"reading changes, adds or removes files: {sorted({n for n, _ in names})}")


def check_truncated_file_raises(example: Any) -> None:
    """A truncated file raises a DataError that names it, unless what was cut says nothing."""
    with _sample(example) as (reader, path):
        whole: Any = None
        files = _files(path)
        for i, file in enumerate(files):
            full = file.read_bytes()
            cuts = [0, len(full) // 3, (9 * len(full)) // 10, len(full) - 1]
            for keep in sorted(set(cuts if len(files) <= _FEW else cuts[i % len(cuts) :][:1])):
                file.write_bytes(full[:keep])
                what = f"{file.name} cut to {keep} of {len(full)} bytes"
                try:
                    found = reader.read(path).y
                except DataError as error:
                    if file.stem not in str(error):
                        fail(f"{what}: the error does not name the file: {error}")
                    continue
                except Exception as error:
                    fail(f"{what} raises {type(error).__name__} instead of DataError: {error}")
                finally:
                    file.write_bytes(full)
                whole = reader.read(path).y if whole is None else whole
                if distance(found, whole) > 0:
                    fail(f"{what} is read without an error, and gives other data than the whole file")


def check_garbage_raises(example: Any) -> None:
    """A file of its name with other contents raises a DataError instead of giving data."""
    with _sample(example) as (reader, path):
        if path.is_dir():
            skip("the format is a folder")
        for content in (b"", b"not what you think\n" * 50, bytes(range(256)) * 16):
            path.write_bytes(content)
            what = f"garbage of {len(content)} bytes in {path.name}"
            require_refused(what, (DataError,), functools.partial(reader.read, path))


def checks(example: Any) -> list[Callable[[Any], None]]:
    """The checks for a reader and a sample."""
    return [
        check_sniffs_its_sample,
        check_sniffs_nothing_else,
        check_reads_its_sample,
        check_reads_twice_the_same,
        check_file_is_not_modified,
        check_truncated_file_raises,
        check_garbage_raises,
    ]
