"""Threads for compiled kernels: as many as torch uses, made at the first use and again in a forked child.

Numba's own threads are not used: its OpenMP layer ends the process when a forked child (a data loader's
worker) enters it. Kernels release the interpreter lock, so plain Python threads run them side by side. Which
thread takes which piece is left to chance; a kernel must therefore give pieces that write to different
places, and then the result never depends on the threads.
"""

import itertools
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

__all__ = ["count", "pieces", "run"]


class _State:
    """The process's pool; a forked child starts with an empty one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.local = threading.local()
        self.executor: ThreadPoolExecutor | None = None
        self.size = 0

    def workers(self, size: int) -> ThreadPoolExecutor:
        """An executor with at least ``size`` threads."""
        with self.lock:
            if self.executor is None or self.size < size:
                if self.executor is not None:
                    self.executor.shutdown(wait=False)  # jobs already given to it are still done
                self.executor = ThreadPoolExecutor(size, thread_name_prefix="invcore", initializer=_unpin)
                self.size = size
            return self.executor


def _unpin() -> None:
    """Let a new thread run on every processor of the process: with OMP_PROC_BIND its parent sits on one."""
    if not hasattr(os, "sched_setaffinity"):
        return
    try:
        masks = [os.sched_getaffinity(int(thread)) for thread in os.listdir("/proc/self/task")]
        os.sched_setaffinity(0, set().union(*masks))
    except OSError:  # a thread that ended meanwhile, or no /proc: it stays where it is
        return


_state = _State()


def _forget() -> None:
    """Threads do not survive a fork, and a lock may be held by one of them: begin anew."""
    global _state
    _state = _State()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def count() -> int:
    """Number of threads that `run` uses: torch's."""
    return max(1, torch.get_num_threads())


def pieces(length: int, *, least: int = 1, per_thread: int = 4) -> list[tuple[int, int]]:
    """Cut ``range(length)`` into contiguous intervals, a few per thread, none but the last below ``least``.

    >>> pieces(0)
    []
    """
    wanted = count() * (per_thread if count() > 1 else 1)
    number = max(1, min(wanted, -(-length // max(1, least))))
    ends = [length * i // number for i in range(number + 1)]
    return [(a, b) for a, b in itertools.pairwise(ends) if b > a]


def run(function: Callable[..., object], arguments: Iterable[tuple[Any, ...]]) -> None:
    """Call ``function(*piece)`` for every piece, over the threads; the first exception is raised here.

    The calling thread works too. A call from inside a piece runs its own pieces one after another.
    """
    todo = list(arguments)
    state = _state
    size = min(count(), len(todo))
    if size <= 1 or getattr(state.local, "busy", False):
        for piece in todo:
            function(*piece)
        return
    queue = iter(todo)  # next() on a list's iterator is atomic under the interpreter lock
    guard = threading.Lock()

    def work() -> None:
        state.local.busy = True
        try:
            while True:
                with guard:
                    piece = next(queue, None)
                if piece is None:
                    return
                function(*piece)
        finally:
            state.local.busy = False

    executor = state.workers(size - 1)
    futures = [_submit(state, executor, size, work) for _ in range(size - 1)]
    try:
        work()
    finally:
        for future in futures:
            if not future.cancel():
                future.result()


def _submit(state: _State, executor: ThreadPoolExecutor, size: int, work: Callable[[], None]) -> Any:
    """Submit, also when another thread has just replaced the executor by a larger one."""
    try:
        return executor.submit(work)
    except RuntimeError:
        return state.workers(size - 1).submit(work)
