"""Priors: proximal operators against brute force, Moreau's identity, and reproducible shifts."""

import math

import numpy as np
import pytest
import pywt
import torch
from scipy.optimize import lsq_linear

from invcore import ConvergenceWarning, ParameterError, Physics
from invcore.operators import Identity, Space
from invcore.priors import L1, GroupL12, Prior, Tikhonov, WaveletL1
from invcore.solvers import FISTA, ChambollePock
from invcore_testsupport import normal

F64, C128 = torch.float64, torch.complex128


PRIORS = {
    "l1": (L1(), Space((6,))),
    "tikhonov": (Tikhonov(), Space((6,))),
    "wavelet": (WaveletL1(wavelet="db2", levels=1, random_shifts=False), Space((1, 8, 8))),
    "shifted wavelet": (WaveletL1(wavelet="haar", levels=2, shift=(3, 1)), Space((1, 8, 8))),
    "odd sizes": (WaveletL1(wavelet="haar", levels=1, random_shifts=False), Space((2, 6, 10))),
    "one dimension": (
        WaveletL1(wavelet="db2", levels=1, spatial_dims=1, random_shifts=False),
        Space((1, 16)),
    ),
    "undecimated": (
        WaveletL1(wavelet="haar", levels=1, undecimated=True, rtol=1e-13, max_steps=3000),
        Space((1, 5, 6)),
    ),
}


@pytest.mark.parametrize("dtype", [F64, C128])
@pytest.mark.parametrize("name", PRIORS)
def test_prox_minimizes_its_objective(name, dtype):
    """No neighbor, at any distance and in any direction, is better: the objective is strongly convex."""
    prior, space = PRIORS[name]
    x, step = normal(*space.shape, dtype=dtype), 0.7
    z = prior.prox(x, step)

    def objective(z):
        return float(prior.value(z) + (z - x).abs().square().sum() / (2 * step))

    best = objective(z)
    for k in range(40):
        d = normal(*space.shape, dtype=dtype, seed=100 + k)
        for size in (1e-4, 1e-2, 0.3):
            moved = objective(z + size * d)
            # strongly convex with modulus 1/step: the objective grows at least quadratically
            assert moved - best >= float((size * d).abs().square().sum()) / (2 * step) * 0.999 - 1e-12


def test_prox_on_a_grid():
    grid = torch.linspace(-5, 5, 100001, dtype=F64)
    for x in (-3.0, -0.4, 0.0, 0.5, 2.0):
        for step in (0.3, 1.0):
            for prior, g in ((L1(), grid.abs()), (Tikhonov(), grid**2 / 2)):
                best = grid[(g + (grid - x) ** 2 / (2 * step)).argmin()]
                assert math.isclose(
                    float(prior.prox(torch.tensor([x], dtype=F64), step)), float(best), abs_tol=2e-4
                )


@pytest.mark.parametrize("dtype", [F64, C128])
def test_moreau_decomposition(dtype):
    """x = prox_{t g}(x) + t prox_{g*/t}(x/t); g* is the indicator of the unit ball of the dual norm, or itself."""
    x, t = 2 * normal(50, dtype=dtype), 0.6
    ball = x / t / (x / t).abs().clamp_min(1)  # projection onto |z_i| <= 1
    assert torch.allclose(L1().prox(x, t) + t * ball, x)
    dual = (x / t) / (1 + 1 / t)
    assert torch.allclose(Tikhonov().prox(x, t) + t * dual, x)


@pytest.mark.parametrize("dtype", [F64, C128])
@pytest.mark.parametrize("name", PRIORS)
def test_prox_is_firmly_nonexpansive_and_keeps_zero(name, dtype):
    prior, space = PRIORS[name]
    a, b = normal(*space.shape, dtype=dtype), normal(*space.shape, dtype=dtype, seed=1)
    d = prior.prox(a, 0.5) - prior.prox(b, 0.5)
    assert float((d.conj() * d).sum().real) <= float((d.conj() * (a - b)).sum().real) + 1e-12
    assert not prior.prox(torch.zeros(space.shape, dtype=dtype), 1.0).any()
    assert torch.allclose(prior.prox(a, 0.0), a)


@pytest.mark.parametrize("name", PRIORS)
def test_values_and_steps_per_sample(name):
    prior, space = PRIORS[name]
    x, step = normal(2, 3, *space.shape), torch.tensor([[0.1, 1, 2], [0, 0.5, 9]], dtype=F64)
    values, proxes = prior.value(x, space), prior.prox(x, step, space)
    assert values.shape == (2, 3) and proxes.shape == x.shape
    for i in range(2):
        for j in range(3):
            assert torch.allclose(values[i, j], prior.value(x[i, j]))
            assert torch.allclose(proxes[i, j], prior.prox(x[i, j], float(step[i, j])))


