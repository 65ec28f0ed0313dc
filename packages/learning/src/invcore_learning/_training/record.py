"""The files of a training: table, pictures, report."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from invcore.io import atomic_path, provenance, save_png
from invcore.report import write_report

from .evaluate import Evaluation


def write_log(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write the records as a table."""
    names = list(dict.fromkeys(name for row in history for name in row))
    with atomic_path(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, names)
        table.writeheader()
        table.writerows(history)


def write_picture(folder: Path, step: int, images: Tensor) -> None:
    """Write reconstructions of validation images."""
    (folder / "pictures").mkdir(exist_ok=True)
    path = folder / "pictures" / f"step-{step:07d}.png"
    save_png(path, images, spatial_dims=images.ndim - 2)


def send(loggers: Sequence[Any], row: Mapping[str, float], images: Tensor | None = None) -> None:
    """Give a record, and pictures where they take some, to lightning's loggers."""
    step = int(row["step"])
    for logger in loggers:
        logger.log_metrics({k: v for k, v in row.items() if k != "step"}, step)
        if images is None or images.is_complex() or images.ndim != 4 or images.shape[1] not in (1, 3):
            continue
        if hasattr(logger, "log_image"):  # Weights & Biases
            logger.log_image("validation", list(images.clamp(0, 1)), step=step)
        elif hasattr(logger.experiment, "add_images"):  # TensorBoard
            logger.experiment.add_images("validation", images.clamp(0, 1), step)


def write_training_report(
    path: Path,
    history: Sequence[Mapping[str, float]],
    evaluation: Evaluation,
    verdict: Sequence[str],
    configuration: Mapping[str, str],
    seed: int,
) -> None:
    """Write pictures, figures, curves, and how the model was made."""
    pictures = dict(evaluation.pictures)
    model, reference = pictures.pop("model"), pictures.pop("reference", None)
    figures = {}
    for name, values in evaluation.metrics.items():
        figures[name.upper()] = f"{float(values.mean()):.4g}"
        if name in evaluation.baseline:
            figures[f"{name.upper()}, baseline"] = f"{float(evaluation.baseline[name].mean()):.4g}"
    names = [n for n in dict.fromkeys(k for row in history for k in row) if n not in ("step", "epoch")]
    write_report(
        path,
        model,
        title="Training",
        caption="Model",
        subtitle=f"{int(history[-1]['step'])} steps" if history else "",
        spatial_dims=model.ndim - 2,
        reference=reference,
        others={"Baseline": pictures["baseline"]} if "baseline" in pictures else None,
        verdict=verdict,
        figures=figures,
        metrics={**evaluation.metrics, **{f"{k}, baseline": v for k, v in evaluation.baseline.items()}},
        metrics_note="On the validation images.",
        statistics={n: [row[n] for row in history if n in row] for n in names},
        metadata=configuration,
        provenance=provenance(seed=seed),
    )
