"""Pictures and arrays of somebody else: only what is one is read, and no more than the file can mean."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from invcore import DataError
from invcore._files.arrays import load_npy
from invcore._files.pictures import read_picture

VALUES = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


def saved(path, array, mode=None, **how):
    Image.fromarray(array, **({} if mode is None else {"mode": mode})).save(path, **how)
    return path


def test_values_of_every_kind_of_picture(tmp_path):
    gray = VALUES / np.float32(255)
    for name in ("a.png", "a.tif"):
        np.testing.assert_array_equal(read_picture(saved(tmp_path / name, VALUES)), gray)
    np.testing.assert_allclose(read_picture(saved(tmp_path / "a.jpg", VALUES, quality=100)), gray, atol=0.03)
    deep = VALUES.astype(np.uint16) * 257
    np.testing.assert_allclose(read_picture(saved(tmp_path / "deep.png", deep)), gray, rtol=1e-6)
    np.testing.assert_array_equal(read_picture(saved(tmp_path / "deep.tif", deep)), deep)
    real = VALUES.astype(np.float32) * 3
    np.testing.assert_array_equal(read_picture(saved(tmp_path / "real.tif", real)), real)
    color = np.stack([VALUES, 2 * (VALUES // 3), VALUES[::-1]], -1)
    np.testing.assert_array_equal(read_picture(saved(tmp_path / "c.png", color)), color / np.float32(255))
    with Image.open(tmp_path / "c.png") as picture:
        picture.convert("RGBA").save(tmp_path / "alpha.png")
        picture.convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "palette.png")
        picture.convert("LA").save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "alpha.png"), color / np.float32(255))
    np.testing.assert_allclose(read_picture(tmp_path / "palette.png"), color / 255, atol=0.02)
    assert read_picture(tmp_path / "la.png").shape == (3, 4)


def test_other_formats_are_refused_whatever_they_are_called(tmp_path):
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n"
    for content in (script, b"GIF89a" + bytes(50), b""):
        (tmp_path / "photo.jpg").write_bytes(content)
        with pytest.raises(DataError, match="not PNG, TIFF or JPEG"):
            read_picture(tmp_path / "photo.jpg")


def png(width, height, data=b"\0"):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(60000, 60000), (2**31 - 1, 2**31 - 1), (9000, 9000)])
def test_a_small_file_with_many_pixels_is_refused_before_it_is_unpacked(size, tmp_path):
    (tmp_path / "bomb.png").write_bytes(png(*size))
    with pytest.raises(DataError, match=r"bomb\.png"):
        read_picture(tmp_path / "bomb.png")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_damaged_picture_gives_data_error_or_the_picture(tmp_path):
    for name in ("a.png", "a.tif", "a.jpg"):
        content = saved(tmp_path / name, np.repeat(np.repeat(VALUES, 20, 0), 20, 1)).read_bytes()
        for keep in (10, len(content) // 2, len(content) - 20):
            (tmp_path / f"cut-{name}").write_bytes(content[:keep])
            with contextlib.suppress(DataError):
                assert read_picture(tmp_path / f"cut-{name}").shape == (60, 80)


def npy(header, data=b""):
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def test_arrays_are_what_their_header_declares(tmp_path):
    path = tmp_path / "a.npy"
    for array in (VALUES, np.asfortranarray(VALUES) * 1j, VALUES.astype(">f8"), np.float64(3), VALUES > 40):
        np.save(path, array)
        found = load_npy(path)
        assert found.dtype.isnative and found.shape == array.shape
        np.testing.assert_array_equal(found, array)
    packed = io.BytesIO()
    np.savez(packed, x=VALUES)
    deep = "(" * 3000 + ")" * 3000
    for content, message in {
        packed.getvalue(): "archive of arrays",
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (100000, 100000), }"): "incomplete",
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", bytes(8)): "incomplete",
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", bytes(8)): "holds object",
        npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", bytes(8)): "not numbers",
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': 3, }", bytes(80)): "not a NumPy array",
        npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {deep}, }}", bytes(80)): "not a NumPy array",
        b"text": "not a NumPy array",
        b"": "not a NumPy array",
    }.items():
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            load_npy(path)
