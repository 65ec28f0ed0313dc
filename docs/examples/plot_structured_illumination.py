"""
Fringes that double the resolution
==================================

A microscope passes no detail finer than half a wavelength over its numerical aperture. Light the sample with
fringes, and the fine details show up as coarse moiré. The fringes need not be known: nine images tell them,
and one linear problem gives the image with nearly twice the resolution.
"""

import math

import matplotlib.pyplot as plt
import torch

import invcore
from invcore.priors import TV, NonNegative
from invcore_optics import Objective, Patterns, StructuredIllumination

# %%
# Filaments under nine fringes
# ----------------------------
# Three orientations of three phases, seen by a water immersion objective of numerical aperture 1.2 on pixels
# of 65 nm. The image is sought on pixels of half that size. The brightest pixel gets 300 photons.

generator = torch.Generator().manual_seed(2)
n, objective, pixel = 96, Objective(520e-9, 1.2, index=1.33), 65e-9
cutoff = objective.cutoff * pixel

r = torch.arange(2 * n, dtype=torch.float64) - n
sample = torch.zeros(1, 2 * n, 2 * n, dtype=torch.float64)
for angle, offset, bend in torch.rand(14, 3, generator=generator, dtype=torch.float64):
    y, x = r[:, None], r[None, :]
    along, across = (
        y * math.sin(math.pi * angle) - x * math.cos(math.pi * angle),
        y * math.cos(math.pi * angle) + x * math.sin(math.pi * angle),
    )
    apart = across - (offset - 0.5) * 1.6 * n - (bend - 0.5) * along**2 / n
    sample += torch.exp(-(apart**2) / 2)

angles = 0.4 + math.pi / 3 * torch.arange(3, dtype=torch.float64)
truth = Patterns(
    wave_vectors=0.85 * cutoff * torch.stack((angles.sin(), angles.cos()), -1),
    phases=0.7 + 2 * math.pi / 3 * torch.arange(3, dtype=torch.float64).expand(3, 3),
    modulation=torch.full((3, 1), 0.8, dtype=torch.float64),
    misfit=torch.zeros(3),
)
microscope = StructuredIllumination.of(truth, objective=objective, pixel=pixel, shape=(n, n))
sample = sample * (300 / microscope(sample).max())
images = torch.poisson(microscope(sample).clamp(min=0), generator=generator)

# %%
# What were the fringes?
# ----------------------
# The wave vector is found to a few hundredths of a sample of the spectrum; the misfit says how much of the
# fringe's image is left unexplained, mostly noise here. Near 1 there would be no fringe.

estimate = invcore.transform("optics.sim_patterns", objective, pixel, evenly_spaced=True)
patterns = estimate(images)
off = n * (patterns.wave_vectors - truth.wave_vectors).norm(dim=-1)
for o in range(3):
    print(
        f"k = ({float(patterns.wave_vectors[o, 0]):+.4f}, {float(patterns.wave_vectors[o, 1]):+.4f}), "
        f"off by {float(off[o]):.3f} samples, contrast {float(patterns.modulation[o, 0]):.2f}, "
        f"misfit {float(patterns.misfit[o]):.2f}"
    )

# %%
# Reconstruct
# -----------
# Once by least squares with a small weight, which is the Wiener filter of this problem, and once with total
# variation and no negative light. The same with the mean of the images, a widefield image, for comparison.

found = StructuredIllumination.of(patterns, objective=objective, pixel=pixel, shape=(n, n))
dark = patterns._replace(modulation=0 * patterns.modulation)
widefield = StructuredIllumination.of(dark, objective=objective, pixel=pixel, shape=(n, n))

wiener = invcore.least_squares(found, images, shift=0.02, max_steps=40, rtol=1e-2)
wide = invcore.least_squares(widefield, images, shift=0.02, max_steps=40, rtol=1e-2)
noise = invcore.noise("gaussian", sigma=float(images.mean().sqrt()))
solver = invcore.solver("fista", prior=TV() + NonNegative(), weight=0.02, max_steps=40, rtol=1e-3)
smooth = solver(images, invcore.Physics(found, noise))

# %%
# See
# ---
# Two filaments that are one in the widefield image are two. Below, the spectra: the inner circle is the
# cutoff of the objective, the outer one that plus the fringe. The faint cross comes from the border, where
# the fringes do not close.

panels = {"widefield": wide, "least squares": wiener, "total variation": smooth, "sample": sample}
_, axes = plt.subplots(2, 4, figsize=(11, 5.6), layout="constrained")
turn = torch.linspace(0, 2 * math.pi, 200)
for (top, bottom), (title, image) in zip(axes.T, panels.items()):
    top.imshow(image[0, n // 2 : 3 * n // 2, n // 2 : 3 * n // 2].clamp(min=0), cmap="gray")
    top.set_title(title)
    spectrum = torch.fft.fftshift(torch.fft.fft2(image[0]).abs()).clamp(min=1).log()
    bottom.imshow(spectrum, extent=(-1, 1, 1, -1), cmap="magma", vmin=2)
    for radius in (cutoff, 1.85 * cutoff):
        bottom.plot(radius * turn.cos(), radius * turn.sin(), "w--", lw=0.8)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
