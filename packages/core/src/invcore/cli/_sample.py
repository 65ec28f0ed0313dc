"""``invcore sample``: draws from the posterior of a problem file."""

from pathlib import Path
from typing import Annotated

import typer

from ._output import Folder, Quiet, Verbose, manner, print_result


def sample(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="problem.toml with a [sampler] in place of the [solver]."),
    ],
    output: Folder = Path("invcore-out"),
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Draw images from the posterior of a problem file.

    It writes mean, standard deviation, draws and a report. The same command goes on where it was killed.
    """
    from ..run import sample as carry_out

    print_result(carry_out(file, output=output, **manner(quiet, verbose)), quiet)
