"""Interferometers against analytic visibilities and against the sum over pixels, and in wide fields."""

import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from invcore import DtypeError, ParameterError, ShapeError
from invcore_radio import (
    Interferometer,
    direct_transform,
    direction_cosines,
    radio_galaxy,
)
from invcore_radio._operators.direct import SPEED_OF_LIGHT, direct_adjoint

ARCSEC = math.pi / 180 / 3600
C = 299792458.0


def baselines(rows, reach, generator, *, w=1.0):
    """Random baselines in meters, up to ``reach`` along each axis."""
    uvw = (2 * torch.rand(rows, 3, generator=generator, dtype=torch.float64) - 1) * reach
    return uvw * torch.tensor([1.0, 1.0, w], dtype=torch.float64)


def relative(got, expected):
    return float((got - expected).detach().norm() / expected.detach().norm())


def nu(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("w_term", [False, True])
@pytest.mark.parametrize("shape", [(40, 34), (41, 35)])
def test_off_center_point_source_has_the_analytic_visibility(w_term, shape, generator):
    pixel = (2e-3, 3e-3)
    x = torch.zeros(1, *shape, dtype=torch.float64)
    row, column = 7, 4  # north of the phase center and east of it
    x[0, row, column] = 2.5
    m, l = (shape[0] // 2 - row) * pixel[0], (shape[1] // 2 - column) * pixel[1]
    assert m > 0 and l > 0
    uvw, frequencies = baselines(50, 40.0, generator), nu(1.0e9, 1.3e9)
    A = Interferometer(
        uvw=uvw, frequencies=frequencies, shape=shape, pixel=pixel, w_term=w_term, accuracy=1e-11
    )
    n = math.sqrt(1 - l**2 - m**2)
    path = uvw @ torch.tensor([l, m, (n - 1) if w_term else 0.0], dtype=torch.float64)
    expected = 2.5 * torch.exp(-2j * torch.pi * path[:, None] * frequencies / SPEED_OF_LIGHT)
    assert relative(A(x), expected) < 1e-10


def test_off_center_gaussian_has_the_analytic_visibility(generator):
    shape, pixel, width, flux, l0, m0 = (128, 128), 1e-6, 12e-6, 3.0, 17e-6, -9e-6
    l, m, _ = direction_cosines(shape, pixel)
    x = torch.exp(-4 * math.log(2) * ((l - l0) ** 2 + (m - m0) ** 2) / width**2)
    x = flux * x / x.sum()
    uvw = baselines(60, 1.2e4, generator)
    A = Interferometer(
        uvw=uvw, frequencies=nu(SPEED_OF_LIGHT), shape=shape, pixel=pixel, w_term=False, accuracy=1e-11
    )
    u, v, _ = uvw.unbind(-1)
    decay = torch.exp(-((math.pi * width) ** 2) * (u**2 + v**2) / (4 * math.log(2)))
    expected = flux * decay * torch.exp(-2j * torch.pi * (u * l0 + v * m0))
    assert float(decay.min()) < 0.95 < float(decay.max())
    assert relative(A(x[None])[:, 0], expected) < 1e-9


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("w_term", [False, True])
@pytest.mark.parametrize("shape", [(5, 4), (36, 51)])
def test_equals_the_sum_over_pixels(shape, w_term, channels, dtype, generator):
    pixel = (0.3 / shape[0], 0.4 / shape[1])
    frequencies, uvw = nu(1.0e9, 1.1e9, 1.4e9), baselines(70, 0.15 * shape[0], generator)
    beam = torch.rand(3, *shape, generator=generator, dtype=torch.float64)
    mask = (torch.rand(70, 3, generator=generator) > 0.3).double()
    A = Interferometer(
        uvw=uvw,
        frequencies=frequencies,
        shape=shape,
        pixel=pixel,
        channels=channels,
        w_term=w_term,
        beam=beam,
        mask=mask,
        accuracy=1e-10,
    )
    x = torch.randn(2, channels, *shape, generator=generator, dtype=dtype)
    settings = {"uvw": uvw, "frequencies": frequencies, "pixel": pixel, "w_term": w_term}
    tolerance = 1e-9 if dtype == torch.float64 else 2e-7
    y = A(x)
    assert relative(y, mask * direct_transform(x.double(), beam=beam, **settings)) < tolerance
    back = beam * direct_adjoint((y * mask).to(torch.complex128), shape=shape, channels=3, **settings)
    back = back if channels == 3 else back.sum(-3, keepdim=True)
    assert relative(A.H(y), back) < tolerance
    assert (y.dtype, A.H(y).dtype) == (torch.complex64 if dtype == torch.float32 else torch.complex128, dtype)


@pytest.mark.parametrize("w_term", [False, True])
@pytest.mark.parametrize("channels", [1, 4])
def test_frequencies_come_in_any_order(channels, w_term, generator):
    settings = {"uvw": baselines(50, 9.0, generator), "pixel": 0.01, "w_term": w_term}
    frequencies = nu(1.4e9, 1.1e9, 1.2e9, 1.1e9)
    mask = (torch.rand(50, 4, generator=generator) > 0.4).double()
    A = Interferometer(
        frequencies=frequencies, shape=(34, 32), channels=channels, mask=mask, accuracy=1e-10, **settings
    )
    x = torch.randn(channels, 34, 32, generator=generator, dtype=torch.float64)
    y = mask * direct_transform(x, frequencies=frequencies, **settings)
    assert relative(A(x), y) < 1e-9
    back = direct_adjoint(y * mask, frequencies=frequencies, shape=(34, 32), channels=channels, **settings)
    assert relative(A.H(y), back) < 1e-9


@pytest.mark.parametrize("accuracy", [1e-3, 1e-4, 1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("w_term", [False, True])
def test_keeps_its_accuracy(w_term, dtype, accuracy, generator):
    settings = {
        "uvw": baselines(300, 250.0, generator, w=0.5),
        "frequencies": nu(1.4e9),
        "pixel": 4e-4,
        "w_term": w_term,
    }
    A = Interferometer(shape=(64, 64), accuracy=accuracy, **settings)
    x = torch.randn(1, 64, 64, generator=generator, dtype=dtype)
    rounding = 3e-7 if dtype == torch.float32 else 3e-12
    y = direct_transform(x.double(), **settings)
    assert relative(A(x), y) < accuracy + rounding
    back = direct_adjoint(y, shape=(64, 64), **settings)
    assert relative(A.H(y.to(A(x).dtype)), back) < accuracy + rounding


def test_keeps_its_accuracy_with_many_visibilities_in_one_place(generator):
    """Sums in single precision would lose 1e-4 of the adjoint here."""
    uvw = 0.02 * baselines(100_000, 250.0, generator)
    uvw[:, 2] = 0
    make = {"uvw": uvw, "frequencies": nu(1.4e9), "shape": (64, 64), "pixel": 4e-4, "w_term": False}
    y = 1 + 0.1 * torch.randn(100_000, 1, generator=generator, dtype=torch.complex128)
    exact = Interferometer(accuracy=1e-10, **make).H(y)
    for accuracy in (1e-4, 1e-5, 1e-6):
        assert relative(Interferometer(accuracy=accuracy, **make).H(y.to(torch.complex64)), exact) < accuracy


def test_scans_in_a_batch_equal_a_loop(generator):
    uvw = torch.stack([baselines(30, 5.0, generator) for _ in range(3)])
    make = {"frequencies": nu(1e9), "shape": (33, 34), "pixel": 0.01, "accuracy": 1e-11}
    A = Interferometer(uvw=uvw, **make)
    x = torch.randn(2, 1, 1, 33, 34, generator=generator, dtype=torch.float64)
    y = A(x)
    assert y.shape == (2, 3, 30, 1)
    for k in range(3):
        one = Interferometer(uvw=uvw[k], **make)
        torch.testing.assert_close(y[:, k], one(x[:, 0]), rtol=1e-12, atol=1e-11)
        torch.testing.assert_close(A.H(y)[:, k], one.H(y[:, k]), rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("beams", [0, 1, 2])
def test_gram_is_the_convolution_that_equals_adjoint_times_forward(beams, generator):
    A = Interferometer(
        uvw=baselines(40, 5.0, generator),
        frequencies=nu(1e9, 1.4e9),
        shape=(9, 12),
        pixel=0.01,
        w_term=False,
        beam=torch.rand(beams, 9, 12, generator=generator, dtype=torch.float64) if beams else None,
        mask=(torch.rand(40, 2, generator=generator) > 0.2).double(),
        accuracy=1e-12,
    )
    matrix = A.dense()
    expected = matrix.mT @ matrix
    got = A.gram.dense()
    assert float((got - expected).abs().max() / expected.abs().max()) < 1e-11
    assert A._spectra  # it did take the convolution
    flat = Interferometer(
        uvw=A.uvw * torch.tensor([1.0, 1.0, 0.0]).double(),
        frequencies=A.frequencies,
        shape=(9, 12),
        pixel=0.01,
    )
    flat.gram(torch.ones(1, 9, 12))
    assert flat._spectra


@pytest.mark.parametrize("w_term", [False, True])
def test_gradients_equal_those_of_the_sum_over_pixels(w_term, generator):
    shape, pixel, frequencies = (36, 34), 0.01, nu(1e9, 1.4e9)
    leaves = {
        "uvw": baselines(25, 8.0, generator),
        "beam": torch.rand(2, *shape, generator=generator, dtype=torch.float64),
        "mask": torch.rand(25, 2, generator=generator, dtype=torch.float64),
        "x": torch.randn(1, *shape, generator=generator, dtype=torch.float64),
    }
    leaves = {name: t.requires_grad_() for name, t in leaves.items()}
    weight = torch.randn(25, 2, generator=generator, dtype=torch.complex128)

    def ours(uvw, beam, mask, x):
        A = Interferometer(
            uvw=uvw,
            frequencies=frequencies,
            shape=shape,
            pixel=pixel,
            w_term=w_term,
            beam=beam,
            mask=mask,
            accuracy=1e-12,
        )
        return A(x)

    def sums(uvw, beam, mask, x):
        settings = {"frequencies": frequencies, "pixel": pixel, "w_term": w_term}
        return mask * direct_transform(x, uvw=uvw, beam=beam, **settings)

    found = []
    for function in (ours, sums):
        y = function(**leaves)
        value = (y * weight).real.sum() + y.abs().square().sum()
        first = torch.autograd.grad(value, list(leaves.values()), create_graph=True)
        second = torch.autograd.grad(sum((g * g.detach().cos()).sum() for g in first), list(leaves.values()))
        found.append((*first, *second))
    for a, b in zip(*found):
        assert relative(a, b) < 1e-9


def test_an_antenna_position_is_found_by_gradients(generator):
    """Baselines that are off by a common vector are corrected from the visibilities of a known sky."""
    truth = baselines(40, 8.0, generator)
    make = {"frequencies": nu(1e9), "shape": (32, 32), "pixel": 0.005}
    x = torch.rand(1, 32, 32, generator=generator, dtype=torch.float64)
    y = Interferometer(uvw=truth, **make)(x)
    shift = torch.tensor([0.02, -0.03, 0.01], dtype=torch.float64)
    found = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([found], max_iter=60, line_search_fn="strong_wolfe", tolerance_grad=1e-12)

    def closure():
        optimizer.zero_grad()
        loss = (Interferometer(uvw=truth + shift - found, **make)(x) - y).abs().square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert float((found.detach() - shift)[:2].norm()) < 1e-4


def test_a_source_two_degrees_off_axis_needs_the_w_term(generator):
    """For a non-coplanar array a source 2° off axis keeps its place and flux (1 %) only with the w-term."""
    shape, pixel, frequencies = (768, 768), 24 * ARCSEC, nu(SPEED_OF_LIGHT)
    row, column = 384 - 180, 384 + 240  # 300 pixels of 24'' are 2°
    l, m = (384 - column) * pixel, (384 - row) * pixel
    assert math.degrees(math.asin(math.hypot(l, m))) == pytest.approx(2.0, abs=1e-3)
    uvw = baselines(4000, 0.45 / pixel, generator, w=0.8)
    n = math.sqrt(1 - l**2 - m**2)
    y = torch.exp(-2j * torch.pi * (uvw @ torch.tensor([l, m, n - 1], dtype=torch.float64)))[:, None]
    images = {}
    for w_term in (True, False):
        A = Interferometer(uvw=uvw, frequencies=frequencies, shape=shape, pixel=pixel, w_term=w_term)
        images[w_term] = A.H(y)[0] / len(uvw)  # the dirty image, in Jy/beam
    peak = divmod(int(images[True].argmax()), shape[1])
    assert peak == (row, column)
    assert float(images[True].max()) == pytest.approx(1.0, abs=0.01)
    assert float(images[False][row, column]) < 0.3
    assert float(images[False].max()) < 0.3


def wide(generator, w_term=True):
    return Interferometer(
        uvw=baselines(2000, 60.0, generator, w=0.3),
        frequencies=nu(1e9, 1.1e9),
        shape=(64, 64),
        pixel=2e-3,
        w_term=w_term,
    )


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("w_term", [False, True])
def test_the_same_bits_each_time_and_on_any_number_of_threads(w_term, masked, generator):
    """12 visibilities a pixel are gridded in three parts: the sum is right, whatever the threads."""
    uvw = baselines(1536, 60.0, generator, w=0.3)
    mask = torch.rand(1536, 2, generator=generator) < 0.7 if masked else None
    A = Interferometer(
        uvw=uvw, frequencies=nu(1e9, 1.1e9), shape=(16, 16), pixel=2e-3, w_term=w_term, mask=mask
    )
    y = A(torch.randn(1, 16, 16, generator=generator))
    before, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3, 2, 2):
            torch.set_num_threads(count)
            found.append(A.H(y))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0], other) for other in found)
    kept = y if mask is None else y * mask
    exact = direct_adjoint(
        kept.to(torch.complex128),
        uvw=uvw,
        frequencies=A.frequencies,
        shape=(16, 16),
        pixel=2e-3,
        channels=1,
        w_term=w_term,
    )
    assert (found[0] - exact).norm() < 1e-5 * exact.norm()


@pytest.mark.parametrize("w_term", [False, True])
def test_serves_several_threads_and_pickles_after_use(w_term, generator):
    A = wide(generator, w_term)
    xs = [torch.randn(1, 64, 64, generator=generator, dtype=torch.float64) for _ in range(8)]
    expected = [A(x) for x in xs]
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(a, b) for a, b in zip(pool.map(A, xs), expected))
    assert torch.equal(pickle.loads(pickle.dumps(A))(xs[0]), expected[0])


