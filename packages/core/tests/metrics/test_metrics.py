"""Metrics against scikit-image and formulas written out in numpy."""

import numpy as np
import pytest
import torch
from skimage import metrics as reference

import invcore
from invcore.metrics import MAE, MSE, NMSE, NRMSE, PSNR, SSIM, Metric

ALL = [MAE(), MSE(), NMSE(), NRMSE(), PSNR(data_range=1.0), SSIM(data_range=1.0)]


def pair(*shape, dtype=torch.float64, noise=0.1, seed=0):
    g = torch.Generator().manual_seed(seed)
    ramps = torch.meshgrid(*(torch.linspace(0, 1, n, dtype=torch.float64) for n in shape[-2:]), indexing="ij")
    x = 0.5 + 0.4 * torch.sin(7 * ramps[0] + 3 * ramps[1]).expand(shape).clone()
    x = x + 0.1 * torch.rand(shape, generator=g, dtype=torch.float64)
    return (x + noise * torch.randn(shape, generator=g, dtype=torch.float64)).to(dtype), x.to(dtype)


@pytest.mark.parametrize("window", ["gaussian", "uniform"])
@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize(
    "shape, d", [((1, 40, 33), 2), ((3, 24, 30), 2), ((1, 16, 20, 18), 3), ((2, 14, 13, 15), 3)]
)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_ssim_equals_scikit_image(window, unbiased, shape, d, dtype, tolerance):
    x_hat, x = pair(*shape, dtype=dtype)
    options = {"gaussian_weights": True, "sigma": 1.5} if window == "gaussian" else {"win_size": 7}
    expected = reference.structural_similarity(
        x_hat.double().numpy(),
        x.double().numpy(),
        data_range=1.3,
        channel_axis=0,
        use_sample_covariance=unbiased,
        **options,
    )
    metric = SSIM(data_range=1.3, window=window, unbiased=unbiased, spatial_dims=d)
    assert abs(float(metric(x_hat, x)) - expected) < tolerance


def test_ssim_of_images_with_a_large_mean_in_single_precision():
    x_hat, x = pair(1, 40, 40)
    expected = reference.structural_similarity(
        (x_hat + 500).numpy()[0],
        (x + 500).numpy()[0],
        data_range=1.0,
        gaussian_weights=True,
        use_sample_covariance=False,
    )
    value = SSIM(data_range=1.0)((x_hat + 500).float(), (x + 500).float())
    assert abs(float(value) - expected) < 1e-3


def test_psnr_and_nrmse_equal_scikit_image():
    x_hat, x = pair(1, 31, 44)
    a, b = x_hat.numpy()[0], x.numpy()[0]
    assert np.isclose(PSNR(data_range=2.0)(x_hat, x), reference.peak_signal_noise_ratio(b, a, data_range=2.0))
    assert np.isclose(
        PSNR(data_range="max")(x_hat, x), reference.peak_signal_noise_ratio(b, a, data_range=b.max())
    )
    assert np.isclose(NRMSE()(x_hat, x), reference.normalized_root_mse(b, a))
    assert np.isclose(NMSE()(x_hat, x), reference.normalized_root_mse(b, a) ** 2)
    assert np.isclose(MSE()(x_hat, x), reference.mean_squared_error(b, a))
    assert np.isclose(MAE()(x_hat, x), np.abs(a - b).mean())


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

    def test_derivative(self, metric):
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
