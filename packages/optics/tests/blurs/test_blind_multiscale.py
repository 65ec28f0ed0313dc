"""The blind solver against known kernels, and each of its steps against a minimizer found another way."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.signal
import torch
from PIL import Image

import invcore
from invcore import ParameterError, Physics
from invcore.noises import GaussianNoise
from invcore.operators import Convolution, Downsample
from invcore.solvers import ConjugateGradient
from invcore_optics import BlindMultiscale
from invcore_optics._blurs import blind_steps as steps

DATA = Path(os.environ.get("INVCORE_DATA", Path(__file__).parents[4] / "shared/data"))
measured = pytest.mark.skipif(
    not (DATA / "optics/levin09_kernels.mat").exists(),
    reason="the measured kernels are not here (INVCORE_DATA)",
)


def shake(size=9):
    """A bent path of a camera."""
    k = torch.zeros(size, size)
    k[2, 1:6] = torch.tensor([0.5, 1.0, 1.0, 1.0, 0.7])
    for i in range(5):
        k[2 + i, 5 + i // 2] += 1.0
    return k[None] / k.sum()


def scene(n=96):
    """Rectangles and disks, seen beyond the border of the data."""
    g = np.random.default_rng(0)
    x = np.full((n, n), 0.3)
    rows, columns = np.mgrid[:n, :n]
    for _ in range(25):
        i, j, h, w = (*g.integers(-10, n, 2), *g.integers(8, 40, 2))
        x[max(i, 0) : max(i + h, 0), max(j, 0) : max(j + w, 0)] = g.random()
    for _ in range(8):
        i, j, r = (*g.integers(0, n, 2), g.integers(4, 12))
        x[(rows - i) ** 2 + (columns - j) ** 2 < r * r] = g.random()
    return torch.from_numpy(x).float()[None]


def similarity(a, b):
    """The largest correlation over all shifts."""
    c = scipy.signal.correlate(a.numpy().squeeze(), b.numpy().squeeze())
    return float(c.max() / (a.norm() * b.norm()))


def unknown(camera, sigma=0.01):
    return Physics(camera.bind(kernel=torch.ones_like(camera.kernel)), GaussianNoise(sigma=sigma))


@pytest.fixture(scope="module")
def photograph():
    x = scene()
    camera = Convolution(shake(), domain=(1, 96, 96), boundary="valid")
    y = Physics(camera, GaussianNoise(sigma=0.01))(x, generator=torch.Generator().manual_seed(0))
    return x, camera, y


FAST = ConjugateGradient(weight=10.0, max_steps=10)


def test_finds_the_kernel_of_a_border_nobody_measured(photograph):
    _, camera, y = photograph
    solution = BlindMultiscale(solver=FAST).solve(y, unknown(camera))
    kernel = solution.physics.operator.kernel
    assert similarity(kernel, camera.kernel) > 0.9
    assert float(kernel.min()) >= 0
    torch.testing.assert_close(kernel.sum(), torch.tensor(1.0))
    assert solution.value.shape == (1, 96, 96)


def measured_similarity(number, which):
    """Of the kernel found in an image of Set12 (its middle 256 pixels) that a measured shake blurred."""
    with h5py.File(DATA / "optics/levin09_kernels.mat") as file:
        k = torch.from_numpy(np.array(file[file["kernels"][which - 1, 0]]).T.copy()).float()[None]
    x = np.asarray(Image.open(DATA / f"images/set12/{number:02d}.png").convert("L"), np.float32) / 255
    top, left = ((n - 256) // 2 for n in x.shape)
    x = torch.from_numpy(x[top : top + 256, left : left + 256].copy())[None]
    camera = Convolution(k / k.sum(), domain=(1, 256, 256), boundary="valid")
    y = Physics(camera, GaussianNoise(sigma=0.01))(x, generator=torch.Generator().manual_seed(0))
    solution = BlindMultiscale().solve(
        y, unknown(camera), callback=lambda kernel, problem, state: bool((state.level == 0).all())
    )
    return similarity(solution.physics.operator.kernel, camera.kernel)


@measured
def test_finds_a_measured_shake():
    assert measured_similarity(3, 6) > 0.8


@measured
@pytest.mark.slow
def test_finds_most_measured_shakes():
    found = np.array([[measured_similarity(number, k) for number in (3, 5, 8, 11)] for k in range(1, 9)])
    assert (found.mean(1) >= 0.8).sum() >= 6
    assert np.median(found) > 0.85


def test_window_may_be_larger_than_the_kernel(photograph):
    _, camera, y = photograph
    larger = Convolution(torch.ones(1, 13, 13), domain=(1, 100, 100), boundary="valid")
    kernel = BlindMultiscale(solver=FAST).solve(y, unknown(larger)).physics.operator.kernel
    assert similarity(kernel, camera.kernel) > 0.85


def test_each_sample_has_its_own_kernel(photograph):
    _, camera, y = photograph
    both = torch.stack((y, y.flip(-1)))
    kernels = BlindMultiscale(solver=FAST).solve(both, unknown(camera)).physics.operator.kernel
    assert kernels.shape == (2, 1, 9, 9)
    assert similarity(kernels[0], camera.kernel) > 0.9
    assert similarity(kernels[1], camera.kernel.flip(-1)) > 0.9


def test_colors_share_a_kernel(photograph):
    _, camera, y = photograph
    tints = torch.tensor([1.0, 0.5, 0.2])[:, None, None]
    color = Convolution(camera.kernel, domain=(3, 96, 96), boundary="valid")
    kernel = BlindMultiscale(solver=FAST).solve(tints * y, unknown(color)).physics.operator.kernel
    assert similarity(kernel, camera.kernel) > 0.9


def test_unit_of_the_data_does_not_matter(photograph):
    _, camera, y = photograph
    one, other = (
        BlindMultiscale(solver=FAST).solve(s * y, unknown(camera, s * 0.01)).physics.operator.kernel
        for s in (1, 4096)
    )
    torch.testing.assert_close(one, other, atol=1e-3, rtol=0)


def test_fitted_kernel_is_that_of_normal_equations():
    g = torch.Generator().manual_seed(0)
    edges = torch.randn(2, 20, 18, generator=g, dtype=torch.float64)
    observed = torch.randn(2, 18, 14, generator=g, dtype=torch.float64)
    rows = [
        scipy.signal.convolve(e.numpy(), point.reshape(3, 5), mode="valid").ravel()
        for point in np.eye(15)
        for e in edges
    ]
    M = np.asarray(rows).reshape(15, -1).T
    truth = np.linalg.solve(M.T @ M + 2 * np.eye(15), M.T @ observed.numpy().ravel())
    found = steps.fitted_kernel(edges, observed, torch.zeros(3, 5, dtype=torch.float64), 2.0)
    np.testing.assert_allclose(found.numpy().ravel(), truth, rtol=1e-4, atol=1e-7)


def test_sharpened_is_sharper_than_what_it_was_given():
    x = scene()[0]
    k = shake()[0]
    y = Convolution(k[None], domain=(1, 96, 96), boundary="valid")(x[None])[0]
    found = steps.sharpened(y, k, 1e-3)
    inner = (slice(8, -8), slice(8, -8))
    before = (y - x[4:-4, 4:-4])[inner].norm()
    assert (found[4:-4, 4:-4] - x[4:-4, 4:-4])[inner].norm() < 0.35 * before


def test_cleaned_kernel_has_no_stray_entries_and_is_centered():
    k = torch.zeros(9, 9)
    k[1:4, 1:4] = 1.0
    k[7, 7] = 0.2  # alone
    k[5, 1] = -3.0
    found = steps.cleaned(k)
    wanted = torch.zeros(9, 9)
    wanted[3:6, 3:6] = 1 / 9
    torch.testing.assert_close(found, wanted)


def test_a_kernel_without_positive_entries_starts_again_from_a_wide_one():
    torch.testing.assert_close(steps.cleaned(-torch.ones(3, 3)), torch.full((3, 3), 1 / 9))


def test_constant_data_give_a_finite_result():
    camera = Convolution(torch.ones(1, 5, 5), domain=(1, 24, 24), boundary="valid")
    solution = BlindMultiscale(solver=FAST).solve(torch.full((1, 20, 20), 2.0), unknown(camera))
    assert bool(solution.value.isfinite().all())
    assert bool(solution.physics.operator.kernel.isfinite().all())


def test_what_it_cannot_deblur_is_refused():
    y = torch.zeros(1, 8, 8)
    with pytest.raises(ParameterError, match="real Convolution, got Downsample"):
        BlindMultiscale()(y, Physics(Downsample((1, 16, 16))))
    with pytest.raises(ParameterError, match=r"one kernel \(1, ky, kx\) for all channels"):
        color = Convolution(torch.ones(3, 3, 3), domain=(3, 10, 10), boundary="valid")
        BlindMultiscale()(torch.zeros(3, 8, 8), Physics(color))
    with pytest.raises(ParameterError, match="ratio"):
        BlindMultiscale(ratio=1.0)


def test_is_found_by_name():
    assert isinstance(invcore.solver("optics.blind_multiscale"), BlindMultiscale)
