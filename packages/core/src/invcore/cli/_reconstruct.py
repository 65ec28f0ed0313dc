"""``invcore reconstruct``: a raw file becomes an image and a report."""

import ast
from pathlib import Path
from typing import Annotated, Any

import typer

from ._output import Folder, Nifti, Quiet, manner, print_result


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
        str | None, typer.Option("--weight", help="Regularization weight: a number, or auto.")
    ] = None,
    max_steps: Annotated[int | None, typer.Option("--max-steps", help="Step limit.")] = None,
    rtol: Annotated[float | None, typer.Option("--rtol", help="Tolerance of the solver (0.001).")] = None,
    output: Folder = Path("invcore-out"),
    format: Annotated[
        str | None, typer.Option("--format", help="Registered reader, such as mri.cfl.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="Option of the reader as NAME=VALUE; may be repeated."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option("--seed", help="Seed of whatever is random.")] = 0,
    nifti: Nifti = None,
    quiet: Quiet = False,
) -> None:
    """Reconstruct a raw file: image, pictures and report."""
    from ..run import reconstruct as carry_out

    print_result(
        carry_out(
            file,
            reference=reference,
            solver=solver,
            prior=prior,
            weight=_weight(weight),
            max_steps=max_steps,
            rtol=rtol,
            seed=seed,
            device=device,
            format=format,
            options=_options(option or []),
            output=output,
            nifti=nifti,
            **manner(quiet),
        )
    )


def _weight(text: str | None) -> Any:
    from .._errors import ParameterError

    try:
        return text if text in (None, "auto") else float(text)
    except ValueError:
        raise ParameterError(f"--weight must be a number or auto, got {text!r}") from None


def _options(options: list[str]) -> dict[str, Any]:
    """Return ``["slice=3", "whiten=false"]`` as keyword arguments."""
    from .._errors import ParameterError

    words = {"true": "True", "false": "False", "none": "None"}
    out: dict[str, Any] = {}
    for item in options:
        name, sign, text = item.partition("=")
        if not sign:
            raise ParameterError(f"--option takes NAME=VALUE, got {item!r}")
        try:
            out[name] = ast.literal_eval(words.get(text.lower(), text))
        except (ValueError, SyntaxError):
            out[name] = text
    return out
