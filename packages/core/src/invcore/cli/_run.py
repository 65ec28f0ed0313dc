"""``invcore run``: carry out a problem file."""

from pathlib import Path
from typing import Annotated

import typer

from ._reconstruct import told, typed


def run(
    file: Annotated[Path, typer.Argument(help="problem.toml, or a result that embeds its problem.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")] = Path(
        "invcore-out"
    ),
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no messages.")] = False,
) -> None:
    """Carry out a problem file: measure or read, reconstruct, judge."""
    from .._problem_file import run as carry_out

    told(
        carry_out(
            file,
            output=output,
            command=typed(),
            progress=not quiet,
            say=(lambda message: None) if quiet else (lambda message: typer.echo(message, err=True)),
        )
    )
