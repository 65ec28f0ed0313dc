"""Images of the sky as the command writes them."""

import math

import numpy as np
import pytest
import torch

import invcore
from invcore_radio import SkyOutput, read_fits_image, simulate, vla, write_uvfits

fits = pytest.importorskip("astropy.io.fits")
ARCSECOND = math.pi / 180 / 3600


def test_output_writes_every_image_of_a_batch(tmp_path):
    output = SkyOutput(pixel=1e-6, phase_center=(1.0, 0.1), frequencies=(1e9, 3e9))
    files = output.write(tmp_path, torch.rand(2, 1, 4, 4), {})
    assert sorted(files) == ["image-1.fits", "image-2.fits"]
    assert read_fits_image(files["image-2.fits"]).frequencies == (2e9,)
    cube = output.write(tmp_path, torch.rand(2, 4, 4), {})
    assert read_fits_image(cube["image.fits"]).frequencies == pytest.approx((1e9, 3e9))


def test_reconstruct_writes_world_coordinates(tmp_path):
    """From UVFITS to image.fits: the brightest pixel lies where the source was put."""
    from astropy import units
    from astropy.coordinates import SkyCoord
    from astropy.wcs import WCS

    center, size = (2.0, 0.6), 40
    vis = vla("D", antennas=9).observe(
        phase_center=center, hour_angles=(-2.0, 2.0), interval=600.0, sigma=0.05
    )
    pixel = vis.resolution() / 3
    image = torch.zeros(1, size, size)
    image[0, 12, 27] = 5.0  # 8 pixels north, 7 pixels west
    vis = simulate(vis, image, pixel=pixel, generator=torch.Generator().manual_seed(0))
    write_uvfits(tmp_path / "a.uvfits", vis)
    done = invcore.reconstruct(
        tmp_path / "a.uvfits",
        output=tmp_path / "out",
        options={"size": size, "pixel": pixel / ARCSECOND},
        max_steps=30,
        nifti=False,
    )
    assert done.files["image.fits"] == tmp_path / "out" / "image.fits"
    with fits.open(tmp_path / "out" / "image.fits") as file:
        data, header = file[0].data[0, 0], file[0].header
        assert header["BUNIT"] == "Jy/pixel" and header["CRVAL3"] == pytest.approx(1.4e9)
        up, across = np.unravel_index(data.argmax(), data.shape)
        found = WCS(header).celestial.pixel_to_world(across, up)
    near = SkyCoord(2.0 * units.rad, 0.6 * units.rad).spherical_offsets_to(found)
    assert float(near[0].to(units.rad).value) == pytest.approx(-7 * pixel, rel=1e-3)
    assert float(near[1].to(units.rad).value) == pytest.approx(8 * pixel, rel=1e-3)


def test_clean_from_the_command_gives_a_restored_image(tmp_path):
    """The peak of a point source in Jy/beam is its flux, and the residual is noise."""
    size = 40
    vis = vla("D", antennas=9).observe(hour_angles=(-2.0, 2.0), interval=600.0, sigma=0.05)
    pixel = vis.resolution() / 3
    image = torch.zeros(1, size, size)
    image[0, 12, 27] = 5.0
    vis = simulate(vis, image, pixel=pixel, generator=torch.Generator().manual_seed(0))
    write_uvfits(tmp_path / "a.uvfits", vis)
    options = {"size": size, "pixel": pixel / ARCSECOND}
    invcore.reconstruct(
        tmp_path / "a.uvfits", output=tmp_path / "out", options=options, solver="radio.clean", nifti=False
    )
    with fits.open(tmp_path / "out" / "restored.fits") as file:
        data, header = file[0].data[0, 0], file[0].header
    assert header["BUNIT"] == "Jy/beam"
    assert 2 < header["BMAJ"] / math.degrees(pixel) < 5
    assert np.unravel_index(data.argmax(), data.shape) == (
        size - 1 - 12,
        27,
    )  # rows of FITS start in the south
    assert float(data.max()) == pytest.approx(5.0, rel=0.01)
    with fits.open(tmp_path / "out" / "residual.fits") as file:
        assert np.abs(file[0].data).max() < 0.05
    assert "Restored in Jy/beam" in (tmp_path / "out" / "report.html").read_text()
