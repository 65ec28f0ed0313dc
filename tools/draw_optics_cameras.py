"""Draw the pictures of docs/explanation/optics.md that show computational cameras.

    INVCORE_DATA=... python tools/draw_optics_cameras.py [hand] [phantom] [snapshot]

Each is what ``invcore reconstruct FILE`` gives, with the options below.
"""

import os
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import invcore

DATA = Path(os.environ["INVCORE_DATA"]) / "optics"
OUT = Path(__file__).parents[1] / "docs/_static/optics"


def solved(file, **options):
    """Solve as the reader suggests."""
    found = invcore.read(DATA / file, **options)
    table = dict(found.solver)
    prior = dict(table.pop("prior"))
    solver = invcore.create(
        "solver", table.pop("name"), prior=invcore.create("prior", prior.pop("name"), **prior), **table
    )
    return found, solver.solve(found.y, found.physics)


def show(axes, image, title, part=0.998):
    """Draw an image from 0 to a quantile."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=float(image.flatten().quantile(part)))
    axes.set_title(title, fontsize=9)
    axes.axis("off")


def hand():
    """Draw the lensless camera's hand."""
    found, solution = solved("diffusercam_hand.tif")
    figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    show(axes[0], found.y[0], "what the sensor saw")
    show(axes[1], solution.value[0], "total variation")
    figure.savefig(OUT / "hand.png", dpi=80)


def phantom():
    """Draw the single-pixel camera's phantom."""
    found, solution = solved("singlepixel_jaszczak_haar.mat")
    figure, axes = plt.subplots(1, 2, figsize=(6, 3), layout="constrained")
    show(axes[0], found.physics.operator.H(found.y)[0], "inverse Haar transform")
    show(axes[1], solution.value[0], "total variation")
    figure.savefig(OUT / "jaszczak.png", dpi=80)


def snapshot():
    """Draw bands of the snapshot."""
    found, solution = solved("cassi_scene1.mat", rows="180:330", columns="170:506")
    figure, axes = plt.subplots(2, 4, figsize=(10, 2.6), layout="constrained")
    show(axes[0, 0], found.y[0], "snapshot")
    for ax, band in zip(axes.flat[1:], range(3, 28, 4)):
        show(ax, solution.value[band], f"band {band + 1}", 0.995)
    figure.savefig(OUT / "snapshot.png", dpi=80)
    star = solution.value[:, 100:150, 205:300].mean((1, 2))  # red
    print("share of the red star's light in the bands 1 to 20:", float(star[:20].sum() / star.sum()))
    print(solution.status, (found.physics.operator(solution.value) - found.y).norm() / found.y.norm())


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True, parents=True)
    for name in sys.argv[1:] or ("hand", "phantom", "snapshot"):
        globals()[name]()
