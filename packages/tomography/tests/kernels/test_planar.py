"""Planar projection kernels against torch twins, adjoints and exact integrals, on any number of threads."""

import math
import multiprocessing

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from invcore import threads
from invcore_tomography._kernels import parallel, rays, torch_planar

SIZES = [  # rows, cols, views, columns, largest slope, largest dt
    (7, 9, 5, 11, 1.0, 1.5),
    (8, 6, 4, 3, 1.0, 1.5),  # the detector is narrower than the image
    (6, 6, 1, 20, 1.0, 1.5),  # wider; one view
    (5, 4, 4, 1, 1.0, 1.5),  # one column
    (1, 12, 3, 9, 1.0, 1.5),
    (12, 1, 3, 9, 1.0, 1.5),
    (1, 1, 2, 2, 1.0, 1.5),
    (9, 7, 5, 8, 4.0, 1.5),  # steep
    (9, 7, 5, 30, 30.0, 0.2),
    (30, 20, 5, 4, 1.0, 9.0),
    (17, 40, 5, 50, 1.0, 1.5),
]


def parallel_views(rows, cols, views, columns, steepest, widest, seed=0):
    g = np.random.default_rng(seed)
    axis = g.integers(0, 2, views).astype(np.uint8)
    slope = g.uniform(-steepest, steepest, views)
    slope[:3] = np.array([0.0, 1.0, -1.0])[:views]
    dt = g.uniform(0.1 * widest, widest, views) * g.choice([-1, 1], views)
    t0 = np.where(axis, rows - 1, cols - 1) / 2 - dt * (columns - 1) / 2 + g.uniform(-2, 2, views)
    return axis, slope, t0, dt, g.uniform(0.5, 2, views)


