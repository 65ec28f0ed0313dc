"""Two processes give what one gives with the double batch."""

import os
import subprocess
import sys
from pathlib import Path

import torch

SCRIPT = str(Path(__file__).with_name("distributed.py"))


def result(path, *command):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return torch.load(path, weights_only=True)


def test_two_processes_have_the_gradient_of_the_double_batch(tmp_path):
    """13 samples in steps of 12: the last one has a sample in one process and none in the other."""
    run = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", SCRIPT)
    two = result(tmp_path / "two.pt", *run, str(tmp_path / "two.pt"), "3", "13")
    one = result(tmp_path / "one.pt", SCRIPT, str(tmp_path / "one.pt"), "6", "13")
    assert len(one) == 5
    for name, (weights, row) in one.items():
        torch.testing.assert_close(two[name][0], weights, rtol=0, atol=1e-6, msg=name)
        torch.testing.assert_close(two[name][1], row, rtol=1e-5, atol=1e-6, msg=name)
