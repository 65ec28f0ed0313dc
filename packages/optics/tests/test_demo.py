"""The demonstration: from simulated photons to an image by the command that users type."""

import pytest
import torch
from typer.testing import CliRunner

import invcore
from invcore import ParameterError
from invcore.cli import app
from invcore.io import load_reconstruction
from invcore_optics import SinglePixelReader, TargetScan


def test_files_are_what_was_asked_for(tmp_path):
    scan = TargetScan(size=32, fraction=0.5, photons=1e5)
    raw, full = scan.write(tmp_path, generator=torch.Generator().manual_seed(0))
    assert invcore.read(raw).y.shape == (1, 512)
    image = SinglePixelReader().reference(full)
    assert image.shape == (1, 32, 32)
    assert -0.2 < image.min() < 0.1 < 0.8 < image.max() < 1.2
    with pytest.raises(ParameterError, match="power of two"):
        TargetScan(size=100)


def test_reconstruct_command(tmp_path):
    raw, full = TargetScan(size=32, fraction=0.7).write(tmp_path, generator=torch.Generator().manual_seed(0))
    command = ["reconstruct", str(raw), "--reference", str(full), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    image, _ = load_reconstruction(tmp_path / "out" / "reconstruction.h5")
    truth = SinglePixelReader().reference(full)
    assert (image - truth).square().mean().sqrt() < 0.1
