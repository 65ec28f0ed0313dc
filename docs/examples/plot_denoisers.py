"""
What denoisers leave
====================

One photograph with white noise, as six classical denoisers leave it. Each is called as ``D(x, sigma)``.
"""

import matplotlib.pyplot as plt
import torch
from skimage import data

import invcore

x = torch.from_numpy(data.camera()[60:252, 140:332] / 255.0).float()[None]  # (channel, y, x)
sigma = 25 / 255
y = x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))

# %%
# The denoisers
# -------------

denoisers = {
    "tv": {},
    "tgv": {},
    "wavelet": {"spins": 4},
    "nlm": {},
    "epll": {},
    "bm3d": {},
}
psnr = invcore.metric("psnr", data_range=1.0)
images = {"clean": x, "noisy": y}
for name, options in denoisers.items():
    images[name] = invcore.denoiser(name, **options)(y, sigma)
for name, image in images.items():
    if name != "clean":
        print(f"{name:8} {float(psnr(image, x)):6.2f} dB")

# %%
# Crops
# -----
# Total variation turns the slopes of the face into plateaus, generalized total variation keeps them slopes;
# both leave specks. Wavelets leave ripples. The three that look at patches are the cleanest, and smear the
# hair.

_, axes = plt.subplots(2, 4, figsize=(11, 6), layout="constrained")
for ax, (name, image) in zip(axes.flat, images.items(), strict=True):
    ax.imshow(image[0, 20:120, 20:120], vmin=0, vmax=1, cmap="gray", interpolation="none")
    ax.set_title(name if name == "clean" else f"{name}, {float(psnr(image, x)):.2f} dB")
    ax.axis("off")
