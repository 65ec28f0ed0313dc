"""Singular value decompositions against dense matrices and numpy."""

import numpy as np
import pytest
import torch

from invcore import ParameterError, ShapeError, Space
from invcore.operators import (
    SVD,
    Convolution,
    Downsample,
    FourierTransform,
    HartleyTransform,
    Identity,
    LinearOperator,
    Mask,
    Matrix,
    least_squares,
)


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


COMPLEX = torch.complex128
CASES = {
    "matrix": Matrix(randn(5, 3)),
    "wide complex matrix": Matrix(randn(3, 5, dtype=COMPLEX)),
    "real to complex": FourierTransform((1, 2, 3)).to(torch.float64),
    "mask": Mask(randn(2, 3) * torch.tensor([1.0, 0.0, 1.0]), (1, 2, 3)),
    "complex mask": Mask(randn(1, 2, 3, dtype=COMPLEX), Space((1, 2, 3), "complex")),
    "convolution": Convolution(randn(2, 3, 2), (2, 4, 5)),
    "complex convolution": Convolution(randn(1, 3, 2, dtype=COMPLEX), Space((2, 3, 4), "complex")),
    "downsampling": Downsample((1, 6, 4), kernel=randn(1, 3, 4)),
    "downsampling by a name": Downsample((1, 9), factor=3).to(torch.float64),
    "complex downsampling": Downsample(Space((1, 6, 6), "complex"), factor=3, kernel=randn(1, 3, 3)),
    "the adjoint of downsampling": Downsample((1, 6, 4), kernel=randn(1, 3, 4)).H,
    "no closed form": Convolution(randn(1, 3), (2, 5), boundary="reflect"),
    "no closed form, complex": Convolution(
        randn(1, 3, dtype=COMPLEX), Space((2, 4), "complex"), boundary="zero"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_decomposition_is_the_operator_with_its_singular_values(name):
    A = CASES[name]
    B = SVD.of(A)
    dense = A.dense(dtype=torch.float64).numpy()
    np.testing.assert_allclose(B.dense(dtype=torch.float64).numpy(), dense, atol=3e-7)
    assert float(B.to(torch.float64).norm()) == pytest.approx(np.linalg.norm(dense, 2), rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_pseudo_inverse_and_ridge_are_those_of_the_matrix(name):
    A = CASES[name]
    B = SVD.of(A).to(torch.float64)
    x, y = (
        randn(*s.shape, seed=i, dtype=COMPLEX if s.kind == "complex" else torch.float64)
        for i, s in enumerate((A.domain, A.range))
    )
    wanted = A.to(torch.float64).pinv(y, rtol=1e-14)
    assert float((B.pinv(y, rtol=1e-6) - wanted).norm()) <= 1e-5 * max(1, float(wanted.norm()))
    wanted = least_squares(A.to(torch.float64), y, shift=0.3, center=x, solver="lsqr", rtol=1e-13)
    assert float((B.ridge(y, x, weight=0.3) - wanted).norm()) <= 1e-6 * float(wanted.norm())


def test_masked_singular_values_give_the_truncated_operator():
    M = randn(4, 3)
    A = SVD.of(Matrix(M))
    U, s, Vt = np.linalg.svd(M.numpy(), full_matrices=False)
    first = A.bind(s=A.s * torch.tensor([1.0, 0.0, 0.0]))
    np.testing.assert_allclose(first.dense().numpy(), s[0] * np.outer(U[:, 0], Vt[0]), atol=1e-12)
    assert float(A.cond()) == pytest.approx(s[0] / s[2])
    assert float(first.cond()) == float(first.H.cond()) == torch.inf


def test_hartley_transform_is_the_cas_matrix():
    angle = 2 * np.pi * np.outer(np.arange(5), np.arange(5)) / 5
    cas = (np.cos(angle) + np.sin(angle)) / np.sqrt(5)
    np.testing.assert_allclose(HartleyTransform((1, 5)).dense(dtype=torch.float64).numpy(), cas, atol=1e-12)
    even = randn(1, 3)
    A = Convolution((even + even.flip(-1)) / 2, (1, 5))
    diagonal = cas @ A.dense().numpy() @ cas
    np.testing.assert_allclose(diagonal, np.diag(np.diag(diagonal)), atol=1e-12)


def test_too_few_singular_values_have_an_infinite_condition_number():
    assert float(SVD(U=torch.eye(3)[:, :2], s=torch.ones(2), V=torch.eye(3)[:, :2]).cond()) == torch.inf


def test_singular_values_may_differ_between_samples_and_functions_may_be_the_bases():
    F = LinearOperator.from_function(lambda c: torch.fft.ifft(c, norm="ortho"), Space((4,), "complex"))
    s = randn(2, 4).abs()
    A = SVD(U=F, s=s, V=F)
    x = randn(2, 4, dtype=COMPLEX, seed=1)
    expected = torch.fft.ifft(s * torch.fft.fft(x))
    assert torch.allclose(A(x), expected)
    assert torch.allclose(A.pinv(A(x)), x) and A.norm().tolist() == s.amax(-1).tolist()


def test_derivatives_reach_singular_values_and_bases():
    U, s, V = randn(3, 2), randn(2), randn(2, 2)
    x = randn(2, seed=3)

    def energy(U, s, V):
        return SVD(U=U, s=s, V=V).gram(x)

    assert torch.autograd.gradcheck(energy, tuple(t.clone().requires_grad_() for t in (U, s, V)))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match="one space of singular values"):
        SVD(U=torch.eye(3), s=torch.ones(3), V=torch.eye(2))
    with pytest.raises(ShapeError, match="s must be"):
        SVD(U=torch.eye(3), s=torch.ones(2), V=torch.eye(3))
    with pytest.raises(ParameterError, match="real"):
        SVD(U=torch.eye(3), s=torch.ones(3) + 0j, V=torch.eye(3))
    with pytest.raises(ParameterError, match="needs data"):
        SVD.of(Identity((2,))).ridge(weight=1.0)
