"""Nonuniform Fourier transforms against the sum of their definition, by each method that is installed."""

import math

import numpy as np
import pytest
import torch

import invcore
from invcore import ParameterError, ShapeError, Space
from invcore.operators import NUFFT, FourierTransform, _nonuniform_sums
from invcore.operators._nonuniform_sums import finufft_here

NO_FINUFFT = pytest.mark.skipif(not finufft_here(), reason="finufft is not installed")
METHODS = ["direct", pytest.param("finufft", marks=NO_FINUFFT)]
SHAPES = [(7,), (6, 5), (4, 5, 3)]


def rand(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed)) - 0.5


def image(*shape, seed=1):
    return torch.complex(rand(*shape, seed=seed), rand(*shape, seed=seed + 1))


def matrix(points, shape):
    """The definition, in numpy: points (m, d) in radians."""
    axes = np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij")
    pixels = np.stack([a.ravel() for a in axes])
    return np.exp(-1j * points.numpy() @ pixels) / math.sqrt(pixels.shape[1])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("eps", [1e-3, 1e-6, 1e-12])
def test_values_are_the_sums_to_the_stated_accuracy(method, shape, eps):
    k = 2 * math.pi * rand(40, len(shape))
    A = NUFFT(k, Space((2, *shape), "complex"), unit="radians", method=method, eps=eps)
    F = matrix(k, shape)
    x, y = image(3, 2, *shape), image(3, 2, 40, seed=5)
    got, expected = A(x), torch.as_tensor(x.flatten(2).numpy() @ F.T)
    assert float((got - expected).norm() / expected.norm()) < 3 * eps
    got, expected = A.H(y).flatten(2), torch.as_tensor(y.numpy() @ F.conj())
    assert float((got - expected).norm() / expected.norm()) < 3 * eps
    got, expected = A.gram(x).flatten(2), torch.as_tensor(x.flatten(2).numpy() @ (F.conj().T @ F).T)
    assert float((got - expected).norm() / expected.norm()) < 5 * eps


@pytest.mark.parametrize("method", METHODS)
def test_single_precision_reaches_the_stated_accuracy_on_a_long_axis(method):
    k = 2 * math.pi * rand(50, 1, dtype=torch.float32)
    A = NUFFT(k, Space((1, 4096), "complex"), unit="radians", method=method, eps=1e-6)
    x = image(1, 4096).to(torch.complex64)
    expected = torch.as_tensor(x.numpy().astype(complex) @ matrix(k.double(), (4096,)).T)
    assert A(x).dtype == torch.complex64
    assert float((A(x) - expected).norm() / expected.norm()) < 3e-6


