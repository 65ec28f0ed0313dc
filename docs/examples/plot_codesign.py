"""
A lens designed together with its network
=========================================

Whatever lies in front of or behind the plane of focus is blurred, and each depth in its own way. A phase mask
in the pupil can make all depths *alike*: everything is blurred, but by one kernel, which a computer removes.
The classical mask is a cubic (Dowski and Cathey, 1995). Here a mask is learned, first for the best linear
filter, then together with a network (Sitzmann et al., 2018), and all are compared on photographs that nobody
has learned from.

Everything from the mask to the picture is differentiable: ``optics.pupil_psf`` in its Zernike coefficients,
the convolution in its kernel, the filter in the kernels that it is made for.
"""

import math

import matplotlib.pyplot as plt
import torch
from skimage import data
from skimage.transform import resize

import invcore
from invcore import Physics
from invcore.operators import Convolution, Identity
from invcore_learning import Loading, Optimization, train
from invcore_optics import Objective, PupilPSF, surrounded, zernike

# %%
# The camera
# ----------
# A lens at f/8 in green light, with pixels that sample all that it passes. The nine depths are given by the
# defocus that they cause, from -1 to 1 wavelength at the edge of the pupil. A mask is a sum of Zernike
# polynomials of degree 2 to 7, without the tilts, which only move the image; coefficients are in waves. Light
# outside of the window is lost: a mask that throws light far away does not gain by it.

wave, lens = 550e-9, Objective(550e-9, na=1 / 16)
size, sigma = 63, 0.01  # of the kernels; of the noise
edge = torch.linspace(-1, 1, 9)
modes = tuple(range(4, 37))
pupil = PupilPSF(
    objective=lens,
    pixel=lens.pixel,
    shape=(size, size),
    modes=modes,
    depths=edge * 2 * wave / lens.na**2,
    samples=60,
)


def kernels(mask):
    """The kernel of each depth, (plane, 1, y, x)."""
    return pupil(wave * mask)[:, None]


# %%
# A cubic is a sum of Zernike polynomials, too: two comas, two trefoils, and tilts, which are left out.

side = torch.linspace(-1, 1, 101, dtype=torch.float64)
y, x = torch.meshgrid(side, side, indexing="ij")
inside = torch.hypot(y, x) <= 1
Z = zernike(modes, y, x)
wanted = (x**3 + y**3)[inside]
fitted = torch.cat([zernike((2, 3), y, x), Z])[:, inside]
cubic = torch.linalg.lstsq(fitted.T, wanted[:, None]).solution[2:, 0].float()

# %%
# What a mask is worth
# --------------------
# Take pictures with the power spectrum of photographs, S ∝ 1/f², at a depth that nobody knows. The best
# linear reconstruction is a filter W, and its mean squared error is known in closed form:
#
# .. math:: W = \frac{S\, \overline{E H}}{S\, E|H|^2 + σ^2}, \qquad
#    e = \sum_f S - \frac{S^2\, |E H|^2}{S\, E|H|^2 + σ^2}
#
# with H the transfer function and E the mean over the depths. (It is ``invcore.models.LinearEstimator`` of a
# random operator, in Fourier space.) Where depths differ, the square of the mean is below the mean of the
# squares, and the filter holds back. No picture is needed to judge a mask.

leaves = invcore.dataset("dead_leaves", length=300, size=(64, 64), seed=0)
pictures = [leaves[i] for i in range(len(leaves))]


def squared_frequencies(n):
    f = torch.fft.fftfreq(n)
    return (f[:, None] ** 2 + f**2).clamp_min((0.5 / n) ** 2)


centered = torch.stack(pictures) - 0.5
power = torch.fft.fft2(centered, norm="ortho").abs().square().mean((0, 1))
level = (power * squared_frequencies(64)).log().mean().exp()  # S = level / f²


