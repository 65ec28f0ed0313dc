"""
Radio interferometry
====================

An array of antennas measures Fourier coefficients of the sky, where its baselines happen to be. From an
observation to images: the coverage, the dirty image, CLEAN as the baseline, averaged sparsity under a
constraint, a denoiser as a prior, and what happens to wide fields. The sky is simulated, so that every image
can be compared with the truth.
"""

import math

import matplotlib.pyplot as plt
import torch

import invcore
import invcore_radio as radio

generator = torch.Generator().manual_seed(0)

# %%
# An observation
# --------------
# 27 antennas on three arms like those of the Very Large Array follow a source for eight hours. As the Earth
# turns each pair of them draws an arc in the plane of baselines.

n = 96
array = radio.vla("B")
plan = array.observe(
    phase_center=(1.0, math.radians(40.0)), hour_angles=(-4.0, 4.0), interval=600.0, sigma=0.05
)
pixel = plan.resolution() / 3


def galaxy(size):
    """A radio galaxy of 10 Jy: a core, a jet, two lobes with filaments and hot spots, and a few points beside
    it."""
    at = (torch.arange(float(size)) - size // 2) / size
    north, east = -at[:, None], -at
    turn = math.radians(35.0)
    along, across = (
        east * math.cos(turn) + north * math.sin(turn),
        north * math.cos(turn) - east * math.sin(turn),
    )

    def blob(a, b, length, width):
        return torch.exp(-(((along - a) / length) ** 2) / 2 - ((across - b) / width) ** 2 / 2)

    white = torch.fft.rfft2(torch.randn(size, size, generator=torch.Generator().manual_seed(3)))
    power = (torch.fft.fftfreq(size)[:, None] * size) ** 2 + (torch.fft.rfftfreq(size) * size) ** 2
    texture = torch.fft.irfft2(white * (1 + power / 25) ** -0.9, s=(size, size))
    lobes = (blob(0.24, 0.01, 0.075, 0.05) + 0.9 * blob(-0.22, -0.01, 0.08, 0.055)) * (
        0.7 * texture / texture.std()
    ).exp()
    image = 0.35 * lobes.clamp_max(4) * torch.sigmoid(60 * (lobes - 0.12))
    image += 2.5 * blob(0.31, 0.02, 0.008, 0.012) + 1.8 * blob(-0.3, -0.02, 0.01, 0.008)
    image += 0.3 * torch.exp(-((across / 0.005) ** 2)) * ((along > 0) & (along < 0.28))
    image = torch.where(image > 2e-3, image, 0)
    for row, column, flux in ((0.5, 0.5, 6.0), (0.2, 0.25, 2.0), (0.8, 0.7, 1.0), (0.3, 0.85, 0.3)):
        image[int(row * size), int(column * size)] += flux
    return (10 * image / image.sum())[None]


truth = galaxy(n)
vis = radio.simulate(plan, truth, pixel=pixel, generator=generator, w_term=False)
print(vis)

figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
radio.plot_coverage(vis, axes[0])
axes[0].set_title("baselines")
radio.plot_dirty_beam(vis, axes[1], shape=(n, n), pixel=pixel)
axes[1].set_title("dirty beam")
extent, unit = radio.sky_extent((n, n), pixel)


def show(axis, image, name, largest=0.05):
    """Draw an image on a scale that brings out what is faint."""
    axis.imshow(image[0].clamp_min(0) ** 0.4, extent=extent, cmap="inferno", vmin=0, vmax=largest**0.4)
    axis.set_title(name, fontsize=9)
    axis.set(xlabel=f"east ({unit})", ylabel=f"north ({unit})")


dirty = radio.dirty_image(vis, shape=(n, n), pixel=pixel)
show(axes[2], dirty, "dirty image", largest=float(dirty.max()))

# %%
# CLEAN
# -----
# CLEAN explains the dirty image by components, one after the other. Its model is not looked at as it is:
# `restore` shows it with the resolution of the array, and adds what it leaves unexplained. The field is two
# minutes of arc wide, so that the w-term may be left out.

physics = vis.physics(shape=(n, n), pixel=pixel, w_term=False)
y = vis.values()


def snr(image, reference):
    """Decibels."""
    return 20 * math.log10(float(reference.norm() / (image - reference).norm()))


models = {name: radio.Clean(algorithm=name)(y, physics) for name in ("hogbom", "multiscale")}
restored = {name: radio.restore(model, y, physics) for name, model in models.items()}
beam = restored["hogbom"].beam
print(beam, f"{beam.pixels(pixel):.1f} pixels")
blurred = beam.blur(truth, pixel)
area = beam.pixels(pixel)
figure, axes = plt.subplots(1, 4, figsize=(13, 3.7), layout="constrained")
show(axes[0], models["hogbom"], f"model of Högbom\n{snr(models['hogbom'], truth):.1f} dB")
show(axes[1], models["multiscale"], f"model at several scales\n{snr(models['multiscale'], truth):.1f} dB")
show(
    axes[2],
    restored["multiscale"].image / area,
    f"restored, several scales\n{snr(restored['multiscale'].image, blurred):.1f} dB of what the beam shows",
)
show(axes[3], truth, "truth")

# %%
# Averaged sparsity
# -----------------
# Among all images without negative values that agree with the data to within their noise, take the one whose
# coefficients, in pixels and in eight wavelet bases, are smallest. The noise level says how well it must
# agree, so there is no weight to choose. Solving it again with weights that spare the large coefficients
# comes closer to counting them.

sparse = radio.constrained(y, physics, reweights=3)
print(
    f"steps {sparse.steps}, distance to the data {float(sparse.distance):.1f}, allowed "
    f"{float(sparse.radius):.1f}"
)

# %%
# A denoiser as a prior
# ---------------------
# Plug-and-play puts a denoiser where the proximal operator of a penalty stood; here BM3D. Learned ones take
# the same place.

prior = invcore.prior("pnp", denoiser=invcore.denoiser("bm3d"))
solver = invcore.solver("fista", prior=prior, weight=1.0, max_steps=40)
denoised = solver.solve(y, physics).value

models |= {"averaged sparsity": sparse.value, "plug-and-play": denoised}
figure, axes = plt.subplots(1, 3, figsize=(10, 3.7), layout="constrained")
show(axes[0], sparse.value, f"averaged sparsity\n{snr(sparse.value, truth):.1f} dB")
show(axes[1], denoised, f"plug-and-play, BM3D\n{snr(denoised, truth):.1f} dB")
show(axes[2], truth, "truth")

# %%
# Pixel by pixel, beyond the resolution of the array, averaged sparsity is closest to the truth: it knows
# points and diffuse emission. The denoiser blurs the points and leaves rings around them, since no photograph
# has any. Seen with the restoring beam both are closer to the truth than either restored image, to which
# CLEAN adds the noise of the residual.

print(f"{'':18}  model  with the beam  restored (dB)")
for name, model in models.items():
    line = f"{name:18} {snr(model, truth):6.1f} {snr(beam.blur(model, pixel), blurred):14.1f}"
    print(line + (f" {snr(restored[name].image, blurred):9.1f}" if name in restored else ""))

# %%
# Wide fields
# -----------
# Far from the phase center the third coordinate of the baselines counts, unless they all lie in a plane that
# faces the source. With the w-term a source two degrees away is where it should be, and as bright; without
# it, it is smeared out.

low = radio.vla("A").observe(
    phase_center=(0.0, math.radians(60.0)),
    hour_angles=(-3.0, 3.0),
    interval=900.0,
    frequencies=(7.4e7,),
    sigma=0.01,
)
m, coarse = 540, math.radians(2.0) / 240
sky = torch.zeros(1, m, m)
row, column = m // 2 - 168, m // 2 - 171
sky[0, row, column] = 1.0
away = math.degrees(math.hypot(168, 171) * coarse)
wide = radio.simulate(low, sky, pixel=coarse, generator=generator)
figure, axes = plt.subplots(1, 2, figsize=(7, 3.6), layout="constrained")
for axis, w_term in zip(axes, (True, False), strict=True):
    picture = radio.dirty_image(wide, shape=(m, m), pixel=coarse, w_term=w_term)[0]
    part = picture[row - 16 : row + 17, column - 16 : column + 17]
    axis.imshow(part.clamp_min(0).sqrt(), cmap="inferno", vmin=0, vmax=1)
    name = "with" if w_term else "without"
    axis.set_title(f"{name} the w-term, {away:.1f}° away\n{float(part.max()):.2f} Jy at the peak", fontsize=9)
    axis.axis("off")
