"""Samples that are no counts: the image is as good as without them, or the file is refused."""

import math

import h5py
import numpy as np
import pytest

import invcore
from invcore import DataError
from invcore_tomography import ellipses, parallel

N, VIEWS, BEAM, DARK = 64, 120, 20000, 100
ANGLES = np.arange(VIEWS) * math.pi / VIEWS
PHANTOM = ellipses(
    center=[(0.0, 0.0), (8.0, 4.0), (-6.0, 9.0), (2.0, -14.0)],
    axes=[(22.0, 20.0), (4.0, 3.0), (5.0, 5.0), (1.5, 1.5)],
    density=[0.02, 0.03, -0.01, 0.05],
)
GEOMETRY = parallel(VIEWS, columns=N)
LINES = PHANTOM.project(GEOMETRY)[0].double().numpy()
TRUTH = PHANTOM.rasterize(GEOMETRY.grid, samples=4)


@pytest.fixture
def scan():
    noise = np.random.default_rng(0)
    views = DARK + noise.poisson(BEAM * np.exp(-LINES)).astype(float)
    return {"views": views[:, None], "flat": DARK + noise.poisson(BEAM, (10, 1, N)).astype(float)}


def read(folder, views, flat, dtype=np.uint16, dark=DARK, **options):
    with h5py.File(folder / "scan.h5", "w") as file:
        file["exchange/data"], file["exchange/theta"] = views.astype(dtype), np.rad2deg(ANGLES)
        if flat is not None:
            file["exchange/data_white"] = flat.astype(dtype)
            file["exchange/data_dark"] = np.full((3, 1, N), dark, dtype)
    return invcore.read(folder / "scan.h5", center=(N - 1) / 2, **options)


def error(acquisition):
    x = acquisition.physics.operator.fbp(acquisition.y)
    return float((x - TRUTH).norm() / TRUTH.norm())


def put(where, value, views=True, flat=False):
    def change(scan, noise):
        for name in ["views"] * views + ["flat"] * flat:
            scan[name][where if name == "views" else (slice(None), *where[1:])] = value

    return change


def scattered(share, value):
    def change(scan, noise):
        scan["views"][noise.random(scan["views"].shape) < share] = value

    return change


def zingers(scan, noise):
    hit = noise.random(scan["views"].shape) < 0.002
    scan["views"] += hit * noise.uniform(5000, 40000, hit.shape)


def noisy(column, mean, deviation):
    def change(scan, noise):
        scan["views"][:, :, column] = noise.normal(mean, deviation, (VIEWS, 1))

    return change


