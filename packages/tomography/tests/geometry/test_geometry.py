"""Grids, geometries and their constructors."""

import math
import pickle

import pytest
import torch

import invcore
from invcore_tomography import Geometry, Grid, cone, fan, from_vectors, helical, laminography, parallel

FAN = {"source_distance": 5.0, "detector_distance": 3.0}
SCANS = {
    "parallel": lambda **kw: parallel(6, columns=8, pitch=0.5, **kw),
    "parallel in space": lambda **kw: parallel(6, columns=8, rows=4, pitch=0.5, **kw),
    "fan": lambda **kw: fan(6, columns=8, pitch=0.5, **FAN, **kw),
    "curved fan": lambda **kw: fan(6, columns=8, pitch=0.5, detector="curved", **FAN, **kw),
    "cone": lambda **kw: cone(6, columns=8, rows=4, pitch=0.5, **FAN, **kw),
    "curved cone": lambda **kw: cone(6, columns=8, rows=4, pitch=0.5, detector="curved", **FAN, **kw),
    "helical": lambda **kw: helical(6, advance=1.0, columns=8, rows=4, pitch=0.5, **FAN, **kw),
    "laminography": lambda **kw: laminography(6, tilt=0.3, columns=8, rows=4, pitch=0.5, **kw),
}


def same(a, b, **kw):
    return all(torch.allclose(t, b.parameters()[n], **kw) for n, t in a.parameters().items())


# -- grids ------------------------------------------------------------------------------------------


def test_every_axis_grows_with_its_index():
    grid = Grid(shape=(2, 3, 4), spacing=(1.0, 2.0, 3.0), center=(0.0, 0.0, 0.5))
    assert grid.coordinates(-1).tolist() == [-4.0, -1.0, 2.0, 5.0]
    assert grid.coordinates(-2).tolist() == [-2.0, 0.0, 2.0]
    assert grid.coordinates(-3).tolist() == [-0.5, 0.5]
    first = torch.tensor([-4.0, -2.0, -0.5])
    assert torch.equal(grid.to_index(first), torch.zeros(3))
    points = torch.rand(5, 3, dtype=torch.float64)
    assert torch.allclose(grid.to_world(grid.to_index(points)), points)


def test_one_number_stands_for_all_axes():
    grid = Grid(shape=(2, 3), spacing=0.5, center=1)
    assert grid.spacing == (0.5, 0.5) and grid.center == (1.0, 1.0) and grid.extent == (1.0, 1.5)
    assert repr(pickle.loads(pickle.dumps(grid))) == repr(grid)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shape": (4,)}, "\\(y, x\\)"),
        ({"shape": (4, 0)}, "positive"),
        ({"shape": [4, 4]}, "tuple"),
        ({"shape": (4, 4), "spacing": (1.0, 1.0, 1.0)}, "spacing"),
        ({"shape": (4, 4), "spacing": 0.0}, "positive"),
        ({"shape": (4, 4), "center": math.nan}, "finite"),
    ],
)
def test_bad_grids_are_refused(fields, message):
    with pytest.raises((invcore.ShapeError, invcore.ParameterError), match=message):
        Grid(**fields)


# -- constructors -----------------------------------------------------------------------------------


def test_parallel_rays_are_those_of_the_radon_transform():
    """The ray of column k at angle θ is all points with x cos θ + y sin θ = s_k."""
    geometry = parallel(7, columns=5, pitch=0.3, center_of_rotation=1.5)
    origin, direction = geometry.rays()
    theta = torch.arange(7, dtype=torch.float64)[:, None] * math.pi / 7
    s = (torch.arange(5) - 1.5) * 0.3
    for t in (0.0, 2.0):
        x, y = (origin + t * direction).unbind(-1)
        assert torch.allclose(x * theta.cos() + y * theta.sin(), s.expand(7, 5).double())
    assert torch.allclose(direction[..., 0], -theta.sin().expand(7, 5))


@pytest.mark.parametrize("detector", ["flat", "curved"])
def test_fan_rays_leave_the_source_at_the_angles_of_the_fan(detector):
    geometry = fan(4, columns=9, pitch=0.5, detector=detector, **FAN)
    origin, direction = geometry.rays()
    assert torch.allclose(origin.norm(dim=-1), torch.tensor(5.0).double())
    middle = -geometry.source / 5
    along, across = (direction * middle[:, None]).sum(-1), (direction * geometry.u[:, None] / 0.5).sum(-1)
    k = torch.arange(9) - 4.0
    expected = torch.atan(k * 0.5 / 8) if detector == "flat" else k * 0.5 / 8
    assert torch.allclose(torch.atan2(across, along), expected.double().expand(4, 9))
    if detector == "curved":
        away = (geometry.pixels() - geometry.source[:, None]).norm(dim=-1)
        assert torch.allclose(away, torch.tensor(8.0).double())


