"""Wavelet sparsity against PyWavelets, with reproducible shifts and without decimation."""

import math

import numpy as np
import pytest
import pywt
import torch
from scipy.optimize import lsq_linear

from invcore import ConvergenceWarning, ParameterError, Physics
from invcore.operators import Identity, Space
from invcore.priors import L1, WaveletL1
from invcore.solvers import FISTA, ChambollePock
from invcore_testsupport import normal

F64 = torch.float64


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
    with pytest.raises(ParameterError, match="finite number >= 0"):
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
