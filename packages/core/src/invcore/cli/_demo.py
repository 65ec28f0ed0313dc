"""``invcore demo``: simulate a raw file, then reconstruct it as a user would."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer


def demo(
    name: Annotated[str, typer.Argument(help="Which one, such as mri.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder for everything.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the simulation.")] = 0,
) -> None:
    """Simulate a scan, write it as a raw file, and reconstruct that."""
    from .._errors import ParameterError
    from .._registry.lookup import components, create
    from ..run._write import output_folder

    demos = {c.name.partition(".")[0]: c for c in components("dataset", tag="demo")}
    if name not in demos:
        have = ", ".join(sorted(demos)) or 'none; pip install "invcore[mri]" brings one'
        raise ParameterError(f"there is no demo {name!r}; installed: {have}")
    import torch

    scan = create("dataset", demos[name].name)
    with output_folder(output or Path(f"invcore-demo-{name}")) as folder:
        raw, reference = scan.write(folder, generator=torch.Generator().manual_seed(seed))
    typer.echo(f"wrote {raw} and, to compare with, {reference}", err=True)
    words = ["reconstruct", str(raw), "--reference", str(reference), "-o", str(folder)]
    typer.echo(f"$ {shlex.join(['invcore', *words])}", err=True)
    done = subprocess.run([sys.executable, "-m", "invcore.cli", *words], check=False)
    if done.returncode:
        raise typer.Exit(done.returncode)
