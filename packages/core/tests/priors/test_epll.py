"""Mixtures of normal densities and the priors on patches, beside scipy's densities and loops over patches."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import invcore
from invcore import DataError, ParameterError, ShapeError
from invcore.denoisers import EPLLDenoiser
from invcore.operators import Space
from invcore.priors import EPLL, GaussianMixture, PatchPrior, fit_patches
from invcore.priors._epll import SCHEDULE
from invcore.priors._patches import assemble, cosines, counts, extract
from invcore.priors._safetensors import read

F64 = torch.float64


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, dtype=F64):
    return torch.randn(shape, dtype=dtype, generator=generator(seed))


def mixture(components=3, d=4, seed=0, centered=False):
    root = normal(components, d, d, seed=seed)
    covariances = root @ root.mT / d + 0.2 * torch.eye(d, dtype=F64)
    means = torch.zeros(components, d, dtype=F64) if centered else 6 * normal(components, d, seed=seed + 1)
    weights = torch.arange(1.0, components + 1, dtype=F64)
    return GaussianMixture.of_covariances(weights / weights.sum(), means, covariances)


def logs(p, v, variance=0.0):
    """log w_k N(v; μ_k, C_k + variance) by scipy, (n, component)."""
    eye = variance * np.eye(p.dimension)
    return np.stack(
        [
            np.log(float(w))
            + np.atleast_1d(multivariate_normal(m.numpy(), c.numpy() + eye).logpdf(v.numpy()))
            for w, m, c in zip(p.weights, p.means, p.covariances)
        ],
        1,
    )


@pytest.mark.parametrize("variance", [0.0, 0.7])
def test_density_is_that_of_scipy(variance):
    p, v = mixture(), 5 * normal(50, 4)
    assert np.allclose(p.log_prob(v, variance).numpy(), logsumexp(logs(p, v, variance), axis=1), rtol=1e-10)
    each = torch.full((50,), variance, dtype=F64)
    assert torch.allclose(p.log_prob(v, each), p.log_prob(v, variance))


def test_score_is_the_derivative():
    p, v = mixture(), normal(20, 4).requires_grad_()
    (slope,) = torch.autograd.grad(p.log_prob(v).sum(), v)
    assert torch.allclose(p.score(v.detach()), slope, atol=1e-10)


@pytest.mark.parametrize("count", [30, 1, 0])
@pytest.mark.parametrize("noise", ["one", "the same for each", "of each"])
def test_map_estimate_is_the_wiener_filter_of_the_likeliest_component(noise, count):
    p, v = mixture(), 4 * normal(30, 4)[:count]
    each = torch.full((count,), 0.5, dtype=F64)
    if noise == "of each":
        each = each * torch.linspace(0.2, 4, max(count, 1), dtype=F64)[:count]
    found = p.map_estimate(v, 0.5 if noise == "one" else each)
    assert found.shape == v.shape
    for i, s in enumerate(each.tolist()):
        k = logs(p, v[i : i + 1], s).argmax()
        C, m = p.covariances[k], p.means[k]
        expected = m + C @ torch.linalg.solve(C + s * torch.eye(4, dtype=F64), v[i] - m)
        assert torch.allclose(found[i], expected, atol=1e-10)


def test_the_likeliest_component_of_patches_in_single_precision():
    """The polynomial that compares components cancels no more than the squares do."""
    p = EPLL()._model(torch.zeros(1))
    v = p.sample(400, generator())
    v[:40] *= 3
    for s in (1e-1, 1e-2, 1e-4):
        seen = v + s**0.5 * torch.randn(v.shape, generator=generator())
        chosen = p._most_likely(seen, torch.tensor(s))
        exact = p.to(F64)._joint(seen.double(), torch.tensor(s, dtype=F64))
        lost = exact.amax(1) - exact.gather(1, chosen[:, None])[:, 0]
        assert float(lost.max()) < 1e-3


def test_a_step_of_expectation_maximization_by_its_formula():
    p, v = mixture(), 4 * normal(200, 4)
    joint = logs(p, v)
    r = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    q, level = p.refined(v, floor=0.01)
    assert np.isclose(level, logsumexp(joint, axis=1).mean())
    x = v.numpy()
    for k in range(3):
        share = r[:, k].sum()
        mean = (r[:, k, None] * x).sum(0) / share
        covariance = ((x - mean).T * r[:, k]) @ (x - mean) / share + 0.01 * np.eye(4)
        assert np.isclose(float(q.weights[k]), share / 200)
        assert np.allclose(q.means[k].numpy(), mean)
        assert np.allclose(q.covariances[k].numpy(), covariance)


def test_the_likelihood_never_falls():
    v = mixture(4, 3).sample(800, generator())
    p = mixture(4, 3, seed=9)
    levels = []
    for _ in range(25):
        p, level = p.refined(v)
        levels.append(level)
    assert all(b >= a - 1e-10 for a, b in pairwise(levels))


def test_fit_recovers_a_known_mixture():
    truth = mixture(3, 3, seed=4)
    v = truth.sample(20000, generator(1))
    p = GaussianMixture.fit(v, 3, max_steps=300, tol=1e-7)
    order = torch.cdist(truth.means, p.means).argmin(1)
    assert sorted(order.tolist()) == [0, 1, 2]
    assert torch.allclose(p.weights[order], truth.weights, atol=0.01)
    assert torch.allclose(p.means[order], truth.means, atol=0.05)
    assert torch.allclose(p.covariances[order], truth.covariances, atol=0.1)  # sampling error
    assert float(p.log_prob(v).mean()) >= float(truth.log_prob(v).mean())


def test_fit_of_centered_components_recovers_their_covariances():
    d = torch.eye(3, dtype=F64)
    truth = GaussianMixture.of_covariances(
        torch.tensor([0.3, 0.7], dtype=F64), torch.zeros(2, 3, dtype=F64), torch.stack([0.01 * d, 4 * d])
    )
    p = GaussianMixture.fit(truth.sample(20000, generator()), 2, centered=True, max_steps=300, tol=1e-8)
    order = p.covariances[:, 0, 0].argsort()
    assert torch.allclose(p.weights[order], truth.weights, atol=0.01)
    assert torch.allclose(p.covariances[order][0], truth.covariances[0], atol=5e-4)
    assert torch.allclose(p.covariances[order][1], truth.covariances[1], atol=0.1)
    assert not p.means.any()


def test_samples_have_the_moments():
    p = mixture()
    v = p.sample(100000, generator(2))
    mean = (p.weights[:, None] * p.means).sum(0)
    assert torch.allclose(v.mean(0), mean, atol=0.1)


def test_the_file_in_the_wheel_is_written_again_as_it_is(tmp_path):
    """Means and factors in half precision, as the tool that made it stores them."""
    shipped = Path(invcore.priors.__file__).with_name("epll_8x8_200.safetensors")
    card = {n: t for n, t in read(shipped)[1].items() if n != "format"}
    GaussianMixture.load(shipped).save(tmp_path / "again", card=card, half=True)
    assert (tmp_path / "again").read_bytes() == shipped.read_bytes()


def test_save_and_load(tmp_path):
    p = mixture()
    p.save(tmp_path / "p.safetensors", card={"what": "a test"})
    q = GaussianMixture.load(tmp_path / "p.safetensors")
    assert torch.equal(p.factors, q.factors)
    assert torch.equal(p.means, q.means)
    raw = (tmp_path / "p.safetensors").read_bytes()
    assert b'"what": "a test"' in raw
    (tmp_path / "short").write_bytes(raw[:-8])
    (tmp_path / "other").write_bytes(b"not a file of tensors at all")
    for name in ("short", "other"):
        with pytest.raises(DataError, match="safetensors"):
            GaussianMixture.load(tmp_path / name)


def test_degenerate_data_and_errors():
    same = torch.ones(50, 2, dtype=F64)
    assert bool(torch.isfinite(GaussianMixture.fit(same, 2).log_prob(same)).all())
    with pytest.raises(ParameterError, match="components"):
        GaussianMixture.fit(same, 51)
    with pytest.raises(DataError, match="NaN"):
        GaussianMixture.fit(same * torch.nan, 1)
    with pytest.raises(ShapeError, match="vectors"):
        mixture().log_prob(same)
    with pytest.raises(ShapeError, match="factors"):
        GaussianMixture(weights=torch.ones(2), means=torch.zeros(1, 3), factors=torch.zeros(1, 3, 3))


@pytest.mark.parametrize("shape", [(9,), (5, 7), (4, 5, 6)])
def test_patches_and_their_adjoint(shape):
    x, dims = normal(2, *shape), len(shape)
    p = extract(x, 3, dims)
    y = normal(*p.shape, seed=1)
    assert torch.isclose((p * y).sum(), (x * assemble(y, 3, dims)).sum())
    assert torch.equal(assemble(extract(torch.ones_like(x), 3, dims), 3, dims)[0], counts(shape, 3, x))
    B = cosines(3, dims, x)
    assert torch.allclose(B @ B.T, torch.eye(len(B), dtype=F64), atol=1e-12)
    assert float(B.sum(1).abs().max()) < 1e-12


@pytest.mark.parametrize("kept", [False, True])
def test_value_is_the_sum_over_patches(kept):
    p = mixture(2, 9 if kept else 8, centered=True)
    x = normal(6, 7, seed=3)
    total = 0.0
    for i in range(4):
        for j in range(5):
            v = x[i : i + 3, j : j + 3].reshape(1, 9)
            v = v if kept else v @ cosines(3, 2, x).T
            total -= logsumexp(logs(p, v), axis=1).item() / 9
    g = EPLL(mixture=p, patch=3)
    assert np.isclose(float(g.value(x[None])), total)
    assert np.isclose(float(EPLL(mixture=p, patch=3, peak=5.0).value(5 * x[None])), total)
    if kept:
        assert np.isclose(float(PatchPrior(p, patch=3).value(x[None])), total)
    y = x[None].clone().requires_grad_()
    (slope,) = torch.autograd.grad(g.value(y), y)
    assert torch.allclose(g.grad(x[None]), slope)


def test_with_one_normal_density_the_prox_is_a_linear_solve():
    """(1 + t/d Σ Pᵀ C⁻¹ P) z = x."""
    p = mixture(1, 4, centered=True)
    g = EPLL(mixture=p, patch=2, refine=500, rtol=1e-12)
    x, t = normal(1, 5, 5), 0.6
    H = torch.eye(25, dtype=F64)
    pick = extract(torch.eye(25, dtype=F64).reshape(25, 5, 5), 2, 2).reshape(25, -1, 4)
    for i in range(pick.shape[1]):
        H = H + t / 4 * pick[:, i] @ torch.linalg.inv(p.covariances[0]) @ pick[:, i].T
    z = torch.linalg.solve(H, x.flatten()).reshape(1, 5, 5)
    assert torch.allclose(g.prox(x, t), z, atol=1e-9)
    rough = EPLL(mixture=p, patch=2).prox(x, t)
    assert float((rough - z).norm()) < 0.25 * float((x - z).norm())


def test_the_splitting_is_that_of_the_paper_patch_by_patch():
    """Zoran and Weiss, section 3.2, in numpy: patches without mean, precisions d/σ² and β/σ²."""
    p, sigma, size, (rows, columns) = mixture(3, 8, centered=True), 0.8, 3, (6, 7)
    B = cosines(3, 2, torch.zeros((), dtype=F64)).numpy()
    covariances = [B.T @ C.numpy() @ B for C in p.covariances]  # of the patch itself: its mean does not vary
    y = normal(rows, columns, seed=5).numpy()
    x = y
    for beta in np.array(SCHEDULE) / sigma**2:
        total, count = np.zeros_like(y), np.zeros_like(y)
        for i in range(rows - size + 1):
            for j in range(columns - size + 1):
                v = x[i : i + size, j : j + size].ravel()
                mean = v.mean()
                noisy = [C + np.eye(9) / beta for C in covariances]
                chance = [
                    np.log(float(w)) + multivariate_normal(np.zeros(9), C).logpdf(v - mean)
                    for w, C in zip(p.weights, noisy)
                ]
                k = int(np.argmax(chance))
                z = covariances[k] @ np.linalg.solve(noisy[k], v - mean) + mean
                total[i : i + size, j : j + size] += z.reshape(size, size)
                count[i : i + size, j : j + size] += 1
        x = (9 / sigma**2 * y + beta * total) / (9 / sigma**2 + beta * count)
    found = EPLL(mixture=p, patch=3).prox(torch.from_numpy(y)[None], sigma**2)[0].numpy()
    assert np.abs(found - x).max() < 1e-10


def test_refinement_lowers_the_criterion_to_a_stationary_point():
    g, t = EPLL(mixture=mixture(3, 3, centered=True), patch=2), 0.5
    x = normal(1, 6, 6)

    def criterion(z):
        return float(g.value(z) + (z - x).square().sum() / (2 * t))

    rough = g.prox(x, t)
    fine = EPLL(mixture=g.mixture, patch=2, refine=500, rtol=1e-10).prox(x, t)
    assert criterion(fine) <= criterion(rough) < criterion(x)
    assert float((g.grad(fine) + (fine - x) / t).norm()) < 1e-7 * float(g.grad(fine).norm())


def test_default_mixture_denoises_and_treats_samples_channels_and_parts_alone():
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    clean = torch.where(x + 0.5 * y > 22, 0.8, 0.2)[None]
    sigma = torch.tensor([0.05, 0.1])
    noisy = clean + sigma.view(2, 1, 1, 1) * normal(2, 1, 32, 32, dtype=torch.float32)
    out = EPLLDenoiser()(noisy, sigma)
    errors = (out - clean).square().mean((1, 2, 3)).sqrt()
    assert bool((errors < 0.6 * sigma).all())
    for i in range(2):
        assert torch.allclose(EPLLDenoiser()(noisy[i], float(sigma[i])), out[i], atol=1e-5)
    assert torch.allclose(EPLLDenoiser(peak=255.0)(255 * noisy, 255 * sigma) / 255, out, atol=1e-5)
    both = EPLLDenoiser()(torch.complex(noisy[0], noisy[1]), 0.1)
    assert torch.allclose(both.real, EPLLDenoiser()(noisy[0], 0.1), atol=1e-5)
    colors = EPLLDenoiser()(noisy[:, 0], 0.1)
    assert torch.allclose(colors[1:], EPLLDenoiser()(noisy[1], 0.1), atol=1e-5)
    assert torch.equal(EPLLDenoiser()(noisy, 0.0), noisy)


def test_fit_to_ones_own_images_and_errors():
    images = torch.rand(3, 1, 14, 14, generator=generator())
    p = fit_patches(images, patch=3, components=2)
    assert p.dimension == 8
    assert EPLL(mixture=p, patch=3).value(images, Space((1, 14, 14))).shape == (3,)
    with pytest.raises(ParameterError, match="dimension"):
        EPLL(mixture=p, patch=4)
    with pytest.raises(ParameterError, match="dimension"):
        EPLL(patch=6)
    with pytest.raises(ShapeError, match="do not fit"):
        EPLL().value(images[0, :, :5])
    with pytest.raises(ParameterError, match="log_prob"):
        PatchPrior(3)