def test_masked_visibilities_are_zero_and_keep_their_gradient(generator):
    A = wide(generator)
    mask = (torch.rand(2000, 2, generator=generator) > 0.5).double()
    x = torch.randn(1, 64, 64, generator=generator, dtype=torch.float64)
    full = A(x)
    assert torch.equal(A.bind(mask=mask)(x) != 0, mask != 0)
    learning = mask.clone().requires_grad_()
    A.bind(mask=learning)(x).real.sum().backward()
    assert relative(learning.grad, full.real) < 1e-5


@pytest.mark.parametrize("w_term", [False, True])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rows", [0, 5])
def test_flagged_channels_and_no_visibilities_at_all_give_zero(rows, channels, w_term, generator):
    for frequency_kept in ([0.0, 0.0], [1.0, 0.0]):
        A = Interferometer(
            uvw=baselines(rows, 1.0, generator),
            frequencies=nu(1e9, 1.1e9),
            shape=(8, 8),
            pixel=0.01,
            channels=channels,
            w_term=w_term,
            mask=nu(*frequency_kept).expand(rows, 2),
        )
        x = torch.ones(channels, 8, 8, dtype=torch.float64)
        y = A(x)
        assert y.shape == (rows, 2)
        assert not bool(y[:, 1].any())
        assert bool(y[:, 0].any()) == (rows > 0 and frequency_kept[0] > 0)
        assert bool(A.H(y).any()) == bool(y.any())
        torch.testing.assert_close(A.gram(x), A.H(y), rtol=1e-4, atol=1e-6)


