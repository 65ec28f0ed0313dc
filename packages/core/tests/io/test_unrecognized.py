"""A file that no reader recognizes: what it is, what it lacks, what to install, what to do."""

import types

import pytest
import torch

from invcore import DataError
from invcore.io import NearMiss, Reader, _unrecognized, read, save_reconstruction
from invcore.plugin import Component
from invcore.testing import temporary_plugin


class Almost(Reader):
    def sniff(self, path):
        return path.suffix == ".almost" and NearMiss("it lacks its angles: name them.")

    def _read(self, path, options):
        raise AssertionError("only sniffed")


def said(path):
    with pytest.raises(DataError, match="no installed reader recognizes this") as error:
        read(path)
    return str(error.value)


def test_a_near_miss_is_no_claim_and_its_reason_is_said(tmp_path):
    assert not NearMiss("why")
    (tmp_path / "x.almost").write_text("text")
    with temporary_plugin([Component("reader", "demo.almost", f"{__name__}:Almost")]):
        message = said(tmp_path / "x.almost")
    assert "Nearly demo.almost: it lacks its angles: name them." in message
    assert "Installed formats" not in message


def test_results_problems_images_and_foreign_formats_say_what_they_are(tmp_path):
    save_reconstruction(tmp_path / "reconstruction.h5", torch.ones(1, 1, 4, 4), {"seed": 0})
    assert "result of invcore: `invcore run" in said(tmp_path / "reconstruction.h5")
    assert "result of invcore: `invcore run" in said(tmp_path)
    for name, word in {
        "problem.toml": "invcore run",
        "picture.png": "It is an image, not measured data",
        "scan.h5.gz": "unpack it first",
        "data.npy": "no physics",
        "empty": "It is empty",
    }.items():
        (tmp_path / name).write_bytes(b"")
        assert word in said(tmp_path / name)


def test_a_package_that_reads_files_of_this_name_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(_unrecognized, "registry", lambda: types.SimpleNamespace(installed=()))
    (tmp_path / "scan.cfl").write_bytes(bytes(8))
    message = _unrecognized.said_of(tmp_path / "scan.cfl", [], [], [])
    assert message.endswith('pip install "invcore[mri]"')
