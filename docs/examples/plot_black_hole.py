"""
The shadow of a black hole
==========================

Eight radio telescopes on four continents make one of the size of the Earth. Their clocks and the air above
them spoil the phase of everything they measure, and their gains are known to a tenth at best. This is how an
image is made all the same: simulated here, with a known truth, and by the same lines that make the image of
M87* of the public data of the Event Horizon Telescope.
"""

import math

import matplotlib.pyplot as plt
import torch

import invcore_radio as radio

generator = torch.Generator().manual_seed(0)
microarcsecond = math.pi / 180 / 3600e6

# %%
# Three sources
# -------------
# A ring that is brighter in the south, like the one that light makes around a black hole; a disk without a
# hole; and two spots. All have 0.6 Jy. A method that finds the ring is worth little if it finds rings in the
# others too.

n, pixel = 128, 1.25 * microarcsecond
north, east = torch.meshgrid(
    (n // 2 - torch.arange(n, dtype=torch.float64)) * 1.25,
    (n // 2 - torch.arange(n, dtype=torch.float64)) * 1.25,
    indexing="ij",
)
radius = (north**2 + east**2).sqrt()


def spot(at_east, at_north, width):
    """A Gaussian of full width ``width``, microarcseconds."""
    return torch.exp(-4 * math.log(2) * ((east - at_east) ** 2 + (north - at_north) ** 2) / width**2)


sources = {
    "ring": torch.exp(-4 * math.log(2) * (radius - 22) ** 2 / 12**2)
    * (1 - 0.5 * north / radius.clamp_min(1)),
    "disk": torch.sigmoid((30 - radius) / 2),
    "two spots": spot(18, 12, 16) + 0.6 * spot(-18, -12, 16),
}
sources = {name: 0.6 * (image / image.sum())[None] for name, image in sources.items()}

# %%
# The array
# ---------
# The Earth turns, and each pair of antennas draws an arc in the plane of spatial frequencies. A scan of five
# minutes every twenty.

observation = radio.eht().observe(
    phase_center=(math.radians(187.7059), math.radians(12.3911)),
    hour_angles=(-6.0, 6.0),
    interval=300.0,
    every=4,
    frequencies=(229e9,),
    bandwidth=1.9e9,
    source="simulated",
    dtype=torch.float64,
)
radio.plot_coverage(observation)
print(observation)

# %%
# What comes down from the mountains
# ----------------------------------
# Every antenna multiplies its signals by a complex gain. Its phase is anything; its amplitude is off by ten
# percent, and at one station (LM) by much more.


def observe(image):
    """Visibilities with noise and with gains that change from scan to scan."""
    times = torch.unique(observation.time, return_inverse=True)[1]
    antennas = len(observation.antenna_names)
    spread = torch.full((antennas,), 0.1, dtype=torch.float64)
    spread[observation.antenna_names.index("LM")] = 0.4
    shape = (int(times.max()) + 1, antennas)
    amplitude = (spread * torch.randn(shape, generator=generator, dtype=torch.float64)).exp()
    phase = 2 * math.pi * torch.rand(shape, generator=generator, dtype=torch.float64)
    return radio.simulate(
        observation,
        image,
        pixel=pixel,
        gains=torch.polar(amplitude, phase)[times],
        generator=generator,
        w_term=False,
        accuracy=1e-9,
    )


data = {name: observe(image) for name, image in sources.items()}

# %%
# An inverse Fourier transform of that shows nothing of the ring:

dirty = radio.dirty_image(data["ring"], shape=(64, 64), pixel=2 * microarcsecond)
plt.figure(figsize=(4, 4), layout="constrained")
plt.imshow(dirty[0], cmap="afmhot")
plt.title("dirty image of spoiled visibilities")
plt.axis("off")

# %%
# Quantities that gains do not change
# -----------------------------------
# Around a triangle of antennas the phases of the gains cancel; in a ratio of four amplitudes their moduli do.
# `vlbi_acquisition` makes minimal sets of these, with their covariances. With ``amplitudes=True`` amplitudes
# are used too, as far as gains of ten percent allow: the unknown gains are integrated out. The phases of the
# visibilities are never used.

options = {"flux": 0.6, "gain_error": {"LM": 0.5}, "noise_scale": 1.0, "pixel": 2 * microarcsecond}
closures = {name: radio.vlbi_acquisition(v, amplitudes=False, **options) for name, v in data.items()}
with_amplitudes = radio.vlbi_acquisition(data["ring"], amplitudes=True, **options)
print(closures["ring"].metadata["quantities"], with_amplitudes.metadata["quantities"])

# %%
# Regularized maximum likelihood
# ------------------------------
# Many images fit. `RegularizedMaximumLikelihood` takes the one that balances the likelihood against relative
# entropy, total variation and total squared variation, with nothing set by hand: lengths are multiples of the
# resolution of the array. Nothing in it knows of rings.

solver = radio.RegularizedMaximumLikelihood()
images = {name: solver(a.y, a.physics) for name, a in closures.items()}
ring_too = solver(with_amplitudes.y, with_amplitudes.physics)


def show(ax, image, width, title):
    """Draw an image, north up and east left."""
    ax.imshow(image[0], cmap="afmhot", extent=(width / 2, -width / 2, -width / 2, width / 2))
    ax.set(xlim=(60, -60), ylim=(-60, 60), title=title)
    ax.axis("off")


_, axes = plt.subplots(2, 4, figsize=(10, 5.3), layout="constrained")
for column, name in zip(axes.T, sources):
    show(column[0], sources[name], 160, f"{name}: truth")
    show(column[1], images[name], 128, "closure quantities")
axes[0, 3].axis("off")
show(axes[1, 3], ring_too, 128, "ring: amplitudes too")

# %%
# The ring is a ring, the disk has no hole, and the spots are two. Where the image lies is not known from
# closure quantities.
#
# Measuring the ring
# ------------------
# `measure_ring` finds the center about which the ridge is most circular. ``floor`` is the brightness in the
# middle over that along the ridge, and ``gap`` the faintest over the brightest point of the ridge: together
# they show whether it is a ring.

for name, image in images.items():
    ring = radio.measure_ring(image, pixel=2.0)
    fit = radio.reduced_chi_square(closures[name], image)
    print(
        f"{name:9} diameter {ring.diameter:4.1f} ± {ring.spread:4.1f} µas, floor {ring.floor:.2f}, gap "
        f"{ring.gap:.2f}, "
        f"bright side at {math.degrees(ring.orientation):3.0f}°, χ² per phase {fit['closure_phases']:.2f}"
    )

# %%
# The real one
# ------------
# The public data of April 2017 are a UVFITS file, and the reader chooses all of the above::
#
#     invcore reconstruct hops_lo_3601_M87+netcal_StokesI.uvfits
#
# or in Python::
#
#     acquisition = invcore.read("hops_lo_3601_M87+netcal_StokesI.uvfits", amplitudes=False)
#     image = radio.RegularizedMaximumLikelihood()(acquisition.y, acquisition.physics)
#     radio.measure_ring(image, pixel=acquisition.metadata["pixel_rad"])
