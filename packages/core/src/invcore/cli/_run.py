"""``invcore run``: carry out a problem file."""

from pathlib import Path
from typing import Annotated

import typer

from ._output import manner, print_result


def run(
    file: Annotated[Path, typer.Argument(help="problem.toml, or a result that embeds its problem.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")] = Path(
        "invcore-out"
    ),
    nifti: Annotated[
        bool | None,
        typer.Option("--nifti/--no-nifti", help="Write magnitude.nii.gz (if nibabel is installed)."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no messages.")] = False,
) -> None:
    """Carry out a problem file: measure or read, reconstruct, judge."""
    from ..run import run as carry_out

    print_result(carry_out(file, output=output, nifti=nifti, **manner(quiet)))
