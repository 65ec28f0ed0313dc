"""The tables of a Measurement Set, read with casacore in a process of its own.

casacore ends the process on some damaged tables. `read_tables` starts this module as a child with bounded
memory and time, and receives arrays through a pipe. The child imports neither torch nor invcore's readers.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from invcore import DataError, InvcoreError, ParameterError

_SECONDS, _SPEED = 60, 5e6  # the limit of time: a minute, and a second for each 5 MB
_PROCESSOR = 5  # seconds that the child may compute, and a second for each 5 MB
_MEMORY, _EXPANDS = 3 * 2**29, 20
_CORRELATIONS = {1: "I", 2: "Q", 3: "U", 4: "V", 5: "RR", 6: "RL", 7: "LR", 8: "LL"}
_CORRELATIONS |= {9: "XX", 10: "XY", 11: "YX", 12: "YY"}
_START = (
    "import json, sys; words = json.loads(sys.argv[1]); sys.path[:] = words.pop('path'); "
    "from invcore_radio._io.casacore_tables import child; child(**words)"
)


def read_tables(
    path: Path, column: str, field: int | str | None, window: int | None, *, seconds: float = _SECONDS
) -> dict[str, Any]:
    """Read one field and spectral window in a child process: arrays and facts by name.

    Without a window, of a set that holds several, their numbers alone: ``{"windows": [0, 1]}``.

    Raises
    ------
    DataError
        If the set is damaged: also if casacore ends the child, computes for more than some seconds, or takes
        longer than ``seconds`` and a second for each 5 MB of files.
    """
    from invcore.io import regular_file  # not at the top: the child needs no torch

    files = [regular_file(file) for file in path.rglob("*") if not file.is_dir()]
    size = sum(file.stat().st_size for file in files)
    limit = seconds + size / _SPEED
    words = {"path": sys.path, "place": str(path), "column": column, "field": field, "window": window}
    words |= {"memory": _MEMORY + _EXPANDS * size, "processor": _PROCESSOR + int(size / _SPEED)}
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb") as answer:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps({**words, "to": theirs})],
            pass_fds=[theirs],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        late = threading.Event()

        def expire() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(limit, expire)
        timer.start()
        try:
            head = answer.readline()
            if head.endswith(b"\n"):
                return _received(path, json.loads(head), answer)
        finally:
            timer.cancel()
            process.kill()
            process.wait()
    what = f"did not end within {limit:.0f} s" if late.is_set() else "ended the process that read it"
    raise DataError(f"{path} is damaged: casacore {what}")


def _received(path: Path, head: dict[str, Any], answer: BinaryIO) -> dict[str, Any]:
    if "error" in head:
        raise {"ParameterError": ParameterError, "DataError": DataError}.get(head["error"], RuntimeError)(
            head["message"]
        )
    found = head["facts"]
    for name, dtype, shape in head["arrays"]:
        array = np.empty(shape, dtype)
        if _filled(answer, array.reshape(-1).view(np.uint8).data) != array.nbytes:
            raise DataError(f"{path} is damaged: the process that reads it ended within {name}")
        found[name] = array
    return dict(found)


def _filled(answer: BinaryIO, into: memoryview) -> int:
    done = 0
    while done < len(into) and (count := answer.readinto(into[done:])):  # type: ignore[attr-defined]
        done += count
    return done


def child(
    place: str, column: str, field: int | str | None, window: int | None, memory: int, processor: int, to: int
) -> None:
    """Send the tables, or the error, to a pipe: a line of JSON, and the arrays behind it."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for what, limit in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, processor)):
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (limit if hard < 0 else min(limit, hard), hard))
    head: dict[str, Any]
    arrays: dict[str, np.ndarray] = {}
    try:
        found = _load(Path(place), column, field, window)
        arrays = {k: np.ascontiguousarray(v) for k, v in found.items() if isinstance(v, np.ndarray)}
        head = {"facts": {k: v for k, v in found.items() if k not in arrays}}
        head["arrays"] = [(k, v.dtype.str, v.shape) for k, v in arrays.items()]
    except InvcoreError as error:
        head = {"error": type(error).__name__, "message": str(error)}
    except (RuntimeError, UnicodeError) as error:  # what casacore raises
        text = (
            f"{place} cannot be read as a Measurement Set (its files table.dat, table.f0, ...), it is damaged"
        )
        head = {"error": "DataError", "message": f"{text}: {error}"}
    except MemoryError:
        head = {"error": "DataError", "message": f"{place} declares more data than there is memory for"}
    except Exception as error:
        head = {"error": "RuntimeError", "message": f"reading {place}: {type(error).__name__}: {error}"}
    with os.fdopen(to, "wb") as answer:
        answer.write(json.dumps(head).encode() + b"\n")
        for array in arrays.values():
            answer.write(array.reshape(-1).view(np.uint8).data)


