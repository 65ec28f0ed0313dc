"""Total variation: against definitions, the plain iteration, closed forms and scikit-image."""

import math
import warnings

import pytest
import torch
from skimage.restoration import denoise_tv_chambolle

from invcore import ConvergenceWarning, ParameterError, Physics, ShapeError
from invcore._variation.dual import dual_prox
from invcore.noises import GaussianNoise
from invcore.operators import Identity, Space
from invcore.priors import TV, GroupL12, Part
from invcore.solvers import FISTA
from invcore_testsupport import normal

F64, C128 = torch.float64, torch.complex128


def phantom(n=32, noise=0.1, channels=1):
    """A disk and a bar, with noise."""
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, n, dtype=F64), torch.linspace(-1, 1, n, dtype=F64), indexing="ij"
    )
    clean = (x**2 + y**2 < 0.4).to(F64) + 0.5 * ((x - y).abs() < 0.2)
    return clean + noise * normal(channels, n, n)


PRIORS = {
    "isotropic": (TV(rtol=1e-10), (1, 9, 7), F64),
    "complex": (TV(rtol=1e-10), (1, 6, 7), C128),
    "vectorial": (TV(rtol=1e-10), (3, 6, 5), F64),
    "separate": (TV(rtol=1e-10, coupling="separate"), (2, 6, 5), C128),
    "anisotropic": (TV(rtol=1e-10, kind="anisotropic"), (2, 6, 5), F64),
    "anisotropic, separate": (TV(rtol=1e-10, kind="anisotropic", coupling="separate"), (2, 6, 5), F64),
    "smoothed": (TV(rtol=1e-10, smoothing=0.4), (2, 6, 5), C128),
    "1-D": (TV(rtol=1e-10, spatial_dims=1), (2, 12), F64),
    "3-D, spacing": (TV(rtol=1e-10, spatial_dims=3, spacing=(2.0, 1.0, 0.5)), (1, 4, 5, 3), F64),
}


