"""From a raw file to an image and a report: what ``invcore reconstruct`` does."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import inspect
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import tomli_w
import torch
from torch import Tensor

from ._errors import DataError, MissingDependencyError, ParameterError, ShapeError, SolverError
from ._registry.lookup import create, get
from .io import (
    Acquisition,
    atomic_path,
    load_reconstruction,
    provenance,
    read,
    save_nifti,
    save_png,
    save_reconstruction,
)
from .io._read import reader_of
from .metrics import NRMSE, PSNR, SSIM
from .metrics._base import scored
from .operators import LinearOperator, Space
from .report import convergence_figure, error_figure, save_figure, write_report
from .solvers import Solution
from .spaces import batch_shape

RTOL = 1e-3
"""Tolerance of the solvers where none is given: further steps do not change the picture."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """What `reconstruct` made.

    Attributes
    ----------
    x : Tensor, shape (batch..., channel, *spatial)
        The image.
    acquisition : Acquisition
    solution : Solution
    metrics : dict of str to Tensor
        Against the reference, if there was one.
    provenance : dict
        How it was made.
    files : dict of str to Path
        What was written, by role: ``image``, ``report``, ``magnitude``, ``phase``, …
    """

    x: Tensor
    acquisition: Acquisition
    solution: Solution
    metrics: dict[str, Tensor]
    provenance: dict[str, Any]
    files: dict[str, Path]


def reconstruct(
    path: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] = "invcore-out",
    reference: str | os.PathLike[str] | None = None,
    solver: str | None = None,
    prior: str | None = None,
    weight: Literal["auto"] | float = "auto",
    max_steps: int | None = None,
    rtol: float | None = None,
    seed: int = 0,
    device: str = "cpu",
    format: str | None = None,
    options: Mapping[str, Any] | None = None,
    nifti: bool | None = None,
    command: str | None = None,
    progress: bool = False,
    say: Callable[[str], None] = lambda message: None,
) -> Reconstruction:
    """Read a raw file, reconstruct it, and write image, pictures and report.

    Parameters
    ----------
    path : path
        The raw file; its format is recognized.
    output : path
        Folder for the results; made if it is missing. Every file is written to a temporary name and renamed.
    reference : path, optional
        What to compare with: a fully sampled raw file of the same format, or a ``reconstruction.h5``. Magnitudes are compared
        after the best scalar fit.
    solver, prior : str, optional
        Registered names; by default those that the reader recommends.
    weight : "auto" or float
        Regularization weight; by default what the reader suggests for its solver, else chosen from the noise level.
    max_steps, rtol : optional
        Limits of the solver.
    seed : int
        Seed of whatever is random.
    device : str
        Where to compute, as ``"cuda"``.
    format : str, optional
        Registered name of the reader.
    options : mapping, optional
        Options of the reader.
    nifti : bool, optional
        Write ``magnitude.nii.gz`` too; by default if nibabel is installed (the extra ``io``).
    command : str, optional
        What was typed, for the record.
    progress : bool
        Show a progress bar.
    say : callable, optional
        Receives a line for each stage.

    Returns
    -------
    Reconstruction

    Raises
    ------
    FileNotFoundError, DataError, ParameterError, UnknownComponentError, SolverError
    """
    started = time.perf_counter()
    target = _usable(device)
    has_nibabel = importlib.util.find_spec("nibabel") is not None
    if nifti and not has_nibabel:
        raise MissingDependencyError('writing NIfTI needs nibabel: pip install "invcore[io]"')
    write_nifti = has_nibabel if nifti is None else nifti
    with _folder(output) as folder:
        acquisition = read(path, format=format, **dict(options or {}))
        domain = acquisition.physics.domain
        if not isinstance(domain, Space) or len(domain.shape) < 3:
            raise DataError(
                f"{path}: the physics acts on {domain}; pictures are made of images (channel, *spatial)"
            )
        dims = len(domain.shape) - 1
        truth = None if reference is None else _reference(Path(reference), acquisition, options or {})
        acquisition = acquisition.to(target)
        say(f"read {Path(path).name}: {_describe(acquisition)} ({time.perf_counter() - started:.1f} s)")
        table = _solver_table(acquisition, solver, prior, weight, max_steps, rtol, seed, dims)
        names = {"solver": table["name"], "reader": str(acquisition.metadata.get("format", format or ""))}
        if "prior" in table:
            names["prior"] = table["prior"]["name"]
        problem = {
            "seed": seed,
            "device": device,
            "reference": None if reference is None else _typed(reference),
            "data": {"file": _typed(path), "format": format, "options": dict(options or {})},
            "solver": table,
        }
        return carry_out(
            acquisition,
            _from_table("solver", table),
            names,
            folder=folder,
            source=Path(path).name,
            truth=truth,
            seed=seed,
            parameters={"reader": dict(options or {}), "device": device},
            command=command,
            nifti=write_nifti,
            progress=progress,
            say=say,
            problem=problem_text(problem),
        )


def _typed(path: str | os.PathLike[str]) -> str:
    """The path with ~ for the home folder: a record does not name the user."""
    text, home = os.fspath(path), str(Path.home())
    return f"~{text[len(home) :]}" if len(home) > 1 and text.startswith(home + os.sep) else text


def problem_text(problem: Mapping[str, Any]) -> str | None:
    """A problem as TOML, entries that are None left out; None if it holds what TOML cannot (tensors given in Python)."""

    def kept(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {k: kept(v) for k, v in value.items() if v is not None}
        return [kept(v) for v in value] if isinstance(value, list | tuple) else value

    try:
        return tomli_w.dumps(kept(problem))
    except TypeError:
        return None


def carry_out(
    acquisition: Acquisition,
    solver: Any,
    names: Mapping[str, str],
    *,
    folder: Path,
    source: str,
    truth: Tensor | None,
    seed: int,
    parameters: Mapping[str, Any],
    command: str | None,
    nifti: bool,
    progress: bool,
    say: Callable[[str], None],
    measures: Mapping[str, Callable[[Tensor, Tensor], Tensor]] | None = None,
    problem: str | None = None,
) -> Reconstruction:
    """Solve, compare with ``truth`` (a magnitude, or with ``measures`` an image), and write everything into ``folder``."""
    dims = len(acquisition.physics.domain.shape) - 1  # type: ignore[union-attr]
    say(f"solver {names['solver']}" + (f", prior {names['prior']}" if "prior" in names else ""))
    begun = time.perf_counter()
    try:
        solution = solver.solve(
            acquisition.y,
            acquisition.physics,
            progress=progress,
            record_objective=not solver.costly_objective,
        )
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise SolverError(
            "there is not enough memory for this; take a part of it, or another device"
        ) from error
    seconds = time.perf_counter() - begun
    steps, used = int(solution.stats["steps"].max()), _number(solution.problem.weight)
    say(f"{solution.status.name.lower()} after {steps} steps in {seconds:.1f} s, weight {used:.3g}")

    x = solution.value.cpu()
    compared: Tensor | None = None
    metrics: dict[str, Tensor] = {}
    output = acquisition.output
    pictures = dict(output.pictures(x))
    caption, main = next(iter(pictures.items()))
    if truth is not None and measures is None:
        compared, metrics = _compare(main, truth, dims, output.fit_scale)
    elif measures is not None:
        compared = None if truth is None else x
        for name, metric in measures.items():
            if truth is not None or getattr(metric, "no_reference", False):
                metrics[name] = scored(metric, x, truth)
    record = provenance(
        command=command,
        seed=seed,
        components=names,
        parameters={
            "solver": solver,
            "weight": _listed(solution.problem.weight),
            "operator": acquisition.physics.operator,
            "noise": acquisition.physics.noise,
            "status": solution.status.name,
            "steps": steps,
            **parameters,
        },
        data={"file": source, **acquisition.metadata},
    )
    if problem is not None:
        record["problem"] = problem
    others = {name: image for name, image in pictures.items() if name != caption}
    operator = acquisition.physics.operator
    label = "Filtered backprojection"
    try:
        analytic = operator.fbp(acquisition.y) if hasattr(operator, "fbp") else None
    except ParameterError:  # a geometry that has none
        analytic = None
    if analytic is None and isinstance(operator, LinearOperator):
        label, analytic = "Adjoint of the data (no reconstruction)", operator.H(acquisition.y)
    if analytic is not None:
        others[label] = analytic.cpu()
    figures = {key.upper(): f"{float(v.mean()):.4f}" for key, v in metrics.items()}
    figures |= {"steps": str(steps), "solver": f"{seconds:.1f} s", "weight": f"{used:.3g}"}
    with _staged(folder) as stage:
        files = _write(stage, x, pictures, dims, record, solution, truth, compared, nifti)
        files |= output.write(stage, x, record)
        files["report"] = stage / "report.html"
        write_report(
            files["report"],
            main,
            title="Reconstruction",
            caption=caption,
            subtitle=source,
            spatial_dims=dims,
            reference=truth,
            compared=compared,
            others=others,
            figures=figures,
            metrics=metrics or None,
            metrics_note=""
            if measures is not None
            else "Magnitudes, after the best scalar fit to the reference."
            if output.fit_scale
            else f"{caption}.",
            statistics={n: solution.stats[n] for n in ("objective", "change") if n in solution.stats},
            metadata=acquisition.metadata,
            provenance=record,
        )
    return Reconstruction(
        x=x,
        acquisition=acquisition,
        solution=solution,
        metrics=metrics,
        provenance=record,
        files={role: folder / file.name for role, file in files.items()},
    )


def _usable(device: str) -> torch.device:
    """The device, if it is one and this machine has it."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ParameterError(
            f"device {device!r} cannot be used here: {reason}. Leave it out, or say 'cpu'."
        ) from error
    if found.type == "meta":
        raise ParameterError("device 'meta' computes nothing. Leave it out, or say 'cpu'.")
    return found


