"""``invcore simulate``: only the measurement of a problem file."""

from pathlib import Path
from typing import Annotated

import typer


def simulate(
    file: Annotated[Path, typer.Argument(help="problem.toml with [image], [operator] and [noise].")],
    output: Annotated[Path, typer.Option("-o", "--output", help="HDF5 file to write.")] = Path(
        "measurements.h5"
    ),
) -> None:
    """Measure the image of a problem file, and write the measurements."""
    from .._errors import DataError
    from .._problem_file import load_problem, save_measurements
    from .._problem_file import simulate as measure

    problem, text = load_problem(file)
    if "image" not in problem:
        raise DataError(f"{file} has no [image] to measure")
    x, acquisition = measure(problem, folder=file.parent)
    save_measurements(output, acquisition.y, x, text)
    typer.echo(str(output))