def test_prox_gradients_against_finite_differences():
    for prior, space in PRIORS.values():
        x, step = normal(*space.shape).requires_grad_(), torch.tensor(0.3, dtype=F64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x, t, prior=prior: prior.prox(x, t), (x, step))


def test_prox_is_the_same_with_and_without_derivatives():
    prior, x = PRIORS["wavelet"][0], normal(1, 8, 8, dtype=C128)
    with torch.no_grad():
        quiet = prior.prox(x, 0.4)
    assert torch.equal(prior.prox(x, 0.4), quiet)


def test_tikhonov():
    x = normal(4, dtype=C128), normal(3)
    space = Space((4,), "complex"), Space((3,))
    expected = (x[0].abs().square().sum() + x[1].square().sum()) / 2
    assert torch.allclose(Tikhonov().value(x, space), expected)
    assert torch.allclose(Tikhonov().prox(x, 1.0, space)[1], x[1] / 2)
    assert Tikhonov().grad(x[0]) is x[0]


@pytest.mark.parametrize("wavelet", ["haar", "db4", "sym5", "coif1"])
def test_wavelet_value_is_the_sum_over_pywavelets_details(wavelet):
    x = normal(64, 64)
    _, *details = pywt.wavedec2(x.numpy(), wavelet, mode="periodization", level=2)
    expected = sum(abs(band).sum() for level in details for band in level)
    assert float(WaveletL1(wavelet=wavelet, levels=2).value(x[None])) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("wavelet", ["haar", "db4"])
def test_wavelet_prox_is_that_of_pywavelets(wavelet):
    x, t = normal(64, 64), 0.8
    coarse, *details = pywt.wavedec2(x.numpy(), wavelet, mode="periodization", level=3)
    details = [tuple(pywt.threshold(band, t, "soft") for band in level) for level in details]
    expected = torch.from_numpy(pywt.waverec2([coarse, *details], wavelet, mode="periodization"))
    prior = WaveletL1(wavelet=wavelet, levels=3, random_shifts=False)
    assert torch.allclose(prior.prox(x[None], t)[0], expected)


def test_a_shift_moves_the_blocks():
    x, prior = normal(1, 16, 16), WaveletL1(wavelet="haar", levels=2)
    shifted = WaveletL1(wavelet="haar", levels=2, shift=(3, 5)).prox(x, 0.5)
    by_hand = [
        prior.prox(x.roll((s * 3, s * 5), (-2, -1)), 0.5).roll((-s * 3, -s * 5), (-2, -1)) for s in (1, -1)
    ]
    assert any(torch.allclose(shifted, y) for y in by_hand)
    assert not torch.allclose(shifted, prior.prox(x, 0.5))


def test_shifts_come_from_the_seed_and_the_iteration_alone():
    torch.manual_seed(0)
    shifts = [WaveletL1(seed=5).at(k).shift for k in range(200)]
    torch.manual_seed(1)
    prior = WaveletL1(seed=5)
    assert [prior.at(k).shift for k in reversed(range(200))] == shifts[::-1]
    assert prior.shift is None and prior.at(3).at(7).shift == shifts[7]
    assert shifts != [WaveletL1(seed=6).at(k).shift for k in range(200)]
    for axis in range(2):  # all offsets of the coarsest blocks, each about as often
        counts = torch.tensor([s[axis] for s in shifts]).bincount(minlength=16)
        assert len(counts) == 16 and int(counts.min()) > 0 and int(counts.max()) < 40
    assert len(set(shifts)) > 100
    fixed = WaveletL1(random_shifts=False)
    assert fixed.at(9) is fixed and not fixed.stochastic and prior.stochastic


def test_seeds_differ_from_the_first_shift_on():
    first = {seed: tuple(WaveletL1(seed=seed).at(k).shift for k in range(4)) for seed in range(50)}
    assert len(set(first.values())) == 50


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_seeds_out_of_range(seed):
    with pytest.raises(ParameterError, match="seed must be from 0"):
        WaveletL1(seed=seed)


def test_wrong_wavelets():
    with pytest.raises(ParameterError, match="dims must be 1, 2 or 3, got 4"):
        WaveletL1(spatial_dims=4)
    for wavelet in ("no-such", "bior2.2"):
        with pytest.raises(ParameterError, match=wavelet):
            WaveletL1(wavelet=wavelet).value(normal(1, 16, 16))