@contextlib.contextmanager
def _folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """`writable_folder`, removed again if it was made here and nothing came of it."""
    known = Path(path).exists()
    folder = writable_folder(path)
    try:
        yield folder
    except BaseException:
        if not known:
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()
        raise


@contextlib.contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A folder to write all results into; they are moved to ``folder`` together when the block ends well."""
    stage = Path(tempfile.mkdtemp(prefix=".invcore-", dir=folder))
    try:
        yield stage
        for file in sorted(stage.iterdir()):
            os.replace(file, folder / file.name)
    finally:
        shutil.rmtree(stage)


def writable_folder(path: str | os.PathLike[str]) -> Path:
    """Make the folder if needed and try to write into it, before any long work is done."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot make the output folder {folder}: {error.strerror}. Choose another one with -o DIR."
        ) from error
    try:
        with atomic_path(folder / ".invcore-probe"):
            pass
    finally:
        (folder / ".invcore-probe").unlink(missing_ok=True)
    return folder


def _solver_table(
    acquisition: Acquisition,
    solver: str | None,
    prior: str | None,
    weight: Literal["auto"] | float,
    max_steps: int | None,
    rtol: float | None,
    seed: int,
    dims: int,
) -> dict[str, Any]:
    """The solver as the user and the reader want it: its name and parameters, as a problem file has them."""
    defaults = acquisition.solver
    name = solver or defaults.get("name", "fista")
    if prior is None and name == defaults.get("name"):
        prior = defaults.get("prior", {}).get("name")
    takes = _fields(get("solver", name))
    if rtol is None:
        rtol = float(defaults["rtol"]) if "rtol" in defaults else RTOL
    if weight == "auto" and name == defaults.get("name") and "weight" in defaults:
        weight = float(defaults["weight"])
    given: dict[str, Any] = {"weight": weight, "rtol": rtol, "max_steps": max_steps}
    table = {"name": name, **{k: v for k, v in given.items() if k in takes and v is not None}}
    if prior is not None:
        if "prior" not in takes:
            raise ParameterError(f"solver {name} takes no prior; leave --prior out")
        of_prior = _fields(get("prior", prior))
        known = {"spatial_dims": dims, "seed": seed}
        table["prior"] = {"name": prior, **{k: v for k, v in known.items() if k in of_prior}}
    return table


