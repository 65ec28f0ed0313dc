"""A child process with bounded memory and time, which answers the numbers of a list one by one."""

from __future__ import annotations

import faulthandler
import json
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

_PATIENCE = 6  # times the limit that an input may wait, as on a busy machine, if it does not compute


def answers(
    answer: Callable[[int], dict[str, Any]], numbers: list[int], seconds: float, memory: int
) -> tuple[list[dict[str, Any]], tuple[str, str]]:
    """``answer(number)`` of each number from a child process, and how it ended if it did so before the last.

    Every answer also tells its processor time, ``seconds``, and the most ``memory`` it took in bytes.
    """
    ours, theirs = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of forks beside threads: the child uses none
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(ours)
            _limited(memory)
            for number in numbers:
                os.write(theirs, json.dumps(_measured(answer, number)).encode() + b"\n")
            code = 0
        finally:
            os._exit(code)
    os.close(theirs)
    lines: list[dict[str, Any]] = []
    pending, late, waited, computed = b"", False, 0, 0.0
    try:
        while len(lines) < len(numbers):
            ready, _, _ = select.select([ours], [], [], seconds)
            if not ready:
                waited += 1
                late = waited >= _PATIENCE or _computed(pid) - computed >= seconds
                if late:
                    break
                continue
            waited, computed = 0, _computed(pid)
            data = os.read(ours, 1 << 16)
            if not data:
                break
            *whole, pending = (pending + data).split(b"\n")
            lines += [json.loads(line) for line in whole]
    finally:
        os.close(ours)
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    if late:
        return lines, ("hang", f"no answer within {seconds:g} s of processor time, or {_PATIENCE} times that")
    how = (
        f"signal {os.WTERMSIG(status)}"
        if os.WIFSIGNALED(status)
        else f"exit status {os.waitstatus_to_exitcode(status)}"
    )
    return lines, ("crash", f"the process ended with {how}")


def _computed(pid: int) -> float:
    """Processor time of a process in seconds; unlimited where it is not told, so that the clock decides."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("inf")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _limited(memory: int) -> None:
    """Bound this process: its memory, no core dumps, no words on the terminal; a group of its own.

    It computes on one thread: those of the parent do not live here, and OpenMP would wait for them.
    """
    import resource

    torch.set_num_threads(1)

    os.setsid()
    faulthandler.disable()
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    taken = _status("VmSize") or 0
    if taken:  # elsewhere than on Linux the limit is that of the time alone
        resource.setrlimit(resource.RLIMIT_AS, (taken + memory, taken + memory))


def _measured(answer: Callable[[int], dict[str, Any]], number: int) -> dict[str, Any]:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before, begun = _status("VmRSS") or 0, time.process_time()
    line = answer(number)
    line["seconds"] = time.process_time() - begun
    line["memory"] = max(0, (_status("VmHWM") or 0) - before)
    return line


def _status(name: str) -> int | None:
    """A figure of this process in bytes, as Linux tells it."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return None
    found = [line.split()[1] for line in text.splitlines() if line.startswith(f"{name}:")]
    return int(found[0]) * 1024 if found else None