def _load(path: Path, column: str, field: int | str | None, window: int | None) -> dict[str, Any]:
    from casacore.tables import table

    def opened(name: str = "") -> Any:
        place = path / name if name else path
        if not place.is_dir():
            raise DataError(f"{path} has no table {name}")
        found = table(str(place), readonly=True, ack=False, lockoptions={"option": "usernoread"})
        if found.nrows() == 0 and name != "OBSERVATION":
            raise DataError(f"{place}: the table has no rows")
        return found

    def column_of(table: Any, name: str, *shape: int | None) -> np.ndarray:
        """A column of numbers or flags; None stands for any length."""
        values = table.getcol(name)
        kind = values.dtype.kind if isinstance(values, np.ndarray) else type(values).__name__
        if kind not in ("f", "i", "u", "b", "c"):
            raise DataError(f"{path}: the column {name} must hold numbers, got {kind}")
        if len(values.shape) != len(shape) or any(n not in (None, m) for n, m in zip(shape, values.shape)):
            raise DataError(f"{path}: the column {name} is {values.shape}; expected {shape}")
        return np.asarray(values)

    with opened() as main:
        if column not in main.colnames():
            raise ParameterError(f"{path} has no column {column!r}; it has {', '.join(main.colnames())}")
        count = main.nrows()
        first, second = (column_of(main, f"ANTENNA{k}", count).astype(np.int64) for k in (1, 2))
        rows = first != second
        fields = column_of(main, "FIELD_ID", count)
        number, center, name = _field(path, opened, sorted(set(fields[rows].tolist())), field)
        rows &= fields == number
        descriptions = column_of(main, "DATA_DESC_ID", count)
        used = sorted(set(descriptions[rows].tolist()))
        windows = _windows(path, opened, used)
        if window is None and 1 < len(windows) == len(set(windows)):
            return {"windows": sorted(windows)}
        chosen, frequencies, width, polarizations = _window(path, opened, used, window)
        rows &= descriptions == chosen
        index = np.flatnonzero(rows)
        if not len(index):
            raise DataError(f"{path} holds no visibility between two antennas")
        part = main.selectrows(index)
        shape = (len(index), len(frequencies), len(polarizations))
        cube = column_of(part, column, None, None, None)
        if cube.shape != shape:
            raise DataError(f"{path}: {column} is {cube.shape}; expected {shape} (row, channel, correlation)")
        flag = column_of(part, "FLAG", *shape).astype(bool)
        flag = flag | column_of(part, "FLAG_ROW", shape[0]).astype(bool)[:, None, None]
        weight = _weights(part, shape, column_of)
        uvw = -column_of(part, "UVW", shape[0], 3).astype(np.float64)
        time, interval = (column_of(part, n, shape[0]).astype(np.float64) for n in ("TIME", "INTERVAL"))
    with opened("ANTENNA") as antennas:
        names = [str(n).strip() for n in antennas.getcol("NAME")]
        positions = column_of(antennas, "POSITION", len(names), 3).astype(np.float64)
    with opened("OBSERVATION") as observation:
        telescopes = list(observation.getcol("TELESCOPE_NAME")) if observation.nrows() else []
    return {
        "data": cube.astype(np.complex128 if cube.dtype == np.complex128 else np.complex64),
        "flag": flag,
        "weight": weight,
        "uvw": uvw,
        "time": time,
        "interval": interval,
        "antenna1": first[index],
        "antenna2": second[index],
        "positions": positions,
        "frequencies": frequencies,
        "width": width,
        "names": names,
        "polarizations": polarizations,
        "center": center,
        "source": name,
        "telescope": str(telescopes[0]) if telescopes else "",
    }