def test_what_a_prior_lacks_it_says():
    class Odd(Prior):
        def _value(self, x, space):
            return x.sum()

    physics = Physics(Identity((3,)))
    with pytest.raises(ParameterError, match="Odd has no proximal operator"):
        FISTA(prior=Odd(), weight=1.0)(torch.ones(3), physics)
    with pytest.raises(ParameterError, match="Odd has no rule for its weight"):
        FISTA(prior=Odd())(torch.ones(3), physics)
    with pytest.raises(ParameterError, match="L1 has no gradient"):
        L1().grad(torch.ones(3))


@pytest.mark.parametrize(
    ("wavelet", "levels", "shape"), [("haar", 2, (8, 8)), ("db2", 1, (6, 8)), ("db3", 2, (16,))]
)
def test_undecimated_prox_is_a_bounded_least_squares_problem(wavelet, levels, shape):
    """z = x - Wᵀp with p = argmin ‖x - Wᵀp‖ over |p| ≤ step: PyWavelets' transform, scipy's active sets."""
    n, step = math.prod(shape), 0.3
    columns = []
    for unit in torch.eye(n, dtype=F64).numpy().reshape(n, *shape):
        parts = pywt.swtn(unit, wavelet, levels, norm=True, trim_approx=True)[1:]
        columns.append(np.concatenate([part.ravel() for level in parts for part in level.values()]))
    W, x = np.stack(columns, 1), normal(2, 1, *shape, seed=8)
    g = WaveletL1(
        wavelet=wavelet, levels=levels, spatial_dims=len(shape), undecimated=True, rtol=1e-10, max_steps=5000
    )
    found = g.prox(x, step, Space((1, *shape)))
    for i in range(2):
        v = x[i].numpy().ravel()
        assert float(g.value(x[i])) == pytest.approx(np.abs(W @ v).sum(), rel=1e-10)
        p = lsq_linear(W.T, v, (-step, step), method="bvls", tol=1e-13).x
        assert np.abs(found[i].numpy().ravel() - (v - W.T @ p)).max() < 1e-5


def test_undecimated_prox_commutes_with_shifts_and_keeps_constants():
    g, x = WaveletL1(levels=2, wavelet="db2", undecimated=True, rtol=1e-7, max_steps=3000), normal(1, 12, 10)
    rolled = x.roll((3, 5), (-2, -1))
    assert float(g.value(rolled)) == pytest.approx(float(g.value(x)), rel=1e-12)
    assert torch.allclose(g.prox(rolled, 0.4), g.prox(x, 0.4).roll((3, 5), (-2, -1)), atol=1e-4)
    assert torch.allclose(g.prox(torch.ones_like(x), 5.0), torch.ones_like(x))
    assert torch.allclose(g.prox(x, 0.0), x, rtol=1e-14)
    assert g.at(3) is g
    assert not g.stochastic
    with pytest.warns(ConvergenceWarning, match=r"WaveletL1\.prox"):
        WaveletL1(undecimated=True, wavelet="haar", rtol=1e-12, max_steps=2).prox(x, 0.4)
    with pytest.raises(ParameterError, match="shift"):
        WaveletL1(undecimated=True, shift=(1, 1))
    with pytest.raises(ParameterError, match="negative"):
        g.prox(x, -1.0)


def test_solvers_agree_on_the_undecimated_prior():
    """FISTA goes through its proximal operator, the primal-dual solver through the transform."""
    space = Space((1, 8, 8))
    y, physics = normal(1, 8, 8), Physics(Identity(space))
    g = WaveletL1(wavelet="haar", levels=2, undecimated=True, rtol=1e-8, max_steps=3000)
    K, h = g.split(space)
    assert isinstance(h, L1)
    assert float(h.value(K(y))) == pytest.approx(float(g.value(y)), rel=1e-12)
    direct = g.prox(y, 0.5)
    assert torch.allclose(FISTA(prior=g, weight=0.5)(y, physics), direct, atol=1e-4)
    split = ChambollePock(prior=g, weight=0.5, max_steps=1000, rtol=1e-7)(y, physics)
    assert torch.allclose(split, direct, atol=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("step", [1e-6, 0.5, 1e3])
def test_prox_of_the_conjugate_of_a_group_norm_is_feasible_and_moreau(smoothing, step):
    """u = s prox_{λg/s}(u/s) + prox_{s(λg)*}(u), and the second part in the ball, also where the first is nearly all of u."""
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    space, weight = Space((5, 3)), torch.tensor([1e-3, 0.7], dtype=torch.float64)
    for g in (GroupL12(dims=(-1,), smoothing=smoothing), *([] if smoothing else [L1()])):
        p = g.prox_conjugate(u, step, space, weight=weight)
        assert bool(torch.isfinite(g.conjugate(p, space, weight=weight)).all())
        rest = step * g.prox(u / step, weight / step, space)
        assert torch.allclose(p + rest, u, rtol=1e-12, atol=1e-12)
