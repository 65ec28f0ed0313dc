"""``invcore reconstruct``: a raw file becomes an image and a report."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .._registry.registry import registry
from . import _complete
from ._output import (
    Device,
    Dicom,
    Folder,
    Format,
    Nifti,
    Quiet,
    ReaderOptions,
    Verbose,
    manner,
    options_from,
    print_result,
)


def reconstruct(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Raw data; the format is recognized.")],
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            metavar="FILE",
            help="A fully sampled raw file, or an image, to compare with.",
        ),
    ] = None,
    solver: Annotated[
        str | None,
        typer.Option(
            "--solver",
            metavar="NAME",
            help="Registered solver (`invcore list solver`); by default the reader's.",
            autocompletion=_complete.of_kind("solver"),
        ),
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(
            "--prior",
            metavar="NAME",
            help="Registered prior (`invcore list prior`); by default the reader's.",
            autocompletion=_complete.of_kind("prior"),
        ),
    ] = None,
    weight: Annotated[
        str | None,
        typer.Option(
            "--weight", metavar="VALUE", help="Regularization weight: a number, or auto (from the noise)."
        ),
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option("--max-steps", metavar="N", help="Stop after this many steps.")
    ] = None,
    rtol: Annotated[
        float | None,
        typer.Option(
            "--rtol",
            metavar="VALUE",
            help="Stop at this relative change of the image; by default the reader's.",
        ),
    ] = None,
    output: Folder = Path("invcore-out"),
    format: Format = None,
    option: ReaderOptions = None,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of whatever is random.")] = 0,
    nifti: Nifti = None,
    dicom: Dicom = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Reconstruct a raw file: image, pictures and report."""
    for kind, name in (("solver", solver), ("prior", prior), ("reader", format)):
        if name is not None:
            registry().find(kind, name)  # before torch is imported

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
            options=options_from(option),
            output=output,
            nifti=nifti,
            dicom=dicom,
            **manner(quiet, verbose),
        ),
        quiet,
    )


def _weight(text: str | None) -> Any:
    from .._errors import ParameterError

    try:
        return text if text in (None, "auto") else float(text)
    except ValueError:
        raise ParameterError(f"--weight must be a number or auto, got {text!r}") from None