def _weights(part: Any, shape: tuple[int, int, int], column_of: Callable[..., np.ndarray]) -> np.ndarray:
    """Return 1/σ² of every datum, from WEIGHT_SPECTRUM if there is one, else from WEIGHT."""
    if "WEIGHT_SPECTRUM" in part.colnames() and part.iscelldefined("WEIGHT_SPECTRUM", 0):
        spectrum = column_of(part, "WEIGHT_SPECTRUM", None, None, None)
        if spectrum.shape == shape and spectrum.any():
            return spectrum
    return np.broadcast_to(column_of(part, "WEIGHT", shape[0], shape[2])[:, None], shape)


def _field(
    path: Path, opened: Any, used: list[int], field: int | str | None
) -> tuple[int, tuple[float, float], str]:
    with opened("FIELD") as fields:
        names = [str(n).strip() for n in fields.getcol("NAME")]
        listed = ", ".join(f"{k} ({names[k]})" for k in used if 0 <= k < len(names))
        known = [k for k in used if 0 <= k < len(names) and field in (None, k, names[k])]
        if not listed:
            raise DataError(f"{path}: the rows name the fields {used}, the table has {len(names)}")
        if not known:
            raise ParameterError(f"{path} has no field {field!r}; it has {listed}")
        if len(known) > 1:
            raise DataError(f"{path} has the fields {listed}: choose one with field=")
        number = known[0]
        direction = np.asarray(fields.getcell("PHASE_DIR", number))
        measure = fields.getcolkeywords("PHASE_DIR").get("MEASINFO", {})
    if direction.dtype.kind != "f" or direction.size < 2 or direction.size % 2:
        raise DataError(f"{path}: the phase center of field {number} is not a direction")
    center = [float(angle) for angle in direction.reshape(-1, 2)[0]]
    frame = str(measure.get("Ref", "J2000"))
    if "VarRefCol" not in measure and frame not in ("J2000", "ICRS"):
        raise DataError(f"{path}: directions are in {frame}; J2000 or ICRS are expected")
    if not all(map(math.isfinite, center)):
        raise DataError(f"{path}: the phase center of field {number} is not finite")
    return number, (center[0] % (2 * math.pi), center[1]), names[number]


def _windows(path: Path, opened: Any, used: list[int]) -> list[int]:
    """Return the spectral window of each data description that rows name."""
    with opened("DATA_DESCRIPTION") as descriptions:
        windows = [int(k) for k in descriptions.getcol("SPECTRAL_WINDOW_ID")]
    return [windows[k] for k in used if 0 <= k < len(windows)]


def _window(
    path: Path, opened: Any, used: list[int], window: int | None
) -> tuple[int, np.ndarray, np.ndarray, list[str]]:
    """Return the data description to read, its frequencies, widths and correlations."""
    with opened("DATA_DESCRIPTION") as descriptions:
        windows, kinds = (
            [int(k) for k in descriptions.getcol(name)] for name in ("SPECTRAL_WINDOW_ID", "POLARIZATION_ID")
        )
    known = [k for k in used if 0 <= k < len(windows)]
    if not known:
        raise DataError(f"{path}: the rows name the data descriptions {used}, the table has {len(windows)}")
    found = [k for k in known if window in (None, windows[k])]
    listed = ", ".join(str(windows[k]) for k in known)
    if not found:
        raise ParameterError(f"{path} has no spectral window {window!r}; it has {listed}")
    if len(found) > 1:
        raise DataError(f"{path} has the spectral windows {listed}: choose one with spectral_window=")
    with opened("SPECTRAL_WINDOW") as table:
        frequencies, width = (
            np.atleast_1d(np.asarray(table.getcell(name, windows[found[0]]), dtype=np.float64))
            for name in ("CHAN_FREQ", "CHAN_WIDTH")
        )
    if (
        frequencies.ndim != 1
        or width.shape != frequencies.shape
        or not np.isfinite([frequencies, width]).all()
    ):
        raise DataError(f"{path}: CHAN_FREQ and CHAN_WIDTH must be two finite lists of one length")
    with opened("POLARIZATION") as table:
        codes = [int(c) for c in np.atleast_1d(table.getcell("CORR_TYPE", kinds[found[0]]))]
    if any(c not in _CORRELATIONS for c in codes):
        raise DataError(f"{path}: correlations have the codes {codes}; known are {sorted(_CORRELATIONS)}")
    return found[0], frequencies, np.abs(width), [_CORRELATIONS[c] for c in codes]
