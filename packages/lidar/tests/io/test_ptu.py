"""PTU files: images written by ptufile, single points made by hand, damaged and hostile files."""

import struct

import numpy as np
import pytest
import torch

import invcore
from invcore import DataError, ParameterError
from invcore_lidar import PtuReader, read_ptu
from invcore_lidar._examples.io import write_ptu

ptufile = pytest.importorskip("ptufile", reason="ptufile is not installed (the extra io)")

PERIOD, TICK = 50e-9, 25e-12


def write(path, stack, **options):
    with ptufile.PtuWriter(
        path,
        stack.shape,
        global_resolution=PERIOD,
        tcspc_resolution=TICK,
        pixel_time=200 * PERIOD,
        **options,
    ) as file:
        file.write(stack.astype(np.uint16))
    return path


def dense(tags):
    return tags.histogram().counts.permute(1, 2, 0).numpy()


@pytest.fixture
def stack():
    return np.random.default_rng(0).poisson(0.02, (3, 6, 5, 2, 700))


def test_frames_are_added_and_channels_kept_apart(stack, tmp_path):
    path = write(tmp_path / "a.ptu", stack)
    for channel in (0, 1):
        tags = read_ptu(path, channel=channel)
        assert tags.shape == (6, 5)
        assert tags.tick == pytest.approx(TICK)
        assert (tags.start, tags.stop) == (0, 2000)
        assert tags.pulses == 600
        assert np.array_equal(dense(tags)[..., :700], stack[:, :, :, channel].sum(0))
        assert np.array_equal(
            dense(read_ptu(path, channel=channel, frame=2))[..., :700], stack[2, :, :, channel]
        )
    with pytest.raises(ParameterError, match=r"channels \[0, 1\]: give channel="):
        read_ptu(path)
    with pytest.raises(ParameterError, match="no photons in channel 5"):
        read_ptu(path, channel=5)
    with pytest.raises(ParameterError, match="frames 0 ... 2, not 3"):
        read_ptu(path, channel=0, frame=3)


def test_channels_that_do_not_begin_at_zero(stack, tmp_path):
    held = np.zeros((1, 6, 5, 4, 700))
    held[:, :, :, 2] = stack[:1, :, :, 0]
    held[:, :, :, 3] = stack[:1, :, :, 1]
    path = write(tmp_path / "a.ptu", held)
    assert np.array_equal(dense(read_ptu(path, channel=3))[..., :700], stack[0, :, :, 1])


def test_rows_are_read_in_blocks(stack, tmp_path, monkeypatch):
    path = write(tmp_path / "a.ptu", stack[:, :, :, :1])
    whole = read_ptu(path)
    monkeypatch.setattr("invcore_lidar._io.ptu._ENTRIES", 2 * 5 * 2000)
    assert torch.equal(read_ptu(path).tags, whole.tags)
    assert torch.equal(read_ptu(path).indptr, whole.indptr)


def test_time_zero(stack, tmp_path):
    path = write(tmp_path / "a.ptu", stack[:1, :, :, :1])
    late = read_ptu(path, zero=300)
    assert (late.start, late.stop) == (-300, 1700)
    assert torch.equal(late.tags, read_ptu(path).tags - 300)


def test_acquisition(tmp_path):
    path = write_ptu(tmp_path / "scan.ptu", frames=1)
    found = invcore.read(path)
    operator = found.physics.operator
    assert found.metadata["format"] == "lidar.ptu"
    assert found.metadata["impulse_response_from"] == "pairs of photons"
    assert operator.impulse.fwhm == pytest.approx(600e-12, rel=0.3)
    given = invcore.read(path, fwhm=600e-12, decay=1e-9, near=1.5, far=4.0, pixels=3, surfaces=2, pitch=1e-3)
    assert given.physics.operator.shape == (3, 2)
    assert given.physics.operator.impulse.decay == 1e-9
    assert given.output.pitch == pytest.approx(3e-3)
    assert given.metadata["range_m"] == pytest.approx([1.5, 4.0], abs=1e-3)


def point_file(path, records, mode=3, submode=1, count=None):
    """A PTU file made by hand: header tags of 48 bytes each, then records of HydraHarp's second T3 format."""
    kinds = {"int": 0x10000008, "float": 0x20000008, "empty": 0xFFFF0008}
    entries = [
        ("Measurement_Mode", "int", mode),
        ("Measurement_SubMode", "int", submode),
        ("MeasDesc_Resolution", "float", TICK),
        ("MeasDesc_GlobalResolution", "float", PERIOD),
        ("TTResult_SyncRate", "int", 20_000_000),
        ("TTResult_NumberOfRecords", "int", len(records) if count is None else count),
        ("TTResultFormat_TTTRRecType", "int", 0x01010304 if mode == 3 else 0x01010204),
        ("TTResultFormat_BitsPerRecord", "int", 32),
        ("HW_InpChannels", "int", 2),
        ("Header_End", "empty", 0),
    ]
    raw = b"PQTTTR\0\0" + b"1.0.00\0\0"
    for name, kind, value in entries:
        raw += name.encode().ljust(32, b"\0") + struct.pack("<iI", -1, kinds[kind])
        raw += struct.pack("<d" if kind == "float" else "<q", value)
    path.write_bytes(raw + np.array(records, "<u4").tobytes())
    return path


