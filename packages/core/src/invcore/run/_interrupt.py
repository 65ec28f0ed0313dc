"""The first Ctrl-C asks the solver to stop; the second one aborts."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def interruptible(wanted: bool, say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether Ctrl-C was pressed; a second one raises `KeyboardInterrupt`.

    Signals reach the main thread only; elsewhere, or where not wanted, nothing is changed.

    Parameters
    ----------
    wanted : bool
    say : callable
        Receives a line when Ctrl-C is pressed.

    Yields
    ------
    callable
        Returns True once Ctrl-C was pressed.

    Examples
    --------
    >>> with interruptible(True, print) as stop:
    ...     stop()
    False
    """
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    pressed = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def first(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        pressed.set()
        say("stopping after this step, to write what there is; Ctrl-C again aborts")

    signal.signal(signal.SIGINT, first)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)
