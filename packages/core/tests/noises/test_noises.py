"""Noise models against the distributions of scipy; batches, blocks, random levels, estimates of sigma."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats

from invcore import DataError, DtypeError, ParameterError, Physics, ShapeError, create, noise
from invcore.fidelities import L1, Box, Fidelity
from invcore.noises import (
    Compose,
    EntryNoise,
    FisherTippettNoise,
    GainUniform,
    GammaNoise,
    GaussianMapNoise,
    GaussianNoise,
    LaplaceNoise,
    LogPoissonNoise,
    PoissonGaussianNoise,
    PoissonNoise,
    Quantize,
    RicianNoise,
    SaltPepperNoise,
    Saturate,
    SigmaUniform,
    UniformNoise,
    estimate_sigma,
)
from invcore.operators import Identity, Space
from invcore.testing import ConformanceError, iter_checks
from invcore_testsupport import DATA, rng

F64, C64, C128 = torch.float64, torch.complex64, torch.complex128
SET12 = DATA / "images" / "set12"
N = 40_000


def drawn(model, level, dtype=F64, n=N):
    return model(torch.full((n,), level, dtype=dtype), generator=rng(7))


# -- distributions ---------------------------------------------------------------------------------

CONTINUOUS = {
    "uniform": (UniformNoise(width=0.7), 1.3, stats.uniform(0.6, 1.4)),
    "laplace": (LaplaceNoise(scale=0.4), 1.3, stats.laplace(1.3, 0.4)),
    "gamma": (GammaNoise(looks=3.0), 2.0, stats.gamma(3.0, scale=2.0 / 3.0)),
    "gamma, few looks": (GammaNoise(looks=0.4), 2.0, stats.gamma(0.4, scale=2.0 / 0.4)),
    "fisher_tippett": (FisherTippettNoise(looks=3.0), 0.5, stats.loggamma(3.0, loc=0.5 - math.log(3.0))),
    "fisher_tippett, few": (FisherTippettNoise(looks=0.4), 0.5, stats.loggamma(0.4, loc=0.5 - math.log(0.4))),
    "rician": (RicianNoise(sigma=0.5), 0.8, stats.rice(0.8 / 0.5, scale=0.5)),
    "rayleigh": (RicianNoise(sigma=0.5), 0.0, stats.rayleigh(scale=0.5)),
}
DISCRETE = {
    "poisson": (PoissonNoise(gain=0.5), 2.0, 0.5, stats.poisson(4.0)),
    "poisson, many": (PoissonNoise(gain=0.01), 2.0, 0.01, stats.poisson(200.0)),
}


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_distribution_and_moments(name, dtype):
    model, level, law = CONTINUOUS[name]
    y = drawn(model, level, dtype)
    assert y.dtype == dtype
    y = y.double().numpy()
    assert stats.kstest(y, law.cdf).pvalue > 1e-3
    mean, variance, kurtosis = law.stats("mvk")
    assert abs(y.mean() - mean) < 5 * math.sqrt(variance / N)
    assert abs(y.var() / variance - 1) < 5 * math.sqrt((kurtosis + 2) / N)
    shifted = y - y.mean()
    assert abs((shifted[1:] * shifted[:-1]).mean()) < 5 * variance / math.sqrt(N)  # neighbors are independent


def test_moments_as_the_docstrings_state_them():
    assert drawn(UniformNoise(width=0.7), 0.0).var() == pytest.approx(0.7**2 / 3, rel=0.03)
    assert drawn(LaplaceNoise(scale=0.4), 0.0).var() == pytest.approx(2 * 0.4**2, rel=0.06)
    assert drawn(GammaNoise(looks=3.0), 2.0).var() == pytest.approx(4 / 3, rel=0.06)
    y = drawn(FisherTippettNoise(looks=3.0), 0.0)
    assert y.mean() == pytest.approx(special.psi(3.0) - math.log(3.0), abs=0.02)
    assert y.var() == pytest.approx(special.polygamma(1, 3.0), rel=0.05)
    assert drawn(RicianNoise(sigma=0.5), 0.8).square().mean() == pytest.approx(0.8**2 + 2 * 0.5**2, rel=0.02)
    y = drawn(PoissonGaussianNoise(gain=0.5, sigma=0.6), 2.0)
    assert y.mean() == pytest.approx(2.0, abs=0.04) and y.var() == pytest.approx(0.5 * 2 + 0.36, rel=0.05)
    y = drawn(LogPoissonNoise(photons=1e5, mu=0.5), 2.0)
    assert y.mean() == pytest.approx(2.0, abs=0.001) and y.var() == pytest.approx(math.e / 0.25e5, rel=0.05)
    error = drawn(UniformNoise(width=5.0), 0.0)
    error = Quantize(step=0.1)(error) - error
    assert error.abs().max() <= 0.05 + 1e-12 and error.var() == pytest.approx(0.01 / 12, rel=0.03)


@pytest.mark.parametrize("name", DISCRETE)
def test_counts_follow_their_distribution(name):
    model, level, gain, law = DISCRETE[name]
    counts = drawn(model, level) / gain
    assert torch.allclose(counts, counts.round(), atol=1e-9)
    agrees_with(counts.round().numpy(), law)


def agrees_with(counts, law):
    """Pearson's chi-square test."""
    low, high = int(law.ppf(0.001)), int(law.ppf(0.999))
    edges = np.array([-np.inf, *np.arange(low, high) + 0.5, np.inf])
    seen = np.histogram(counts, edges)[0]
    cdf = law.cdf(edges[1:-1])
    expected = len(counts) * np.diff(np.concatenate([[0.0], cdf, [1.0]]))
    assert stats.chisquare(seen, expected).pvalue > 1e-3


