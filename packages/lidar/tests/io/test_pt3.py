"""PT3 files made by hand: the photons of the same records in PTU, other modes, images, damage."""

import struct

import numpy as np
import pytest
import torch

import invcore
from invcore import DataError, ParameterError
from invcore_lidar import read_pt3
from invcore_lidar._examples.io import _t3_records, write_pt3


@pytest.fixture
def records():
    g = np.random.default_rng(1)
    return _t3_records(g.integers(0, 4096, 900, dtype=np.uint32), g.integers(1, 3, 900, dtype=np.uint32))


def as_ptu(path, records):
    """The same records in a PTU file, of the record type PicoHarp T3."""
    entries = [
        ("Measurement_Mode", 0x10000008, "<q", 3),
        ("Measurement_SubMode", 0x10000008, "<q", 1),
        ("MeasDesc_Resolution", 0x20000008, "<d", 16e-12),
        ("MeasDesc_GlobalResolution", 0x20000008, "<d", 1e-7),
        ("TTResult_SyncRate", 0x10000008, "<q", 10_000_000),
        ("TTResult_NumberOfRecords", 0x10000008, "<q", len(records)),
        ("TTResultFormat_TTTRRecType", 0x10000008, "<q", 0x00010303),
        ("TTResultFormat_BitsPerRecord", 0x10000008, "<q", 32),
        ("Header_End", 0xFFFF0008, "<q", 0),
    ]
    raw = b"PQTTTR\0\0" + b"1.0.00\0\0"
    for name, kind, form, value in entries:
        raw += name.encode().ljust(32, b"\0") + struct.pack("<iI", -1, kind) + struct.pack(form, value)
    path.write_bytes(raw + records.astype("<u4").tobytes())
    return path


def test_photons_are_those_that_ptufile_finds_in_the_same_records(records, tmp_path):
    ptufile = pytest.importorskip("ptufile", reason="ptufile is not installed (the extra io)")
    path = write_pt3(tmp_path / "a.pt3", records)
    assert path.stat().st_size == 728 + 4 * len(records)
    with ptufile.PtuFile(as_ptu(tmp_path / "a.ptu", records)) as held:
        events = held.decode_records()
    channels = np.unique(events["channel"][events["channel"] >= 0])
    assert len(channels) == 2
    for ours, theirs in zip((1, 2), channels):
        tags = read_pt3(path, channel=ours)
        assert tags.tags.tolist() == events["dtime"][events["channel"] == theirs].tolist()
        assert tags.tick == pytest.approx(16e-12) and (tags.start, tags.stop) == (0, 4096)
    late = read_pt3(path, channel=1, zero=10)
    assert torch.equal(late.tags + 10, read_pt3(path, channel=1).tags)


def test_what_is_no_point_in_t3_mode(records, tmp_path):
    with pytest.raises(ParameterError, match=r"photons in the channels \[1, 2\]: give channel="):
        read_pt3(write_pt3(tmp_path / "a.pt3", records))
    with pytest.raises(DataError, match="measurement mode 2"):
        read_pt3(write_pt3(tmp_path / "b.pt2", records, mode=2))
    with pytest.raises(DataError, match="not of T3 mode"):
        invcore.read(tmp_path / "b.pt2")
    with pytest.raises(DataError, match="an image or a line scan; .* convert it to .ptu"):
        read_pt3(write_pt3(tmp_path / "c.pt3", records, image=(3, 3, 1, 2, 3, 0, 64, 64)))
    whole = (tmp_path / "a.pt3").read_bytes()
    for name, part in (("short", whole[:500]), ("cut", whole[:-4])):
        (tmp_path / f"{name}.pt3").write_bytes(part)
        with pytest.raises(DataError, match="no header|truncated"):
            read_pt3(tmp_path / f"{name}.pt3", channel=1)
    with pytest.raises(DataError, match="no photons"):
        read_pt3(write_pt3(tmp_path / "d.pt3", np.full(5, 15 << 28, np.uint32)))
