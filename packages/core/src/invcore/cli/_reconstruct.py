"""``invcore reconstruct``: a raw file becomes an image and a report."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._output import manner, print_result


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
