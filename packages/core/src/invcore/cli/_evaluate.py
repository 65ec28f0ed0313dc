"""``invcore evaluate``: metrics between two images, of one, or of a trained model."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .._registry.registry import registry
from . import _complete
from ._output import UNITS


def evaluate(
    image: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGE", help="What is judged: a result, a picture, .npy, NIfTI, FITS, or a model."
        ),
    ],
    reference: Annotated[
        Path | None,
        typer.Argument(
            metavar="[REFERENCE]",
            help="The truth, likewise; metrics without reference need none. For a model a problem file.",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Registered metric; may be repeated.",
            autocompletion=_complete.of_kind("metric"),
        ),
    ] = None,
    data_range: Annotated[
        float | None,
        typer.Option(
            "--data-range",
            metavar="VALUE",
            help="Range of the data; the largest value of the reference by default.",
        ),
    ] = None,
    fit: Annotated[bool, typer.Option("--fit", help="Fit a scalar first.")] = False,
    crop: Annotated[
        int, typer.Option("--crop", metavar="PIXELS", help="Pixels to leave out at each border.")
    ] = 0,
) -> None:
    """Compare an image with a reference, or judge a trained model.

    A model (.safetensors) is judged on the validation data of a problem file, by default that it was trained
    with.
    """
    if image.suffix == ".safetensors":
        _evaluate_model(image, reference, metric, data_range, fit, crop)
        return

    import torch

    from .._errors import ParameterError, ShapeError
    from .._registry.lookup import get
    from ..io import load_image
    from ..io._image import one_channel
    from ..metrics._base import scored
    from ..run._build import fields

    if reference is None and not metric:
        names = ", ".join(item.name for item in registry().components("metric", tag="no-reference"))
        raise ParameterError(
            f"give a second image to compare with, or a metric that needs none, --metric NAME: {names}"
        )
    x, truth = load_image(image), None if reference is None else load_image(reference)
    if truth is not None and x.shape != truth.shape:
        x, truth = one_channel(x), one_channel(truth)
    if truth is not None and x.shape != truth.shape:
        raise ShapeError(
            f"{image} is {tuple(x.shape)}, {reference} is {tuple(truth.shape)}: they must have one shape"
        )
    for name in metric or ["nrmse", "psnr", "ssim"]:
        takes, blind = fields("metric", name), getattr(get("metric", name), "no_reference", False)
        if truth is None and not blind:
            raise ParameterError(
                f"{name} compares with a reference: give a second image, or other metrics by --metric."
            )
        if blind and "data_range" in takes and data_range is None:
            raise ParameterError(
                f"{name} has no reference to take the range of the data from: give --data-range."
            )
        images = [v for v in (x, None if blind else truth) if v is not None]
        made = _metric(
            name,
            spatial_dims=3 if x.ndim > 4 else 2,
            data_range="max" if data_range is None else data_range,
            complex="magnitude" if any(v.is_complex() for v in images) else None,
            fit="scalar" if fit else "none",
            crop=crop,
        )
        value = scored(made, x, truth)
        values = " ".join(f"{v:.6g}" for v in torch.atleast_1d(value).flatten().tolist())
        typer.echo(f"{name:13} {values}{UNITS.get(name, '')}")


def _metric(name: str, **options: Any) -> Any:
    """A metric with those options that it takes."""
    from .._registry.lookup import create
    from ..run._build import fields

    takes = fields("metric", name)
    return create("metric", name, **{k: v for k, v in options.items() if k in takes})


def _evaluate_model(
    path: Path, problem: Path | None, names: list[str] | None, data_range: float | None, fit: bool, crop: int
) -> None:
    from ..run import evaluate as judged

    options = {
        "data_range": "max" if data_range is None else data_range,
        "complex": "magnitude",
        "fit": "scalar" if fit else "none",
        "crop": crop,
    }
    metrics = {name: _metric(name, **options) for name in names or ()}
    typer.echo(str(judged(path, problem, metrics=metrics or None)))
