"""Siemens raw data: a measured file against another reader of the format, both layouts, damaged lengths."""

import struct

import numpy as np
import pytest
import torch

import invcore
from invcore import DataError, ParameterError
from invcore_mri import simulate
from invcore_mri._examples import twix as samples


def other_reader(path):
    """K-space (channel, line, sample) of the image by twixtools."""
    twixtools = pytest.importorskip("twixtools")
    scan = twixtools.read_twix(
        str(path), verbose=False, parse_pmu=False, parse_geometry=False, parse_prot=False
    )
    blocks = [block for block in scan[-1]["mdb"] if block.is_image_scan()]
    return np.stack([block.data for block in sorted(blocks, key=lambda block: block.cLin)], 1)


@pytest.mark.parametrize("label", ["VD", "VB"])
def test_both_layouts(tmp_path, label):
    path = samples()[label](tmp_path)
    acq = invcore.read(path, sigma=0.02)
    truth = simulate((32, 28), coils=4, sigma=0.02, generator=torch.Generator().manual_seed(0)).kspace
    torch.testing.assert_close(0.02 * acq.y, truth, rtol=1e-4, atol=1e-4)
    assert acq.metadata["format"] == "mri.twix"
    assert acq.voxel_size == pytest.approx((0.24 / 32, 0.21 / 28))
    scan = invcore.read(path)
    assert scan.metadata["noise"]["from"] == "noise scan"
    assert scan.metadata["sigma"] == pytest.approx(0.02, rel=0.1)
    kept = invcore.read(path, oversampling=True, sigma=0.02)
    found = 0.02 * kept.y.numpy().swapaxes(1, 2)
    np.testing.assert_allclose(found, other_reader(path), rtol=1e-4, atol=1e-5)


def test_the_measured_phantom(mri_data):
    """A round phantom is round by the protocol's field of view, and k-space is that of another reader."""
    path = mri_data / "siemens_gre.dat"
    acq = invcore.read(path)
    assert acq.voxel_size == pytest.approx((0.2 / 160, 0.2 / 160)) and acq.metadata["coils"] == 2
    normal = acq.metadata["placement"]["directions"][2]
    assert normal == pytest.approx([6.58e-9, 0.0383878, 0.9992630], abs=1e-4)  # sNormal of the protocol
    image = acq.physics.operator.H(acq.y).abs()[0]
    inside = image > 0.25 * image.quantile(0.99)
    extents = [inside.sum(axis).amax() * h for axis, h in zip((0, 1), acq.voxel_size)]
    assert 0.05 < extents[0] < 0.2 and 0.6 < extents[0] / extents[1] < 1.6
    kept = invcore.read(path, oversampling=True, sigma=1e-6)
    theirs = other_reader(path)
    np.testing.assert_allclose(1e-6 * kept.y.numpy().swapaxes(1, 2), theirs, rtol=1e-4, atol=1e-9)


def test_lengths_that_lie(tmp_path):
    path = samples()["VD"](tmp_path)
    whole = bytearray(path.read_bytes())

    def with_(at, kind, value):
        changed = bytearray(whole)
        struct.pack_into(kind, changed, at, value)
        path.write_bytes(changed)
        return path

    begin = struct.unpack_from("<Q", whole, 16)[0]
    first = begin + struct.unpack_from("<I", whole, begin)[0]
    with pytest.raises(DataError, match="truncated"):
        invcore.read(with_(24, "<Q", 2**60))
    with pytest.raises(DataError, match="header of 4294967295 bytes"):
        invcore.read(with_(begin, "<I", 2**32 - 1))
    with pytest.raises(DataError, match="65535 channels"):
        invcore.read(with_(first + 50, "<H", 65535))
    with pytest.raises(DataError, match="block of 0 bytes"):  # which would be read for ever
        changed = bytearray(whole)
        struct.pack_into("<Q", changed, first + 40, 1 << 5)
        struct.pack_into("<I", changed, first, 0)
        path.write_bytes(changed)
        invcore.read(path)
    path.write_bytes(whole[:-192])
    with pytest.raises(DataError, match="truncated"):
        invcore.read(path)
    lines = b"28\nsKSpace.lPartitions = 1"
    path.write_bytes(whole.replace(lines, b"30000".ljust(len(lines))))
    with pytest.raises(DataError, match="hardly anything was measured"):
        invcore.read(path)


def test_what_is_chosen(tmp_path):
    path = samples()["VD"](tmp_path)
    with pytest.raises(ParameterError, match="measurement= is a number from 0 to 0"):
        invcore.read(path, measurement=1)
    with pytest.raises(ParameterError, match="slice= is one of 0"):
        invcore.read(path, slice=3)
    with pytest.raises(DataError, match="no installed reader"):
        (tmp_path / "a.dat").write_text("1 2 3\n" * 100)
        invcore.read(tmp_path / "a.dat")
