"""Damaged files, wrong options, full disks and Ctrl-C: one clear message, no traceback, nothing half-written.

Each case runs in this process and, where the process matters, as a command of its own.
"""

import errno
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import invcore
from invcore import DataError, ParameterError, ShapeError, UnknownComponentError, reconstruct
from invcore.cli import main
from invcore.io import save_reconstruction
from invcore.solvers import ConjugateGradient
from invcore_mri import read_cfl, simulate, write_cfl

SIZE, COILS = 48, 4


def contents(folder):
    """Every file below a folder with a digest of what it holds."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else ""
        for path in sorted(folder.rglob("*"))
    }


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


def told_once(code, out, err, message):
    """One message on standard error, whose first line starts with ``error:``."""
    assert code == 1, err
    assert out == ""
    assert err.startswith("error: ") and err.count("error: ") == 1
    assert "Traceback" not in err and 'File "' not in err
    assert re.search(message, err, re.DOTALL), err


# -- damaged and unsuitable files -------------------------------------------------------------------


def truncate(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


def set_sample(path, index, value):
    kspace = read_cfl(path).contiguous()
    kspace.view(-1)[index] = value
    write_cfl(path, kspace)


def edit_h5(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def corrupt_middle(path):
    """Overwrite the structures of an HDF5 file, behind its signature."""
    data = bytearray(path.read_bytes())
    data[16:2000] = b"\xa5" * 1984
    path.write_bytes(data)


def header(folder, text):
    (folder / "scan.hdr").write_text(text)


def without_kspace(file):
    del file["kspace"]
    file["reconstruction_rss"] = np.ones((3, 4, 4), np.float32)


def real_kspace(file):
    del file["kspace"]
    file["kspace"] = np.ones((3, COILS, SIZE, SIZE), np.float32)


DAMAGE = {
    "truncated": (
        "scan.cfl",
        lambda d: truncate(d / "scan.cfl", 1000),
        "scan.cfl holds 1000 bytes.*truncated",
    ),
    "cut in the middle of a sample": (
        "scan.cfl",
        lambda d: truncate(d / "scan.cfl", 8 * SIZE * SIZE * COILS - 3),
        "truncated",
    ),
    "empty data": ("scan.cfl", lambda d: truncate(d / "scan.cfl", 0), "scan.cfl is empty"),
    "header promises more": (
        "scan.cfl",
        lambda d: header(d, "# Dimensions\n1 480 480 4\n"),
        r"scan.hdr states \(1, 480, 480, 4\)",
    ),
    "header promises less": (
        "scan.cfl",
        lambda d: header(d, "# Dimensions\n1 48 24 4\n"),
        "longer than that",
    ),
    "header promises petabytes": (
        "scan.cfl",
        lambda d: header(d, "# Dimensions\n99999999 99999999 99999999 99999999\n"),
        "truncated",
    ),
    "header with a negative size": (
        "scan.cfl",
        lambda d: header(d, "# Dimensions\n1 48 -48 4\n"),
        "positive",
    ),
    "header that is no header": ("scan.cfl", lambda d: header(d, "\x00\xff garbage"), "not a BART header"),
    "header without numbers": ("scan.cfl", lambda d: header(d, "# Dimensions\none 48\n"), "whole numbers"),
    "no header": ("scan.cfl", lambda d: (d / "scan.hdr").unlink(), "no BART header"),
    "header without data": ("scan.hdr", lambda d: (d / "scan.cfl").unlink(), "no data file"),
    "not a number": (
        "scan.cfl",
        lambda d: set_sample(d / "scan", 2500, complex("nan")),
        r"1 NaN or infinite samples, the first at index \[",
    ),
    "infinity": ("scan.cfl", lambda d: set_sample(d / "scan", 77, complex("inf")), "1 NaN or infinite"),
    "only zeros": ("scan.cfl", lambda d: write_cfl(d / "scan", 0 * read_cfl(d / "scan")), "only zeros"),
    "a silent coil": (
        "scan.cfl",
        lambda d: write_cfl(d / "scan", read_cfl(d / "scan") * torch.tensor([1, 1, 0, 1])),
        r"coils \[2\] of 4 have only zeros",
    ),
    "HDF5 without k-space": (
        "slices.h5",
        lambda d: edit_h5(d / "slices.h5", without_kspace),
        "no dataset 'kspace'.*reconstruction_rss",
    ),
    "HDF5 of real numbers": ("slices.h5", lambda d: edit_h5(d / "slices.h5", real_kspace), "must be complex"),
    "corrupted HDF5": ("slices.h5", lambda d: corrupt_middle(d / "slices.h5"), "slices.h5"),
    "truncated HDF5": ("slices.h5", lambda d: truncate(d / "slices.h5", 5000), "slices.h5"),
    "empty file": ("slices.h5", lambda d: truncate(d / "slices.h5", 0), "slices.h5.*empty"),
    "another format": (
        "notes.txt",
        lambda d: (d / "notes.txt").write_text("to do"),
        "notes.txt: no installed reader recogni[sz]es this file.*mri.cfl",
    ),
    "a folder": ("out", lambda d: None, "recogni[sz]es this folder.*one of the files in it"),
    "missing file": ("scam.cfl", lambda d: None, "scam.cfl does not exist.*Did you mean scan.cfl"),
    "missing folder": ("away/scan.cfl", lambda d: None, "there is no folder away"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files(scans, name, monkeypatch, capfd):
    file, damage, message = DAMAGE[name]
    damage(scans)
    monkeypatch.chdir(scans)
    before = contents(scans)
    with pytest.raises((DataError, FileNotFoundError), match=re.compile(message, re.DOTALL)):
        reconstruct(file, output="out")
    for output in ("out", "new"):
        with pytest.raises(SystemExit) as stop:
            main(["reconstruct", file, "-o", output])
        told_once(stop.value.code, *capfd.readouterr(), message)
    assert contents(scans) == before  # neither results nor an empty folder


@pytest.mark.parametrize(
    "name", ["truncated", "header promises more", "not a number", "corrupted HDF5", "missing file"]
)
def test_damaged_files_as_a_command(scans, name):
    file, damage, message = DAMAGE[name]
    damage(scans)
    before = contents(scans)
    done = as_command(scans, file, "-o", "out")
    told_once(done.returncode, done.stdout, done.stderr, message)
    assert contents(scans) == before


def test_debug_shows_the_traceback(scans):
    done = as_command(scans, "scam.cfl", "--debug")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback") and "error: scam.cfl does not exist" in done.stderr


# -- parts that do not fit --------------------------------------------------------------------------


def test_wrong_number_of_coils(scans, monkeypatch, capfd):
    monkeypatch.chdir(scans)
    maps = torch.ones(1, SIZE, SIZE, 3, dtype=torch.complex64)
    write_cfl("maps", maps)
    write_cfl(
        "noise", torch.randn(1, 100, 1, 3, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    )
    before = contents(scans)
    for option, message in (
        ("maps=maps.cfl", "coil maps.*must have 4 coils"),
        ("noise=noise.cfl", "noise scan has 3 coils.*k-space 4"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["reconstruct", "scan.cfl", "-o", "out", "--option", option])
        told_once(stop.value.code, *capfd.readouterr(), message)
        name, _, path = option.partition("=")
        with pytest.raises(DataError, match=re.compile(message, re.DOTALL)):
            invcore.read("scan.cfl", **{name: path})
    assert contents(scans) == before
    acq = invcore.read("scan.cfl")
    with pytest.raises(
        ShapeError, match=r"data y: expected shape \(batch..., 4, 48, 48\), got \(3, 48, 48\)"
    ):
        ConjugateGradient()(acq.y[:3], acq.physics)


REFERENCES = {
    "another size": ("small.cfl", r"reference small.cfl is \(1, 32, 32\).*not images of one scan"),
    "undersampled": ("scan.cfl", "reference scan is not fully sampled"),
    "missing": ("none.cfl", "No such reference file: none.cfl"),
    "nothing": ("", "no installed reader recogni[sz]es"),
    "damaged result": ("out/reconstruction.h5", "reconstruction.h5"),
    "of one slice": ("slices_full.h5", None),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_references_that_do_not_fit(scans, name, monkeypatch, capfd):
    file, message = REFERENCES[name]
    monkeypatch.chdir(scans)
    write_cfl("small", simulate((32, 32), coils=2, sigma=0.01).kspace.movedim(0, -1).unsqueeze(0))
    before = contents(scans)
    words = ["reconstruct", "scan.cfl", "--reference", file, "-o", "out"]
    if name == "of one slice":  # of a batch
        words[1] = "slices.h5"
        save_reconstruction("one.h5", torch.ones(1, SIZE, SIZE), {})
        words[3], message = "one.h5", r"reference one.h5 is \(1, 1, 48, 48\), .* \(3, 1, 48, 48\)"
        words += ["--option", "slice=all"]
        before = contents(scans)
    with pytest.raises(SystemExit) as stop:
        main(words)
    told_once(stop.value.code, *capfd.readouterr(), message)
    assert contents(scans) == before


# -- wrong words ------------------------------------------------------------------------------------

WORDS = {
    "solver": (["--solver", "fistaa"], "no solver is called 'fistaa'.*fista"),
    "prior": (["--prior", "wavlet"], "no prior is called 'wavlet'.*wavelet"),
    "format": (["--format", "mri.cfll"], "no reader is called 'mri.cfll'.*mri.cfl"),
    "prior of cg": (["--solver", "cg", "--prior", "wavelet"], r"prior is Tikhonov\(\), not WaveletL1.*fista"),
    "weight": (["--weight", "heavy"], "--weight must be a number or auto, got 'heavy'"),
    "negative weight": (["--weight", "-1"], "weight must be 'auto' or finite and not negative, got -1.0"),
    "weight nan": (["--weight", "nan"], "weight must be 'auto' or finite"),
    "steps": (["--max-steps", "-3"], "max_steps must be a whole number >= 0, got -3"),
    "tolerance": (["--rtol", "nan"], "rtol must be a finite number"),
    "seed": (["--seed", "-1"], "seed must be from 0"),
    "option without value": (["--option", "whiten"], "--option takes NAME=VALUE, got 'whiten'"),
    "unknown option": (["--option", "sgima=1"], "sgima.*sigma"),
    "sigma": (["--option", "sigma=abc"], "sigma is a standard deviation and must be positive; got 'abc'"),
    "no noise": (["--option", "sigma=0"], "sigma is a standard deviation"),
    "whiten": (["--option", "whiten=maybe"], "whiten= takes true, false or none"),
    "calibration": (["--option", "calibration=3"], "only Python can give"),
    "index": (["--option", "index=7"], "index must look like"),
    "index beyond": (["--option", "index=10=3"], "dimension 10 has 1 entries, there is no entry 3"),
    "maps that are not there": (["--option", "maps=none.cfl"], "none"),
    "device": (["--device", "toaster"], "device 'toaster' cannot be used here"),
    "device meta": (["--device", "meta"], "computes nothing"),
    "another format": (["--format", "mri.fastmri"], "scan.cfl"),
}


@pytest.mark.parametrize("name", WORDS)
def test_wrong_words(scans, name, monkeypatch, capfd):
    words, message = WORDS[name]
    monkeypatch.chdir(scans)
    before = contents(scans)
    with pytest.raises(SystemExit) as stop:
        main(["reconstruct", "scan.cfl", "-o", "out", "--quiet", *words])
    told_once(stop.value.code, *capfd.readouterr(), message)
    assert contents(scans) == before


@pytest.mark.parametrize(
    "words", [["--seed", "x"], ["--max-steps", "many"], ["--nonsense"], ["two", "files"]]
)
def test_wrong_usage(scans, words, monkeypatch, capfd):
    monkeypatch.chdir(scans)
    with pytest.raises(SystemExit) as stop:
        main(["reconstruct", "scan.cfl", *words])
    out, err = capfd.readouterr()
    assert (stop.value.code, out) == (2, "") and "Traceback" not in err and len(err) > 20


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(scans):
    done = as_command(scans, "scan.cfl", "--device", "cuda", "-o", "new")
    told_once(done.returncode, done.stdout, done.stderr, "device 'cuda' cannot be used here.*say 'cpu'")
    assert not (scans / "new").exists()


def test_the_same_from_python(scans):
    scan = scans / "scan.cfl"
    with pytest.raises(UnknownComponentError, match="fista"):
        reconstruct(scan, output=scans / "new", solver="fistaa")
    with pytest.raises(ParameterError, match="device"):
        reconstruct(scan, output=scans / "new", device="toaster")
    with pytest.raises(ParameterError, match="weight"):
        reconstruct(scan, output=scans / "new", weight=float("inf"))
    with pytest.raises(ParameterError, match=r"sgima.*sigma"):
        invcore.read(scan, sgima=1)
    assert not (scans / "new").exists()


# -- places that cannot be written ------------------------------------------------------------------


@pytest.mark.parametrize("output", ["file", "file/below", "scan.cfl"])
def test_an_output_folder_that_cannot_be(scans, output):
    (scans / "file").write_text("not a folder")
    before = contents(scans)
    done = as_command(scans, "scan.cfl", "-o", output)
    told_once(done.returncode, done.stdout, done.stderr, f"cannot make the output folder {output}.*-o DIR")
    assert contents(scans) == before


def test_an_output_folder_without_permission(scans, monkeypatch, capfd):
    monkeypatch.chdir(scans)
    before = contents(scans)
    denied = PermissionError(errno.EACCES, "Permission denied")
    real = os.open

    def refuse(path, flags, *rest, **more):
        if flags & os.O_CREAT and Path(path).parent.name == "out":
            raise denied
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(SystemExit) as stop:
        main(["reconstruct", "scan.cfl", "-o", "out"])
    monkeypatch.undo()
    told_once(stop.value.code, *capfd.readouterr(), "Permission denied.*folder that can be written")
    assert contents(scans) == before


@pytest.mark.skipif(os.name == "nt", reason="needs the limits of POSIX")
@pytest.mark.parametrize("limit", [4000, 40_000, 100_000])
def test_a_disk_that_fills_up(scans, limit):
    """The system refuses to write beyond a size, at another file each time: no result is replaced."""
    import resource

    before = contents(scans)
    done = as_command(
        scans,
        "scan.cfl",
        "--quiet",
        "-o",
        "out",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    told_once(done.returncode, done.stdout, done.stderr, "too large|write")
    assert contents(scans) == before


@pytest.mark.parametrize("writer", ["save_reconstruction", "save_png", "save_figure", "write_report"])
def test_no_space_left(scans, writer, monkeypatch, capfd):
    monkeypatch.chdir(scans)
    before = contents(scans)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"invcore.run._write.{writer}", full)
    with pytest.raises(SystemExit) as stop:
        main(["reconstruct", "scan.cfl", "-o", "out", "--quiet"])
    told_once(stop.value.code, *capfd.readouterr(), "error: No space left on device")
    assert contents(scans) == before


# -- Ctrl-C -----------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("quiet", [True, False])
def test_ctrl_c_during_the_solve(scans, quiet):
    before = contents(scans)
    words = ["scan.cfl", "-o", "out", "--max-steps", "10000000", "--rtol", "0"] + ["--quiet"] * quiet
    # what tells that the solve has begun: a message, or with --quiet the end of the imports and the reading
    code = (
        "import sys, invcore.solvers._driver as d; real = d._bar\n"
        "def bar(*a):\n    print('solving', flush=True)\n    return real(*a)\n"
        "d._bar = bar\nfrom invcore.cli import main; main(sys.argv[1:])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, "reconstruct", *words],
        cwd=scans,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job may ignore it
    ) as process:
        try:
            assert process.stdout.readline() == "solving\n"
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert out == "" and err.endswith("interrupted\n") and "Traceback" not in err
    if quiet:
        assert err == "interrupted\n"
    assert contents(scans) == before


@pytest.mark.parametrize("writer", ["save_png", "write_report"])
def test_ctrl_c_while_results_are_written(scans, writer, monkeypatch, capfd):
    monkeypatch.chdir(scans)
    before = contents(scans)

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"invcore.run._write.{writer}", interrupted)
    for output in ("out", "new"):
        with pytest.raises(SystemExit) as stop:
            main(["reconstruct", "scan.cfl", "-o", output, "--quiet"])
        assert stop.value.code == 130
        assert capfd.readouterr() == ("", "interrupted\n")
    assert contents(scans) == before
