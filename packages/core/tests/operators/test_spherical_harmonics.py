"""Spherical harmonics against SciPy's, quadrature, and functions whose energy by degree is known."""

import math

import pytest
import torch
from scipy import special

from invcore import ParameterError, ShapeError
from invcore.operators import Matrix, Space, SphericalHarmonics, least_squares
from invcore_testsupport import error, normal, rng


def directions(A):
    t, p = A.colatitude[:, None], A.longitude
    return torch.stack([t.sin() * p.cos(), t.sin() * p.sin(), t.cos().expand(-1, len(p))], -1)


def atom(A, w, *, a_r=(1.0, 0.0, 0.0), a_i=(0.0, 1.0, 0.0)):
    """exp(w a·x) with a null vector of norm one."""
    a = (torch.tensor(a_r, dtype=torch.complex128) + 1j * torch.tensor(a_i)) / math.sqrt(2)
    return torch.exp(w * (directions(A) + 0j) @ a)[None]


def test_against_scipy():
    A = SphericalHarmonics(6)
    theta, phi = A.colatitude[:, None].numpy(), A.longitude[None].numpy()
    basis = A.dense(dtype=torch.float64).mT.reshape(49, *A.range.shape[1:])
    for l in range(7):
        for m in range(-l, l + 1):
            y = (-1) ** m * torch.from_numpy(special.sph_harm_y(l, abs(m), theta, phi))
            expected = y.real if m == 0 else math.sqrt(2) * (y.real if m > 0 else y.imag)
            assert torch.allclose(basis[l * l + l + m], expected, atol=1e-13), (l, m)


@pytest.mark.parametrize("kind", ["real", "complex"])
def test_analysis_inverts_on_any_grid(kind):
    dtype = torch.complex128 if kind == "complex" else torch.float64
    for grid in (None, (9, 15), (20, 31)):
        A = SphericalHarmonics(7, channels=2, kind=kind, grid=grid)
        x = normal(3, 2, 64, dtype=dtype)
        assert error(A.analysis(A(x)), x) < 1e-13
        assert float(A.weights.sum() * A.range.shape[2]) == pytest.approx(4 * math.pi)
        # Parseval: the integral of |f|² is the energy of the coefficients
        energy = (A.weights * A(x).abs() ** 2).sum((-2, -1))
        assert torch.allclose(energy, A.power(x).sum(-1))


def test_energy_of_an_exponential_of_a_null_vector():
    """E_l = 4π w^2l 2^l / (2l + 1)!."""
    A, w = SphericalHarmonics(24, kind="complex"), 3.0
    found = A.power(A.analysis(atom(A, w)))[0]
    for l in range(18):
        expected = 4 * math.pi * w ** (2 * l) * 2**l / math.factorial(2 * l + 1)
        assert float(found[l]) == pytest.approx(expected, rel=2e-6)


def test_energy_of_the_normalized_atom():
    """e^{-ρ} (1 + 2ρζ) e^{ρζ}: E_l = 4π e^{-2ρ} (2l + 1)² 4^l ρ^2l / (2l + 1)!, largest at l = ρ."""
    A, rho = SphericalHarmonics(24, kind="complex"), 4.0
    zeta = (directions(A)[..., 0] + 1j * directions(A)[..., 1])[None]
    found = A.power(A.analysis(math.exp(-rho) * (1 + 2 * rho * zeta) * torch.exp(rho * zeta)))[0]
    for l in range(18):
        scale = (2 * l + 1) ** 2 * 4**l * rho ** (2 * l) / math.factorial(2 * l + 1)
        assert float(found[l]) == pytest.approx(4 * math.pi * math.exp(-2 * rho) * scale, rel=1e-10)
    assert int(found.argmax()) == 4


def test_degrees_of_a_product():
    A = SphericalHarmonics(8)
    three, two = torch.zeros(1, 81, dtype=torch.float64), torch.zeros(1, 81, dtype=torch.float64)
    three[:, 9:16], two[:, 4:9] = normal(7), normal(5, seed=1)
    found = A.power(A.analysis(A(three) * A(two)))[0]
    assert all((float(found[l]) > 1e-3) == (l in (1, 3, 5)) for l in range(9))
    assert float(found[[0, 2, 4, 6, 7, 8]].max()) < 1e-25


def test_any_points_and_a_fit():
    A = SphericalHarmonics(4)
    on_grid = A.at(directions(A))
    x = normal(1, 25)
    assert error(on_grid @ x[0], A(x)[0]) < 1e-14
    points = torch.randn(2000, 3, generator=rng(), dtype=torch.float64)
    fitted = least_squares(Matrix(A.at(points)), A.at(3 * points) @ x[0], rtol=1e-12)
    assert error(fitted, x[0]) < 1e-10
    pole = A.at(torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    assert float(pole[6]) == pytest.approx(math.sqrt(5 / (4 * math.pi))) and float(pole[7].abs()) == 0


@pytest.mark.parametrize("grid", [None, (12, 21)])
def test_the_norm_is_exact(grid):
    A = SphericalHarmonics(7, grid=grid)
    assert float(A.norm()) == pytest.approx(
        float(torch.linalg.matrix_norm(A.dense(dtype=torch.float64), 2)), rel=1e-5
    )


def test_high_degrees_are_finite():
    A = SphericalHarmonics(180)
    x = torch.zeros(1, 181**2)
    x[0, 180 * 181 + 30] = 1.0
    assert error(A.analysis(A(x)), x) < 1e-4


def test_wrong_use_is_refused():
    with pytest.raises(ParameterError, match="at least"):
        SphericalHarmonics(3, grid=(3, 10))
    with pytest.raises(ParameterError, match="degree >= 0"):
        SphericalHarmonics(-1)
    with pytest.raises(ShapeError, match=r"\(\.\.\., 3\)"):
        SphericalHarmonics(1).at(torch.ones(2))
    assert SphericalHarmonics(0).domain == Space((1, 1))
