"""From a problem to an image and a report.

A problem is a set of plain tables: a measured file, or an image and the operator that measures it; a solver;
metrics. It is a TOML file, a result that embeds it, or a mapping. `reconstruct` makes one from a file name.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from torch import Tensor

from .._errors import DataError
from ..io import Acquisition
from ._early import check_early
from ._first import write_first
from ._folder import output_folder
from ._interrupt import interruptible as interruptible
from ._measure import measure, measured, simulated
from ._problem import complete, load
from ._record import Reconstruction as Reconstruction
from ._record import record
from ._sample import Sampled as Sampled
from ._sample import sample as sample
from ._solve import solve
from ._train import Trained as Trained
from ._train import evaluate as evaluate
from ._train import train as train
from ._verdict import verdict
from ._write import check_dicom, wants_nifti, write

__all__ = [
    "Reconstruction",
    "Sampled",
    "Trained",
    "evaluate",
    "interruptible",
    "reconstruct",
    "run",
    "sample",
    "simulate",
    "train",
]


def reconstruct(
    path: str | os.PathLike[str],
    *,
    reference: str | os.PathLike[str] | None = None,
    solver: str | None = None,
    prior: str | None = None,
    weight: Literal["auto"] | float | None = None,
    max_steps: int | None = None,
    rtol: float | None = None,
    seed: int = 0,
    device: str = "cpu",
    format: str | None = None,
    options: Mapping[str, Any] | None = None,
    output: str | os.PathLike[str] = "invcore-out",
    **how: Any,
) -> Reconstruction:
    """Reconstruct a raw file: make a problem of the arguments, and `run` it.

    Parameters
    ----------
    path : path
        The raw file; its format is recognized.
    reference : path, optional
        Fully sampled raw file of the same format, or a ``reconstruction.h5``, to compare with.
    solver, prior : str, optional
        Registered names; by default those that the reader suggests.
    weight, max_steps, rtol : optional
        Parameters of the solver; by default what the reader suggests, else its own, and ``rtol`` 1e-3.
    seed : int
        Seed of all randomness.
    device : str
        Where to compute, such as ``"cuda"``; ``"auto"`` takes a free GPU if there is one.
    format, options : optional
        Registered name of the reader, and its options by name.
    output, **how
        As for `run`.

    Returns
    -------
    Reconstruction

    Examples
    --------
    >>> invcore.reconstruct("scan.h5", solver="cg", output="result")  # doctest: +SKIP
    """
    problem = {
        "seed": seed,
        "device": device,
        "reference": reference,
        "data": {"file": path, "format": format, "options": options},
        "solver": {"name": solver, "prior": prior, "weight": weight, "max_steps": max_steps, "rtol": rtol},
    }
    return run(problem, output=output, **how)


def run(
    problem: str | os.PathLike[str] | Mapping[str, Any],
    *,
    output: str | os.PathLike[str] = "invcore-out",
    nifti: bool | None = None,
    dicom: bool = False,
    command: str | None = None,
    progress: bool = False,
    stoppable: bool = False,
    say: Callable[[str], None] = lambda message: None,
) -> Reconstruction:
    """Carry out a problem: measure or read, reconstruct, judge, and write image, pictures and report.

    Parameters
    ----------
    problem : path or mapping
        A TOML file, a result that embeds its problem, or the tables. File names are relative to the folder of
        the file, or else to the current one.
    output : path
        Folder for the results, which replace those of an earlier run; other files in it stay.
    nifti : bool, optional
        Write ``magnitude.nii.gz`` too; by default for MRI, if nibabel is installed (extra ``io``).
    dicom : bool
        Write ``magnitude.dcm`` too, one file a slice, where the file says how the image lies in the patient.
    command : str, optional
        The command line, for the record.
    progress : bool
        Show where the solver stands: a bar on a terminal, elsewhere a line every ten seconds.
    stoppable : bool
        On the first Ctrl-C stop the solver, and write the image that it has (``result.interrupted``). The
        second one, and without ``stoppable`` the first, raises `KeyboardInterrupt`.
    say : callable, optional
        Receives a line for each stage.

    Returns
    -------
    Reconstruction
        Its ``problem`` is complete: running it again gives the same bits.

    Raises
    ------
    FileNotFoundError, DataError, ParameterError, UnknownComponentError, SolverError

    Examples
    --------
    >>> result = invcore.run.run({"data": {"file": "scan.h5"}, "solver": {"name": "cg"}})  # doctest: +SKIP
    """
    begun = time.perf_counter()
    tables = load(problem)
    if "sampler" in tables:
        raise DataError("the problem has a [sampler]: `invcore sample` carries it out (invcore.run.sample)")
    check_early(tables)
    nifti = wants_nifti(nifti, tables)
    with output_folder(output) as folder:
        acquisition, truth = measure(tables)
        seconds = time.perf_counter() - begun
        say(f"read {measured(tables).name}: {acquisition.output.summary(acquisition)} ({seconds:.1f} s)")
        if dicom:
            check_dicom(acquisition)
        for sentence in acquisition.metadata.get("notes", ()):
            say(f"note: {sentence}")
        tables = complete(tables, acquisition)
        names = {"solver": tables["solver"], "prior": tables["solver"].get("prior")}
        say(", ".join(f"{key} {table['name']}" for key, table in names.items() if isinstance(table, Mapping)))
        write_first(folder, tables, acquisition, say)
        with interruptible(stoppable, say) as stop:
            result = solve(tables, acquisition, truth, progress=progress, stop=stop)
        for sentence in verdict(result):
            say(sentence)
        for sentence in result.remarks:
            say(f"look closely: {sentence}")
        result = dataclasses.replace(result, provenance=record(result, command))
        return write(result, folder, nifti=nifti, dicom=dicom)


def simulate(problem: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[Tensor, Acquisition]:
    """Measure the image of a problem, given as for `run`.

    Returns
    -------
    image : Tensor, shape (batch..., channel, *spatial)
    acquisition : Acquisition
        The measurements and their physics.
    """
    return simulated(load(problem))
