"""FITS images: world coordinates by astropy, written and read back, damaged files."""

import math

import numpy as np
import pytest
import torch

from invcore import DataError, ParameterError, ShapeError
from invcore_radio import SkyImage, read_fits_image, save_fits_image

fits = pytest.importorskip("astropy.io.fits")
ARCSECOND = math.pi / 180 / 3600
PLACES = [(0.3, -0.7), (3.276, 0.216), (6.2831, 1.4), (1.0, -1.55)]


@pytest.mark.parametrize("center", PLACES)
@pytest.mark.parametrize("shape", [(8, 8), (9, 12), (7, 5)])
def test_coordinates_of_a_source(tmp_path, center, shape):
    """Where astropy says that a source lies is where l and m of its pixel put it on the sphere."""
    from astropy import units
    from astropy.coordinates import SkyCoord
    from astropy.wcs import WCS

    pixel = 1000 * ARCSECOND
    image = torch.zeros(1, *shape)
    image[0, 1, 3] = 1.0  # north and, of a small image, a little to the west or east
    save_fits_image(tmp_path / "a.fits", SkyImage(image=image, pixel=pixel, phase_center=center))
    with fits.open(tmp_path / "a.fits") as file:
        sky = WCS(file[0].header).celestial
        up, across = np.unravel_index(file[0].data[0, 0].argmax(), shape)
    found = sky.pixel_to_world(across, up)
    east, north = (shape[1] // 2 - 3) * pixel, (shape[0] // 2 - 1) * pixel
    # the direction with these cosines, from the definition of l and m
    ra, dec = center
    e = np.array([-math.sin(ra), math.cos(ra), 0])
    n = np.array([-math.sin(dec) * math.cos(ra), -math.sin(dec) * math.sin(ra), math.cos(dec)])
    s = np.array([math.cos(dec) * math.cos(ra), math.cos(dec) * math.sin(ra), math.sin(dec)])
    x = east * e + north * n + math.sqrt(1 - east**2 - north**2) * s
    expected = SkyCoord(*x, representation_type="cartesian", frame="icrs")
    assert found.separation(expected).to(units.arcsec).value < 1e-6
    own = SkyImage(image=image, pixel=pixel, phase_center=center).sky_coordinates(torch.tensor([1, 3]))
    own = SkyCoord(float(own[0]) * units.rad, float(own[1]) * units.rad)
    assert found.separation(own).to(units.arcsec).value < 1e-6


def test_east_is_left_and_north_is_up(tmp_path):
    image = torch.zeros(1, 8, 8)
    image[0, 0, 0] = 1.0  # north-eastern corner
    save_fits_image(tmp_path / "a.fits", SkyImage(image=image, pixel=1e-5, phase_center=(2.0, 0.5)))
    from astropy.wcs import WCS

    with fits.open(tmp_path / "a.fits") as file:
        up, across = np.unravel_index(file[0].data[0, 0].argmax(), (8, 8))
        found = WCS(file[0].header).celestial.pixel_to_world(across, up)
    assert found.ra.rad > 2.0 and found.dec.rad > 0.5 and (up, across) == (7, 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("frequencies", [(), (1e9, 1.1e9, 1.2e9), (1e9, 1.1e9, 1.5e9)])
def test_back_as_written(tmp_path, frequencies, dtype, generator):
    sky = SkyImage(
        image=torch.randn(3, 5, 8, generator=generator, dtype=dtype),
        pixel=2e-7,
        phase_center=(3.0, -0.2),
        frequencies=frequencies,
        unit="Jy/beam",
        beam=(4e-7, 3e-7, 0.5),
        stokes="Q",
        name="M87",
    )
    save_fits_image(tmp_path / "a.fits", sky)
    found = read_fits_image(tmp_path / "a.fits")
    assert torch.equal(found.image, sky.image) and found.image.dtype == dtype
    assert found.frequencies == pytest.approx(frequencies)
    for name in ("pixel", "phase_center", "beam"):
        assert getattr(found, name) == pytest.approx(getattr(sky, name), rel=1e-12)
    assert (found.unit, found.stokes, found.name) == ("Jy/beam", "Q", "M87")


def test_images_of_other_programs(tmp_path):
    """CASA's reference pixel, and RA growing to the right: the phase center moves to (ny//2, nx//2)."""
    from astropy.wcs import WCS

    g = np.random.default_rng(0)
    for reference, step in [((4, 4), -1.0), ((5, 4), -1.0), ((1, 2), -1.0), ((4, 4), 1.0), ((-2, 9), -1.0)]:
        data = g.standard_normal((6, 7)).astype(np.float32) + 10
        hdu = fits.PrimaryHDU(data)
        cards = [("RA---SIN", 40.0, step * 1e-3, reference[0]), ("DEC--SIN", 20.0, 1e-3, reference[1])]
        for k, (kind, value, delta, at) in enumerate(cards, 1):
            hdu.header[f"CTYPE{k}"], hdu.header[f"CRVAL{k}"] = kind, value
            hdu.header[f"CDELT{k}"], hdu.header[f"CRPIX{k}"] = delta, at
        hdu.writeto(tmp_path / "a.fits", overwrite=True)
        sky = read_fits_image(tmp_path / "a.fits")
        assert float(sky.image.sum()) == pytest.approx(float(data.sum()), rel=1e-5)
        wcs = WCS(hdu.header)
        for up, across in ((0, 0), (5, 6), (2, 3)):
            row, column = (int(v) for v in (sky.image[0] == float(data[up, across])).nonzero()[0])
            world = wcs.pixel_to_world(across, up)
            mine = sky.sky_coordinates(torch.tensor([row, column]))
            assert float(mine[0]) == pytest.approx(world.ra.rad, abs=1e-10)
            assert float(mine[1]) == pytest.approx(world.dec.rad, abs=1e-10)


@pytest.mark.parametrize(
    ("cards", "message"),
    [
        ({"CTYPE1": "RA---TAN"}, "RA---SIN"),
        ({"CDELT2": 0.5}, "square"),
        ({"CRPIX1": 2.5}, "between pixels"),
        ({"CRPIX1": 1e9}, "far outside"),
        ({"CROTA2": 30.0}, "rotated"),
        ({"PC1_2": 0.5}, "rotated"),
    ],
)
def test_what_is_not_read(tmp_path, cards, message):
    save_fits_image(tmp_path / "a.fits", SkyImage(image=torch.rand(1, 4, 4), pixel=1e-6))
    with fits.open(tmp_path / "a.fits", mode="update") as file:
        file[0].header.update(cards)
    with pytest.raises(DataError, match=message):
        read_fits_image(tmp_path / "a.fits")


def test_damaged(tmp_path):
    path = tmp_path / "a.fits"
    save_fits_image(path, SkyImage(image=torch.rand(1, 40, 40), pixel=1e-6))
    whole = path.read_bytes()
    for keep in (0, 2879, 2880, 5760, len(whole) - 1):
        path.write_bytes(whole[:keep])
        with pytest.raises(DataError, match=r"a\.fits"):
            read_fits_image(path)
    with pytest.raises(DataError, match="no file"):
        read_fits_image(tmp_path / "b.fits")


def test_parts_must_fit():
    with pytest.raises(ShapeError, match="2 frequencies"):
        SkyImage(image=torch.rand(1, 4, 4), pixel=1e-6, frequencies=(1.0, 2.0))
    with pytest.raises(ParameterError, match="radians"):
        SkyImage(image=torch.rand(1, 4, 4), pixel=-1.0)
    with pytest.raises(ShapeError, match="channel, y, x"):
        SkyImage(image=torch.rand(4, 4), pixel=1e-6)
