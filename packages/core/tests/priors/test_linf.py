"""The largest magnitude and the number of entries against brute force."""

import math

import pytest
import torch
from scipy import optimize

from invcore.operators import Space, WaveletTransform
from invcore.priors import Analysis, LInf, Lp
from invcore_testsupport import error, normal


@pytest.mark.parametrize("step", [0.3, 2.0, 100.0])
def test_linf_prox_by_linear_search_over_its_level(step):
    x = normal(7)
    objective = lambda c: c + float((x.abs() - c).clamp_min(0).square().sum()) / (2 * step)
    best = optimize.minimize_scalar(objective, bounds=(0, float(x.abs().max())), method="bounded").x
    z = LInf().prox(x, step)
    assert float(z.abs().max()) == pytest.approx(best, abs=1e-4)
    assert error(z + step * 0, x.clamp(-float(z.abs().max()), float(z.abs().max()))) < 1e-12


def test_linf_of_a_batch_and_of_complex_images():
    x, steps = normal(3, 2, 4, dtype=torch.complex128), torch.tensor([0.1, 1.0, 50.0], dtype=torch.float64)
    z = LInf().prox(x, steps, Space((2, 4), "complex"))
    for i in range(3):
        assert error(z[i], LInf().prox(x[i], float(steps[i]))) < 1e-14 or not z[i].any()
        assert error(LInf().prox(x[i].abs(), float(steps[i])), z[i].abs()) < 1e-12 or not z[i].any()
    assert not z[2].any()
    assert LInf().conjugate(torch.tensor([[0.5, -0.5], [0.5, 0.6]]), Space((2,))).tolist() == [0.0, math.inf]
    assert torch.autograd.gradcheck(lambda x: LInf().prox(x, 0.7), (normal(6).requires_grad_(),))


def test_hard_thresholding_is_the_best_of_all_subsets():
    x, step = normal(6), 0.4
    z = Lp(p=0.0).prox(x, step)
    best = math.inf
    for bits in range(64):
        kept = torch.tensor([bits >> i & 1 for i in range(6)], dtype=torch.float64) * x
        best = min(best, float((kept != 0).sum()) + float((kept - x).square().sum()) / (2 * step))
    assert float(Lp(p=0.0).value(z)) + float((z - x).square().sum()) / (2 * step) == pytest.approx(best)


def test_of_wavelet_coefficients():
    h, W, x = LInf(), WaveletTransform((1, 8, 8), wavelet="haar", levels=2), normal(1, 8, 8)
    assert error(Analysis(h, W).prox(x, 0.3), W.H(h.prox(W(x), 0.3))) < 1e-6
