"""What metrics share: batches, derivatives, crops, complex images, refused input, other programs' figures.

The figures come from deepinv 0.5.0 and torchmetrics 1.9.0 (single precision) on the images of `smooth_pair`.
"""

import math

import numpy as np
import pytest
import torch

import invcore
from invcore.metrics import (
    ERGAS,
    GMSD,
    L1L2,
    MAE,
    MSE,
    MSSSIM,
    NMSE,
    NRMSE,
    PSNR,
    SNR,
    SSIM,
    BlurStrength,
    CosineSimilarity,
    HaarPSI,
    LpNorm,
    Metric,
    SharpnessIndex,
    SpectralAngle,
)

ALL = [MAE(), MSE(), NMSE(), NRMSE(), PSNR(data_range=1.0), SSIM(data_range=1.0)]


SMALL_SCALES = (0.4, 0.6)


COMPARISONS = {
    "snr": SNR(),
    "cosine": CosineSimilarity(),
    "l1l2": L1L2(alpha=0.3),
    "lp": LpNorm(p=3.0),
    "lp below one": LpNorm(p=0.5),
    "largest": LpNorm(p=math.inf),
    "signs": LpNorm(p=2.0, onesided=True),
    "ms_ssim": MSSSIM(data_range=1.0, weights=SMALL_SCALES, sigma=0.8),
    "gmsd": GMSD(data_range=1.0),
    "haarpsi": HaarPSI(data_range=1.0),
    "sam": SpectralAngle(),
    "ergas": ERGAS(factor=4.0),
}


def pair(*shape, dtype=torch.float64, noise=0.1, seed=0):
    g = torch.Generator().manual_seed(seed)
    ramps = torch.meshgrid(*(torch.linspace(0, 1, n, dtype=torch.float64) for n in shape[-2:]), indexing="ij")
    x = 0.5 + 0.4 * torch.sin(7 * ramps[0] + 3 * ramps[1]).expand(shape).clone()
    x = x + 0.1 * torch.rand(shape, generator=g, dtype=torch.float64)
    return (x + noise * torch.randn(shape, generator=g, dtype=torch.float64)).to(dtype), x.to(dtype)


