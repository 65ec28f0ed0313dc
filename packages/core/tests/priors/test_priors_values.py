"""Constraints, low rank, relative differences, priors from denoisers: against their definitions."""

import math

import pytest
import torch

from invcore import ConvergenceWarning, DtypeError, ParameterError, Physics, ShapeError
from invcore.denoisers import Denoiser, Equivariant, WaveletDenoiser
from invcore.noises import GaussianNoise
from invcore.operators import Identity, Matrix, Space
from invcore.priors import (
    RED,
    Box,
    GradientStep,
    HessianSchatten,
    NonNegative,
    Nuclear,
    PnP,
    Prior,
    RelativeDifference,
    Tikhonov,
)
from invcore.priors._hessian import HessianNuclear, _shrunk_by_svd
from invcore.solvers import FISTA
from invcore.testing._priors import check_batch_equals_loop, check_prox
from invcore_testsupport import normal

F64, C128 = torch.float64, torch.complex128


def minimized(prior, x, step, start, steps=4000):
    """g(z) + ‖z - x‖²/(2 step) by brute force: random moves that shrink whenever none helps."""
    generator, size = torch.Generator().manual_seed(3), 0.3

    def objective(z):
        return float(prior.value(z) + (z - x).abs().square().sum() / (2 * step))

    z, best = start, objective(start)
    for _ in range(steps):
        moved = z + size * torch.randn(z.shape, dtype=z.dtype, generator=generator)
        value = objective(moved)
        if value < best:
            z, best = moved, value
        else:
            size = max(0.995 * size, 1e-6)
    return z, best, objective(prior.prox(x, step))


def test_constraints_on_a_grid():
    grid = torch.linspace(-3, 3, 6001, dtype=F64)
    for prior in (NonNegative(), Box(lower=-0.5, upper=1.5)):
        values = torch.stack([prior.value(z.reshape(1)) for z in grid])
        for x in (-2.0, -0.3, 0.7, 2.5):
            best = grid[(values + (grid - x) ** 2).argmin()]
            assert float(prior.prox(torch.tensor([x], dtype=F64), 0.5)) == pytest.approx(
                float(best), abs=1e-3
            )


def test_values_of_constraints_per_sample():
    x = torch.tensor([[[0.0, 1.0]], [[-0.1, 1.0]], [[0.2, 1.1]]])
    assert NonNegative().value(x, Space((1, 2))).tolist() == [0, math.inf, 0]
    assert Box().value(x, Space((1, 2))).tolist() == [0, math.inf, math.inf]
    bounds = Box(lower=torch.tensor([0.0, 1.0]), upper=torch.tensor([0.1, 2.0]))
    assert torch.equal(bounds.prox(x, 1.0)[2], torch.tensor([[0.1, 1.1]]))


@pytest.mark.parametrize(
    "prior", [NonNegative(), Box(lower=-0.4, upper=0.6), Nuclear(rows=(-2,))], ids=lambda p: type(p).__name__
)
def test_conjugates_by_moreau(prior):
    """p = prox of s g* and x = (u - p)/s: x is in the subdifferential of g* at p, where Fenchel and Young agree."""
    u, s = normal(4, 5), 0.7
    p = prior.prox_conjugate(u, s)
    x = prior.prox((u - p) / s, 1e-14)  # back into the domain, which rounding may leave
    assert float(prior.value(x) + prior.conjugate(p)) == pytest.approx(float((x * p).sum()), abs=1e-9)
    assert math.isfinite(float(prior.conjugate(p)))


def test_infinite_bounds():
    g, u = Box(lower=0.0, upper=math.inf), torch.tensor([-1.0, 0.0, -2.0])
    assert float(g.conjugate(u)) == 0 and math.isinf(float(g.conjugate(-u)))
    assert g.prox(torch.tensor([-1.0, 1e9]), 1.0).tolist() == [0, 1e9]


def test_wrong_constraints():
    with pytest.raises(ParameterError, match="at most upper"):
        Box(lower=1.0, upper=0.0)
    for prior in (Box(), NonNegative()):
        with pytest.raises(DtypeError, match="real image"):
            prior.prox(normal(3, dtype=C128), 1.0)


