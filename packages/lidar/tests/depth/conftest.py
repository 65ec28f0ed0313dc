import pytest
import torch

from invcore_lidar import ImpulseResponse, simulate_tags, still_life

H = ImpulseResponse.gaussian(fwhm=300e-12)
GATE = (0.0, 40e-9)


@pytest.fixture(scope="session")
def scan():
    """Depth and reflectivity of a still life, and time tags of it."""

    def make(photons, ratio, size=48, surfaces=1, seed=0):
        scene = still_life((size, size), surfaces=surfaces)
        g = torch.Generator().manual_seed(seed)
        return scene, simulate_tags(
            *scene, impulse=H, photons=photons, signal_to_background=ratio, generator=g, gate=GATE
        )

    return make


@pytest.fixture(scope="session")
def wall():
    """Time tags of a flat wall at 2 m."""

    def make(photons, ratio, size=40, impulse=H):
        depth = torch.full((1, size, size), 2.0, dtype=torch.float64)
        light, g = torch.ones_like(depth), torch.Generator().manual_seed(1)
        return simulate_tags(
            depth, light, impulse=impulse, photons=photons, signal_to_background=ratio, generator=g, gate=GATE
        )

    return make


@pytest.fixture(scope="session")
def rmse():
    def error(estimate, truth):
        return float((estimate.image()[: len(truth)] - truth).square().mean().sqrt())

    return error
