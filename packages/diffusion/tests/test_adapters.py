"""Networks of every parametrization as denoisers: exact networks must give the exact denoiser."""

import dataclasses

import pytest
import torch

import invcore
from invcore.denoisers import GaussianDenoiser
from invcore_diffusion import (
    EDM,
    Consistency,
    Cosine,
    DiffusionDenoiser,
    DiffusionSampler,
    Discrete,
    DPMSolver,
    Flow,
    FromVelocity,
    Scaled,
    UniPC,
    VarianceExploding,
    VariancePreserving,
)

BETAS = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
PROCESSES = {
    "vp": VariancePreserving(),
    "cosine": Cosine(),
    "discrete": Discrete.from_betas(BETAS),
    "ve": VarianceExploding(),
    "edm": EDM(),
    "flow": Flow(),
}
MEAN = torch.tensor([[[0.2, 0.4], [0.5, 0.8]]], dtype=torch.float64)
ROOT = torch.tensor(
    [[0.3, 0.0, 0.0, 0.0], [0.1, 0.2, 0.0, 0.0], [0.0, 0.1, 0.2, 0.0], [0.2, 0.0, 0.1, 0.1]],
    dtype=torch.float64,
)
IMAGES = GaussianDenoiser(mean=MEAN, covariance=ROOT @ ROOT.T)
"""Images in [0, 1], about; the network sees them in [-1, 1]."""


class Exact(torch.nn.Module):
    """A perfect network for IMAGES in [-1, 1]."""

    def __init__(self, process, prediction):
        super().__init__()
        self.process, self.prediction, self.seen = process, prediction, []
        self.images = GaussianDenoiser(mean=2 * MEAN - 1, covariance=4 * ROOT @ ROOT.T)

    def forward(self, z, time):
        self.seen.append((z, time))
        sigma = self.process.sigma(time)[:, None, None, None].to(z.dtype)
        s = self.process.scale(sigma) * torch.ones_like(sigma)
        x = z / s
        clean = self.images(x, sigma.flatten())
        noise = (x - clean) / sigma
        if self.prediction == "epsilon":
            return noise
        if self.prediction == "x0":
            return clean
        if self.prediction == "v":
            return s * noise - s * sigma * clean
        if self.prediction == "score":  # the density of z is that of x, stretched
            return (clean - x) / sigma**2 / s
        if self.prediction == "velocity":
            return clean - noise
        data = self.process.sigma_data
        skip, out = data**2 / (sigma**2 + data**2), sigma * data / (sigma**2 + data**2).sqrt()
        return (clean - skip * x) / out


CASES = [(name, kind) for name in PROCESSES for kind in ("epsilon", "x0", "v", "score")]
CASES += [("flow", "velocity"), ("edm", "edm")]


@pytest.mark.parametrize(("name", "prediction"), CASES)
def test_exact_network_is_the_exact_denoiser(name, prediction):
    process = PROCESSES[name]
    D = DiffusionDenoiser(Exact(process, prediction), process, prediction=prediction)
    levels = torch.tensor([0.05, 0.3, 1.0, 8.0], dtype=torch.float64)
    x = MEAN + 2 * torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(D(x, levels), IMAGES(x, levels), rtol=1e-12, atol=1e-12)
    assert torch.allclose(D(x[0], 0.3), IMAGES(x[0], 0.3), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["vp", "cosine", "discrete", "flow"])
def test_network_sees_what_it_was_trained_on(name):
    """Images and noise of the process: of unit variance if variance is preserved, on the line for a flow."""
    process = PROCESSES[name]
    network = Exact(process, "epsilon")
    D = DiffusionDenoiser(network, process)
    D(torch.full((1, 2, 2), 0.75, dtype=torch.float64), 0.5)
    z, time = network.seen[0]
    sigma = float(process.sigma(time))
    assert sigma == pytest.approx(1.0)  # twice that of images in [0, 1]
    expected = 0.5 / (1 + sigma) if name == "flow" else 0.5 / (1 + sigma**2) ** 0.5
    assert torch.allclose(z, torch.full_like(z, expected))


