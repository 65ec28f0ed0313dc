"""Cone and general 3-D projectors against torch twins, adjoints and exact line integrals."""

import numpy as np
import pytest
import torch

from invcore import threads
from invcore_tomography._kernels.cone import cone_adjoint, cone_forward, is_columnar
from invcore_tomography._kernels.rays_space import rays3_adjoint, rays3_forward
from invcore_tomography._kernels.torch_spatial import spatial_adjoint, spatial_forward

SPACING = (1.0, 1.2, 0.9)


def circle(views, grid, *, distance, beyond, pitch=1.0, helix=0.0, spread=2 * np.pi):
    """Vectors in voxels of a circular or helical scan about the middle of the grid (z, y, x)."""
    angle = 0.1 + np.arange(views) * spread / views
    along = np.stack([-np.sin(angle), np.cos(angle), 0 * angle], 1)
    middle = (np.array(grid[::-1]) - 1) / 2 + np.stack(
        [0 * angle, 0 * angle, np.linspace(-helix, helix, views)], 1
    )
    u = pitch * np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    v = np.zeros((views, 3))
    v[:, 2] = pitch
    return middle - distance * along, middle + beyond * along, u, v


def scan(name, views=4, grid=(7, 6, 8)):
    """Arguments of the kernels besides volume and shape: (source, detector, u, v), curvature, parallel."""
    rng = np.random.default_rng(5)
    source, detector, u, v = circle(views, grid, distance=15.0, beyond=8.0, pitch=1.3)
    if name == "cone":
        return (source, detector + 0.7 * u - 0.4 * v, u, v), None, False
    if name == "helical":
        return circle(views, grid, distance=15.0, beyond=8.0, pitch=1.3, helix=4.0), None, False
    if name == "upside down":
        return (source, detector, -u, -v), None, False
    if name == "fine rows":
        return (source, detector, u, 0.05 * v), None, False
    if name == "coarse rows":
        return (source, detector, u, 5 * v), None, False
    if name == "curved":
        return (source, detector, u, v), 23.0, False
    if name == "tilted":
        return (
            (source, detector, u + 0.3 * rng.normal(size=u.shape), v + 0.3 * rng.normal(size=v.shape)),
            None,
            False,
        )
    if name == "curved tilted":
        axis = v + 0.3 * rng.normal(size=v.shape)
        return (source, detector, np.cross(detector - source, axis) / 20, axis), 23.0, False
    direction = rng.normal(size=source.shape)  # "parallel"
    step = np.cross(direction, rng.normal(size=source.shape))
    return (
        (direction, np.tile((np.array(grid[::-1]) - 1) / 2, (views, 1)), step, np.cross(direction, step) / 2),
        None,
        True,
    )


COLUMNAR = ["cone", "helical", "upside down", "fine rows", "coarse rows", "curved"]
SCANS = [*COLUMNAR, "tilted", "curved tilted", "parallel"]


def kernels(name):
    vectors, curvature, parallel = scan(name)
    if name in COLUMNAR:
        return cone_forward, cone_adjoint, vectors, (curvature,)
    return rays3_forward, rays3_adjoint, vectors, (curvature, parallel)


def tensors(vectors):
    return [torch.from_numpy(np.ascontiguousarray(t)) for t in vectors]


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("shape", [(9, 11), (8, 10), (1, 1)])
def test_equal_to_the_torch_twin(name, shape):
    forward, adjoint, vectors, options = kernels(name)
    _, curvature, parallel = scan(name)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 7, 6, 8)), rng.normal(size=(2, 4, *shape))
    twin = (*tensors(vectors), torch.tensor(SPACING, dtype=torch.float64))
    out = forward(x, *vectors, SPACING, shape, *options)
    expected = spatial_forward(torch.from_numpy(x), *twin, shape, curvature, parallel, max_bytes=2**16)
    np.testing.assert_allclose(out, expected.numpy(), atol=1e-12)
    back = adjoint(y, *vectors, SPACING, (7, 6, 8), *options)
    expected = spatial_adjoint(torch.from_numpy(y), *twin, (7, 6, 8), curvature, parallel, max_bytes=2**16)
    np.testing.assert_allclose(back, expected.numpy(), atol=1e-12)


@pytest.mark.parametrize("name", SCANS)
def test_adjoint_entrywise(name):
    forward, adjoint, vectors, options = kernels(name)
    grid, shape = (7, 6, 8), (5, 6)
    n, m = int(np.prod(grid)), 4 * int(np.prod(shape))
    a = forward(np.eye(n).reshape(n, *grid), *vectors, SPACING, shape, *options).reshape(n, m)
    b = adjoint(np.eye(m).reshape(m, 4, *shape), *vectors, SPACING, grid, *options).reshape(m, n)
    assert np.abs(a).max() > 0.1
    assert np.abs(a - b.T).max() <= 1e-12


