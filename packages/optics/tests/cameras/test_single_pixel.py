"""Single-pixel cameras: patterns, their orders, detection, and the variance that photons cause."""

import math

import numpy as np
import pytest
import pywt
import torch
from scipy.linalg import hadamard

from invcore import ParameterError, ShapeError
from invcore.operators import Space
from invcore_optics import SinglePixel, bernoulli_patterns, hadamard_order


def blocks(pattern):
    """Number of connected blocks of one sign, by flood fill."""
    pattern, seen, count = np.asarray(pattern), np.zeros(pattern.shape, bool), 0
    for start in np.ndindex(pattern.shape):
        if seen[start]:
            continue
        count, todo = count + 1, [start]
        while todo:
            y, x = todo.pop()
            inside = 0 <= y < pattern.shape[0] and 0 <= x < pattern.shape[1]
            if inside and not seen[y, x] and pattern[y, x] == pattern[start]:
                seen[y, x] = True
                todo += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
    return count


def patterns_of(shape):
    """All two-dimensional Hadamard patterns in natural order, from SciPy's matrix."""
    ny, nx = shape
    return np.kron(hadamard(ny), hadamard(nx)).reshape(-1, ny, nx)


@pytest.mark.parametrize("shape", [(8, 8), (4, 16), (1, 8)])
def test_cake_cutting_counts_the_blocks_of_each_pattern(shape):
    shown = patterns_of(shape)[hadamard_order(shape, "cake_cutting").numpy()]
    pieces = [blocks(p) for p in shown]
    assert pieces == sorted(pieces)


def test_sequency_counts_changes_of_sign_along_the_scan():
    shown = patterns_of((4, 8))[hadamard_order((4, 8), "sequency").numpy()].reshape(32, 32)
    assert (np.diff(shown, axis=1) != 0).sum(1).tolist() == list(range(32))


@pytest.mark.parametrize("order", ["zigzag", "xy"])
def test_orders_by_changes_along_both_axes(order):
    shown = patterns_of((8, 8))[hadamard_order((8, 8), order).numpy()]
    sy = (np.diff(shown[:, :, 0], axis=1) != 0).sum(1)
    sx = (np.diff(shown[:, 0, :], axis=1) != 0).sum(1)
    key = sy + sx if order == "zigzag" else sy * sx + (sy**2 + sx**2) / 4
    assert (np.diff(key) >= 0).all()
    if order == "zigzag":  # neighbors on the path touch
        assert np.maximum(abs(np.diff(sy)), abs(np.diff(sx))).max() == 1


@pytest.mark.parametrize("order", ["natural", "sequency", "cake_cutting", "zigzag", "xy"])
def test_each_order_shows_every_pattern_once(order):
    A = SinglePixel("hadamard", Space((1, 4, 8)), order=order)
    rows = A.dense(dtype=torch.float64) * math.sqrt(32)
    torch.testing.assert_close(rows, torch.tensor(patterns_of((4, 8)))[A.rows].flatten(1).double())
    assert sorted(A.rows.tolist()) == list(range(32))


def test_haar_is_that_of_pywavelets():
    x = torch.randn(1, 16, 8, generator=torch.Generator().manual_seed(0))
    A = SinglePixel("haar", Space((1, 16, 8)), levels=2)
    layout, _ = pywt.coeffs_to_array(pywt.wavedec2(x[0].numpy(), "haar", "periodization", level=2))
    np.testing.assert_allclose(A(x).reshape(16, 8).abs(), abs(layout), atol=1e-5)
    scale = SinglePixel("haar", Space((1, 16, 8)), levels=2, order="scale")
    assert set(scale.rows[:8].tolist()) == {8 * y + x for y in range(4) for x in range(2)}  # approximation


