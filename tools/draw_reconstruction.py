"""Draw what `train_reconstruction.py` reached: pictures and curves for the documentation.

    python tools/draw_reconstruction.py TEST FOLDER -o docs/_static

FOLDER holds the folders ``mri_direct``, ``mri_unrolled``, ``ct_direct``, ``ct_unrolled`` of four trainings.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from train_reconstruction import METRICS, PROBLEMS, SIZE, baseline, pictures

from invcore_learning import evaluate

SHOWN = 2
"""The third test picture."""
WEIGHTS = {"mri": [4.0, 5.0, 6.0], "ct": [5.0, 6.0, 7.0]}
AVERAGED = 4
"""Records of the loss, each of 25 steps, that a point of the curves averages."""


def main() -> None:
    """Write ``learned-reconstruction.png`` and ``learned-reconstruction-curves.png``."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("test", type=Path)
    options.add_argument("folder", type=Path)
    options.add_argument("-o", "--out", type=Path, required=True)
    given = options.parse_args()
    test = pictures(given.test, SIZE)
    figure, axes = plt.subplots(2, 5, figsize=(12.5, 5.4), layout="constrained")
    curves, ax = plt.subplots(figsize=(7, 3), layout="constrained")
    for row, (kind, make) in zip(axes, PROBLEMS.items(), strict=True):
        physics = make()
        found = {
            how: torch.load(given.folder / f"{kind}_{how}" / "done.pt") for how in ("direct", "unrolled")
        }
        weight, psnr, tv = baseline(physics, test, "tv", WEIGHTS[kind])
        first = evaluate(direct(kind), physics, test, metrics=METRICS, seed=1)
        shown: dict[str, tuple[Any, float]] = {
            "picture": (test[SHOWN], float("nan")),
            "adjoint" if kind == "mri" else "FBP": (first.pictures["model"][SHOWN], mean(first)),
            f"TV, weight {weight:g}": (tv.pictures["model"][SHOWN], psnr),
            "U-Net": (found["direct"]["pictures"]["model"][SHOWN], score(given.folder / f"{kind}_direct")),
            "unrolled": (
                found["unrolled"]["pictures"]["model"][SHOWN],
                score(given.folder / f"{kind}_unrolled"),
            ),
        }
        for one, (title, (image, value)) in zip(row, shown.items(), strict=True):
            one.imshow(image[0], cmap="gray", vmin=0, vmax=1)
            one.set(xticks=[], yticks=[], title=title if value != value else f"{title}: {value:.2f} dB")
        row[0].set_ylabel(kind.upper())
        for how, done in found.items():
            steps = torch.tensor([float(record["step"]) for record in done["history"]])
            losses = torch.tensor([record["loss"] for record in done["history"]])
            average = losses.unfold(0, AVERAGED, 1).mean(-1)
            ax.plot(steps[AVERAGED - 1 :], average, label=f"{kind.upper()}, {how}")
    ax.set(xlabel="step", ylabel="mean squared error")
    ax.legend()
    figure.savefig(given.out / "learned-reconstruction.png", dpi=110)
    curves.savefig(given.out / "learned-reconstruction-curves.png", dpi=110)


def direct(kind: str) -> Any:
    """The inversion that the U-Net starts from."""
    return (lambda y, physics: physics.operator.H(y)) if kind == "mri" else (lambda y, p: p.operator.fbp(y))


def score(folder: Path) -> float:
    """The mean PSNR that a training reached."""
    return float(json.loads((folder / "scores.json").read_text())["psnr"])


def mean(found: Any) -> float:
    """Mean PSNR over the test pictures."""
    return float(found.metrics["psnr"].mean())


if __name__ == "__main__":
    main()
