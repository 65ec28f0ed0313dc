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
    from ..run import simulate as measure
    from ..run._problem import load
    from ..run._write import save_measurements

    problem = load(file)
    image, acquisition = measure(problem)
    save_measurements(output, problem, image, acquisition.y)
    typer.echo(str(output))
