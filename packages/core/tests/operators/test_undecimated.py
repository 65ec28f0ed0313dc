"""The undecimated wavelet transform against PyWavelets and its definition."""

import numpy as np
import pytest
import pywt
import torch

from invcore import ParameterError, ShapeError
from invcore.operators import Space, WaveletTransform
from invcore.operators import UndecimatedWaveletTransform as Undecimated

F64, C128 = torch.float64, torch.complex128


def random(*shape, dtype=F64, seed=0):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("wavelet", ["haar", "db2", "db4", "sym5", "coif2"])
@pytest.mark.parametrize(
    "shape, levels", [((16,), 3), ((24,), 2), ((8, 12), 2), ((16, 8), 3), ((4, 8, 6), 1)]
)
@pytest.mark.parametrize("dtype", [F64, C128])
def test_coefficients_are_those_of_pywavelets(wavelet, shape, levels, dtype):
    x = random(2, *shape, dtype=dtype)
    d = len(shape)
    kind = "complex" if dtype.is_complex else "real"
    W = Undecimated(domain=Space(tuple(x.shape), kind), wavelet=wavelet, levels=levels, spatial_dims=d)
    found = W(x).numpy()
    for channel in range(2):
        approximation, *details = pywt.swtn(x[channel].numpy(), wavelet, levels, norm=True, trim_approx=True)
        expected = {"a" * d: approximation}
        for level, bands in zip(range(levels, 0, -1), details):
            expected.update({f"{word}{level}": c for word, c in bands.items()})
        assert sorted(expected) == sorted(W.bands)
        for band, got in zip(W.bands, found[:, channel]):
            np.testing.assert_allclose(got, expected[band], atol=1e-9)


def test_a_signal_agrees_with_swt():
    x = random(32)
    W = Undecimated(domain=Space((32,)), wavelet="db3", levels=3, spatial_dims=1)
    expected = pywt.swt(x.numpy(), "db3", 3, norm=True, trim_approx=True)
    np.testing.assert_allclose(W(x).numpy(), np.stack(expected), atol=1e-9)


def test_odd_sizes_follow_the_definition():
    """By loops, with a filter that is longer than the axis."""
    x, wavelet = random(7), pywt.Wavelet("db3")
    W = Undecimated(domain=Space((7,)), wavelet="db3", levels=2, spatial_dims=1)
    a, expected = x.numpy(), []
    for j in (1, 2):
        taps = [
            np.array(
                [
                    sum(f[m] * a[(i + 2 ** (j - 1) * (3 - m)) % 7] for m in range(6)) / np.sqrt(2)
                    for i in range(7)
                ]
            )
            for f in (wavelet.dec_lo, wavelet.dec_hi)
        ]
        a = taps[0]
        expected.insert(0, taps[1])
    np.testing.assert_allclose(W(x).numpy(), np.stack([a, *expected]), atol=1e-9)


@pytest.mark.parametrize("shape", [(5,), (1,), (6, 7), (3, 4, 5)])
@pytest.mark.parametrize("approximation", [True, False])
@pytest.mark.parametrize("kind", ["real", "complex"])
def test_parseval_frame(shape, approximation, kind):
    W = Undecimated(
        domain=Space(shape, kind),
        wavelet="db2",
        levels=2,
        spatial_dims=len(shape),
        approximation=approximation,
    ).to(F64)
    matrix = W.dense(dtype=F64)
    torch.testing.assert_close(W.H.dense(dtype=F64), matrix.mH)
    gram = matrix.mH @ matrix
    torch.testing.assert_close(W.gram.dense(dtype=F64), gram)
    if approximation:
        torch.testing.assert_close(gram, torch.eye(len(gram), dtype=gram.dtype))
        projection = matrix @ matrix.mH
        torch.testing.assert_close(projection @ projection, projection)
    else:  # constants are in the null space
        constant = torch.ones(shape, dtype=C128 if kind == "complex" else F64)
        assert float(W(constant).abs().max()) < 1e-12
    assert float(torch.linalg.matrix_norm(matrix, 2)) <= float(W.norm()) + 1e-12


def test_it_commutes_with_shifts():
    x = random(3, 2, 9, 8)
    W = Undecimated(domain=Space((2, 9, 8)))
    torch.testing.assert_close(W(x.roll((2, 5), (-2, -1))), W(x).roll((2, 5), (-2, -1)))
    assert W(x).shape == (3, len(W.bands), 2, 9, 8)
    torch.testing.assert_close(torch.func.vmap(W._apply)(x), W(x))
    torch.testing.assert_close(W(x)[1], W(x[1]))


def test_derivatives_and_precision():
    W = Undecimated(domain=Space((1, 5, 4)), wavelet="haar", levels=2)
    x = random(1, 5, 4).requires_grad_()
    assert torch.autograd.gradcheck(W, x) and torch.autograd.gradgradcheck(lambda v: W(v) ** 2, x)
    big = random(1, 300, 257)
    single = Undecimated(domain=Space((1, 300, 257)))
    assert float((single(big.float()) - single(big)).norm() / big.norm()) < 1e-6


def test_thresholding_it_removes_noise():
    """Better than the orthogonal transform, whose thresholds leave traces of its grid."""
    r = torch.linspace(-1, 1, 64, dtype=F64)
    x = ((r[:, None] ** 2 + r**2).sqrt() < 0.6).to(F64)[None]
    noisy = x + 0.1 * random(1, 64, 64)
    errors = []
    for W in (
        Undecimated(domain=Space((1, 64, 64)), wavelet="haar", levels=3),
        WaveletTransform((1, 64, 64), wavelet="haar", levels=3),
    ):
        c = W(noisy)
        if isinstance(W, Undecimated):  # the noise of a band of level j has the deviation sigma / 2^j
            scale = torch.tensor([0.0, *(2.0 ** -int(b[2:]) for b in W.bands[1:])], dtype=F64)
            c = torch.where(c.abs() > 0.3 * scale[:, None, None, None], c, 0)
        else:
            kept = c[..., :8, :8].clone()
            c = torch.where(c.abs() > 0.3, c, 0)
            c[..., :8, :8] = kept
        errors.append(float((W.H(c) - x).norm()))
    assert errors[0] < 0.8 * errors[1]


def test_wrong_arguments():
    with pytest.raises(ParameterError, match="levels must be None or an integer >= 1, got 0"):
        Undecimated(domain=Space((1, 8, 8)), levels=0)
    with pytest.raises(ShapeError, match="spatial_dims must be 1, 2 or 3"):
        Undecimated(domain=Space((8,)))
    with pytest.raises(ShapeError, match="a sample along every axis"):
        Undecimated(domain=Space((1, 0, 8)))
    with pytest.raises(ParameterError, match="not orthogonal"):
        Undecimated(domain=Space((1, 8, 8)), wavelet="bior2.2")
