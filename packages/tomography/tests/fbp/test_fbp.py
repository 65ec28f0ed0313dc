"""Filtered backprojection of phantoms with exact line integrals, for every kind of scan."""

import math

import pytest
import torch

from invcore import ParameterError
from invcore_tomography import FBP, Grid, XRay, ellipses, ellipsoids, filter_rows, ramp_kernel
from invcore_tomography._fbp.filters import FILTERS
from invcore_tomography._fbp.redundancy import arc, parker
from invcore_tomography._geometry.scans import cone, fan, from_vectors, helical, laminography, parallel

N = 128
GRID = Grid(shape=(N, N), spacing=2 / N)
SPOTS = ellipses(
    center=[(0.1, 0.05), (-0.2, 0.1), (0.15, -0.2), (0.5, 0.45)],
    axes=[(0.15, 0.1), (0.06, 0.08), (0.05, 0.05), (0.04, 0.06)],
    density=[1.0, 0.7, -0.5, 0.8],
    profile="gaussian",
)
FAN = {
    "source_distance": 3.0,
    "detector_distance": 2.0,
    "columns": 150,
    "pitch": 2 / N * 5 / 3 * 1.1,
    "grid": GRID,
}
TURN = torch.arange(360, dtype=torch.float64) * math.pi / 180


def error(geometry, phantom=SPOTS, middle=False, radius=0.9, **options):
    """Relative error inside a cylinder around the axis, in the middle slice or everywhere."""
    x = FBP(geometry, **options)(phantom.project(geometry).float())
    truth = phantom.rasterize(geometry.grid).float()
    if middle:
        k = geometry.grid.shape[0] // 2
        x, truth = x[:, k], truth[:, k]
    c = geometry.grid.coordinates(-1)
    inside = c[:, None] ** 2 + c**2 < radius**2
    return float(((x - truth) * inside).norm() / (truth * inside).norm())


PLANAR = {
    "parallel": lambda: parallel(180, columns=N, pitch=2 / N, grid=GRID),
    "parallel, a turn": lambda: parallel(TURN, columns=N, pitch=2 / N, grid=GRID),
    "parallel, axis off the middle": lambda: parallel(
        180, columns=N, pitch=2 / N, grid=GRID, center_of_rotation=60.3
    ),
    "parallel, half acquisition": lambda: parallel(
        TURN, columns=96, pitch=2 / N, grid=GRID, center_of_rotation=25.0
    ),
    "parallel, uneven": lambda: parallel(
        torch.remainder(torch.arange(233) * math.pi * 0.618034, math.pi), columns=N, pitch=2 / N, grid=GRID
    ),
    "fan": lambda: fan(360, **FAN),
    "fan, detector moved": lambda: fan(360, offset=0.05, **FAN),
    "fan, source moved": lambda: fan(360, source_offset=0.1, **FAN),
    "fan, half detector": lambda: fan(360, offset=0.6, **FAN | {"columns": 110}),
    "curved": lambda: fan(360, detector="curved", **FAN),
    "curved, half detector": lambda: fan(360, detector="curved", offset=-0.6, **FAN | {"columns": 110}),
    "short scan": lambda: fan(TURN[:240] + 1, **FAN),
    "short scan backwards": lambda: fan(1 - TURN[:240], **FAN),
    "longer short scan": lambda: fan(TURN[:300], **FAN),
    "short scan, curved": lambda: fan(TURN[:240] + 5, detector="curved", **FAN),
    "short scan, source moved": lambda: fan(TURN[:240], source_offset=0.2, **FAN),
}


@pytest.mark.parametrize("name", PLANAR)
def test_band_limited_phantom(name):
    assert error(PLANAR[name]()) < 0.01


def _dropped(angles, *blocks):
    keep = torch.ones(len(angles), dtype=torch.bool)
    for start, stop in blocks:
        keep[start:stop] = False
    return angles[keep]


def _random(n, period, seed=0):
    return period * torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


