"""Problems as plain tables: loading, checking, and filling in what they leave open."""

from __future__ import annotations

import inspect
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from .._errors import DataError, ParameterError
from .._registry.lookup import get
from ..io import Acquisition, is_hdf5, open_hdf5, own_text, regular_file
from ..io._read import is_there
from ._build import fields
from ._schema import check_values

RTOL = 1e-3
"""Tolerance of a solver where neither user nor reader states one: further steps do not change the picture."""

_EMBEDDED = 64 * 2**20  # bytes of text

_TABLES = ("image", "data", "operator", "noise", "solver", "sampler", "sampling", "metrics", "data.options")
_TEXTS = ("device", "reference", "image.file", "data.file", "data.format")
_ENTRIES = {"seed": int, **dict.fromkeys(_TEXTS, str), **dict.fromkeys(_TABLES, Mapping)}
_NAMES = {int: "an integer", str: "text", Mapping: "a table"}


def load(source: str | os.PathLike[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Load and check a problem: tables, a TOML file, or a result or simulated measurement that embeds it.

    File names become relative to the current folder, entries that are None are left out, and seed, device and
    reader options are always there.
    """
    if isinstance(source, Mapping):
        return _checked(tables_of(source), "problem")
    path = Path(source)
    if path.is_dir():
        path = _in_folder(path)
    if not path.exists():
        raise FileNotFoundError(2, "No such problem file", str(path))
    problem = _checked(tables_of(path), str(path))
    if is_hdf5(path):
        _check_found(problem, path)
    return problem


def tables_of(source: Path | Mapping[str, Any]) -> dict[str, Any]:
    """Read tables, or take those that are given, with file names relative to the current folder."""
    if isinstance(source, Mapping):
        check_values(source, "", "problem")
        return dict(_located(source, Path()))
    if not source.exists():
        raise FileNotFoundError(2, "No such problem file", str(source))
    tables = parsed(_embedded(source) if is_hdf5(source) else _text(source), str(source))
    return dict(_located(tables, source.parent))


def parsed(text: str, name: str) -> dict[str, Any]:
    """Tables from the text of a problem."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{name} is not a problem file: {error}. It must be TOML.") from error
    except RecursionError:
        raise DataError(f"{name} is not a problem file: it is nested too deep") from None
    except ValueError as error:  # a number of thousands of digits
        raise DataError(f"{name} is not a problem file: {error}") from error
    check_values(tables, "", name)
    return tables


def _check_found(problem: Mapping[str, Any], result: Path) -> None:
    """Refuse a result whose record names a file that is not beside it, and say where it was looked for."""
    named = {"image": problem.get("image", {}).get("file"), "data": problem.get("data", {}).get("file")}
    for what, name in {**named, "reference": problem.get("reference")}.items():
        if name is not None and not is_there(Path(name).expanduser()):
            raise FileNotFoundError(
                f"{result} was made of {Path(name).name} ({what}), as its record says; it is neither at "
                f"{name} nor at that place seen from the current folder. Copy it there, or run it where it is"
            )


def _text(path: Path) -> str:
    if regular_file(path).stat().st_size > _EMBEDDED:
        raise DataError(f"{path} is not a problem file: it has {path.stat().st_size} bytes. It must be TOML.")
    return path.read_text(encoding="utf-8", errors="replace")


def _in_folder(folder: Path) -> Path:
    """Return the result in a folder, or the one problem file."""
    results = [folder / "reconstruction.h5"] if (folder / "reconstruction.h5").is_file() else []
    found = results or sorted(folder.glob("*.toml"))
    if len(found) != 1:
        raise DataError(
            f"{folder} is a folder with {len(found) or 'no'} problem files (.toml) and no reconstruction.h5: "
            "give the file."
        )
    return found[0]


def text_of(problem: Mapping[str, Any]) -> str | None:
    """Write a problem as TOML; None if it holds what TOML cannot, such as tensors given in Python."""
    try:
        return tomli_w.dumps(problem)
    except TypeError:
        return None


def complete(problem: Mapping[str, Any], acquisition: Acquisition) -> dict[str, Any]:
    """Fill in what a problem leaves open: the one place where the defaults of a reconstruction come from.

    What the user says comes first. The solver that the reader suggests is taken if the user names none, or
    ``fista`` if the user names a prior and that solver takes none; its parameters if the user's solver is
    that one (weight and coarse levels, if the prior is too); and its tolerance in any case, else `RTOL`. A
    prior gets the seed, the number of spatial dimensions and the spacing of voxels that are not cubes, if it
    takes them. A simulation is judged by its NRMSE unless metrics are named.
    """
    suggested, wanted = acquisition.solver, problem.get("solver", {})
    name = wanted.get("name", suggested.get("name", "fista"))
    if "prior" in wanted and "name" not in wanted and "prior" not in fields("solver", name):
        name = "fista"
    offered = {**(suggested if name == suggested.get("name") else {}), "rtol": suggested.get("rtol", RTOL)}
    own_prior = "prior" in wanted and _name(wanted["prior"]) != _name(suggested.get("prior"))
    if own_prior:
        for key in ("weight", "coarse_levels"):  # they suit the suggested prior only
            offered.pop(key, None)
    solver = {"name": name, **_taken("solver", name, offered), **wanted}
    spatial_dims = len(acquisition.physics.domain.shape) - 1  # type: ignore[union-attr]
    known = {"spatial_dims": spatial_dims, "seed": problem["seed"]}
    size = acquisition.voxel_size
    if size is not None and max(size) > 1.001 * min(size):
        known["spacing"] = tuple(h / min(size) for h in size)
    prior = solver.get("prior")
    prior = {"name": prior} if isinstance(prior, str) else prior
    if isinstance(prior, Mapping) and "name" in prior:
        if not own_prior and isinstance(suggested.get("prior"), Mapping):
            prior = {**suggested["prior"], **prior}
        solver["prior"] = {"name": prior["name"], **_taken("prior", prior["name"], known), **prior}
        _check_complete(solver["prior"])
    metrics = problem.get("metrics", {"nrmse": {"complex": "complex"}} if "image" in problem else None)
    if metrics is not None:
        metrics = {key: {**_taken("metric", key, known), **table} for key, table in metrics.items()}
    completed = {**problem, "solver": solver, "metrics": metrics}
    return {key: value for key, value in completed.items() if value is not None}


def _check_complete(prior: Mapping[str, Any]) -> None:
    """Refuse a prior named without the parameters that it needs; the command line can only name one."""
    parameters = inspect.signature(get("prior", prior["name"])).parameters.values()
    if missing := [p.name for p in parameters if p.default is p.empty and p.name not in prior]:
        raise ParameterError(
            f"prior {prior['name']!r} needs {', '.join(missing)}, which a problem file can give: "
            f'prior = {{ name = "{prior["name"]}", {missing[0]} = ... }} in [solver]'
        )


def _name(component: Any) -> Any:
    return component.get("name") if isinstance(component, Mapping) else component


def _typed(path: Path) -> str:
    """Return the path with ~ for the home folder: a record does not name the user."""
    text, home = os.fspath(path), str(Path.home())
    return f"~{text[len(home) :]}" if len(home) > 1 and text.startswith(home + os.sep) else text


def _taken(kind: str, name: str, known: Mapping[str, Any]) -> dict[str, Any]:
    takes = fields(kind, name)
    return {key: value for key, value in known.items() if key in takes}


def _checked(problem: dict[str, Any], name: str) -> dict[str, Any]:
    entries = dict(problem)
    for section in ("image", "data", "metrics"):
        if isinstance(problem.get(section), Mapping):
            entries |= {f"{section}.{key}": value for key, value in problem[section].items()}
    kinds: dict[str, Any] = {
        key: Mapping if key.startswith("metrics.") else _ENTRIES.get(key) for key in entries
    }
    if unknown := sorted(key for key, kind in kinds.items() if kind is None):
        raise DataError(f"{name}: unknown entries {unknown}; a problem has {sorted(_ENTRIES)}")
    for key, kind in kinds.items():
        if not isinstance(entries[key], kind) or isinstance(entries[key], bool):
            raise DataError(f"{name}: {key} must be {_NAMES[kind]}, got {entries[key]!r}")
    if reserved := {"path", "format", "plugin"} & set(entries.get("data.options", ())):
        raise DataError(
            f"{name}: data.options has no {min(reserved)!r}; the file and its format are in [data]"
        )
    for section in ("operator", "noise", "solver", "sampler"):
        named = problem.get(section, {}).get(
            "name", "" if section == "solver" or section not in problem else None
        )
        if not isinstance(named, str):
            raise DataError(
                f"{name}: {section} needs a name, such as one that `invcore list {section}` shows; its name "
                f"is {named!r:.200}"
            )
    prior = problem.get("solver", {}).get("prior", "")
    if not isinstance(prior.get("name") if isinstance(prior, Mapping) else prior, str):
        raise DataError(f"{name}: solver.prior must be a name or a table with a name, got {prior!r:.200}")
    if ("data.file" in entries) == ("image.file" in entries) or ("data" in entries) == ("image" in entries):
        raise DataError(f"{name}: give a file in either [data] (measured) or [image] (to be measured)")
    if "image" in problem and "operator" not in problem:
        raise DataError(f"{name}: [image] needs an [operator] that measures it")
    filled = {"seed": 0, "device": "cpu", **problem}
    return filled if "image" in filled else {**filled, "data": {"options": {}, **filled["data"]}}


def _located(value: Any, folder: Path, key: str = "") -> Any:
    """Drop None, and make file names relative to the current folder, but for those in reader options."""
    if isinstance(value, Mapping):
        inside = value if key == "options" else {k: _located(v, folder, k) for k, v in value.items()}
        return {k: v for k, v in inside.items() if v is not None}
    if key in ("file", "reference") and isinstance(value, str | os.PathLike):
        try:
            name = Path(value).expanduser()
        except RuntimeError as error:
            raise DataError(f"{key} = {os.fspath(value)!r}: there is no such user here") from error
        places = [folder / name, name]
        found = next(filter(is_there, places), None)
        if found is None and folder != Path():
            raise FileNotFoundError(
                f"{key} = {os.fspath(value)!r} is neither in {folder} nor in the current folder. "
                "Put it there, or write its place into the problem"
            )
        return _typed(found or places[0])
    return [_located(v, folder) for v in value] if isinstance(value, list | tuple) else value


def _embedded(path: Path) -> str:
    with open_hdf5(path) as file:
        if (text := own_text(file, "problem", max_bytes=_EMBEDDED)) is not None:
            return text
        record = own_text(file, "provenance", max_bytes=_EMBEDDED)
    try:
        found = json.loads(record or "{}")
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: its provenance is damaged, it is not JSON: {error}") from error
    if isinstance(found, dict) and isinstance(found.get("problem"), str):
        return str(found["problem"])
    raise DataError(
        f"{path} embeds no problem; only results of invcore run and reconstruct, and of simulate, do"
    )
