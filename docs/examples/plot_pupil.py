"""
Aberrations of a microscope from a bead
=======================================

A bead smaller than the resolution, imaged in a few planes, shows what is wrong with a microscope. Here the
bead is simulated, so that the truth is known; ``invcore reconstruct bead.tif --option task=pupil`` does the
same with a measured stack.
"""

import matplotlib.pyplot as plt
import torch

from invcore_optics import BeadStack, Objective, PupilPSF, fit_pupil, plot_fit, zernike_name

# %%
# A microscope with aberrations
# -----------------------------
# The wavefront error is given by Zernike coefficients in meters. Tilts (modes 2 and 3) are where the bead is.

objective = Objective(wavelength=520e-9, na=0.85)
truth = {6: -15e-9, 8: 25e-9, 11: 35e-9, 22: -10e-9}
depths = 500e-9 * torch.arange(-3.0, 4)
pupil = PupilPSF(objective=objective, pixel=130e-9, shape=(43, 43), modes=(2, 3, *truth), depths=depths)
bead = BeadStack(pupil)
x = bead.assemble(
    torch.tensor([20e-9, -10e-9, *truth.values()]), depth=80e-9, width=0.6, photons=5e4, background=10.0
)
counts = torch.poisson(bead(x), torch.Generator().manual_seed(0))

figure, axes = plt.subplots(1, 7, figsize=(9, 1.7), layout="constrained")
for ax, plane, z in zip(axes, counts, depths):
    ax.imshow(plane.sqrt(), cmap="magma")
    ax.set_title(f"{1e6 * z:.1f} μm", fontsize=8)
    ax.set_axis_off()

# %%
# The fit
# -------
# Only the optics are given. More modes are fitted than there are in the truth.

modes = (5, 6, 7, 8, 9, 10, 11, 22)
found = fit_pupil(counts, objective, pixel=130e-9, spacing=500e-9, modes=modes, window=37)
print(found.table())

# %%
# Each coefficient lies within a few standard errors of the truth:

for j, c, error in zip(found.modes, found.coefficients, found.errors):
    off = (float(c) - truth.get(j, 0.0)) / float(error)
    print(f"{zernike_name(j):22s} {1e9 * float(c):6.1f} nm, {off:+.1f} errors from the truth")

_ = plot_fit(found, figure=plt.figure(figsize=(9, 7), layout="constrained"))

# %%
# What it is for
# --------------
# The point spread function without the size of the bead, on any grid: the kernel of a deconvolution.

h = found.psf(shape=(33, 33), depths=200e-9 * torch.arange(-8.0, 9))
figure, axes = plt.subplots(1, 2, figsize=(6, 2.6), layout="constrained")
axes[0].imshow(h[8].sqrt(), cmap="magma")
axes[0].set_title("in focus")
axes[1].imshow(h[:, 16].sqrt(), cmap="magma", aspect=200 / 130)
_ = axes[1].set_title("along z")
