"""The exact denoisers against linear algebra, torch's densities, their least error, Tweedie's formula."""

import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

import invcore
from invcore.denoisers import EmpiricalDenoiser, GaussianDenoiser, GaussianMixtureDenoiser, _empirical
from invcore.operators import Convolution, Differences, Matrix

F64 = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, dtype=F64):
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


def covariance(n, seed=0, dtype=F64):
    root = normal(n, n, seed=seed, dtype=dtype)
    return root @ root.mH / n + 0.05 * torch.eye(n)


def wiener(mean, c, x, sigma):
    """By a linear solve, image by image."""
    n = mean.numel()
    away = (x - mean).reshape(-1, n)
    levels = torch.as_tensor(sigma, dtype=F64).expand(len(away))
    inside = [c @ torch.linalg.solve(c + s**2 * torch.eye(n, dtype=c.dtype), v) for v, s in zip(away, levels)]
    return mean + torch.stack(inside).view(x.shape)


@pytest.mark.parametrize("dtype", [F64, torch.complex128])
def test_gaussian_is_the_linear_solve(dtype):
    mean, c, x = normal(1, 2, 3, dtype=dtype), covariance(6, dtype=dtype), normal(5, 1, 2, 3, dtype=dtype)
    sigma = torch.tensor([0.01, 0.1, 1.0, 10.0, 100.0], dtype=F64)
    D = GaussianDenoiser(mean=mean, covariance=c)
    torch.testing.assert_close(D(x, sigma), wiener(mean, c, x, sigma), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(D(x, 0.0), x, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        D.to(torch.float32)(x.to(D.to(torch.float32).mean.dtype), 0.1),
        D(x, 0.1).to(torch.complex64 if x.is_complex() else torch.float32),
        rtol=1e-5,
        atol=1e-5,
    )


def stationary():
    """A field of the three forms: a spectrum, its matrix, and a blur that has it."""
    kernel = torch.tensor([[[1.0, 2.0, 1.0], [2.0, 5.0, 2.0], [1.0, 2.0, 1.0]]], dtype=F64) / 10
    A = Convolution(kernel=kernel, domain=(1, 6, 5))
    delta = torch.zeros(1, 6, 5, dtype=F64)
    delta[0, 0, 0] = 1
    spectrum = torch.fft.fftn(A.gram(delta)).real
    mean = normal(1, 6, 5)
    return mean, {"spectrum": spectrum, "covariance": A.gram.dense(), "operator": A.gram}


@pytest.mark.parametrize("form", ["spectrum", "operator"])
def test_the_three_forms_agree(form):
    mean, forms = stationary()
    x, sigma = normal(3, 1, 6, 5, seed=2), torch.tensor([0.1, 0.5, 3.0], dtype=F64)
    expected = wiener(mean, forms["covariance"], x, sigma)
    D = GaussianDenoiser(mean=mean, **{form: forms[form]})
    torch.testing.assert_close(D(x, sigma), expected, rtol=1e-9, atol=1e-9)
    exact = GaussianDenoiser(mean=mean, covariance=forms["covariance"])
    assert D.largest_variance == pytest.approx(float(forms["covariance"][0, 0]), rel=1e-12)
    torch.testing.assert_close(D.spread(F64)(x), exact.spread(F64)(x), rtol=1e-10, atol=1e-10)


def risk_of(D, expected, sigma=0.7, draws=20000):
    clean = D.sample((draws,), generator=seeded(1))
    parts = 2 if clean.is_complex() else 1
    noise = torch.view_as_complex(normal(*clean.shape, 2)) if parts == 2 else normal(*clean.shape)
    errors = (D(clean + sigma * noise, sigma) - clean).abs().square().flatten(1).sum(1)
    assert abs(float(errors.mean()) - expected) < 4 * float(errors.std()) / math.sqrt(draws)


@pytest.mark.parametrize("dtype", [F64, torch.complex128])
def test_gaussian_has_the_least_mean_squared_error(dtype):
    c, sigma = covariance(4, dtype=dtype), 0.7
    D = GaussianDenoiser(mean=normal(1, 4, dtype=dtype), covariance=c)
    noisy = c + sigma**2 * torch.eye(4, dtype=F64)
    best = float((c - c @ torch.linalg.solve(noisy, c)).trace().real) * (2 if c.is_complex() else 1)
    risk_of(D, best)


def test_draws_of_a_spectrum_have_its_error():
    mean, forms = stationary()
    s = forms["spectrum"]
    risk_of(GaussianDenoiser(mean=mean, spectrum=s), float((s * 0.49 / (s + 0.49)).sum()), draws=4000)


def test_gaussian_differentiates_twice_to_image_and_level():
    mean = normal(1, 2, 2, seed=9)
    x, sigma = normal(2, 1, 2, 2).requires_grad_(), torch.tensor([0.3, 2.0], dtype=F64, requires_grad=True)
    even = torch.tensor([[[2.0, 0.3], [0.7, 0.1]]], dtype=F64)
    blur = Convolution(kernel=normal(1, 2, 2).abs(), domain=(1, 2, 2)).gram
    for form in ({"covariance": covariance(4)}, {"spectrum": even}, {"operator": blur}):
        D = GaussianDenoiser(mean=mean, **form)
        assert torch.autograd.gradcheck(D, (x, sigma))
        assert torch.autograd.gradgradcheck(D, (x, sigma))


def test_gaussian_log_density():
    mean, c, x = normal(1, 2, 3), covariance(6), normal(4, 1, 2, 3, seed=3)
    for sigma in (0.0, 0.4):
        p = MultivariateNormal(mean.flatten(), c + sigma**2 * torch.eye(6, dtype=F64))
        found = GaussianDenoiser(mean=mean, covariance=c).log_density(x, sigma)
        torch.testing.assert_close(found, p.log_prob(x.flatten(1)), rtol=1e-12, atol=1e-12)
    mean, forms = stationary()
    x = normal(3, 1, 6, 5)
    one, other = (GaussianDenoiser(mean=mean, **{f: forms[f]}) for f in ("spectrum", "covariance"))
    torch.testing.assert_close(one.log_density(x, 0.3), other.log_density(x, 0.3), rtol=1e-11, atol=1e-11)


def test_directions_without_variance_are_projected_out_as_the_noise_vanishes():
    c = torch.ones(3, 3, dtype=F64)
    D, x = GaussianDenoiser(mean=torch.zeros(1, 3, dtype=F64), covariance=c), normal(1, 3)
    torch.testing.assert_close(D(x, 0.0), x.mean().expand(1, 3), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(D(x, 1e-7), D(x, 0.0), rtol=1e-9, atol=1e-9)
    assert not D.identity_at_zero


def test_gaussian_refuses():
    mean = torch.zeros(1, 2, dtype=F64)
    make = lambda **form: GaussianDenoiser(mean=mean, **form)
    with pytest.raises(invcore.ParameterError, match="one of covariance, spectrum and operator, got none"):
        make()
    with pytest.raises(invcore.ParameterError, match="covariance and spectrum"):
        make(covariance=torch.eye(2), spectrum=torch.ones(1, 2))
    with pytest.raises(invcore.ShapeError, match="expected 2 x 2"):
        make(covariance=torch.eye(3))
    with pytest.raises(invcore.ParameterError, match="not symmetric"):
        make(covariance=torch.tensor([[1.0, 0.5], [0.0, 1.0]]))
    with pytest.raises(invcore.ParameterError, match="not positive semidefinite"):
        make(covariance=torch.tensor([[1.0, 2.0], [2.0, 1.0]]))(mean, 1.0)
    with pytest.raises(invcore.ParameterError, match="variances"):
        make(spectrum=torch.tensor([[1.0, -1.0]]))
    with pytest.raises(invcore.ParameterError, match=r"even, S\(-k\) = S\(k\)"):
        GaussianDenoiser(mean=torch.zeros(1, 4), spectrum=torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    with pytest.raises(invcore.ShapeError, match="to itself"):
        make(operator=Matrix(torch.eye(2)))
    with pytest.raises(invcore.ParameterError, match="sigma must lie in"):
        make(operator=Differences((1, 2), spatial_dims=1).gram)(mean, 0.0)
    with pytest.raises(invcore.DtypeError, match="density is one of real images"):
        make(covariance=torch.eye(2, dtype=F64))(mean + 0j, 1.0)
    with pytest.raises(invcore.ShapeError, match=r"shape \(batch..., 1, 2\), got \(1, 3\)"):
        make(covariance=torch.eye(2, dtype=F64))(torch.zeros(1, 3), 1.0)


def mixture():
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=F64)
    means = normal(3, 1, 2, 2, seed=4)
    covariances = torch.stack([covariance(4, seed=s) for s in range(3)])
    return weights, means, covariances


def of_torch(weights, means, covariances, sigma):
    noisy = covariances + sigma**2 * torch.eye(covariances.shape[-1], dtype=F64)
    return MixtureSameFamily(Categorical(weights), MultivariateNormal(means.flatten(1), noisy))


@pytest.mark.parametrize("sigma", [0.05, 0.5, 5.0])
def test_mixture_obeys_tweedie(sigma):
    parts = mixture()
    D = GaussianMixtureDenoiser(**dict(zip(("weights", "means", "covariances"), parts)))
    x = normal(7, 1, 2, 2, seed=5).requires_grad_()
    log = of_torch(*parts, sigma).log_prob(x.flatten(1))
    (score,) = torch.autograd.grad(log.sum(), x)
    torch.testing.assert_close(D(x, sigma) - x, sigma**2 * score, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(D.log_density(x, sigma), log, rtol=1e-12, atol=1e-12)


def test_mixture_differentiates_twice_to_image_and_level():
    D = GaussianMixtureDenoiser(**dict(zip(("weights", "means", "covariances"), mixture())))
    x = normal(2, 1, 2, 2, seed=6).requires_grad_()
    equal = torch.tensor([0.5, 0.5], dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(D, (x, equal))
    assert torch.autograd.gradgradcheck(D, (x, equal))
    assert torch.autograd.gradcheck(D.log_density, (x, equal))


def test_mixture_of_complex_images():
    weights = torch.tensor([0.4, 0.6], dtype=F64)
    means = normal(2, 1, 3, dtype=torch.complex128)
    c = torch.stack([covariance(3, seed=s, dtype=torch.complex128) for s in range(2)])
    D = GaussianMixtureDenoiser(weights=weights, means=means, covariances=c)
    x, sigma = normal(5, 1, 3, seed=8, dtype=torch.complex128), 0.6
    logs, wieners = [], []
    for w, m, ck in zip(weights, means, c):
        one = GaussianDenoiser(mean=m, covariance=ck)
        noisy = 2 * (ck + sigma**2 * torch.eye(3, dtype=F64))  # of the complex numbers
        away = (x - m).flatten(1)
        quadratic = (away.conj() * torch.linalg.solve(noisy, away.mT).mT).sum(1).real
        logs.append(w.log() - quadratic - torch.linalg.det(math.pi * noisy).real.log())
        torch.testing.assert_close(one.log_density(x, sigma), logs[-1] - w.log(), rtol=1e-12, atol=1e-12)
        wieners.append(one(x, sigma))
    r = torch.stack(logs).softmax(0)
    expected = sum(rk.view(-1, 1, 1) * d for rk, d in zip(r, wieners))
    torch.testing.assert_close(D(x, sigma), expected, rtol=1e-12, atol=1e-12)


def test_mixture_draws_have_a_smaller_error_than_the_best_affine_estimate():
    weights, means, c = mixture()
    D = GaussianMixtureDenoiser(weights=weights, means=3 * means, covariances=0.1 * c)
    clean = D.sample((4000,), generator=seeded(2))
    m = clean.mean(0)
    torch.testing.assert_close(m, (weights.view(3, 1, 1, 1) * 3 * means).sum(0), rtol=0, atol=0.15)
    affine = GaussianDenoiser(mean=m, covariance=clean.flatten(1).T.cov())
    noisy = clean + normal(*clean.shape, seed=9)
    risks = [float((E(noisy, 1.0) - clean).square().mean()) for E in (D, affine)]
    assert risks[0] < 0.8 * risks[1]


def test_mixture_refuses():
    weights, means, c = mixture()
    given = {"weights": weights, "means": means, "covariances": c}
    make = lambda **new: GaussianMixtureDenoiser(**(given | new))
    with pytest.raises(invcore.ParameterError, match="sum one"):
        make(weights=torch.ones(3))
    with pytest.raises(invcore.ShapeError, match="weights"):
        make(weights=torch.ones(2))
    with pytest.raises(invcore.ShapeError, match="3 covariances"):
        make(covariances=c[0])
    with pytest.raises(invcore.ParameterError, match="sigma must lie in"):
        make(covariances=torch.zeros_like(c))(means[0], 0.0)
    with pytest.raises(invcore.ParameterError, match="not positive semidefinite"):
        make(covariances=-c)(means[0], 1.0)


def test_empirical_is_the_mixture_without_covariance():
    images, x = normal(20, 1, 3, 3), normal(6, 1, 3, 3, seed=1)
    sigma = torch.tensor([0.2, 0.5, 0.7, 1.0, 3.0, 50.0], dtype=F64)
    D = EmpiricalDenoiser(images)
    points = GaussianMixtureDenoiser(
        weights=torch.full((20,), 0.05, dtype=F64), means=images, covariances=torch.zeros(20, 9, 9, dtype=F64)
    )
    torch.testing.assert_close(D(x, sigma), points(x, sigma), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(D.log_density(x, sigma), points.log_density(x, sigma), rtol=1e-11, atol=1e-11)


def test_empirical_ends_at_the_nearest_image():
    images, x = normal(50, 1, 8, 8, dtype=torch.float32), normal(4, 1, 8, 8, seed=1, dtype=torch.float32)
    nearest = images[torch.cdist(x.flatten(1), images.flatten(1)).argmin(1)]
    D = EmpiricalDenoiser(images)
    for sigma in (0.0, 1e-30, 1e-18, 1e-6):
        assert torch.equal(D(x, sigma), nearest)
    a, b = torch.zeros(1, 1, dtype=F64), torch.full((1, 1), 2.0, dtype=F64)
    assert float(EmpiricalDenoiser(torch.stack([a, b]))(a + 1, 0.0)) == 1.0  # as near to both
    with pytest.raises(invcore.ParameterError, match="sigma > 0"):
        D.log_density(x, 0.0)


def test_chunks_change_nothing(monkeypatch):
    images = normal(30, 1, 2, 2, dtype=torch.complex128)
    x = normal(3, 1, 2, 2, seed=1, dtype=torch.complex128)
    D, sigma = EmpiricalDenoiser(images), torch.tensor([0.0, 0.4, 2.0], dtype=F64)
    whole, density = D(x, sigma), D.log_density(x, 0.4)
    monkeypatch.setattr(_empirical, "CHUNK", 50)  # four images at once
    torch.testing.assert_close(D(x, sigma), whole, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(D.log_density(x, 0.4), density, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("chunk", [2**22, 20])
def test_empirical_differentiates_twice_in_chunks_too(monkeypatch, chunk):
    monkeypatch.setattr(_empirical, "CHUNK", chunk)
    D = EmpiricalDenoiser(normal(9, 1, 3))
    x = normal(2, 1, 3, seed=1).requires_grad_()
    sigma = torch.tensor([0.5, 0.9], dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(D, (x, sigma))
    assert torch.autograd.gradgradcheck(D, (x, sigma))
    (score,) = torch.autograd.grad(D.log_density(x, sigma).sum(), x)
    torch.testing.assert_close(x + sigma.view(2, 1, 1) ** 2 * score, D(x, sigma), rtol=1e-12, atol=1e-12)


def test_derivatives_do_not_keep_the_differences(monkeypatch):
    D, x = EmpiricalDenoiser(normal(400, 1, 3, 3)), normal(2, 1, 3, 3, seed=1).requires_grad_()

    def kept(chunk):
        monkeypatch.setattr(_empirical, "CHUNK", chunk)
        sizes = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: sizes.setdefault(t.untyped_storage().data_ptr(), t.numel()) and t, lambda t: t
        ):
            D(x, 0.5)
        return sum(sizes.values())

    assert kept(2**22) > 400 * 18 > 2 * kept(40 * 18)


def test_empirical_refuses():
    with pytest.raises(invcore.ShapeError, match="item, channel"):
        EmpiricalDenoiser(torch.zeros(3, 4))
    with pytest.raises(invcore.DataError, match="NaN"):
        EmpiricalDenoiser(torch.full((2, 1, 4), math.nan))
