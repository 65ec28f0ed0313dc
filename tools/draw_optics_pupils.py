"""Draw the pictures of the pupils in docs/explanation/optics.md, from the measured files and from models.

Needs the folder of measured data in INVCORE_DATA. Writes small PNGs into docs/_static/optics.
"""

import os
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from PIL import Image

import invcore
from invcore_optics import Objective, PupilPSF, StratifiedMedium, plot_fit

DATA = Path(os.environ["INVCORE_DATA"]) / "optics"
TARGET = Path(__file__).parents[1] / "docs" / "_static" / "optics"


def save(figure, name, dpi=80):
    """Save with few colors, which keeps the file small."""
    figure.savefig(TARGET / name, dpi=dpi)
    Image.open(TARGET / name).convert("RGB").quantize(96).save(TARGET / name, optimize=True)


def models():
    """Axial sections of four point spread functions of an oil objective."""
    objective = Objective(520e-9, 1.3, index=1.515)
    z = 100e-9 * (torch.arange(81) - 40)
    water = StratifiedMedium(sample_index=1.33, depth=8e-6)
    kinds = {
        "scalar": {},
        "vectorial": {"model": "vectorial"},
        "8 μm deep in water": {"model": "vectorial", "medium": water},
        "60 nm of coma": {"model": "vectorial"},
    }
    figure, axes = plt.subplots(1, 4, figsize=(8.2, 3.0), layout="constrained")
    for ax, (name, options) in zip(axes, kinds.items()):
        A = PupilPSF(objective=objective, pixel=50e-9, shape=(1, 61), modes=(8,), depths=z, **options)
        h = A(torch.tensor([60e-9 if "coma" in name else 0.0]))[:, 0]
        ax.imshow(h.sqrt(), cmap="magma", extent=(-1.5, 1.5, 4, -4), aspect="auto")
        ax.set_title(name, fontsize=9)
        ax.set_xlabel("x in μm")
    axes[0].set_ylabel("z in μm")
    save(figure, "pupil-models.png")


def result(name, options):
    """What ``invcore reconstruct`` finds."""
    with tempfile.TemporaryDirectory() as folder:
        return invcore.reconstruct(DATA / name, options=options, output=Path(folder) / "out")


def bead():
    """The fit to the measured bead."""
    options = {"task": "pupil", "wavelength": 520e-9, "na": 0.85, "pixel": 130e-9, "spacing": 300e-9}
    found = result("bead_psf_wl520_z300_x130_na0.85.tif", options)
    estimate = found.acquisition.output.estimate(found.x)
    print(estimate.table())
    save(plot_fit(estimate), "pupil-fit.png", dpi=93)


def deconvolution():
    """The measured volume of beads and its deconvolution."""
    found = result("bead25_data.tif", {"psf": str(DATA / "bead25_kernel.tif")})
    output = found.acquisition.output
    volumes = {**output.beside(found.acquisition), **output.pictures(found.x)}
    shown = {
        f"{n}, maximum along {a}": v.amax(d) for n, v in volumes.items() for a, d in (("z", -3), ("y", -2))
    }
    figure, axes = plt.subplots(1, 4, figsize=(8.2, 2.4), layout="constrained")
    for ax, (name, picture) in zip(axes, shown.items()):
        ax.imshow(picture.squeeze().clamp_min(0).sqrt(), cmap="magma")
        ax.set_title(name.replace(", ", ",\n"), fontsize=8)
        ax.set_axis_off()
    save(figure, "deconvolved-beads.png")


if __name__ == "__main__":
    import sys

    TARGET.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or ("models", "bead", "deconvolution"):
        globals()[name]()
