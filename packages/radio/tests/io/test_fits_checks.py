"""Headers that declare what the file does not hold: refused before a library opens it."""

import sys
import time

import numpy as np
import pytest

from invcore import DataError
from invcore_radio import OIFITSReader, UVFITSReader, read_fits_image, read_oifits, read_uvfits
from invcore_radio._examples.io import uvfits
from invcore_radio._examples.optical import oifits
from invcore_radio._io.fits_checks import parts

fits = pytest.importorskip("astropy.io.fits")
READERS = {"uvfits": (UVFITSReader, read_uvfits), "oifits": (OIFITSReader, read_oifits)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a sample of each format."""
    folder = tmp_path_factory.mktemp("samples")
    return {
        "uvfits": next(iter(uvfits().values()))(folder).read_bytes(),
        "oifits": next(iter(oifits().values()))(folder).read_bytes(),
    }


def card(content, key, value, last=True):
    """The file with another value in its last (or first) card of a name."""
    name = key.ljust(8).encode() + b"="
    at = content.rindex(name) if last else content.index(name)
    return content[:at] + name + b" " + str(value).rjust(20).encode() + b" " * 50 + content[at + 80 :]


LIES = {
    "ten million columns": lambda c: card(c, "TFIELDS", 10**7),
    "a thousand columns": lambda c: card(c, "TFIELDS", 1000),
    "2^31 axes": lambda c: card(c, "NAXIS", 2**31, last=False),
    "axes without end": lambda c: card(c, "NAXIS", 10**26),
    "a negative axis": lambda c: card(c, "NAXIS2", -1),
    "2^40 rows": lambda c: card(c, "NAXIS2", 2**40),
    "a number that is none": lambda c: card(c, "NAXIS1", "1E3"),
    "columns wider than their rows": lambda c: card(c, "TFORM1", "'9999999D'"),
    "a heap of 2^31": lambda c: card(c, "PCOUNT", 2**31),
    "groups": lambda c: card(c, "GCOUNT", 2**31),
    "bits": lambda c: card(c, "BITPIX", 7),
    "a size said twice": lambda c: card(c, "TTYPE1", 1).replace(b"TTYPE1  =", b"NAXIS2  =", 1),
    "20,000 parts": lambda c: c + fits.ImageHDU().header.tostring().encode() * 20_000,
    "no END": lambda c: c[: c.rindex(b"END   ")].ljust(len(c)),
}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("lie", LIES)
def test_headers_that_lie_cost_nothing(tmp_path, whole, kind, lie):
    reader, read = READERS[kind]
    path = tmp_path / f"lie.{kind}"
    path.write_bytes(LIES[lie](whole[kind]))
    begun = time.process_time()
    assert bool(reader().sniff(path)) in (True, False)
    with pytest.raises(DataError, match=f"lie.{kind}"):
        read(path)
    with pytest.raises(DataError, match=f"lie.{kind}"):
        read_fits_image(path)
    assert time.process_time() - begun < 2


def test_rows_without_a_byte_are_refused(tmp_path):
    """Two billion rows of nothing fit in any file."""
    header = fits.Header({"XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2, "NAXIS1": 0, "NAXIS2": 8000})
    header.update({"PCOUNT": 0, "GCOUNT": 1, "TFIELDS": 1, "TFORM1": "0D", "EXTNAME": "OI_VIS2"})
    first = fits.PrimaryHDU().header.tostring()
    (tmp_path / "nothing.fits").write_bytes((first + header.tostring()).encode())
    with pytest.raises(DataError, match="rows have 0 bytes"):
        read_oifits(tmp_path / "nothing.fits")


def test_an_image_that_says_it_is_compressed_is_not_expanded(tmp_path, whole):
    """A table that declares ZIMAGE becomes an image of any size in astropy."""
    path = tmp_path / "bomb.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(np.zeros((64, 64), np.int16))]).writeto(path)
    path.write_bytes(card(card(path.read_bytes(), "ZNAXIS1", 10**6), "ZNAXIS2", 10**6))
    with pytest.raises(DataError, match="not OIFITS"):
        read_oifits(path)


def test_extents_agree_with_astropy(tmp_path, whole):
    for kind, content in whole.items():
        path = tmp_path / f"a.{kind}"
        path.write_bytes(content)
        with fits.open(path) as file:
            told = [
                (h.name if k else "", sum(h.fileinfo()[n] for n in ("datLoc", "datSpan")))
                for k, h in enumerate(file)
            ]
        assert [(p.name, p.end) for p in parts(path)] == told


def test_sniff_asks_no_library(tmp_path, whole, monkeypatch):
    for name in [n for n in sys.modules if n.partition(".")[0] == "astropy"] + ["astropy"]:
        monkeypatch.setitem(sys.modules, name, None)
    for kind, content in whole.items():
        (tmp_path / f"a.{kind}").write_bytes(content)
        for other, (reader, _) in READERS.items():
            assert bool(reader().sniff(tmp_path / f"a.{kind}")) is (other == kind)
