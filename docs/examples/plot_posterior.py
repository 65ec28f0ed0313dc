"""
Drawing from the posterior
==========================

A reconstruction is one image; the data leave many. A sampler draws them, so that one sees what is certain in
them and what is not. First on a problem whose posterior is known, to see what each method is worth; then on
pixels that are missing.
"""

import matplotlib.pyplot as plt
import torch

import invcore
from invcore import Physics, Space
from invcore.metrics import sliced_wasserstein
from invcore.noises import GaussianNoise
from invcore.operators import Mask

# %%
# A posterior that is known
# -------------------------
# Images of two pixels, from a mixture of three Gaussians. The first pixel is measured, with noise. Many
# images of the prior, drawn again with their likelihood as weight, are exact draws from the posterior: in two
# dimensions that is possible.

weights = torch.tensor([0.4, 0.35, 0.25])
means = torch.tensor([[-1.0, -1.5], [1.2, 1.0], [0.3, -0.2]])
covariances = torch.tensor([[[0.25, c], [c, 0.25]] for c in (0.2, -0.15, 0.0)])
D = invcore.denoiser(
    "gaussian_mixture", weights=weights, means=means.view(3, 1, 1, 2), covariances=covariances
)
physics = Physics(Mask(torch.tensor([[[1.0, 0.0]]]), Space((1, 1, 2))), GaussianNoise(sigma=0.4))
y = torch.tensor([[[0.1, 0.0]]])

g = torch.Generator().manual_seed(0)
which = torch.multinomial(weights, 100_000, replacement=True, generator=g)
factors = torch.linalg.cholesky(covariances)
prior = means[which] + (factors[which] @ torch.randn(100_000, 2, 1, generator=g))[..., 0]
likelihood = torch.exp(-((prior[:, 0] - 0.1) ** 2) / (2 * 0.4**2))
exact = prior[torch.multinomial(likelihood, 4000, replacement=True, generator=g)]

# %%
# Four samplers with this denoiser; the first three are each a schedule, an integrator and a guidance.
# ``bias`` says why the draws of a method do not tend to the posterior, if they do not.

methods = {
    "dps": {},
    "pigdm": {},
    "tmpd": {},
    "smc": {"particles": 64},
}
draws = {}
for name, options in methods.items():
    sampler = invcore.sampler(f"diffusion.{name}", denoiser=D, steps=150, **options)
    draws[name] = sampler(y.expand(1000, 1, 1, 2), physics, generator=g).flatten(1)
    distance = float(sliced_wasserstein(draws[name], exact[:1000], generator=g))
    print(f"{name:6} distance to the posterior {distance:.2f}   {sampler.bias or 'exact in the limit'}")

_, axes = plt.subplots(1, 5, figsize=(12, 3), sharex=True, sharey=True, layout="constrained")
for ax, (name, x) in zip(axes, {"exact": exact, **draws}.items(), strict=True):
    ax.plot(*prior[:1000].T, ".", ms=2, color="0.85")
    ax.plot(*x[:1000].T, ".", ms=2)
    ax.axvline(0.1, lw=0.5, color="k")
    ax.set(title=name, xlabel="measured pixel", aspect="equal")
axes[0].set_ylabel("other pixel")

# %%
# Missing pixels
# --------------
# A third of the pixels, with noise; and the denoiser of photographs that the package ships. It is for small
# noise: the sampler goes down the levels that it knows, from a direct estimate.

x = invcore.dataset("dead_leaves", length=1, size=(64, 64), r_min=5.0, seed=4)[0]
mask = (torch.rand(1, 64, 64, generator=g) < 0.4).float()
physics = Physics(Mask(mask, Space((1, 64, 64))), GaussianNoise(sigma=0.05))
y = physics(x, generator=g)

sampler = invcore.sampler("diffusion.ddrm", denoiser=invcore.denoiser("diffusion.gray"), steps=60)
chain = sampler.chain(y, physics, draws=1, chains=24, generator=g)
found = chain.last
mean, std = found.mean(0), found.std(0)
psnr = invcore.metric("psnr", data_range=1.0)
print(f"one draw {float(psnr(found[0], x)):.1f} dB, mean {float(psnr(mean, x)):.1f} dB")
within = ((mean - x).abs() < 2 * std).float().mean()
print(f"{float(within):.0%} of the pixels within two standard deviations of the mean")

# %%
# The mean is nearer to the truth than any draw, and smoother than an image is. The deviation is large at
# edges that no pixel has seen. Where the true error exceeds it, the sampler is too sure of itself, which
# ``bias`` announces for this one.

shown = {"data": y, "draw": found[0], "another": found[1], "mean": mean, "truth": x}
_, axes = plt.subplots(1, 7, figsize=(14, 2.4), layout="constrained")
for ax, (title, image) in zip(axes, shown.items(), strict=False):
    ax.imshow(image[0], cmap="gray", vmin=0, vmax=1)
    ax.set_title(title)
for ax, (title, image) in zip(axes[5:], {"deviation": std, "error": (mean - x).abs()}.items(), strict=True):
    ax.imshow(image[0], cmap="magma", vmin=0, vmax=0.2)
    ax.set_title(title)
for ax in axes:
    ax.set(xticks=[], yticks=[])
