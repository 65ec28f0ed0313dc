"""Printing shared by the commands: tables that fit a terminal, and stay whole in a pipe."""

import sys
from collections.abc import Sequence

import typer

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