@pytest.mark.parametrize("dtype", [F64, C128])
def test_nuclear_norm_of_a_series(dtype):
    x, prior = normal(2, 4, 3, 5, dtype=dtype), Nuclear(rows=(-3,))
    space = Space((4, 3, 5), "complex" if dtype == C128 else "real")
    for i in range(2):
        matrix = x[i].reshape(4, 15)
        gram = torch.linalg.eigvalsh(matrix @ matrix.mH).clamp_min(0)
        assert float(prior.value(x, space)[i]) == pytest.approx(float(gram.sqrt().sum()))
    steps = torch.tensor([0.5, 100.0], dtype=F64)
    z = prior.prox(x, steps, space)
    assert torch.allclose(z[0], prior.prox(x[0], 0.5)) and not z[1].any()
    # columns across: the same singular values
    other = Nuclear(rows=(-2, -1))
    assert torch.allclose(other.prox(x, steps, space), z)


def test_nuclear_prox_by_brute_force():
    x, prior = normal(3, 4), Nuclear(rows=(-2,))
    _, best, ours = minimized(prior, x, 0.8, x)
    assert ours <= best and best == pytest.approx(ours, rel=2e-2)


def test_nuclear_prox_lowers_the_rank_and_derivatives_agree():
    x, prior = normal(6, 5), Nuclear(rows=(-2,))
    assert int(torch.linalg.matrix_rank(prior.prox(x, 2.0))) < 5
    with pytest.raises(ShapeError, match="do not leave columns"):
        Nuclear(rows=(-2, -1)).value(x)
    with pytest.raises(ParameterError, match="different negative"):
        Nuclear(rows=(1,))
    assert torch.autograd.gradcheck(lambda x: prior.prox(x, 0.5), (normal(3, 4).requires_grad_(),))


@pytest.mark.parametrize("dims, shape", [(1, (2, 7)), (2, (1, 5, 4)), (3, (1, 3, 4, 2))])
def test_relative_difference_by_loops(dims, shape):
    x = normal(*shape).abs()
    spacing = (1.0, 2.0, 0.5)[:dims]
    prior = RelativeDifference(gamma=1.5, epsilon=0.01, spatial_dims=dims, spacing=spacing)
    total = 0.0
    for axis in range(dims):
        moved = x.movedim(axis - dims, -1)
        for i in range(moved.shape[-1] - 1):
            for a, b in zip(moved[..., i].flatten().tolist(), moved[..., i + 1].flatten().tolist()):
                total += (a - b) ** 2 / (a + b + 1.5 * abs(a - b) + 0.01) / spacing[axis]
    assert float(prior.value(x)) == pytest.approx(total, rel=1e-12)
    point = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(prior.value(point), point)
    assert torch.allclose(prior.grad(x), expected)


def test_relative_difference_outside_its_domain():
    x = torch.tensor([[[1.0, -0.5], [2.0, 1.0]]])
    assert math.isinf(float(RelativeDifference().value(x)))
    assert RelativeDifference().grad(torch.zeros(1, 4, 4)).isfinite().all()
    with pytest.raises(DtypeError, match="real"):
        RelativeDifference().value(normal(1, 3, 3, dtype=C128))
    with pytest.raises(ParameterError, match="epsilon"):
        RelativeDifference(epsilon=0.0)


