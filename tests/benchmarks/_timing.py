"""Timing on equal terms: contestants take turns in one process, threads are pinned, medians are compared.

Import this before torch: it sets the environment that pins OpenMP threads.
"""

import os

os.environ.setdefault("OMP_PROC_BIND", "spread")
os.environ.setdefault("OMP_PLACES", "cores")

import importlib.util
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

THREADS = int(os.environ.get("INVCORE_BENCH_THREADS", min(2, os.cpu_count() or 1)))
CPU = os.environ.get("INVCORE_BENCH_CLOCK") == "cpu"
"""True to count processor time, of all threads: on a machine that is shared, with one thread."""
clock = time.process_time if CPU else time.perf_counter
torch.set_num_threads(THREADS)
torch.ones(1 << 20).add_(1)  # OpenMP's threads start, each on a processor of its own


def unpin() -> None:
    """Initializer of a pool of Python threads, which inherit the one processor that OpenMP bound the main
    thread to."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


@dataclass
class Contestant:
    """A name, the work to time, and how wrong its result is."""

    name: str
    work: Callable[[], object]
    error: Callable[[object], float]
    times: list[float] = field(default_factory=list)


def available(name: str) -> bool:
    """Whether a peer can be imported at all."""
    if importlib.util.find_spec(name) is None:
        print(f"{name} is not installed: left out")
        return False
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"{name} cannot be imported ({type(error).__name__}: {error}): left out")
        return False
    return True


def race(title: str, contestants: list[Contestant], *, rounds: int = 20) -> dict[str, float]:
    """Time the contestants in turn and print time, error and ratio to the first; return the ratios."""
    errors = {c.name: c.error(c.work()) for c in contestants}
    for _ in range(rounds):
        for c in contestants:
            start = clock()
            c.work()
            c.times.append(clock() - start)
    ours = statistics.median(contestants[0].times)
    kind = "processor time, " if CPU else ""
    print(f"\n{title}  ({THREADS} threads, {kind}median of {rounds})")
    print(f"  {'':24} {'time':>10} {'quartiles':>19} {'error':>10} {'ratio':>8}")
    ratios = {}
    for c in contestants:
        median = statistics.median(c.times)
        low, _, high = statistics.quantiles(c.times, n=4)
        ratios[c.name] = median / ours
        print(
            f"  {c.name:24} {1e3 * median:8.2f} ms {1e3 * low:8.2f} -{1e3 * high:8.2f} "
            f"{errors[c.name]:10.1e} {ratios[c.name]:7.2f}x",
            flush=True,
        )
    return ratios