def test_consistency_function():
    """With F of an exact consistency function: D is the map of the flow to σ_min."""
    edm = EDM(sigma_min=0.1, time_factor=250.0)
    variance = torch.tensor(0.36, dtype=torch.float64)

    def mapped(x, sigma):
        return ((variance + 0.1**2) / (variance + sigma**2)).sqrt() * x

    class Network(torch.nn.Module):
        def forward(self, z, time):
            sigma = (time / 250).exp()[:, None, None, None]
            x = z * (sigma**2 + 0.25).sqrt()
            skip = 0.25 / ((sigma - 0.1) ** 2 + 0.25)
            out = 0.5 * (sigma - 0.1) / (sigma**2 + 0.25).sqrt()
            return (mapped(x, sigma) - skip * x) / out

    D = DiffusionDenoiser(Network(), edm, prediction="consistency", value_range=(-1.0, 1.0))
    x = torch.linspace(-3, 3, 4, dtype=torch.float64).reshape(1, 2, 2)
    assert torch.allclose(D(x, 2.0), mapped(x, 2.0), rtol=1e-12)
    sampler = DiffusionSampler(D, schedule=edm, integrator=Consistency(sigma_min=0.1), steps=2)
    g = torch.Generator().manual_seed(0)
    draws = sampler.unconditional((1, 2, 2), batch=(5000,), generator=g, dtype=torch.float64)
    assert float(draws.var()) == pytest.approx(0.37, rel=0.05)


def test_whole_steps_take_the_nearest():
    process = dataclasses.replace(PROCESSES["discrete"], whole=True)
    network = Exact(process, "epsilon")
    D = DiffusionDenoiser(network, process, value_range=(-1.0, 1.0))
    table = process.sigma(torch.arange(1000))
    assert torch.allclose(D(2 * MEAN - 1, float(table[500])), network.images(2 * MEAN - 1, float(table[500])))
    D(MEAN, float(0.3 * table[500] + 0.7 * table[501]))
    steps = [time for _, time in network.seen]
    assert [int(t) for t in steps] == [500, 501] and not steps[0].is_floating_point()


def test_samplers_draw_the_images_of_the_network():
    """Schedule, denoiser and integrator together: mean and covariance, in units of the image."""
    process = PROCESSES["discrete"]
    D = DiffusionDenoiser(Exact(process, "v"), process, prediction="v")
    for integrator in (UniPC(), DPMSolver(eta=1.0)):
        schedule = Scaled(dataclasses.replace(process, spacing="karras"), factor=0.5)
        sampler = DiffusionSampler(D, schedule=schedule, integrator=integrator, steps=60)
        g = torch.Generator().manual_seed(1)
        x = sampler.unconditional((1, 2, 2), batch=(20_000,), generator=g, dtype=torch.float64).flatten(1)
        assert float((x.mean(0) - MEAN.flatten()).abs().max()) < 0.01
        assert float((torch.cov(x.T) - ROOT @ ROOT.T).abs().max()) < 0.05 * float((ROOT @ ROOT.T).max())


def test_levels_in_units_of_the_image():
    process = PROCESSES["vp"]
    D = DiffusionDenoiser(Exact(process, "epsilon"), process)
    assert torch.allclose(D.schedule.levels(10), process.levels(10) / 2)
    assert D.sigma_range == (process.ends[0] / 2, process.ends[1] / 2)
    for spacing in ("time", "log_snr", "karras"):  # every level is one that the network knows
        E = dataclasses.replace(D, process=dataclasses.replace(process, spacing=spacing))
        for sigma in E.schedule.levels(20)[:-1].tolist():
            E(MEAN, sigma)
    with pytest.raises(invcore.ParameterError, match="sigma must lie in"):
        D(MEAN, 100.0)
    same = DiffusionDenoiser(Exact(process, "epsilon"), process, value_range=(-1.0, 1.0))
    assert same.schedule is process


def test_sampler_says_which_levels_a_network_knows():
    D = DiffusionDenoiser(Exact(PROCESSES["discrete"], "epsilon"), PROCESSES["discrete"])
    with pytest.raises(
        invcore.ParameterError, match=r"from 0\.005 to 78\.7: take schedule=denoiser\.schedule"
    ):
        DiffusionSampler(D)
    DiffusionSampler(D, schedule=D.schedule)


def test_velocity_is_the_denoiser_from_velocity():
    network, flow = Exact(Flow(), "velocity"), Flow()
    D = DiffusionDenoiser(network, flow, prediction="velocity", value_range=(-1.0, 1.0))
    x = 2 * MEAN - 1 + torch.linspace(-1, 1, 4, dtype=torch.float64).reshape(1, 2, 2)
    assert torch.allclose(D(x, 0.7), FromVelocity(network)(x, 0.7), rtol=1e-12)
    assert D.sigma_range[0] == 0


class Told(torch.nn.Module):
    """Gives back the sum of what it is told, in each pixel."""

    def forward(self, z, time, condition):
        total = condition.reshape(len(z), -1).sum(1)
        return total.to(z.dtype)[:, None, None, None].expand(z.shape)


