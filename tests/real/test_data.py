"""A measured brain scan, straight from the command line with automatic settings, and through Python."""

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import invcore
from invcore.io import load_reconstruction
from invcore.priors import WaveletL1
from invcore.solvers import FISTA, ConjugateGradient, Status


def reconstruct(measured, folder, *words, threads=2, output="out"):
    """Run ``invcore reconstruct`` in a folder that holds the scan; the machine's names stay out of the
    command."""
    for name in ("brain8_und2x2", "brain8_full"):
        for end in (".cfl", ".hdr"):
            if not (folder / (name + end)).exists():
                (folder / (name + end)).symlink_to(measured(f"mri/{name}{end}"))
    command = ["reconstruct", "brain8_und2x2.cfl", "--reference", "brain8_full.cfl", "-o", output, *words]
    done = subprocess.run(
        [sys.executable, "-m", "invcore.cli", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )
    assert done.returncode == 0, done.stderr
    return done


def nrmse_of(done):
    return float(re.search(r"^NRMSE\s+([\d.]+)$", done.stdout, re.MULTILINE)[1])


def load(path):
    with h5py.File(path) as file:
        return np.asarray(file["x"]), json.loads(file["provenance"].asstr()[()])


@pytest.fixture(scope="module")
def wavelet(measured, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wavelet")
    return folder, reconstruct(measured, folder)


@pytest.fixture(scope="module")
def cg(measured, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cg")
    return folder, reconstruct(measured, folder, "--solver", "cg")


def independent_nrmse(measured, x):
    """From the raw fully sampled file with numpy alone: root sum of squares, best scalar fit."""
    words = measured("mri/brain8_full.hdr").read_text().split("# Dimensions")[1].split("#")[0].split()
    shape = tuple(int(w) for w in words)
    kspace = np.fromfile(measured("mri/brain8_full.cfl"), np.complex64).reshape(shape, order="F").squeeze()
    axes = (0, 1)
    images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes), axes=axes, norm="ortho"), axes)
    truth = np.sqrt((np.abs(images) ** 2).sum(-1))
    x = np.abs(x).reshape(truth.shape)
    x = x * (x * truth).sum() / (x * x).sum()
    return np.linalg.norm(x - truth) / np.linalg.norm(truth)


def test_wavelets_reach_their_figure(measured, wavelet):
    folder, done = wavelet
    x, _ = load(folder / "out" / "reconstruction.h5")
    assert nrmse_of(done) <= 0.062
    assert independent_nrmse(measured, x) == pytest.approx(nrmse_of(done), abs=6e-5)


def test_cg_sense_reaches_its_figure(measured, cg):
    folder, done = cg
    x, _ = load(folder / "out" / "reconstruction.h5")
    assert nrmse_of(done) <= 0.077
    assert independent_nrmse(measured, x) == pytest.approx(nrmse_of(done), abs=6e-5)


def test_what_is_printed_where(wavelet):
    _, done = wavelet
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["NRMSE", "PSNR", "SSIM"]
    names = {"reconstruction.h5", "report.html", "magnitude.png", "phase.png", "error.png", "convergence.png"}
    names |= {"magnitude.nii.gz"} if importlib.util.find_spec("nibabel") else set()
    assert {Path(line).name for line in lines[3:]} == names
    assert {path.name for path in (wavelet[0] / "out").iterdir()} == names
    assert "read brain8_und2x2.cfl" in done.stderr and "fista" in done.stderr
    assert "Traceback" not in done.stderr


def test_result_file(wavelet):
    folder, _ = wavelet
    with h5py.File(folder / "out" / "reconstruction.h5") as file:
        assert sorted(file) == ["provenance", "x"]
        assert file["x"].shape == (1, 1, 230, 180) and file["x"].dtype == np.complex64
        assert [d.label for d in file["x"].dims] == ["batch", "channel", "y", "x"]
        assert np.isfinite(file["x"][()]).all()
    image, record = load_reconstruction(folder / "out" / "reconstruction.h5")
    assert image.shape == (1, 230, 180) and record["seed"] == 0


def test_provenance_is_complete(wavelet):
    folder, _ = wavelet
    _, record = load(folder / "out" / "reconstruction.h5")
    assert record["command"] == ("invcore reconstruct brain8_und2x2.cfl --reference brain8_full.cfl -o out")
    assert record["seed"] == 0
    assert record["components"] == {"solver": "fista", "prior": "wavelet", "reader": "mri.cfl"}
    assert set(record["versions"]) >= {"invcore", "torch", "numpy", "python"}
    assert record["plugins"]["invcore-mri"] == invcore.__version__
    parameters = record["parameters"]
    assert set(parameters["solver"]) == {"class", *(f.name for f in fields(FISTA))}
    assert set(parameters["solver"]["prior"]) == {"class", *(f.name for f in fields(WaveletL1))}
    assert parameters["weight"] > 0 and parameters["steps"] > 0
    assert parameters["status"] in {status.name for status in Status}
    assert set(parameters["operator"]) >= {"class", "maps", "mask"}
    assert set(parameters["operator"]["maps"]) == {"shape", "dtype", "sha256"}
    assert parameters["noise"]["sigma"] == 1.0 and parameters["device"] == "cpu"
    data = record["data"]
    assert data["file"] == "brain8_und2x2.cfl" and data["coils"] == 8
    assert data["sigma"] > 0 and data["acceleration"] == pytest.approx(3.4, abs=0.7)
    assert data["calibration"]["method"] == "espirit"


