"""Image from measurements, and its comparison with a reference."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .._errors import SolverError
from ..io import Acquisition
from ..metrics import NRMSE, PSNR, SSIM
from ..metrics._base import scored
from ._build import build
from ._record import Reconstruction
from ._verdict import fit_of


def solve(
    problem: Mapping[str, Any],
    acquisition: Acquisition,
    reference: Tensor | None,
    *,
    progress: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Reconstruction:
    """Solve a completed problem until ``stop`` says so, judge the fit, and compare with the reference."""
    solver = build("solver", problem["solver"], _generator(problem))
    begun = time.perf_counter()
    try:
        solution = solver.solve(
            acquisition.y, acquisition.physics, progress=progress, callback=lambda *_: stop()
        )
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise SolverError("there is not enough memory; take a part of the data, or another device") from error
    x = solution.value.cpu()
    result = Reconstruction(
        x=x,
        problem=dict(problem),
        acquisition=acquisition,
        solver=solver,
        solution=solution,
        seconds=time.perf_counter() - begun,
        pictures={
            **acquisition.output.pictures(x),
            **{caption: image.cpu() for caption, image in acquisition.output.estimated(solution).items()},
        },
        remarks=tuple(acquisition.output.remarks(x)),
        reference=reference,
    )
    result = dataclasses.replace(result, fit=fit_of(result))
    return _judged(result) if "metrics" in problem else _compared(result)


def _judged(result: Reconstruction) -> Reconstruction:
    """Apply the metrics that the problem names; those that need a reference only if there is one."""
    generator, values = _generator(result.problem), {}
    for name, options in result.problem["metrics"].items():
        metric = build("metric", {"name": name, **options}, generator)
        if result.reference is not None or getattr(metric, "no_reference", False):
            values[name] = scored(metric, result.x, result.reference)
    compared = None if result.reference is None else result.x
    return dataclasses.replace(result, metrics=values, compared=compared)


def _compared(result: Reconstruction) -> Reconstruction:
    """Compare the magnitude of the first picture, fitted if its scale is arbitrary, with the reference."""
    truth, dims = result.reference, result.spatial_dims
    if truth is None:
        return result
    main = next(iter(result.pictures.values()))
    # of several sets, the root sum of squares
    image = torch.linalg.vector_norm(main, dim=-dims - 1, keepdim=True)
    if result.acquisition.output.fit_scale:
        axes = tuple(range(-dims - 1, 0))
        fit = (image * truth).sum(axes, keepdim=True) / (image**2).sum(axes, keepdim=True).clamp_min(1e-38)
        image = fit * image
    metrics = {
        "nrmse": NRMSE(spatial_dims=dims)(image, truth),
        "psnr": PSNR(data_range="max", spatial_dims=dims)(image, truth),
        "ssim": SSIM(data_range="max", spatial_dims=dims)(image, truth),
    }
    return dataclasses.replace(result, compared=image, metrics=metrics)


def _generator(problem: Mapping[str, Any]) -> torch.Generator:
    return torch.Generator().manual_seed(problem["seed"])
