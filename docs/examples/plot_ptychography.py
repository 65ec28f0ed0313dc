"""
Ptychography: object and lens from diffraction alone
====================================================

A focused X-ray beam steps over an object, in steps smaller than itself, and a detector far behind counts the
photons of each diffraction pattern. No lens makes an image, and no phase is measured; the overlap of the
steps tells both, the object and the beam. Here the scan is simulated; ``invcore reconstruct scan.cxi`` does
the same with a measured one.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import invcore
from invcore import Physics
from invcore.noises import PoissonNoise
from invcore_optics import Ptychography, aligned_ramp

# %%
# A scan
# ------
# A Siemens star that turns the phase by up to one radian and absorbs a little, under a beam with a curved
# phase. The positions follow Fermat's spiral, which no period of the object can hide from.

n, size, frames = 48, 128, 90
r = torch.linspace(-1, 1, n)
radius = torch.hypot(r[:, None], r)
beam = torch.polar(300 * torch.sigmoid((0.45 - radius) * 18), 7 * radius**2)[None]
turn = torch.arange(frames) * (3 - 5**0.5) * torch.pi
distance = 36 * ((torch.arange(frames) + 0.5) / frames).sqrt()
positions = (size - n) / 2 + distance[:, None] * torch.stack([turn.sin(), turn.cos()], -1)
c = torch.arange(size) - size / 2
star = torch.sigmoid(8 * torch.sin(12 * torch.atan2(c[:, None], c))) * (torch.hypot(c[:, None], c) < 44)
truth = torch.polar(1 - 0.1 * star, star)[None]

scan = Ptychography(probe=beam, positions=positions, shape=(size, size))
physics = Physics(scan, PoissonNoise())
patterns = physics(truth, generator=torch.Generator().manual_seed(0))
print(f"{patterns.shape[0]} patterns of {float(patterns.sum((1, 2)).mean()):.3g} photons")

_, axes = plt.subplots(1, 4, figsize=(9, 2.5), layout="constrained")
axes[0].imshow(truth[0].angle(), cmap="magma")
axes[0].plot(*(positions + n / 2).flip(-1).T, "w.", markersize=3)
axes[0].set_title("phase and positions", fontsize=9)
axes[1].imshow(beam[0].abs(), cmap="magma")
axes[1].set_title("beam", fontsize=9)
for ax, k in zip(axes[2:], (0, 60)):
    ax.imshow(patterns[k].log1p(), cmap="magma")
    ax.set_title(f"pattern {k}, log", fontsize=9)
for ax in axes:
    ax.set_axis_off()

# %%
# The lens unknown
# ----------------
# The engine starts from a beam that is too wide and flat, and from an object of nothing. What the data leave
# open, a factor and a linear phase, is removed before the comparison.

guess = torch.polar(200 * torch.sigmoid((0.6 - radius) * 6), 5 * radius**2)[None]
engine = invcore.solver("optics.pie", max_steps=60, rtol=0.0)
found = engine.solve(patterns, Physics(scan.bind(probe=guess), PoissonNoise()))
light = scan.field.illumination()
seen = (light > 0.1 * light.amax()).float()
image, _ = aligned_ramp(found.value, truth, seen)
print(f"error of the object {float((seen * (image - truth)).norm() / (seen * truth).norm()):.3f}")

# %%
# The positions too
# -----------------
# Motors err. Positions that are off by a pixel blur the image; with ``update`` they are estimated like the
# rest.

off = positions + 0.8 * torch.randn(frames, 2, generator=torch.Generator().manual_seed(1))
wrong = Physics(scan.bind(positions=off), PoissonNoise())
blurred = invcore.solver("optics.pie", max_steps=60, rtol=0.0).solve(patterns, wrong)
refining = invcore.solver(
    "optics.pie", update=("object", "probe", "positions"), positions_after=10, max_steps=120, rtol=0.0
)
refined = refining.solve(patterns, wrong)


def rms(places):
    """Of the distance from the true positions, whose mean the data do not tell."""
    apart = places - positions
    return float((apart - apart.mean(0)).square().sum(-1).mean().sqrt())


places = refined.physics.operator.positions
print(f"positions off by {rms(off):.2f} pixels, after refinement by {rms(places):.2f}")

_, axes = plt.subplots(1, 4, figsize=(9, 2.5), layout="constrained")
shown = (("beam unknown", found), ("positions wrong", blurred), ("positions refined", refined))
for ax, (title, solution) in zip(axes, shown):
    aligned, _ = aligned_ramp(solution.value, truth, seen)
    ax.imshow((seen * aligned)[0].angle(), cmap="magma", vmin=0, vmax=1)
    ax.set_title(title, fontsize=9)
axes[3].imshow(found.physics.operator.probe[0].abs(), cmap="magma")
axes[3].set_title("beam found", fontsize=9)
for ax in axes:
    ax.set_axis_off()

# %%
# A measured star
# ---------------
# Where the data of a real star lie (516 patterns of 128 × 128 pixels, ``INVCORE_DATA``), the same engine
# takes a fifth of them; all of them and more steps resolve the inner spokes.

measured = Path(os.environ.get("INVCORE_DATA", "")) / "optics" / "ptycho_siemens_star.npz.bz2"
if measured.is_file():
    acquisition = invcore.read(measured, every=5)
    star = invcore.solver("optics.pie", max_steps=8, rtol=0.0)(acquisition.y, acquisition.physics)
    _, ax = plt.subplots(figsize=(4, 4), layout="constrained")
    ax.imshow(acquisition.output.pictures(star)["Phase of the object"][0], cmap="magma")
    ax.set_axis_off()
