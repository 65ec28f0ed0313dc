"""``invcore evaluate``: metrics between two images."""

from pathlib import Path
from typing import Annotated, Any

import typer


def evaluate(
    image: Annotated[Path, typer.Argument(help="What is judged: a result (.h5), .png or .npy.")],
    reference: Annotated[Path, typer.Argument(help="The truth, likewise.")],
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Registered metric; may be repeated.")
    ] = None,
    data_range: Annotated[
        float | None,
        typer.Option(
            "--data-range", help="Range of the data; the largest value of the reference by default."
        ),
    ] = None,
    fit: Annotated[bool, typer.Option("--fit", help="Fit a scalar first.")] = False,
) -> None:
    """Compare an image with a reference."""
    import torch

    from .._errors import ShapeError
    from .._lookup import create, get
    from .._problem_file import load_image
    from .._reconstruct import _fields

    x, truth = load_image(image), load_image(reference)
    if x.shape != truth.shape:
        raise ShapeError(
            f"{image} is {tuple(x.shape)}, {reference} is {tuple(truth.shape)}: they must have one shape"
        )
    for name in metric or ["nrmse", "psnr", "ssim"]:
        takes = _fields(get("metric", name))
        options: dict[str, Any] = {
            "spatial_dims": 3 if x.ndim > 4 else 2,
            "data_range": "max" if data_range is None else data_range,
            "complex": "magnitude" if x.is_complex() or truth.is_complex() else None,
            "fit": "scalar" if fit else "none",
        }
        value = create("metric", name, **{k: v for k, v in options.items() if k in takes})(x, truth)
        typer.echo(f"{name:8} " + " ".join(f"{v:.6g}" for v in torch.atleast_1d(value).flatten().tolist()))
