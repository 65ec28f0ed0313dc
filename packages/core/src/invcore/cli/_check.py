"""``invcore check``: the conformance kit on one component, or on all of a plugin."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from .._errors import ParameterError
from .._registry.registry import registry
from . import _complete
from ._info import Kind, Plugin, resolve
from ._output import STYLES

if TYPE_CHECKING:
    from ..testing import CheckResult


def check(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A plugin such as invcore-mri, or a component such as mri.sense.",
            autocompletion=_complete.component,
        ),
    ],
    kind: Kind = None,
    plugin: Plugin = None,
    select: Annotated[
        str, typer.Option("-k", metavar="WORDS", help="Only checks whose name holds one of these words.")
    ] = "",
    first: Annotated[bool, typer.Option("-x", help="Stop at the first failure.")] = False,
    limit: Annotated[
        float,
        typer.Option("--limit", metavar="SECONDS", help="A check that takes longer has failed; 0: no limit."),
    ] = 300.0,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Show the checks that passed too, with their times.")
    ] = False,
) -> None:
    """Run the conformance kit.

    The exit code is 1 if a check fails, or if there was nothing to check.
    """
    if limit < 0:
        raise ParameterError(f"--limit takes a number of seconds, or 0 for none, not {limit:g}")
    components = resolve(name, kind, plugin)
    words = select.split()

    from ..testing import check_component

    others = set(threading.enumerate())
    total: Counter[str] = Counter()
    for component in components:
        label = f"{component.kind} {component.name}"
        with _running(label) as started:
            results = check_component(
                component,
                select=lambda check: not words or any(word in check for word in words),
                limit=limit or None,
                started=started,
            )
            total += _report(label, _until_failure(results) if first else results, verbose)
        if first and total["failed"]:
            break
    checked = {component.plugin for component in components}
    broken = [f for plugin in registry().installed if plugin.name in checked for f in plugin.failures]
    for failure in broken:
        typer.secho(f"failed  {failure.message}", fg=typer.colors.RED)
    summary = ", ".join(f"{total[status]} {status}" for status in sorted(total)) or "no check was run"
    many = "s" if len(components) != 1 else ""
    typer.echo(f"{len(components)} component{many}: {summary}")
    code = 1 if total["failed"] or broken or not total["passed"] else 0
    if any(thread.name.startswith("check ") for thread in set(threading.enumerate()) - others):
        sys.stdout.flush()  # an overdue check still computes, and torch would abort a regular exit
        os._exit(code)
    raise typer.Exit(code)


@contextlib.contextmanager
def _running(label: str) -> Iterator[Callable[[str, str], None]]:
    """Show the running check and its time at the bottom of a terminal; elsewhere nothing."""
    if not sys.stdout.isatty():
        yield lambda example, name: None
        return
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    with Progress(TextColumn("{task.description}"), TimeElapsedColumn(), transient=True) as progress:
        task = progress.add_task(label, total=None)
        yield lambda example, name: progress.reset(
            task, description=f"{label}, {example or 'examples'}: {name}"
        )


def _until_failure(results: Iterable[CheckResult]) -> Iterator[CheckResult]:
    for result in results:
        yield result
        if result.status == "failed":
            return


def _report(label: str, results: Iterable[CheckResult], verbose: bool) -> Counter[str]:
    """Print the results of one component as they come, and count them by status."""
    counts: Counter[str] = Counter()
    seconds, bare = 0.0, False
    for result in results:
        counts[result.status] += 1
        bare = result.name == "target_can_be_imported"
        seconds += result.seconds
        if result.status == "failed" or verbose:
            example = f", example {result.example!r}" if result.example else ""
            text = f"{result.status:<8}{label}{example}: {result.name} ({result.seconds:.2f} s)"
            typer.secho(text, fg=STYLES.get(result.status) if result.status != "skipped" else None)
            for line in (result.message or "").splitlines():
                typer.echo(f"        {line}")
    if not counts:
        counts["skipped"] += 1
        typer.echo(f"skipped {label}: nothing to check")
    elif not counts["failed"] and not verbose:
        what = "imported; it has no examples" if bare else f"{sum(counts.values())} checks, {seconds:.1f} s"
        typer.secho(f"passed  {label} ({what})", fg=typer.colors.GREEN)
    return counts
