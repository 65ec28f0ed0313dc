"""Alternating projections against Fienup's formulas in numpy, and on objects that are known."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from invcore import ParameterError, Physics, ShapeError, Space
from invcore.operators import FourierTransform
from invcore_optics import AlternatingProjections, PhaseRetrieval, aligned_phase
from invcore_optics._examples.phase import scan, thin_object
from invcore_testsupport import error, rng

N = 24
A = PhaseRetrieval(FourierTransform(Space((1, N, N), "complex"), centered=True))


def triangle(seed=1, nonnegative=True):
    """An object in a triangle, which no shift and no turn by 180° brings onto itself, and its support."""
    rows = torch.arange(N)
    support = (rows[:, None] >= 6) & (rows >= 7) & (rows[:, None] + rows < 24)
    g = rng(seed)
    x = torch.rand(1, N, N, generator=g, dtype=torch.float64) + 0j
    if not nonnegative:
        x = x * torch.polar(torch.ones(N, N).double(), 2 * torch.rand(1, N, N, generator=g).double())
    return support * x, support.double()


def best(x, truth, **options):
    """The image with the least misfit of three starts."""
    starts = [AlternatingProjections(seed=k, **options).solve(A(x), Physics(A)) for k in range(3)]
    return min((s.value for s in starts), key=lambda v: error(A(v).sqrt(), A(truth).sqrt()))


@pytest.mark.parametrize("method", ["hio", "raar"])
def test_a_nonnegative_object_is_found(method):
    x, support = triangle()
    found = best(x, x, support=support, method=method, nonnegative=True, max_steps=300)
    assert error(found, x) < 1e-2


def test_a_complex_object_is_found_up_to_its_phase():
    x, support = triangle(nonnegative=False)
    found = best(x, x, support=support, max_steps=500)
    assert error(aligned_phase(found, x), x) < 1e-2


def test_error_reduction_never_raises_the_misfit():
    x, support = triangle(nonnegative=False)
    solver = AlternatingProjections(support=support, method="er", max_steps=1, rtol=0)
    found, misfits = None, []
    for _ in range(25):
        found = solver.solve(A(x), Physics(A), x0=found).value
        misfits.append(float((A(found).sqrt() - A(x).sqrt()).norm()))
    assert all(b <= a * (1 + 1e-12) for a, b in pairwise(misfits))
    assert misfits[-1] < 0.7 * misfits[0]


@pytest.mark.parametrize("method", ["er", "hio", "raar"])
def test_steps_are_those_of_the_papers(method):
    x, support = triangle(nonnegative=False)
    y, inside, beta = A(x).numpy()[0], support.numpy() != 0, 0.8
    z = np.random.default_rng(0).normal(size=(N, N, 2)) @ np.array([1, 1j])
    start = torch.from_numpy(z)[None]

    def measured(v):
        u = np.fft.fftshift(np.fft.fft2(v, norm="ortho"))
        return np.fft.ifft2(np.fft.ifftshift(np.sqrt(y) * u / np.abs(u)), norm="ortho")

    for _ in range(4):
        m = measured(z)
        image = np.where(inside, m, 0)
        if method == "er":
            z = image
        elif method == "hio":
            z = np.where(inside, m, z - beta * m)
        else:
            reflected = 2 * m - z
            twice = 2 * np.where(inside, reflected, 0) - reflected
            z = beta / 2 * (twice + z) + (1 - beta) * m
    solver = AlternatingProjections(support=support, method=method, beta=beta, max_steps=4, rtol=0)
    np.testing.assert_allclose(solver.solve(A(x), Physics(A), x0=start).value[0], image, atol=1e-10)


def test_what_is_refused():
    x, support = triangle()
    with pytest.raises(ParameterError, match="needs what is known"):
        AlternatingProjections()
    with pytest.raises(ParameterError, match="method must be one of"):
        AlternatingProjections(support=support, method="dm")
    with pytest.raises(ParameterError, match="beta must lie"):
        AlternatingProjections(support=support, beta=0.0)
    with pytest.raises(ShapeError, match="the support must be"):
        AlternatingProjections(support=support[1:])(A(x), Physics(A))
    B = scan()
    with pytest.raises(ParameterError, match="BᴴB = c I"):
        AlternatingProjections(support=torch.ones(B.shape))(B(thin_object(*B.shape)), Physics(B))
