"""Emission tomography: the geometry of the rings, line integrals, time of flight, list mode, statistics."""

import math

import pytest
import torch

from invcore import ParameterError, Physics, ShapeError
from invcore.noises import PoissonNoise
from invcore.priors import RelativeDifference
from invcore.solvers import OSEM, RichardsonLucy
from invcore_tomography import (
    PET,
    Grid,
    ImageQuality,
    LineIntegrals,
    Scanner,
    TimeOfFlight,
    ellipses,
    ellipsoids,
)
from invcore_tomography._kernels import lines, torch_lines

LIGHT = 299_792_458.0


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_lines_of_a_view_are_those_of_a_sinogram():
    scanner = Scanner(detectors=32, radius=0.4, bins=15)
    first, last = scanner.lines()
    direction = (last - first) / (last - first).norm(dim=-1, keepdim=True)
    normal = torch.stack([-direction[..., 1], direction[..., 0]], -1)
    distance = (first * normal).sum(-1)
    t = torch.arange(15, dtype=torch.float64) - 7
    assert torch.allclose(distance.abs(), 0.4 * torch.sin(math.pi * t / 32).abs().expand(16, 15), atol=1e-12)
    assert bool((distance.diff(dim=-1) * distance.diff(dim=-1)[0, 0] > 0).all())  # ordered along the bins
    angle = torch.atan2(direction[..., 1], direction[..., 0])
    step = (angle - angle[:1, 7:8]) - 2 * math.pi * torch.arange(16, dtype=torch.float64)[:, None] / 32
    off = (step + math.pi) % (2 * math.pi) - math.pi
    assert bool((off.abs() <= math.pi / 32 + 1e-12).all())  # within half a step of the view


def test_no_line_of_response_is_counted_twice():
    scanner = Scanner(detectors=24, radius=0.4, bins=23)
    a, b = scanner.pairs()
    pairs = torch.stack([torch.minimum(a, b), torch.maximum(a, b)], -1).reshape(-1, 2)
    assert torch.unique(pairs, dim=0).shape[0] == pairs.shape[0] == 24 * 23 // 2


def test_planes_are_the_pairs_of_rings():
    scanner = Scanner(detectors=8, radius=0.4, rings=3, ring_pitch=0.01, max_ring_difference=1)
    assert scanner.planes[:3] == [(0, 0), (1, 1), (2, 2)] and len(scanner.planes) == 7
    first, last = scanner.lines()
    assert first.shape == (7, 4, 3, 3)
    rise = (last - first)[:, 0, 0, 2]
    assert torch.allclose(
        rise, torch.tensor([0.01 * (b - a) for a, b in scanner.planes], dtype=torch.float64)
    )


@pytest.mark.parametrize("mode", ["integrals", "all bins", "one bin"])
def test_compiled_kernel_is_the_torch_one(mode):
    generator = seeded(1)
    shape, count = (3, 5, 6), 200
    start, stop = (torch.rand(count, 3, generator=generator, dtype=torch.float64) * 14 - 4 for _ in range(2))
    stop[:6] = start[:6] + torch.eye(3, dtype=torch.float64).repeat(2, 1) * 20  # along the axes
    stop[6] = start[6]  # no length
    spacing = torch.tensor([0.5, 0.7, 1.1], dtype=torch.float64)
    edges = torch.zeros(0, dtype=torch.float64)
    if mode != "integrals":
        edges = torch.linspace(-4, 4, 9, dtype=torch.float64)
    only = torch.zeros(0, dtype=torch.int64)
    if mode == "one bin":
        only = torch.randint(8, (count,), generator=generator)
    volume = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    arguments = (start, stop, spacing, edges, 0.8, only)
    arrays = tuple(a.numpy() if isinstance(a, torch.Tensor) else a for a in arguments)
    slow = torch_lines.lines_forward(volume, *arguments)
    fast = torch.from_numpy(lines.lines_forward(volume.numpy(), *arrays))
    assert torch.allclose(slow, fast, atol=1e-12)
    v = torch.randn(slow.shape, generator=generator, dtype=torch.float64)
    back = torch.from_numpy(lines.lines_adjoint(shape, v.numpy(), *arrays))
    assert torch.allclose(torch_lines.lines_adjoint(shape, v, *arguments), back, atol=1e-12)