@pytest.mark.parametrize("dtype", [F64, C128])
@pytest.mark.parametrize("dims, shape", [(1, (2, 7)), (2, (1, 5, 4)), (3, (1, 3, 4, 3))])
def test_hessian_operator_and_norm(dims, shape, dtype):
    space, prior = Space(shape, "complex" if dtype == C128 else "real"), HessianSchatten(spatial_dims=dims)
    K, h = prior.split(space)
    x, y = normal(2, *shape, dtype=dtype), normal(2, *K.range.shape, dtype=dtype, seed=1)
    left, right = (K(x).conj() * y).sum(), (x.conj() * K.H(y)).sum()
    assert torch.allclose(left, right)
    dense = torch.linalg.matrix_norm(K.dense(dtype=F64), ord=2)
    assert 0.3 * float(K.norm()) < float(dense) <= float(K.norm())
    expected = torch.zeros(2, dtype=F64)  # entry by entry, with a singular value decomposition per pixel
    H = K(x)
    for b in range(2):
        for i in torch.cartesian_prod(*(torch.arange(n) for n in shape)).tolist():
            expected[b] += torch.linalg.svdvals(H[(b, slice(None), slice(None), *i)]).sum()
    assert torch.allclose(prior.value(x, space), expected)
    assert torch.allclose(h.value(K(x), K.range), expected)


def test_hessian_of_polynomials():
    y, x = torch.meshgrid(torch.arange(6.0, dtype=F64), torch.arange(7.0, dtype=F64), indexing="ij")
    K, _ = HessianSchatten().split(Space((1, 6, 7)))
    assert not K((3 * x - 2 * y + 1)[None]).any()
    H = K((x**2 + 3 * x * y - y**2)[None])[:, :, 0, 1:-1, 1:-1]
    assert torch.allclose(H, torch.tensor([[-2.0, 3.0], [3.0, 2.0]], dtype=F64)[..., None, None].expand_as(H))


@pytest.mark.parametrize("dtype", [F64, C128])
def test_outer_norm_of_the_hessian(dtype):
    """The closed form for real 2 x 2 matrices is the shrinkage of singular values; conjugate by Moreau."""
    space = Space((2, 2, 1, 3), "complex" if dtype == C128 else "real")
    z = normal(4, *space.shape, dtype=dtype)
    z = (z + z.transpose(1, 2)) / 2
    _, h = HessianSchatten().split(Space((1, 3)) if dtype == F64 else Space((1, 3), "complex"))
    steps = torch.tensor([0.1, 0.5, 1.0, 4.0], dtype=F64)
    shrunk = h.prox(z, steps, space)
    for b, step in enumerate(steps.tolist()):
        for i in range(3):
            u, s, vh = torch.linalg.svd(z[b, :, :, 0, i])
            expected = u @ torch.diag((s - step).clamp_min(0).to(dtype)) @ vh
            assert torch.allclose(shrunk[b, :, :, 0, i], expected, atol=1e-12)
    p = h.prox_conjugate(z, 0.7, space)
    x = (z - p) / 0.7
    inner = (x.conj() * p).sum((1, 2, 3, 4)).real
    assert torch.allclose(h.value(x, space) + h.conjugate(p, space), inner)
    assert bool(torch.isinf(h.conjugate(50 * z, space)).all())


def test_hessian_denoising_keeps_ramps_where_total_variation_makes_stairs():
    x = torch.linspace(0, 1, 24, dtype=F64)
    ramp = (x[:, None] + x).clamp_max(1.2)[None]
    z, gap = HessianSchatten(rtol=1e-3).denoise(ramp + 0.05 * normal(1, 24, 24), 0.1)
    assert float(gap) <= 1e-3
    assert float((z - ramp).square().mean().sqrt()) < 0.02
    noisy = ramp + 0.05 * normal(1, 24, 24)

    def objective(v):
        return float(HessianSchatten().value(v) + (v - noisy).square().sum() / 0.2)

    assert all(
        objective(z) < objective(z + s * normal(1, 24, 24, seed=k)) for k in range(5) for s in (0.01, 0.1)
    )
    with pytest.warns(ConvergenceWarning, match="duality gap"):
        HessianSchatten(max_steps=3).prox(noisy, 0.1)
    with pytest.raises(ShapeError, match="2 spatial"):
        HessianSchatten().value(ramp[0, 0])


class Shrink(Denoiser):
    """The posterior mean for images of white Gaussian noise with variance 1: the prior is ‖x‖²/2."""

    channels, value_range, sigma_range = None, None, (0.0, math.inf)
    spatial_dims: int = 1

    def denoise(self, x, sigma):
        return x / (1 + sigma**2)