def photon(channel, delay, sync):
    return channel << 25 | delay << 10 | sync


def test_point_measurement_made_by_hand(tmp_path):
    delays = [3, 700, 700, 1999, 0]
    overflow = 1 << 31 | 63 << 25 | 1
    records = [photon(0, d, 10 * i) for i, d in enumerate(delays)]
    path = point_file(tmp_path / "p.ptu", [*records[:2], overflow, *records[2:]])
    tags = read_ptu(path)
    assert tags.shape == (1, 1)
    assert tags.tags.tolist() == delays
    assert tags.pulses is None
    with pytest.raises(ParameterError, match="no frames"):
        read_ptu(path, frame=0)
    with pytest.raises(DataError, match=r"give fwhm="):
        invcore.read(path)


def test_recording_that_was_interrupted(stack, tmp_path):
    """The number of records is written at the end; a file without it is read as far as it goes."""
    path = write(tmp_path / "a.ptu", stack[:1, :, :, :1])
    whole, raw = read_ptu(path), path.read_bytes()
    at = raw.index(b"TTResult_NumberOfRecords".ljust(32, b"\0"))
    path.write_bytes(raw[: at + 40] + bytes(8) + raw[at + 48 :])
    assert torch.equal(read_ptu(path).tags, whole.tags)


def test_damaged_and_hostile_files(stack, tmp_path):
    path = write(tmp_path / "a.ptu", stack[:1, :, :, :1])
    assert PtuReader().sniff(path)
    whole = path.read_bytes()
    for keep in (0, 4, 8, 100, 1000, 1440, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        with pytest.raises(DataError, match=r"a\.ptu"):
            read_ptu(path)

    def altered(name, value):
        at = whole.index(name.encode().ljust(32, b"\0"))
        path.write_bytes(whole[: at + 40] + value + whole[at + 48 :])
        with pytest.raises(DataError, match=r"a\.ptu"):
            read_ptu(path)

    for name in ("ImgHdr_PixX", "ImgHdr_PixY"):
        for size in (0, -1, 2**40, 2**62, 100000):
            altered(name, struct.pack("<q", size))
    for name in ("ImgHdr_LineStart", "ImgHdr_LineStop", "ImgHdr_Frame"):
        altered(name, struct.pack("<q", 2**40))
    altered("TTResult_NumberOfRecords", struct.pack("<q", 2**40))
    for step in (0.0, -1.0, float("nan"), float("inf"), 1e-3):
        altered("MeasDesc_Resolution", struct.pack("<d", step))
        if step != 1e-3:
            altered("MeasDesc_GlobalResolution", struct.pack("<d", step))
    altered("TTResultFormat_TTTRRecType", struct.pack("<q", 12345))
    altered("Measurement_Mode", struct.pack("<q", 9))
    with pytest.raises(DataError, match="T2 mode"):
        read_ptu(point_file(tmp_path / "t2.ptu", [0, 0], mode=2))
    with pytest.raises(DataError, match="truncated"):
        read_ptu(point_file(tmp_path / "few.ptu", [photon(0, 1, 1)], count=9))
    with pytest.raises(DataError, match="no photons"):
        read_ptu(point_file(tmp_path / "dark.ptu", [1 << 31 | 63 << 25 | 1]))


@pytest.mark.parametrize("length", [2**31, 2**62, -8])
def test_a_tag_that_declares_more_than_there_is(tmp_path, length):
    path = write_ptu(tmp_path / "scan.ptu", frames=1)
    content = bytearray(path.read_bytes())
    at = next(k for k in range(16, len(content), 48) if content[k + 36 : k + 38] == b"\xff\xff")
    content[at + 40 : at + 48] = length.to_bytes(8, "little", signed=True)
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"declares {length} bytes"):
        PtuReader().read(path)


def test_a_period_of_more_ticks_than_can_be_counted(tmp_path):
    """A power of two in the exponent of the repetition rate."""
    path = write_ptu(tmp_path / "scan.ptu", frames=1)
    content = bytearray(path.read_bytes())
    at = content.index(b"MeasDesc_GlobalResolution")
    content[at + 40 : at + 48] = struct.pack("<d", 1e10)
    path.write_bytes(content)
    with pytest.raises(DataError, match="in a pulse period of"):
        PtuReader().read(path)


def test_a_number_of_pixels_that_is_a_list(tmp_path):
    path = write_ptu(tmp_path / "scan.ptu", frames=1)
    content = bytearray(path.read_bytes())
    at = content.index(b"ImgHdr_PixX")
    content[at + 36 : at + 48] = struct.pack("<Iq", 0x2001FFFF, 0)  # an array of floats
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"scan\.ptu"):
        PtuReader().read(path)
