"""A damaged MATLAB file is an error: SciPy's reader, given the same bytes, may end the process."""

import struct
import zlib

import numpy as np
import pytest

from invcore import DataError
from invcore.io import MatlabVariable, matlab_variables

scipy_io = pytest.importorskip("scipy.io")
sparse = pytest.importorskip("scipy.sparse")


def variables():
    cells = np.empty((2, 3), dtype=object)
    for place in np.ndindex(cells.shape):
        cells[place] = np.arange(place[1], dtype=np.int32).reshape(-1, 1)
    return {
        "numbers": np.ones((3, 4)),
        "waves": np.ones((2, 2)) * 1j,
        "cells": cells,
        "struct": {"x": 1.0, "name": "größer", "inner": {"q": np.zeros((0, 3))}},
        "text": np.array(["ab", "cd"]),
        "truth": np.array([[True, False]]),
        "sparse": sparse.csc_matrix(np.eye(4)),
        "empty": "",
    }


def whole(path, pack=False):
    scipy_io.savemat(path, variables(), do_compression=pack)
    return path.read_bytes()


@pytest.mark.parametrize("pack", [False, True])
def test_names_classes_and_shapes_are_those_that_scipy_reads(tmp_path, pack):
    whole(tmp_path / "a.mat", pack)
    found = matlab_variables(tmp_path / "a.mat")
    read = scipy_io.loadmat(tmp_path / "a.mat", variable_names=list(found), chars_as_strings=False)
    assert {n: v.shape for n, v in found.items()} == {n: read[n].shape for n in variables()}
    assert found["cells"] == MatlabVariable("cell", (2, 3)) and found["truth"].kind == "uint8"
    assert found == matlab_variables(tmp_path / "a.mat", whole=False)


def test_every_truncation_is_seen(tmp_path):
    for pack in (False, True):
        content = whole(tmp_path / "a.mat", pack)
        ends, at = {128}, 128  # between variables
        while at < len(content):
            at += 8 + struct.unpack_from("<I", content, at + 4)[0]
            ends.add(at)
        for keep in set(range(0, len(content), 7)) - ends:
            (tmp_path / "cut.mat").write_bytes(content[:keep])
            with pytest.raises(DataError, match=r"cut\.mat"):
                matlab_variables(tmp_path / "cut.mat")


def test_what_a_header_declares_is_compared_with_the_file(tmp_path):
    """One variable of 12 doubles: flags at 136, dimensions at 152, name at 168, numbers at 184."""
    path = tmp_path / "a.mat"
    scipy_io.savemat(path, {"numbers": np.ones((3, 4))})
    content = path.read_bytes()
    changes = {
        (132, 2**30): "an element of 1073741824 bytes",
        (136, 5): "flags",
        (144, 99): "no class 99",
        (160, 2**31 - 1): "8589934588 values are declared",
        (160, 2**32 - 4): "has the dimensions",
        (152, 14): "no integers",
        (168, 14): "no text",
        (184, 200): "of type 200, not numbers",
        (184, 14): "of type 14, not numbers",
        (188, 2**31): "an element of 2147483648 bytes",
        (188, 88): "12 values are declared",
        (128, 15): "damaged",
        (124, 0x49490100): "version 5 to 7.2",
    }
    for (at, number), message in changes.items():
        bad = content[:at] + struct.pack("<I", number) + content[at + 4 :]
        path.write_bytes(bad)
        with pytest.raises(DataError, match=message):
            matlab_variables(path)


def test_bombs_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("invcore._files.matlab._PLAIN", 2**20)

    def element(kind, body):
        return struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8)

    def array(kind, shape, parts):
        head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape))
        return element(14, head + element(1, b"a") + parts)

    def packed(body):
        return struct.pack("<II", 15, len(body)) + body

    def written(body):
        (tmp_path / "a.mat").write_bytes(b"MATLAB".ljust(124) + b"\x00\x01IM" + body)
        return tmp_path / "a.mat"

    deep = array(6, (1, 1), element(9, bytes(8)))
    for _ in range(20):
        deep = array(1, (1, 1), deep)
    for body, message in {
        deep: "nested more than 16 deep",
        array(1, (2**30, 1), b""): "do not fit",
        array(2, (2**30, 1), element(5, struct.pack("<i", 4)) + element(1, b"")): "do not fit",
        array(4, (1, 2**30), element(16, b"")): "values are declared",
        packed(zlib.compress(bytes(2**22))): "expands from",
        packed(zlib.compress(array(6, (1, 1), element(9, bytes(8))))[:-6]): "ends early",
        packed(zlib.compress(array(6, (1, 1), element(9, bytes(8))) + bytes(800))): "other bytes",
    }.items():
        with pytest.raises(DataError, match=message):
            matlab_variables(written(body))
    assert matlab_variables(written(packed(zlib.compress(array(6, (1, 1), element(9, bytes(8)))))))