@pytest.mark.parametrize("detector", ["flat", "curved"])
def test_center_of_rotation_is_the_column_that_sees_the_axis(detector):
    geometry = fan(5, columns=11, pitch=0.4, detector=detector, center_of_rotation=3.0, **FAN)
    origin, direction = geometry.rays()
    closest = (origin - (origin * direction).sum(-1, keepdim=True) * direction).norm(dim=-1)
    assert closest[:, 3].abs().max() < 1e-12
    assert closest[:, :3].min() > 0.1
    by_length = fan(5, columns=11, pitch=0.4, detector=detector, offset=2.0 * 0.4, **FAN)
    assert same(geometry, by_length)


def test_curved_detector_in_space_is_a_cylinder_about_the_source():
    geometry = SCANS["curved cone"]()
    away = geometry.pixels() - geometry.source[:, None, None]
    assert torch.allclose(away[..., :2].norm(dim=-1), torch.tensor(8.0).double())
    assert torch.allclose(away[0, :, 0, 2], (torch.arange(4) - 1.5).double() * 0.5)


def test_helical_rises_by_its_advance():
    geometry = helical(40, turns=2.0, advance=3.0, columns=4, rows=2, **FAN)
    z = geometry.source[:, 2]
    assert torch.allclose(z[20:] - z[:20], torch.tensor(3.0).double())
    assert torch.allclose(z, geometry.detector[:, 2])
    assert geometry.curvature == 8.0


def test_laminography_without_tilt_is_a_parallel_or_cone_beam():
    flat = laminography(5, tilt=0.0, columns=6, rows=3)
    theta = torch.arange(5, dtype=torch.float64) * 2 * math.pi / 5
    assert same(flat, parallel(theta, columns=6, rows=3), atol=1e-12)
    divergent = laminography(5, tilt=0.0, columns=6, rows=3, **FAN)
    assert same(divergent, cone(5, columns=6, rows=3, **FAN), atol=1e-12)
    tilted = laminography(5, tilt=0.4, columns=6, rows=3)
    assert torch.allclose(tilted.source[:, 2], torch.tensor(-math.sin(0.4)).double())
    for a, b in (("source", "u"), ("source", "v"), ("u", "v")):
        dots = (getattr(tilted, a) * getattr(tilted, b)).sum(-1)
        assert dots.abs().max() < 1e-12


@pytest.mark.parametrize("name", SCANS)
def test_default_grid_is_covered_by_the_field_of_view(name):
    geometry = SCANS[name]()
    grid = geometry.grid
    origin, direction = geometry.rays()
    flat = direction[..., :2]
    distance = (origin[..., 0] * flat[..., 1] - origin[..., 1] * flat[..., 0]).abs() / flat.norm(dim=-1)
    half_a_column = grid.spacing[-1] / 2
    assert abs(float(distance.max()) + half_a_column - grid.extent[-1] / 2) < 0.1 * half_a_column


def test_the_field_of_view_grows_with_a_detector_off_the_middle():
    assert parallel(4, columns=32).grid.shape == (32, 32)
    assert parallel(4, columns=32, offset=1.0).grid.shape == (32, 32)
    assert parallel(4, columns=32, offset=12.0).grid.shape == (56, 56)


def test_a_shape_is_made_to_cover_the_field_of_view():
    grid = parallel(4, columns=32, pitch=0.5, grid=(20, 40)).grid
    assert grid.shape == (20, 40) and grid.spacing == (0.4, 0.4)


def test_from_vectors_repeats_single_vectors():
    grid = Grid(shape=(4, 4))
    geometry = from_vectors(
        [[0, 1], [1, 0], [1, 1]], [0, 0], [1, 0], detector_shape=(5,), grid=grid, beam="parallel"
    )
    assert geometry.views == 3 and geometry.u.shape == (3, 2) and geometry.u.dtype == torch.float64


# -- derivatives and batches ------------------------------------------------------------------------


def test_rays_are_differentiable_in_angles_and_offsets():
    theta = torch.tensor([0.3, 1.1, 2.0], dtype=torch.float64, requires_grad=True)
    shift = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)

    def flat(theta, shift):
        return torch.cat([t.flatten() for t in parallel(theta, columns=4, center_of_rotation=shift).rays()])

    def curved(theta, shift):
        scan = fan(theta, columns=4, detector="curved", offset=shift, source_offset=2 * shift, **FAN)
        return torch.cat([t.flatten() for t in scan.rays()])

    def space(theta, shift):
        scan = cone(
            theta,
            source_distance=5 + shift,
            detector_distance=3.0,
            columns=3,
            rows=2,
            roll=shift,
            row_offset=shift,
            height=shift,
        )
        return torch.cat([t.flatten() for t in scan.rays()])

    def tilted(theta, shift):
        return torch.cat(
            [t.flatten() for t in laminography(theta, tilt=shift, columns=3, rows=2, row_offset=shift).rays()]
        )

    for function in (flat, curved, space, tilted):
        assert torch.autograd.gradcheck(function, (theta, shift))


