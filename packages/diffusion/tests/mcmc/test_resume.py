"""Chains whose process is killed go on from their checkpoint, to the same bits."""

import random
import signal
import subprocess
import sys
import time

import pytest
import torch

SCRIPT = """
import sys, time, torch
import invcore
from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.operators import Convolution
from invcore.priors import TV
torch.set_num_threads(1)
path, out, name, pause = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
own = {"diffusion.hmc": {"prior": TV(smoothing=0.1), "leapfrogs": 3, "burn_in": 30}}
own = own.get(name, {"prior": TV(smoothing=0.1), "burn_in": 30, "thin": 2})
generator = torch.Generator().manual_seed(3)
physics = Physics(Convolution(torch.ones(1, 3, 3) / 9, domain=(1, 8, 8)), GaussianNoise(sigma=0.3))
y = torch.randn(1, 8, 8, generator=generator)
seen = []
def paced(k, problem, state):
    seen.append(k)
    time.sleep(pause)
chain = invcore.sampler(name, **own).chain(
    y, physics, draws=40, chains=3, keep=20, generator=generator, callback=paced,
    checkpoint=None if path == "-" else path, checkpoint_every=0.0,
)
found = {n: getattr(chain, n) for n in ("draws", "mean", "variance", "last")}
torch.save({**found, "generator": generator.get_state(), "first": seen[0] if seen else None}, out)
"""


def here(monkeypatch, *words):  # in this process: one of its own would take seconds to import torch
    monkeypatch.setattr(sys, "argv", ["-c", *map(str, words)])
    exec(SCRIPT, {})


def killed(path, out, name, pause, wait):
    """Start it, kill it ``wait`` seconds after a checkpoint has been written."""
    words = [sys.executable, "-c", SCRIPT, str(path), str(out), name, str(pause)]
    before = path.stat().st_mtime_ns if path.exists() else None
    with subprocess.Popen(words) as process:
        deadline = time.monotonic() + 60
        while not path.exists() or path.stat().st_mtime_ns == before:
            if process.poll() is not None or time.monotonic() > deadline:
                break
            time.sleep(0.02)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
    return process.returncode


def require_equal(resumed, whole):
    found, truth = (torch.load(p, weights_only=True) for p in (resumed, whole))
    assert truth["first"] == 0
    for name in ("draws", "mean", "variance", "last", "generator"):
        assert torch.equal(found[name], truth[name]), name
    return found["first"]


def test_a_killed_chain_resumes_to_the_same_bits(tmp_path, monkeypatch):
    """HMC, whose state holds the most: gradients, energies, and sizes that adapt."""
    path = tmp_path / "chain.h5"
    assert killed(path, tmp_path / "no", "diffusion.hmc", 0.03, 0.5) == -signal.SIGKILL
    assert not (tmp_path / "no").exists()
    here(monkeypatch, path, tmp_path / "resumed", "diffusion.hmc", 0)
    here(monkeypatch, "-", tmp_path / "whole", "diffusion.hmc", 0)
    assert require_equal(tmp_path / "resumed", tmp_path / "whole") > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["diffusion.ula", "diffusion.hmc"])
def test_ten_kills_at_random_change_nothing(tmp_path, monkeypatch, name):
    path, moments = tmp_path / "chain.h5", random.Random(0)
    for _ in range(10):
        killed(path, tmp_path / "no", name, 0.1, 0.4 * moments.random())
    assert not (tmp_path / "no").exists()
    here(monkeypatch, path, tmp_path / "resumed", name, 0)
    here(monkeypatch, "-", tmp_path / "whole", name, 0)
    assert require_equal(tmp_path / "resumed", tmp_path / "whole") > 0