def ray_views(rows, cols, views, columns, steepest, seed=0):
    g = np.random.default_rng(seed)
    shape = (views, columns)
    axis = np.repeat(g.integers(0, 2, (views, columns // 4 + 1)), 4, axis=1)[:, :columns].astype(np.uint8)
    c0 = g.uniform(-2, np.where(axis, rows, cols) + 1)
    return axis, c0, g.uniform(-steepest, steepest, shape), g.uniform(0.5, 2, shape)


def tensors(arrays):
    return [torch.from_numpy(a) for a in arrays]


def case(kind, size, seed=0):
    """(forward, adjoint, twin forward, twin adjoint, image shape, sinogram shape), all but the data bound."""
    rows, cols, views, columns, steepest, widest = size
    if kind == "parallel":
        p = parallel_views(rows, cols, views, columns, steepest, widest, seed)
        module, names, extra = parallel, ("parallel_forward", "parallel_adjoint"), (columns,)
    else:
        p = ray_views(rows, cols, views, columns, steepest, seed)
        module, names, extra = rays, ("rays_forward", "rays_adjoint"), ()
    forward, adjoint = (getattr(module, name) for name in names)
    twin_forward, twin_adjoint = (getattr(torch_planar, name) for name in names)
    return (
        lambda x: forward(x, *p, *extra),
        lambda y: adjoint(y, *p, (rows, cols)),
        lambda x: twin_forward(torch.from_numpy(x), *tensors(p), *extra).numpy(),
        lambda y: twin_adjoint(torch.from_numpy(y), *tensors(p), (rows, cols)).numpy(),
        (rows, cols),
        (views, columns),
    )


@pytest.mark.parametrize("kind", ["parallel", "rays"])
@pytest.mark.parametrize("size", SIZES)
def test_equals_torch_twin(kind, size):
    forward, adjoint, twin_forward, twin_adjoint, image, sino = case(kind, size)
    g = np.random.default_rng(1)
    x, y = g.standard_normal((3, *image)), g.standard_normal((3, *sino))
    np.testing.assert_allclose(forward(x), twin_forward(x), atol=1e-12, rtol=1e-12)
    np.testing.assert_allclose(adjoint(y), twin_adjoint(y), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_rays_equal_joseph_written_out(size):
    rows, cols, views, columns, steepest, _ = size
    axis, c0, slope, weight = ray_views(rows, cols, views, columns, steepest)
    image = np.random.default_rng(2).standard_normal((rows, cols))
    expected = np.zeros((views, columns))
    for v, k in np.ndindex(views, columns):
        turned = image.T if axis[v, k] else image
        for r, line in enumerate(turned):
            c = c0[v, k] + slope[v, k] * (r - (len(turned) - 1) / 2)
            for i, value in enumerate(line):
                expected[v, k] += weight[v, k] * max(0.0, 1 - abs(c - i)) * value
    out = rays.rays_forward(image[None], axis, c0, slope, weight)[0]
    np.testing.assert_allclose(out, expected, atol=1e-11)


@pytest.mark.parametrize("kind", ["parallel", "rays"])
@pytest.mark.parametrize("size", SIZES[:9])
def test_adjoint_entry_by_entry(kind, size):
    forward, adjoint, twin_forward, twin_adjoint, image, sino = case(kind, size)
    pixels, rays = math.prod(image), math.prod(sino)
    for one, other in ((forward, adjoint), (twin_forward, twin_adjoint)):
        A = one(np.eye(pixels).reshape(pixels, *image)).reshape(pixels, rays)
        B = other(np.eye(rays).reshape(rays, *sino)).reshape(rays, pixels)
        assert np.abs(A - B.T).max() <= 1e-12


@pytest.mark.parametrize("kind", ["parallel", "rays"])
@pytest.mark.parametrize("size", [(300, 257, 40, 350, 1.0, 1.4), (256, 256, 40, 90, 1.0, 1.4)])
def test_adjoint_in_single_precision(kind, size):
    forward, adjoint, *_, image, sino = case(kind, size)
    g = np.random.default_rng(1)
    x = g.standard_normal((2, *image)).astype(np.float32)
    y = g.standard_normal((2, *sino)).astype(np.float32)
    Ax, Ay = forward(x), adjoint(y)
    assert Ax.dtype == Ay.dtype == np.float32
    gap = np.sum(Ax * y, dtype=np.float64) - np.sum(x * Ay, dtype=np.float64)
    assert abs(gap) <= 1e-6 * np.linalg.norm(Ax) * np.linalg.norm(y)
    double = forward(x.astype(np.float64))
    assert np.linalg.norm(Ax - double) <= 2e-6 * np.linalg.norm(double)
    double = adjoint(y.astype(np.float64))
    assert np.linalg.norm(Ay - double) <= 2e-6 * np.linalg.norm(double)


@pytest.mark.parametrize("kind", ["parallel", "rays"])
def test_empty(kind):
    forward, adjoint, twin_forward, twin_adjoint, image, sino = case(kind, SIZES[0])
    for f in (forward, twin_forward):
        assert f(np.zeros((0, *image))).shape == (0, *sino)
    for f in (adjoint, twin_adjoint):
        assert f(np.zeros((0, *sino))).shape == (0, *image)
    forward, adjoint, twin_forward, twin_adjoint, image, sino = case(kind, (5, 6, 0, 4, 1.0, 1.0))
    for f in (forward, twin_forward):
        assert f(np.ones((2, *image))).shape == (2, 0, 4)
    for f in (adjoint, twin_adjoint):
        assert not f(np.ones((2, 0, 4))).any()


def test_a_detector_beside_the_image_sees_nothing():
    one = np.ones(2)
    for t0 in (-1e9, -300.0, 300.0, 1e9):
        p = (np.array([0, 1], np.uint8), 0.5 * one, t0 * one, one, one)
        assert not parallel.parallel_forward(np.ones((1, 8, 8)), *p, 5).any()
        assert not parallel.parallel_adjoint(np.ones((1, 2, 5)), *p, (8, 8)).any()
        assert not torch_planar.parallel_forward(torch.ones(1, 8, 8).double(), *tensors(p), 5).any()
        assert not torch_planar.parallel_adjoint(torch.ones(1, 2, 5).double(), *tensors(p), (8, 8)).any()
        q = (np.zeros((2, 1), np.uint8), np.full((2, 1), t0), np.ones((2, 1)), np.ones((2, 1)))
        assert not rays.rays_forward(np.ones((1, 8, 8)), *q).any()
        assert not rays.rays_adjoint(np.ones((1, 2, 1)), *q, (8, 8)).any()


def test_unfit_input_is_refused():
    axis, *p = parallel_views(4, 4, 2, 3, 1.0, 1.0)
    with pytest.raises(TypeError, match="float32 or float64"):
        parallel.parallel_forward(np.ones((1, 4, 4), np.int64), axis, *p, 3)
    with pytest.raises(ValueError, match="finite"):
        parallel.parallel_forward(np.ones((1, 4, 4)), axis, math.nan * p[0], *p[1:], 3)
    axis, *q = ray_views(4, 4, 2, 3, 1.0)
    with pytest.raises(ValueError, match="finite"):
        rays.rays_forward(np.ones((1, 4, 4)), axis, math.inf * q[0], *q[1:])


def test_neither_order_nor_writability_of_the_memory_matters():
    forward, *_, image, _ = case("parallel", SIZES[0])
    x = np.random.default_rng(0).standard_normal((2, *image[::-1])).swapaxes(1, 2)
    expected = forward(x.copy())
    x.flags.writeable = False
    np.testing.assert_array_equal(forward(x), expected)


# -- exact line integrals ---------------------------------------------------------------------------

ELLIPSES = [  # center x, y, half axes, angle, value; the image is [-1, 1] squared
    (0.0, 0.0, 0.69, 0.9, 0.1, 1.0),
    (0.1, -0.25, 0.3, 0.45, 0.7, 0.4),
    (0.25, 0.1, 0.12, 0.35, -0.3, 0.3),
    (-0.25, 0.05, 0.15, 0.4, 0.4, -0.2),
    (0.02, 0.4, 0.22, 0.2, 0.0, 0.35),
]
BLOBS = [(0.0, 0.1, 0.15, 1.0), (-0.3, -0.2, 0.1, 0.7), (0.35, -0.3, 0.12, -0.4)]  # center, width, value


def pixel_image(n, kind, samples=8):
    """Averages over the pixels (sampled), y growing with the row."""
    samples = samples if kind == "ellipses" else 1
    edge = ((np.arange(n * samples) + 0.5) / (n * samples)) * 2 - 1
    x, y = edge[None], edge[:, None]
    out = 0.0
    if kind == "ellipses":
        for cx, cy, a, b, turn, value in ELLIPSES:
            c, s = math.cos(turn), math.sin(turn)
            u, v = c * (x - cx) + s * (y - cy), -s * (x - cx) + c * (y - cy)
            out = out + value * ((u / a) ** 2 + (v / b) ** 2 <= 1)
    else:
        for cx, cy, width, value in BLOBS:
            out = out + value * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * width**2))
    return np.ascontiguousarray(out.reshape(n, samples, n, samples).mean((1, 3)))


def exact(kind, origin, direction):
    """Integrals along lines with unit directions."""
    px, py, dx, dy = origin[..., 0], origin[..., 1], direction[..., 0], direction[..., 1]
    out = 0.0
    if kind == "ellipses":
        for cx, cy, a, b, turn, value in ELLIPSES:
            c, s = math.cos(turn), math.sin(turn)
            qx, qy = (c * (px - cx) + s * (py - cy)) / a, (-s * (px - cx) + c * (py - cy)) / b
            ex, ey = (c * dx + s * dy) / a, (-s * dx + c * dy) / b
            e2 = ex**2 + ey**2
            rest = 1 - (qx * ey - qy * ex) ** 2 / e2
            out = out + value * 2 * np.sqrt(np.maximum(rest, 0) / e2)
    else:
        for cx, cy, width, value in BLOBS:
            distance = (px - cx) * dy - (py - cy) * dx
            out = out + value * width * math.sqrt(2 * math.pi) * np.exp(-(distance**2) / (2 * width**2))
    return out


def lines(n, beam, angles):
    """Origins and unit directions of the rays, a detector column a pixel."""
    s = (np.arange(int(1.5 * n)) - (int(1.5 * n) - 1) / 2) * 2 / n
    along = np.stack([-np.sin(angles), np.cos(angles)], -1)[:, None]
    across = np.stack([np.cos(angles), np.sin(angles)], -1)[:, None]
    cells = across * s[:, None]
    if beam == "parallel":
        return cells, np.broadcast_to(along, cells.shape)
    source = -3.0 * along
    direction = cells * 2 + 3.0 * along - source
    return np.broadcast_to(source, cells.shape), direction / np.linalg.norm(direction, axis=-1, keepdims=True)


def index_rays(n, origin, direction):
    """(axis, c0, slope, weight) of every ray in pixels of an n x n image of [-1, 1] squared."""
    axis = (np.abs(direction[..., 0]) > np.abs(direction[..., 1])).astype(np.uint8)
    main = np.where(axis, direction[..., 0], direction[..., 1])
    other = np.where(axis, direction[..., 1], direction[..., 0])
    start = np.where(axis, origin[..., 0], origin[..., 1])
    beside = np.where(axis, origin[..., 1], origin[..., 0])
    slope = other / main
    c0 = (beside - slope * start) * n / 2 + (n - 1) / 2
    return axis, c0, slope, 2 / n / np.abs(main)


def projection_error(n, beam, kind, angles, kernel):
    origin, direction = lines(n, beam, angles)
    image, truth = pixel_image(n, kind)[None], exact(kind, origin, direction)
    axis, c0, slope, weight = index_rays(n, origin, direction)
    if kernel == "rays":
        out = rays.rays_forward(image, axis, c0, slope, weight)[0]
    else:
        t0, dt = c0[:, 0], np.diff(c0, axis=1).mean(1)
        one = slice(None), 0
        columns = c0.shape[1]
        out = parallel.parallel_forward(image, axis[one], slope[one], t0, dt, weight[one], columns)[0]
    return np.linalg.norm(out - truth) / np.linalg.norm(truth)


def test_sharp_ellipses_as_well_as_joseph():
    angles = np.arange(8) * math.pi / 8 + 0.1
    joseph = projection_error(512, "parallel", "ellipses", angles, "rays")
    shear = projection_error(512, "parallel", "ellipses", angles, "parallel")
    assert shear <= 1.02 * joseph
    assert joseph < 2e-3
    assert projection_error(512, "fan", "ellipses", angles, "rays") < 2e-3


@pytest.mark.parametrize(
    ("beam", "kernel"), [("parallel", "parallel"), ("parallel", "rays"), ("fan", "rays")]
)
def test_second_order_on_a_smooth_phantom(beam, kernel):
    angles = np.arange(7) * 2 * math.pi / 7 + 0.2
    errors = [projection_error(n, beam, "blobs", angles, kernel) for n in (64, 128, 256)]
    assert errors[0] / errors[1] > 3.7
    assert errors[1] / errors[2] > 3.7
    assert errors[2] < 1e-3


# -- the twins' derivatives -------------------------------------------------------------------------


def leaf(array):
    return torch.from_numpy(np.asarray(array)).requires_grad_()


def test_twins_differentiate_twice_in_every_argument():
    g = np.random.default_rng(3)
    axis, slope, t0, dt, weight = parallel_views(4, 5, 4, 3, 0.9, 1.3, seed=5)
    slope = g.uniform(0.1, 0.8, 4)
    main = torch.from_numpy(axis)
    floats = [leaf(p) for p in (slope, t0, dt, weight)]
    image, sino = leaf(g.standard_normal((2, 4, 5))), leaf(g.standard_normal((2, 4, 3)))
    c_axis, c0, c_slope, c_weight = ray_views(4, 5, 2, 3, 0.9, seed=5)
    ray_axis = torch.from_numpy(c_axis)
    rays = [leaf(p) for p in (c0, c_slope, c_weight)]
    fan = leaf(g.standard_normal((2, 2, 3)))
    twin = torch_planar
    for function, inputs in (
        (lambda x, *p: twin.parallel_forward(x, main, *p, 3), (image, *floats)),
        (lambda y, *p: twin.parallel_adjoint(y, main, *p, (4, 5)), (sino, *floats)),
        (lambda x, *p: twin.rays_forward(x, ray_axis, *p), (image, *rays)),
        (lambda y, *p: twin.rays_adjoint(y, ray_axis, *p, (4, 5)), (fan, *rays)),
    ):
        assert gradcheck(function, inputs)
        assert gradgradcheck(function, inputs)


# -- threads and processes --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["parallel", "rays"])
def test_the_number_of_threads_does_not_change_a_bit(kind):
    forward, adjoint, *_, image, sino = case(kind, (150, 130, 37, 170, 1.0, 1.4))
    g = np.random.default_rng(1)
    x = g.standard_normal((2, *image)).astype(np.float32)
    y = g.standard_normal((2, *sino)).astype(np.float32)
    first = forward(x), adjoint(y)
    for number in (2, 3, 5):
        torch.set_num_threads(number)
        np.testing.assert_array_equal(forward(x), first[0])
        np.testing.assert_array_equal(adjoint(y), first[1])


def test_pieces_cover_everything_once():
    torch.set_num_threads(3)
    for length in (0, 1, 2, 7, 100):
        for least in (1, 16):
            cuts = threads.pieces(length, least=least)
            assert [i for a, b in cuts for i in range(a, b)] == list(range(length))


def test_an_error_in_a_piece_is_raised_and_the_pool_goes_on():
    torch.set_num_threads(3)

    def work(i):
        if i == 5:
            raise KeyError("five")

    for _ in range(3):
        with pytest.raises(KeyError, match="five"):
            threads.run(work, [(i,) for i in range(9)])
    done = []
    threads.run(lambda i: threads.run(done.append, [(i,), (-i,)]), [(i,) for i in range(9)])  # nested
    assert sorted(done) == sorted([*range(9), *(-i for i in range(9))])


@pytest.mark.parametrize("used_before", [False, True])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_project_too(method, used_before):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"{method} is not offered by this system")
    torch.set_num_threads(2)
    x = np.ones((2, 64, 64), np.float32)
    arguments = (x, *parallel_views(64, 64, 30, 70, 1.0, 1.4), 70)
    if used_before:
        parallel.parallel_forward(*arguments)
    else:
        threads._forget()
    with multiprocessing.get_context(method).Pool(2) as workers:
        results = workers.starmap_async(parallel.parallel_forward, [arguments] * 4, chunksize=1).get(60)
    expected = parallel.parallel_forward(*arguments)  # and the parent still can
    for result in results:
        np.testing.assert_array_equal(result, expected)
