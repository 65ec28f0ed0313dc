"""The problem file: operator, noise, solver, prior and metrics by registered name, in TOML.

A file says what is measured (``[image]`` and ``[operator]``, or a measured file in ``[data]``), how it is reconstructed
(``[solver]``) and how the result is judged (``[metrics]``). Every saved result embeds the problem it answers, so that
``invcore run reconstruction.h5`` runs it again.
"""

from __future__ import annotations

import json
import os
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from ._errors import DataError, ParameterError
from ._physics import Physics
from ._reconstruct import Reconstruction, _fields, _folder, _is_result, _reference, _usable, carry_out
from ._registry.lookup import create, get
from .io import Acquisition, atomic_path, load_reconstruction, read
from .operators import Operator, Space

_SECTIONS = {"seed", "device", "image", "data", "reference", "operator", "noise", "solver", "metrics"}
_KINDS = {"operator", "noise", "fidelity", "prior", "solver", "denoiser", "metric", "transform", "generator"}


def load_problem(path: str | os.PathLike[str]) -> tuple[dict[str, Any], str]:
    """Read a problem file, or the problem that a result or simulated measurement embeds.

    Returns
    -------
    problem : dict
    text : str
        The TOML it was read from.

    Raises
    ------
    FileNotFoundError
    DataError
        If it is not TOML, embeds no problem, or has unknown or missing sections.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(2, "No such problem file", str(path))
    text = _embedded(path) if h5py.is_hdf5(path) else path.read_text(encoding="utf-8", errors="replace")
    try:
        problem = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{path} is not a problem file: {error}. It must be TOML.") from error
    unknown = set(problem) - _SECTIONS
    if unknown:
        raise DataError(f"{path}: unknown entries {sorted(unknown)}; a problem has {sorted(_SECTIONS)}")
    if ("data" in problem) == ("image" in problem):
        raise DataError(
            f"{path}: give either [data] file=... (measured) or [image] file=... (to be measured)"
        )
    if "image" in problem and "operator" not in problem:
        raise DataError(f"{path}: [image] needs an [operator] that measures it")
    return problem, text


def simulate(problem: Mapping[str, Any], *, folder: Path = Path()) -> tuple[Tensor, Acquisition]:
    """Measure the image of a problem.

    Parameters
    ----------
    problem : mapping
        As `load_problem` gives it.
    folder : Path
        What file names are relative to; the current folder is looked into after it.

    Returns
    -------
    image : Tensor, shape (batch..., channel, *spatial)
    acquisition : Acquisition
        The measurements and their physics.
    """
    generator = torch.Generator().manual_seed(int(problem.get("seed", 0)))
    x = load_image(_found(folder, problem["image"], "image"))
    physics = physics_of(problem, x, generator, folder)
    domain = physics.operator.domain
    if isinstance(domain, Space) and domain.kind == "complex" and not x.is_complex():
        x = x + 0j
    y = physics(x, generator=generator)
    return x, Acquisition(y=y, physics=physics, metadata={"source": str(problem["image"]["file"])})


def physics_of(problem: Mapping[str, Any], x: Tensor, generator: torch.Generator, folder: Path) -> Physics:
    """Operator and noise of a problem, with the image's shape as the operator's domain where none is given."""
    table = dict(problem["operator"])
    if "domain" not in table and "domain" in _fields(get("operator", _name(table, "operator"))):
        table["domain"] = Space(tuple(x.shape), "complex" if x.is_complex() else "real")
    operator = build("operator", table, generator, folder)
    if not isinstance(operator, Operator):
        raise ParameterError(f"[operator] {table['name']} is not an operator")
    if "noise" not in problem:
        return Physics(operator=operator)
    return Physics(operator=operator, noise=build("noise", problem["noise"], generator, folder))


def build(kind: str, table: Mapping[str, Any], generator: torch.Generator, folder: Path) -> Any:
    """Make a component of its table: ``name`` and parameters.

    A parameter that is a table is a component (``{name = ...}``), a tensor from a file (``{file = ...}``), a tensor from
    numbers (``{tensor = [...]}``), a tensor drawn by a registered generator (``{generator = ...}``) or a space
    (``{shape = [...], kind = "real"}``). Lists are tuples.
    """
    parameters = {k: _value(k, v, generator, folder) for k, v in table.items() if k != "name"}
    return create(kind, _name(table, kind), **parameters)


def _name(table: Mapping[str, Any], kind: str) -> str:
    if not isinstance(table, Mapping) or "name" not in table:
        raise DataError(f"[{kind}] needs a name, such as one that `invcore list {kind}` shows")
    return str(table["name"])


def _value(key: str, value: Any, generator: torch.Generator, folder: Path) -> Any:
    if isinstance(value, list):
        return tuple(_value(key, v, generator, folder) for v in value)
    if not isinstance(value, Mapping):
        return value
    if "name" in value:
        kind = value.get("kind", key)
        if kind not in _KINDS:
            raise DataError(
                f"{key}: say what kind {value['name']!r} is, as in {{kind = 'denoiser', name = ...}}"
            )
        return build(kind, {k: v for k, v in value.items() if k != "kind"}, generator, folder)
    if "file" in value:
        return load_array(_found(folder, value, key))
    if "tensor" in value:
        return torch.tensor(value["tensor"], dtype=torch.get_default_dtype())
    if "generator" in value:
        table = {"name": value["generator"], **{k: v for k, v in value.items() if k != "generator"}}
        return build("generator", table, generator, folder)(generator=generator)
    if "shape" in value:
        return Space(tuple(value["shape"]), value.get("kind", "real"))
    raise DataError(
        f"{key}: a table must have one of name, file, tensor, generator or shape; got {sorted(value)}"
    )


def _found(folder: Path, table: Mapping[str, Any], section: str) -> Path:
    """The file a table names: in the folder of the problem, else (a problem embedded in a result) in the current one."""
    if not isinstance(table.get("file"), str):
        raise DataError(f'[{section}] needs file = "..."')
    name = Path(table["file"]).expanduser()
    places = [folder / name, name]
    return next((p for p in places if p.exists() or p.with_name(p.name + ".cfl").exists()), places[0])


def load_image(path: Path) -> Tensor:
    """An image as (channel, *spatial): PNG in [0, 1], NumPy array, or the image of a result."""
    if not path.exists():
        raise FileNotFoundError(2, "No such image", str(path))
    if path.suffix == ".h5" and _is_result(path):
        x = load_reconstruction(path)[0]
        return x[0] if len(x) == 1 else x
    if path.suffix == ".npy":
        x = load_array(path)
        return x.unsqueeze(0) if x.ndim == 2 else x
    from matplotlib.image import imread

    try:
        pixels = torch.as_tensor(np.array(imread(path)))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be read as an image: {error}") from error
    pixels = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()
    return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels[..., :3].movedim(-1, 0).contiguous()


def load_array(path: Path) -> Tensor:
    """A NumPy file as a tensor in single precision; never unpickled."""
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise FileNotFoundError(2, "No such array", str(path)) from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is not a NumPy array (.npy): {error}") from error
    if array.dtype.kind not in "fciub":
        raise DataError(f"{path} holds {array.dtype}, not numbers")
    return torch.as_tensor(array).to(torch.complex64 if array.dtype.kind == "c" else torch.float32)


def save_measurements(path: Path, y: Any, x: Tensor, text: str) -> None:
    """Write simulated measurements with the problem that made them, atomically: datasets ``y`` (or ``y/0`` …), ``x``, ``problem``."""
    with atomic_path(path) as partial, h5py.File(partial, "w") as file:
        blocks = {f"y/{i}": part for i, part in enumerate(y)} if isinstance(y, tuple) else {"y": y}
        for name, block in {**blocks, "x": x}.items():
            file[name] = block.detach().resolve_conj().cpu().numpy()
        file["problem"] = text


def _embedded(path: Path) -> str:
    with h5py.File(path, "r") as file:
        if "problem" in file:
            return str(file["problem"].asstr()[()])
        if "provenance" in file:
            record = json.loads(file["provenance"].asstr()[()])
            if "problem" in record:
                return str(record["problem"])
    raise DataError(
        f"{path} embeds no problem; only results of invcore run and reconstruct, and of simulate, do"
    )


def run(
    path: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] = "invcore-out",
    command: str | None = None,
    progress: bool = False,
    say: Callable[[str], None] = lambda message: None,
) -> Reconstruction:
    """Carry out a problem file: measure or read, reconstruct, judge, and write image, pictures and report.

    Parameters
    ----------
    path : path
        A TOML file, or a result that embeds its problem. File names in it are relative to its folder.
    output : path
        Folder for the results.
    command, progress, say
        As for `invcore.reconstruct`.

    Returns
    -------
    Reconstruction
    """
    started = time.perf_counter()
    problem, text = load_problem(path)
    folder_of_files = Path(path).parent
    seed = int(problem.get("seed", 0))
    device = str(problem.get("device", "cpu"))
    target = _usable(device)
    truth: Tensor | None = None
    with _folder(output) as folder:
        if "image" in problem:
            truth, acquisition = simulate(problem, folder=folder_of_files)
            source = str(problem["image"]["file"])
        else:
            table = problem["data"]
            path_of_data = _found(folder_of_files, table, "data")
            source = path_of_data.name
            acquisition = read(path_of_data, format=table.get("format"), **dict(table.get("options", {})))
            if "reference" in problem:
                reference = _found(folder_of_files, {"file": problem["reference"]}, "reference")
                truth = _reference(reference, acquisition, dict(table.get("options", {})))
        acquisition = acquisition.to(target)
        say(f"{source} ({time.perf_counter() - started:.1f} s)")
        solver, names = _solver_of(problem, acquisition, folder_of_files, seed)
        measures = None
        if "metrics" in problem:
            generator = torch.Generator().manual_seed(seed)
            measures = {
                name: build("metric", {"name": name, **options}, generator, folder_of_files)
                for name, options in problem["metrics"].items()
            }
        elif truth is not None and "image" in problem:
            measures = {"nrmse": create("metric", "nrmse", spatial_dims=truth.ndim - 1, complex="complex")}
        return carry_out(
            acquisition,
            solver,
            names,
            folder=folder,
            source=Path(source).name,
            truth=truth,
            seed=seed,
            parameters={"device": device},
            command=command,
            nifti=False,
            progress=progress,
            say=say,
            measures=measures,
            problem=text,
        )


def _solver_of(
    problem: Mapping[str, Any], acquisition: Acquisition, folder: Path, seed: int
) -> tuple[Any, dict[str, str]]:
    table = dict(problem.get("solver", {}))
    table.setdefault("name", acquisition.solver.get("name", "fista"))
    if "prior" not in table and "solver" not in problem and "prior" in acquisition.solver:
        table["prior"] = acquisition.solver["prior"]
    names = {"solver": table["name"]}
    if isinstance(table.get("prior"), Mapping):
        names["prior"] = _name(table["prior"], "prior")
    return build("solver", table, torch.Generator().manual_seed(seed), folder), names
