"""Draw ``_static/quickstart.png``, the picture in the README, from what ``nox -s quickstart`` leaves behind.

Run as ``python docs/picture.py`` in the environment ``.nox/dev``.
"""

from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import torch

import invcore
from invcore.io import load_reconstruction

ROOT = Path(__file__).parents[1]
RUN = ROOT / "quickstart"


def fitted(image, truth):
    """Magnitude, scaled to the reference."""
    image = image.abs()
    return image * (image * truth).sum() / (image**2).sum()


def main():
    """Draw the four panels."""
    acquisition = invcore.read(RUN / "head.cfl")
    truth = invcore.reader("mri.cfl").reference(RUN / "head_full.cfl").abs()[0]
    zero_filled = fitted(acquisition.physics.operator.H(acquisition.y)[0], truth)
    result = fitted(load_reconstruction(RUN / "reconstruction.h5")[0][0, 0], truth)
    top = float(truth.quantile(0.999))
    panels = {
        "adjoint of the data": (zero_filled, top, "gray"),
        "reconstruction": (result, top, "gray"),
        "fully sampled": (truth, top, "gray"),
        "error, 5 times enlarged": (5 * (result - truth).abs(), top, "gray"),
    }
    rows, columns = truth.shape
    figure, axes = plt.subplots(1, len(panels), figsize=(12, 12 / len(panels) * rows / columns + 0.35))
    figure.subplots_adjust(0, 0, 1, 0.91, wspace=0.02)
    for ax, (title, (image, vmax, cmap)) in zip(axes, panels.items(), strict=True):
        ax.imshow(torch.as_tensor(image), vmin=0, vmax=vmax, cmap=cmap, interpolation="none")
        ax.set_title(title, fontsize=12)
        ax.axis("off")
    path = ROOT / "docs" / "_static" / "quickstart.png"
    figure.savefig(path, dpi=100, metadata={"Software": None})
    print(path)


if __name__ == "__main__":
    main()
