"""`fuzz`: damaged copies of a reader's sample files, read in child processes with bounded memory and time."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .._errors import InvcoreError, MissingDependencyError, ParameterError
from .._registry.registry import Registered, registry
from .._value import Value
from ..io import Acquisition
from ..spaces import check
from ._child import answers
from ._example import ReaderExample
from ._mutations import Mutation, mutation
from ._probes import distance, tensors_in

_SLOW_SNIFF = 2.0  # seconds
_SLOW_SAMPLE = 1.0  # seconds; a sample that takes longer to read whole is left out
_EACH = 200  # inputs per child process


@dataclass(frozen=True)
class Finding:
    """An input that a reader must not answer as it does.

    Attributes
    ----------
    sample : str
        Label of the sample that was damaged.
    index : int
        Number of the input: with the same seed, it is drawn again.
    change : str
        What was changed.
    kind : {"crash", "hang", "memory", "error", "silent", "sniff"}
        The process ended; it did not answer in time; memory ran out; an exception that is no `InvcoreError`;
        other data without an error where there can be none, or data or physics that are not finite; `sniff`
        raised or was slow.
    message : str
    """

    sample: str
    index: int
    change: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.sample}, input {self.index}: {self.change}: {self.message}"


@dataclass
class FuzzReport:
    """Figures of a fuzz session of one reader.

    Attributes
    ----------
    name : str
        The reader.
    outcomes : Counter
        How often an input was read to the same data, to other data, to another shape, or refused with which
        error.
    findings : list of Finding
        What must not be.
    seconds : float
        Processor time of the slowest input.
    memory : int
        Bytes that the greediest input needed.
    skipped : list of str
        Samples left out, and why.
    """

    name: str
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    memory: int = 0
    skipped: list[str] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        """Number of inputs tried."""
        return sum(self.outcomes.values())

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {what}" for what, count in self.outcomes.most_common())
        line = f"{self.name}: {self.inputs} inputs ({kinds}); slowest {self.seconds:.1f} s, "
        lines = [f"{line}at most {self.memory / 2**20:.0f} MiB; {len(self.findings)} findings"]
        return "\n".join(
            lines + [f"  left out: {text}" for text in self.skipped] + [f"  {f}" for f in self.findings]
        )


def fuzz(
    reader: str | Registered | ReaderExample,
    *,
    inputs: int | Sequence[int] = 200,
    seed: int = 0,
    seconds: float = 10.0,
    memory: int = 2 * 2**30,
    samples: Mapping[str, Callable[[Path], Path]] | None = None,
    keep: str | os.PathLike[str] | None = None,
) -> FuzzReport:
    """Read damaged copies of a reader's sample files, each of which must give an error or finite data.

    Bits, numbers, header cards, lengths, blocks and whole files are changed; what is known of the structure
    of FITS, TIFF, HDF5, MATLAB 5, DICOM, MRC, OLE, PTU and text directs it. Each input is read in a child
    process with bounded memory and time, so that a crash or a hang is a finding, not an end. `sniff` is
    asked too, that of one other reader included. An input depends on seed and number only.

    Parameters
    ----------
    reader : str, Registered or ReaderExample
        A reader's registered name, its record, or the reader itself with one sample.
    inputs : int or sequence of int
        How many inputs, or the numbers of those to draw.
    seed : int
    seconds : float
        Limit of processor time for an input; it may wait six times as long.
    memory : int
        Bytes that an input may take beyond what the libraries do.
    samples : mapping of str to callable, optional
        Further samples: functions that write one into a folder and return the path to read.
    keep : path, optional
        Folder for the inputs that make findings, one folder each.

    Returns
    -------
    FuzzReport

    Raises
    ------
    ParameterError
        If there is no such reader, it has no examples, or the system cannot fork.
    MissingDependencyError
        If a package that the reader needs is not installed.

    Examples
    --------
    >>> fuzz("no.such.reader")
    Traceback (most recent call last):
        ...
    invcore._errors.ParameterError: 'no.such.reader' is not a registered reader with examples
    """
    if not hasattr(os, "fork"):
        raise ParameterError("fuzz needs a system that can fork (Linux, macOS)")
    name, one, writers = _resolved(reader)
    report = FuzzReport(name)
    with tempfile.TemporaryDirectory(prefix="invcore-fuzz-") as folder:
        held = [
            sample
            for label, write in {**writers, **(samples or {})}.items()
            if (sample := _Sample.written(label, write, one, Path(folder), report)) is not None
        ]
        if held:
            work = _Work(one, _others(one), held, name, seed, Path(folder) / "scratch")
            numbers = list(range(inputs) if isinstance(inputs, int) else inputs)
            for start in range(0, len(numbers), _EACH):
                _batch(work, numbers[start : start + _EACH], seconds, memory, report)
            if keep is not None:
                for found in report.findings:
                    work.save(found, Path(keep))
    return report


def _resolved(reader: str | Registered | ReaderExample) -> tuple[str, Any, dict[str, Callable[[Path], Path]]]:
    if isinstance(reader, ReaderExample):
        return type(reader.reader).__name__, reader.reader, {"sample": reader.write}
    if isinstance(reader, Registered):
        found: Registered | None = reader
    else:
        found = next(iter(registry().components("reader", name=reader)), None)
    if found is None or not found.examples:
        raise ParameterError(f"{reader!r} is not a registered reader with examples")
    target = found.load()
    writers: Any = found.load_examples()
    return found.name, target() if isinstance(target, type) else target, dict(writers)


def _others(reader: Any) -> list[Any]:
    """Every other reader that can be loaded: each may be asked about any file."""
    found = []
    for component in registry().components("reader"):
        try:
            other = component.load()
        except (InvcoreError, ImportError):
            continue
        other = other() if isinstance(other, type) else other
        if type(other) is not type(reader):
            found.append(other)
    return found


@dataclass
class _Sample:
    label: str
    files: dict[str, bytes]
    named: str
    y: Any

    @classmethod
    def written(
        cls, label: str, write: Callable[[Path], Path], reader: Any, folder: Path, report: FuzzReport
    ) -> _Sample | None:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            path = Path(write(Path(place)))
            try:
                reader.read(path)
                begun = time.process_time()
                y = reader.read(path).y
            except MissingDependencyError:
                raise
            except InvcoreError as error:
                report.skipped.append(f"{label}: {error}")
                return None
            if (took := time.process_time() - begun) > _SLOW_SAMPLE:
                report.skipped.append(f"{label}: takes {took:.1f} s to read whole")
                return None
            files = {
                p.relative_to(place).as_posix(): p.read_bytes()
                for p in sorted(Path(place).rglob("*"))
                if p.is_file()
            }
            return cls(label, files, path.relative_to(place).as_posix(), y)


@dataclass
class _Work:
    """What a child process does with the number of an input."""

    reader: Any
    others: Sequence[Any]
    samples: Sequence[_Sample]
    name: str
    seed: int
    scratch: Path

    def drawn(self, number: int) -> tuple[_Sample, Mutation, random.Random]:
        draw = random.Random(f"{self.name} {self.seed} {number}")
        sample = draw.choice(self.samples)
        return sample, mutation(sample.files, sample.named, draw), draw

    @contextmanager
    def laid_out(self, sample: _Sample, change: Mutation) -> Iterator[Path]:
        """The damaged sample as files; what was changed is put back afterwards."""
        folder = self.scratch / sample.label.replace("/", "_")
        if not folder.exists():
            for name, content in sample.files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
        place = folder / change.file
        _put(place, change.content)
        try:
            yield folder / sample.named
        finally:
            _put(place, sample.files[change.file])

    def save(self, finding: Finding, folder: Path) -> None:
        """Keep a finding's input as a folder."""
        sample, change, _ = self.drawn(finding.index)
        target = folder / f"{self.name}-{self.seed}-{finding.index}"
        shutil.rmtree(target, ignore_errors=True)
        with self.laid_out(sample, change) as path:
            root = self.scratch / sample.label.replace("/", "_")
            if isinstance(change.content, bytes):
                shutil.copytree(root, target)
            else:
                target.mkdir(parents=True)
        (target / "finding.txt").write_text(f"read {path.relative_to(root)}\n{finding}\n")

    def answer(self, number: int) -> dict[str, Any]:
        """Ask the reader about one input: ``outcome``, and ``kind`` and ``message`` if it must not be so."""
        sample, change, draw = self.drawn(number)
        with self.laid_out(sample, change) as path:
            for reader in (self.reader, *([draw.choice(self.others)] if self.others else [])):
                begun = time.process_time()
                try:
                    reader.sniff(path)
                except Exception as error:
                    return _found("sniff raises", "sniff", f"{type(reader).__name__}.sniff: {_told(error)}")
                if (took := time.process_time() - begun) > _SLOW_SNIFF:
                    return _found(
                        "sniff is slow", "sniff", f"{type(reader).__name__}.sniff takes {took:.1f} s"
                    )
            try:
                found = self.reader.read(path)
            except InvcoreError as error:
                if _out_of_memory(error):
                    return _found("memory", "memory", _told(error))
                return {"outcome": type(error).__name__}
            except MemoryError as error:
                return _found("memory", "memory", _told(error))
            except Exception as error:
                return _found(type(error).__name__, "error", _told(error))
            return _judged(found, sample.y, change)


