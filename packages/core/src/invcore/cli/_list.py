"""``invcore list``: what is installed, by name."""

import re
import sys
from contextlib import redirect_stdout
from typing import Annotated

import typer

from .._errors import ParameterError
from .._registry.hints import did_you_mean, install, meant
from .._registry.registry import AVAILABLE, Registered, registry
from ..plugin import KINDS
from . import _complete
from ._info import Plugin, plugin_called
from ._output import print_table


def list_components(
    word: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND|PLUGIN|WORD]",
            help="Only this kind (operator), this plugin (mri), or what has this word in name or summary.",
            autocompletion=_complete.kind,
        ),
    ] = None,
    tag: Annotated[
        str | None,
        typer.Option(
            "--tag", metavar="TAG", help="Only components with this tag.", autocompletion=_complete.tag
        ),
    ] = None,
    plugin: Plugin = None,
) -> None:
    """List the registered components."""
    found = registry()
    with redirect_stdout(sys.stderr):  # what plugins print is no part of the table
        components = _chosen(word, tag, plugin)
    if components:
        rows = [(item.kind, item.name, item.plugin, item.status, item.summary) for item in components]
        print_table(("kind", "name", "plugin", "status", "summary"), rows, status=3)
    else:
        typer.echo(_nothing(word, tag, plugin))
    unusable = sum(item.status != AVAILABLE for item in components)
    broken = {plugin.name for plugin in found.installed if plugin.failures}
    if unusable:
        typer.echo(f"{unusable} cannot be used as is: `invcore info NAME` says why.", err=True)
    if broken:
        typer.echo(f"Problems with {', '.join(sorted(broken))}: run `invcore doctor`.", err=True)


def _chosen(word: str | None, tag: str | None, plugin: str | None) -> tuple[Registered, ...]:
    """Return the components of a kind, of a plugin, or those that a word describes."""
    found = registry()
    if word is None or word in KINDS:
        return found.components(word, tag, plugin)
    if plugin is None and (entry := plugin_called(word)):
        return found.components(None, tag, entry.name)
    every, low = found.components(None, tag, plugin), word.lower()
    begins, alike = re.compile(rf"\b{re.escape(low)}"), meant(None, low, every)
    held = tuple(
        item
        for item in every
        if begins.search(f"{item.name} {item.summary} {' '.join(item.tags)}".lower())
        or (item.kind, item.name) in alike
    )
    if held and not did_you_mean(word, KINDS):
        return held
    if command := install(low, found.installed):
        raise ParameterError(f"{word!r} is not installed: {command}")
    near = did_you_mean(word, [*KINDS, *(entry.entry for entry in found.installed)])
    raise ParameterError(
        f"there is no kind {word!r}, no such plugin, and no component with this word in its name or summary."
        f"{near} The kinds are {', '.join(KINDS)}."
    )


def _nothing(kind: str | None, tag: str | None, plugin: str | None) -> str:
    """Say why a list is empty: a tag that nothing carries, or a kind that has no component yet."""
    what = kind if kind in KINDS else "component"
    if tag is None:
        return f"No {what} is registered{f' by {plugin}' if plugin else ': no installed package brings one'}."
    tags = sorted({tag for item in registry().components(kind, None, plugin) for tag in item.tags})
    there = f"Tags in use: {', '.join(tags)}." if tags else ""
    return f"No {what} has the tag {tag!r}.{did_you_mean(tag, tags)} {there}".rstrip()