def test_poisson_gaussian_density():
    y = drawn(PoissonGaussianNoise(gain=0.5, sigma=0.2), 1.0).numpy()
    k = np.arange(40)
    weights = stats.poisson.pmf(k, 2.0)
    assert (
        stats.kstest(y, lambda t: (weights * stats.norm.cdf(t[:, None], 0.5 * k, 0.2)).sum(-1)).pvalue > 1e-3
    )


def test_transmission_counts_and_the_count_of_zero():
    y = drawn(LogPoissonNoise(photons=20.0, mu=0.5), 3.0)
    counts = 20 * torch.exp(-0.5 * y)
    agrees_with(torch.where(counts < 0.5, 0.0, counts).round().numpy(), stats.poisson(20 * math.exp(-1.5)))
    dark = LogPoissonNoise(photons=20.0)(torch.full((5,), 100.0), generator=rng())
    assert torch.allclose(dark, torch.tensor(math.log(200.0)))  # 0.1 counts


def test_complex_noise_is_circular():
    y = drawn(LaplaceNoise(scale=0.4), 0.0, C128).numpy()
    assert stats.kstest(np.abs(y), stats.gamma(2.0, scale=0.4).cdf).pvalue > 1e-3
    assert stats.kstest(np.angle(y), stats.uniform(-math.pi, 2 * math.pi).cdf).pvalue > 1e-3
    assert abs((np.abs(y) ** 2).mean() / (6 * 0.4**2) - 1) < 0.05
    y = drawn(UniformNoise(width=0.7), 0.0, C64).numpy()
    for part in (y.real, y.imag):
        assert stats.kstest(part, stats.uniform(-0.7, 1.4).cdf).pvalue > 1e-3
    assert abs((y.real * y.imag).mean()) < 5 * 0.7**2 / 3 / math.sqrt(N)
    z = torch.tensor([0.13 + 2j, -3 - 0.26j], dtype=C128)
    assert torch.allclose(Quantize(step=0.1)(z), torch.tensor([0.1 + 2j, -3 - 0.3j], dtype=C128))
    assert torch.equal(Saturate(low=-1.0)(z), torch.tensor([0.13 + 1j, -1 - 0.26j], dtype=C128))


