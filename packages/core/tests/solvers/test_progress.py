"""What the progress of a solve says: phase, change against tolerance, time left."""

import time

import torch

from invcore import Physics
from invcore.operators import Identity
from invcore.solvers import FISTA
from invcore.solvers import _progress as shown


def test_the_bar_is_on_the_logarithm_of_the_change_and_the_estimate_on_its_power_law(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(shown.time, "monotonic", lambda: clock[0])
    progress = shown.Progress("FISTA", 10_000)
    progress.start(1e-4)
    for k in range(1, 101):  # c = 1/k: converged at step 10000, if the limit were not the same
        clock[0] += 0.5
        progress.advance(torch.tensor([1e-3, 1.0]) / k)
    assert abs(progress.fraction - 0.5) < 1e-6  # 1 → 1e-2 of 1 → 1e-4
    assert "step 100, change 1.0e-02 → 1e-04" in progress.text
    assert "82 min left" in progress.text  # 9900 steps of half a second


def test_without_a_terminal_there_is_a_line_now_and_then_and_none_for_a_short_solve(capsys, monkeypatch):
    physics = Physics(Identity((2,)))
    y = torch.ones(2)
    FISTA(weight=1.0).solve(y, physics, progress=True)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(shown, "_EVERY", 0.02)
    FISTA(weight=1.0, rtol=0.0, max_steps=4).solve(
        y, physics, progress=True, callback=lambda *_: time.sleep(0.03)
    )
    lines = capsys.readouterr().err.splitlines()
    assert lines and all(line.startswith("FISTA: ") for line in lines)
    assert any("step" in line and "→" in line for line in lines)