@pytest.mark.parametrize("rows", [20, 61, 200])
@pytest.mark.parametrize("kernel", ["cone", "general"])
def test_adjoint_in_single_precision(kernel, rows):
    forward, adjoint = (cone_forward, cone_adjoint) if kernel == "cone" else (rays3_forward, rays3_adjoint)
    rng = np.random.default_rng(1)
    grid = (50, 40, 44)
    vectors = circle(7, grid, distance=90.0, beyond=50.0)
    x = rng.normal(size=(1, *grid)).astype(np.float32)
    y = rng.normal(size=(1, 7, rows, 60)).astype(np.float32)
    ax = forward(x, *vectors, SPACING, (rows, 60))
    aty = adjoint(y, *vectors, SPACING, grid)
    assert ax.dtype == aty.dtype == np.float32
    left, right = np.vdot(ax.astype(float), y), np.vdot(x, aty.astype(float))
    assert abs(left - right) <= 1e-6 * np.linalg.norm(ax) * np.linalg.norm(y)
    double = forward(x.astype(float), *vectors, SPACING, (rows, 60))
    assert np.linalg.norm(ax - double) <= 1e-5 * np.linalg.norm(double)  # heights are single precision too
    double = adjoint(y.astype(float), *vectors, SPACING, grid)
    assert np.linalg.norm(aty - double) <= 1e-5 * np.linalg.norm(double)  # heights are single precision too


@pytest.mark.parametrize("name", ["cone", "tilted"])
def test_threads_batch_and_empty(name, monkeypatch):
    forward, adjoint, vectors, options = kernels(name)
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(3, 7, 6, 8)), rng.normal(size=(3, 4, 9, 11))
    ax, aty = (
        forward(x, *vectors, SPACING, (9, 11), *options),
        adjoint(y, *vectors, SPACING, (7, 6, 8), *options),
    )
    for count in (1, 2, 3):
        monkeypatch.setattr(threads, "count", lambda count=count: count)
        for k in range(3):
            one = forward(x[k : k + 1], *vectors, SPACING, (9, 11), *options)
            np.testing.assert_array_equal(one[0], ax[k])
            one = adjoint(y[k : k + 1], *vectors, SPACING, (7, 6, 8), *options)
            np.testing.assert_array_equal(one[0], aty[k])
    assert forward(x[:0], *vectors, SPACING, (9, 11), *options).shape == (0, 4, 9, 11)
    assert adjoint(y[:0], *vectors, SPACING, (7, 6, 8), *options).shape == (0, 7, 6, 8)
    one = [t[2:3] for t in vectors]
    np.testing.assert_array_equal(forward(x, *one, SPACING, (9, 11), *options), ax[:, 2:3])


def test_which_scans_are_columnar():
    for name in SCANS:
        vectors, curvature, parallel = scan(name)
        if not parallel:
            expected = name in COLUMNAR and name != "coarse rows"  # there the outer rays run mainly along z
            assert is_columnar(*vectors, SPACING, (9, 11), curvature) is expected, name


def ellipsoid(grid, spacing, axes):
    """A smooth ball, (1 - r²)² of the elliptic radius r, sampled at voxels centered at the origin."""
    z, y, x = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in grid), indexing="ij")
    r2 = (x * spacing[0] / axes[0]) ** 2 + (y * spacing[1] / axes[1]) ** 2 + (z * spacing[2] / axes[2]) ** 2
    return np.clip(1 - r2, 0, None) ** 2


def exact(origin, direction, axes):
    """Integral of `ellipsoid` along lines: 16/15 h⁵ / |d/axes| with h² = 1 - (elliptic distance)²."""
    o, d = origin / axes, direction / axes
    size = np.linalg.norm(d, axis=-1)
    nearest = (o * o).sum(-1) - (o * d).sum(-1) ** 2 / size**2
    half = np.sqrt(np.clip(1 - nearest, 0, None))
    return 16 / 15 * half**5 * np.linalg.norm(direction, axis=-1) / size


