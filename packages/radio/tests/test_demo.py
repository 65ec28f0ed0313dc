"""The demonstration: from a simulated observation to an image by the command that users type."""

import pytest
import torch
from typer.testing import CliRunner

import invcore
from invcore import ParameterError
from invcore.cli import app
from invcore.io import load_reconstruction
from invcore_radio import RadioGalaxyObservation, radio_galaxy, read_fits_image, read_uvfits


def test_files_are_what_was_asked_for(tmp_path):
    observation = RadioGalaxyObservation(antennas=9, hours=2.0, interval=600.0, sigma=0.1, flux=4.0)
    raw, truth = observation.write(tmp_path, generator=torch.Generator().manual_seed(0))
    vis = read_uvfits(raw)
    assert len(vis) == 36 * 12 and vis.source == "GALAXY"
    assert 0.002 < float(vis.flag.double().mean()) < 0.05
    image = load_reconstruction(truth)[0]
    assert float(image.sum()) == pytest.approx(4.0, rel=1e-5)
    found = invcore.read(raw)
    assert found.physics.domain.shape == image.shape  # the grid of the reader is that of the truth
    residual = (found.physics.operator(image) - found.y)[found.y != 0] / 0.1
    assert float(residual.real.std()) == pytest.approx(1.0, abs=0.1)
    assert float(residual.imag.std()) == pytest.approx(1.0, abs=0.1)
    with pytest.raises(ParameterError, match="RadioGalaxyObservation"):
        RadioGalaxyObservation(sigma=0.0)


def test_reconstruct_command(tmp_path):
    observation = RadioGalaxyObservation(interval=1200.0)
    raw, truth = observation.write(tmp_path, generator=torch.Generator().manual_seed(0))
    command = ["reconstruct", str(raw), "--reference", str(truth), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*command, "--max-steps", "20"])
    assert done.exit_code == 0, done.output
    sky = read_fits_image(tmp_path / "out" / "image.fits")
    image = load_reconstruction(tmp_path / "out" / "reconstruction.h5")[0]
    assert torch.equal(sky.image, image) and sky.unit == "Jy/pixel" and sky.name == "GALAXY"
    expected = 10 * radio_galaxy(256)
    assert float((image - expected).norm() / expected.norm()) < 0.45  # the model of CLEAN, not restored
    assert "NRMSE" in done.output and (tmp_path / "out" / "report.html").stat().st_size > 1000