def test_impulses():
    y = drawn(SaltPepperNoise(pepper=0.1, salt=0.3, low=-1.0, high=2.0), 0.5)
    counts = [int((y == v).sum()) for v in (-1.0, 0.5, 2.0)]
    assert stats.chisquare(counts, [0.1 * N, 0.6 * N, 0.3 * N]).pvalue > 1e-3
    everything = SaltPepperNoise(pepper=0.5, salt=0.5)(torch.full((1000,), 0.5), generator=rng())
    assert not bool((everything == 0.5).any())
    with pytest.raises(ParameterError, match="no likelihood"):
        SaltPepperNoise().likelihood()


def test_a_map_of_noise_levels():
    sigma = torch.tensor([[0.1], [1.0], [3.0]], dtype=F64)  # one per row, of an image without batch
    space = Space((1, 3, 5000))
    y = GaussianMapNoise(sigma=sigma[None])(
        torch.zeros(2, 1, 3, 5000, dtype=F64), space=space, generator=rng()
    )
    assert torch.allclose(y.std(-1), sigma[None, None, :, 0].expand(2, 1, 3), rtol=0.05)
    for row, s in zip(y[0, 0].numpy(), (0.1, 1.0, 3.0)):
        assert stats.kstest(row, stats.norm(0, s).cdf).pvalue > 1e-3
    both = torch.stack([sigma[None], 2 * sigma[None]])  # a map per sample brings the batch
    y = GaussianMapNoise(sigma=both)(
        torch.zeros(1, 3, 5000, dtype=C128), space=Space((1, 3, 5000), "complex"), generator=rng()
    )
    assert y.shape == (2, 1, 3, 5000)
    assert torch.allclose(y.imag.std(-1), both[..., 0], rtol=0.05)
    with pytest.raises(ShapeError, match="sigma has shape"):
        GaussianMapNoise(sigma=torch.ones(4))(torch.zeros(3), generator=rng())
    with pytest.raises(ShapeError, match="sigma has shape"):
        GaussianMapNoise(sigma=torch.ones(()))(torch.zeros(3), generator=rng())


# -- one rule for batches --------------------------------------------------------------------------

PER_SAMPLE = torch.tensor([0.2, 0.5, 0.9, 0.4])
MODELS = {
    "map": GaussianMapNoise(sigma=torch.rand(4, 2, 3, generator=rng()) + 0.1),
    "uniform": UniformNoise(width=PER_SAMPLE),
    "laplace": LaplaceNoise(scale=PER_SAMPLE),
    "poisson": PoissonNoise(gain=PER_SAMPLE),
    "poisson_gaussian": PoissonGaussianNoise(gain=PER_SAMPLE, sigma=PER_SAMPLE),
    "log_poisson": LogPoissonNoise(photons=100 * PER_SAMPLE),
    "gamma": GammaNoise(looks=PER_SAMPLE),
    "fisher_tippett": FisherTippettNoise(looks=PER_SAMPLE),
    "rician": RicianNoise(sigma=PER_SAMPLE),
    "salt_pepper": SaltPepperNoise(pepper=PER_SAMPLE / 2, salt=0.1),
    "quantize": Quantize(step=PER_SAMPLE),
    "saturate": Saturate(high=PER_SAMPLE),
    "compose": Compose((PoissonNoise(gain=PER_SAMPLE), GaussianNoise(sigma=PER_SAMPLE), SaltPepperNoise())),
}


@pytest.mark.parametrize("name", MODELS)
def test_any_batch_split_gives_the_same_numbers(name):
    model, space = MODELS[name], Space((2, 3))
    y = torch.rand(4, 2, 3, generator=rng(1)) + 0.5
    whole = model(y, space=space, generator=rng(5))
    for sizes in ((1, 3), (2, 2), (3, 1), (1, 1, 1, 1)):
        g, start, parts = rng(5), 0, []
        for n in sizes:
            inside = slice(start, start + n)
            own = {k: p[inside] for k, p in model.parameters().items() if p.ndim}
            parts.append(model.bind(**own)(y[inside], space=space, generator=g))
            start += n
        assert torch.equal(torch.cat(parts), whole)
    transposed = y.transpose(1, 2).contiguous().transpose(1, 2)  # another memory layout
    assert torch.equal(model(transposed, space=space, generator=rng(5)), whole)
    brought = model(y[0], space=space, generator=rng(5))  # parameters bring the batch
    assert brought.shape == whole.shape