def _found(outcome: str, kind: str, message: str) -> dict[str, Any]:
    return {"outcome": outcome, "kind": kind, "message": message[:500]}


def _told(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno} {last.name})"


def _out_of_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _judged(found: Any, whole: Any, change: Mutation) -> dict[str, Any]:
    if not isinstance(found, Acquisition):
        return _found("no Acquisition", "error", f"read returns {type(found).__name__}")
    try:
        check(found.y, found.physics.range, "acquisition.y")
    except InvcoreError as error:
        return _found(
            "outside the range", "silent", f"the data do not lie in the range of the physics: {error}"
        )
    if not all(bool(torch.isfinite(t).all()) for t in tensors_in(found.y)):
        return _found("not finite", "silent", "the data hold NaN or infinity")
    for place, number in _numbers(found.physics, "physics"):
        if not bool(torch.isfinite(number).all()):
            return _found("not finite", "silent", f"{place} holds NaN or infinity")
    far = distance(found.y, whole)
    if far == 0:
        return {"outcome": "the same data"}
    if change.strict:
        return _found("silent", "silent", "read without an error, to other data than those of the whole file")
    shapes = [[t.shape for t in tensors_in(y)] for y in (found.y, whole)]
    return {"outcome": "other data" if shapes[0] == shapes[1] else "another shape"}


