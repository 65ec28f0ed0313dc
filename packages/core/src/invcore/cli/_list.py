"""``invcore list``: what is installed, by name."""

import sys
from contextlib import redirect_stdout
from typing import Annotated

import typer

from .._registry.registry import AVAILABLE, registry
from ._output import print_table


def list_components(
    kind: Annotated[str | None, typer.Argument(help="Only this kind, such as operator.")] = None,
    tag: Annotated[str | None, typer.Option("--tag", help="Only components with this tag.")] = None,
    plugin: Annotated[str | None, typer.Option("--plugin", help="Only this distribution.")] = None,
) -> None:
    """List the registered components."""
    found = registry()
    with redirect_stdout(sys.stderr):  # what plugins print is no part of the table
        components = found.components(kind, tag, plugin)
    if components:
        rows = [(item.kind, item.name, item.plugin, item.status, item.summary) for item in components]
        print_table(("kind", "name", "plugin", "status", "summary"), rows, status=3)
    else:
        typer.echo(f"No {kind or 'component'} is registered.")
    unusable = sum(item.status != AVAILABLE for item in components)
    broken = {plugin.name for plugin in found.installed if plugin.failures}
    if unusable:
        typer.echo(f"{unusable} cannot be used as is: `invcore info NAME` says why.", err=True)
    if broken:
        typer.echo(f"Problems with {', '.join(sorted(broken))}: run `invcore doctor`.", err=True)
