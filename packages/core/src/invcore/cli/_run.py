"""``invcore run``: carry out a problem file."""

from pathlib import Path
from typing import Annotated

import typer

from ._output import Folder, Nifti, Quiet, manner, print_result


def run(
    file: Annotated[Path, typer.Argument(help="problem.toml, or a result that embeds its problem.")],
    output: Folder = Path("invcore-out"),
    nifti: Nifti = None,
    quiet: Quiet = False,
) -> None:
    """Carry out a problem file: measure or read, reconstruct, judge."""
    from ..run import run as carry_out

    print_result(carry_out(file, output=output, nifti=nifti, **manner(quiet)))