def test_says_what_is_wrong():
    good = {"uvw": torch.zeros(3, 3), "frequencies": torch.tensor([1e9]), "shape": (4, 4), "pixel": 0.01}
    for error, changes in (
        (ShapeError, {"uvw": torch.zeros(3, 2)}),
        (ShapeError, {"frequencies": torch.tensor(1e9)}),
        (DtypeError, {"frequencies": torch.tensor([10**9])}),
        (ParameterError, {"shape": (4, 0)}),
        (ParameterError, {"pixel": -1e-3}),
        (ParameterError, {"pixel": 0.6}),  # below the horizon
        (ParameterError, {"channels": 2}),
        (ParameterError, {"accuracy": 1e-14}),
        (ShapeError, {"beam": torch.ones(2, 4, 4)}),
        (ShapeError, {"mask": torch.ones(3, 2)}),
        (DtypeError, {"mask": torch.ones(3, 1, dtype=torch.complex64)}),
    ):
        with pytest.raises(error):
            Interferometer(**{**good, **changes})
    Interferometer(**{**good, "pixel": 0.6, "w_term": False})


@pytest.mark.parametrize("pixel", [1e-7, 1e-10, 1e-12])
@pytest.mark.parametrize("accuracy", [1e-6, 1e-11])
def test_w_in_very_narrow_fields(pixel, accuracy, generator):
    """Where n - 1 is smaller than the last digit of n, but w so large that it counts."""
    uvw = torch.randn(30, 3, generator=generator, dtype=torch.float64) / pixel / 32
    uvw[:, 2] /= 50 * pixel
    nu = torch.tensor([C], dtype=torch.float64)
    image = radio_galaxy(32, dtype=torch.float64)
    A = Interferometer(uvw=uvw, frequencies=nu, shape=(32, 32), pixel=pixel, accuracy=accuracy)
    expected = direct_transform(image, uvw=uvw, frequencies=nu, pixel=pixel)
    flat = direct_transform(image, uvw=uvw, frequencies=nu, pixel=pixel, w_term=False)
    assert float((A(image) - expected).norm() / expected.norm()) < accuracy
    assert float((flat - expected).norm() / expected.norm()) > 1e-3
