"""SIREN's distribution of phases; spectrum, harmonicity and rotation of Herglotz atoms."""

import math

import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y

import invcore
from invcore import Space
from invcore_learning import HerglotzNet, NeuralField, Siren, herglotz_atoms
from invcore_testsupport import error, normal, rng

DEGREES = 24


def sphere(degrees=DEGREES):
    """Gauss-Legendre colatitudes and uniform longitudes: exact for products up to 2 `degrees`."""
    nodes, weights = np.polynomial.legendre.leggauss(degrees + 1)
    phi = 2 * np.pi * np.arange(2 * degrees + 2) / (2 * degrees + 2)
    theta = np.arccos(nodes)[:, None] + 0 * phi
    x = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1)
    return theta, phi + 0 * theta, torch.from_numpy(x), weights[:, None] * (phi[1] - phi[0])


def energies(values, degrees):
    theta, phi, _, weights = sphere()
    found = []
    for n in range(degrees):
        parts = [(np.conj(sph_harm_y(n, m, theta, phi)) * values * weights).sum() for m in range(-n, n + 1)]
        found.append(sum(abs(p) ** 2 for p in parts))
    return np.array(found)


def frame(seed=0):
    return torch.linalg.qr(normal(1, 3, 2, seed=seed)).Q.mT.contiguous()


def test_the_energy_of_an_atom_by_degree_is_the_closed_form():
    rho = 4.0
    _, _, x, _ = sphere()
    atom = herglotz_atoms(x, frame(), torch.tensor([rho]).double())[..., 0].numpy()
    found = energies(atom, 18)
    scale = 4 * math.pi * math.exp(-2 * rho)
    closed = [scale * (2 * n + 1) ** 2 * (2 * rho) ** (2 * n) / math.factorial(2 * n + 1) for n in range(18)]
    closed = np.array(closed) * np.where(np.arange(18) == 0, 1, 0.5)  # the real part
    assert np.abs(found / closed - 1).max() < 1e-8
    assert found.argmax() == 4


def test_an_atom_turns_with_its_directions():
    x = torch.nn.functional.normalize(normal(30, 3), dim=-1)
    R = torch.linalg.qr(normal(3, 3, seed=5)).Q
    rho = torch.tensor([3.0]).double()
    turned = herglotz_atoms(x @ R.mT, frame(), rho)  # ψ_a(R x) = ψ_{Rᵀa}(x)
    assert error(turned, herglotz_atoms(x, frame() @ R, rho)) < 1e-13


@pytest.mark.parametrize("degree", [2, 5])
def test_powers_are_eigenfunctions_of_the_laplacian(degree):
    """On the sphere Δ_S = r²Δ - (x·∇)² - x·∇, and Δ is zero: -l(l + 1) remains."""
    a, x = frame()[0], torch.nn.functional.normalize(normal(3), dim=-1)
    f = lambda v: torch.complex(v @ a[0], v @ a[1]).pow(degree).real
    hessian = torch.autograd.functional.hessian(f, x)
    slope = torch.autograd.functional.jacobian(f, x)
    on_sphere = hessian.trace() - x @ hessian @ x - 2 * x @ slope
    assert abs(on_sphere + degree * (degree + 1) * f(x)) < 1e-10


def test_frames_are_orthonormal_and_the_degrees_start_uniform():
    net = HerglotzNet(1, atoms=500, degree=6.0)
    gram = net.directions @ net.directions.mT
    assert torch.allclose(gram, torch.eye(2).expand(500, 2, 2), atol=1e-6)
    rho = torch.nn.functional.softplus(net.raw).detach()
    assert rho.min() > 0 and rho.max() < 6 and abs(rho.mean() - 3) < 0.3
    again = HerglotzNet(1, atoms=500, degree=6.0)
    assert torch.equal(net.directions, again.directions)
    assert not torch.equal(net.directions, HerglotzNet(1, atoms=500, seed=1).directions)


def test_atoms_span_maps_of_low_degree():
    """A random map of degree ≤ 4 from 2,000 samples, by least squares: 128 atoms do, 32 do not."""
    g = rng(0)
    x = torch.nn.functional.normalize(torch.randn(4000, 3, generator=g, dtype=torch.float64), dim=-1)
    theta, phi = torch.acos(x[:, 2]).numpy(), torch.atan2(x[:, 1], x[:, 0]).numpy()
    draw = np.random.default_rng(0)
    f = sum(
        (draw.normal() + 1j * draw.normal()) * sph_harm_y(n, m, theta, phi)
        for n in range(5)
        for m in range(-n, n + 1)
    ).real
    f, errors = torch.from_numpy(f), []
    for atoms in (32, 128):
        net = HerglotzNet(1, atoms=atoms, degree=6.0).double()
        rho = torch.nn.functional.softplus(net.raw.detach())
        psi = herglotz_atoms(x, net.directions, rho)
        fitted = torch.linalg.lstsq(psi[:2000], f[:2000, None], driver="gelsd").solution
        errors.append(error(psi[2000:] @ fitted, f[2000:, None]))
    assert errors[0] > 0.1 and errors[1] < 0.02


def test_phases_of_siren_are_distributed_alike_in_all_layers():
    """Inputs in (-1, 1): products with ω W have standard deviation 1 after the first layer (its authors)."""
    torch.manual_seed(0)
    net = Siren(2, 1, hidden=1024, layers=4)
    h = 2 * torch.rand(400, 2, generator=rng(1)) - 1
    for k, layer in enumerate(net.linear[:-1]):
        with torch.no_grad():
            phase = net.omega * (h @ layer.weight.mT)
            if k:
                assert abs(float(phase.std()) - 1) < 0.1
            h = torch.sin(net.omega * layer(h))
    assert sum(p.numel() for p in Siren(2, 1).parameters()) == 3 * 256 + 2 * 256 * 257 + 257


def test_grids_of_a_neural_field():
    field = NeuralField(Siren(2, 1, hidden=4).double())
    x = field.latent(Space((1, 4, 8)))
    assert torch.equal(x[:, 0, 1], torch.full((4,), -0.875).double())
    assert torch.equal(x[:, 3, 0], torch.tensor([-0.375, -0.125, 0.125, 0.375]).double())
    ball = NeuralField(HerglotzNet(1, atoms=4, hidden=4).double(), grid="sphere").latent(Space((1, 6, 9)))
    assert torch.allclose(ball.norm(dim=-1), torch.ones(6, 9).double())
    assert error(ball[..., 2], torch.cos(torch.arange(6) + 0.5 - 0.5).double()[:, None].expand(6, 9)) > 0.1
    assert abs(float(torch.acos(ball[0, 0, 2])) - math.pi / 12) < 1e-12
    assert abs(float(torch.atan2(ball[0, 0, 1], ball[0, 0, 0])) - math.pi / 9) < 1e-12
    with pytest.raises(invcore.ShapeError, match="two axes"):
        NeuralField(Siren(3, 1), grid="sphere").latent(Space((1, 2, 3, 4)))
    for make in (
        lambda: NeuralField(Siren(2, 1), grid="disk"),
        lambda: Siren(2, 1, omega=0.0),
        lambda: HerglotzNet(1, degree=0.0),
        lambda: HerglotzNet(1, atoms=0),
    ):
        with pytest.raises(invcore.ParameterError):
            make()
