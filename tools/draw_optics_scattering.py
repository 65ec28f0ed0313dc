"""Draw what the measured microwaves of a foam cylinder say of it, for the page on optics.

python tools/draw_optics_scattering.py DATA/optics/fresnel_foamdielext_3GHz.mat -o docs/_static/optics
"""

from __future__ import annotations

import argparse
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
from scipy.io import loadmat

import invcore


def main() -> None:
    """Reconstruct, compare with the known permittivity, and draw."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("file", type=Path)
    options.add_argument("-o", "--out", type=Path, required=True)
    options.add_argument("--result", type=Path, help="a reconstruction.h5 that is there already")
    given = options.parse_args()
    if given.result is not None:
        with h5py.File(given.result) as held:
            found = 1 + np.asarray(held["x"])[0, 0]
    else:
        acquisition = invcore.read(given.file)
        solver = dict(acquisition.solver)
        prior = invcore.prior(**solver.pop("prior"))
        solved = invcore.solver(solver.pop("name"), prior=prior, **solver)
        found = 1 + solved(acquisition.y, acquisition.physics)[0].numpy()
    truth = loadmat(given.file)["n"].T ** 2
    figure, axes = plt.subplots(1, 3, figsize=(8, 2.6), layout="constrained")
    for axis, image, title in zip(axes, (truth, found), ("known", "reconstructed")):
        drawn = axis.imshow(image, vmin=1, vmax=3.6, extent=(-75, 75, -75, 75), origin="lower")
        axis.set(title=f"permittivity, {title}", xlabel="x in mm")
    figure.colorbar(drawn, ax=axes[1])
    z = np.linspace(-75, 75, len(truth), endpoint=False)
    axes[2].plot(z, truth[:, 256], "k", lw=1, label="known")
    axes[2].plot(np.linspace(-75, 75, 48, endpoint=False), found[:, 24], label="reconstructed")
    axes[2].set(xlabel="z in mm", title="through the middle")
    axes[2].legend(fontsize=7)
    figure.savefig(given.out / "foam.png", dpi=90)
    coordinates = (np.arange(48) - 23.5) * 150 / 48
    y, x = np.meshgrid(coordinates, coordinates, indexing="ij")
    foam, plastic = np.hypot(y, x) < 30, np.hypot(y - 55.5, x) < 12
    print(f"foam {found[foam].mean():.2f} (1.45), plastic {found[plastic].mean():.2f} (3.30)")


if __name__ == "__main__":
    main()