@pytest.mark.parametrize(
    "patterns, options",
    [("hadamard", {"order": "zigzag", "measurements": 9}), ("haar", {"levels": 2}), (None, {})],
)
def test_pairs_are_the_positive_and_the_negative_part_of_each_pattern(patterns, options):
    domain = Space((1, 4, 8))
    if patterns is None:
        patterns = torch.randn(7, 4, 8, generator=torch.Generator().manual_seed(0))
    w = SinglePixel(patterns, domain, **options).dense(dtype=torch.float64)
    both = SinglePixel(patterns, domain, detection="pairs", dwell=0.7, **options)
    peak = w.abs().amax(1, keepdim=True)
    expected = 0.7 * torch.stack((w.clamp_min(0) / peak, (-w).clamp_min(0) / peak))
    torch.testing.assert_close(both.dense(dtype=torch.float64), expected.flatten(0, 1))
    single = SinglePixel(patterns, domain, detection="single", dwell=0.7, **options)
    torch.testing.assert_close(single.dense(dtype=torch.float64), expected[0])
    x = torch.rand(1, 4, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(both.difference(both(x)), SinglePixel(patterns, domain, **options)(x))


def test_photon_noise_of_hadamard_pairs_is_the_same_in_every_pixel_and_twice_that_of_a_raster_scan():
    # N pixels in time T: pairs of T/(2 N) each give the variance 2 Σx/T, a scan pixel by pixel N x/T
    g, draws, time = torch.Generator().manual_seed(0), 4000, 64.0
    x = 1 + 40 * torch.rand(1, 8, 8, generator=g, dtype=torch.float64)
    A = SinglePixel("hadamard", Space((1, 8, 8)), detection="pairs", dwell=time / (2 * 64)).to(torch.float64)
    y = torch.poisson(A(x).clamp_min(0).expand(draws, -1, -1, -1), generator=g)
    found = SinglePixel("hadamard", Space((1, 8, 8))).H(A.difference(y))
    expected = 2 * x.sum() / time
    assert (found.mean(0) - x).abs().max() < 5 * math.sqrt(expected / draws)
    assert found.var(0).mean().item() == pytest.approx(expected.item(), rel=0.01)
    assert (found.var(0) / expected - 1).abs().max() < 5 * math.sqrt(2 / draws)
    raster = torch.poisson((x * time / 64).expand(draws, -1, -1, -1), generator=g) * 64 / time
    assert (found.var(0).mean() / raster.var(0).mean()).item() == pytest.approx(2, rel=0.03)


def test_bernoulli_patterns_have_both_signs_and_keep_the_norm():
    g = torch.Generator().manual_seed(0)
    patterns = bernoulli_patterns(3000, (4, 4), generator=g)
    A = SinglePixel(patterns, Space((2, 4, 4)))
    x = torch.randn(2, 4, 4, generator=g)
    assert (A(x).square().sum() / x.square().sum()).item() == pytest.approx(1, abs=0.1)
    assert (patterns > 0).double().mean().item() == pytest.approx(0.5, abs=0.01)
    torch.testing.assert_close(A(x), torch.einsum("myx,cyx->cm", patterns, x), atol=1e-4, rtol=1e-4)


def test_ridge_is_the_closed_form():
    g = torch.Generator().manual_seed(0)
    A = SinglePixel("hadamard", Space((1, 4, 4)), order="cake_cutting", measurements=7).to(torch.float64)
    y, z = (torch.randn(s, generator=g, dtype=torch.float64) for s in ((1, 7), (1, 4, 4)))
    D = A.dense(dtype=torch.float64)
    solved = torch.linalg.solve(D.T @ D + 0.3 * torch.eye(16).double(), D.T @ y[0] + 0.3 * z.flatten())
    torch.testing.assert_close(A._ridge(y, z, torch.tensor(0.3).double()).flatten(), solved)


@pytest.mark.parametrize(
    "patterns, domain, options, error, match",
    [
        ("hadamard", (1, 6, 8), {}, ShapeError, "powers of two"),
        ("fourier", (1, 8, 8), {}, ParameterError, "'hadamard', 'haar'"),
        ("hadamard", (1, 8, 8), {"order": "scale"}, ParameterError, "cake_cutting"),
        ("hadamard", (1, 8, 8), {"measurements": 65}, ParameterError, "between 1 and 64"),
        ("hadamard", (1, 8, 8), {"levels": 2}, ParameterError, "Haar"),
        ("haar", (1, 8, 4), {"levels": 3}, ParameterError, "halved 2 times"),
        ("haar", (1, 8, 4), {"order": torch.tensor([32])}, ShapeError, "0 to 31"),
        ("haar", (1, 8, 4), {"detection": "both"}, ParameterError, "'pairs'"),
        ("haar", (1, 8, 4), {"dwell": 0.0}, ParameterError, "positive"),
        (torch.ones(3, 2, 2), (1, 8, 4), {}, ShapeError, "do not fit"),
    ],
)
def test_wrong_input(patterns, domain, options, error, match):
    with pytest.raises(error, match=match):
        SinglePixel(patterns, Space(domain), **options)


def test_differences_need_pairs():
    A = SinglePixel("hadamard", Space((1, 4, 4)))
    with pytest.raises(ParameterError, match="pairs"):
        A.difference(torch.zeros(1, 16))
