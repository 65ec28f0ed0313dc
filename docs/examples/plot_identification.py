"""
A network that finds the blur
=============================

How blurred is a picture? Its power spectrum is that of the scene times that of the blur, and neither is
known. A network that has seen many scenes, simulated, tells them apart: ``optics.psf_identifier`` reads the
covariance of a Gaussian blur off one picture. It was trained in two minutes, on dead leaves and random
textures, by ``tools/train_psf_identifier.py``. Here it meets photographs.
"""

import matplotlib.pyplot as plt
import torch
from matplotlib.patches import Ellipse
from skimage import data
from skimage.transform import resize

import invcore
from invcore import Physics
from invcore.models import GaussianRestorer
from invcore.noises import GaussianNoise
from invcore.operators import Convolution
from invcore_optics import unknown_boundary

seeded = torch.Generator().manual_seed

# %%
# Photographs with unknown blurs
# ------------------------------
# Two parts of each of six photographs, with blurs of two random widths between 0.7 and 3.5 pixels and any
# orientation, and 1 % of noise.

shown = (data.camera(), data.astronaut(), data.coins(), data.coffee(), data.chelsea(), data.moon())
gray = [p.mean(2) if p.ndim == 3 else p for p in shown]
photos = [torch.from_numpy(resize(p / 255.0, (320, 320), anti_aliasing=True)).float() for p in gray]
scenes = torch.stack([p[i : i + 160, i : i + 160] for p in photos for i in (0, 160)])[:, None]


def kernel(C, size=33):
    """Gaussians of covariance C (..., 2, 2), of sum 1."""
    r = torch.arange(size) - size // 2.0
    r = torch.stack(torch.meshgrid(r, r, indexing="ij"), -1)
    h = torch.exp(-torch.einsum("yxi,...ij,yxj->...yx", r, torch.linalg.inv(C), r) / 2)
    return (h / h.sum((-2, -1), keepdim=True))[..., None, :, :]


def drawn(count, g):
    """Random covariances."""
    turn = torch.pi * torch.rand(count, generator=g)
    axes = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()], -1).reshape(-1, 2, 2)
    widths = 0.7 * 5 ** torch.rand(count, 2, generator=g)
    return axes @ torch.diag_embed(widths**2) @ axes.mT


true = drawn(len(scenes), seeded(0))
sigma = 0.01
physics = Physics(unknown_boundary(kernel(true), (1, 128, 128)), GaussianNoise(sigma=sigma))
y = physics(scenes, generator=seeded(1))

# %%
# Four ways to a blur
# -------------------
# The network says a covariance for each picture; ``identify`` gives the physics with that kernel, for any
# solver.

identifier = invcore.model("optics.psf_identifier")
with torch.no_grad():
    by_network = identifier.covariance(y)
    found = identifier.identify(y, physics.bind(kernel=kernel(torch.eye(2))))


def log(C):
    values, vectors = torch.linalg.eigh(C)
    return vectors @ torch.diag_embed(values.log()) @ vectors.mT


typical = torch.linalg.matrix_exp(log(drawn(1000, seeded(2))).mean(0)).expand_as(true)

# %%
# Without a network, the marginal likelihood compares the spectrum with 1/f² (see :doc:`plot_blind`), with
# gradients to the covariance. It can start from the typical blur, or from what the network says.

hann = torch.hann_window(128)
taper = hann[:, None] * hann
seen = (y - y.mean((-2, -1), keepdim=True)) * taper / taper.square().mean().sqrt()
f = torch.fft.fftfreq(128)
squared = f[:, None] ** 2 + f**2
prior = GaussianRestorer(
    mean=torch.zeros(1, 128, 128), spectrum=(1 / squared.clamp_min(1 / 128**2))[None] / 1000
)


def likeliest(start, steps=60):
    """The covariance and scale with the largest marginal likelihood, by gradients."""
    logs = log(start).clone().requires_grad_()
    scale = seen.std((-3, -2, -1)).log().requires_grad_()  # of the scenes
    adam = torch.optim.Adam([logs, scale], lr=0.05)
    for _ in range(steps):
        size = scale.exp()
        A = Convolution(kernel(torch.linalg.matrix_exp((logs + logs.mT) / 2)), domain=(1, 128, 128))
        known = Physics(A, GaussianNoise(sigma=sigma / size))
        evidence = prior.log_evidence(seen / size[:, None, None, None], known) - 128**2 * scale
        adam.zero_grad()
        (-evidence.sum()).backward()
        adam.step()
    return torch.linalg.matrix_exp((logs + logs.mT) / 2).detach()


covariances = {
    "true": true,
    "typical": typical,
    "likelihood": likeliest(typical),
    "network": by_network,
    "network, then likelihood": likeliest(by_network),
}

# %%
# Errors
# ------
# Of the widths (geometric mean of the two, relative), of the kernels, and of the pictures, deconvolved by one
# Wiener filter with each of the kernels.

psnr = invcore.metric("psnr", data_range=1.0)
middle = (..., slice(24, -24), slice(24, -24))
restored = {}
print(f"{'':26}{'width':>8}{'kernel':>8}{'PSNR':>10}")
for name, C in covariances.items():
    width = (C.det() / true.det()).log().div(4).square().mean().sqrt()
    h, h_true = kernel(C), kernel(true)
    off = (h - h_true).flatten(1).norm(dim=1) / h_true.flatten(1).norm(dim=1)
    restored[name] = identifier.wiener(y, physics.bind(kernel=h))
    quality = psnr(restored[name][middle], scenes[middle])
    print(f"{name:26}{float(width):8.1%}{float(off.mean()):8.2f}{float(quality.mean()):7.2f} dB")

# %%
# The kernels of the network are nearer to the truth than those of the likelihood, and its pictures are as
# good, without a search. Climbing the likelihood from there does not help: photographs are not textures with
# a spectrum of exactly 1/f², and the likelihood believes that they are.
#
# Where a blur looks longer to the network than it is, the deconvolved picture rings; where shorter, it stays
# blurred. The ellipses are twice the widths; dashed ones are true.

figure, axes = plt.subplots(3, 5, figsize=(11, 6.9), layout="constrained")
for row, k in zip(axes, (0, 4, 8), strict=True):
    row[0].imshow(y[k, 0, 8:-8, 8:-8], cmap="gray", vmin=0, vmax=1)
    row[0].set_title("picture", fontsize=9)
    for ax, name in zip(row[1:], ("typical", "likelihood", "network", "true"), strict=True):
        ax.imshow(restored[name][k, 0][24:-24, 24:-24], cmap="gray", vmin=0, vmax=1)
        quality = float(psnr(restored[name][k][middle], scenes[k][middle]))
        ax.set_title(f"{name}, {quality:.1f} dB", fontsize=9)
        for C, style in ((covariances[name][k], "-"), (true[k], "--")):
            values, vectors = torch.linalg.eigh(C)
            turn = float(torch.rad2deg(torch.atan2(vectors[0, 1], vectors[1, 1])))
            w, h = (4 * values.sqrt()).flip(0).tolist()
            ax.add_patch(Ellipse((16, 96), w, h, angle=turn, fill=False, color="yellow", linestyle=style))
    for ax in row:
        ax.set_axis_off()
