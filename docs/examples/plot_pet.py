"""
Emission tomography
===================

Counts between pairs of detectors, and the activity that explains them. Attenuation, the resolution of the
detectors, randoms and scatter are part of the model; time of flight says where along its line each pair came
from.
"""

import dataclasses

import matplotlib.pyplot as plt
import torch

import invcore
import invcore_tomography as ct

generator = torch.Generator().manual_seed(0)

# %%
# The scanner and the phantom
# ---------------------------
# One ring of 384 detectors, and a body of water with six hot spheres of 10 to 37 mm and an insert without
# activity.

grid = ct.Grid(shape=(80, 100), spacing=0.0035)
scanner = ct.Scanner(detectors=384, radius=0.42, bins=135)
phantom = ct.ImageQuality(ratio=4.0)
mu, shape = phantom.attenuation_image(grid), phantom.activity_image(grid)

pet = ct.PET(scanner, grid, resolution=0.0045)
pet = pet.bind(factors=pet.attenuation_factors(mu))

activity = shape * (1e6 / pet(shape).sum())  # a million true counts
background = torch.full(pet.range.shape, 0.4 * float(pet(activity).mean()))  # and 40 % randoms and scatter
physics = invcore.Physics(pet, invcore.noise("poisson", background=background))
counts = physics(activity, generator=generator)

_, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
for ax, image, name in zip(
    axes, (shape[0], mu[0], counts[0]), ("activity", "attenuation, 1/m", "counts of each line"), strict=True
):
    shown = ax.imshow(image, cmap="gray", aspect="auto" if name.startswith("counts") else "equal")
    ax.set_title(name)
    plt.colorbar(shown, ax=ax)

# %%
# Maximum likelihood
# ------------------
# Expectation maximization (MLEM) raises the likelihood in each step; ordered subsets (OSEM) make about as
# much progress per subset. Noise grows as the steps go on, so they are few, or a prior holds it down: here
# that of relative differences, with one weight for the whole image.

steps = 8
mlem = invcore.solver("richardson_lucy", max_steps=40, rtol=0.0)(counts, physics)
subsets = invcore.Physics(
    pet.subsets(steps),
    invcore.noise("poisson", background=pet.split(background, steps)),
)
osem = invcore.solver("osem", max_steps=5, rtol=0.0)(pet.split(counts, steps), subsets)
prior = invcore.prior("relative_difference", gamma=2.0)
regular = invcore.solver("richardson_lucy", prior=prior, weight=2e-3, max_steps=60, rtol=0.0)(counts, physics)


# %%
# Time of flight
# --------------
# With a resolution of 250 ps each count is placed within 4 cm along its line. The same number of counts
# carries more information.

timed = dataclasses.replace(
    pet, scanner=dataclasses.replace(scanner, tof=ct.TimeOfFlight(bins=15, width=250e-12, resolution=250e-12))
)
spread = torch.full(timed.range.shape, float(background.mean()) / 15)
timing = invcore.Physics(timed, invcore.noise("poisson", background=spread))
tof = invcore.solver("richardson_lucy", max_steps=12, rtol=0.0)(timing(activity, generator=generator), timing)

images = {"MLEM, 40": mlem, "OSEM, 5 x 8": osem, "relative differences": regular, "time of flight, 12": tof}
_, axes = plt.subplots(1, 4, figsize=(12, 3), layout="constrained")
for ax, (name, image) in zip(axes, images.items(), strict=True):
    ax.imshow(image[0], cmap="gray_r", vmin=0, vmax=float(activity.max()))
    ax.set_title(name)
    ax.axis("off")

# %%
# Recovery
# --------
# How much of the contrast of each sphere comes back, against its diameter, and how rough the background is.

true = dataclasses.replace(phantom, activity=float(activity.max()) / 4)
_, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
for name, image in images.items():
    found = true.recovery(image, grid)
    label = f"{name}: background varies by {100 * float(found.variability):.0f} %"
    ax.plot([1000 * d for d in found.diameters], found.contrast, "o-", label=label)
ax.axhline(1, color="gray", lw=0.8)
ax.set(xlabel="diameter of the sphere, mm", ylabel="contrast recovered")
ax.legend(fontsize=8)
