"""The folder of a result holds the earlier result or the later one, never parts of both."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import pytest
import torch

from invcore.io import save_reconstruction
from invcore.run import _folder
from invcore.run._folder import output_folder, staged


def fill(stage, text, names):
    """Files of a result, the image among them."""
    for name in names:
        (stage / name).write_text(text)
    save_reconstruction(
        stage / "reconstruction.h5",
        torch.ones(1, 2, 2),
        {"files": [*names, "reconstruction.h5"], "text": text},
    )


def held(folder):
    """The texts of the files of a result, the file that lists them left out."""
    return {f.name: f.read_text() for f in folder.iterdir() if f.is_file() and f.suffix != ".h5"}


@pytest.fixture
def folder(tmp_path):
    """A folder with a result, and with a file and a folder of the user's own."""
    with staged(tmp_path) as stage:
        fill(stage, "old", ["report.html", "error.png"])
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "raw").mkdir()
    return tmp_path


OLD = {"report.html": "old", "error.png": "old", "notes.txt": "mine"}
NEW = {"report.html": "new", "phase.png": "new", "notes.txt": "mine"}


def test_a_result_takes_the_place_of_an_earlier_one_and_files_of_others_stay(folder):
    with staged(folder) as stage:
        fill(stage, "new", ["report.html", "phase.png"])
    assert held(folder) == NEW
    assert sorted(d.name for d in folder.iterdir() if d.is_dir()) == ["raw"]


def killed_after(moves, folder):
    """Write a result in a process that is killed at the move after so many; return its status."""
    if (child := os.fork()) == 0:
        replace, left = os.replace, [moves]

        def counted(*paths):
            left[0] -= 1
            if left[0] == -1:
                os.kill(os.getpid(), signal.SIGKILL)
            replace(*paths)

        with output_folder(folder), staged(folder) as stage:
            fill(stage, "new", ["report.html", "phase.png"])
            os.replace = counted
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_process_killed_at_any_moment_leaves_no_mixture_and_the_next_run_restores(folder):
    seen = []
    for moves in range(7):  # three away, three there, and a whole run
        status = killed_after(moves, folder)
        texts = {text for name, text in held(folder).items() if name != "notes.txt"}
        assert texts <= {"old"} or texts <= {"new"}
        with output_folder(folder):  # the next run
            seen.append((status, held(folder)))
        assert not list(folder.glob(".invcore*"))
    assert seen == [(-signal.SIGKILL, OLD)] * 6 + [(0, NEW)]


@pytest.mark.parametrize("moves", range(6))
def test_an_error_on_the_way_brings_the_earlier_result_back(moves, folder, monkeypatch):
    replace, left = os.replace, [moves]

    def failing(*paths):
        left[0] -= 1
        if left[0] == -1:
            raise OSError(28, "No space left on device")
        replace(*paths)

    def write():
        with staged(folder) as stage:
            fill(stage, "new", ["report.html", "phase.png"])
            monkeypatch.setattr(_folder.os, "replace", failing)

    with pytest.raises(OSError, match="No space"):
        write()
    assert held(folder) == OLD and not list(folder.glob(".invcore*"))


def test_of_two_processes_the_last_one_is_there_whole(folder):
    """Neither takes the temporary files of the other for those of a killed process."""
    with output_folder(folder), staged(folder) as one:
        fill(one, "one", ["report.html", "a.png"])
        with output_folder(folder), staged(folder) as two:
            fill(two, "two", ["report.html", "b.png"])
        assert held(folder) == {"report.html": "two", "b.png": "two", "notes.txt": "mine"}
    assert held(folder) == {"report.html": "one", "a.png": "one", "notes.txt": "mine"}


def test_a_stage_that_is_made_but_not_yet_locked_is_not_cleaned_up(folder, monkeypatch):
    made, cleaning = tempfile.mkdtemp, threading.Thread(target=_folder._clean, args=(folder,))

    def interrupted(**where):
        stage = made(**where)
        cleaning.start()  # as another process, which starts just now
        cleaning.join(0.3)
        return stage

    monkeypatch.setattr(_folder.tempfile, "mkdtemp", interrupted)
    with staged(folder) as stage:
        cleaning.join()
        fill(stage, "new", ["report.html", "phase.png"])
    assert held(folder) == NEW


@pytest.mark.slow
def test_a_command_that_is_told_to_end_cleans_up(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((1, 64, 64)).astype(np.float32))
    (tmp_path / "problem.toml").write_text(
        '[image]\nfile = "x.npy"\n[operator]\nname = "identity"\n[noise]\nname = "gaussian"\nsigma = 0.1\n'
        '[solver]\nname = "fista"\nprior = "tv"\nmax_steps = 1000000\nrtol = 0.0\n'
    )
    command = [sys.executable, "-m", "invcore.cli", "run", "problem.toml", "-o", "out"]
    with subprocess.Popen(command, cwd=tmp_path) as process:
        while not (tmp_path / "out").exists():
            assert process.poll() is None
            time.sleep(0.1)
        time.sleep(2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    assert sorted(f.name for f in tmp_path.iterdir()) == ["problem.toml", "x.npy"]
