"""Diffusions whose denoiser is for less noise than the schedule has."""

import pytest
import torch

import invcore
from invcore import Denoiser, ParameterError, Physics, Space
from invcore.noises import GaussianNoise
from invcore.operators import Mask
from invcore_diffusion import (
    DAPS,
    DDRM,
    SCG,
    DiffusionSampler,
    EnKG,
    Karras,
    Latino,
    MomentMatching,
    VarianceExploding,
)
from invcore_testsupport import rng

MEAN, VARIANCE, SIGMA = 0.6, 0.04, 0.1


class Limited(Denoiser):
    """The exact denoiser of independent Gaussian pixels, for small noise only."""

    channels, value_range, sigma_range, spatial_dims = 1, (0.0, 1.0), (0.0, 0.3), 2

    def denoise(self, x, sigma):
        return MEAN + VARIANCE / (VARIANCE + sigma**2) * (x - MEAN)


MASK = torch.tensor([[[1.0, 0.0, 1.0, 1.0]]], dtype=torch.float64)
PHYSICS = Physics(Mask(MASK, Space((1, 1, 4))), GaussianNoise(sigma=SIGMA))


def test_the_levels_are_those_of_a_longer_schedule_that_the_denoiser_knows():
    sampler = DiffusionSampler(Limited(), guidance=MomentMatching(), steps=20)
    assert len(sampler.levels) == 21 and sampler.levels[0] <= 0.3 and sampler.levels[-1] == 0
    roots = sampler.levels[:-1] ** (1 / 7)  # evenly spaced, as those of Karras are
    torch.testing.assert_close(roots.diff(), roots.diff()[:1].expand(19), rtol=1e-9, atol=1e-12)
    whole = Karras().levels(20)
    free = invcore.denoiser("gaussian", mean=torch.zeros(1, 1, 4), spectrum=torch.ones(1, 1, 1))
    assert torch.equal(DiffusionSampler(free, steps=20).levels, whole)


@pytest.mark.parametrize(
    "make, off", [(lambda D: DiffusionSampler(D, guidance=MomentMatching(), steps=60), 0.05), (DDRM, 0.08)]
)
def test_draws_are_near_the_posterior(make, off):
    """Where pixels are seen; the others keep the direct estimate, half the range, and its missing spread."""
    y = torch.tensor([[[0.9, 0.0, 0.2, 0.5]]], dtype=torch.float64)
    sampler = make(Limited())
    x = sampler(y.expand(4000, 1, 1, 4), PHYSICS, generator=rng(0))
    expected = MEAN + VARIANCE / (VARIANCE + SIGMA**2) * (y - MEAN)
    seen = MASK[0, 0] > 0
    assert float((x.mean(0) - expected)[0, 0][seen].abs().max()) < off


def test_an_image_to_start_from():
    sampler = DiffusionSampler(Limited(), guidance=MomentMatching(), steps=20)
    x0, y = torch.full((1, 1, 4), 0.8, dtype=torch.float64), torch.zeros(1, 1, 4, dtype=torch.float64)
    assert "starts from a direct estimate" in sampler.bias
    first = sampler.init(sampler.problem(y.expand(2000, 1, 1, 4), PHYSICS, x0), rng(0)).x
    assert float((first.mean(0) - x0).abs().max()) < 5 * 0.3 / 2000**0.5


def test_what_cannot_start_says_so():
    with pytest.raises(ParameterError, match="noise up to 0.3 only"):
        DiffusionSampler(Limited()).unconditional((1, 1, 4), generator=rng(0))
    low = invcore.schedule("diffusion.karras", sigma_min=0.5, sigma_max=2.0)
    with pytest.raises(ParameterError, match="up to 0.3, below those of Karras"):
        DiffusionSampler(Limited(), schedule=low, steps=5).levels  # noqa: B018


def test_a_chain_starts_where_the_data_point():
    y = torch.tensor([[[0.9, 0.0, 0.2, 0.5]]], dtype=torch.float64)
    chain = invcore.sampler("diffusion.ula", denoiser=Limited())
    start = chain.problem(y, PHYSICS).x0
    expected = 0.5 + (y - 0.5) / (1 + SIGMA**2)  # half the range where nothing is seen
    torch.testing.assert_close(start, torch.where(MASK > 0, expected, 0.5), rtol=1e-3, atol=1e-3)


LEVELS = Karras(sigma_min=0.02, sigma_max=10.0)


@pytest.mark.parametrize(
    ("make", "off"),
    [
        (lambda D: DAPS(D, flow_steps=1, variance=VARIANCE, schedule=LEVELS, steps=30), 0.03),
        (lambda D: SCG(D, candidates=16, schedule=LEVELS, steps=30), 0.12),
        (lambda D: EnKG(D, particles=16, flow_steps=1, schedule=LEVELS, steps=30), 0.12),
        (lambda D: Latino(D, schedule=VarianceExploding(sigma_min=0.02, sigma_max=5.0), steps=60), 0.06),
    ],
)
def test_other_samplers_take_the_levels_that_the_denoiser_knows(make, off):
    y = torch.tensor([[[0.9, 0.0, 0.2, 0.5]]], dtype=torch.float64)
    sampler = make(Limited())
    assert "starts from a direct estimate" in sampler.bias
    x = sampler(y.expand(1000, 1, 1, 4), PHYSICS, generator=rng(0))
    expected = MEAN + VARIANCE / (VARIANCE + SIGMA**2) * (y - MEAN)
    seen = MASK[0, 0] > 0
    assert float((x.mean(0) - expected)[0, 0][seen].abs().max()) < off


@pytest.mark.parametrize("name", ["smc", "mcgdiff", "fps", "flow"])
def test_samplers_that_must_begin_as_noise_refuse(name):
    with pytest.raises(ParameterError, match=r"diffusion\.daps"):
        invcore.sampler(f"diffusion.{name}", denoiser=Limited())


@pytest.mark.parametrize("name", ["daps", "scg", "enkg", "red_diff", "ddrm", "smc", "latino"])
def test_levels_below_those_of_the_denoiser_are_refused_at_once(name):
    class Coarse(Denoiser):
        channels, value_range, sigma_range, spatial_dims = 1, (0.0, 1.0), (0.5, float("inf")), 2

        def denoise(self, x, sigma):
            return x

    with pytest.raises(ParameterError, match=r"takes those from 0\.5 to inf: take another schedule"):
        invcore.sampler(f"diffusion.{name}", denoiser=Coarse())
