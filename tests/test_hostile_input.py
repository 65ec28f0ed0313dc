"""Damaged files, wrong options, full disks and Ctrl-C: one clear message, no traceback, nothing half-written.

Each case runs in this process or, where the process matters, as a command of its own.
"""

import errno
import hashlib
import os
import re
import subprocess
import sys
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
from invcore_testsupport import rng

SIZE, COILS = 48, 4


def contents(folder):
    """Every file below a folder with a digest of what it holds."""
    return {
        path.relative_to(folder).as_posix(): path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
    }


def one_message(code, out, err, message):
    """One message on standard error, whose first line starts with ``error:``."""
    assert (code, out) == (1, ""), err
    assert err.startswith("error: ")
    assert err.count("error: ") == 1
    assert "Traceback" not in err
    assert 'File "' not in err
    assert re.search(message, err, re.DOTALL), err


@pytest.fixture
def refused(scans, monkeypatch, capfd):
    """Run ``invcore reconstruct`` beside the scans: one message, and no file written or changed."""
    monkeypatch.chdir(scans)

    def run(message, *words, output="out"):
        before = contents(scans)
        with pytest.raises(SystemExit) as stop:
            main(["reconstruct", *words, "-o", output, "--quiet"])
        one_message(stop.value.code, *capfd.readouterr(), message)
        assert contents(scans) == before

    return run


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


# -- damaged and unsuitable files -------------------------------------------------------------------


def cut(name, keep):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:keep])


def header(text):
    return lambda folder: (folder / "scan.hdr").write_text(text)


def samples(change):
    return lambda folder: write_cfl(folder / "scan", change(read_cfl(folder / "scan").contiguous()))


def with_sample(index, value):
    def change(kspace):
        kspace.view(-1)[index] = value
        return kspace

    return samples(change)


def dataset(name, values):
    """Put another dataset in the place of the k-space."""

    def damage(folder):
        with h5py.File(folder / "slices.h5", "r+") as file:
            del file["kspace"]
            file[name] = values

    return damage


def corrupt(folder):
    """Overwrite the structures of an HDF5 file, behind its signature."""
    data = bytearray((folder / "slices.h5").read_bytes())
    data[16:2000] = b"\xa5" * 1984
    (folder / "slices.h5").write_bytes(data)


def nothing(folder):
    pass


