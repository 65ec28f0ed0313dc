"""Fixtures shared by several rooms: simulated observations, and helpers for closure quantities."""

import functools
import math

import pytest
import torch

from invcore_radio import eht, simulate, vla


@pytest.fixture(scope="session")
def vis():
    """A point source beside the phase center, seen by six antennas with noise; pixels of 1e-4 radians."""
    empty = vla("D", antennas=6).observe(hour_angles=(-1.0, 1.0), interval=1200.0, sigma=0.01)
    image = torch.zeros(1, 16, 16)
    image[0, 5, 9] = 1
    return simulate(empty, image, pixel=1e-4, generator=torch.Generator().manual_seed(0))


# -- closure quantities ----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def baselines():
    """antenna1, antenna2 and time of all baselines of n antennas, at one time."""

    def of(n):
        a, b = torch.triu_indices(n, n, 1)
        return a, b, torch.zeros(len(a), dtype=torch.float64)

    return of


@pytest.fixture(scope="session")
def visibilities():
    """Random visibilities of some shape."""
    return lambda shape, g: torch.randn(shape, generator=g, dtype=torch.complex128) + 1


@pytest.fixture(scope="session")
def noisy():
    """Many noisy copies of visibilities."""

    def copies(clean, sigma, count, generator):
        draws = torch.randn((count, *clean.shape), generator=generator, dtype=torch.complex128)
        return clean + math.sqrt(2) * sigma * draws

    return copies


@pytest.fixture(scope="session")
def design():
    """The matrix from flattened phases or log amplitudes to closures."""

    def of(closures):
        matrix = torch.zeros(len(closures), closures.shape[0] * closures.shape[1], dtype=torch.float64)
        return matrix.scatter_add(1, closures.index, closures.sign.double())

    return of


# -- very long baselines ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def plane():
    """North and east of the phase center, and the distance from it, of n x n pixels."""
    return _plane


@pytest.fixture(scope="session")
def source():
    """An image of 0.6 Jy, a "ring", a "disk" or "spots", and the size of its pixels."""
    return _source


@pytest.fixture(scope="session")
def observed():
    """An EHT observation of a source at the position of M87, with noise, gains of 10 % and any phase."""
    return _observed


def _plane(n, pixel):
    offset = (n // 2 - torch.arange(n, dtype=torch.float64)) * pixel
    north, east = torch.meshgrid(offset, offset, indexing="ij")
    return north, east, (north**2 + east**2).sqrt()


def _source(kind, n=96, pixel=1.5):
    north, east, r = _plane(n, pixel)
    if kind == "ring":
        image = torch.exp(-4 * math.log(2) * (r - 22) ** 2 / 12**2) * (1 - 0.5 * north / r.clamp_min(1))
    elif kind == "disk":
        image = torch.sigmoid((30 - r) / 2)
    else:
        image = torch.exp(-((east - 18) ** 2 + (north - 12) ** 2) / 92)
        image += 0.6 * torch.exp(-((east + 18) ** 2 + (north + 12) ** 2) / 92)
    return 0.6 * (image / image.sum())[None], pixel * math.pi / 180 / 3600e6


@functools.cache
def _observed(kind, seed=0):
    generator = torch.Generator().manual_seed(seed)
    vis = eht().observe(
        phase_center=(math.radians(187.7), math.radians(12.39)),
        hour_angles=(-6.0, 6.0),
        interval=300.0,
        every=6,
        frequencies=(229e9,),
        bandwidth=1.9e9,
        dtype=torch.float64,
    )
    image, pixel = _source(kind)
    times = torch.unique(vis.time, return_inverse=True)[1]
    shape = (int(times.max()) + 1, len(vis.antenna_names))
    size = (0.1 * torch.randn(shape, generator=generator, dtype=torch.float64)).exp()
    phase = 2 * math.pi * torch.rand(shape, generator=generator, dtype=torch.float64)
    gains = torch.polar(size, phase)[times]
    return simulate(vis, image, pixel=pixel, generator=generator, gains=gains, w_term=False, accuracy=1e-9)
