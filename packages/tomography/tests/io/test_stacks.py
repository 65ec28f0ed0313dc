"""Stacks of views: names of files, bytes of electron microscopes, descriptions beside them."""

import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

import invcore
from invcore import DataError
from invcore_tomography._examples import io as samples
from invcore_tomography._io.folder import natural, sorted_files

tifffile = pytest.importorskip("tifffile")
COUNTS, FLAT, DARK, ANGLES = samples._counts()
CENTER = 23.5


def folder(at, form, start=0, skip=(), photometric="minisblack", flat="flat.tif", dark="dark.tif"):
    at.mkdir()
    invert = (lambda a: 65535 - a) if photometric == "miniswhite" else (lambda a: a)
    for k, view in enumerate(COUNTS):
        if k not in skip:
            tifffile.imwrite(at / form.format(k + start), invert(view), photometric=photometric)
    for name, frames in ((flat, FLAT), (dark, DARK)):
        if "{" not in name:
            tifffile.imwrite(at / name, invert(frames), photometric=photometric)
            continue
        for k, frame in enumerate(frames):
            (at / name).parent.mkdir(exist_ok=True)
            tifffile.imwrite(at / name.format(k), invert(frame), photometric=photometric)
    samples._write_angles(at / "angles.txt", ANGLES)
    return at


def test_views_in_the_order_of_their_numbers(tmp_path):
    truth = invcore.read(folder(tmp_path / "a", "v_{:04d}.tif"), center=CENTER)
    for k, options in enumerate(
        (
            {"form": "v_{}.tif"},
            {"form": "v{}-a.tif", "start": 7},
            {"form": "scan 2 ({}).TIFF"},
            {"form": "{}.tif", "start": 1, "photometric": "miniswhite"},
            {"form": "proj_{}.tif", "flat": "flat_{:03d}.tif", "dark": "scan-dark-{}.tif"},
            {"form": "proj_{}.tif", "flat": "flats/{}.tif", "dark": "darks/{}.tif"},
        )
    ):
        found = invcore.read(folder(tmp_path / f"b{k}", **options), center=CENTER)
        assert torch.equal(found.y, truth.y), options
    part = invcore.read(folder(tmp_path / "c", "v_{}.tif", start=3, skip=(5, 20)), center=CENTER)
    keep = [k for k in range(40) if k not in (5, 20)]
    assert torch.equal(part.y, truth.y[:, keep]) and "2 of 40 angles have no view" in " ".join(part.left_out)
    assert part.metadata["angles_deg"] == truth.metadata["angles_deg"]
    with pytest.raises(
        DataError, match=r"38 views, but 40 angles in angles.txt \(frames by their names: 6 flat"
    ):
        invcore.read(folder(tmp_path / "d", "v_{}.tif", skip=(0, 1)), center=CENTER)


def test_the_order_of_names():
    names = ["p10", "p9", "p1", "P2", "p02b", "p002a"]
    assert sorted(names, key=lambda n: natural(Path(n + ".tif"))) == [
        "p1",
        "P2",
        "p002a",
        "p02b",
        "p9",
        "p10",
    ]


def test_a_sample_called_flat(tmp_path):
    for k in range(3):
        (tmp_path / f"flat_bone_{k}.tif").touch()
    assert len(sorted_files(tmp_path, (".tif",)).views) == 3


def test_flats_called_before_and_after(tmp_path):
    at = folder(tmp_path / "a", "v_{}.tif")
    (at / "flat.tif").unlink()
    tifffile.imwrite(at / "flat_before.tif", FLAT, photometric="minisblack")
    tifffile.imwrite(at / "flat_after.tif", FLAT, photometric="minisblack")
    assert invcore.read(at, center=CENTER).metadata["flat_groups"] == 2


def test_white_as_zero_of_floats_is_refused(tmp_path):
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, COUNTS.astype(np.float32), photometric="miniswhite")
    samples._write_angles(tmp_path / "scan.angles.txt", ANGLES)
    with pytest.raises(DataError, match="0 means white"):
        invcore.read(path)


TILTS = np.arange(-60.0, 61.0, 3.0)
SPOTS = ((5.0, -4.0, 3.0, 1.0), (-9.0, 8.0, -6.0, 0.7), (2.0, 12.0, 9.0, 0.5))  # x, y, z, weight


def projections(axis=0.0, size=48):
    """Line integrals (view, y, x) of Gaussian spots turned about an axis at an angle from the vertical."""
    a, y = math.radians(axis), np.arange(size)[:, None] - (size - 1) / 2
    x = np.arange(size)[None] - (size - 1) / 2
    out = np.zeros((len(TILTS), size, size))
    for k, tilt in enumerate(np.deg2rad(TILTS)):
        for px, py, pz, weight in SPOTS:
            across = px * math.cos(tilt) + pz * math.sin(tilt)
            u, v = math.cos(a) * across - math.sin(a) * py, math.sin(a) * across + math.cos(a) * py
            out[k] += weight * np.exp(-((x - u) ** 2 + (y - v) ** 2) / 8)
    return out