def test_blocks_of_a_stacked_operator():
    space = (Space((3,)), (Space((2, 2)),))
    y = (torch.ones(2, 3), (torch.ones(2, 2, 2),))
    model = PoissonNoise(gain=torch.tensor([0.1, 0.2]))
    whole = model(y, space=space, generator=rng(3))
    g = rng(3)
    alone = [
        model.bind(gain=s)((y[0][i], (y[1][0][i],)), space=space, generator=g)
        for i, s in enumerate((0.1, 0.2))
    ]
    assert torch.allclose(whole[0], torch.stack([a[0] for a in alone]))
    assert torch.allclose(whole[1][0], torch.stack([a[1][0] for a in alone]))


def test_gradients_pass_through_additive_noise_and_levels():
    sigma = torch.tensor(0.3, dtype=F64, requires_grad=True)
    y = torch.ones(5, dtype=F64, requires_grad=True)
    for model in (UniformNoise(width=sigma), LaplaceNoise(scale=sigma), RicianNoise(sigma=sigma)):
        assert torch.autograd.gradcheck(
            lambda s, t, model=model: model.bind(**{model.params[0]: s})(t, generator=rng()), (sigma, y)
        )


# -- mistakes --------------------------------------------------------------------------------------


def test_wrong_use_is_refused():
    with pytest.raises(DataError, match="clean data >= 0, got -1"):
        PoissonNoise(gain=1.0)(torch.tensor([1.0, -1.0]), generator=rng())
    for model in (PoissonNoise(), GammaNoise(looks=1.0), RicianNoise(sigma=1.0), SaltPepperNoise()):
        with pytest.raises(DtypeError, match="real data"):
            model(torch.ones(2, dtype=C64), generator=rng())
    with pytest.raises(ParameterError, match="pass generator"):
        PoissonNoise()(torch.ones(2))
    for make in (
        lambda: PoissonNoise(gain=0.0),
        lambda: GammaNoise(looks=torch.tensor([1.0, -1.0])),
        lambda: SaltPepperNoise(pepper=0.7, salt=0.7),
        lambda: Saturate(low=1.0, high=0.0),
        lambda: Quantize(step=0.0),
        lambda: SigmaUniform(low=0.2, high=0.1),
        lambda: GainUniform(low=0.0, high=0.1),
        lambda: SigmaUniform(low=0.0, high=0.1, scale="log"),
    ):
        with pytest.raises(ParameterError):
            make()
    assert isinstance(noise("poisson", gain=0.5), PoissonNoise)


# -- generators of levels --------------------------------------------------------------------------


def test_generators_of_levels():
    sigma = SigmaUniform(low=0.1, high=0.4)(batch=(5000,), generator=rng())["sigma"]
    assert stats.kstest(sigma.numpy(), stats.uniform(0.1, 0.3).cdf).pvalue > 1e-3
    gain = create("generator", "gain", low=0.01, high=1.0, scale="log")(batch=(5000,), generator=rng())[
        "gain"
    ]
    assert stats.kstest(gain.numpy(), stats.loguniform(0.01, 1.0).cdf).pvalue > 1e-3
    physics = Physics(Identity((1, 2000)), GaussianNoise(sigma=1.0))
    levels = SigmaUniform(low=0.1, high=2.0)(batch=(3,), generator=rng(1))
    y = physics(torch.zeros(3, 1, 2000), generator=rng(2), **levels)
    assert torch.allclose(y.std((1, 2)), levels["sigma"], rtol=0.1)
    with pytest.raises(ParameterError, match="pass generator"):
        SigmaUniform(low=0.1, high=0.2)()


