"""
Materials of a scene from its spectra
=====================================

A pixel of a spectral image shows a mixture of materials. With the spectra of the materials known, their
shares are a linear inverse problem whose unknown is not negative and adds up to one in each pixel.
"""

import matplotlib.pyplot as plt
import torch

import invcore
from invcore import Physics
from invcore.noises import GaussianNoise

# %%
# Three materials in 30 bands, whose spectra look alike, and smooth maps of their shares.

generator = torch.Generator().manual_seed(0)
band = torch.linspace(0, 1, 30)
spectra = torch.stack([0.2 + torch.exp(-((band - c) ** 2) / 0.08) for c in (0.35, 0.5, 0.65)], 1)
r = torch.linspace(-1, 1, 64)
fields = [
    torch.sin(3 * r[:, None] + 2 * r),
    torch.cos(4 * r[:, None] * r + 1),
    torch.sin(2 * r - 3 * r[:, None]),
]
shares = torch.softmax(5 * torch.stack(fields), 0)
A = invcore.operator("channel_matrix", spectra, domain=tuple(shares.shape))
physics = Physics(A, GaussianNoise(sigma=0.05))
y = physics(shares, generator=generator)

# %%
# Least squares knows nothing of shares; the projection onto the simplex does.

free = invcore.least_squares(A, y, shift=1e-6)
simplex = invcore.prior("simplex", dims=(-3,))
found = invcore.solver("fista", prior=simplex, max_steps=500, rtol=1e-5)(y, physics)
for name, x in (("least squares", free), ("simplex", found)):
    print(f"{name:14s} error {float((x - shares).norm() / shares.norm()):.3f}")

_, axes = plt.subplots(3, 3, figsize=(6, 6), layout="constrained")
for row, (name, x) in zip(axes, (("shares", shares), ("least squares", free), ("simplex", found))):
    for k, ax in enumerate(row):
        ax.imshow(x[k], cmap="viridis", vmin=0, vmax=1)
        ax.set_title(f"{name}, material {k + 1}", fontsize=8)
        ax.set_axis_off()
