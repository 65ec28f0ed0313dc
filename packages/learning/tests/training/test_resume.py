"""A training that is killed and called again ends with the bits of the one that was not."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("killed.py")


def ended(folder, *kills):
    """The result of the last process, and how many were killed."""
    command = [sys.executable, str(SCRIPT), str(folder), *kills]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return lines[-2].split(), int(lines[-1].split()[1])


def test_three_kills(tmp_path):
    whole, _ = ended(tmp_path / "whole")
    parts, died = ended(tmp_path / "parts", "batch:9", "batch:2", "batch:14")
    assert died == 3 and whole[:2] == ["finished", "15"]
    assert parts == whole


@pytest.mark.slow
def test_twenty_kills_at_any_time(tmp_path):
    """Also while a checkpoint or a report is written, and with worker processes."""
    draw = random.Random(0)
    times = [f"after:{draw.uniform(0.05, 1.5):.3f}" for _ in range(20)]
    whole, _ = ended(tmp_path / "whole", "slow")
    parts, died = ended(tmp_path / "parts", *times)
    assert died >= 5 and parts == whole
