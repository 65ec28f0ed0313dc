"""The demonstration: from simulated photons to a depth map by the command that users type."""

import json

import pytest
import torch
from typer.testing import CliRunner

import invcore
from invcore import ParameterError
from invcore.cli import app
from invcore.io import load_reconstruction
from invcore_lidar import MatReader, StillLifeScan, read_mat, read_ply, still_life


def test_files_are_what_was_asked_for(tmp_path):
    scan = StillLifeScan(shape=(40, 50), photons=3.0, full_photons=80.0, signal_to_background=2.0)
    raw, full = scan.write(tmp_path, generator=torch.Generator().manual_seed(0))
    assert read_mat(raw).counts().double().mean().item() == pytest.approx(4.5, rel=0.03)
    assert read_mat(full).counts().double().mean().item() == pytest.approx(120, rel=0.01)
    image = MatReader().reference(full)
    found = invcore.read(raw)
    depth = still_life((40, 50)).depth[0] - found.output.near
    assert image.shape == (1, 40, 50)
    assert (image[0] - depth).abs().median() < 0.01
    with pytest.raises(ParameterError, match="StillLifeScan"):
        StillLifeScan(photons=0.0)


def test_reconstruct_command(tmp_path):
    scan = StillLifeScan(shape=(24, 28), photons=4.0, signal_to_background=2.0)
    raw, full = scan.write(tmp_path, generator=torch.Generator().manual_seed(0))
    command = ["reconstruct", str(raw), "--reference", str(full), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    image, record = load_reconstruction(tmp_path / "out" / "reconstruction.h5")
    truth = still_life((24, 28)).depth[0]
    assert (image.reshape(3, 24, 28)[0] - truth).abs().median() < 0.03
    cloud = read_ply(tmp_path / "out" / "points.ply")
    assert 0.7 * 24 * 28 < len(cloud) <= 24 * 28  # all but dark corners
    assert (tmp_path / "out" / "depth_map.png").stat().st_size > 1000
    assert "lidar.regularized" in json.dumps(record, default=str)
