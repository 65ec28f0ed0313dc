"""
What the best denoiser does
===========================

The denoiser with the least mean squared error is the conditional mean of the clean image. It is known in
closed form for some densities, and shows what a perfect network would do: one that has learned the law of its
images, and one that has learned its images by heart.
"""

import matplotlib.pyplot as plt
import torch

import invcore
from invcore.datasets import dead_leaves
from invcore.priors import GaussianMixture


def patches(count, seed):
    """Pieces of 12 x 12 pixels from images of discs that hide each other."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.stack([dead_leaves((144, 144), r_max=48.0, generator=generator) for _ in range(count)])
    return images.unfold(2, 12, 12).unfold(3, 12, 12).permute(0, 2, 3, 1, 4, 5).reshape(-1, 1, 12, 12)


seen, new = patches(24, seed=0), patches(2, seed=1)
print(len(seen), "images to learn from,", len(new), "to try")

# %%
# Three densities
# ---------------
# All are made from the same images: their mean and covariance; a mixture of ten Gaussians, fitted to them;
# and the images themselves, each as likely as the others.

vectors = seen.flatten(1)
fitted = GaussianMixture.fit(vectors, 10, floor=1e-3)
denoisers = {
    "gaussian": invcore.denoiser("gaussian", mean=seen.mean(0), covariance=vectors.T.cov()),
    "gaussian_mixture": invcore.denoiser(
        "gaussian_mixture",
        weights=fitted.weights,
        means=fitted.means.view(-1, 1, 12, 12),
        covariances=fitted.covariances,
    ),
    "empirical": invcore.denoiser("empirical", seen),
}

# %%
# On new images
# -------------
# The mean squared error in decibels below that of the noise. In much noise all three know the same: an image
# is about its mean. In little noise the finite set gives one of its own images, whatever it sees.

sigmas = (1.0, 0.5, 0.2, 0.1, 0.05)
print(f"{'sigma':18}" + "".join(f"{s:8g}" for s in sigmas))
for name, D in denoisers.items():
    gains = []
    for sigma in sigmas:
        noise = torch.randn(new.shape, generator=torch.Generator().manual_seed(2))
        error = (D(new + sigma * noise, sigma) - new).square().mean()
        gains.append(10 * torch.log10(sigma**2 / error))
    print(f"{name:18}" + "".join(f"{float(g):8.1f}" for g in gains))

# %%
# One of them beside an image of the set, which the finite set recognizes.

shown = (0.5, 0.2, 0.05)
contrast = new.flatten(1).std(1).argsort()
_, axes = plt.subplots(4, 8, figsize=(11, 6.2), layout="constrained")
for offset, (title, x) in enumerate(
    {"a new image": new[contrast[-20]], "an image of the set": seen[700]}.items()
):
    block = axes[:, 4 * offset : 4 * offset + 4]
    columns = {title: [x, None, None, None]}
    for sigma in shown:
        noisy = x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
        columns[f"σ = {sigma:g}"] = [noisy, *(D(noisy, sigma) for D in denoisers.values())]
    for column, (heading, images) in zip(block.T, columns.items(), strict=True):
        column[0].set_title(heading)
        for ax, image in zip(column, images, strict=True):
            ax.set(xticks=[], yticks=[])
            if image is None:
                ax.axis("off")
            else:
                ax.imshow(image[0], vmin=0, vmax=1, cmap="gray", interpolation="none")
    for ax, name in zip(block[:, 1], ("noisy", *denoisers), strict=True):
        ax.set_ylabel(name)

# %%
# How well can anybody do without a prior?
# ----------------------------------------
# The Cramér–Rao bound is the least standard deviation that an unbiased estimate of each pixel can have. It
# needs the physics and an image, and no data. Here photons are counted behind a blur: bright regions are the
# more uncertain, as their counts are; the border is less so, as fewer neighbors mix into its pixels. Undoing
# even this small blur without a prior leaves less than a third of the signal-to-noise ratio of the counts.

image = 5 + 195 * dead_leaves((40, 40), r_min=3.0, generator=torch.Generator().manual_seed(5))
t = torch.arange(-2, 3)
kernel = torch.exp(-(t[:, None] ** 2 + t**2) / (2 * 0.6**2))[None]
blur = invcore.operator("convolution", kernel / kernel.sum(), domain=(1, 40, 40), boundary="zero")
physics = invcore.Physics(blur, invcore.noise("poisson"))
bound = invcore.cramer_rao(physics, image).sqrt()
error, kept = float((bound / image).median()), float((image.sqrt() / bound).median())
print(f"median error at least {error:.0%}; {kept:.2f} of the signal-to-noise ratio is left")

_, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
counts = physics(image, generator=torch.Generator().manual_seed(6))
panels = {"mean counts without blur": image, "counts": counts, "least standard deviation": bound}
for ax, (title, panel) in zip(axes, panels.items(), strict=True):
    drawn = ax.imshow(panel[0], vmin=0, vmax=float(panel.quantile(0.99)), interpolation="none")
    ax.set_title(title)
    ax.set(xticks=[], yticks=[])
    plt.colorbar(drawn, ax=ax, shrink=0.8)
