"""Schedules: levels of the literature, times and levels as inverses."""

import dataclasses
import math

import pytest
import torch

import invcore
from invcore_diffusion import (
    EDM,
    Cosine,
    Discrete,
    Flow,
    Karras,
    Scaled,
    VarianceExploding,
    VariancePreserving,
)

BETAS = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
PROCESSES = {
    "vp": VariancePreserving(),
    "cosine": Cosine(),
    "discrete": Discrete.from_betas(BETAS),
    "ve": VarianceExploding(),
    "flow": Flow(),
    "edm": EDM(),
}


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_time_and_level_are_inverse(process):
    low, high = process.ends
    sigma = torch.linspace(math.log(low), math.log(high), 97, dtype=torch.float64).exp()
    assert torch.allclose(process.sigma(process.time(sigma)), sigma, rtol=1e-10, atol=0)


@pytest.mark.parametrize("name", ["vp", "cosine", "discrete", "flow"])
def test_scale_is_that_of_the_process(name):
    process, sigma = PROCESSES[name], torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64)
    s = process.scale(sigma)
    noise = s * sigma
    total = s + noise if name == "flow" else s**2 + noise**2
    assert torch.allclose(total, torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("spacing", ["time", "log_snr", "karras"])
@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_levels_fall_within_the_ends(process, spacing):
    levels = dataclasses.replace(process, spacing=spacing).levels(25)
    low, high = process.ends
    assert levels.shape == (26,) and levels[-1] == 0 and bool((levels.diff() < 0).all())
    assert abs(float(levels[0]) / high - 1) < 1e-12 and float(levels[0]) <= high and float(levels[-2]) >= low


def test_linear_rate_is_the_integral_of_its_rate():
    t = torch.linspace(1e-3, 1, 20001, dtype=torch.float64)
    rate = 0.1 + t * 19.9
    exponent = torch.trapezoid(rate, t) + 1e-3 * (0.1 + 19.9 * 5e-4)
    alpha = math.exp(-float(exponent))
    process = VariancePreserving()
    assert float(process.sigma(t[-1])) == pytest.approx(math.sqrt((1 - alpha) / alpha), rel=1e-9)


def test_cosine_is_the_published_formula():
    t = torch.linspace(0.001, 0.99, 40, dtype=torch.float64)
    alpha = ((t + 0.008) / 1.008 * math.pi / 2).cos() ** 2 / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    assert torch.allclose(Cosine().sigma(t), ((1 - alpha) / alpha).sqrt(), rtol=1e-9, atol=0)


def test_table_gives_its_own_steps():
    alphas = torch.cumprod(1 - BETAS, 0)
    process = Discrete(alphas, whole=True)
    steps = torch.arange(1000, dtype=torch.float64)
    assert torch.allclose(process.sigma(steps), ((1 - alphas) / alphas).sqrt(), rtol=1e-12, atol=0)
    assert torch.equal(process.time(process.sigma(steps) * 1.0001), steps)
    levels = process.levels(50)[:-1]
    chosen = torch.linspace(999, 0, 50, dtype=torch.float64).round()
    assert torch.allclose(levels, process.sigma(chosen), rtol=1e-12, atol=0)


def test_spacings():
    ve = VarianceExploding(sigma_min=0.01, sigma_max=10.0)
    assert torch.allclose(ve.levels(4)[:-1], torch.tensor([10.0, 1.0, 0.1, 0.01], dtype=torch.float64))
    karras = VarianceExploding(sigma_min=0.01, sigma_max=10.0, spacing="karras").levels(7)
    assert torch.allclose(karras, Karras(sigma_min=0.01, sigma_max=10.0).levels(7))
    times = 1 / (1 + Flow(t_min=0.2).levels(4))
    assert torch.allclose(times, torch.tensor([0.2, 0.4, 0.6, 0.8, 1.0], dtype=torch.float64))
    assert torch.allclose(Karras(rho=math.inf).levels(9)[:-1].log().diff().diff(), torch.zeros(7).double())


def test_levels_never_exceed_what_a_network_knows():
    """(50^(1/7))^7 is above 50 by rounding, and a denoiser would refuse that level."""
    for steps in range(1, 40):
        assert float(Karras().levels(steps)[0]) <= 50.0


def test_scaled():
    process = VariancePreserving()
    half = Scaled(process, factor=0.5)
    assert torch.equal(half.levels(5), process.levels(5) / 2)
    assert half.scale(1.0) == process.scale(2.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: VariancePreserving(beta_min=3.0, beta_max=2.0),
        lambda: VariancePreserving(t_min=0.0),
        lambda: VariancePreserving(spacing="even"),
        lambda: Cosine(t_max=1.0),
        lambda: Flow(t_min=0.5, t_max=0.4),
        lambda: Discrete(torch.tensor([0.5, 0.9])),
        lambda: Discrete(torch.tensor([1.0, 0.9])),
        lambda: EDM(sigma_data=0.0),
        lambda: Scaled(Karras(), factor=-1.0),
        lambda: Karras(sigma_min=-1.0),
        lambda: Discrete.from_betas(BETAS, whole=True).levels(1001),
    ],
)
def test_nonsense_is_refused(make):
    with pytest.raises(invcore.ParameterError):
        make()
