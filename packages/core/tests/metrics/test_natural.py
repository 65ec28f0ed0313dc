"""NIQE and BRISQUE against scipy, Pillow and formulas written out in numpy."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import image as reader
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.special import gamma
from scipy.stats import gennorm

import invcore
from invcore.metrics import BRISQUE, NIQE
from invcore.metrics._natural import asymmetric_fit, halved
from invcore_testsupport import DATA

ROOT = Path(__file__).parents[4]
SET12 = DATA / "images" / "set12"


def textured(*shape, seed=0):
    """Positive images with fluctuations of all sizes."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    x = sum(gaussian_filter(noise, (*(0,) * (len(shape) - 2), s, s)) * s for s in (0.6, 1.5, 4.0))
    return torch.from_numpy(0.5 + 0.15 * x)


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("left, right", [(1.0, 1.0), (0.5, 2.0)])
def test_fit_recovers_the_distribution(shape, left, right):
    size = np.abs(gennorm.rvs(shape, size=400_000, random_state=0))
    # the sides of an asymmetric generalized Gaussian hold probabilities in the ratio of their widths
    negative = np.random.default_rng(1).random(size.shape) < left / (left + right)
    found, a, b = asymmetric_fit(torch.from_numpy(np.where(negative, -left * size, right * size)))
    assert float(found) == pytest.approx(shape, rel=0.03)
    root = np.sqrt(gamma(3 / shape) / gamma(1 / shape))
    assert float(a) == pytest.approx(left * root, rel=0.02)
    assert float(b) == pytest.approx(right * root, rel=0.02)


def test_fit_of_nothing_is_finite():
    for sample in (torch.zeros(50), torch.ones(50), -torch.ones(50)):
        assert all(bool(torch.isfinite(v)) for v in asymmetric_fit(sample.double()))


