"""Where a training stands: a bar on a terminal, elsewhere a line for each record."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Show = Callable[[int, Mapping[str, float], bool], None]
"""Called with the step, figures, and whether they are a record."""


@contextlib.contextmanager
def shown(wanted: bool, total: int) -> Iterator[Show]:
    """Give a function that shows a step and its figures."""
    if not wanted:
        yield lambda step, figures, record: None
        return
    if not sys.stderr.isatty():
        yield lambda step, figures, record: _line(step, total, figures) if record else None
        return
    text = TextColumn("{task.fields[figures]}")
    columns = (TextColumn("training"), BarColumn(), text, TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=total, figures="")
        recorded: dict[str, float] = {}

        def show(step: int, figures: Mapping[str, float], record: bool) -> None:
            recorded.update(figures if record else {})
            words = _words({**recorded, **figures})
            bar.update(task, completed=step, figures=f"step {step} of {total}  {words}")

        yield show


def tell(message: str) -> None:
    """Show a sentence."""
    print(message, file=sys.stderr, flush=True)


def _line(step: int, total: int, figures: Mapping[str, float]) -> None:
    tell(f"training: step {step} of {total}, {_words(figures)}")


def _words(figures: Mapping[str, float]) -> str:
    kept = {k: v for k, v in figures.items() if k == "loss" or k.startswith("validation_")}
    return ", ".join(f"{k.replace('_', ' ')} {v:.4g}" for k, v in kept.items())
