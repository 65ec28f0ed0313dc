"""Measured scans: what the files say about themselves, where the axis is, what the reconstructions show."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import invcore
from invcore.priors import TV
from invcore.solvers import FISTA

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("INVCORE_DATA", ROOT.parent / "shared" / "data")) / "tomography"

pytestmark = pytest.mark.skipif(
    not (DATA / "tooth.h5").is_file(),
    reason=f"no measured scans: {DATA} has no tooth.h5; set INVCORE_DATA to the data folder",
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def total_variation(name, **options):
    """The acquisition and its TV image with automatic settings, (y, x)."""
    acquisition = invcore.read(DATA / name, **options)
    image = FISTA(prior=TV(dims=2), rtol=5e-4, max_steps=300)(acquisition.y, acquisition.physics)
    return acquisition, image[0]


def backprojected(sinogram, angles, center, n):
    """Filtered backprojection with numpy alone."""
    columns = sinogram.shape[1]
    ramp = np.abs(np.fft.rfftfreq(2048))
    filtered = np.fft.irfft(np.fft.rfft(sinogram, 2048) * ramp, 2048)[:, :columns]
    x = (np.arange(n) - (n - 1) / 2) * columns / n
    image = np.zeros((n, n))
    for row, t in zip(filtered, angles):
        at = x[None, :] * np.cos(t) + x[:, None] * np.sin(t) + center
        image += np.interp(at, np.arange(columns), row, left=0, right=0)
    return image * np.pi / len(angles)


def otsu(image, bins=256):
    """The threshold that separates two classes best."""
    counts, edges = np.histogram(image, bins)
    middle = (edges[1:] + edges[:-1]) / 2
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    low = np.cumsum(counts * middle) / np.maximum(below, 1)
    high = (np.cumsum((counts * middle)[::-1]) / np.maximum(np.cumsum(counts[::-1]), 1))[::-1]
    return middle[np.argmax(below[:-1] * above[1:] * (low[:-1] - high[1:]) ** 2)]


def tooth_by_hand():
    """Line integrals of a row and the angles, from the raw file with numpy alone."""
    with h5py.File(DATA / "tooth.h5") as file:
        raw = {n: file[f"exchange/{n}"][()] for n in ("data", "data_white", "data_dark", "theta")}
    white, dark = (np.median(raw[n], 0) for n in ("data_white", "data_dark"))
    return -np.log((raw["data"] - dark) / (white - dark))[:, 1], np.deg2rad(raw["theta"])


def test_the_tooth_is_normalized_and_its_axis_found():
    acquisition = invcore.read(DATA / "tooth.h5")
    lines, angles = tooth_by_hand()
    assert acquisition.metadata["format"] == "tomography.dxchange"
    assert np.allclose(acquisition.y[0].numpy(), lines, atol=1e-4)
    # A sweep by eye puts the axis at 296: the streaks at the enamel are balanced there. Without eyes: the least negative mass.
    sweep = np.arange(293.0, 299.5, 0.5)
    images = [backprojected(lines, angles, c, 320) for c in sweep]
    negative = [np.maximum(-image, 0).sum() / np.abs(image).sum() for image in images]
    curve = np.polyfit(sweep, negative, 2)
    by_hand = -curve[1] / (2 * curve[0])
    found = acquisition.metadata["center_of_rotation_column"]
    assert found == pytest.approx(296.0, abs=0.5)
    assert found == pytest.approx(by_hand, abs=0.5)


def test_the_tooth_by_total_variation():
    acquisition, image = total_variation("tooth.h5", size=256)
    lines, angles = tooth_by_hand()
    direct = backprojected(lines, angles, acquisition.metadata["center_of_rotation_column"], 256)
    assert np.corrcoef(direct.ravel(), image.numpy().ravel())[0, 1] > 0.95
    air = (slice(10, 40), slice(10, 40))
    assert image[air].std() < 0.6 * direct[air].std()
    # enamel, dentine and air are three separate gray values
    inside = image[image > otsu(image.numpy())].numpy()
    assert inside.size > 0.08 * image.numel()
    between = otsu(inside)
    assert inside[inside > between].mean() > 1.3 * inside[inside <= between].mean()


def test_the_command_line_does_everything(tmp_path):
    (tmp_path / "tooth.h5").symlink_to(DATA / "tooth.h5")
    words = ["reconstruct", "tooth.h5", "-o", "out", "--option", "size=200", "--max-steps", "40", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "invcore.cli", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    with h5py.File(tmp_path / "out" / "reconstruction.h5") as file:
        assert file["x"].shape[-2:] == (200, 200)
        record = json.loads(file["provenance"].asstr()[()])
    assert record["components"] == {"solver": "fista", "prior": "tv", "reader": "tomography.dxchange"}
    assert record["data"]["center_of_rotation_column"] == pytest.approx(296.0, abs=0.5)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Filtered backprojection" in page


def test_the_challenge_from_sixty_degrees():
    acquisition, image = total_variation("htc2022_fan_ta_sparse.mat", size=192)
    facts = acquisition.metadata
    assert acquisition.y.shape == (1, 121, 560) and facts["angles_deg"] == pytest.approx([0, 60])
    assert facts["source_to_axis_m"] == pytest.approx(0.41066)
    assert facts["detector_pixel_m"] == pytest.approx(2e-4)
    mask = image.numpy() > otsu(image.numpy())
    # the acrylic disk is 70 mm across
    area = mask.sum() * (facts["voxel_m"] ** 2)
    assert 2 * np.sqrt(area / np.pi) == pytest.approx(0.070, rel=0.06)
    rows, columns = np.nonzero(mask)
    spread = (np.ptp(rows) + 1) / (np.ptp(columns) + 1)
    assert spread == pytest.approx(1, abs=0.15)


def test_the_dendrites_from_all_views_and_from_sixty():
    acquisition, many = total_variation("dendrite_parallel.mat", size=256)
    assert acquisition.y.shape == (1, 360, 1260)
    sparse, few = total_variation("dendrite_parallel.mat", size=256, every=6)
    assert sparse.y.shape == (1, 60, 1260)
    disk = (torch.arange(256) - 127.5).square()
    inside = (disk[:, None] + disk) < 90**2
    agreement = np.corrcoef(many[inside].numpy(), few[inside].numpy())[0, 1]
    assert agreement > 0.6
    assert many[inside].mean() > 5 * many[~inside].mean().abs()


def test_the_microscope_tells_its_geometry():
    pytest.importorskip("olefile")
    acquisition = invcore.read(DATA / "zeiss_chip.txrm")
    assert acquisition.y.shape == (1, 7, 256)
    geometry = acquisition.physics.operator.geometry
    assert geometry.u.norm(dim=-1) == pytest.approx(0.15578948e-6)
    theta = torch.rad2deg(torch.atan2(geometry.u[:, 1], geometry.u[:, 0]))
    assert theta.tolist() == pytest.approx([-45, -30, -15, 0, 15, 30, 45], abs=0.1)
    moved = (geometry.detector * geometry.u).sum(-1) / geometry.u.square().sum(-1)
    assert moved.tolist() == pytest.approx(
        [0.2592, -0.9437, 1.2806, -1.0771, 1.1047, -0.9559, 0.3322], abs=1e-3
    )
    assert any("no flat fields" in note for note in acquisition.metadata["notes"])
    assert torch.isfinite(acquisition.physics.operator.H(acquisition.y)).all()


def test_a_microtubule_behind_a_missing_wedge(tmp_path):
    # the file is a reconstructed volume: a tilt series of it is simulated, written and read as a microscope's
    tifffile, mrcfile = pytest.importorskip("tifffile"), pytest.importorskip("mrcfile")
    from invcore_tomography import FBP, Grid, XRay, parallel

    volume = torch.from_numpy(tifffile.imread(DATA / "cryoet_microtubule.tif").astype(np.float32))  # z, y, x
    truth = (volume[:, 100] - volume[:, 100].mean()) / 255 * 1e-2  # a section (z, x), across the tilt axis
    degrees = torch.arange(-60.0, 61.0, 3.0)
    grid = Grid(shape=tuple(truth.shape), spacing=1.0)
    A = XRay(geometry=parallel(torch.deg2rad(degrees), columns=94, grid=grid))
    generator = torch.Generator().manual_seed(0)
    lines = A(truth[None])[0]
    counts = 1e4 * torch.exp(-lines) + 20 * torch.randn(lines.shape, generator=generator)
    with mrcfile.new(tmp_path / "tilts.st", overwrite=True) as file:
        file.set_data(counts[:, None].expand(-1, 3, -1).contiguous().numpy())
        file.voxel_size = 10.52
    (tmp_path / "tilts.rawtlt").write_text("".join(f"{d:.2f}\n" for d in degrees.tolist()))
    acquisition = invcore.read(tmp_path / "tilts.st")
    assert acquisition.metadata["format"] == "tomography.mrc"
    assert acquisition.metadata["pixel_size_m"] == pytest.approx(1.052e-9)
    image = FBP(geometry=acquisition.physics.operator.geometry)(acquisition.y)[0]
    middle = image[47 - 18 : 47 + 18]
    assert np.corrcoef(middle.ravel().numpy(), truth.ravel().numpy())[0, 1] > 0.6
    assert not any(name.sniff(DATA / "cryoet_microtubule.tif") for name in _readers())


def _readers():
    return [invcore.get("reader", c.name)() for c in invcore.components("reader")]
