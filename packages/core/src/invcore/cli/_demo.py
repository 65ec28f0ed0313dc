"""``invcore demo``: simulate a raw file, then reconstruct it as a user would."""

import shlex
import subprocess
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from .._errors import ParameterError
from .._registry.hints import did_you_mean, install, meant
from .._registry.registry import registry
from . import _complete
from ._output import Quiet

_BRING_ONE = 'pip install "invcore[mri]" brings one'


def demo(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="Which one; without a name, the list.", autocompletion=_complete.demo
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Folder for everything.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the simulation.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Simulate a scan, and reconstruct it."""
    with redirect_stdout(sys.stderr):  # what plugins print is no part of the answer
        demos = {c.name.partition(".")[0]: c for c in registry().components("dataset", tag="demo")}
    if name is None:
        for key, found in demos.items():
            typer.echo(f"invcore demo {key:<12} {found.summary}")
        if not demos:
            typer.echo(f"No demo is installed: {_BRING_ONE}.")
        return
    if name not in demos:
        raise ParameterError(_no_such_demo(name, demos))
    import torch

    from .._registry.lookup import create
    from ..run._folder import output_folder

    scan = create("dataset", demos[name].name)
    with output_folder(output or Path(f"invcore-demo-{name}")) as folder:
        raw, reference = scan.write(folder, generator=torch.Generator().manual_seed(seed))
    words = ["reconstruct", str(raw), "--reference", str(reference), "-o", str(folder)]
    if quiet:
        words.append("--quiet")
    else:
        typer.echo(f"wrote {raw} and, to compare with, {reference}", err=True)
        typer.echo(f"$ {shlex.join(['invcore', *words])}", err=True)
    done = subprocess.run([sys.executable, "-m", "invcore.cli", *words], check=False)
    if done.returncode:
        raise typer.Exit(done.returncode)


def _no_such_demo(name: str, demos: Iterable[str]) -> str:
    """Name the demos; ``ct`` is what the demo of tomography shows."""
    said = f"there is no demo {name!r}."
    namespaces = {pair[1].partition(".")[0] for pair in meant(None, name.lower(), ())} & set(demos)
    if namespaces:
        return f"{said} Did you mean `invcore demo {min(namespaces)}`?"
    if command := install(name.lower(), registry().installed):
        return f"{said} It comes with: {command}"
    return f"{said}{did_you_mean(name, demos)} Installed: {', '.join(demos) or f'none; {_BRING_ONE}'}."
