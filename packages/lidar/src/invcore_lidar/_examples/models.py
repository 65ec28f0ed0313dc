"""Small instances of the photon counting models, for the conformance kit. The first of each is tiny.

Random test images have depths of some meters about 0: gates begin before the laser pulse, and pulses are
meters long.
"""

from __future__ import annotations

import torch

from .._models.dead_time import DeadTime, PileUp
from .._models.first_photon import FirstPhoton, FirstPhotonNoise
from .._models.multispectral import Multispectral
from .._models.tag_rates import TagRates
from .._models.tcspc import TCSPC
from .._photons.impulse import ImpulseResponse
from .._photons.tags import TimeTags


def tcspc() -> dict[str, object]:
    """Return models with a Gaussian pulse, two surfaces and a tail, blur and delays, a measured pulse."""
    g = torch.Generator().manual_seed(0)
    sigma, decay = torch.tensor([8.5e-9, 15e-9], dtype=torch.float64)
    bell = ImpulseResponse.gaussian(fwhm=2.36 * sigma)
    samples = torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64)
    return {
        "tiny": TCSPC(impulse=bell, shape=(1, 2), bins=14, bin_width=9e-9, start=-61e-9),
        "two surfaces, tail": TCSPC(
            impulse=ImpulseResponse.exponential_gaussian(sigma=sigma, decay=decay),
            shape=(3, 2),
            surfaces=2,
            bins=11,
            bin_width=9e-9,
            start=-40e-9,
        ),
        "many bins, blur, delays": TCSPC(
            impulse=bell,
            shape=(3, 4),
            bins=61,
            bin_width=8e-9,
            start=-250e-9,
            psf=torch.rand(3, 2, generator=g, dtype=torch.float64) / 6,
            delay=10e-9 * torch.rand(3, 4, generator=g, dtype=torch.float64),
        ),
        "measured pulse": TCSPC(
            impulse=ImpulseResponse.measured(samples=samples, spacing=40e-9),
            shape=(1, 1),
            bins=5,
            bin_width=31e-9,
            start=-83e-9,
        ),
    }


def pile_up() -> dict[str, object]:
    """Return detectors of first photons for one pixel and an image."""
    return {
        "tiny": PileUp(pulses=1000, bins=6, shape=(1, 1)),
        "image": PileUp(pulses=50.0, bins=5, shape=(3, 2)),
    }


def dead_time() -> dict[str, object]:
    """Return detectors: free-running, synchronous, blind longer than a period, a dead time per sample."""

    def seconds(*bins: float) -> torch.Tensor:
        return 1e-9 * torch.tensor(bins if len(bins) > 1 else bins[0], dtype=torch.float64)

    return {
        "tiny": DeadTime(dead_time=seconds(3.4), pulses=300, bins=7, bin_width=1e-9, shape=(1, 2)),
        "synchronous": DeadTime(
            dead_time=seconds(2.3), pulses=300, bins=9, bin_width=1e-9, shape=(2, 3), mode="synchronous"
        ),
        "longer than a period": DeadTime(
            dead_time=seconds(11.7), pulses=300, bins=8, bin_width=1e-9, shape=(1, 1)
        ),
        "two dead times": DeadTime(
            dead_time=seconds(2.6, 4.3), pulses=300, bins=6, bin_width=1e-9, shape=(2, 1)
        ),
    }


def multispectral() -> dict[str, object]:
    """Return models with a common pulse, with a pulse per wavelength and blur, with many bins."""
    g = torch.Generator().manual_seed(0)
    sigma, decay = torch.tensor([8.5e-9, 15e-9], dtype=torch.float64)
    bell = ImpulseResponse.gaussian(fwhm=2.36 * sigma)
    tail = ImpulseResponse.exponential_gaussian(sigma=1.3 * sigma, decay=decay)
    return {
        "tiny": Multispectral(
            impulse=bell, wavelengths=2, shape=(1, 2), bins=9, bin_width=9e-9, start=-41e-9
        ),
        "two pulses, blur": Multispectral(
            impulse=(bell, tail),
            wavelengths=2,
            shape=(3, 2),
            surfaces=2,
            bins=8,
            bin_width=11e-9,
            start=-40e-9,
            psf=torch.rand(3, 3, generator=g, dtype=torch.float64) / 9,
        ),
        "many bins": Multispectral(
            impulse=bell, wavelengths=3, shape=(2, 3), bins=61, bin_width=8e-9, start=-250e-9
        ),
    }


def tag_rates() -> dict[str, object]:
    """Return rates at few photons, with two surfaces, delays and wider bins, with blur, without photons."""
    g = torch.Generator().manual_seed(0)
    sigma, decay = torch.tensor([8.5e-9, 15e-9], dtype=torch.float64)
    bell = ImpulseResponse.gaussian(fwhm=2.36 * sigma)

    def tags(count: int, *shape: int) -> TimeTags:
        return TimeTags.from_pixels(
            pixels=torch.randint(shape[0] * shape[1], (count,), generator=g),
            tags=torch.randint(-20, 22, (count,), generator=g),
            tick=2e-9,
            shape=(shape[0], shape[1]),
            start=-20,
            stop=22,
        )

    return {
        "tiny": TagRates(tags=tags(5, 1, 2), impulse=bell),
        "two surfaces, delays, bins of 3 ticks": TagRates(
            tags=tags(30, 3, 2),
            impulse=ImpulseResponse.exponential_gaussian(sigma=sigma, decay=decay),
            surfaces=2,
            width=3,
            delay=10e-9 * torch.rand(3, 2, generator=g, dtype=torch.float64),
        ),
        "blur": TagRates(
            tags=tags(12, 3, 3),
            impulse=bell,
            psf=torch.rand(2, 3, generator=g, dtype=torch.float64) / 6,
            boundary="zero",
        ),
        "no photon": TagRates(tags=tags(0, 2, 1), impulse=bell),
    }


def first_photon_likelihood() -> dict[str, object]:
    """Return likelihoods of first photons for few and many pulses."""
    return {"tiny": FirstPhoton(pulses=20, axis=-1), "many pulses": FirstPhoton(pulses=1000, axis=-2)}


def first_photon() -> dict[str, object]:
    """Return the noise of first photons for many and few pulses."""
    return {"tiny": FirstPhotonNoise(pulses=20, axis=-1), "few pulses": FirstPhotonNoise(pulses=8, axis=-2)}
