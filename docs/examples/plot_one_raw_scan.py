"""
One raw scan, one image
=======================

From a raw multi-coil file to an image, in the steps that ``invcore reconstruct`` takes.
The scan is simulated, so that this page needs no data; with a file of yours, start at `Read it`_.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import invcore
import invcore_mri

generator = torch.Generator().manual_seed(0)

# %%
# Simulate a scan
# ---------------
# A head phantom is seen by eight coils. Every third phase-encoding line is measured, and all of them in a
# narrow band around the center, with noise.

shape = (160, 160)
draw = invcore_mri.MaskEquispaced(shape=shape, acceleration=3.0, calib=20)
mask = draw(generator=generator)
scan = invcore_mri.simulate(shape, mask=mask, sigma=0.02, generator=generator)

folder = Path(tempfile.mkdtemp())
kspace = scan.kspace.movedim(0, -1)[:, :, None]  # BART's axes: space first, then coils
invcore_mri.write_cfl(folder / "scan.cfl", kspace)

# %%
# Read it
# -------
# The format is recognized from the files. The reader finds the mask, brings the data to units of the noise,
# and calibrates coil maps from the fully sampled center (ESPIRiT).

acq = invcore.read(folder / "scan.cfl")
print(acq.physics.operator)
print("acceleration", round(acq.metadata["acceleration"], 2))
print("noise level", round(acq.metadata["sigma"], 4))

# %%
# The calibrated sensitivities of the first four coils:


def show(images, titles, **options):
    """Draw magnitudes side by side."""
    size = (2.6 * len(images), 2.9)
    _, axes = plt.subplots(1, len(images), figsize=size, layout="constrained")
    for ax, image, title in zip(axes, images, titles, strict=True):
        ax.imshow(image.abs(), cmap="gray", **options)
        ax.set_title(title)
        ax.axis("off")


maps = acq.physics.operator.maps
show(list(maps[:4]), [f"coil {c}" for c in range(4)], vmin=0, vmax=1)

# %%
# Reconstruct
# -----------
# The adjoint alone leaves the aliasing in. CG-SENSE solves the least-squares problem, and FISTA with a
# wavelet prior also suppresses the noise. Step sizes and the weight of the prior follow from the operator's
# norm and the noise level.

zero_filled = acq.physics.operator.H(acq.y)
sense = invcore.solver("cg")(acq.y, acq.physics)

fista = invcore.solver("fista", prior=invcore.prior("wavelet"), rtol=1e-3)
solution = fista.solve(acq.y, acq.physics)
print(solution)

# %%
# Compare
# -------
# The data are in units of the noise, so the truth is brought to the same scale first.

truth = (scan.image * acq.metadata["scale"]).abs()
nrmse = invcore.metric("nrmse")
images = {
    "zero-filled": zero_filled.abs(),
    "CG-SENSE": sense.abs(),
    "FISTA, wavelets": solution.value.abs(),
}
titles = [f"{name}\nNRMSE {nrmse(image, truth).item():.3f}" for name, image in images.items()]
show([image[0] for image in (*images.values(), truth)], [*titles, "truth"], vmin=0, vmax=truth.max())

# %%
# The error of each, ten times enlarged:

errors = [10 * (image - truth)[0] for image in images.values()]
show(errors, list(images), vmin=0, vmax=truth.max())