def _from_table(kind: str, table: Mapping[str, Any]) -> Any:
    parameters = {k: v for k, v in table.items() if k != "name"}
    if isinstance(parameters.get("prior"), Mapping):
        parameters["prior"] = _from_table("prior", parameters["prior"])
    return create(kind, table["name"], **parameters)


def _fields(cls: Any) -> set[str]:
    return {f.name for f in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()


def _reference(path: Path, acquisition: Acquisition, options: Mapping[str, Any]) -> Tensor:
    """The reference image as a magnitude, (batch..., 1, *spatial); of the slice that the reader's options select."""
    if path.suffix == ".h5" and _is_result(path):
        image = load_reconstruction(path)[0]
        image = next(iter(acquisition.output.pictures(image).values()))
    elif not path.exists() and not path.with_name(path.name + ".cfl").exists():
        raise FileNotFoundError(2, "No such reference file", str(path))
    else:
        reader = reader_of(path)
        takes = inspect.signature(reader.reference).parameters
        known = options if "options" in takes else {k: v for k, v in options.items() if k in takes}
        image = reader.reference(path, **known)
    domain = acquisition.physics.domain
    assert isinstance(domain, Space)
    spatial = domain.shape[1:]
    batch = batch_shape(acquisition.y, acquisition.physics.range)
    leading = image.shape[: -len(spatial) - 1]
    if image.shape[-len(spatial) :] != spatial or math.prod(leading) != math.prod(batch):
        raise ShapeError(
            f"the reference {path.name} is {tuple(image.shape)}, the reconstruction will be "
            f"{(*batch, *domain.shape)}: they are not images of one scan"
        )
    image = torch.linalg.vector_norm(image, dim=-len(spatial) - 1, keepdim=True)
    return image.reshape(*batch, 1, *spatial)


def _is_result(path: Path) -> bool:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return "x" in file and "provenance" in file
    except OSError:
        return False


def _compare(x: Tensor, truth: Tensor, dims: int, fit_scale: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
    """The magnitude of ``x``, fitted to the reference if asked for, and the metrics between the two."""
    image = torch.linalg.vector_norm(
        x, dim=-dims - 1, keepdim=True
    )  # of several sets, the root sum of squares
    axes = tuple(range(-dims - 1, 0))
    fit = (image * truth).sum(axes, keepdim=True) / (image**2).sum(axes, keepdim=True).clamp_min(1e-38)
    compared = fit * image if fit_scale else image
    metrics: dict[str, Tensor] = {
        "nrmse": NRMSE(spatial_dims=dims)(compared, truth),
        "psnr": PSNR(data_range="max", spatial_dims=dims)(compared, truth),
        "ssim": SSIM(data_range="max", spatial_dims=dims)(compared, truth),
    }
    return compared, metrics


def _write(
    output: Path,
    x: Tensor,
    pictures: Mapping[str, Tensor],
    dims: int,
    record: dict[str, Any],
    solution: Solution,
    truth: Tensor | None,
    compared: Tensor | None,
    nifti: bool,
) -> dict[str, Path]:
    files = {"image": output / "reconstruction.h5"}
    save_reconstruction(files["image"], x, record, spatial_dims=dims)
    for caption, image in pictures.items():
        role = "magnitude" if len(pictures) == 1 else _slug(caption)
        files[role] = output / f"{role}.png"
        save_png(files[role], image, part="magnitude", spatial_dims=dims)
    if x.is_complex():
        files["phase"] = output / "phase.png"
        save_png(files["phase"], x, part="phase", spatial_dims=dims)
    if truth is not None and compared is not None:
        files["error"] = output / "error.png"
        save_figure(error_figure(compared, truth, spatial_dims=dims), files["error"])
    curves: dict[str, Any] = {
        name: solution.stats[name] for name in ("objective", "change") if name in solution.stats
    }
    if curves:
        files["convergence"] = output / "convergence.png"
        save_figure(convergence_figure(curves), files["convergence"])
    if nifti:
        files["nifti"] = output / "magnitude.nii.gz"
        save_nifti(files["nifti"], x, spatial_dims=dims)
    return files


def _slug(caption: str) -> str:
    """A file name from a caption: ``Depth in m`` gives ``depth``, ``Second surface: depth in m`` ``second-surface-depth``."""
    words = re.sub(r" in \S+$", "", caption).lower()
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-")


def _describe(acquisition: Acquisition) -> str:
    facts = acquisition.metadata
    parts = [repr(acquisition.physics.operator).split("(")[0], f"data {_shapes(acquisition.y)}"]
    if "coils" in facts:
        parts.append(f"{facts['coils']} coils")
    if "acceleration" in facts:
        parts.append(f"acceleration {facts['acceleration']:.2f}")
    if "sigma" in facts:
        parts.append(f"noise {facts['sigma']:.3g}")
    return ", ".join(parts)


def _shapes(y: Any) -> str:
    return " + ".join(map(_shapes, y)) if isinstance(y, tuple) else str(tuple(y.shape))


def _number(weight: Any) -> float:
    return float(weight.mean()) if isinstance(weight, Tensor) else float(weight)


def _listed(weight: Any) -> Any:
    """The weight as a number, or as one number per sample."""
    return weight.tolist() if isinstance(weight, Tensor) else weight