def test_on_a_grid_it_is_the_centered_fourier_transform():
    shape = (4, 5)
    k = [(torch.arange(n, dtype=torch.float64) - n // 2) / n for n in shape]
    points = torch.stack(torch.meshgrid(*k, indexing="ij"), -1).reshape(-1, 2)
    x = image(1, *shape)
    for unit, factor in (("cycles", 1.0), ("radians", 2 * math.pi)):
        A = NUFFT(points * factor, Space((1, *shape), "complex"), unit=unit, method="direct")
        expected = FourierTransform(Space((1, *shape), "complex"), centered=True)(x)
        assert torch.allclose(A(x).reshape(1, *shape), expected, atol=1e-12)
        assert torch.allclose(A.gram(x), x, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_points_and_weights_may_differ_between_samples(method):
    k, w = rand(3, 8, 2), rand(3, 8, seed=3)
    A = NUFFT(k, Space((2, 4, 5)), unit="cycles", weights=w, method=method, eps=1e-12)
    x = rand(3, 2, 4, 5, seed=4)
    for i in range(3):
        dense = torch.as_tensor(w[i, :, None].numpy() * matrix(2 * math.pi * k[i], (4, 5)))
        assert torch.allclose(A(x)[i].flatten(1), x[i].flatten(1).to(dense) @ dense.T)
        gram = (dense.mH @ dense).real
        assert torch.allclose(A.gram(x)[i].flatten(1), x[i].flatten(1) @ gram.T)
        assert torch.allclose(A.gram(x[0])[i].flatten(1), x[0].flatten(1) @ gram.T)


@pytest.mark.parametrize("method", METHODS)
def test_derivatives_reach_image_data_points_and_weights_twice(method):
    domain = Space((1, 2, 3), "complex")
    k, w, x, y = rand(3, 2), rand(3, seed=1) + 1, image(1, 2, 3), image(1, 3)

    def part(name):
        def function(z, k, w):
            A = NUFFT(k, domain, unit="cycles", weights=w, method=method, eps=1e-13)
            return {"A": A, "H": A.H, "gram": A.gram}[name](z)

        return function

    for name, z in (("A", x), ("H", y), ("gram", x)):
        given = tuple(t.clone().requires_grad_() for t in (z, k, w))
        assert torch.autograd.gradcheck(part(name), given, fast_mode=True)
        assert torch.autograd.gradgradcheck(part(name), given, fast_mode=True)


@pytest.mark.parametrize("kind", ["real", "complex"])
def test_the_gram_of_large_images_one_by_one(kind, generator):
    """Two sets of points, three channels and two samples that share both."""
    points = torch.rand(2, 1, 50, 2, generator=generator, dtype=torch.float64) - 0.5
    A = NUFFT(points, Space((3, 64, 66), kind), unit="cycles", eps=1e-12)
    x = torch.randn(2, 2, 3, 64, 66, generator=generator, dtype=torch.float64)
    x = x if kind == "real" else torch.complex(x, x.flip(-1))
    torch.testing.assert_close(A.gram(x), A.H(A(x)), rtol=1e-9, atol=1e-9)
    assert A.gram(x[:, :0]).shape == (2, 0, 3, 64, 66)


def test_direct_sums_do_not_depend_on_their_chunks(monkeypatch):
    A = NUFFT(rand(33, 3), Space((2, 3, 4, 5), "complex"), unit="cycles", method="direct")
    x, y = image(2, 3, 4, 5), image(2, 33)
    whole = A(x), A.H(y)
    monkeypatch.setattr(_nonuniform_sums, "_CHUNK", 100)
    assert torch.allclose(A(x), whole[0]) and torch.allclose(A.H(y), whole[1])


def test_no_points_and_no_images_are_served():
    A = NUFFT(torch.zeros(0, 2), Space((1, 3, 4), "complex"), unit="cycles")
    assert A(torch.ones(2, 1, 3, 4) + 0j).shape == (2, 1, 0)
    assert not A.H(torch.zeros(2, 1, 0) + 0j).any()
    B = NUFFT(torch.zeros(5, 2), Space((1, 3, 4), "complex"), unit="cycles")
    assert B(torch.zeros(0, 1, 3, 4) + 0j).shape == (0, 1, 5)


def test_a_unit_that_cannot_be_right_is_refused():
    domain = Space((1, 8, 8), "complex")
    with pytest.raises(ParameterError, match="Is the unit another"):
        NUFFT(torch.full((3, 2), 3.1), domain, unit="cycles")
    with pytest.raises(ParameterError, match="unit must be"):
        NUFFT(torch.zeros(3, 2), domain, unit="pixels")
    with pytest.raises(ParameterError, match="finite"):
        NUFFT(torch.full((3, 2), torch.nan), domain, unit="cycles")
    with pytest.raises(ShapeError, match="points must be"):
        NUFFT(torch.zeros(2, 3), domain, unit="cycles")
    with pytest.raises(ShapeError, match="weights must be"):
        NUFFT(torch.zeros(3, 2), domain, unit="cycles", weights=torch.ones(4))


def test_registry_finds_it():
    A = invcore.operator("nufft", points=torch.zeros(1, 1), domain=Space((1, 4), "complex"), unit="radians")
    assert isinstance(A, NUFFT)