@pytest.mark.parametrize("name", PRIORS)
def test_value_by_loops(name):
    prior, shape, dtype = PRIORS[name]
    x = normal(*shape, dtype=dtype)
    d, h = prior.spatial_dims, prior.spacing or (1.0,) * prior.spatial_dims
    spatial, total = shape[len(shape) - d :], 0.0
    for i in torch.cartesian_prod(*(torch.arange(n) for n in spatial)).reshape(-1, d).tolist():
        slopes = torch.zeros(d, math.prod(shape) // math.prod(spatial), dtype=dtype)
        for a in range(d):
            j = list(i)
            j[a] += 1
            if j[a] < spatial[a]:
                slopes[a] = (x[(..., *j)] - x[(..., *i)]) / h[a]
        size = slopes.abs().square()
        if prior.kind == "isotropic":
            size = size.sum(0, keepdim=True)
        if prior.coupling == "joint":
            size = size.sum(1, keepdim=True)
        for r in size.sqrt().flatten().tolist():
            delta = prior.smoothing
            total += r - delta / 2 if r > delta else r**2 / (2 * delta) if delta else 0.0
    assert float(prior.value(x)) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("name", PRIORS)
def test_fast_prox_is_that_of_the_plain_iteration(name):
    prior, shape, dtype = PRIORS[name]
    x, space = normal(3, *shape, dtype=dtype), Space(shape, "complex" if dtype == C128 else "real")
    steps = torch.tensor([0.1, 0.5, 2.0], dtype=F64)
    K, h = prior.split(space)
    slow, gap, _ = dual_prox(x, steps, [Part(K, h)], rtol=1e-9, max_steps=4000)
    assert float(gap.max()) <= 1e-9
    assert torch.allclose(prior.prox(x, steps, space), slow, atol=2e-4)


@pytest.mark.parametrize("name", PRIORS)
def test_prox_minimizes_its_definition(name):
    """The objective grows at least as (1 - gap) ‖d‖²/2 step around its minimizer."""
    prior, shape, dtype = PRIORS[name]
    x, step = normal(*shape, dtype=dtype), 0.6
    z = prior.prox(x, step)

    def objective(z):
        return float(prior.value(z) + (z - x).abs().square().sum() / (2 * step))

    best = objective(z)
    for k in range(30):
        d = normal(*shape, dtype=dtype, seed=10 + k)
        for size in (1e-3, 1e-2, 0.3):
            grown = objective(z + size * d) - best
            assert grown >= 0.9 * float((size * d).abs().square().sum()) / (2 * step)


@pytest.mark.parametrize("name", PRIORS)
def test_split_and_certificate(name):
    prior, shape, dtype = PRIORS[name]
    x, space, step = normal(*shape, dtype=dtype), Space(shape, "complex" if dtype == C128 else "real"), 0.6
    K, h = prior.split(space)
    assert float(h.value(K(x))) == pytest.approx(float(prior.value(x)), rel=1e-12)
    found = prior.denoise(x, step)
    assert torch.allclose(found.x, x - step * K.H(found.dual), atol=1e-12)
    slack = prior.value(found.x) + h.conjugate(found.dual) - (found.dual.conj() * K(found.x)).sum().real
    primal = prior.value(found.x) + (found.x - x).abs().square().sum() / (2 * step)
    assert float(slack / primal) == pytest.approx(float(found.gap), rel=1e-3, abs=1e-14)
    assert float(found.gap) <= 1e-10


def test_against_scikit_image():
    y = phantom()
    for weight in (0.05, 0.2):
        theirs = torch.from_numpy(
            denoise_tv_chambolle(y[0].numpy(), weight=weight, eps=1e-12, max_num_iter=20000)
        )
        ours = TV(rtol=1e-7, max_steps=4000).prox(y, weight)[0]
        assert float((ours - theirs).norm() / theirs.norm()) < 2e-4
        smallest = TV().value(ours[None]) + (ours - y[0]).square().sum() / (2 * weight)
        other = TV().value(theirs[None]) + (theirs - y[0]).square().sum() / (2 * weight)
        assert float(smallest) <= float(other) * (1 + 1e-6)


def test_color_against_scikit_image():
    y = phantom(24, channels=3)
    theirs = denoise_tv_chambolle(y.numpy(), weight=0.2, eps=1e-12, max_num_iter=20000, channel_axis=0)
    separate = TV(coupling="separate", rtol=1e-7, max_steps=4000).prox(y, 0.2)
    assert float((separate - torch.from_numpy(theirs)).norm() / separate.norm()) < 5e-4


def test_duality_gap_in_single_precision():
    y = phantom(64).float()
    for rtol in (1e-3, 1e-4, 1e-5):
        found = TV(rtol=rtol).denoise(y, 0.15)
        assert float(found.gap) <= rtol and found.x.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_a_huge_step_flattens_and_says_that_it_converged(dtype, offset):
    x = (normal(2, 12, 10) + offset).to(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        for step in (1e3, 1e6, 1e12):
            z = TV(coupling="separate").prox(x, step)
            mean = x.double().mean((-2, -1), keepdim=True)
            assert float((z - mean).abs().max()) < 1e-4 + 2 * torch.finfo(dtype).eps * offset


def test_taut_string_of_a_step():
    x = torch.zeros(1, 10, dtype=F64)
    x[:, 4:] = 1.0
    expected = torch.where(x > 0, 1 - 0.6 / 6, 0.6 / 4).to(F64)
    assert torch.allclose(TV(spatial_dims=1, rtol=1e-14).prox(x, 0.6), expected, atol=1e-6)
    assert torch.allclose(TV(spatial_dims=1, rtol=1e-14).prox(x, 100.0), x.mean().expand_as(x), atol=1e-6)


def test_step_zero_and_constants_stay():
    y = phantom(8)
    assert torch.equal(TV().prox(y, 0.0), y)
    flat = torch.full((1, 8, 8), 3.0)
    found = TV().denoise(flat, 1.0)
    assert torch.allclose(found.x, flat) and float(found.gap) == 0
    both = TV().prox(torch.stack([y, y]), torch.tensor([0.0, 0.1], dtype=F64), Space((1, 8, 8)))
    assert torch.equal(both[0], y) and not torch.allclose(both[1], y, atol=1e-2)
    assert TV().prox(y[:0].reshape(0, 1, 8, 8), 0.1, Space((1, 8, 8))).shape == (0, 1, 8, 8)


def test_units_do_not_matter():
    y = phantom(16)
    for scale in (1e-6, 1e6):
        z = TV(rtol=1e-6).prox(scale * y, scale * 0.1)
        assert torch.allclose(z / scale, TV(rtol=1e-6).prox(y, 0.1), atol=1e-8)


def test_samples_stop_on_their_own():
    y = torch.stack([phantom(16), 1e3 * phantom(16, 0.3), torch.ones(1, 16, 16, dtype=F64)])
    found = TV(rtol=1e-6).denoise(y, torch.tensor([0.05, 300.0, 1.0], dtype=F64), Space((1, 16, 16)))
    assert len(set(found.steps.tolist())) > 1
    for i, step in enumerate((0.05, 300.0, 1.0)):
        alone = TV(rtol=1e-6).denoise(y[i], step)
        assert int(alone.steps) == int(found.steps[i])
        assert torch.allclose(alone.x, found.x[i], rtol=1e-12)


def test_warm_start_saves_steps():
    y, prior = phantom(32), TV(rtol=1e-6)
    first = prior.denoise(y, 0.1)
    again = prior.denoise(y + 0.001 * normal(1, 32, 32), 0.1, dual=first.dual)
    assert int(again.steps) < int(prior.denoise(y + 0.001 * normal(1, 32, 32), 0.1).steps)
    assert int(prior.denoise(y, 0.1, dual=first.dual).steps) == 10


def test_prox_derivatives():
    prior, x = TV(rtol=1e-13, max_steps=4000), normal(1, 4, 3).requires_grad_()
    step = torch.tensor(0.2, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, t: prior.prox(x, t), (x, step), eps=1e-5, atol=1e-3)
    assert torch.allclose(prior.prox(x, step).detach(), prior.prox(x.detach(), 0.2), atol=1e-5)


@pytest.mark.parametrize("kind", ["isotropic", "anisotropic"])
def test_gradient_is_that_of_autograd(kind):
    prior, x = TV(kind=kind, smoothing=0.3), normal(2, 6, 5, dtype=C128).requires_grad_()
    (expected,) = torch.autograd.grad(prior.value(x), x)
    assert torch.allclose(prior.grad(x.detach()), expected)


def test_moreau_decomposition():
    """prox of g* as the base class derives it is the projection on {Kᴴp: |p| ≤ 1}."""
    prior, u = TV(rtol=1e-12), normal(1, 8, 8)
    projected = prior.prox_conjugate(u, 0.7)
    found = prior.denoise(u, 1.0)
    K, _ = prior.split(Space((1, 8, 8)))
    assert torch.allclose(projected, K.H(found.dual), atol=1e-5)  # the step of a projection does not matter


def test_automatic_weight_denoises():
    clean, sigma = phantom(48, 0.0), 0.15
    physics = Physics(Identity((1, 48, 48)), GaussianNoise(sigma=sigma))
    y = clean + sigma * normal(1, 48, 48)
    best = min(float((TV().prox(y, t) - clean).norm()) for t in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3))
    found = FISTA(prior=TV(), max_steps=30)(y, physics)
    assert float((found - clean).norm()) < 1.25 * best


def test_errors():
    with pytest.raises(ParameterError, match="kind must be"):
        TV(kind="round")
    with pytest.raises(ParameterError, match="spacing must be a tuple of 2"):
        TV(spacing=(1.0,))
    with pytest.raises(ParameterError, match="smoothing"):
        TV(smoothing=-1.0)
    with pytest.raises(ParameterError, match="smoothing > 0"):
        TV().grad(torch.ones(1, 4, 4))
    with pytest.raises(ShapeError, match="3 spatial dimensions"):
        TV(spatial_dims=3).value(torch.ones(4, 4))
    with pytest.raises(ParameterError, match="finite number >= 0"):
        TV().prox(torch.ones(1, 4, 4), -1.0)
    with pytest.warns(ConvergenceWarning, match="duality gap"):
        TV(max_steps=3).prox(normal(1, 16, 16), 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TV(rtol=1e-7).prox(normal(1, 16, 16).float(), 0.5)


def test_group_norm_against_its_definition():
    g, x = GroupL12(dims=(-3,)), normal(3, 4, 4, dtype=C128)
    assert float(g.value(x)) == pytest.approx(
        sum(float(x[:, i, j].norm()) for i in range(4) for j in range(4))
    )
    z = g.prox(x, 0.8)
    for i in range(4):
        for j in range(4):
            r = float(x[:, i, j].norm())
            assert torch.allclose(z[:, i, j], x[:, i, j] * max(0, 1 - 0.8 / r))
    with pytest.raises(ShapeError, match="reach beyond"):
        GroupL12(dims=(-4,)).value(x)


def test_group_conjugate_by_moreau():
    for delta in (0.0, 0.3):
        g, u = GroupL12(dims=(-1,), smoothing=delta), normal(5, 3)
        p = g.prox_conjugate(u, 0.4, weight=1.5)
        x = (
            u - p
        ) / 0.4  # p = prox of the conjugate: x is in its subdifferential, where Fenchel and Young agree
        assert float(1.5 * g.value(x) + g.conjugate(p, weight=1.5)) == pytest.approx(float((x * p).sum()))
        assert math.isinf(float(g.conjugate(10 * u)))


def test_an_empty_complex_batch():
    x = torch.zeros(0, 1, 8, 8, dtype=torch.complex64)
    z = TV().prox(x, 0.1, Space((1, 8, 8), "complex"))
    assert z.shape == x.shape and z.dtype == x.dtype