# -- estimates of sigma ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["wavelet", "patch"])
def test_sigma_of_pure_noise(method):
    sigma = torch.tensor([0.01, 0.5, 30.0], dtype=F64)
    ramp = torch.linspace(0, 5, 129, dtype=F64)  # an affine image has no detail
    for dtype in (F64, C128):
        x = ramp.to(dtype).expand(3, 2, 130, 129)
        y = GaussianNoise(sigma=sigma)(
            x,
            space=Space((2, 130, 129)) if dtype == F64 else Space((2, 130, 129), "complex"),
            generator=rng(),
        )
        estimate = estimate_sigma(y, method=method)
        assert estimate.shape == (3,) and estimate.dtype == F64
        assert torch.allclose(estimate, sigma, rtol=0.06)
        assert torch.allclose(estimate_sigma(y[1], method=method), estimate[1], rtol=1e-9)  # no batch


def test_sigma_in_one_and_three_dimensions():
    line = 0.3 * torch.randn(2, 1, 20_000, generator=rng())
    assert torch.allclose(estimate_sigma(line, spatial_dims=1), torch.tensor(0.3), rtol=0.05)
    volume = 0.3 * torch.randn(1, 40, 41, 42, generator=rng())
    assert estimate_sigma(volume, spatial_dims=3) == pytest.approx(0.3, rel=0.05)
    with pytest.raises(ParameterError, match="2-D"):
        estimate_sigma(volume, spatial_dims=3, method="patch")
    with pytest.raises(ParameterError, match="'wavelet' or 'patch'"):
        estimate_sigma(volume, method="other")
    with pytest.raises(ShapeError):
        estimate_sigma(torch.ones(5, 5))
    with pytest.raises(ShapeError, match="at least 16"):
        estimate_sigma(torch.ones(1, 5, 5), method="patch")


@pytest.mark.skipif(
    not SET12.is_dir(), reason=f"no Set12 images: {SET12} is missing; set INVCORE_DATA to the data folder"
)
@pytest.mark.parametrize(
    ("method", "worst", "mean"),
    [("wavelet", (1.95, 1.7, 1.4), (1.3, 0.95, 0.75)), ("patch", (4.9, 2.35, 1.85), (2.2, 1.0, 0.75))],
)
def test_sigma_of_set12(method, worst, mean):
    """Within the errors that the docstring states, for sigma = 5, 15, 25 of 255, on the smaller images."""
    from matplotlib.image import imread

    images = [torch.from_numpy(imread(SET12 / f"{k:02d}.png"))[None] for k in range(1, 8)]
    for sigma, limit, middle in zip((5, 15, 25), worst, mean):
        errors = []
        for x in images:
            y = GaussianNoise(sigma=sigma / 255)(x, generator=rng())
            errors.append(abs(255 * float(estimate_sigma(y, method=method)) - sigma))
        assert max(errors) <= limit
        assert sum(errors) / len(errors) <= 1.6 * middle  # the seven textured small images of twelve


# -- the kit sees through broken models ------------------------------------------------------------


class TooWide(EntryNoise):
    """Uniform noise that is wider than its likelihood says."""

    width: float
    params = ("width",)

    def draw(self, y, generator):
        return UniformNoise(width=2 * self.width).draw(y, generator)

    def likelihood(self):
        return Box(radius=self.width)


class Shifted(EntryNoise):
    """Laplace noise with a bias."""

    scale: float
    params = ("scale",)

    def draw(self, y, generator):
        return 0.1 + LaplaceNoise(scale=self.scale).draw(y, generator)

    def likelihood(self):
        return L1(scale=self.scale)


class OutsideBox(Fidelity):
    """An indicator whose proximal operator does not land in the set."""

    def value(self, u, y, space=None):
        return Box(radius=0.1).value(u, y, space)

    def prox(self, u, y, step, space=None):
        return Box(radius=0.2).prox(u, y, step, space)


@pytest.mark.parametrize(
    ("broken", "name", "message"),
    [
        (TooWide(width=0.3), "moments", "outside the support"),
        (Shifted(scale=0.3), "moments", "biased"),
        (OutsideBox(), "prox", "outside the domain"),
    ],
)
def test_the_kit_finds(broken, name, message):
    found = next(check for check in iter_checks(broken) if check.name == name)
    with pytest.raises(ConformanceError, match=message):
        found()
