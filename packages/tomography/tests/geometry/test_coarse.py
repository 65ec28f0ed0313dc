"""Scans at half the resolution against closed-form integrals, and solves that start there."""

import pytest
import torch

from invcore import ParameterError, Physics
from invcore.fidelities import Huber
from invcore.noises import GaussianNoise
from invcore.priors import TV, Tikhonov
from invcore.solvers import POGM, ConjugateGradient
from invcore_tomography import WeightedXRay, XRay, cone, ellipses, ellipsoids, fan, helical, parallel
from invcore_tomography._geometry import coarse

FAN = {"source_distance": 3.0, "detector_distance": 2.0}
SCANS = {
    "parallel": parallel(5, columns=97, pitch=2 / 97, center_of_rotation=45.0),
    "fan": fan(5, columns=96, pitch=4 / 96, grid=(81, 96), **FAN),
    "curved fan": fan(5, columns=95, pitch=4 / 95, detector="curved", **FAN),
    "cone": cone(5, columns=64, rows=33, pitch=4 / 64, **FAN),
    "curved cone": cone(5, columns=65, rows=32, pitch=4 / 65, detector="curved", **FAN),
    "one row": cone(5, columns=64, rows=1, pitch=4 / 64, grid=(1, 64, 64), **FAN),
    "helix": helical(5, advance=0.3, columns=64, rows=10, pitch=4 / 64, **FAN),
}


@pytest.fixture(autouse=True)
def small_images_are_large(monkeypatch):
    monkeypatch.setattr(coarse, "_SMALLEST", 1000)


def blob(dims):
    """A smooth object off the center."""
    if dims == 2:
        return ellipses(center=[(0.2, 0.15)], axes=[(0.3, 0.2)], density=[1.0], profile="gaussian")
    return ellipsoids(center=[(0.2, 0.15, 0.1)], axes=[(0.3, 0.2, 0.3)], density=[1.0], profile="gaussian")


def noise(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def relative(a, b):
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("name", SCANS)
def test_the_coarser_scan_sees_the_same_object(name):
    """Its exact line integrals are the means of two columns (and rows), but for curvature."""
    A, phantom = XRay(SCANS[name]), blob(SCANS[name].ndim)
    B, y = A.coarser(phantom.project(A.geometry).double())
    assert relative(phantom.project(B.geometry).double(), y) < 0.01
    assert B.geometry.columns == A.geometry.columns // 2
    assert relative(B(phantom.rasterize(B.geometry.grid).double()), y) < 0.03
    edges = [torch.tensor(g.center) - torch.tensor(g.extent) / 2 for g in (A.geometry.grid, B.geometry.grid)]
    torch.testing.assert_close(*edges)  # the image begins where it did


def test_one_slice_stays_one_slice():
    B, _ = XRay(SCANS["one row"]).coarser(torch.zeros(1, 5, 1, 64))
    assert B.domain.shape == (1, 1, 32, 32) and B.range.shape == (1, 5, 1, 32)


def test_a_small_image_is_not_made_smaller():
    assert XRay(parallel(3, columns=31)).coarser(torch.zeros(1, 3, 31)) is None


def test_weights_and_units_go_along():
    """Weighted means are the best estimates from two columns: so a scan without noise stays consistent."""
    A, x = XRay(SCANS["fan"]), blob(2).rasterize(SCANS["fan"].grid).double()
    weights = noise(A.range.shape, 1).abs() + 0.5
    W = WeightedXRay(A.geometry, weights=weights)
    plain, weighted, scaled = (op.coarser(op(x)) for op in (A, W, 1e-9 * W))
    X = blob(2).rasterize(plain[0].geometry.grid).double()
    assert relative(weighted[0](X), weighted[1]) < 0.03
    torch.testing.assert_close(scaled[0](X), 1e-9 * weighted[0](X))
    torch.testing.assert_close(scaled[1], 1e-9 * weighted[1])
    even = WeightedXRay(A.geometry, weights=torch.full((1, 1, 1), 2.0)).coarser(2 * A(x))
    torch.testing.assert_close(even[1].double(), 2 * plain[1])
    square = weights[..., :96].unflatten(-1, (48, 2)).square().mean(-1)
    torch.testing.assert_close(weighted[0].weights, square.sqrt())


def sixty_degrees():
    """A disk with a hole, seen over 60 degrees: what is missing comes slowly."""
    geometry = fan(torch.linspace(0, 1.05, 16), columns=64, pitch=4 / 64, grid=(64, 64), **FAN)
    phantom = ellipses(center=[(0.1, 0.0), (0.2, 0.1)], axes=[(0.6, 0.6), (0.2, 0.2)], density=[1.0, -1.0])
    physics = Physics(XRay(geometry), GaussianNoise(sigma=0.01))
    y = phantom.project(geometry).float()
    return y + 0.01 * noise(y.shape).float(), physics


def test_the_solution_is_the_same():
    y, physics = sixty_degrees()
    exact = ConjugateGradient(weight=1000.0, rtol=1e-6)(y, physics)
    solver = POGM(prior=Tikhonov(), weight=1000.0, rtol=1e-5, coarse_levels=1)
    assert relative(solver(y, physics), exact) < 2e-4


def test_it_starts_nearer():
    """Ten steps from the coarse solution get further than thirty from zero."""
    y, physics = sixty_degrees()

    def after(steps, levels):
        solver = POGM(prior=TV(rtol=1e-3), weight=30.0, restart=False, rtol=2e-3, coarse_levels=levels)
        found = solver.solve(y, physics, callback=lambda k, *_: k == steps - 1)
        assert int(found.stats["steps"]) == steps
        return float(found.problem.objective(found.value))

    assert after(10, 1) < after(30, 0)


def test_units_and_batches_of_the_start():
    """Nanometers instead of pixels, and two sinograms at once, give the same image."""
    y, physics = sixty_degrees()
    solver = POGM(prior=TV(), weight=30.0, rtol=0.0, max_steps=3, coarse_levels=1)
    one = solver(y, physics)
    both = solver(torch.stack([y, 2 * y]), physics)
    torch.testing.assert_close(both[0], one, rtol=1e-4, atol=1e-4)
    small = Physics(2.0**-40 * physics.operator, GaussianNoise(sigma=0.01 * 2.0**-40))
    torch.testing.assert_close(solver(2.0**-40 * y, small), one)


def test_derivatives_go_through_the_coarse_levels():
    y, physics = sixty_degrees()
    y, physics = y.double(), physics.to(torch.float64)
    solver = POGM(weight=30.0, rtol=0.0, max_steps=2, coarse_levels=1)
    v = noise((1, 16, 64), 3)
    y.requires_grad_()
    loss = lambda data: solver.solve(data, physics, differentiate="unroll").value.square().sum()
    (gradient,) = torch.autograd.grad(loss(y), y)
    h = 1e-4
    with torch.no_grad():
        difference = (loss(y + h * v) - loss(y - h * v)) / (2 * h)
    torch.testing.assert_close((gradient * v).sum(), difference, rtol=1e-6, atol=0)


def test_what_cannot_start_coarse_says_so():
    y, physics = sixty_degrees()
    with pytest.raises(ParameterError, match="coarse_levels averages data .* Huber"):
        POGM(prior=TV(), weight=1.0, fidelity=Huber(delta=1.0), coarse_levels=1)(y, physics)
    with pytest.raises(ParameterError, match="whole number"):
        POGM(coarse_levels=-1)
