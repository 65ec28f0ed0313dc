"""
What metrics see
================

One photograph, damaged in four ways with the same mean squared error. Pixelwise metrics cannot distinguish
them; the others disagree, each in its own way.
"""

import matplotlib.pyplot as plt
import torch
from scipy.ndimage import gaussian_filter
from skimage import data

import invcore

x = torch.from_numpy(data.camera() / 255.0)[None]  # (channel, y, x)
generator = torch.Generator().manual_seed(0)
rms = 0.07

# %%
# Four ways to the same error
# ---------------------------
# Each strength is found by bisection, so that the root mean square error is the same.


def matched(damage, low, high):
    """The image ``damage(s)`` whose error is ``rms``."""
    for _ in range(40):
        middle = (low + high) / 2
        error = (damage(middle) - x).square().mean().sqrt()
        low, high = (middle, high) if error < rms else (low, middle)
    return damage(low)


noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
images = {
    "undamaged": x,
    "noise": matched(lambda s: x + s * noise, 0, 1),
    "blur": matched(lambda s: torch.from_numpy(gaussian_filter(x.numpy(), (0, s, s))), 0, 20),
    "contrast": matched(lambda s: x.mean() + (1 - s) * (x - x.mean()), 0, 1),
    "brightness": matched(lambda s: x + s, 0, 1),
}

# %%
# What each metric says
# ---------------------
# Metrics with a reference are called as ``metric(x_hat, x)``, those without as ``metric(x_hat)``.

compared = {
    "nrmse": {},
    "psnr": {"data_range": 1.0},
    "cosine": {},
    "ssim": {"data_range": 1.0},
    "ms_ssim": {"data_range": 1.0},
    "gmsd": {"data_range": 1.0},
    "haarpsi": {"data_range": 1.0},
}
alone = {
    "niqe": {"data_range": 1.0},
    "brisque": {"data_range": 1.0},
    "sharpness": {},
    "blur_strength": {},
}
print(f"{'':14}" + "".join(f"{label:>11}" for label in images) + "   better")
rows = {}
for name, options in (compared | alone).items():
    metric = invcore.metric(name, **options)
    values = [float(metric(v, x) if name in compared else metric(v)) for v in images.values()]
    rows[name] = dict(zip(images, values, strict=True))
    better = "higher" if metric.higher_is_better else "lower"
    print(f"{name:14}" + "".join(f"{v:11.4g}" for v in values) + f"   {better}")

# %%
# The pictures, with the structural similarity of each:

_, axes = plt.subplots(1, 5, figsize=(13, 3.3), layout="constrained")
for ax, (label, image) in zip(axes, images.items(), strict=True):
    ax.imshow(image[0, 60:260, 140:340], vmin=0, vmax=1, cmap="gray", interpolation="none")
    ax.set_title(f"{label}\nSSIM {rows['ssim'][label]:.2f}, NIQE {rows['niqe'][label]:.1f}")
    ax.axis("off")

# %%
# SSIM forgives contrast and brightness more than noise and blur, as a viewer would; GMSD hardly counts them
# at all. The metrics without a reference do not count them either: they judge noise and blur, each by its own
# statistics. The blur strength takes noise for sharpness, so a low value alone does not mean a good image.
#
# The photograph is `skimage.data.camera` (Lav Varshney, CC0).
