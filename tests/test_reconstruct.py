"""`invcore.reconstruct` and the command of that name: what they make of sound files."""

import importlib.util
import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

import invcore
from invcore import Physics, ShapeError, reconstruct
from invcore.io import Acquisition, Output, save_reconstruction
from invcore.operators import Identity
from invcore.priors import WaveletL1
from invcore.run import run
from invcore.solvers import FISTA
from invcore_mri import Espirit, acquire, read_cfl, simulate, write_cfl
from invcore_tomography._examples import io as tomography_samples

SIZE, COILS = 48, 4


def as_command(folder, *words, **options):
    return subprocess.run(
        [sys.executable, "-m", "invcore.cli", "reconstruct", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,
    )


FILES = {"reconstruction.h5", "report.html", "magnitude.png", "phase.png", "error.png", "convergence.png"}
FILES |= {"magnitude.nii.gz"} if importlib.util.find_spec("nibabel") else set()


def test_a_sound_file_replaces_earlier_results(scans):
    done = as_command(scans, "scan.cfl", "--reference", "full.cfl", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[1]) < 0.05
    assert {path.name for path in (scans / "out").iterdir()} == FILES
    assert not any(path.read_bytes().startswith(b"earlier") for path in (scans / "out").iterdir())


def test_files_of_an_earlier_result_go_and_those_of_others_stay(scans):
    """The second run has no reference, so that no picture of an error may be left."""
    first = reconstruct(scans / "scan.cfl", reference=scans / "full.cfl", output=scans / "new", max_steps=2)
    (scans / "new" / "notes.txt").write_text("of somebody else")
    second = reconstruct(scans / "scan.cfl", output=scans / "new", max_steps=2)
    assert "error" in first.files
    left = {path.name for path in (scans / "new").iterdir()}
    assert left == {path.name for path in second.files.values()} | {"notes.txt"}


def test_the_size_of_a_voxel_goes_everywhere(tmp_path):
    """Slices of 0.5 x 0.7 mm: NIfTI, the picture's shape, and the prior's differences."""
    nibabel = pytest.importorskip("nibabel")
    pytest.importorskip("pydicom")
    from matplotlib.image import imread

    path = tomography_samples.dicom()["slice"](tmp_path)
    done = reconstruct(path, output=tmp_path / "out", max_steps=1, nifti=True)
    header = nibabel.load(tmp_path / "out" / "magnitude.nii.gz").header
    assert header.get_zooms()[:2] == pytest.approx((0.7, 0.5)) and header.get_xyzt_units()[0] == "mm"
    assert imread(tmp_path / "out" / "magnitude.png").shape[:2] == (40, round(36 * 1.4))
    assert done.problem["solver"]["prior"]["spacing"] == pytest.approx((1.0, 1.4))
    again = run(tmp_path / "out" / "reconstruction.h5", output=tmp_path / "again")
    assert torch.equal(again.x, done.x)


def test_the_record_does_not_name_the_user(scans):
    """Files below the home folder are recorded as the shell would let them be typed."""
    command = [
        sys.executable,
        "-m",
        "invcore.cli",
        "reconstruct",
        str(scans / "scan.cfl"),
        "-o",
        str(scans / "out"),
    ]
    environment = {**os.environ, "HOME": str(scans), "USERPROFILE": str(scans), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*command, "--quiet", "--max-steps", "2"], check=True, capture_output=True, env=environment
    )
    with h5py.File(scans / "out" / "reconstruction.h5") as file:
        text = file["provenance"].asstr()[()]
    assert json.loads(text)["command"] == "invcore reconstruct ~/scan.cfl -o ~/out --quiet --max-steps 2"
    assert str(scans) not in text and str(scans) not in (scans / "out" / "report.html").read_text()


