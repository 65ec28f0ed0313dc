"""``invcore info``: everything about one component, or about one plugin."""

import inspect
import os
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from .._errors import InvcoreError, MissingDependencyError, UnknownComponentError
from .._registry.descriptions import kinds, meanings
from .._registry.hints import unknown_message
from .._registry.loader import Plugin as Installed
from .._registry.loader import normalized
from .._registry.registry import AVAILABLE, MISSING, Registered, registry
from ..plugin import KINDS
from . import _complete
from ._output import Format, ReaderOptions, options_from, print_table
from ._parameters import options_of, parameter_lines, signature_of

Kind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="The kind, where several share the name.",
        autocompletion=_complete.kind,
    ),
]
Plugin = Annotated[
    str | None,
    typer.Option(
        "--plugin",
        metavar="DISTRIBUTION",
        help="Only this distribution, such as invcore-mri.",
        autocompletion=_complete.plugin,
    ),
]

_RULES = ("prox", "smooth")
"""Tags that a prior and a solver share if the one can be used by the other."""


def info(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE",
            help="A component such as mri.sense, a plugin such as mri, or a raw file.",
            autocompletion=_complete.component,
        ),
    ],
    kind: Kind = None,
    plugin: Plugin = None,
    format: Format = None,
    option: ReaderOptions = None,
) -> None:
    """Show what a component, a plugin or a raw file is.

    Of a raw file: the format, the metadata, the physics, what would be done by default, the options of the
    reader, and how long it takes.
    """
    if _is_file(name, kind, plugin, format):
        from ._file import show_file

        show_file(Path(name), format, options_from(option))
        return
    if kind is None and plugin is None and name in KINDS:
        found = registry().components(name)
    else:
        found = resolve(name, kind, plugin)
    if name.lower() not in {item.name for item in found}:
        for entry in registry().installed:
            if entry.name in {item.plugin for item in found} and name not in KINDS:
                typer.secho(f"plugin {entry.label}", bold=True)
                typer.echo(
                    f"  entry point  {entry.entry} = {entry.module}\n  plugin API   {entry.api_version}\n"
                )
        print_table(
            ("kind", "name", "status", "summary"),
            [(item.kind, item.name, item.status, item.summary) for item in found],
            status=2,
        )
        return
    for index, item in enumerate(found):
        if index:
            typer.echo()
        _show(item)


def _is_file(name: str, kind: str | None, plugin: str | None, format: str | None) -> bool:
    """True if a word names a file: it exists, or looks like a path, and is no component or plugin."""
    if kind or plugin or name in KINDS:
        return False
    if format or name.endswith(os.sep) or os.sep in name:
        return True
    return Path(name).exists() and not registry().components(name=name) and plugin_called(name) is None


def plugin_called(name: str) -> Installed | None:
    """Return the plugin of this distribution, ``invcore-mri``, or namespace, ``mri``."""
    named = (entry for entry in registry().installed if normalized(name) in (entry.name, entry.entry.lower()))
    return next(named, None)


def resolve(name: str, kind: str | None = None, plugin: str | None = None) -> tuple[Registered, ...]:
    """Return the components that a word on the command line means: those of a name, or of a plugin.

    A plugin is named by its distribution, ``invcore-mri``, or by its namespace, ``mri``.

    Raises
    ------
    UnknownComponentError
        If it is neither.
    """
    known = registry()
    with redirect_stdout(sys.stderr):  # what plugins print is no part of the answer
        if named := known.components(kind, None, plugin, name=name):
            return named
        if entry := plugin_called(name):
            return known.components(kind, None, entry.name)
        raise UnknownComponentError(unknown_message(kind, name, plugin, known.soon()))


def _show(item: Registered) -> None:
    typer.secho(f"{item.kind} {item.name}", bold=True)
    if item.summary:
        typer.echo(f"  {item.summary}")
    lines = [
        ("plugin", f"{item.plugin} {item.version}"),
        ("target", item.target),
        ("requires", ", ".join(item.requires)),
        ("tags", ", ".join(item.tags)),
        ("examples", item.examples),
    ]
    target: Any = None
    try:
        target = item.load()
        target = options_of(target) if item.kind == "reader" else target
        lines.append(("status", AVAILABLE))
    except InvcoreError as error:
        status = MISSING if isinstance(error, MissingDependencyError) else "failed"
        lines.append(("status", f"{status}: {error}"))
    if item.status == "conflict":
        lines.append(("conflict", item.reason))
    for label, value in lines:
        if value:
            typer.echo(f"  {label:<10} {value}")
    signature = signature_of(target)
    if signature:
        typer.echo("  options of read" if item.kind == "reader" else "  parameters")
        for line in parameter_lines(signature, meanings(target), kinds(target)):
            typer.echo(f"    {line}")
    for label, value in _used(item, signature):
        typer.echo(textwrap.fill(value, 98, initial_indent=f"  {label:<10} ", subsequent_indent=" " * 13))


def _used(item: Registered, signature: Mapping[str, inspect.Parameter]) -> Iterator[tuple[str, str]]:
    """Yield how a component is used: from Python, from the shell, and with what."""
    named = (p for p in signature.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
    required = [f"{p.name}=..." for p in named if p.default is p.empty]
    if item.kind == "reader":
        yield "Python", f'invcore.read("FILE", format="{item.name}")'
    else:
        yield "Python", f"invcore.{item.kind}({', '.join([repr(item.name), *required])})"
    fits = {"solver": "prior", "prior": "solver"}.get(item.kind)
    rules = set(item.tags) & set(_RULES)
    mates = (
        []
        if not (fits and rules)
        else [other.name for other in registry().components(fits) if rules & set(other.tags)]
    )
    shell = {
        "solver": f"invcore reconstruct FILE --solver {item.name}" + (" --prior NAME" if mates else ""),
        "prior": f"invcore reconstruct FILE --prior {item.name}",
        "reader": f"invcore reconstruct FILE --format {item.name}",
        "metric": f"invcore evaluate IMAGE REFERENCE --metric {item.name}",
        "dataset": f"invcore demo {item.namespace}" if "demo" in item.tags else "",
        "operator": f'invcore run problem.toml, with [operator] name = "{item.name}"',
        "noise": f'invcore run problem.toml, with [noise] name = "{item.name}"',
    }.get(item.kind)
    if shell:
        yield "shell", shell
    if mates:
        yield f"{fits}s", ", ".join(mates)