DAMAGE = {
    "truncated": ("scan.cfl", cut("scan.cfl", 1000), "scan.cfl holds 1000 bytes.*truncated"),
    "cut in the middle of a sample": ("scan.cfl", cut("scan.cfl", 8 * SIZE * SIZE * COILS - 3), "truncated"),
    "empty data": ("scan.cfl", cut("scan.cfl", 0), "scan.cfl is empty"),
    "header promises more": (
        "scan.cfl",
        header("# Dimensions\n1 480 480 4\n"),
        r"scan.hdr states \(1, 480, 480, 4\)",
    ),
    "header promises less": ("scan.cfl", header("# Dimensions\n1 48 24 4\n"), "longer than that"),
    "header promises petabytes": ("scan.cfl", header(f"# Dimensions\n{'99999999 ' * 4}\n"), "truncated"),
    "header with a negative size": ("scan.cfl", header("# Dimensions\n1 48 -48 4\n"), "positive"),
    "header that is no header": ("scan.cfl", header("\x00\xff garbage"), "not a BART header"),
    "header without numbers": ("scan.cfl", header("# Dimensions\none 48\n"), "whole numbers"),
    "no header": ("scan.cfl", lambda d: (d / "scan.hdr").unlink(), "no BART header"),
    "header without data": ("scan.hdr", lambda d: (d / "scan.cfl").unlink(), "no data file"),
    "not a number": (
        "scan.cfl",
        with_sample(2500, complex("nan")),
        r"1 NaN or infinite samples, the first at index \[",
    ),
    "infinity": ("scan.cfl", with_sample(77, complex("inf")), "1 NaN or infinite"),
    "only zeros": ("scan.cfl", samples(lambda kspace: 0 * kspace), "only zeros"),
    "HDF5 without k-space": (
        "slices.h5",
        dataset("reconstruction_rss", np.ones((3, 4, 4), np.float32)),
        "no array 'kspace'.*reconstruction_rss",
    ),
    "HDF5 of real numbers": (
        "slices.h5",
        dataset("kspace", np.ones((3, COILS, SIZE, SIZE), np.float32)),
        "must be complex",
    ),
    "corrupted HDF5": ("slices.h5", corrupt, "slices.h5"),
    "truncated HDF5": ("slices.h5", cut("slices.h5", 5000), "slices.h5"),
    "empty file": ("slices.h5", cut("slices.h5", 0), "slices.h5.*empty"),
    "another format": (
        "notes.txt",
        lambda d: (d / "notes.txt").write_text("to do"),
        "notes.txt: no installed reader recogni[sz]es this file.*mri.cfl",
    ),
    "a folder": ("out", nothing, "recogni[sz]es this folder"),
    "missing file": ("scam.cfl", nothing, "scam.cfl does not exist.*Did you mean scan.cfl"),
    "missing folder": ("away/scan.cfl", nothing, "there is no folder away"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files(scans, name, refused):
    file, damage, message = DAMAGE[name]
    damage(scans)
    before = contents(scans)
    with pytest.raises((DataError, FileNotFoundError), match=re.compile(message, re.DOTALL)):
        reconstruct(file, output="out")
    assert contents(scans) == before
    refused(message, file, output="new")  # neither results nor an empty folder


def test_a_library_that_reports_on_its_own_is_silenced(scans):
    """HDF5 prints its errors from C, which only another process sees."""
    corrupt(scans)
    before = contents(scans)
    done = as_command(scans, "slices.h5", "-o", "out")
    one_message(done.returncode, done.stdout, done.stderr, "slices.h5")
    assert contents(scans) == before


def test_verbose_shows_the_traceback(scans):
    done = as_command(scans, "scam.cfl", "--verbose")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert "error: scam.cfl does not exist" in done.stderr


# -- parts that do not fit --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option, shape, message",
    [
        ("maps", (1, SIZE, SIZE, 3), "coil maps.*must have 4 coils"),
        ("noise", (1, 100, 1, 3), "noise scan has 3 coils.*k-space 4"),
    ],
)
def test_wrong_number_of_coils(scans, option, shape, message, refused):
    write_cfl(scans / "three", torch.randn(shape, dtype=torch.complex64, generator=rng()))
    refused(message, "scan.cfl", "--option", f"{option}=three.cfl")
    with pytest.raises(DataError, match=re.compile(message, re.DOTALL)):
        invcore.read("scan.cfl", **{option: "three.cfl"})


def test_data_of_another_number_of_coils(scans):
    acq = invcore.read(scans / "scan.cfl")
    message = r"data y: expected shape \(batch..., 4, 48, 48\), got \(3, 48, 48\)"
    with pytest.raises(ShapeError, match=message):
        ConjugateGradient()(acq.y[:3], acq.physics)


REFERENCES = {
    "small.cfl": r"reference small.cfl is \(1, 32, 32\).*not images of one scan",
    "scan.cfl": "reference scan is not fully sampled",
    "none.cfl": "No such reference file: none.cfl",
    "": "no installed reader recogni[sz]es",
    "out/reconstruction.h5": "reconstruction.h5",
}


@pytest.mark.parametrize("file", REFERENCES)
def test_references_that_do_not_fit(scans, file, refused):
    write_cfl(scans / "small", simulate((32, 32), coils=2, sigma=0.01).kspace.movedim(0, -1).unsqueeze(0))
    refused(REFERENCES[file], "scan.cfl", "--reference", file)


def test_a_reference_of_one_slice_for_several(scans, refused):
    save_reconstruction(scans / "one.h5", torch.ones(1, SIZE, SIZE), {})
    message = r"reference one.h5 is \(1, 48, 48\), .* \(3, 1, 48, 48\)"
    refused(message, "slices.h5", "--option", "slice=all", "--reference", "one.h5")


# -- wrong words ------------------------------------------------------------------------------------

WORDS = {
    "--solver fistaa": "no solver is called 'fistaa'.*fista",
    "--prior wavlet": "no prior is called 'wavlet'.*wavelet",
    "--format mri.cfll": "no reader is called 'mri.cfll'.*mri.cfl",
    "--format mri.fastmri": "scan.cfl",
    "--solver cg --prior wavelet": r"prior is Tikhonov\(\), not WaveletL1.*fista",
    "--weight heavy": "--weight must be a number or auto, got 'heavy'",
    "--weight -1": "weight must be a number from 0 on, or 'auto'.*got -1.0",
    "--weight nan": "weight must be a number from 0 on",
    "--max-steps -3": "max_steps must be a whole number from 1 on, got -3",
    "--max-steps 0": "max_steps must be a whole number from 1 on, got 0",
    "--rtol nan": "rtol is the relative change of the image at which the solver stops",
    "--rtol 2": "rtol is the relative change .* from 0 to below 1, such as 1e-3; got 2.0",
    "--solver lbfgs --prior relative_difference": "Relative.* has no rule for its weight.*--weight <number>",
    "--prior lp": 'prior .lp. needs p, which a problem file can give: prior = . name = "lp", p = ',
    "--solver cgls --prior tv": "solver 'cgls' has no parameter 'prior'",
    "--reference none.cfl": "No such reference file: none.cfl",
    "--seed -1": "seed must be from 0",
    "--option whiten": "--option takes NAME=VALUE, got 'whiten'",
    "--option sgima=1": "sgima.*sigma",
    "--option sigma=abc": "sigma is a standard deviation and must be positive; got 'abc'",
    "--option sigma=0": "sigma is a standard deviation",
    "--option whiten=maybe": "whiten= takes true, false or none",
    "--option calibration=3": "only Python can give",
    "--option index=7": "index must look like",
    "--option index=10=3": "dimension 10 has 1 entries, there is no entry 3",
    "--option maps=none.cfl": "none",
    "--device toaster": "no device is called 'toaster'. Usable here: cpu",
    "--device meta": "computes nothing",
}
if not torch.cuda.is_available():
    WORDS["--device cuda"] = "device 'cuda' cannot be used here.*Usable here: cpu"


@pytest.mark.parametrize("words", WORDS)
def test_wrong_words(words, refused):
    refused(WORDS[words], "scan.cfl", *words.split())


EARLY = (
    "--solver fistaa",
    "--prior wavlet",
    "--format mri.cfll",
    "--weight -1",
    "--max-steps 0",
    "--rtol 2",
    "--solver cgls --prior tv",
    "--reference none.cfl",
    "--device toaster",
)


@pytest.mark.parametrize("words", EARLY)
def test_names_and_numbers_are_checked_before_the_file_is_read(words, refused, monkeypatch):
    monkeypatch.setattr("invcore.run._measure.read", lambda *a, **k: pytest.fail("the file was read"))
    refused(WORDS[words], "scan.cfl", *words.split())


@pytest.mark.parametrize("words", ["--seed x", "--max-steps many", "--nonsense", "two files"])
def test_wrong_usage(words, capfd):
    with pytest.raises(SystemExit) as stop:
        main(["reconstruct", "scan.cfl", *words.split()])
    out, err = capfd.readouterr()
    assert (stop.value.code, out) == (2, "")
    assert "Traceback" not in err
    assert len(err) > 20


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"solver": "fistaa"}, UnknownComponentError, "fista"),
        ({"device": "toaster"}, ParameterError, "device"),
        ({"weight": float("inf")}, ParameterError, "weight"),
    ],
)
def test_wrong_options_of_python(scans, options, error, message):
    with pytest.raises(error, match=message):
        reconstruct(scans / "scan.cfl", output=scans / "new", **options)
    assert not (scans / "new").exists()