def centered_pair(*shape, seed=0):
    """Images with values of both signs."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=g, dtype=torch.float64)
    return x + 0.5 * torch.randn(shape, generator=g, dtype=torch.float64), x


def close(value, expected, rel=1e-9):
    assert value.flatten().tolist() == pytest.approx(np.ravel(expected).tolist(), rel=rel, abs=1e-12)


@pytest.mark.parametrize("metric", ALL, ids=lambda m: type(m).__name__)
class TestEveryMetric:
    def test_one_value_per_sample_whatever_the_batch(self, metric):
        x_hat, x = pair(2, 3, 1, 16, 18)
        values = metric(x_hat, x)
        assert values.shape == (2, 3)
        for i in range(2):
            for j in range(3):
                assert torch.allclose(values[i, j], metric(x_hat[i, j], x[i, j]), rtol=1e-12)
        assert metric(x_hat[:0], x[:0]).shape == (0, 3)

    def test_better_images_have_better_values(self, metric):
        assert isinstance(metric, Metric)
        good, x = pair(1, 20, 20, noise=0.05)
        bad, _ = pair(1, 20, 20, noise=0.5)
        assert (metric(good, x) > metric(bad, x)) == metric.higher_is_better
        same = float(metric(x, x))
        assert same == {PSNR: np.inf, SSIM: pytest.approx(1.0)}.get(type(metric), 0.0)

    def test_derivative_is_that_of_finite_differences(self, metric):
        x_hat, x = pair(2, 1, 12, 13)
        assert torch.autograd.gradcheck(lambda v: metric(v, x), (x_hat.requires_grad_(),))

    def test_wrong_input(self, metric):
        x_hat, x = pair(1, 16, 16)
        with pytest.raises(invcore.ShapeError, match=r"\(1, 16, 15\)"):
            metric(x_hat[..., :15], x)
        with pytest.raises(invcore.ShapeError, match=r"x\[None\]"):
            metric(x_hat[0], x[0])
        with pytest.raises(invcore.DtypeError, match=r"\.float\(\)"):
            metric((255 * x_hat).int(), (255 * x).int())
        with pytest.raises(invcore.DtypeError, match="ndarray"):
            metric(x_hat, x.numpy())
        with pytest.raises(invcore.DataError, match="NaN"):
            metric(x_hat, torch.where(x > 0.9, float("nan"), x))
        with pytest.raises(invcore.ParameterError, match="complex='magnitude'"):
            metric(x_hat + 0j, x + 0j)
        assert torch.isnan(metric(x_hat * float("nan"), x))

    def test_frozen_and_printable(self, metric):
        with pytest.raises(AttributeError):
            metric.spatial_dims = 3
        assert repr(metric).startswith(type(metric).__name__)
        assert invcore.get("metric", type(metric).__name__.lower()) is type(metric)


@pytest.mark.parametrize("metric", COMPARISONS.values(), ids=COMPARISONS)
class TestEveryComparison:
    def pair(self, metric, smooth_pair, *batch):
        if isinstance(metric, LpNorm | SNR):
            return centered_pair(*batch, 3, 20, 18)
        x_hat, x = smooth_pair
        x_hat, x = (v[0, :, :60, :54].reshape(3, 3, 20, 3, 18)[:, :, :, 0] for v in (x_hat, x))
        x_hat, x = (v.expand(*batch, 3, 3, 20, 18)[..., 0, :, :, :] for v in (x_hat, x))
        return x_hat.clone(), x.clone()

    def test_derivative_is_that_of_finite_differences(self, metric, smooth_pair):
        x_hat, x = self.pair(metric, smooth_pair, 2)
        assert torch.autograd.gradcheck(lambda v: metric(v, x), (x_hat.requires_grad_(),), fast_mode=True)

    def test_finite_derivative_at_the_reference(self, metric, smooth_pair):
        if isinstance(metric, SNR):
            return  # infinite there
        _, x = self.pair(metric, smooth_pair, 2)
        x_hat = x.clone().requires_grad_()
        metric(x_hat, x).sum().backward()
        assert bool(torch.isfinite(x_hat.grad).all())

    def test_crop_is_cropping_first(self, metric, smooth_pair):
        x_hat, x = self.pair(metric, smooth_pair, 2)
        inner = (..., slice(1, -1), slice(1, -1))
        cropped = type(metric)(**{**vars(metric), "crop": 1})
        close(cropped(x_hat, x), metric(x_hat[inner], x[inner]))
        with pytest.raises(invcore.ShapeError, match="leaves nothing"):
            type(metric)(**{**vars(metric), "crop": 9})(x_hat, x)

    def test_complex_needs_a_policy(self, metric, smooth_pair):
        x_hat, x = self.pair(metric, smooth_pair)
        with pytest.raises(invcore.ParameterError, match="complex='magnitude'"):
            metric(x_hat + 0j, x + 0j)
        magnitude = type(metric)(**{**vars(metric), "complex": "magnitude"})
        close(magnitude(x_hat * 1j, -x + 0j), metric(x_hat.abs(), x.abs()))


@pytest.mark.parametrize(
    "metric, gray, figures, rel",
    [
        (HaarPSI(data_range=1.0), True, (0.8039742, 0.8064622), 1e-5),
        (HaarPSI(data_range=1.0, c=5.0, alpha=4.9), True, (0.6950210, 0.6987719), 1e-5),
        (SpectralAngle(), False, (0.0548552, 0.0551210), 1e-5),
        (ERGAS(factor=4.0), False, (1.8428799, 1.8377655), 1e-5),
        (SNR(), False, (22.7458858, 22.7688198), 1e-5),
        (CosineSimilarity(), False, (0.9973551, 0.9973660), 1e-5),
        (L1L2(alpha=0.3), False, (0.0137364, 0.0137524), 1e-5),
        (LpNorm(p=3.0), False, (2.8048778, 2.8079274), 1e-4),
        # reflected borders at every scale, where ours leaves the windows that cross a border out
        (MSSSIM(data_range=1.0), True, (0.9286296, 0.9273637), 1e-3),
        # without the subsampling of the paper, and another border
        (GMSD(data_range=1.0, subsample=False), True, (0.1365965, 0.1383818), 1e-2),
        # the simplified variance of Leclaire and Moisan, where ours is the exact one
        (SharpnessIndex(dequantize=True), True, (0.4024330, 0.5853070), 1e-2),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, Metric) else "",
)
def test_figures_of_other_programs(metric, gray, figures, rel, smooth_pair):
    x_hat, x = (v[:, :1] if gray else v for v in smooth_pair)
    value = metric(x_hat) if isinstance(metric, SharpnessIndex) else metric(x_hat, x)
    close(value, figures, rel)


def test_spatial_dims_tells_a_volume_from_a_batch():
    x_hat, x = pair(4, 1, 12, 14)
    assert NMSE()(x_hat, x).shape == (4,)
    assert NMSE(spatial_dims=3)(x_hat.movedim(0, 1), x.movedim(0, 1)).shape == ()


def test_complex_policies():
    x = torch.tensor([[[3.0 + 4.0j, 1.0j]]], dtype=torch.complex128)
    turned = x * 1j
    assert NRMSE(complex="magnitude")(turned, x) < 1e-15
    assert np.isclose(NRMSE(complex="complex")(turned, x), abs(1j - 1))
    magnitude = NRMSE(complex="magnitude")(turned, x.abs())  # a real reference is fine
    assert magnitude < 1e-15


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_scalar_fit_is_the_least_squares_solution(dtype):
    g = torch.Generator().manual_seed(1)
    x_hat, x = (torch.randn(3, 1, 6, 5, dtype=dtype, generator=g) for _ in range(2))
    values = NMSE(complex="complex", fit="scalar")(x_hat, x)
    for a, b, value in zip(x_hat.numpy(), x.numpy(), values):
        scale = np.linalg.lstsq(a.reshape(-1, 1), b.ravel(), rcond=None)[0]
        assert np.isclose(value, np.linalg.norm(scale * a - b) ** 2 / np.linalg.norm(b) ** 2)
        assert np.isclose(
            NMSE(complex="complex", fit="scalar")(torch.tensor(1e6 * a), torch.tensor(b)), value
        )
    assert NMSE(complex="complex", fit="scalar")(0 * x_hat, x).allclose(torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: PSNR(data_range=0.0), "data_range"),
        (lambda: SSIM(data_range="auto"), "data_range"),
        (lambda: SSIM(data_range=True), "data_range"),
        (lambda: NMSE(complex="abs"), "'magnitude' or 'complex'"),
        (lambda: NMSE(fit="affine"), "'none' or 'scalar'"),
        (lambda: NMSE(spatial_dims=4), "spatial_dims"),
        (lambda: SSIM(data_range=1.0, complex="complex"), "magnitudes"),
        (lambda: SSIM(data_range=1.0, size=4), "odd"),
        (lambda: SSIM(data_range=1.0, window="box"), "window"),
        (lambda: L1L2(alpha=1.5), "alpha"),
        (lambda: LpNorm(p=0.0), "p must be positive"),
        (lambda: MSSSIM(data_range=1.0, weights=()), "weights"),
        (lambda: GMSD(data_range=1.0, c=0.0), "c must be positive"),
        (lambda: GMSD(data_range=1.0, spatial_dims=3), "spatial_dims must be 2"),
        (lambda: HaarPSI(data_range=1.0, alpha=-1.0), "positive"),
        (lambda: HaarPSI(data_range=1.0, complex="complex"), "magnitudes"),
        (lambda: ERGAS(factor=0.0), "factor"),
        (lambda: BlurStrength(size=4), "odd"),
        (lambda: SNR(crop=-1), "crop"),
        (lambda: SNR(crop=1.5), "crop"),
        (lambda: SNR(spatial_dims=True), "spatial_dims"),
    ],
)
def test_wrong_options(make, message):
    with pytest.raises(invcore.ParameterError, match=message):
        make()


def test_data_range_has_no_default_and_degenerate_references():
    with pytest.raises(TypeError, match="data_range"):
        PSNR()
    with pytest.raises(invcore.ParameterError, match="data_range"):
        invcore.metric("ssim")
    zero = torch.zeros(1, 12, 12)
    with pytest.raises(invcore.DataError, match="zero"):
        NMSE()(zero, zero)
    with pytest.raises(invcore.DataError, match="not zero"):
        PSNR(data_range="max")(zero, zero)
    with pytest.raises(invcore.ShapeError, match="window of 11"):
        SSIM(data_range=1.0)(zero[..., :8], zero[..., :8])


def test_half_precision_and_mixed_precision():
    x_hat, x = pair(1, 16, 16)
    assert NRMSE()(x_hat.half(), x.half()).dtype == torch.float32
    assert torch.allclose(SSIM(data_range=1.0)(x_hat.float(), x), SSIM(data_range=1.0)(x_hat, x), atol=1e-6)
