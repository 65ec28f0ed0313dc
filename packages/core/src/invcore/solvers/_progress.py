"""Where a solve stands: a bar on a terminal, elsewhere a line every ten seconds."""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from torch import Tensor

_EVERY = 10.0
"""Seconds between lines where there is no terminal."""


class Progress:
    """The phase of a solve, and how far its change is from the tolerance.

    The change falls about like a power of the number of steps, whose exponent comes from the later half of
    them; the estimate of the time left is no better than that.
    """

    def __init__(self, name: str, max_steps: int) -> None:
        self.name, self.max_steps, self.target = name, max_steps, 0.0
        self.text, self.fraction = "", 0.0
        self._changes: list[float] = []
        self._begun = time.monotonic()

    def phase(self, text: str) -> None:
        """Say what is being done before the first step."""
        self.text = text

    def start(self, target: float) -> None:
        """Begin with the steps, which end where the change falls to ``target``."""
        self.target, self._begun = target, time.monotonic()
        self.text = "first step"

    def advance(self, change: Tensor | float | None) -> None:
        """Note the relative change of a step, the largest of a batch."""
        largest = change.max() if isinstance(change, Tensor) and change.numel() else change
        self._changes.append(math.nan if largest is None else float(largest))
        k, now, first = len(self._changes), self._changes[-1], self._first()
        self.text = f"step {k}"
        if not now < math.inf:
            self.fraction = k / self.max_steps
            return
        self.text += f", change {now:.1e} → {brief(self.target)}"
        if first and 0 < self.target < first:
            gone = math.log(first / now) / math.log(first / self.target) if now > 0 else 1.0
            self.fraction = min(max(self.fraction, gone, k / self.max_steps), 1.0)
        if (left := self._left()) is not None:
            self.text += f", {_duration(left)} left"

    def _first(self) -> float:
        return next((c for c in self._changes if 0 < c < math.inf), 0.0)

    def _left(self) -> float | None:
        """Seconds to go, from c ∝ k^-p; None while there is nothing to go by."""
        k = len(self._changes)
        now, before = self._changes[-1], self._changes[k // 2 - 1]
        if k < 10 or not (self.target > 0 and 0 < now < before < math.inf):
            return None
        exponent = math.log(before / now) / math.log(2)
        if exponent < 0.5:  # it does not fall yet: momentum makes the first changes rise
            return None
        steps = min(k * max(now / self.target, 1.0) ** (1 / exponent), self.max_steps)
        return (steps - k) * (time.monotonic() - self._begun) / k


@contextlib.contextmanager
def watching(show: bool, name: str, max_steps: int) -> Iterator[Progress]:
    """Show the progress of a solve on standard error, if wanted."""
    progress = Progress(name, max_steps)
    if not show:
        yield progress
        return
    with _bar(progress) if sys.stderr.isatty() else _lines(progress):
        yield progress


@contextlib.contextmanager
def _lines(progress: Progress) -> Iterator[None]:
    ended = threading.Event()

    def report() -> None:
        begun = time.monotonic()
        while not ended.wait(_EVERY):
            print(
                f"{progress.name}: {progress.text} ({time.monotonic() - begun:.0f} s)",
                file=sys.stderr,
                flush=True,
            )

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _bar(progress: Progress) -> Iterator[None]:
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class State(ProgressColumn):
        def render(self, task: Any) -> Text:
            task.completed = progress.fraction
            return Text(progress.text)

    columns = (TextColumn("{task.description}"), State(), BarColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        bar.add_task(progress.name, total=1.0)
        yield


def brief(tolerance: float) -> str:
    """Write a tolerance: ``1e-03``, ``2.5e-04``."""
    return f"{tolerance:.1e}".replace(".0e", "e")


def _duration(seconds: float) -> str:
    """Round a time: ``8 s``, ``40 s``, ``3 min``, ``2 h``."""
    if seconds < 90:
        return f"{max(math.ceil(seconds), 1)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"