def test_integrals_of_ellipses_and_ellipsoids_are_exact_to_the_voxel():
    ring = Scanner(detectors=180, radius=0.4)
    disk = ellipses(center=[(0.02, -0.03)], axes=[(0.12, 0.08)], density=[2.0])
    first, last = ring.lines()
    exact = disk.line_integrals(first.float(), (last - first).float())
    errors = []
    for n in (64, 128):
        grid = Grid(shape=(n, n), spacing=0.4 / n)
        y = PET(ring, grid)(disk.rasterize(grid, samples=8))[0]
        errors.append(float((y - exact).norm() / exact.norm()))
    assert errors[0] < 0.02 and errors[1] < 0.009

    rings = Scanner(detectors=60, radius=0.4, rings=4, ring_pitch=0.03)
    ball = ellipsoids(center=[(0.02, -0.03, 0.01)], axes=[(0.1, 0.1, 0.1)], density=[2.0])
    grid = Grid(shape=(48, 64, 64), spacing=0.3 / 64)
    first, last = rings.lines()
    exact = ball.line_integrals(first.float(), (last - first).float())
    y = PET(rings, grid)(ball.rasterize(grid, samples=4))[0]
    assert float((y - exact).norm() / exact.norm()) < 0.015


def test_time_of_flight_bins_share_the_integral_where_the_point_is():
    tof = TimeOfFlight(bins=41, width=100e-12, resolution=300e-12)
    grid = Grid(shape=(65, 65), spacing=0.005)
    x = torch.zeros(1, 65, 65, dtype=torch.float64)
    x[0, 32, 52] = 1.0  # 0.1 m along x
    first, last = torch.tensor([[-0.5, 0.0]]), torch.tensor([[0.5, 0.0]])
    y = LineIntegrals(first=first, last=last, grid=grid, tof=tof)(x)[0, :, 0]
    assert y.sum().item() == pytest.approx(0.005, rel=1e-6)  # every bin together is the plain integral
    centers = (tof.edges[1:] + tof.edges[:-1]) / 2
    mean = (y * centers).sum() / y.sum()
    spread = ((y * (centers - mean) ** 2).sum() / y.sum()).sqrt()
    assert mean.item() == pytest.approx(0.1, abs=1e-5)
    width = LIGHT / 2 * 100e-12
    expected = math.hypot(LIGHT / 2 * 300e-12 / 2.3548200450309493, width / math.sqrt(12))
    assert spread.item() == pytest.approx(expected, rel=1e-3)


def test_attenuation_of_a_disk_of_water():
    pet = PET(Scanner(detectors=90, radius=0.4), Grid(shape=(128, 128), spacing=0.002))
    disk = ellipses(center=[(0.0, 0.0)], axes=[(0.1, 0.1)], density=[9.6])
    factors = pet.attenuation_factors(disk.rasterize(pet.grid, samples=4))
    center = pet.scanner.columns // 2
    assert torch.allclose(factors[:, center], torch.tensor(math.exp(-9.6 * 0.2)), rtol=0.01)
    y = pet.bind(factors=factors)(torch.ones(1, 128, 128))
    assert torch.allclose(y, factors * pet(torch.ones(1, 128, 128)))


def test_resolution_blurs_a_point_to_its_width():
    grid = Grid(shape=(41, 41), spacing=0.002)
    pet = PET(Scanner(detectors=16, radius=0.4), grid, resolution=0.012)
    point = torch.zeros(1, 41, 41)
    point[0, 20, 20] = 1
    blurred = pet.response(point)[0]
    assert blurred.sum().item() == pytest.approx(1.0, abs=1e-4)
    profile = blurred[20] / blurred[20].max()
    assert profile[23].item() == pytest.approx(0.5, abs=1e-4)  # 6 mm = half of the width


def _simulated(counts=2e5, **scanner):
    pet = PET(Scanner(detectors=64, radius=0.4, bins=47, **scanner), Grid(shape=(40, 48), spacing=0.008))
    phantom = ImageQuality(ratio=4.0)
    pet = pet.bind(factors=pet.attenuation_factors(phantom.attenuation_image(pet.grid)))
    x = phantom.activity_image(pet.grid)
    x = x * counts / pet(x).sum()
    background = 0.3 * pet(x).mean() * torch.ones(pet.range.shape)
    physics = Physics(pet, PoissonNoise(background=background))
    return pet, x, physics, physics(x, generator=seeded(2))


