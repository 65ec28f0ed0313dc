"""``invcore info FILE``: what a raw file is, and what `invcore reconstruct` would make of it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from .._registry.descriptions import kinds, meanings
from ._parameters import options_of, parameter_lines, signature_of


def show_file(path: Path, format: str | None, options: Mapping[str, Any]) -> None:
    """Print what was recognized, what it holds, and how it would be reconstructed."""
    from .._registry.registry import registry
    from ..io import read
    from ..io._read import check_exists, recognize
    from ..run._estimate import estimate
    from ..run._problem import complete, load, text_of

    check_exists(path)
    found = recognize(path)[0] if format is None else registry().find("reader", format)
    typer.secho(f"{path}", bold=True)
    typer.echo(f"  {found.name}: {found.summary} ({found.plugin} {found.version})")
    target: Any = options_of(found.load())
    try:
        acquisition = read(path, format=found.name, plugin=found.plugin, **options)
    except Exception:
        _show_options(found.name, target)
        raise
    physics = acquisition.physics
    typer.echo(f"  {acquisition.output.summary(acquisition)}")
    for sentence in acquisition.left_out:
        typer.secho(f"  not all of the file: {sentence}", fg=typer.colors.YELLOW)
    typer.secho("physics", bold=True)
    typer.echo(f"  operator {_short(physics.operator)}\n  noise    {_short(physics.noise)}")
    typer.echo(f"  image    {_space(physics.domain)}\n  data     {_space(physics.range)}")
    typer.secho("metadata", bold=True)
    for line in _facts(acquisition.metadata):
        typer.echo(f"  {line}")
    tables = complete(load({"data": {"file": path, "format": format, "options": dict(options)}}), acquisition)
    typer.secho("by default", bold=True)
    for line in (text_of({"solver": tables["solver"]}) or str(tables["solver"])).strip().splitlines():
        typer.echo(f"  {line}")
    _show_options(found.name, target)
    typer.secho("time", bold=True)
    expected = estimate(tables, acquisition)
    how = "it came to its end" if expected.counted else "extrapolated from the first ones"
    typer.echo(
        f"  about {_duration(expected.seconds)}: {expected.setup:.1f} s, then {expected.steps} steps of "
        f"{expected.step:.2g} s ({how})"
    )


def _show_options(name: str, target: Any) -> None:
    signature = signature_of(target)
    if signature:
        typer.secho(f"options of {name}, --option NAME=VALUE", bold=True)
        for line in parameter_lines(signature, meanings(target), kinds(target)):
            typer.echo(f"  {line}")


def _facts(metadata: Mapping[str, Any]) -> Iterator[str]:
    held = {key: value for key, value in metadata.items() if value not in ([], (), {}, "", None)}
    width = max((len(key) for key in held), default=0)
    for key, value in held.items():
        yield f"{key:<{width}}  {_short(value)}"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        value = ", ".join(f"{key}: {_short(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        value = ", ".join(_short(item) for item in value[:20])
    text = f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= 160 else f"{text[:150]} ..."


def _space(space: Any) -> str:
    shapes = [space] if hasattr(space, "shape") else list(space)
    return " + ".join(f"{tuple(s.shape)} {s.kind}" for s in shapes)


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
