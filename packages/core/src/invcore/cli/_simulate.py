"""``invcore simulate``: only the measurement of a problem file."""

from pathlib import Path
from typing import Annotated

import typer

from ._output import Quiet


def simulate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="problem.toml with [image], [operator] and [noise].")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="HDF5 file to write.")
    ] = Path("measurements.h5"),
    quiet: Quiet = False,
) -> None:
    """Write the measurements of a problem file's image."""
    from ..run import simulate as measure
    from ..run._problem import load
    from ..run._write import save_measurements

    problem = load(file)
    image, acquisition = measure(problem)
    save_measurements(output, problem, image, acquisition.y)
    if not quiet:
        typer.echo(str(output))
