"""Draw the pictures of docs/explanation/mri.md that show what coils do.

    INVCORE_DATA=... python tools/draw_mri_coils.py [fold] [joint] [noise]

The brain is that of 8 coils in ``mri/brain8_full``; the errors printed are those on the page.
"""

import os
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

import invcore
from invcore_mri import (
    Grappa,
    MaskEquispaced,
    Nlinv,
    Sense,
    acquire,
    g_factor,
    pseudo_replicas,
    read_cfl,
    root_sum_of_squares,
    simulate,
)

DATA = Path(os.environ["INVCORE_DATA"]) / "mri"
OUT = Path(__file__).parents[1] / "docs/_static/mri"


def brain(name="brain8_full"):
    """Return measured k-space (coil, y, x)."""
    return read_cfl(DATA / name)[0].permute(2, 0, 1).contiguous()


def solved(acquisition):
    """Solve by conjugate gradient, and return the image that is shown, in the units of k-space."""
    x = invcore.solver("cg", weight=0.03, max_steps=30, rtol=0.0)(acquisition.y, acquisition.physics)
    return next(iter(acquisition.output.pictures(x).values())).abs()[0] / acquisition.metadata["scale"]


def fitted(image, truth):
    """Return the image times the best scalar, and its relative error."""
    image = image.abs() * (image.abs() * truth).sum() / image.abs().square().sum()
    return image, float((image - truth).norm() / truth.norm())


def show(axes, image, title, top, cmap="gray", bottom=0.0):
    """Draw an image."""
    drawn = axes.imshow(image, cmap=cmap, vmin=bottom, vmax=top)
    axes.set_title(title, fontsize=9)
    axes.axis("off")
    return drawn


def fold():
    """Draw half a field of view with one and two sets of maps."""
    kspace = brain()[:, :, ::2].contiguous()
    truth = root_sum_of_squares(kspace)[0]
    mask = MaskEquispaced(shape=tuple(truth.shape), acceleration=2.0, calib=24, axes=(-1,))()
    figure, axes = plt.subplots(1, 5, figsize=(9, 4.6), layout="constrained")
    top = float(truth.flatten().quantile(0.995))
    show(axes[0], truth, "all samples", top)
    for sets, image_axes, error_axes in ((1, axes[1], axes[2]), (None, axes[3], axes[4])):
        image, error = fitted(solved(acquire(kspace * mask, sets=sets)), truth)
        name = "one set" if sets == 1 else "two sets, from the data"
        print(f"fold, {name}: {error:.3f}")
        show(image_axes, image, f"{name}: {error:.3f}", top)
        show(error_axes, (image - truth).abs(), "error x 3", top / 3)
    figure.savefig(OUT / "fold.png", dpi=80)


def joint():
    """Draw the joint estimate of NLINV beside the alternatives."""
    kspace, truth = brain("brain8_und2x2"), root_sum_of_squares(brain())[0]
    found = Nlinv().estimate(kspace)
    images = {
        "all samples": truth,
        "NLINV, its own image": found.image[0],
        "NLINV maps and CG": solved(acquire(kspace, maps=found.maps, whiten=False)),
        "ESPIRiT maps and CG": solved(acquire(kspace)),
        "GRAPPA": root_sum_of_squares(Grappa()(kspace) + 1e-20)[0],
    }
    figure, axes = plt.subplots(2, 5, figsize=(10, 5.4), layout="constrained")
    top = float(truth.flatten().quantile(0.995))
    for place, (name, image) in zip(axes[0], images.items()):
        image, error = fitted(image, truth)
        print(f"joint, {name}: {error:.3f}")
        show(place, image, name if error < 1e-6 else f"{name}: {error:.3f}", top)
    for coil, place in enumerate(axes[1]):
        show(place, found.maps[coil].abs(), f"map of coil {coil}", 1.0, "viridis")
    figure.savefig(OUT / "joint.png", dpi=80)


def noise():
    """Draw g-factors by unfolding and by pseudo-replicas."""
    scan = simulate((64, 60), coils=8, sigma=0.0, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    figure, axes = plt.subplots(1, 4, figsize=(10, 2.8), layout="constrained")
    for (steps, exact_axes), replica_axes in zip((((2, 2), axes[0]), ((1, 3), axes[2])), axes[1::2]):
        mask = torch.zeros(64, 60)
        mask[:: steps[0], :: steps[1]] = 1
        physics = invcore.Physics(Sense(scan.maps, mask), invcore.noise("gaussian", sigma=0.1))
        y = physics.operator(scan.image)
        solver = invcore.solver("cg", weight=1e-6, max_steps=60, rtol=1e-5)
        measured = pseudo_replicas(solver, y, physics, draws=60, generator=generator)[0]
        measured = measured / (0.1 * (steps[0] * steps[1]) ** 0.5)
        exact = g_factor(scan.maps, steps)
        ratio = measured / exact
        print(f"noise, {steps}: ratio {float(ratio.mean()):.3f} +- {float(ratio.std()):.3f}")
        drawn = show(exact_axes, exact, f"g, every {steps[0]} x {steps[1]}: unfolding", 4.0, "inferno", 1.0)
        show(replica_axes, measured, "60 pseudo-replicas", 4.0, "inferno", 1.0)
    figure.colorbar(drawn, ax=axes[3], shrink=0.8)
    figure.savefig(OUT / "g-factor.png", dpi=80)


if __name__ == "__main__":
    for name in sys.argv[1:] or ("fold", "joint", "noise"):
        globals()[name]()