def test_conditions_reach_the_network():
    make = lambda **k: DiffusionDenoiser(
        Told(), VariancePreserving(), prediction="x0", network_range=(0.0, 1.0), **k
    )
    x = torch.zeros(2, 3, 1, 4, 4)
    assert torch.equal(make(condition=torch.tensor(7))(x, 1.0), torch.full_like(x, 7))
    classes = torch.arange(6).reshape(2, 3)
    assert torch.equal(make(condition=classes)(x, 1.0)[..., 0, 0, 0], classes.float())
    text = torch.ones(5, 8)
    assert torch.equal(make(condition=text, condition_dims=2)(x, 1.0), torch.full_like(x, 40))
    each = text * torch.arange(3.0)[:, None, None]
    assert torch.equal(make(condition=each, condition_dims=2)(x, 1.0)[1, :, 0, 0, 0], 40 * torch.arange(3.0))
    for wrong in ({"condition": torch.arange(4)}, {"condition": torch.tensor(1), "condition_dims": 1}):
        with pytest.raises(invcore.ShapeError, match="condition"):
            make(**wrong)(x, 1.0)


class Halving(torch.nn.Module):
    """A network that halves the size twice."""

    def __init__(self, outputs=1):
        super().__init__()
        self.down, self.up = torch.nn.AvgPool2d(4), torch.nn.Upsample(scale_factor=4)
        self.outputs = outputs

    def forward(self, z, time):
        return self.up(self.down(z)).repeat(1, self.outputs, 1, 1)


def test_sizes_that_are_no_multiples():
    D = DiffusionDenoiser(
        Halving(), VariancePreserving(), prediction="x0", network_range=(0.0, 1.0), multiple=4
    )
    x = torch.rand(2, 1, 10, 13, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    out = D(x, 0.5)
    s = VariancePreserving().scale(0.5)
    assert out.shape == x.shape
    assert torch.allclose(out[..., :8, :12], s * Halving()(x[..., :8, :12], None))
    with pytest.raises(invcore.ShapeError, match="multiple"):
        dataclasses.replace(D, multiple=1)(x, 0.5)


def test_learned_variances_are_left_out():
    vp = VariancePreserving()
    one, two = (DiffusionDenoiser(Halving(k), vp, multiple=4) for k in (1, 2))
    x = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one(x, 0.5), two(x, 0.5))
    with pytest.raises(invcore.ShapeError, match="twice the channels"):
        DiffusionDenoiser(Halving(3), vp, multiple=4)(x, 0.5)


def test_network_keeps_its_own_precision():
    network = torch.nn.Conv2d(1, 1, 1).bfloat16()

    class Timeless(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network

        def forward(self, z, time):
            assert z.dtype == time.dtype == torch.bfloat16
            return self.inner(z)

    D = DiffusionDenoiser(Timeless(), VariancePreserving())
    assert D(torch.zeros(1, 4, 4), 0.5).dtype == torch.float32


def test_gradients_reach_image_and_weights():
    network = torch.nn.Conv2d(1, 1, 1)

    class Timeless(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network

        def forward(self, z, time):
            return self.inner(z)

    x = torch.zeros(1, 4, 4, requires_grad=True)
    DiffusionDenoiser(Timeless(), VariancePreserving())(x, 0.5).sum().backward()
    assert x.grad is not None and network.weight.grad is not None


@pytest.mark.parametrize(
    "make",
    [
        lambda: DiffusionDenoiser(Halving(), VariancePreserving(), prediction="noise"),
        lambda: DiffusionDenoiser(Halving(), VariancePreserving(), prediction="velocity"),
        lambda: DiffusionDenoiser(Halving(), VariancePreserving(), prediction="edm"),
        lambda: DiffusionDenoiser(Halving(), VariancePreserving(), value_range=(1.0, 0.0)),
        lambda: DiffusionDenoiser(Halving(), VariancePreserving(), multiple=0),
    ],
)
def test_nonsense_is_refused(make):
    with pytest.raises(invcore.ParameterError):
        make()


def test_complex_images_are_sent_to_the_wrapper():
    D = DiffusionDenoiser(Halving(), VariancePreserving(), multiple=4)
    x = torch.zeros(1, 4, 4, dtype=torch.complex64)
    with pytest.raises(invcore.DtypeError, match="ComplexParts"):
        D(x, 0.5)
    assert invcore.denoiser("complex_parts", D)(x, 0.5).shape == x.shape
