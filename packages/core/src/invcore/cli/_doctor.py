"""``invcore doctor``: is this installation sound, and if not, what is wrong in full."""

import importlib.metadata
import os
import platform
import sys
from contextlib import redirect_stdout

import typer

from .. import __version__
from .._registry.loader import disabled_plugins
from .._registry.registry import MISSING, Registry
from ..plugin import API_VERSION, OLDEST_API_VERSION
from ._output import print_table

_VARIABLES = ("INVCORE_DISABLE_PLUGINS", "INVCORE_STRICT", "INVCORE_DATA")


def doctor() -> None:
    """Show versions, plugins, and all problems.

    The exit code is 1 if there is a problem.
    """
    typer.echo(
        f"invcore {__version__}, plugin API {API_VERSION} (accepts {OLDEST_API_VERSION} to {API_VERSION})"
    )
    typer.echo(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in ("torch", "numpy"):
        typer.echo(f"{package} {_version(package)}")
    for variable in _VARIABLES:
        if os.environ.get(variable):
            typer.echo(f"{variable}={os.environ[variable]}")
    typer.echo()
    found = Registry(strict=False)
    with redirect_stdout(sys.stderr):  # what plugins print is no part of the report
        plugins = found.plugins()
    rows = [
        (
            plugin.name,
            plugin.version,
            f"{plugin.entry} = {plugin.module}" if plugin.entry else "",
            "" if plugin.api_version is None else str(plugin.api_version),
            plugin.status,
            str(len(plugin.components)),
        )
        for plugin in plugins
    ]
    print_table(("plugin", "version", "entry point", "API", "status", "components"), rows, status=4)
    if problems(found):
        raise typer.Exit(1)
    typer.echo("\nNo problem found.")


def problems(found: Registry) -> int:
    """Print what is wrong, and return how many errors there are; a missing optional package is none."""
    plugins = found.plugins()
    failures = [failure for plugin in plugins for failure in plugin.failures]
    conflicts = found.conflicts()
    for failure in failures:
        typer.secho(f"\n{failure.message}", fg=typer.colors.RED)
        for line in failure.traceback.splitlines():
            typer.echo(f"    {line}")
    for conflict in conflicts:
        typer.secho(f"\n{conflict}", fg=typer.colors.RED)
    for item in found.components():
        if item.status == MISSING:
            typer.secho(f"\n{item.reason}", fg=typer.colors.YELLOW)
    unmatched = disabled_plugins() - {"*"} - {plugin.name for plugin in plugins}
    for name in sorted(unmatched):
        typer.secho(
            f"\nINVCORE_DISABLE_PLUGINS names {name}, which is not installed.", fg=typer.colors.YELLOW
        )
    return len(failures) + len(conflicts)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "is not installed"
