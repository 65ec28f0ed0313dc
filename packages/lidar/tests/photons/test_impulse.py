"""Impulse responses against integrals, finite differences and their own samples."""

import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from invcore import DtypeError, ParameterError, ShapeError
from invcore_lidar import ImpulseResponse, MeasuredResponse

D = torch.float64


def responses():
    return {
        "gaussian": ImpulseResponse.gaussian(fwhm=0.7),
        "tail": ImpulseResponse.exponential_gaussian(sigma=0.3, decay=0.5),
        "long tail": ImpulseResponse.exponential_gaussian(sigma=0.02, decay=1.5),
        "short tail": ImpulseResponse.exponential_gaussian(sigma=0.5, decay=0.02),
        "measured": ImpulseResponse.measured(samples=torch.tensor([0.2, 1, 5, 3, 0.5], dtype=D), spacing=0.3),
        "one sample": MeasuredResponse(samples=torch.ones(1, dtype=D), spacing=0.5, origin=0.2),
    }


@pytest.mark.parametrize("name", responses())
def test_cumulative_is_the_integral_of_a_density_that_integrates_to_one(name):
    h = responses()[name]
    low, high = h.support

    def density(t):
        return h.density(torch.tensor(t, dtype=D)).item()

    points = np.linspace(low, high, 12)
    for a, b in itertools.pairwise(points):
        area = scipy.integrate.quad(density, a, b, epsabs=1e-13, limit=200)[0]
        grown = h.cumulative(torch.tensor(b, dtype=D)) - h.cumulative(torch.tensor(a, dtype=D))
        assert abs(area - grown.item()) < 1e-9
    ends = h.cumulative(torch.tensor([low, high, -1e3, 1e3], dtype=D))
    assert torch.allclose(ends, torch.tensor([0, 1, 0, 1.0], dtype=D), atol=1e-13)


def test_parametric_responses_equal_scipy():
    t = torch.linspace(-3, 8, 101, dtype=D)
    h = ImpulseResponse.exponential_gaussian(sigma=0.3, decay=0.5)
    truth = scipy.stats.exponnorm(K=0.5 / 0.3, scale=0.3)
    assert np.allclose(h.density(t), truth.pdf(t.numpy()), rtol=1e-10, atol=1e-14)
    assert np.allclose(h.cumulative(t), truth.cdf(t.numpy()), rtol=1e-10, atol=1e-14)
    g = ImpulseResponse.gaussian(fwhm=1.0)
    truth = scipy.stats.norm(scale=1 / (2 * math.sqrt(2 * math.log(2))))
    assert np.allclose(g.density(t), truth.pdf(t.numpy()), rtol=1e-12)
    assert np.allclose(g.cumulative(t), truth.cdf(t.numpy()), rtol=1e-10)
    assert np.allclose(g.log_density(t), truth.logpdf(t.numpy()), rtol=1e-12)


@pytest.mark.parametrize("name", responses())
def test_gradients_once_and_twice(name):
    h = responses()[name].bind()
    params = {k: torch.as_tensor(getattr(h, k), dtype=D).clone().requires_grad_() for k in h.params}
    t = torch.tensor([-0.13, 0.071, 0.22, 0.61], dtype=D, requires_grad=True)  # between the knots

    def both(t, *values):
        g = h.bind(**dict(zip(params, values)))
        return g.cumulative(t), g.density(t)

    assert torch.autograd.gradcheck(both, (t, *params.values()), eps=1e-7, atol=1e-5)
    assert torch.autograd.gradgradcheck(both, (t, *params.values()), eps=1e-7, atol=1e-4, rtol=1e-3)
    (slope,) = torch.autograd.grad(h.cumulative(t).sum(), t)
    assert torch.allclose(slope, h.density(t), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", responses())
def test_samples_follow_the_cumulative(name, generator):
    h = responses()[name]
    drawn = h.sample(20000, generator=generator)
    assert (
        scipy.stats.kstest(drawn.numpy(), lambda t: h.cumulative(torch.from_numpy(t)).numpy()).pvalue > 1e-3
    )


def test_width_at_half_maximum():
    assert ImpulseResponse.gaussian(fwhm=3e-10).fwhm == pytest.approx(3e-10, rel=1e-3)
    hat = ImpulseResponse.measured(samples=torch.tensor([1.0]), spacing=2.0)
    assert hat.fwhm == pytest.approx(2.0, rel=1e-3)
    assert ImpulseResponse.gaussian(fwhm=torch.tensor([1.0, 2.0])).fwhm == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize("name", ["gaussian", "tail", "measured"])
def test_batches_of_parameters_equal_a_loop(name):
    h = responses()[name]
    values = {k: torch.as_tensor(getattr(h, k), dtype=D) for k in h.params}
    scale = torch.tensor([1.0, 1.3], dtype=D)
    if name == "measured":
        batch = {"samples": values["samples"] * torch.tensor([[1.0] * 5, [1, 2, 1, 1, 3]], dtype=D)}
    else:
        batch = {k: v * scale for k, v in values.items()}
    t = torch.linspace(-1, 1, 24, dtype=D).reshape(2, 3, 4)
    together = h.bind(**batch).unsqueezed(2)
    for one in range(2):
        alone = h.bind(**{k: v[one] for k, v in batch.items()})
        assert torch.equal(together.density(t)[one], alone.density(t[one]))
        assert torch.equal(together.cumulative(t)[one], alone.cumulative(t[one]))
    assert together.density(t[:1]).shape == t.shape


def test_single_precision_far_out_is_finite():
    h = ImpulseResponse.exponential_gaussian(sigma=30e-12, decay=200e-12)
    t = torch.linspace(-1e-6, 1e-6, 1001).requires_grad_()
    h.cumulative(t).sum().backward()
    assert torch.isfinite(t.grad).all()
    assert torch.isfinite(h.density(t)).all()


def test_wrong_input_is_refused():
    with pytest.raises(ParameterError, match="sigma must be a positive time"):
        ImpulseResponse.gaussian(fwhm=-1.0)
    with pytest.raises(ParameterError, match="decay"):
        ImpulseResponse.exponential_gaussian(sigma=1.0, decay=math.nan)
    with pytest.raises(DtypeError, match="floating"):
        ImpulseResponse.gaussian(fwhm=torch.tensor(1)).bind(sigma=torch.tensor(1))
    with pytest.raises(ParameterError, match="not all zero"):
        ImpulseResponse.measured(samples=torch.zeros(3), spacing=1.0)
    with pytest.raises(ParameterError, match="spacing"):
        ImpulseResponse.measured(samples=torch.ones(3), spacing=0.0)
    with pytest.raises(ShapeError):
        ImpulseResponse.measured(samples=torch.ones(0), spacing=1.0)
    with pytest.raises(ParameterError, match="outside"):
        ImpulseResponse.gaussian(fwhm=1.0).interval(0.0)
    with pytest.raises(ShapeError, match="one response at a time"):
        ImpulseResponse.gaussian(fwhm=torch.ones(2)).sample(3, generator=torch.Generator())