def test_plug_and_play_of_the_exact_denoiser_is_the_proximal_operator():
    x, space, steps = normal(3, 1, 6), Space((1, 6)), torch.tensor([0.1, 1.0, 4.0], dtype=F64)
    pnp = PnP(Shrink())
    assert torch.allclose(pnp.prox(x, steps, space), Tikhonov().prox(x, steps, space))
    assert torch.allclose(PnP(Shrink(), strength=2.0).prox(x, 1.0, space), x / 5)
    assert torch.allclose(PnP(Shrink(), sigma=1.0).prox(x, steps, space), x / 2)
    # MAP of a Gaussian prior, in closed form
    M = normal(5, 6)
    physics = Physics(Matrix(M), GaussianNoise(sigma=0.5))
    y = normal(5)

    class Flat(Denoiser):
        channels, value_range, sigma_range = None, None, (0.0, math.inf)
        spatial_dims: int = 0

        def denoise(self, x, sigma):
            return x / (1 + sigma**2)

    found = FISTA(prior=PnP(Flat()), max_steps=5000, rtol=1e-9)(y, physics)
    expected = torch.linalg.solve(M.T @ M / 0.25 + torch.eye(6, dtype=F64), M.T @ y / 0.25)
    assert torch.allclose(found, expected, atol=1e-5)


def test_residual_and_score():
    x, space, sigma = normal(2, 1, 6), Space((1, 6)), torch.tensor([0.5, 2.0], dtype=F64)
    unit, score = RED(Shrink(), sigma=sigma), RED(Shrink(), sigma=sigma, scale="score")
    variance = sigma.reshape(2, 1, 1) ** 2
    assert torch.allclose(unit.grad(x, space), x * variance / (1 + variance))
    assert torch.allclose(score.grad(x, space), x / (1 + variance))  # of images N(0, 1) smoothed by σ


def test_gradient_step_against_closed_form_and_autograd():
    x, space, sigma = normal(2, 1, 6), Space((1, 6)), torch.tensor([0.5, 2.0], dtype=F64)
    g = GradientStep(Shrink(), sigma=sigma)
    factor = (sigma**2 / (1 + sigma**2)) ** 2
    assert torch.allclose(g.value(x, space), factor * x.square().sum((1, 2)) / 2)
    with torch.no_grad():
        assert torch.allclose(g.grad(x, space), factor.reshape(2, 1, 1) * x)
    point = x.clone().requires_grad_()
    second = torch.autograd.grad(g.grad(point, space).sum(), point)[0]
    assert torch.allclose(second, factor.reshape(2, 1, 1).expand_as(x))


def test_denoiser_priors_say_what_they_lack():
    D = WaveletDenoiser(wavelet="haar", levels=1)
    with pytest.raises(ParameterError, match="PnP has no value"):
        PnP(D).value(normal(1, 4, 4))
    with pytest.raises(ParameterError, match="RED has no value"):
        RED(D, sigma=0.1).value(normal(1, 4, 4))
    with pytest.raises(ParameterError, match="expected a Denoiser, got float"):
        PnP(0.3)
    with pytest.raises(ParameterError, match="strength"):
        PnP(D, strength=0.0)
    with pytest.raises(ParameterError, match="must be positive"):
        RED(D, sigma=0.0, scale="score")
    with pytest.raises(ShapeError, match="batch shape"):
        PnP(D, sigma=torch.ones(2)).prox(normal(2, 1, 4, 4), 0.1)


def test_plug_and_play_denoises_by_itself():
    clean = torch.zeros(1, 32, 32, dtype=F64)
    clean[:, 8:20, 10:25] = 1.0
    physics = Physics(Identity((1, 32, 32)), GaussianNoise(sigma=0.2))
    y = clean + 0.2 * normal(1, 32, 32)
    found = FISTA(prior=PnP(WaveletDenoiser(wavelet="haar")), max_steps=20)(y, physics)
    assert float((found - clean).norm()) < 0.6 * float((y - clean).norm())


