"""Does a plugin's entry module stay light? Asked of a new process, in which nothing is imported yet."""

import functools
import importlib.util
import os
import subprocess
import sys

HEAVY = ("torch", "numpy", "scipy", "matplotlib", "numba", "tensorflow", "jax")
"""Packages whose import takes long; a plugin's own are loaded with its components."""

_CODE = """
import importlib, sys
import invcore.plugin
importlib.import_module(sys.argv[1])
print("loaded:", *(name for name in sys.argv[2:] if name in sys.modules))
"""


@functools.cache
def heavy_imports(module: str, limit: float = 60.0) -> tuple[str, ...]:
    """Return the heavy packages that the import of an entry module brings; none if it cannot be imported.

    Parameters
    ----------
    module : str
        What the entry point names.
    limit : float
        Seconds after which the import is given up.
    """
    try:
        if importlib.util.find_spec(module) is None:
            return ()
        words = [sys.executable, "-c", _CODE, module, *HEAVY]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=limit)
    except (ImportError, ValueError, OSError, subprocess.TimeoutExpired):
        return ()
    lines = [line for line in done.stdout.splitlines() if line.startswith("loaded:")]
    return tuple(lines[-1].split()[1:]) if done.returncode == 0 and lines else ()