def _numbers(value: Any, place: str, deep: int = 6) -> Iterator[tuple[str, torch.Tensor]]:
    """Real and complex tensors and floats among the fields of a value, by their places."""
    if isinstance(value, torch.Tensor):
        yield place, value
    elif isinstance(value, float):
        yield place, torch.tensor(value)
    elif isinstance(value, Value) and deep:
        for name, entry in vars(value).items():
            yield from _numbers(entry, f"{place}.{name}", deep - 1)
    elif isinstance(value, tuple) and deep and len(value) < 1000:
        for k, entry in enumerate(value):
            yield from _numbers(entry, f"{place}[{k}]", deep - 1)


def _put(place: Path, content: Any) -> None:
    if place.is_dir() and not place.is_symlink():
        place.rmdir()
    else:
        place.unlink(missing_ok=True)
    if isinstance(content, bytes):
        place.write_bytes(content)
    elif content == "folder":
        place.mkdir()
    elif content == "fifo":
        os.mkfifo(place)
    elif content == "device":
        place.symlink_to("/dev/zero")
    elif content == "loop":
        place.symlink_to(place.name)


# -- child processes ----------------------------------------------------------------------------------


def _batch(work: _Work, numbers: list[int], seconds: float, memory: int, report: FuzzReport) -> None:
    """Answer the inputs in a child process; in a further one after each that ended it."""
    while numbers:
        lines, ended = answers(work.answer, numbers, seconds, memory)
        for line in lines:
            _record(work, report, numbers.pop(0), line)
        if numbers:
            shutil.rmtree(work.scratch, ignore_errors=True)  # the damaged sample is still there
            number = numbers.pop(0)
            _record(work, report, number, _found(ended[0], ended[0], ended[1]))


def _record(work: _Work, report: FuzzReport, number: int, line: dict[str, Any]) -> None:
    report.outcomes[line["outcome"]] += 1
    report.seconds = max(report.seconds, line.get("seconds", 0.0))
    report.memory = max(report.memory, line.get("memory", 0))
    if "kind" in line:
        sample, change, _ = work.drawn(number)
        what = f"{change.file} {change.what}"
        report.findings.append(Finding(sample.label, number, what, line["kind"], line["message"]))
