"""``invcore info``: everything about one component, or about one plugin."""

import inspect
from typing import Annotated, Any

import typer

from .._errors import InvcoreError, UnknownComponentError
from .._registry import hints as _hints
from .._registry import known as _known
from .._registry.loader import normalized
from .._registry.registry import AVAILABLE, Registered, registry
from ._output import print_table


def info(
    name: Annotated[
        str, typer.Argument(help="A component such as mri.sense, or a plugin such as invcore-mri.")
    ],
    kind: Annotated[
        str | None, typer.Option("--kind", help="The kind, where several share the name.")
    ] = None,
    plugin: Annotated[str | None, typer.Option("--plugin", help="The distribution, likewise.")] = None,
) -> None:
    """Show what a component is, where it comes from, its parameters, and whether it can be used."""
    found = resolve(name, kind, plugin)
    if name not in {item.name for item in found}:
        for entry in registry().plugins:
            if entry.name == normalized(name):
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

    Raises
    ------
    UnknownComponentError
        If it is neither.
    """
    known = registry()
    named = tuple(item for item in known.components(kind, None, plugin) if item.name == name)
    if named:
        return named
    if normalized(name) in {entry.name for entry in known.plugins}:
        return known.components(kind, None, name)
    if kind is not None:
        known.find(kind, name, plugin=plugin)  # raises, and says what is near
    names = {item.name for item in known.components()}
    for guess, first_party in _known.KNOWN:
        if first_party == name:
            known.find(guess, name)  # likewise: it says what to install
    hint = _hints.did_you_mean(name, sorted(names | {entry.name for entry in known.plugins}))
    said = f"no component and no plugin is called {name!r}.{hint} `invcore list` shows what is installed."
    raise UnknownComponentError("\n".join([said, *_hints.failures_for(None, name, known.plugins)]))


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
        # Fetched again: the attempt to import it may just have changed the status.
        status = next(
            other.status
            for other in registry().components(item.kind, None, item.plugin)
            if other.name == item.name
        )
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
