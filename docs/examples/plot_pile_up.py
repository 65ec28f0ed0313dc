"""
Too much light for a photon counter
===================================

A single-photon detector rests after each photon. With much light that bends the histograms: early photons
hide late ones. This example simulates two kinds of detector, undoes what they do, and fits depths in the law
of what was recorded.
"""

import matplotlib.pyplot as plt
import torch

import invcore_lidar as lidar
from invcore import Physics
from invcore.fidelities import PoissonKL

generator = torch.Generator().manual_seed(0)

# %%
# The first photon after each pulse
# ---------------------------------
# One pixel, 100 bins of 1 ns, a surface at 9 m, sunlight. The expected counts of an ideal detector come from
# `TCSPC`; `PileUp` turns them into those of a detector that records at most one photon per pulse. At three
# photons per pulse about a quarter of the return is left, and it leans to the left.

pulses = 10_000
impulse = lidar.ImpulseResponse.gaussian(fwhm=4e-9)
model = lidar.TCSPC(impulse=impulse, bins=100, bin_width=1e-9, shape=(1, 1))
first = lidar.PileUp(pulses=pulses, bins=100, shape=(1, 1))


def scene(flux):
    """A surface at 9 m, 60 % of ``flux`` photons per pulse from it and the rest from the background."""
    return torch.tensor([9.0, 0.6 * flux * pulses, 0.4 * flux * pulses / 100], dtype=torch.float64).reshape(
        3, 1, 1
    )


figure, axes = plt.subplots(1, 3, figsize=(10, 2.9), layout="constrained")
for ax, flux in zip(axes, (0.05, 1.0, 3.0), strict=True):
    ideal = model(scene(flux))
    counts = lidar.FirstPhotonNoise(pulses=pulses)(ideal, generator=generator)
    ax.plot(ideal.flatten(), label="ideal")
    ax.plot(counts.flatten(), label="recorded")
    ax.plot(first.correct(counts).flatten(), lw=0.7, label="corrected (Coates)")
    ax.set(title=f"{flux} photons per pulse", xlabel="bin", ylim=(0, 1.3 * float(ideal.max())))
_ = axes[0].legend()

# %%
# Depth and reflectivity in the true law
# --------------------------------------
# Which counts are likely at which rates is known exactly: of the pulses still without a photon each bin takes
# a binomial share. `FirstPhotonNoise` draws from that law, and its likelihood is convex in the rates. The
# same counts taken for ideal ones (Poisson) give a surface that is too near and too dark.


def fit(y, fidelity, start):
    """The best (depth, reflectivity, background), by L-BFGS in units of about one."""
    unit = torch.tensor([0.1, float(start[1, 0, 0]), float(start[2, 0, 0])], dtype=torch.float64)
    z = torch.tensor([0.0, 0.0, 0.0], dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([z], max_iter=60, line_search_fn="strong_wolfe")

    def image():
        depth = start[0, 0, 0] + unit[0] * z[0]
        return torch.stack([depth, unit[1] * z[1].exp(), unit[2] * z[2].exp()]).reshape(3, 1, 1)

    def loss():
        search.zero_grad()
        value = fidelity.value(model(image()), y, model.range) / pulses
        value.backward()
        return value

    search.step(loss)
    return image().detach().flatten().tolist()


fluxes = [0.05, 0.2, 0.5, 1.0, 2.0]
found = {"first photons": [], "Poisson": []}
for flux in fluxes:
    y = lidar.FirstPhotonNoise(pulses=pulses)(model(scene(flux)), generator=generator)
    start = scene(flux).clone()
    start[0] += 0.05
    for name, fidelity in (("first photons", lidar.FirstPhoton(pulses=pulses)), ("Poisson", PoissonKL())):
        depth, light, _ = fit(y, fidelity, start)
        found[name].append((100 * (depth - 9.0), light / (0.6 * flux * pulses)))

figure, axes = plt.subplots(1, 2, figsize=(8.4, 3), layout="constrained")
for name, values in found.items():
    for ax, column in zip(axes, zip(*values, strict=True), strict=True):
        ax.semilogx(fluxes, column, "o-", label=name)
axes[0].set(xlabel="photons per pulse", ylabel="error of the depth (cm)")
axes[1].set(xlabel="photons per pulse", ylabel="reflectivity / true")
_ = axes[0].legend()

# In a `Physics` the right likelihood is the default of every solver.
physics = Physics(model, lidar.FirstPhotonNoise(pulses=pulses))
print(type(physics.likelihood()).__name__)

# %%
# A free-running detector
# -----------------------
# Other detectors count on after some dead time, here 75 ns at a period of 100 ns, which reaches into the next
# period. What is recorded then depends on a stationary state: after the return the detector is mostly blind,
# and ready again just before the next one. `DeadTime` finds that state, with derivatives by the rates and by
# the dead time; its inverse is a closed form.

free = lidar.DeadTime(dead_time=75e-9, pulses=pulses, bins=100, bin_width=1e-9, shape=(1, 1))
ideal = model(scene(2.0))
counts = torch.poisson(free(ideal), generator=generator)

figure, axes = plt.subplots(1, 2, figsize=(8.4, 3), layout="constrained")
axes[0].plot(ideal.flatten(), label="ideal")
axes[0].plot(counts.flatten(), label="recorded")
axes[0].plot(free.correct(counts).flatten(), lw=0.7, label="corrected")
axes[0].set(xlabel="bin", title="2 photons per period")
axes[0].legend()
axes[1].plot(free.ready(ideal).flatten())
_ = axes[1].set(xlabel="bin", ylim=(0, 1), title="probability that the detector is ready")