IRREGULAR = {
    "random": lambda even, period: _random(len(even), period),
    "random, few": lambda even, period: _random(60, period, 5),
    "blocks dropped": lambda even, period: _dropped(even, (20, 30), (90, 100), (150, 160)),
    "one block dropped": lambda even, period: _dropped(even, (70, 90)),
    "golden angle": lambda even, period: (
        torch.arange(len(even)) * math.pi * (math.sqrt(5) - 1) / 2 % (2 * math.pi)
    ),
    "a third repeated, shuffled": lambda even, period: torch.cat([even, even, even[: len(even) // 3]])[
        torch.randperm(7 * len(even) // 3, generator=torch.Generator().manual_seed(0))
    ],
    "more than two turns, backwards": lambda even, period: (
        torch.arange(2.3 * len(even)).flip(0) * period / len(even)
    ),
}
ROADS = {
    "parallel": (180, math.pi, lambda a: parallel(a, columns=64, pitch=2 / 48, grid=(48, 48))),
    "parallel, a turn": (360, 2 * math.pi, lambda a: parallel(a, columns=64, pitch=2 / 48, grid=(48, 48))),
    "half acquisition": (
        360,
        2 * math.pi,
        lambda a: parallel(
            a, columns=48, pitch=2 / 48, center_of_rotation=12.0, grid=Grid(shape=(48, 48), spacing=2 / 48)
        ),
    ),
    "fan": (360, 2 * math.pi, lambda a: fan(a, **FAN)),
    "fan, half detector": (360, 2 * math.pi, lambda a: fan(a, offset=0.6, **FAN | {"columns": 110})),
    "curved": (360, 2 * math.pi, lambda a: fan(a, detector="curved", **FAN)),
}


@pytest.mark.parametrize("road", ROADS)
def test_irregular_angles_keep_the_intensity(road):
    count, period, make = ROADS[road]
    even = torch.arange(count, dtype=torch.float64) * period / count
    spot = ellipses(center=[(0.1, -0.15)], axes=[(0.25, 0.25)], density=[1.0], profile="gaussian")
    found = {}
    for kind, angles in IRREGULAR.items():
        geometry = make(angles(even, period))
        truth = spot.rasterize(geometry.grid)
        found[kind] = float((FBP(geometry)(spot.project(geometry)) * truth).sum() / truth.square().sum())
    assert found == pytest.approx(dict.fromkeys(IRREGULAR, 1.0), abs=0.01)


@pytest.mark.parametrize("reach", [60, 70, 75])
def test_a_missing_wedge_is_left_open(reach):
    """Tilts up to 60 degrees see two thirds of the angles, and so much of an isotropic spot."""
    tilts = torch.deg2rad(torch.arange(-reach, reach + 1, 1, dtype=torch.float64))
    geometry = parallel(_dropped(tilts, (50, 54)), columns=64, pitch=2 / 48, grid=(48, 48))
    spot = ellipses(center=[(0.0, 0.0)], axes=[(0.25, 0.25)], density=[1.0], profile="gaussian")
    truth = spot.rasterize(geometry.grid)
    share = float((FBP(geometry)(spot.project(geometry)) * truth).sum() / truth.square().sum())
    assert share == pytest.approx((2 * reach + 1) / 180, abs=0.02)


def test_mirrored_columns():
    geometry = fan(TURN[:240] + 1, **FAN)
    mirrored = from_vectors(
        geometry.source, geometry.detector, -geometry.u, detector_shape=(150,), grid=GRID, beam="divergent"
    )
    assert error(mirrored) < 0.01


def test_parallel_oblique_detector():
    geometry = parallel(180, columns=160, pitch=2.4 / N, grid=GRID)
    slanted = from_vectors(
        geometry.source,
        geometry.detector,
        geometry.u + 0.3 * geometry.source / geometry.source.norm(dim=-1, keepdim=True) * 2 / N,
        detector_shape=(160,),
        grid=GRID,
        beam="parallel",
    )
    assert error(slanted) < 0.01


def test_anisotropic_grid_off_the_axis():
    grid = Grid(shape=(90, 120), spacing=(0.02, 0.012), center=(0.1, -0.1))
    geometry = parallel(200, columns=180, pitch=0.012, grid=grid)
    x = FBP(geometry)(SPOTS.project(geometry))
    truth = SPOTS.rasterize(grid)
    assert float((x - truth).norm() / truth.norm()) < 0.01


@pytest.mark.parametrize("filter", FILTERS)
def test_every_filter(filter):
    assert error(PLANAR["parallel"](), filter=filter) < 0.02
    assert error(PLANAR["parallel"](), filter=filter, cutoff=0.8) < 0.03


@pytest.mark.parametrize("scan", ["parallel", "fan"])
def test_band_limited_phantom_512(scan):
    grid = Grid(shape=(512, 512), spacing=2 / 512)
    if scan == "parallel":
        geometry = parallel(720, columns=512, pitch=2 / 512, grid=grid)
    else:
        geometry = fan(720, **FAN | {"columns": 600, "pitch": 2 / 512 * 5 / 3 * 1.1, "grid": grid})
    assert error(geometry) < 0.05


M = 48
BALLS = ellipsoids(
    center=[(0.1, 0.05, 0.0), (-0.2, 0.1, 0.05)],
    axes=[(0.15, 0.1, 0.1), (0.1, 0.08, 0.1)],
    density=[1.0, 0.7],
    profile="gaussian",
)
CONE = {
    "source_distance": 3.0,
    "detector_distance": 2.0,
    "rows": 60,
    "columns": 80,
    "pitch": 2 / M * 5 / 3,
    "grid": Grid(shape=(M, M, M), spacing=2 / M),
}
SPATIAL = {
    "cone": lambda: cone(180, **CONE),
    "cone, offsets": lambda: cone(180, offset=0.05, row_offset=0.1, **CONE),
    "cone, curved": lambda: cone(180, detector="curved", **CONE),
    "cone, half scan": lambda: cone(TURN[:240:2] + 0.3, **CONE),
    "cone, half detector": lambda: cone(180, offset=0.8, **CONE | {"columns": 62}),
}


@pytest.mark.parametrize("name", SPATIAL)
def test_middle_plane_of_a_cone(name):
    assert error(SPATIAL[name](), BALLS, middle=True) < 0.04
    assert error(SPATIAL[name](), BALLS) < 0.08  # Feldkamp, Davis and Kress: approximate off that plane


def test_rows_against_z():
    geometry = cone(180, **CONE)
    turned = geometry.bind(v=-geometry.v)
    y = BALLS.project(geometry).float()
    torch.testing.assert_close(FBP(turned)(y.flip(-2)), FBP(geometry)(y))


def test_parallel_in_space_is_slice_by_slice():
    geometry = parallel(120, rows=50, columns=50, pitch=2 / M, grid=CONE["grid"])
    assert error(geometry, BALLS) < 0.025


def test_views_of_a_helix_in_any_order():
    theta = _dropped(torch.arange(120, dtype=torch.float64) * math.pi / 20, (60, 62))
    order = torch.randperm(118, generator=torch.Generator().manual_seed(0))
    scan = {"rows": 8, "columns": 24, "pitch": 0.15, "grid": Grid(shape=(6, 16, 16), spacing=0.1)}
    images = []
    for angles in (theta, theta[order], theta.flip(0)):
        geometry = helical(angles, advance=0.3, source_distance=3.0, detector_distance=2.0, **scan)
        images.append(FBP(geometry)(BALLS.project(geometry).float()))
    torch.testing.assert_close(images[1], images[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(images[2], images[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("advance", [0.2, 0.5])
def test_helix(advance):
    geometry = helical(1200, advance=advance, turns=10, **CONE | {"rows": 24})
    assert error(geometry, BALLS, middle=True) < 0.07


@pytest.mark.parametrize(
    "geometry",
    [
        lambda: parallel(7, columns=9, grid=(6, 7)),
        lambda: parallel(torch.arange(8) * math.pi / 4, columns=9, center_of_rotation=2.5, grid=(6, 7)),
        lambda: fan(TURN[:240:30], source_distance=20.0, detector_distance=9.0, columns=9, grid=(6, 7)),
        lambda: fan(
            7, source_distance=20.0, detector_distance=9.0, columns=9, detector="curved", grid=(6, 7)
        ),
        lambda: cone(5, source_distance=20.0, detector_distance=9.0, rows=5, columns=6, grid=(4, 5, 6)),
        lambda: helical(
            9,
            advance=2.0,
            turns=2,
            source_distance=20.0,
            detector_distance=9.0,
            rows=4,
            columns=6,
            grid=(4, 5, 6),
        ),
    ],
)
def test_transpose_and_gradients(geometry):
    layer = FBP(geometry())
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(2, *layer.domain.shape, generator=generator, dtype=torch.float64)
    x = torch.randn(2, *layer.range.shape, generator=generator, dtype=torch.float64)
    assert float((layer(y) * x).sum()) == pytest.approx(float((y * layer.H(x)).sum()), rel=1e-10)
    y.requires_grad_()
    gradient = torch.autograd.grad((layer(y) * x).sum(), y)[0]
    torch.testing.assert_close(gradient, layer.H(x))
    for k in range(2):
        torch.testing.assert_close(layer(y[k]), layer(y)[k])


BEAM = {"source_distance": 20.0, "detector_distance": 9.0}
LEARNING = {
    "fan": lambda o: fan(
        torch.arange(5, dtype=torch.float64) * 1.23 + 0.1, columns=9, offset=o, grid=(4, 5), **BEAM
    ),
    "helix": lambda o: helical(9, advance=2.0, turns=2, rows=4, columns=6, offset=o, grid=(4, 5, 6), **BEAM),
}


@pytest.mark.parametrize("scan", LEARNING)
def test_gradient_to_the_geometry(scan):
    offset = torch.tensor(0.13, dtype=torch.float64, requires_grad=True)
    layer = FBP(LEARNING[scan](offset))
    y = torch.randn(layer.domain.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda o: FBP(LEARNING[scan](o))(y), (offset,), eps=1e-7, atol=1e-6)


def test_geometry_is_a_parameter_only_where_it_learns():
    fixed = FBP(LEARNING["fan"](0.13))
    assert fixed.parameters() == {}
    with pytest.raises(ParameterError, match="no parameter 'u'"):
        fixed.bind(u=fixed.geometry.u)
    learning = FBP(LEARNING["fan"](torch.tensor(0.13, requires_grad=True)))
    assert set(learning.parameters()) == {"source", "detector", "u"}


def test_batch_of_scans():
    offset = torch.tensor([[0.1], [0.3]])
    layer = FBP(LEARNING["fan"](offset))
    y = torch.randn(1, 5, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
    x = torch.randn(2, 1, 4, 5, generator=torch.Generator().manual_seed(1))
    singles = [FBP(LEARNING["fan"](o)) for o in offset]
    torch.testing.assert_close(layer(y), torch.stack([one(y) for one in singles]))
    gradient = torch.autograd.grad((layer(y) * x).sum(), y)[0]
    torch.testing.assert_close(gradient, sum(one.H(v) for one, v in zip(singles, x)))


def test_wrong_scans_and_filters():
    with pytest.raises(ParameterError, match="least squares"):
        FBP(laminography(8, tilt=0.5, rows=4, columns=4))
    with pytest.raises(ParameterError, match="circle"):
        steps = torch.linspace(-1, 1, 8, dtype=torch.float64)
        row = torch.stack([steps, torch.full_like(steps, -5)], 1)
        FBP(
            from_vectors(
                row, [0.0, 5.0], [1.0, 0.0], detector_shape=(8,), grid=Grid(shape=(4, 4)), beam="divergent"
            )
        )
    with pytest.raises(ParameterError, match="'hann'"):
        FBP(parallel(8, columns=4), filter="hanning")
    with pytest.raises(ParameterError, match="cutoff"):
        FBP(parallel(8, columns=4), cutoff=0.0)


def test_projecting_the_reconstruction():
    geometry = PLANAR["fan"]()
    y = SPOTS.project(geometry).float()
    again = XRay(geometry)(FBP(geometry)(y))
    assert float((again - y).norm() / y.norm()) < 0.02


# -- parts -----------------------------------------------------------------------------------------------


def test_ramp_kernel_has_the_ramp_as_spectrum():
    n = 2000
    k = torch.arange(-(n - 1), n, dtype=torch.float64)
    for frequency in (0.05, 0.2, 0.4):
        wave = torch.cos(2 * math.pi * frequency * k)
        assert float((ramp_kernel(n) * wave).sum()) == pytest.approx(frequency, abs=1e-4)
        expected = frequency * math.sin(math.pi * frequency) / (math.pi * frequency)
        assert float((ramp_kernel(n, filter="shepp-logan") * wave).sum()) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("filter", ["ram-lak", "shepp-logan"])
def test_filtering_is_convolution_without_wrap(filter):
    y = torch.randn(3, 21, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kernel = ramp_kernel(21, filter=filter)
    matrix = torch.stack([kernel[20 - i : 41 - i] for i in range(21)])
    torch.testing.assert_close(filter_rows(y, 0.5, filter=filter), y @ matrix.T / 0.5)
    assert torch.autograd.gradcheck(lambda t: filter_rows(t, 0.5, filter="hann"), (y.requires_grad_(),))


def test_parker_counts_each_ray_once():
    length, n = torch.tensor(math.pi + 0.9, dtype=torch.float64), 4001
    beta = torch.linspace(0, float(length), n, dtype=torch.float64)
    alpha = torch.full((n, 1), 0.3, dtype=torch.float64)
    weight, other = parker(beta, alpha, length)[:, 0], parker(beta, -alpha, length)[:, 0]
    conjugate = beta + math.pi + 0.6
    later = conjugate <= length
    partner = torch.zeros(n, dtype=torch.float64)
    index = (conjugate[later] / length * (n - 1)).round().long()
    partner[later] = other[index]
    assert float((weight + partner - 1)[later].abs().max()) < 2e-3
    earlier = beta - math.pi + 0.6 >= 0
    single = ~later & ~earlier
    assert float((weight[single] - 1).abs().max()) < 1e-12


def test_angles_of_an_arc():
    found = arc(torch.tensor([0.0, 1.0, 1.5, 2.5, 3.0], dtype=torch.float64) + 6.0, 4.0)
    assert found.full
    torch.testing.assert_close(found.weight, torch.tensor([1.0, 0.75, 0.75, 0.75, 0.75], dtype=torch.float64))
    found = arc(torch.arange(5, dtype=torch.float64) / 10 + 6.2, 2 * math.pi)
    assert not found.full
    assert float(found.range) == pytest.approx(0.5)
    assert float(found.start) == pytest.approx(6.15)