@pytest.mark.parametrize("kernel", ["cone", "curved", "general"])
def test_line_integrals_of_a_smooth_ball(kernel):
    errors = []
    for n in (16, 32, 64):
        grid, size = (n, n + 1, n), (2.0 / n, 2.1 / n, 1.9 / n)
        axes = np.array([0.8, 0.7, 0.75])
        source, detector, u, v = circle(
            5, grid, distance=0.0, beyond=0.0
        )  # directions; lengths set below in the world
        middle = (np.array(grid[::-1]) - 1) / 2
        angle = 0.1 + np.arange(5) * 2 * np.pi / 5
        along = np.stack([-np.sin(angle), np.cos(angle), 0 * angle], 1)
        source, detector = -4 * along, 2 * along
        u = 0.12 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
        v = np.tile([0.0, 0.0, 0.12], (5, 1))
        curvature = 6.0 if kernel == "curved" else None
        if kernel == "general":
            v = v + 0.05 * along
        world = (source, detector, u, v)
        index = [t / size for t in world]
        index[0], index[1] = index[0] + middle, index[1] + middle
        forward = rays3_forward if kernel == "general" else cone_forward
        out = forward(ellipsoid(grid, size, axes)[None], *index, size, (20, 21), curvature)[0]
        a, b = np.arange(20)[:, None, None] - 9.5, np.arange(21)[:, None] - 10.0
        if kernel == "curved":
            t = b * 0.12 / 6
            pixel = source[:, None, None] + 6 * (
                np.cos(t) * along[:, None, None] + np.sin(t) * u[:, None, None] / 0.12
            )
            pixel = pixel + a * v[:, None, None]
        else:
            pixel = detector[:, None, None] + a * v[:, None, None] + b * u[:, None, None]
        truth = exact(source[:, None, None] + 0 * pixel, pixel - source[:, None, None], axes)
        errors.append(np.linalg.norm(out - truth) / np.linalg.norm(truth))
    assert errors[-1] < 2e-3
    assert errors[0] / errors[1] > 3.4
    assert errors[1] / errors[2] > 3.4


def test_line_integrals_of_a_sharp_ball():
    n, axes = 64, np.array([0.8, 0.7, 0.75])
    size = (2.0 / n,) * 3
    fine = np.mean([_solid(n, size, axes, s) for s in np.random.default_rng(0).random((64, 3)) - 0.5], axis=0)
    angle = np.arange(4) * 2 * np.pi / 4 + 0.2
    along = np.stack([-np.sin(angle), np.cos(angle), 0 * angle], 1)
    u = 0.06 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    v = np.tile([0.0, 0.0, 0.06], (4, 1))
    middle = (n - 1) / 2
    out = cone_forward(
        fine[None],
        -4 * along / size[0] + middle,
        2 * along / size[0] + middle,
        u / size[0],
        v / size[0],
        size,
        (40, 40),
    )[0]
    offset = np.arange(40) - 19.5
    pixel = (
        2 * along[:, None, None]
        + offset[:, None, None] * v[:, None, None]
        + offset[:, None] * u[:, None, None]
    )
    source = -4 * along[:, None, None]
    o, d = (source + 0 * pixel) / axes, (pixel - source) / axes
    length = np.linalg.norm(d, axis=-1)
    half = np.sqrt(np.clip(1 - ((o * o).sum(-1) - (o * d).sum(-1) ** 2 / length**2), 0, None))
    truth = 2 * half * np.linalg.norm(pixel - source, axis=-1) / length
    assert np.linalg.norm(out - truth) < 0.02 * np.linalg.norm(truth)


def _solid(n, size, axes, shift):
    z, y, x = np.meshgrid(*((np.arange(n) - (n - 1) / 2 + s) for s in shift[::-1]), indexing="ij")
    return (
        (x * size[0] / axes[0]) ** 2 + (y * size[1] / axes[1]) ** 2 + (z * size[2] / axes[2]) ** 2 <= 1
    ).astype(float)


@pytest.mark.parametrize("name", ["cone", "curved tilted", "parallel"])
@pytest.mark.parametrize("direction", ["forward", "adjoint"])
def test_derivatives_of_the_twins(name, direction):
    vectors, curvature, parallel = scan(name, views=1, grid=(3, 4, 3))
    vectors = [t.requires_grad_() for t in tensors(vectors)]
    spacing = torch.tensor(SPACING, dtype=torch.float64, requires_grad=True)
    generator = torch.Generator().manual_seed(0)
    shape = (1, 3, 4, 3) if direction == "forward" else (1, 1, 2, 3)
    x = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)

    def f(x, *vectors):
        if direction == "forward":
            return spatial_forward(x, *vectors, (2, 3), curvature, parallel)
        return spatial_adjoint(x, *vectors, (3, 4, 3), curvature, parallel)

    assert torch.autograd.gradcheck(f, (x, *vectors, spacing), eps=1e-7, atol=1e-6)
    assert torch.autograd.gradgradcheck(f, (x, *vectors, spacing), eps=1e-7, atol=1e-5, rtol=1e-3)
