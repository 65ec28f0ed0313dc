"""``invcore reconstruct``: a raw file becomes an image and a report."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def reconstruct(
    file: Annotated[Path, typer.Argument(help="Raw data; the format is recognized.")],
    reference: Annotated[
        Path | None,
        typer.Option("--reference", help="Fully sampled raw file, or a reconstruction.h5, to compare with."),
    ] = None,
    solver: Annotated[
        str | None, typer.Option("--solver", help="Registered solver, such as cg or fista.")
    ] = None,
    prior: Annotated[str | None, typer.Option("--prior", help="Registered prior, such as wavelet.")] = None,
    weight: Annotated[
        str, typer.Option("--weight", help="Regularization weight: a number, or auto.")
    ] = "auto",
    max_steps: Annotated[int | None, typer.Option("--max-steps", help="Step limit.")] = None,
    rtol: Annotated[float | None, typer.Option("--rtol", help="Tolerance of the solver (0.001).")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")] = Path(
        "invcore-out"
    ),
    format: Annotated[
        str | None, typer.Option("--format", help="Registered reader, such as mri.cfl.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="Option of the reader as NAME=VALUE; may be repeated."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option("--seed", help="Seed of whatever is random.")] = 0,
    nifti: Annotated[
        bool | None,
        typer.Option("--nifti/--no-nifti", help="Write magnitude.nii.gz (if nibabel is installed)."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no messages.")] = False,
) -> None:
    """Reconstruct a raw file: image, pictures and report."""
    from .._errors import ParameterError
    from .._reconstruct import reconstruct as run

    try:
        number: Any = "auto" if weight == "auto" else float(weight)
    except ValueError:
        raise ParameterError(f"--weight must be a number or auto, got {weight!r}") from None
    result = run(
        file,
        output=output,
        reference=reference,
        solver=solver,
        prior=prior,
        weight=number,
        max_steps=max_steps,
        rtol=rtol,
        seed=seed,
        device=device,
        format=format,
        options=parsed(option or []),
        nifti=nifti,
        command=typed(),
        progress=not quiet,
        say=(lambda message: None) if quiet else (lambda message: typer.echo(message, err=True)),
    )
    told(result)


def typed() -> str:
    """The command for the record, without the home folder, which names the user."""
    line, home = shlex.join(["invcore", *sys.argv[1:]]), str(Path.home())
    return line.replace(home + "/", "~/") if len(home) > 1 else line


def parsed(options: list[str]) -> dict[str, Any]:
    """``["slice=3", "whiten=false"]`` as keyword arguments."""
    from .._errors import ParameterError

    words = {"true": True, "false": False, "none": None}
    out: dict[str, Any] = {}
    for item in options:
        name, sign, text = item.partition("=")
        if not sign:
            raise ParameterError(f"--option takes NAME=VALUE, got {item!r}")
        value: Any = words.get(text.lower(), text)
        if value == text:
            for kind in (int, float):
                try:
                    value = kind(text)
                    break
                except ValueError:
                    continue
        out[name] = value
    return out


def told(result: Any) -> None:
    """Print the figures and where the files are."""
    for name, value in result.metrics.items():
        unit = " dB" if name == "psnr" else ""
        typer.echo(f"{name.upper():6} {float(value.mean()):.4f}{unit}")
    for path in result.files.values():
        typer.echo(str(path))