def test_no_names_of_the_machine_or_the_user(measured, wavelet):
    folder, _ = wavelet
    for name in ("reconstruction.h5", "report.html"):
        content = (folder / "out" / name).read_bytes()
        for private in (
            str(folder),
            str(measured("mri/brain8_full.cfl").parent),
            str(Path.home()) + "/",
            socket.gethostname(),
        ):
            assert len(private) < 4 or private.encode() not in content


class Loads(HTMLParser):
    """What a page would fetch or run."""

    def __init__(self):
        super().__init__()
        self.found, self.images = [], 0

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.images += tag == "img"
        if tag in ("script", "iframe", "object", "embed", "link", "base") or any(
            a.startswith("on") for a in attributes
        ):
            self.found.append(tag)
        for name in ("src", "srcset", "href", "data", "poster", "background", "action"):
            value = attributes.get(name) or ""
            if value and not value.startswith(("data:", "#")):
                self.found.append(f"{tag} {name}={value[:60]}")


def test_report_is_self_contained(wavelet):
    folder, _ = wavelet
    page = (folder / "out" / "report.html").read_text(encoding="utf-8")
    loads = Loads()
    loads.feed(page)
    assert loads.found == []
    assert loads.images >= 5  # reconstruction, reference, zero-filled, phase, error, convergence
    assert not re.search(r"@import|url\((?!['\"]?data:)", page)
    for text in (
        "NRMSE",
        "invcore reconstruct brain8_und2x2.cfl",
        "wavelet",
        "sha256",
        "Convergence",
        "Error",
    ):
        assert text in page


def test_the_same_seed_gives_the_same_bits(measured, wavelet):
    folder, _ = wavelet
    again = reconstruct(measured, folder, output="again")
    first, second = (load(folder / name / "reconstruction.h5")[0] for name in ("out", "again"))
    assert np.array_equal(first, second)
    assert again.stdout.splitlines()[0] == wavelet[1].stdout.splitlines()[0]


def test_the_number_of_threads_does_not_matter(measured, cg):
    folder, _ = cg
    silent = reconstruct(measured, folder, "--solver", "cg", "--quiet", threads=1, output="one")
    assert silent.stdout == silent.stderr == ""
    one, two = (load(folder / name / "reconstruction.h5")[0] for name in ("one", "out"))
    assert np.linalg.norm(one - two) < 1e-4 * np.linalg.norm(two)


def test_from_python(measured, cg):
    folder, _ = cg
    acq = invcore.read(folder / "brain8_und2x2.cfl")
    assert acq.solver == {"name": "fista", "prior": {"name": "wavelet"}}
    x = ConjugateGradient(rtol=1e-3)(acq.y, acq.physics)
    assert x.shape == (1, 230, 180)
    expected = torch.from_numpy(load(folder / "out" / "reconstruction.h5")[0][0])
    assert float((x - expected).norm() / expected.norm()) < 1e-5
    assert independent_nrmse(measured, x.numpy()) <= 0.077
    again = invcore.create("solver", "cg")(acq.y, acq.physics)
    assert independent_nrmse(measured, again.numpy()) <= 0.077


def test_noise_level_agrees_with_the_background(measured, cg):
    """Where there is no head the fully sampled images show noise alone: a Rayleigh magnitude."""
    folder, _ = cg
    sigma = invcore.read(folder / "brain8_und2x2.cfl").metadata["sigma"]
    kspace = np.fromfile(measured("mri/brain8_full.cfl"), np.complex64).reshape((230, 180, 8), order="F")
    images = np.fft.fftshift(
        np.fft.ifft2(np.fft.ifftshift(kspace, (0, 1)), axes=(0, 1), norm="ortho"), (0, 1)
    )
    corners = np.concatenate([images[:16, :16].ravel(), images[-16:, :16].ravel()])
    assert 0.5 < sigma / np.sqrt(np.mean(np.abs(corners) ** 2) / 2) < 2


def test_a_damaged_copy_of_the_scan(measured, tmp_path):
    shutil.copy(measured("mri/brain8_und2x2.hdr"), tmp_path / "scan.hdr")
    (tmp_path / "scan.cfl").write_bytes(measured("mri/brain8_und2x2.cfl").read_bytes()[:-8])
    with pytest.raises(invcore.DataError, match="truncated"):
        invcore.read(tmp_path / "scan.cfl")
