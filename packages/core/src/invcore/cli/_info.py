"""``invcore info``: everything about one component, or about one plugin."""

import inspect
import sys
from contextlib import redirect_stdout
from typing import Annotated, Any

import typer

from .._errors import InvcoreError, MissingDependencyError, UnknownComponentError
from .._registry.hints import unknown_message
from .._registry.loader import normalized
from .._registry.registry import AVAILABLE, MISSING, Registered, registry
from ._output import print_table

Kind = Annotated[str | None, typer.Option("--kind", help="The kind, where several share the name.")]
Plugin = Annotated[str | None, typer.Option("--plugin", help="The distribution, likewise.")]


def info(
    name: Annotated[
        str, typer.Argument(help="A component such as mri.sense, or a plugin such as invcore-mri.")
    ],
    kind: Kind = None,
    plugin: Plugin = None,
) -> None:
    """Show what a component is, where it comes from, its parameters, and whether it can be used."""
    found = resolve(name, kind, plugin)
    if name.lower() not in {item.name for item in found}:
        for entry in registry().installed:
            if entry.name in {item.plugin for item in found}:
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
        for entry in known.installed:
            if entry.name == normalized(name) or entry.entry == name:
                return known.components(kind, None, entry.name)
        raise UnknownComponentError(unknown_message(kind, name, plugin, known.plugins()))


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
    parameters: list[str] = []
    try:
        target: Any = item.load()
        parameters = _parameters(_options(target) if item.kind == "reader" else target)
        lines.append(("status", AVAILABLE))
    except InvcoreError as error:
        status = MISSING if isinstance(error, MissingDependencyError) else "failed"
        lines.append(("status", f"{status}: {error}"))
    if item.status == "conflict":
        lines.append(("conflict", item.reason))
    for label, value in lines:
        if value:
            typer.echo(f"  {label:<10} {value}")
    if parameters:
        typer.echo("  options of read" if item.kind == "reader" else "  parameters")
        for line in parameters:
            typer.echo(f"    {line}")


def _options(reader: Any) -> Any:
    from ..io import Reader

    return reader.Options if reader.read is Reader.read else reader.read


def _parameters(target: object) -> list[str]:
    """Return one line for each parameter: name, annotation and default."""
    if not callable(target):
        return []
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return ["(the signature is not available)"]
    return [
        _written(parameter)
        for name, parameter in signature.parameters.items()
        if name not in ("self", "path")
    ]


def _written(parameter: inspect.Parameter) -> str:
    """``name: annotation = default``; annotations are text in modules that postpone them."""
    text = parameter.name
    if parameter.annotation is not parameter.empty:
        note = parameter.annotation
        text += f": {note if isinstance(note, str) else inspect.formatannotation(note)}"
    return text if parameter.default is parameter.empty else f"{text} = {parameter.default!r}"
