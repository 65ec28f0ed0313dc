"""
Single-photon lidar
===================

A laser pulse, a detector that marks the time of single photons, and a few photons for each pixel, some of
them from the sun. The photons are simulated from a scene without any grid in time, so nothing here is tested
on its own assumptions.
"""

import math

import matplotlib.pyplot as plt
import torch

import invcore_lidar as lidar

generator = torch.Generator().manual_seed(0)

# %%
# A scene and its photons
# -----------------------
# A still life from 2 to 3.5 m away, pulses of 400 ps, two signal photons per pixel on average and twice as
# many from the background. A photon's *tag* is its delay after the pulse, in ticks of 4 ps.

scene = lidar.still_life((80, 100))
impulse = lidar.ImpulseResponse.gaussian(fwhm=400e-12)
tags = lidar.simulate_tags(
    *scene,
    impulse=impulse,
    photons=2.0,
    signal_to_background=0.5,
    tick=4e-12,
    gate=(5e-9, 30e-9),
    generator=generator,
)
print(tags)

figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
lidar.plot_histogram(tags.histogram(50), ax=axes[0])
_ = lidar.plot_histogram(tags.histogram(50), pixel=(40, 46), ax=axes[1])

# %%
# Pixel by pixel
# --------------
# A log-matched filter is the maximum-likelihood depth of a single pixel. Where two photons of the background
# happen to come together, it goes there.

pixelwise = lidar.matched_filter(tags, impulse)
truth = scene.depth
_ = lidar.plot_surfaces(
    pixelwise.image(),
    truth=truth,
    threshold=-1.0,
    figure=plt.figure(figsize=(8.4, 3.4), layout="constrained"),
)

# %%
# All pixels together
# -------------------
# Neighbors mostly see the same surface. The likelihood of the photons stays as it is, and depth and
# reflectivity get a total variation each.

together = lidar.RegularizedDepth(max_steps=25).estimate(tags, impulse)
_ = lidar.plot_surfaces(
    together.image(),
    truth=truth,
    threshold=-1.0,
    figure=plt.figure(figsize=(8.4, 3.4), layout="constrained"),
)

# %%
# Errors, and what the estimate itself thinks of them:


def errors(estimate):
    """Root mean square and median error of the depth in centimeters."""
    e = (estimate.depth - truth).abs().nan_to_num(float(truth.std()))
    return 100 * float(e.square().mean().sqrt()), 100 * float(e.median())


for name, estimate in {"log-matched filter": pixelwise, "regularized": together}.items():
    rms, median = errors(estimate)
    print(f"{name:20} rms {rms:6.2f} cm, median {median:5.2f} cm")

figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
for ax, image, name in zip(
    axes,
    ((together.depth - truth).abs()[0], together.std[0]),
    ("error", "its standard deviation"),
    strict=True,
):
    shown = ax.imshow(100 * image, vmin=0, vmax=10, cmap="magma")
    ax.set_title(name)
    plt.colorbar(shown, ax=ax, label="cm")

# %%
# The impulse response from the photons
# -------------------------------------
# If it is not known, pairs of photons in the same pixel give its width, without any depth. Its shape is
# measured on a target with many photons: the pixels are aligned with each other by the response found so far,
# in turns. Here the laser has an exponential tail.

print(f"from pairs of photons: {1e12 * lidar.estimate_width(tags):.0f} ps")

tailed = lidar.ImpulseResponse.exponential_gaussian(sigma=120e-12, decay=300e-12)
target = lidar.simulate_tags(
    *lidar.still_life((24, 24)), impulse=tailed, photons=300.0, signal_to_background=5.0, generator=generator
)
measured = lidar.estimate_impulse(target)
print("a Gaussian with a tail, fitted:", lidar.fit_impulse(measured))
figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
lidar.plot_impulse(tailed, ax=axes[0]).set_title("true")
_ = lidar.plot_impulse(measured, ax=axes[1]).set_title("from the photons, its mode at 0")

# %%
# Behind a curtain
# ----------------
# Half-transparent things send back a part of the light: each pixel then has two surfaces, and two peaks.

scene = lidar.still_life((64, 80), surfaces=2)
tags = lidar.simulate_tags(
    *scene,
    impulse=impulse,
    photons=16.0,
    signal_to_background=2.0,
    tick=4e-12,
    gate=(5e-9, 30e-9),
    generator=generator,
)
both = lidar.RegularizedDepth(max_steps=15).estimate(tags, impulse, surfaces=2)
_ = lidar.plot_surfaces(
    both.image(), threshold=0.5, figure=plt.figure(figsize=(8.4, 6.4), layout="constrained")
)

# %%
# Depths become points, each with its reflectivity; `write_ply` writes them for any viewer.

cloud = lidar.point_cloud(both.depth, both.reflectivity, pitch=math.radians(25) / 80, threshold=0.5)
_ = lidar.plot_point_cloud(cloud, size=3, figure=plt.figure(figsize=(6, 5.4), layout="constrained"))
print(cloud)
