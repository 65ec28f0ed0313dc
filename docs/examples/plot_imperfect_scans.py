"""
Scans that are not ideal
========================

Real files have dead pixels, dropped views, saturated detectors, and angles in a unit that nobody wrote down.
What can be mended is mended, and said; what cannot be known is refused, with the option that settles it.
Here a good scan is damaged in four ways and read again.
"""

import tempfile
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
import torch

import invcore
import invcore_tomography as ct

generator = torch.Generator().manual_seed(0)
file = Path(tempfile.mkdtemp()) / "scan.h5"

# %%
# A scan as a beamline writes it
# ------------------------------
# Counts behind a phantom, ten frames of the open beam before the scan, ten after it, and ten without beam.

views, columns = 360, 192
geometry = ct.parallel(views, columns=columns)
phantom = ct.shepp_logan(radius=80.0)
truth = phantom.rasterize(geometry.grid, samples=4)
angles = np.arange(views) * 180 / views
transmission = torch.exp(-phantom.project(geometry)[0] / 20).numpy()


def counts(expected):
    """Poisson counts on top of the 100 that the detector reads without a beam."""
    drawn = torch.poisson(torch.as_tensor(expected), generator=generator)
    return (drawn.numpy() + 100).astype(np.uint16)


def write(data, flat, theta=angles, units="deg"):
    """Write a DXchange file."""
    with h5py.File(file, "w") as out:
        out["exchange/data"] = data[:, None]
        out["exchange/data_white"], out["exchange/data_dark"] = (
            flat[:, None],
            np.full_like(flat, 100)[:, None],
        )
        out["exchange/theta"] = theta
        if units:
            out["exchange/theta"].attrs["units"] = units
    return file


def image(path):
    """Filtered backprojection of the file, the notes of its reader, and the relative error."""
    scan = invcore.read(path, center=(columns - 1) / 2)
    x = scan.physics.operator.fbp(scan.y).reshape(truth.shape)
    error = float((x * 20 - truth).norm() / truth.norm())
    return x * 20, scan.metadata.get("notes", []), error


beam = np.full((20, columns), 2e4)
good = counts(2e4 * transmission), counts(beam)
x_good, _, error_good = image(write(*good))
print(f"nothing wrong: error {error_good:.3f}")

# %%
# Dead columns
# ------------
# Two columns of the detector count nothing. By the views alone they might be full absorption, but they count
# nothing in the open beam either. They are filled in from their neighbors.

dead = [frames.copy() for frames in good]
for frames in dead:
    frames[:, [60, 95]] = 100
x_dead, notes, error_dead = image(write(*dead))
print(f"error {error_dead:.3f}", *notes, sep="\n")

# %%
# Dropped views
# -------------
# The camera missed fifteen views in a row, twice. Filtered backprojection weighs each view by the angle that
# it stands for, so the image keeps its intensity.

kept = np.ones(views, dtype=bool)
kept[40:55] = kept[200:215] = False
x_dropped, notes, error_dropped = image(write(good[0][kept], good[1], angles[kept]))
inside = truth > 0.15
ratio = float(x_dropped[inside].mean() / truth[inside].mean())
print(f"error {error_dropped:.3f}, mean inside {ratio:.3f} of the truth")

# %%
# Angles without a unit
# ---------------------
# Radians where degrees are expected give a plausible sinogram and a wrong image. The table is recognized for
# what it cannot be, and refused until the unit is said.

try:
    invcore.read(write(*good, theta=np.deg2rad(angles), units=None))
except invcore.InvcoreError as error:
    print(error)
settled = invcore.read(file, center=(columns - 1) / 2, units="rad")
print("with units='rad':", settled.physics.operator.geometry)

# %%
# A saturated detector
# --------------------
# Too many samples that are no counts make a scan that only its owner can judge.

ruined = good[0].copy()
ruined[:, 80:110] = 65535
try:
    invcore.read(write(ruined, good[1]))
except invcore.InvcoreError as error:
    print(error)

# %%
# The images
# ----------

_, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
shown = {
    "truth": truth,
    f"good scan, error {error_good:.3f}": x_good,
    f"dead columns, error {error_dead:.3f}": x_dead,
    f"dropped views, error {error_dropped:.3f}": x_dropped,
}
for axis, (title, x) in zip(axes, shown.items()):
    axis.imshow(x.squeeze(), cmap="gray", vmin=0, vmax=0.5)
    axis.set(title=title)
    axis.axis("off")
plt.show()
