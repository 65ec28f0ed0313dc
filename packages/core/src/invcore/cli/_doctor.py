"""``invcore doctor``: is this installation sound, and if not, what is wrong in full."""

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Annotated

import typer

from .. import __version__
from .._errors import InvcoreError
from .._registry.hints import missing_imports, pip_for_all
from .._registry.lazy import heavy_imports
from .._registry.loader import Failure, Plugin, disabled_plugins
from .._registry.registry import MISSING, Registry
from ..plugin import API_VERSION, OLDEST_API_VERSION
from ._output import print_table

_VARIABLES = ("INVCORE_DISABLE_PLUGINS", "INVCORE_STRICT", "INVCORE_DATA")


def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Also import every component, its examples' module, and time it.")
    ] = False,
) -> None:
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
    count = problems(found) + (_deep(found) if deep else 0)
    if count:
        raise typer.Exit(1)
    more = "" if deep else " `invcore doctor --deep` imports every component too."
    typer.echo(f"\nNo problem found.{more}")


def problems(found: Registry) -> int:
    """Print what is wrong, and return how many errors there are; a missing optional package is none."""
    plugins = found.plugins()
    failures = [failure for plugin in plugins for failure in plugin.failures]
    conflicts = found.conflicts()
    for failure in failures:
        typer.secho(f"\n{failure.message}", fg=typer.colors.RED)
        for line in failure.traceback.splitlines():
            typer.echo(f"    {line}")
    shared = _shared_entries(plugins)
    for conflict in (*conflicts, *shared):
        typer.secho(f"\n{conflict}", fg=typer.colors.RED)
    lacking = [item for item in found.components() if item.status == MISSING]
    for item in lacking:
        typer.secho(f"\n{item.reason}", fg=typer.colors.YELLOW)
    if len(lacking) > 1:
        names = dict.fromkeys(name for item in lacking for name in missing_imports(item.requires))
        typer.secho(f"\nAll of these: {pip_for_all(list(names))}", fg=typer.colors.YELLOW)
    unmatched = disabled_plugins() - {"*"} - {plugin.name for plugin in plugins}
    for name in sorted(unmatched):
        typer.secho(
            f"\nINVCORE_DISABLE_PLUGINS names {name}, which is not installed.", fg=typer.colors.YELLOW
        )
    return len(failures) + len(conflicts) + len(shared)


def _shared_entries(plugins: Sequence[Plugin]) -> list[str]:
    """Return a message for each entry point name that several distributions use."""
    owners: dict[str, list[Plugin]] = {}
    for plugin in plugins:
        owners.setdefault(plugin.entry.lower(), []).append(plugin)
    return [
        f"{' and '.join(p.label for p in same)} use one entry point, {entry!r}, so their components share a "
        "namespace, and a new one of either may take a name of the other's: one of them must choose another."
        for entry, same in owners.items()
        if entry and len({p.name for p in same}) > 1
    ]


def _deep(found: Registry) -> int:
    """Import every component and the module of its examples; print and count what fails."""
    failed: dict[str, BaseException] = {}
    seconds: dict[str, float] = {}
    number = 0
    for item in found.components():
        if item.status == MISSING:
            continue
        number += 1
        begun = time.perf_counter()
        with redirect_stdout(sys.stderr):
            for load in (item.load, item.load_examples_function):
                try:
                    load()
                except InvcoreError as error:
                    failed.setdefault(str(error), error)
        seconds[item.plugin] = seconds.get(item.plugin, 0.0) + time.perf_counter() - begun
    for message, raised in failed.items():
        typer.secho(f"\n{message}", fg=typer.colors.RED)
        for line in Failure("", "", raised.__cause__).traceback.splitlines():
            typer.echo(f"    {line}")
    heavy = {
        p.module: heavy_imports(p.module) for p in found.plugins() if p.installed and p.status == "loaded"
    }
    for module, names in heavy.items():
        if names:
            typer.secho(
                f"\n{module} imports {', '.join(names)}, for everybody who lists components: keep it free of "
                "heavy packages.",
                fg=typer.colors.RED,
            )
    times = ", ".join(f"{name} {time:.1f} s" for name, time in seconds.items())
    typer.echo(f"\nImported {number} components: {times}.")
    return len(failed) + sum(map(bool, heavy.values()))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "is not installed"
