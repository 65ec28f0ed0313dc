"""`invcore.testing.fuzz` finds each kind of fault that is planted in a reader, and none in a sound one."""

import os
import time

import numpy as np
import pytest
import torch

from invcore import DataError, ParameterError, Physics
from invcore.io import Acquisition, Reader
from invcore.operators import Identity
from invcore.testing import ReaderExample, fuzz

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")
HEAD = b"RAWDATA\x00"


class Raw(Reader):
    """A header with the number of samples, float32 samples, nothing else."""

    exact, finite, sound = True, True, True

    def sniff(self, path):
        return path.is_file() and path.read_bytes()[:8] == HEAD

    def _read(self, path, options):
        if not self.sniff(path):
            raise DataError(f"{path} does not begin as it should")
        content = path.read_bytes()
        count = int.from_bytes(content[8:12], "little")
        if self.exact and len(content) != 12 + 4 * count:
            raise DataError(f"{path}: expected {count} samples")
        values = np.frombuffer(
            content[12 : 12 + 4 * count].ljust(4), "<f4", count=max(0, min(count, len(content) // 4 - 3))
        )
        if self.finite and not np.isfinite(values).all():
            raise DataError(f"{path} has samples that are not finite")
        if not len(values):
            raise DataError(f"{path} has no samples")
        self.at_last(content)
        y = torch.from_numpy(values.copy())[None]
        return Acquisition(y=y, physics=Physics(Identity(tuple(y.shape))))

    def at_last(self, content):
        pass


def damaged(content):
    """Whether the third sample is another one than the sample file's."""
    return content[12:24] != np.arange(1, 4, dtype="<f4").tobytes()


class Crashes(Raw):
    def at_last(self, content):
        if damaged(content):
            os.abort()


class Hangs(Raw):
    def at_last(self, content):
        if content[12:] != np.arange(1, 41, dtype="<f4").tobytes():
            time.sleep(60)


class Greedy(Raw):
    def at_last(self, content):
        if damaged(content):
            np.zeros(2**29)


class Untyped(Raw):
    def at_last(self, content):
        if damaged(content):
            raise KeyError("offset")


class Short(Raw):
    exact = False


class Careless(Raw):
    finite = False


def write(folder):
    path = folder / "scan.raw"
    path.write_bytes(HEAD + (40).to_bytes(4, "little") + np.arange(1, 41, dtype="<f4").tobytes())
    return path


def found(reader, **options):
    return fuzz(ReaderExample(reader, write), **options)


def test_a_sound_reader_has_no_findings():
    report = found(Raw(), inputs=150)
    assert report.findings == []
    assert report.inputs == 150
    assert report.outcomes["DataError"] > 50
    assert report.outcomes["the same data"] + report.outcomes["other data"] > 10


@pytest.mark.parametrize(
    "reader, kind",
    [(Crashes, "crash"), (Greedy, "memory"), (Untyped, "error"), (Short, "silent"), (Careless, "silent")],
)
def test_a_planted_fault_is_found(reader, kind):
    report = found(reader(), inputs=120)
    assert {f.kind for f in report.findings} == {kind}, report


def test_a_reader_that_hangs_is_stopped():
    report = found(Hangs(), inputs=8, seconds=0.5)
    assert {f.kind for f in report.findings} == {"hang"}, report


def test_an_input_is_drawn_again_by_its_number(tmp_path):
    report = found(Untyped(), inputs=60, keep=tmp_path)
    one = report.findings[0]
    again = found(Untyped(), inputs=range(one.index, one.index + 1))
    assert again.findings == [one]
    kept = tmp_path / f"Untyped-0-{one.index}"
    assert one.change in (kept / "finding.txt").read_text()
    assert damaged((kept / "scan.raw").read_bytes())


def test_a_name_that_is_no_reader():
    with pytest.raises(ParameterError, match=r"mri\.nonsense"):
        fuzz("mri.nonsense")