HARMLESS = {
    "dead column": put(np.s_[:, :, 20], DARK, flat=True),
    "two dead columns": put(np.s_[:, :, 40:42], DARK, flat=True),
    "dead column, flat field intact": noisy(20, DARK, 3),
    "column that counts zero": put(np.s_[:, :, 33], 0, flat=True),
    "stuck column": put(np.s_[:, :, 40], 30000),
    "saturated column": put(np.s_[:, :, 40], 65535, flat=True),
    "hot column": noisy(40, 60000, 300),
    "dropped views": put(np.s_[30:32], 0),
    "views of the shutter": put(np.s_[[5, 70]], DARK),
    "saturated views": put(np.s_[[5, 70]], 65535),
    "torn view": put(np.s_[40, :, 30:], 0),
    "dim view": lambda scan, noise: put(40, scan["views"][40] * 0.2)(scan, noise),
    "lost samples": scattered(0.01, 0),
    "saturated samples": scattered(0.01, 65535),
    "zingers": zingers,
    "empty flat field": lambda scan, noise: scan["flat"].__setitem__(3, 0),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_the_image_is_as_good_as_without(name, scan, tmp_path):
    clean = error(read(tmp_path, **scan))
    HARMLESS[name](scan, np.random.default_rng(1))
    acquisition = read(tmp_path, **scan)
    assert error(acquisition) < 1.05 * clean
    said = [*acquisition.metadata["notes"], *acquisition.left_out]
    assert any("filled in" in text or "not used" in text for text in said)


def test_nan_of_one_sample(scan, tmp_path):
    clean = error(read(tmp_path, **scan))
    scan["views"][10, 0, 10:12] = np.nan
    assert error(read(tmp_path, **scan, dtype=np.float32)) < 1.05 * clean


def test_a_clean_scan_is_left_alone(scan, tmp_path):
    """-log((c - d)/(f - d)) to the last bit but rounding, also of few photons, and without noise."""
    for views, flat in (
        (scan["views"], scan["flat"]),
        (DARK + BEAM * np.exp(-LINES[:, None]), np.full((3, 1, N), DARK + BEAM)),
        (
            DARK + np.random.default_rng(2).poisson(300 * np.exp(-LINES[:, None])),
            np.full((3, 1, N), DARK + 300),
        ),
    ):
        acquisition = read(tmp_path, views, flat, dtype=np.float32)
        middle = np.median(flat, axis=0) if len(flat) > 4 else flat.mean(0)
        expected = -np.log((views - DARK) / (middle - DARK))[:, 0]
        assert acquisition.y[0].numpy() == pytest.approx(expected, abs=1e-5)
        assert not acquisition.metadata["notes"] and not acquisition.left_out


def test_a_beam_that_falls_is_interpolated(scan, tmp_path):
    """Flat fields before and after: by their number in the file, or by the jump of their level."""
    clean = error(read(tmp_path, **scan))
    fall = np.linspace(1, 0.8, VIEWS)[:, None, None]
    views = DARK + fall * (scan["views"] - DARK)
    flat = np.concatenate([scan["flat"], DARK + 0.8 * (scan["flat"] - DARK)])
    acquisition = read(tmp_path, views, flat)
    assert error(acquisition) < 1.02 * clean and acquisition.metadata["flat_groups"] == 2
    frames = np.concatenate([np.full((2, 1, N), DARK), flat[:10], views, flat[10:], views[::-1][:30]])
    key = np.repeat([2, 1, 0, 1, 0], [2, 10, VIEWS, 10, 30])
    with h5py.File(tmp_path / "scan.nxs", "w") as file:
        at = file.create_group("entry/instrument/detector")
        at["data"], at["image_key"] = frames.astype(np.uint16), key
        at["image_key_control"] = np.where(np.arange(len(key)) >= len(key) - 30, -1, key)
        theta = np.zeros(len(key))
        theta[key == 0] = np.rad2deg(np.r_[ANGLES, ANGLES[::-1][:30]])
        file["entry/sample/rotation_angle"] = theta
    acquisition = invcore.read(tmp_path / "scan.nxs", center=(N - 1) / 2)
    assert acquisition.y.shape == (1, VIEWS, N) and error(acquisition) < 1.02 * clean
    assert any("30 of 172 frames are not used" in text for text in acquisition.left_out)


def test_a_dark_frame_that_is_none(scan, tmp_path):
    """As in httomo#157: some dark frames were taken with the beam on."""
    clean = error(read(tmp_path, **scan))
    with h5py.File(tmp_path / "scan.h5", "r+") as file:
        file["exchange/data_dark"][1] = 15000
    acquisition = invcore.read(tmp_path / "scan.h5", center=(N - 1) / 2)
    assert error(acquisition) < 1.02 * clean and "see the beam" in " ".join(acquisition.left_out)


def test_exposures_of_views_and_flats(scan, tmp_path):
    clean = error(read(tmp_path, **scan))
    short = DARK + (scan["flat"] - DARK) / 5
    with pytest.raises(DataError, match=r"4.99 times that of the flat fields.*exposure=4.99"):
        read(tmp_path, scan["views"], short)
    assert error(read(tmp_path, scan["views"], short, exposure=5.0)) < 1.02 * clean
    long = DARK + (scan["flat"] - DARK) * 3
    assert any("say exposure=0.33" in note for note in read(tmp_path, scan["views"], long).metadata["notes"])


def test_what_is_no_counts_at_all(scan, tmp_path):
    logarithm = LINES[:, None] + np.random.default_rng(0).normal(0, 0.01, (VIEWS, 1, N))
    images = scan["views"] - scan["views"].mean(0)
    few = scan["views"].copy()
    few[np.random.default_rng(0).random(few.shape) < 0.06] = 0
    for views, flat, match in (
        (logarithm, scan["flat"], "values='attenuation'"),
        (logarithm, None, "values='attenuation'"),
        (1e4 * logarithm.clip(0), None, "values='attenuation'"),
        (images, None, "values='normalized'"),
        (few, scan["flat"], "floor=0.0001"),
        (scan["views"] * np.nan, scan["flat"], "NaN"),
    ):
        with pytest.raises(DataError, match=match):
            read(tmp_path, views, flat, dtype=np.float32)
    scattered(0.06, 65535)(scan, np.random.default_rng(0))
    with pytest.raises(DataError, match=r"6% of the samples are no counts: .*saturated.*exposure="):
        read(tmp_path, **scan)
    attenuation = read(tmp_path, logarithm, None, dtype=np.float32, values="attenuation")
    np.testing.assert_allclose(attenuation.y[0], logarithm[:, 0], rtol=1e-5)
    transmission = read(tmp_path, np.exp(-LINES)[:, None], None, dtype=np.float32, values="transmission")
    np.testing.assert_allclose(transmission.y[0], LINES, atol=1e-5)
    normalized = read(tmp_path, -3 * LINES[:, None] + 1, None, dtype=np.float32, values="normalized").y[0]
    assert np.corrcoef(normalized.numpy().ravel(), LINES.ravel())[0, 1] > 0.9999
    assert read(tmp_path, few, scan["flat"], floor=1e-4).metadata["transmission_floor"] == 1e-4