def mrc(path, stack, mode, stamp=None, extremes=None):
    views, rows, columns = stack.shape
    head = bytearray(1024)
    struct.pack_into("<10i", head, 0, columns, rows, views, mode, 0, 0, 0, columns, rows, views)
    struct.pack_into("<6f3i", head, 40, 5.0 * columns, 5.0 * rows, 5.0 * views, 90, 90, 90, 1, 2, 3)
    struct.pack_into(
        "<3f", head, 76, *(extremes or (float(stack.min()), float(stack.max()), float(stack.mean())))
    )
    struct.pack_into("<i", head, 108, 20140)
    if stamp is not None:
        struct.pack_into("<2i", head, 152, 1146047817, stamp)
    head[208:216] = b"MAP DA\0\0"
    path.write_bytes(bytes(head) + stack.tobytes())
    return path


def mdoc(path, axis=None, order=slice(None)):
    sections = [
        f"[ZValue = {k}]\nTiltAngle = {TILTS[k]:.3f}\nStagePosition = 1 2\n" for k in range(len(TILTS))
    ]
    title = "" if axis is None else f"[T =     Tilt axis angle = {axis}, binning = 1  spot = 8]\n"
    path.write_text(f"PixelSpacing = 5.0\nImageFile = a.mrc\n\n{title}\n" + "\n".join(sections[order]))


@pytest.mark.parametrize("ends", [".tlt", ".mrc.tlt", ".rawtlt", ".mrc.mdoc", ".mdoc"])
def test_angles_beside_a_tilt_series(ends, tmp_path):
    pytest.importorskip("mrcfile")
    stack = np.exp(-projections()).astype("<f4")
    path, beside = mrc(tmp_path / "s.mrc", stack, 2), tmp_path / f"s{ends}"
    if ends.endswith("mdoc"):
        mdoc(beside, order=slice(None, None, -1))
    else:
        beside.write_text("\n".join(map(str, TILTS)))
    acquisition = invcore.read(path)
    assert acquisition.metadata["angles_deg"] == pytest.approx([-60, 60])
    assert acquisition.voxel_size == pytest.approx((5e-10, 5e-10))
    np.testing.assert_allclose(acquisition.y[0], projections()[:, 24], atol=2e-2)


@pytest.mark.parametrize("axis", [85.0, -12.0, 178.0])
def test_the_tilt_axis_is_made_vertical(axis, tmp_path):
    """Truth: the spots' projections about a vertical axis, computed and not turned."""
    pytest.importorskip("mrcfile")
    path = mrc(tmp_path / "s.mrc", np.exp(-projections(axis)).astype("<f4"), 2)
    mdoc(tmp_path / "s.mrc.mdoc", axis)
    upright = projections()
    for options, name in (({}, path), ({"axis": axis}, path)):
        acquisition = invcore.read(name, slice="all", **options)
        found = acquisition.y[:, 0].movedim(1, 0).numpy()
        assert np.abs(found - upright).max() < 0.06 * upright.max()  # linear interpolation
        assert acquisition.metadata["tilt_axis_deg"] == axis
    aligned = mrc(tmp_path / "t.ali", np.exp(-upright).astype("<f4"), 2)
    mdoc(tmp_path / "t.mdoc", axis)
    assert invcore.read(aligned).metadata["tilt_axis_deg"] == 0.0


def test_bytes_signed_and_unsigned(tmp_path):
    pytest.importorskip("mrcfile")
    (tmp_path / "s.tlt").write_text("\n".join(map(str, TILTS)))
    truth = projections()[:, 24]
    seen = np.exp(-projections())
    for stack, stamp, extremes in (
        ((seen * 120).astype("i1"), None, None),
        ((seen * 120).astype("i1"), 1, None),
        ((seen * 240).astype("u1"), 0, None),
        ((seen * 240).astype("u1"), None, None),
        ((seen * 120).astype("u1"), 0, (0.0, 0.0, 0.0)),
    ):
        y = invcore.read(mrc(tmp_path / "s.mrc", stack, 0, stamp, extremes)).y[0].numpy()
        assert np.abs(y - truth).max() < 0.05
    zero_mean = (seen - seen.mean((1, 2), keepdims=True)).astype("<f4")
    mrc(tmp_path / "s.mrc", zero_mean, 2)
    with pytest.raises(DataError, match="values='normalized'"):
        invcore.read(tmp_path / "s.mrc")
    y = invcore.read(tmp_path / "s.mrc", values="normalized").y[0].numpy()
    assert np.corrcoef(y.ravel(), truth.ravel())[0, 1] > 0.98