class Sloppy(Prior):
    """‖x‖²/2 with a proximal operator that is off by one part in a thousand."""

    stated: float = 0.0
    batchwise: bool = False

    def _value(self, x, space):
        if self.batchwise:
            raise ParameterError("no value")
        return Tikhonov().value(x, space)

    def _prox(self, x, step, space):
        exact = Tikhonov().prox(x, step, space)
        return exact * (1 + x.abs().max()) if self.batchwise else 1.001 * exact

    @property
    def tolerance(self):
        return self.stated


def test_the_kit_holds_a_proximal_operator_to_its_stated_tolerance():
    with pytest.raises(AssertionError, match="is not the minimizer"):
        check_prox(Sloppy())
    with pytest.raises(AssertionError, match="is not the minimizer"):
        check_prox(Sloppy(stated=1e-8))
    check_prox(Sloppy(stated=1e-4))


def test_the_kit_checks_priors_without_a_value():
    check_batch_equals_loop(PnP(WaveletDenoiser(wavelet="haar", levels=1)))
    with pytest.raises(AssertionError, match="prox"):
        check_batch_equals_loop(Sloppy(batchwise=True))


@pytest.mark.parametrize("kind", [PnP, RED, GradientStep])
def test_priors_of_a_random_denoiser_draw_with_it(kind):
    D = Equivariant(WaveletDenoiser(wavelet="db2", levels=1), draw="random", seed=5)
    g = kind(denoiser=D, sigma=0.3)
    assert g.stochastic
    assert not kind(denoiser=D.denoiser, sigma=0.3).stochastic
    space, x = Space((1, 8, 8)), normal(1, 8, 8)

    def use(prior):
        return prior.prox(x, 0.5, space) if kind is PnP else prior.grad(x, space)

    drawn = [use(g.at(k)) for k in range(8)]
    assert all(torch.equal(use(kind(denoiser=D.at(k), sigma=0.3)), drawn[k]) for k in range(8))
    assert any(not torch.allclose(drawn[0], d, atol=1e-6) for d in drawn[1:])
    assert not g.at(3).stochastic
    plain = kind(denoiser=D.denoiser, sigma=0.3)
    assert plain.at(3) is plain


@pytest.mark.parametrize("dtype", [torch.float32, F64, C128])
@pytest.mark.parametrize("size", [2, 3])
def test_shrinkage_of_small_matrices_is_that_of_the_svd(size, dtype):
    z = normal(size, size, 1, 400, dtype=dtype)
    z = z + z.transpose(0, 1)
    z[..., 0] = 0
    z[..., 1] = torch.eye(size, dtype=dtype)[..., None]  # all singular values alike
    z[..., 2] = torch.ones(size, size, 1, dtype=dtype)  # rank one
    z[..., 3:40] = z[..., 3:40] * 10.0 ** -torch.arange(37).to(dtype)
    for n, i in enumerate(range(40, 80)):  # two of them nearly alike
        q, _ = torch.linalg.qr(normal(size, size, seed=i))
        s = torch.tensor([1.0, 1.0 + 10.0 ** -(n / 3), -2.0][:size], dtype=F64)
        z[:, :, 0, i] = ((q * s) @ q.T).to(dtype)
    h, small = HessianNuclear(), 2e-6 if dtype == torch.float32 else 1e-14
    for t in (0.0, 0.3, 2.0):
        away = (h.prox(z, t) - _shrunk_by_svd(z, t, 0)).abs().amax((0, 1))
        assert bool((away <= 20 * small * (z.abs().amax((0, 1)) + 1)).all())
    values = torch.linalg.svdvals(z.movedim((0, 1), (-2, -1))).sum()
    assert torch.isclose(h.value(z), values, rtol=small * 100)
    steps = torch.tensor([0.1, 0.7], dtype=small_real(dtype))
    space = Space((size, size, 1, 200), "complex" if dtype == C128 else "real")
    pair = torch.stack([z[..., :200], z[..., 200:]])
    both = h.prox(pair, steps, space)
    assert all(torch.allclose(both[i], h.prox(pair[i], float(steps[i]))) for i in range(2))


def small_real(dtype):
    return torch.float32 if dtype == torch.float32 else F64
