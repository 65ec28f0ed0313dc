"""Printing shared by the commands: results, and tables that fit a terminal and stay whole in a pipe."""

import ast
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .._errors import ParameterError
from . import _complete

Folder = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the results.")]
Device = Annotated[
    str, typer.Option("--device", metavar="NAME", help="Where to compute: cpu, cuda, cuda:1, mps.")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="Registered reader (`invcore list reader`) instead of recognizing the format.",
        autocompletion=_complete.of_kind("reader"),
    ),
]
ReaderOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="Option of the reader; may be repeated. `invcore info FILE` lists them.",
    ),
]
Nifti = Annotated[
    bool | None,
    typer.Option(
        "--nifti/--no-nifti", help="Write magnitude.nii.gz; by default for MRI, if nibabel is installed."
    ),
]
Dicom = Annotated[
    bool,
    typer.Option(
        "--dicom", help="Write magnitude.dcm, where the file says how the image lies in the patient."
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")]
Verbose = Annotated[
    bool, typer.Option("-v", "--verbose", help="Print times, where warnings come from, tracebacks of errors.")
]
"""Options that several commands have."""

UNITS = {"psnr": " dB", "snr": " dB"}
"""Metric to its unit."""

STYLES = {
    "available": "green",
    "loaded": "green",
    "passed": "green",
    "disabled": "dim",
    "skipped": "dim",
    "xfailed": "dim",
    "missing dependency": "yellow",
    "failed": "red",
    "conflict": "red",
    "incompatible": "red",
}
"""Status to color."""


def options_from(words: Sequence[str] | None) -> dict[str, Any]:
    """Return ``["slice=3", "whiten=false"]`` as keyword arguments."""
    literal = {"true": "True", "false": "False", "none": "None"}
    out: dict[str, Any] = {}
    for item in words or ():
        name, sign, text = item.partition("=")
        if not sign:
            raise ParameterError(f"--option takes NAME=VALUE, got {item!r}")
        try:
            out[name] = ast.literal_eval(literal.get(text.lower(), text))
        except (ValueError, SyntaxError):
            out[name] = text
    return out


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, status: int) -> None:
    """Print aligned columns.

    Parameters
    ----------
    header : sequence of str
        Column titles.
    rows : sequence of sequences of str
        The cells.
    status : int
        The column that holds a status, to be colored.
    """
    if not sys.stdout.isatty():
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
        for row in [header, *rows]:
            typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, title in enumerate(header):
        table.add_column(title, no_wrap=index < len(header) - 1, overflow="fold", header_style="bold")
    for row in rows:
        cells = [Text(cell, STYLES.get(cell, "") if i == status else "") for i, cell in enumerate(row)]
        table.add_row(*cells)
    Console(highlight=False).print(table)


def manner(quiet: bool, verbose: bool = False) -> dict[str, Any]:
    """Return how `invcore.run.run` records the command, without the home folder, and prints its stages."""
    line, home = shlex.join(["invcore", *sys.argv[1:]]), str(Path.home())
    command = line.replace(home + "/", "~/") if len(home) > 1 else line
    if quiet:
        return {"command": command, "stoppable": True}
    begun = time.perf_counter()

    def say(message: str) -> None:
        clock = f"[{time.perf_counter() - begun:6.1f} s] " if verbose else ""
        typer.echo(clock + message, err=True)

    return {"command": command, "progress": True, "stoppable": True, "say": say}


def print_result(result: Any, quiet: bool = False) -> None:
    """Print the metrics, and where the files are; exit with 130 if Ctrl-C ended the solver."""
    if not quiet:
        _print_files(result)
    if result.interrupted:
        raise typer.Exit(130)


def _print_files(result: Any) -> None:
    for name, value in result.metrics.items():
        typer.echo(f"{name.upper():6} {float(value.mean()):.4f}{UNITS.get(name, '')}")
    for path in result.files.values():
        typer.echo(str(path))