@pytest.mark.parametrize("name", ["parallel", "curved fan", "curved cone", "laminography"])
def test_batches_of_geometries(name):
    one, other = SCANS[name](), SCANS[name](offset=0.3)
    both = one.bind(**{n: torch.stack([t, other.parameters()[n]]) for n, t in one.parameters().items()})
    assert both.batch == (2,) and both.views == 6
    for got, a, b in zip(both.rays(), one.rays(), other.rays()):
        assert torch.allclose(got, torch.stack(torch.broadcast_tensors(a, b)))
    shifted = one.bind(detector=torch.stack([one.detector, other.detector]))
    assert shifted.batch == (2,) and shifted.rays()[1].shape[:2] == (2, 6)
    angles = torch.rand(3, 6, dtype=torch.float64)
    assert parallel(angles, columns=4).batch == (3,)


# -- views ------------------------------------------------------------------------------------------


def test_views_are_selected_like_entries():
    geometry = SCANS["cone"]()
    assert len(geometry) == 6
    assert torch.equal(geometry[1:4].source, geometry.source[1:4])
    assert torch.equal(geometry[[5, 0]].u, geometry.u[[5, 0]])
    assert torch.equal(geometry[-1].v, geometry.v[-1:])
    assert geometry[torch.arange(6) > 3].views == 2
    for wrong in (6, "a", [7]):
        with pytest.raises(invcore.ParameterError, match="6 views"):
            geometry[wrong]


def test_subsets_are_interleaved_and_complete():
    geometry = SCANS["fan"]()
    parts = geometry.subsets(4)
    assert [p.views for p in parts] == [2, 2, 1, 1]
    assert torch.equal(parts[1].source, geometry.source[[1, 5]])
    for wrong in (0, 7, 2.0):
        with pytest.raises(invcore.ParameterError, match="between 1 and"):
            geometry.subsets(wrong)


# -- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: parallel([0.0, math.nan], columns=4), "finite"),
        (lambda: parallel([0.0, 720.0], columns=4), "radians"),
        (lambda: parallel([], columns=4), "at least one view"),
        (lambda: parallel(0, columns=4), "positive"),
        (lambda: parallel("half", columns=4), "numbers"),
        (lambda: parallel(3, columns=0), "columns"),
        (lambda: parallel(3, columns=4, pitch=-1.0), "pitch"),
        (lambda: parallel(3, columns=4, offset=torch.zeros(5)), "views"),
        (lambda: parallel(3, columns=4, grid=(4, 4, 4)), "\\(y, x\\)"),
        (lambda: parallel(3, columns=4, grid=Grid(shape=(4, 4, 4))), "dimensions"),
        (lambda: fan(3, columns=4, source_distance=0.0, detector_distance=1.0), "source_distance"),
        (lambda: fan(3, columns=4, detector="round", **FAN), "flat"),
        (lambda: cone(3, columns=4, rows=2, detector="curved", roll=0.1, **FAN), "roll"),
        (lambda: laminography(3, tilt=0.1, columns=4, rows=2, source_distance=1.0), "both"),
        (lambda: helical(3, advance=math.inf, columns=4, rows=2, **FAN), "advance"),
    ],
)
def test_bad_scans_are_refused(make, message):
    with pytest.raises((invcore.ParameterError, invcore.ShapeError), match=message):
        make()


def test_bad_geometries_are_refused():
    good = SCANS["cone"]()
    fields = {
        n: getattr(good, n)
        for n in ("source", "detector", "u", "v", "detector_shape", "grid", "beam", "curvature")
    }
    for change, message in (
        ({"source": good.source[:3]}, "one vector for each view"),
        ({"source": good.source.long()}, "floating"),
        ({"u": 0 * good.u}, "zero vector"),
        ({"v": None}, "detector rows"),
        ({"detector": good.detector * math.inf}, "finite"),
        ({"detector_shape": (8,)}, "rows, columns"),
        ({"detector_shape": (0, 8)}, "positive"),
        ({"beam": "cone"}, "divergent"),
        ({"beam": "parallel", "curvature": 2.0}, "curved"),
        ({"curvature": -2.0}, "positive"),
        ({"grid": (4, 4, 4)}, "Grid"),
        ({"source": good.source.expand(2, 6, 3), "u": good.u.expand(3, 6, 3)}, "broadcast"),
    ):
        with pytest.raises((invcore.ParameterError, invcore.ShapeError, invcore.DtypeError), match=message):
            Geometry(**{**fields, **change})


def test_repr_says_what_it_is():
    text = repr(SCANS["curved cone"]())
    for part in ("divergent beam", "6 views", "4 x 8 pixels", "radius of 8 m", "voxels"):
        assert part in text


@pytest.mark.parametrize("name", SCANS)
def test_plot_draws_something(name):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    axes = SCANS[name]().plot(views=3)
    assert len(axes.lines) > 6
    assert axes.get_xlabel() == "x [m]"
    matplotlib.pyplot.close(axes.figure)
    with pytest.raises(invcore.ParameterError, match="views"):
        SCANS[name]().plot(views=0)
