"""
Cameras that compute
====================

A camera with a single pixel, and one without a lens: each measures something else than a picture, and the
picture is the solution of an inverse problem.
"""

import matplotlib.pyplot as plt
import torch

from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.priors import TV
from invcore.solvers import FISTA
from invcore_optics import Lensless, SinglePixel

generator = torch.Generator().manual_seed(0)


def show(*pictures):
    """Draw pictures by title."""
    _, axes = plt.subplots(1, len(pictures), figsize=(2.6 * len(pictures), 2.8), layout="constrained")
    for ax, (title, picture) in zip(axes, pictures):
        ax.imshow(picture, cmap="gray", vmin=0)
        ax.set_title(title, fontsize=9)
        ax.axis("off")


# %%
# A scene
# -------
# Spokes on a disc.

n = 64
place = (torch.arange(n) + 0.5) / n * 2 - 1
y, x = torch.meshgrid(place, place, indexing="ij")
disc = (torch.hypot(y, x) < 0.8).float()
scene = (disc * (0.3 + 0.6 * (torch.sin(8 * torch.atan2(y, x)) > 0)))[None]

# %%
# One pixel
# ---------
# A modulator shows Hadamard patterns, those with few blocks first, each as a pair of complementary ones, and
# a detector counts photons. A third of the patterns is enough. The photons of a pair tell its noise.

camera = SinglePixel(
    "hadamard", (1, n, n), order="cake_cutting", measurements=1400, detection="pairs", dwell=300.0
)
photons = torch.poisson(camera(scene).clamp_min(0), generator=generator)
data = camera.difference(photons)
sigma = float((photons.sum(-2) / (camera.dwell * camera.gain) ** 2).mean().sqrt())
signed = SinglePixel("hadamard", (1, n, n), order="cake_cutting", measurements=1400)
image = FISTA(prior=TV(rtol=1e-3), rtol=1e-4)(data, Physics(signed, GaussianNoise(sigma=sigma)))
show(("scene", scene[0]), ("inverse transform", signed.H(data)[0]), ("total variation", image[0]))

# %%
# No lens
# -------
# A diffuser throws the pattern of each point onto the sensor, which sees a part of the sum. Here it is
# a few bright lines, and the scene is as large as the sensor.

pattern = torch.zeros(n, n)
for angle in torch.rand(14, generator=generator) * 3.14159:
    offset = 0.9 * torch.rand(1, generator=generator) - 0.45
    line = torch.cos(angle) * y + torch.sin(angle) * x - offset
    pattern += torch.exp(-((line * n / 2) ** 2) / 2) * (torch.hypot(y, x) < 0.7)
lensless = Lensless(psf=(pattern / pattern.sum())[None], domain=(1, n, n))
physics = Physics(lensless, GaussianNoise(sigma=1e-3))
frame = physics(scene, generator=generator)
image = FISTA(prior=TV(rtol=1e-3), rtol=3e-4, max_steps=300)(frame, physics)
show(("pattern", pattern), ("frame", frame[0]), ("total variation", image[0]))