def best_filter(h, n):
    """W on a grid of n × n pixels, and its mean squared error."""
    point = torch.zeros(1, n, n)
    point[..., 0, 0] = 1.0
    H = torch.fft.fft2(Convolution(h, domain=(1, n, n))(point))
    S = level / squared_frequencies(n)
    mean, power = H.mean(0), H.abs().square().mean(0)
    W = S * mean.conj() / (S * power + sigma**2)
    return W, (S * (1 - W * mean).real).mean()


def quality(mask):
    """Expected signal-to-noise ratio of the best linear reconstruction, in decibel below a peak of 1."""
    return -10 * best_filter(kernels(mask), 64)[1].log10()


strengths = torch.arange(0, 6.1, 0.25)
with torch.no_grad():
    by_strength = torch.stack([quality(a * cubic) for a in strengths])
best = float(strengths[by_strength.argmax()])


def learned(mask, steps=300, rate=0.02):
    """The mask that gradients lead to from this one."""
    mask = mask.clone().requires_grad_()
    adam = torch.optim.Adam([mask], lr=rate)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        adam.zero_grad()
        (-quality(mask)).backward()
        adam.step()
        cosine.step()
    return mask.detach()


masks = {"clear": torch.zeros(len(modes)), f"cubic, {best} waves": best * cubic}
masks["learned"] = learned(best * cubic)
rough = learned(0.1 * torch.randn(len(modes), generator=torch.Generator().manual_seed(0)))
for name, mask in masks.items():
    light = float(kernels(mask).sum((-2, -1)).min())
    print(f"{name:18} {float(quality(mask)):.2f} dB, {light:.1%} of the light in the window")
print(f"{'from a random one':18} {float(quality(rough)):.2f} dB")

_, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.plot(strengths, by_strength, label="cubic masks")
ax.axhline(float(quality(masks["learned"])), color="C2", label="learned")
ax.set(xlabel="strength (waves)", ylabel="best linear filter (dB)")
ax.legend()

# %%
# With a network
# --------------
# A camera is now a model: it takes a scene, forms its image at a random depth with noise, filters it and lets
# a small network remove what the filter leaves. ``train`` sees a model that turns scenes into pictures of
# them. The first three keep their mask; the last goes on learning it, by what is best for its network. The
# cubic has the strength that was best with a network, on the very photographs below: of 1, 1.75, 2.5, 3 and
# 3.75 waves, which reach 23.6, 24.0, 24.2, 24.1 and 23.3 dB.


class Camera(torch.nn.Module):
    def __init__(self, mask, learn=False):
        super().__init__()
        self.mask = torch.nn.Parameter(mask.clone(), requires_grad=learn)
        torch.manual_seed(0)
        self.network = invcore.model("learning.unet", features=(8, 16), blocks=1)

    def forward(self, scene, physics):
        h = kernels(self.mask)
        depth = torch.randint(len(h), (len(scene),))
        image = Convolution(h[depth], domain=scene.shape[1:])(scene)
        return self.restored(image + sigma * torch.randn(image.shape), h)

    def restored(self, image, h):
        W, _ = best_filter(h, image.shape[-1])
        return self.network(torch.fft.ifft2(W * torch.fft.fft2(image)).real)


fixed = {"clear": masks["clear"], "cubic, 2.5 waves": 2.5 * cubic, "learned": masks["learned"]}
cameras = {name: Camera(mask) for name, mask in fixed.items()}
cameras["learned with network"] = Camera(masks["learned"], learn=True)
for name, camera in cameras.items():
    done = train(
        camera,
        Physics(Identity((1, 64, 64))),
        pictures,
        optimization=Optimization(steps=300, lr=2e-3, schedule="cosine", warmup=20, clip=1.0),
        loading=Loading(batch=8),
    )
    print(f"{name:22} loss {done.history[-1]['loss']:.4f}")

# %%
# On photographs
# --------------
# The networks have seen dead leaves only. The photographs have no periodic border: an image is the part of a
# larger scene that is known without its surroundings, and is judged away from its edge.

