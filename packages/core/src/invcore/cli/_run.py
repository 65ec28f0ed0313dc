"""``invcore run``: carry out a problem file."""

from pathlib import Path
from typing import Annotated

import typer

from ._output import Dicom, Folder, Nifti, Quiet, Verbose, manner, print_result


def run(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="problem.toml, or a result that embeds its problem, or its folder."
        ),
    ],
    output: Folder = Path("invcore-out"),
    nifti: Nifti = None,
    dicom: Dicom = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Carry out a problem file.

    It measures an image or reads measured data, reconstructs, judges, and writes what `invcore reconstruct`
    writes.
    """
    from ..run import run as carry_out

    print_result(carry_out(file, output=output, nifti=nifti, dicom=dicom, **manner(quiet, verbose)), quiet)
