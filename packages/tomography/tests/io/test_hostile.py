"""Files that declare what they do not hold, or have no end: refused at once, before a library allocates."""

import os
import struct
import time

import numpy as np
import pytest

from invcore import DataError
from invcore.io import check_tiff
from invcore_tomography import DicomReader, MrcReader, TiffReader, TxrmReader
from invcore_tomography._examples.io import dicom, mrc, tiff, txrm
from invcore_tomography._io.tiff import read_tiff

tifffile = pytest.importorskip("tifffile")


def refused(reader, path, message):
    begun = time.process_time()
    reader.sniff(path)
    with pytest.raises(DataError, match=message):
        reader.read(path)
    assert time.process_time() - begun < 1


def put(path, at, form, *values):
    content = bytearray(path.read_bytes())
    struct.pack_into(form, content, at, *values)
    path.write_bytes(content)


def entry(path, tag, order="<"):
    """The place of a tag in the first directory of a TIFF."""
    content = path.read_bytes()
    (at,) = struct.unpack_from(order + "I", content, 4)
    (count,) = struct.unpack_from(order + "H", content, at)
    return next(
        at + 2 + 12 * k
        for k in range(count)
        if struct.unpack_from(order + "H", content, at + 2 + 12 * k)[0] == tag
    )


@pytest.fixture
def stack(tmp_path):
    return tiff()["stack"](tmp_path)


def test_directories_in_a_circle(stack):
    content = stack.read_bytes()
    (at,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, at)
    put(stack, at + 2 + 12 * count, "<I", at)
    refused(TiffReader(), stack, r"scan\.tif.*come back")


@pytest.mark.parametrize("tag, value", [(256, 2**31), (257, 2**31 - 1), (277, 60000), (273, 2**32 - 10)])
def test_pages_that_declare_more_than_there_is(stack, tag, value):
    put(stack, entry(stack, tag) + 2, "<HII", 4, 1, value)
    refused(TiffReader(), stack, r"scan\.tif")


def test_counts_of_values_outside_of_the_file(stack):
    put(stack, entry(stack, 273) + 4, "<I", 2**31)
    refused(TiffReader(), stack, r"scan\.tif: page 1: tag 273 has 2147483648 values")


def test_a_page_that_expands_a_thousandfold(tmp_path):
    """100 pages of zeros, 32 MB each, in some hundred kilobytes."""
    path = tmp_path / "bomb.tif"
    with tifffile.TiffWriter(path) as file:
        for _ in range(10):
            file.write(np.zeros((8000, 2000), np.uint16), compression="zlib", photometric="minisblack")
    with pytest.raises(DataError, match="declares 320000000 of pixels"):
        read_tiff(path)


@pytest.mark.parametrize(
    "options", [{}, {"bigtiff": True}, {"byteorder": ">"}, {"tile": (16, 16)}, {"compression": "zlib"}]
)
def test_sound_files_pass(tmp_path, options):
    values = np.arange(3 * 20 * 34, dtype=np.uint16).reshape(3, 20, 34)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", **options)
    check_tiff(tmp_path / "a.tif")
    assert np.array_equal(read_tiff(tmp_path / "a.tif"), values)


def test_pages_of_several_sizes(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(np.zeros((8, 8), np.uint16))
        file.write(np.zeros((8, 9), np.uint16))
    with pytest.raises(DataError, match="several sizes"):
        read_tiff(tmp_path / "a.tif")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_among_the_views(tmp_path):
    folder = tiff()["folder"](tmp_path)
    (folder / "a.tif").unlink(missing_ok=True)
    os.mkfifo(folder / "a.tif")
    refused(TiffReader(), folder, r"a\.tif is a named pipe")


@pytest.mark.parametrize(
    "at, value", [(0, 2**30), (8, 2**31 - 1), (8, 1), (92, 2**31 - 1), (92, -1), (12, 4), (0, 0)]
)
def test_mrc_headers_that_lie(tmp_path, at, value):
    path = mrc()["tilt series"](tmp_path)
    put(path, at, "<i", value)
    refused(MrcReader(), path, r"series\.mrc declares")


@pytest.mark.parametrize("stamp", [b"\x44\x00\x00\x00", bytes(4), b"\x44\x41\x00\x00"])
def test_files_of_serialem_without_a_stamp_of_their_byte_order_are_read(tmp_path, stamp):
    """mrcfile#4."""
    path = mrc()["tilt series"](tmp_path)
    whole = MrcReader().read(path).y
    content = path.read_bytes()
    path.write_bytes(content[:212] + stamp + content[216:])
    assert bool((MrcReader().read(path).y == whole).all())


def test_a_slice_of_sixteen_gigabytes(tmp_path):
    path = dicom()["slice"](tmp_path)
    content = path.read_bytes()
    for tag in (b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x11\x00US\x02\x00"):
        put(path, content.index(tag) + 8, "<H", 65535)
    refused(DicomReader(), path, "declares 8589672450 of pixels")


@pytest.mark.parametrize("name", ["ImageHeight", "ImagesTaken"])
def test_a_microscope_of_many_views(tmp_path, name):
    path = txrm()["parallel"](tmp_path)
    content = path.read_bytes()
    old = {"ImageHeight": 3, "ImagesTaken": 40}[name]
    places = [k for k in range(0, len(content) - 4, 64) if content[k : k + 64] == struct.pack("<i60x", old)]
    put(path, places[0], "<i", 20_000)
    refused(TxrmReader(), path, r"parallel\.txrm")
