"""
Holograms: in line, off axis, and the twin image
================================================

A camera records intensities. Let a reference wave fall onto it too, and the fringes hold the phase of the
light. Fringes, however, look the same for a field and its conjugate: the reconstruction shows the object and,
out of focus on top of it, its twin.
"""

import matplotlib.pyplot as plt
import torch

import invcore
from invcore import Physics, Space
from invcore.noises import GaussianNoise, PoissonNoise
from invcore_optics import AngularSpectrum, Hologram, Sideband

# %%
# An object in a beam
# -------------------
# Discs that absorb and turn the phase, 2 mm in front of a camera with pixels of 2 μm, without a lens. What
# the model looks for is x = a (t - 1), which is zero wherever light just passes.

n = 192
space, waves = Space((1, n, n), "complex"), {"wavelength": 532e-9, "pixel": 2e-6}
c = torch.arange(n, dtype=torch.float64)
t = torch.ones(1, n, n, dtype=torch.complex128)
for y, x, radius, loss, phase in ((70, 80, 16, 0.7, 0), (120, 70, 9, 0.2, 1.2), (104, 124, 13, 0.4, -0.8)):
    inside = torch.sigmoid((radius - torch.hypot(c[:, None] - y, c - x)) * 2)
    t = t * torch.exp(inside * torch.tensor(-loss + 1j * phase))
photons, z = 400.0, torch.tensor([2e-3], dtype=torch.float64)
a = torch.tensor(photons**0.5, dtype=torch.float64)
truth = a * (t - 1)


def show(*images):
    """Draw images by title."""
    _, axes = plt.subplots(1, len(images), figsize=(2.6 * len(images), 2.7), layout="constrained")
    for ax, (title, image) in zip(axes, images):
        ax.imshow(image, cmap="gray")
        ax.set_title(title, fontsize=9)
        ax.axis("off")


# %%
# In line
# -------
# The beam that misses the object is the reference. Light propagated back from the camera, as if the fringes
# were the field, gives the discs and the rings of the twin.

A = Hologram(z, space, **waves, amplitude=a)
physics = Physics(A, PoissonNoise())
y = physics(truth, generator=torch.Generator().manual_seed(0))
back = A.linearize(torch.zeros_like(truth)).H(y - a**2) / (2 * a**2)
show(("absorption", -t[0].abs().log()), ("hologram", y[0]), ("propagated back", (1 + back / a)[0].abs()))

# %%
# The twin is smooth nowhere, the object nearly everywhere: total variation tells them apart. The minimizer of
# the misfit of the photons plus the (smoothed) variation of the complex field:

prior = invcore.prior("tv", smoothing=0.3)
solver = invcore.solver("lbfgs", prior=prior, weight=0.5, max_steps=150, rtol=1e-4)
many = Physics(A, GaussianNoise(sigma=photons**0.5))  # what Poisson's law is for many photons
found = solver.solve(y, many, x0=torch.zeros_like(truth)).value


def transmission(x):
    """The transmission that a solution stands for."""
    return (1 + x / a)[0]


def error(x):
    """Relative error of the scattered field."""
    return float((x - truth).norm() / truth.norm())


print(f"error propagated back {error(back):.2f}, by total variation {error(found):.2f}")
show(
    ("propagated back, phase", transmission(back).angle()),
    ("total variation, absorption", -transmission(found).abs().log()),
    ("total variation, phase", transmission(found).angle()),
)

# %%
# Off axis
# --------
# A reference at an angle, brought in beside the object, makes a carrier: the spectrum of the hologram holds
# the field and its conjugate on two sides, and a filter takes one. No iteration, and the price is
# resolution, since a side has a third of the bandwidth.

tilt = torch.tensor([0.31, 0.33], dtype=torch.float64)
B = Hologram(z, space, **waves, tilt=tilt, amplitude=a, padding=False)
y = Physics(B, PoissonNoise())(a * t, generator=torch.Generator().manual_seed(0))
sideband = Sideband()
print("tilt found", sideband.found(y).squeeze().numpy().round(4), "of", tilt.numpy())
field = sideband(y) / a
focused = AngularSpectrum(z[0], space, **waves, padding=False).H(field)
spectrum = torch.fft.fftshift(torch.fft.fft2(y[0] - y.mean())).abs().log1p()
flat = focused[0] * focused[0, :30].mean().conj().sgn()
show(("off-axis hologram", y[0, 64:128, 64:128]), ("its spectrum", spectrum), ("phase", flat.angle()))