@pytest.mark.parametrize("tof", [None, TimeOfFlight(bins=5, width=600e-12, resolution=500e-12)])
def test_list_mode_is_the_histogram(tof):
    pet, _, physics, y = _simulated(counts=3000, tof=tof)
    background = physics.noise.background
    events = torch.repeat_interleave(y[0].nonzero(), y[0][y[0] > 0].long(), dim=0)
    listed = pet.list_mode(events)
    b = background[0][tuple(events.T)]
    single = Physics(listed, PoissonNoise(background=b[None]))
    start = torch.ones(pet.domain.shape)
    steps = {"max_steps": 8, "rtol": 0.0}
    expected = RichardsonLucy(**steps).solve(y, physics, x0=start).value
    found = RichardsonLucy(**steps).solve(torch.ones(1, len(events)), single, x0=start).value
    assert torch.allclose(found, expected, rtol=2e-3, atol=1e-4 * float(expected.max()))


def test_subsets_are_the_whole():
    pet, x, _, y = _simulated()
    stacked = pet.subsets(4)
    assert all(torch.allclose(a, b) for a, b in zip(stacked(x), PET.split(pet(x), 4)))
    parts = PET.split(y, 4)
    assert torch.allclose(stacked.H(parts), pet.H(y), rtol=1e-4)


def test_expectation_maximization_explains_the_counts():
    pet, x, physics, y = _simulated()
    x_hat = RichardsonLucy(max_steps=60, rtol=0.0)(y, physics)
    expected = pet(x_hat) + physics.noise.background
    assert expected.sum().item() == pytest.approx(y.sum().item(), rel=5e-3)
    pearson = ((y - expected) ** 2 / expected).mean()
    assert 0.7 < pearson < 1.1
    fast = OSEM(max_steps=8, rtol=0.0)(
        PET.split(y, 8),
        Physics(pet.subsets(8), PoissonNoise(background=PET.split(physics.noise.background, 8))),
    )
    assert float((pet(fast) - pet(x_hat)).norm() / pet(x_hat).norm()) < 0.05
    smooth = RichardsonLucy(prior=RelativeDifference(gamma=2.0), weight=3e-4, max_steps=60, rtol=0.0)(
        y, physics
    )
    assert float((smooth - x).norm()) < float((x_hat - x).norm())


def test_recovery_grows_with_the_sphere_and_is_one_for_the_truth():
    grid = Grid(shape=(96, 112), spacing=0.003)
    phantom = ImageQuality(ratio=4.0, activity=2.0)
    x = phantom.activity_image(grid)
    perfect = phantom.recovery(x, grid)
    assert torch.allclose(perfect.coefficients, torch.ones(6)) and torch.allclose(
        perfect.contrast, torch.ones(6)
    )
    pet = PET(Scanner(detectors=16, radius=0.4), grid, resolution=0.012)
    blurred = phantom.recovery(pet.response(x), grid)
    assert bool((blurred.contrast.diff() > 0).all()) and 0 < blurred.contrast[0] < 0.6
    masks = phantom.masks(grid)
    area = masks[:6].sum((-1, -2)) * 0.003**2
    assert torch.allclose(area, torch.tensor([math.pi * d**2 / 4 for d in phantom.diameters]), rtol=0.02)
    solid = ImageQuality(spatial_dims=3)
    volume = Grid(shape=(20, 64, 80), spacing=0.004)
    assert solid.activity_image(volume).shape == (1, 20, 64, 80)
    assert torch.allclose(
        solid.masks(volume)[5].sum() * 0.004**3, torch.tensor(math.pi * 0.037**3 / 6), rtol=0.02
    )


def test_gradients_reach_the_factors():
    generator = seeded(3)
    scanner = Scanner(detectors=8, radius=0.4)
    grid = Grid(shape=(3, 4), spacing=0.1)
    x = torch.rand(1, 3, 4, generator=generator, dtype=torch.float64)

    def counts(factors):
        return PET(scanner, grid, factors=factors, resolution=0.1)(x)

    factors = torch.rand(scanner.shape, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(counts, factors)


def test_bad_input_is_refused_with_a_reason():
    scanner, grid = Scanner(detectors=8, radius=0.4), Grid(shape=(3, 4), spacing=0.1)
    with pytest.raises(ParameterError, match="even int"):
        Scanner(detectors=9, radius=0.4)
    with pytest.raises(ParameterError, match="seconds"):
        TimeOfFlight(bins=3, width=300.0, resolution=400.0)
    with pytest.raises(ShapeError, match="grid"):
        PET(scanner, Grid(shape=(2, 3, 4)))
    with pytest.raises(ShapeError, match="factors"):
        PET(scanner, grid, factors=torch.ones(3))
    with pytest.raises(ParameterError, match="outside"):
        PET(scanner, grid, events=torch.tensor([[4, 0]]))
    with pytest.raises(ParameterError, match="subsets"):
        PET(scanner, grid).subsets(9)
