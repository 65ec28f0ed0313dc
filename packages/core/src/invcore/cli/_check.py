"""``invcore check``: the conformance kit on one component, or on all of a plugin."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from .._registry.registry import Registered, registry
from ._info import resolve
from ._output import STYLES

if TYPE_CHECKING:
    from ..testing import CheckResult


def check(
    name: Annotated[
        str, typer.Argument(help="A plugin such as invcore-mri, or a component such as mri.sense.")
    ],
    kind: Annotated[
        str | None, typer.Option("--kind", help="The kind, where several share the name.")
    ] = None,
    plugin: Annotated[str | None, typer.Option("--plugin", help="The distribution, likewise.")] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the checks that passed too.")
    ] = False,
) -> None:
    """Run the conformance kit; exit code 1 if a check fails, or if there was nothing to check."""
    components = resolve(name, kind, plugin)

    from ..testing import check_component

    total: Counter[str] = Counter()
    for component in components:
        counts = _report(component, check_component(component), verbose)
        total += counts
    broken = [
        failure
        for failure in registry().failures
        if failure.plugin in {component.plugin for component in components}
    ]
    for failure in broken:
        typer.secho(f"failed  {failure.message}", fg=typer.colors.RED)
    summary = ", ".join(f"{total[status]} {status}" for status in sorted(total)) or "no check was run"
    many = "s" if len(components) != 1 else ""
    typer.echo(f"{len(components)} component{many}: {summary}")
    if total["failed"] or broken or not total["passed"]:
        raise typer.Exit(1)


def _report(component: Registered, results: "Iterable[CheckResult]", verbose: bool) -> "Counter[str]":
    """Print the results of one component as they come, and count them by status."""
    label = f"{component.kind} {component.name}"
    counts: Counter[str] = Counter()
    for result in results:
        counts[result.status] += 1
        if result.status == "failed" or verbose:
            example = f", example {result.example!r}" if result.example else ""
            text = f"{result.status:<8}{label}{example}: {result.name}"
            typer.secho(text, fg=STYLES.get(result.status) if result.status != "skipped" else None)
            for line in (result.message or "").splitlines():
                typer.echo(f"        {line}")
    if not counts:
        counts["skipped"] += 1
        typer.echo(f"skipped {label}: it has no examples to check")
    elif not counts["failed"] and not verbose:
        typer.secho(f"passed  {label} ({sum(counts.values())} checks)", fg=typer.colors.GREEN)
    return counts