def test_all_slices_of_a_file_with_their_references(scans):
    result = reconstruct(
        scans / "slices.h5",
        reference=scans / "slices_full.h5",
        options={"slice": "all"},
        output=scans / "new",
        max_steps=30,
    )
    assert result.x.shape == (3, 1, SIZE, SIZE) and result.metrics["nrmse"].shape == (3,)
    assert float(result.metrics["nrmse"].max()) < 0.05
    assert len(result.provenance["parameters"]["weight"]) == 3
    with h5py.File(result.files["image"]) as file:
        assert file["x"].shape == (3, 1, SIZE, SIZE)
    page = result.files["report"].read_text()
    assert "Sample 3" in page
    one = reconstruct(  # a slice is compared with that slice of the reference
        scans / "slices.h5",
        reference=scans / "slices_full.h5",
        options={"slice": 0},
        output=scans / "one",
        max_steps=30,
    )
    assert float(one.metrics["nrmse"]) < 0.05


def test_a_volume(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    n = 24
    kspace = simulate((n, n, n), coils=COILS, sigma=0.001, generator=torch.Generator().manual_seed(0)).kspace
    mask = torch.zeros(n)
    mask[::2] = 1
    mask[6:18] = 1
    write_cfl("volume", (kspace * mask).movedim(0, -1))
    write_cfl("whole", kspace.movedim(0, -1))
    nifti = True
    try:
        import nibabel
    except ImportError:
        nifti = False
    result = reconstruct("volume.cfl", reference="whole.cfl", output="new", nifti=nifti, max_steps=30)
    assert result.x.shape == (1, n, n, n)
    assert float(result.metrics["nrmse"]) < 0.05
    with h5py.File("new/reconstruction.h5") as file:
        assert file["x"].shape == (1, 1, n, n, n)
        assert [d.label for d in file["x"].dims] == ["batch", "channel", "z", "y", "x"]
    if nifti:
        image = np.asarray(nibabel.load("new/magnitude.nii.gz").dataobj)
        assert np.allclose(image, result.x[0].abs().numpy().transpose(2, 1, 0), rtol=1e-5)


def test_several_sets_of_maps(scans):
    """Two ESPIRiT sets, one image each, compared by their root sum of squares."""
    options = {"calibration": Espirit(sets=2, crop=0.0, soft=0.0)}
    result = reconstruct(
        scans / "scan.cfl", reference=scans / "full.cfl", options=options, output=scans / "new", max_steps=30
    )
    assert result.x.shape == (2, SIZE, SIZE)
    assert float(result.metrics["nrmse"]) < 0.06
    with h5py.File(result.files["image"]) as file:
        assert file["x"].shape == (1, 2, SIZE, SIZE)
    assert result.provenance["parameters"]["reader"]["calibration"]["sets"] == 2
    again = reconstruct(
        scans / "scan.cfl",
        reference=result.files["image"],
        options=options,
        output=scans / "two",
        max_steps=30,
    )
    assert float(again.metrics["nrmse"]) < 1e-3


def test_acquired_in_memory_as_from_the_file(scans):
    kspace = read_cfl(scans / "scan").movedim(3, 0).squeeze(1)
    here, there = acquire(kspace), invcore.read(scans / "scan.cfl")
    assert torch.equal(here.y, there.y)
    solver = FISTA(prior=WaveletL1(), max_steps=5)
    assert torch.equal(solver(here.y, here.physics), solver(there.y, there.physics))


class _TwoPictures(Output):
    fit_scale = False

    def pictures(self, x):
        return {"Depth in m": x[..., :1, :, :], "Reflectivity": x[..., 1:, :, :]}

    def write(self, folder, x, record):
        (folder / "depth.csv").write_text(f"{float(x[0].mean())}")
        return {"table": folder / "depth.csv"}


def test_pictures_and_files_of_the_field(tmp_path, monkeypatch):
    """A reader's `Output` decides what is shown, compared and written besides."""
    truth = torch.stack([torch.full((12, 12), 3.0), torch.linspace(1, 2, 144).reshape(12, 12)])
    physics = Physics(Identity((2, 12, 12)))
    acquisition = Acquisition(y=truth, physics=physics, solver={"name": "cg"}, output=_TwoPictures())
    monkeypatch.setattr("invcore.run._measure.read", lambda *a, **k: acquisition)
    save_reconstruction(tmp_path / "truth.h5", 2 * truth, {}, spatial_dims=2)
    made = reconstruct("scan", output=tmp_path / "out", reference=tmp_path / "truth.h5", weight=0.0)
    assert float((tmp_path / "out" / "depth.csv").read_text()) == pytest.approx(3.0)
    assert {"depth.png", "reflectivity.png", "depth.csv"} <= {p.name for p in (tmp_path / "out").iterdir()}
    assert made.files["table"] == tmp_path / "out" / "depth.csv"
    assert float(made.metrics["nrmse"]) == pytest.approx(
        0.5, abs=1e-4
    )  # of the depth, not fitted: 3 against 6
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Depth in m" in page
    assert "Reflectivity" in page


def test_weight_that_the_reader_suggests(tmp_path, monkeypatch):
    """It holds for the reader's own solver, and where the user names none."""
    y = torch.ones(1, 12, 12)
    physics = Physics(Identity((1, 12, 12)))
    acquisition = Acquisition(y=y, physics=physics, solver={"name": "cg", "weight": 1.0})
    monkeypatch.setattr("invcore.run._measure.read", lambda *a, **k: acquisition)
    for given, used in (({}, 1.0), ({"weight": 3.0}, 3.0)):
        made = reconstruct("scan", output=tmp_path, **given)
        assert made.solution.problem.weight == used
        torch.testing.assert_close(made.x, y / (1 + used))


def test_what_the_reader_leaves_out_is_said_everywhere(tmp_path, monkeypatch):
    """On the terminal, in the report and in the record."""
    said, y = "1 of 3 slices used; slice= chooses", torch.ones(1, 12, 12)
    acquisition = Acquisition(
        y=y, physics=Physics(Identity((1, 12, 12))), solver={"name": "cg"}, left_out=(said,)
    )
    monkeypatch.setattr("invcore.run._measure.read", lambda *a, **k: acquisition)
    heard = []
    made = reconstruct("scan", output=tmp_path, weight=1.0, say=heard.append)
    assert any(said in line for line in heard)
    assert said in (tmp_path / "report.html").read_text()
    assert made.provenance["data"]["left_out"] == [said]


def test_every_kind_of_image_is_a_reference(tmp_path, monkeypatch):
    """The same image as a result, an array, a picture, NIfTI and FITS gives the same metrics."""
    from invcore.io import save_nifti, save_png, save_reconstruction

    y = torch.ones(1, 12, 12) + torch.arange(12.0)
    acquisition = Acquisition(y=y, physics=Physics(Identity((1, 12, 12))), solver={"name": "cg"})
    monkeypatch.setattr("invcore.run._measure.read", lambda *a, **k: acquisition)
    truth = (torch.arange(144.0).reshape(1, 12, 12) % 17) / 17
    save_reconstruction(tmp_path / "x.h5", truth[None], {})
    np.save(tmp_path / "x.npy", truth.numpy())
    Image.fromarray(truth[0].numpy()).save(tmp_path / "x.tif")
    save_png(tmp_path / "x.png", truth)  # in three equal colors, 8 bits
    names = ["x.h5", "x.npy", "x.tif", "x.png"]
    if importlib.util.find_spec("nibabel"):
        save_nifti(tmp_path / "x.nii.gz", truth)
        names.append("x.nii.gz")
    if importlib.util.find_spec("astropy"):
        from astropy.io import fits

        fits.writeto(tmp_path / "x.fits", truth.numpy()[0, ::-1])
        names.append("x.fits")
    how = {"weight": 0.0, "output": tmp_path / "out"}
    found = {name: reconstruct("scan", reference=tmp_path / name, **how).metrics["nrmse"] for name in names}
    for name in names:
        assert float(found[name]) == pytest.approx(
            float(found["x.h5"]), abs=0.02 if name == "x.png" else 1e-6
        )
    with pytest.raises(ShapeError, match="not images of one scan"):
        np.save(tmp_path / "small.npy", np.ones((4, 4)))
        reconstruct("scan", reference=tmp_path / "small.npy", **how)
