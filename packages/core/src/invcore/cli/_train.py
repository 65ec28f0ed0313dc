"""``invcore train``: a model from a problem file."""

from pathlib import Path
from typing import Annotated

import typer

from ._output import UNITS, Folder, Quiet, Verbose, manner


def train(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="problem.toml with [dataset], [operator], [model], [training]."),
    ],
    output: Folder = Path("invcore-out"),
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train a model.

    It writes model.safetensors, which invcore.model(path) opens, report.html and log.csv. The same command
    goes on where it was stopped.
    """
    from ..run import train as carry_out

    done = carry_out(file, output=output, **manner(quiet, verbose))
    evaluation = done.training.evaluation
    if not quiet:
        for name, values in (evaluation.metrics if evaluation is not None else {}).items():
            beside = evaluation.baseline.get(name)
            after = "" if beside is None else f" (baseline {float(beside.mean()):.4f})"
            typer.echo(f"{name.upper():6} {float(values.mean()):.4f}{UNITS.get(name, '')}{after}")
        for path in done.files.values():
            typer.echo(str(path))
    if done.training.status == "interrupted":
        raise typer.Exit(130)