def reference_half(x):
    """Pillow's cubic interpolation with a low-pass filter."""
    size = (x.shape[1] // 2, x.shape[0] // 2)
    return np.asarray(Image.fromarray(x.astype(np.float32)).resize(size, Image.Resampling.BICUBIC), float)


def reference_fit(v):
    shapes = np.arange(0.2, 10, 0.001)
    ratios = gamma(2 / shapes) ** 2 / gamma(1 / shapes) / gamma(3 / shapes)
    left, right = np.sqrt((v[v < 0] ** 2).mean()), np.sqrt((v[v > 0] ** 2).mean())
    g = left / right
    target = np.abs(v).mean() ** 2 / (v**2).mean() * (g**3 + 1) * (g + 1) / (g**2 + 1) ** 2
    return shapes[np.abs(ratios - target).argmin()], left, right


def reference_normalized(x):
    mean, square = (gaussian_filter(u, 7 / 6, radius=3, mode="nearest") for u in (x, x * x))
    return (x - mean) / (np.sqrt(np.maximum(square - mean**2, 0)) + 1)


def reference_statistics(v, variances):
    shape, left, right = reference_fit(v.ravel())
    factor = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    found = [shape, (left**2 + right**2) / 2 if variances else (left + right) * factor / 2]
    pairs = [(v[:, :-1], v[:, 1:]), (v[:-1], v[1:]), (v[:-1, :-1], v[1:, 1:]), (v[:-1, 1:], v[1:, :-1])]
    for a, b in pairs:
        shape, left, right = reference_fit((a * b).ravel())
        factor = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
        mean = (right - left) * factor * gamma(2 / shape) / gamma(1 / shape)
        found += [shape, mean]
        found += [left**2, right**2] if variances else [left * factor, right * factor]
    return found


def test_half_size_is_that_of_pillow():
    x = textured(31, 46)
    assert np.allclose(halved(x[None])[0].numpy(), reference_half(x.numpy()), atol=1e-5)


def test_brisque_features_by_their_formulas():
    x = textured(3, 1, 50, 44)
    found = BRISQUE(data_range=2.0).features(x)
    for image, features in zip(x.numpy(), found.numpy()):
        scaled = 127.5 * image[0]
        expected = [
            s
            for u in (scaled, reference_half(scaled))
            for s in reference_statistics(reference_normalized(u), True)
        ]
        assert np.allclose(features, expected, rtol=5e-3, atol=1e-3)  # the steps of the reference's search


def test_niqe_by_its_formula():
    metric = NIQE.fit(textured(12, 1, 96, 96), data_range=1.0, patch_size=32, sharpness=0.0)
    x = textured(1, 70, 101, seed=5)
    scaled = 255 * x[0, :64, :96].numpy()
    rows = []
    for i in range(2):
        for j in range(3):
            row = []
            for u, n in ((scaled, 32), (reference_half(scaled), 16)):
                v = reference_normalized(u)[i * n : i * n + n, j * n : j * n + n]
                row += reference_statistics(v, False)
            rows.append(row)
    rows = np.array(rows)
    offset = metric.mean.numpy() - rows.mean(0)
    spread = (metric.covariance.numpy() + np.cov(rows.T)) / 2
    expected = np.sqrt(offset @ np.linalg.inv(spread) @ offset)
    assert float(metric(x)) == pytest.approx(expected, rel=0.02)


def test_niqe_fit_keeps_sharp_patches():
    x = textured(60, 1, 64, 64)
    x[..., 32:, :] = 0.5  # nothing to see: the features of these patches would be degenerate
    sharp = NIQE.fit(x, data_range=1.0, patch_size=32)
    everything = NIQE.fit(x, data_range=1.0, patch_size=32, sharpness=0.0)
    upper = NIQE.fit([v[:, :32] for v in x], data_range=1.0, patch_size=32, sharpness=0.0)
    # apart from the filter across the edge, the sharp patches are those of the upper half
    assert float((sharp.mean - upper.mean).norm()) < 0.1 * float((everything.mean - upper.mean).norm())


def test_brisque_fit_learns_the_scores_that_it_is_given():
    noise = torch.linspace(0, 0.2, 60, dtype=torch.float64)
    g = torch.Generator().manual_seed(1)
    x = textured(60, 1, 48, 48)
    x = x + noise[:, None, None, None] * torch.randn(x.shape, generator=g, dtype=x.dtype)
    features = BRISQUE(data_range=1.0).features(x)
    metric = BRISQUE.fit(features[::2], noise[::2], data_range=1.0, centers=30)
    error = metric(x[1::2]) - noise[1::2]
    assert float(error.square().mean().sqrt()) < 0.02


@pytest.mark.parametrize("metric", [NIQE(data_range=1.0), BRISQUE(data_range=1.0)], ids=["niqe", "brisque"])
class TestShipped:
    def test_contract(self, metric):
        x = textured(2, 1, 96, 192).float()
        assert metric(x).shape == (2,) and metric(x).dtype == torch.float32
        scaled = type(metric)(data_range=255.0)(255 * x)
        assert torch.allclose(scaled, metric(x), rtol=1e-3)
        color = x.expand(-1, 3, -1, -1)
        assert torch.allclose(metric(color), metric(x), rtol=1e-3)
        assert torch.allclose(metric(x + 0.3), metric(x), rtol=1e-3)  # brightness does not count
        assert bool(torch.isfinite(metric(torch.zeros(1, 96, 192))))
        with pytest.raises(invcore.ParameterError, match="no reference"):
            metric(x, x)
        with pytest.raises(invcore.ShapeError, match="1 channel, or 3"):
            metric(x.expand(-1, 2, -1, -1))
        with pytest.raises(invcore.ParameterError, match="data_range"):
            type(metric)(data_range="max")

    def test_no_derivative(self, metric):
        assert not metric(textured(1, 96, 192).requires_grad_()).requires_grad

    @pytest.mark.skipif(not (SET12 / "01.png").is_file(), reason=f"no pictures in {SET12}; set INVCORE_DATA")
    def test_direction_on_photographs(self, metric):
        """Growing noise and blur are worse on the mean of six pictures, a lower contrast is not."""
        x = torch.stack([torch.from_numpy(reader.imread(SET12 / f"{i:02}.png").copy()) for i in range(1, 7)])[
            :, None
        ]
        x, g = x.double(), torch.Generator().manual_seed(0)
        noisy = [x + s / 255 * torch.randn(x.shape, generator=g, dtype=x.dtype) for s in (0, 5, 15, 25, 50)]
        blurred = [torch.from_numpy(gaussian_filter(x.numpy(), (0, 0, s, s))) for s in (0, 1, 2, 4)]
        for images in (noisy, blurred):
            scores = [float(metric(v).mean()) for v in images]
            assert scores == sorted(scores) and scores[-1] > 2 * scores[0]
        half = float(metric(0.5 + 0.6 * (x - 0.5)).mean())
        assert abs(half - float(metric(x).mean())) < 1.0


def test_shipped_files_are_small_and_described():
    folder = resources.files("invcore.metrics") / "data"
    files = {file.name: file for file in folder.iterdir()}
    assert set(files) == {"brisque.card.toml", "brisque.npz", "niqe.card.toml", "niqe.npz"}
    assert sum(len(file.read_bytes()) for file in files.values()) < 50_000


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: NIQE(data_range=1.0, patch_size=32), invcore.ParameterError, "NIQE.fit"),
        (lambda: NIQE(data_range=1.0, patch_size=33), invcore.ParameterError, "even"),
        (lambda: NIQE(data_range=1.0, mean=torch.zeros(36)), invcore.ParameterError, "both"),
        (
            lambda: NIQE(data_range=1.0, mean=torch.zeros(36), covariance=torch.zeros(36)),
            invcore.ShapeError,
            "36, 36",
        ),
        (lambda: NIQE(data_range=1.0)(torch.zeros(1, 95, 300)), invcore.ShapeError, "at least 2"),
        (lambda: NIQE.fit(textured(4, 1, 96, 96), data_range=1.0), invcore.DataError, "at least 37"),
        (
            lambda: NIQE.fit(textured(4, 1, 96, 96), data_range=1.0, stride=3),
            invcore.ParameterError,
            "stride",
        ),
        (lambda: BRISQUE(data_range=1.0)(torch.zeros(1, 9, 30)), invcore.ShapeError, "16 x 16"),
        (lambda: BRISQUE(data_range=1.0, regressor={}), invcore.ParameterError, "BRISQUE.fit"),
        (lambda: BRISQUE.fit(torch.zeros(5, 18), torch.zeros(5), data_range=1.0), invcore.ShapeError, "36"),
    ],
)
def test_mistakes_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
