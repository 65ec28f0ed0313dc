"""`load_image`: values and orientation of every format, and what it refuses."""

import numpy as np
import pytest
import torch
from PIL import Image

from invcore import DataError
from invcore.io import load_image, save_nifti, save_reconstruction
from invcore_testsupport import rng

GRAY = np.array([[0, 51, 255], [102, 153, 204]], np.uint8)


@pytest.mark.parametrize("ending", [".png", ".tif", ".PNG"])
def test_pictures_of_8_bits_are_in_0_to_1(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    Image.fromarray(GRAY).save(path)
    assert torch.equal(load_image(path), torch.from_numpy(GRAY / np.float32(255))[None])


def test_color_comes_first_and_transparency_is_left_out(tmp_path):
    rgba = np.stack([GRAY, GRAY // 2, GRAY // 3, np.full_like(GRAY, 9)], -1)
    Image.fromarray(rgba).save(tmp_path / "x.png")
    assert torch.equal(load_image(tmp_path / "x.png")[1], torch.from_numpy((GRAY // 2) / np.float32(255)))
    assert load_image(tmp_path / "x.png").shape == (3, 2, 3)
    Image.fromarray(GRAY).convert("P").save(tmp_path / "p.png")
    assert torch.equal(load_image(tmp_path / "p.png")[0], torch.from_numpy(GRAY / np.float32(255)))


def test_no_page_is_dropped_in_silence(tmp_path):
    first, *rest = [Image.fromarray(GRAY + i) for i in range(4)]
    first.save(tmp_path / "x.tif", save_all=True, append_images=rest)
    with pytest.raises(DataError, match="4 pages"):
        load_image(tmp_path / "x.tif")


@pytest.mark.parametrize("spatial, batch", [((4, 6), ()), ((3, 4, 6), ()), ((4, 6), (5,))])
def test_nifti_comes_back_as_it_was_saved(tmp_path, spatial, batch):
    pytest.importorskip("nibabel")
    x = torch.randn(*batch, 2, *spatial, generator=rng())
    save_nifti(tmp_path / "x.nii.gz", x, spatial_dims=len(spatial))
    assert torch.equal(load_image(tmp_path / "x.nii.gz"), x)


@pytest.mark.parametrize("kind", [">i2", ">f4", ">f8"])
def test_fits_has_its_north_at_the_top(tmp_path, kind):
    fits = pytest.importorskip("astropy.io.fits")
    sky = np.arange(24).reshape(1, 2, 3, 4).astype(kind)
    fits.writeto(tmp_path / "x.fits", sky)
    assert np.array_equal(load_image(tmp_path / "x.fits"), sky[0, :, ::-1].astype(np.float32))
    parts = [fits.PrimaryHDU(), fits.BinTableHDU(np.zeros(3, [("a", "f4")])), fits.ImageHDU(sky[0, 0])]
    fits.HDUList(parts).writeto(tmp_path / "late.fits")
    assert np.array_equal(load_image(tmp_path / "late.fits"), sky[0, :1, ::-1].astype(np.float32))


def test_fits_of_unsigned_counts(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    fits.writeto(tmp_path / "x.fits", np.array([[1, 65535]], np.uint16))
    assert load_image(tmp_path / "x.fits").tolist() == [[[1.0, 65535.0]]]


def test_a_result_and_an_array(tmp_path):
    x = torch.randn(1, 1, 4, 5, generator=rng())
    save_reconstruction(tmp_path / "x.h5", x, {})
    np.save(tmp_path / "x.npy", x[0, 0].double().numpy())
    assert torch.equal(load_image(tmp_path / "x.h5"), x[0])
    assert torch.equal(load_image(tmp_path / "x.npy"), x[0])


def cards(*lines):
    return "".join(line.ljust(80) for line in ("SIMPLE  =                    T", *lines)).ljust(2880).encode()


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n"),
        ("a.png", b"GIF89a" + bytes(64)),
        ("a.tif", b"II*\x00\x08\x00\x00\x00" + bytes(4)),
        ("a.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (9000, 9000), }"),
        ("a.fits", cards("BITPIX  = 16")),
        (
            "a.fits",
            cards("BITPIX  = 16", "NAXIS   = 2", "NAXIS1  = 2000000000", "NAXIS2  = 2000000000", "END"),
        ),
        ("a.nii", b"hello" * 100),
        ("a.xyz", b"text"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        load_image(tmp_path / name)