def test_a_misspelt_option_of_a_reader(scans):
    with pytest.raises(ParameterError, match=r"sgima.*sigma"):
        invcore.read(scans / "scan.cfl", sgima=1)


# -- places that cannot be written ------------------------------------------------------------------


@pytest.mark.parametrize("output", ["file", "file/below"])
def test_an_output_folder_that_cannot_be(scans, output, refused):
    (scans / "file").write_text("not a folder")
    refused(f"cannot make the output folder {output}.*-o DIR", "scan.cfl", output=output)


def test_an_output_folder_without_permission(refused, monkeypatch):
    real = os.open

    def refuse(path, flags, *rest, **more):
        if flags & os.O_CREAT and Path(path).parent.name == "out":
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    refused("Permission denied.*folder that can be written", "scan.cfl")


@pytest.mark.skipif(os.name == "nt", reason="needs the limits of POSIX")
@pytest.mark.parametrize("limit", [4000])
def test_a_disk_that_fills_up(scans, limit):
    """The system refuses to write beyond a size, at another file each time: no result is replaced."""
    import resource

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    before = contents(scans)
    done = as_command(scans, "scan.cfl", "--quiet", "-o", "out", preexec_fn=limited)
    one_message(done.returncode, done.stdout, done.stderr, "too large|write")
    assert contents(scans) == before


@pytest.mark.parametrize("writer", ["save_reconstruction", "save_png", "save_figure", "write_report"])
def test_no_space_left(writer, refused, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"invcore.run._write.{writer}", full)
    refused("error: No space left on device", "scan.cfl")


# -- Ctrl-C -----------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("writer, output", [("save_png", "out"), ("write_report", "new")])
def test_ctrl_c_while_results_are_written(scans, writer, output, monkeypatch, capfd):
    monkeypatch.chdir(scans)
    before = contents(scans)

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"invcore.run._write.{writer}", interrupted)
    with pytest.raises(SystemExit) as stop:
        main(["reconstruct", "scan.cfl", "-o", output, "--quiet"])
    assert stop.value.code == 130
    assert capfd.readouterr() == ("", "interrupted\n")
    assert contents(scans) == before