photos = [data.camera(), data.astronaut().mean(2), data.coffee()[:, 100:500].mean(2)]
photos = [torch.from_numpy(resize(p / 255.0, (256, 256), anti_aliasing=True)).float() for p in photos]
scenes = torch.stack(photos)[:, None]
middle = (..., slice(64, -64), slice(64, -64))


@torch.no_grad()
def taken(camera):
    """Image and reconstruction at each depth, (plane, photo, 1, y, x)."""
    h = kernels(camera.mask)
    g = torch.Generator().manual_seed(1)
    images, results = [], []
    for kernel in h:
        A = Convolution(kernel, domain=scenes.shape[1:], boundary="valid")
        image = A(scenes)
        image = surrounded(image + sigma * torch.randn(image.shape, generator=g), A)
        images.append(image[middle])
        results.append(camera.restored(image, h)[middle])
    return torch.stack(images), torch.stack(results)


psnr = invcore.metric("psnr", data_range=1.0)
shots = {name: taken(camera) for name, camera in cameras.items()}
scores = {n: torch.stack([psnr(r, scenes[middle]).mean() for r in shot[1]]) for n, shot in shots.items()}
for name, score in scores.items():
    print(f"{name:22} mean {float(score.mean()):5.2f} dB, worst depth {float(score.min()):5.2f} dB")

_, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
for name, score in scores.items():
    ax.plot(edge, score, "o-", label=f"{name}: {float(score.mean()):.1f} dB")
ax.set(xlabel="defocus at the edge of the pupil (waves)", ylabel="PSNR (dB)", title="held-out photographs")
ax.legend(fontsize=8)

# %%
# The clear lens is good near its focus only. The cubic mask gives some of that up for the rest. The learned
# one is above both at all depths. Learning on together with the network adds little here: it lifts the
# outermost depths, which are the worst, at a small cost elsewhere. The closed form, which costs two seconds,
# had found most of what there was to find.
#
# Masks, and kernels from the plane of focus to the farthest. Each kernel has its own gray scale.

figure, axes = plt.subplots(4, 6, figsize=(10, 7), layout="constrained")
planes = (4, 5, 6, 7, 8)
for row, (name, camera) in zip(axes, cameras.items(), strict=True):
    mask = camera.mask.detach().double()
    wavefront = torch.einsum("k,kyx->yx", mask, Z)
    shown = row[0].imshow(torch.where(inside, wavefront, math.nan), cmap="twilight", vmin=-1.5, vmax=1.5)
    row[0].set_title(name, fontsize=9)
    h = kernels(camera.mask.detach())
    for ax, k in zip(row[1:], planes, strict=True):
        ax.imshow(h[k, 0, 12:-12, 12:-12].sqrt(), cmap="magma")
        ax.set_title(f"{float(edge[k]):.2f} waves", fontsize=8)
    for ax in row:
        ax.set_axis_off()
_ = figure.colorbar(shown, ax=axes[:, 0], label="wavefront (waves)", location="left")

# %%
# What each camera sees out of focus, and what it makes of it.

k = 7
figure, axes = plt.subplots(2, 5, figsize=(11, 4.8), layout="constrained")
reference = scenes[middle][1, 0]
axes[0, 0].imshow(reference, cmap="gray", vmin=0, vmax=1)
axes[0, 0].set_title("scene")
for column, (name, (images, results)) in zip(axes.T[1:], shots.items(), strict=True):
    column[0].imshow(images[k, 1, 0], cmap="gray", vmin=0, vmax=1)
    column[0].set_title(name, fontsize=9)
    column[1].imshow(results[k, 1, 0], cmap="gray", vmin=0, vmax=1)
    column[1].set_title(f"{float(psnr(results[k, 1], scenes[middle][1])):.1f} dB", fontsize=9)
for ax in axes.flat:
    ax.set_axis_off()
