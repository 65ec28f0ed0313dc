"""Downsampling against torch's antialiased interpolation and dense matrices; kernels against scipy."""

import math

import pytest
import scipy.ndimage
import torch
from torch.nn import functional as F

from invcore import DtypeError, ParameterError, ShapeError
from invcore.operators import (
    Convolution,
    Downsample,
    LinearOperator,
    MotionKernel,
    Operator,
    Space,
    Upsample,
    coarse,
    coarse_convolution,
    disk_kernel,
    gaussian_kernel,
    least_squares,
    resampling_kernel,
)

NAMES = ("gaussian", "bilinear", "bicubic", "sinc", "box", "none")


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def close(got, expected, tolerance=1e-12):
    assert got.shape == expected.shape
    assert float((got - expected).abs().max()) <= tolerance * max(1.0, float(expected.abs().max()))


def beyond(x, i, boundary):
    """x[i] for any i, by definition."""
    n = len(x)
    if boundary == "circular":
        return x[i % n]
    if boundary == "replicate":
        return x[min(max(i, 0), n - 1)]
    if boundary == "reflect":
        i %= 2 * (n - 1)
        return x[min(i, 2 * (n - 1) - i)]
    return x[i] if 0 <= i < n else torch.zeros((), dtype=x.dtype)


@pytest.mark.parametrize("boundary", ["circular", "zero", "reflect", "replicate", "valid"])
@pytest.mark.parametrize(
    "factor, taps", [(2, 3), (2, 4), (3, 2), (3, 7), (2, 9), (4, 1), (1, 4), (5, 3), (3, 12)]
)
def test_boundaries_follow_the_formula(boundary, factor, taps):
    n = 6 * factor
    x, k = random(n), random(taps, seed=1)
    A = Downsample((1, n), factor=factor, kernel=k[None], boundary=boundary)
    positions = [[factor * m + (factor + taps - 2) // 2 - j for j in range(taps)] for m in range(6)]
    if boundary == "valid":
        positions = [p for p in positions if min(p) >= 0 and max(p) < n]
    expected = torch.stack([sum(k[j] * beyond(x, i, boundary) for j, i in enumerate(p)) for p in positions])
    close(A(x[None])[0], expected)
    matrix = A.dense()
    close(A.H.dense(), matrix.mT)
    true = float(torch.linalg.matrix_norm(matrix, 2))
    assert true * (1 - 1e-9) <= float(A.norm(rtol=0.01)) <= 1.006 * true


@pytest.mark.parametrize("boundary", ["zero", "reflect", "replicate", "valid"])
def test_boundaries_in_the_plane_are_those_of_scipy(boundary):
    x, kernel = random(2, 8, 12), random(5, 3, seed=1)
    mode = {"zero": "constant", "reflect": "mirror", "replicate": "nearest"}.get(boundary, "wrap")
    A = Downsample(Space((2, 8, 12), "complex"), factor=4, kernel=kernel[None], boundary=boundary)
    full = scipy.ndimage.convolve(x.numpy(), kernel[None].numpy(), mode=mode)
    expected = torch.from_numpy(full)[:, 1::4, 1::4]  # rows see from -1 on, columns from 0
    if boundary == "valid":
        expected = expected[:, 1:]
    close(A(x + 2j * x), expected + 2j * expected)
    with pytest.raises(ParameterError, match="needs boundary='circular'.*use least_squares"):
        A.ridge(A(x + 0j), weight=1.0)
    y, z = A(x + 1j * x.flip(-1)), random(2, 8, 12, dtype=torch.complex128, seed=3)
    got = least_squares(A, y, shift=0.2, center=z, rtol=1e-13)
    matrix = A.dense()
    normal = matrix.mH @ matrix + 0.2 * torch.eye(matrix.shape[-1], dtype=torch.float64)
    close(got.flatten(), torch.linalg.solve(normal, matrix.mH @ y.flatten() + 0.2 * z.flatten()), 1e-9)


def test_replicated_edges_keep_constants():
    for boundary in ("replicate", "reflect", "circular"):
        A = Downsample((1, 12, 9), factor=3, boundary=boundary)
        close(A(torch.ones(1, 12, 9, dtype=torch.float64)), torch.ones(1, 4, 3, dtype=torch.float64))
    with pytest.raises(ShapeError, match="no coarse pixel sees"):
        Downsample((1, 6, 6), factor=3, boundary="valid")
    with pytest.raises(ParameterError, match="boundary must be one of"):
        Downsample((1, 6, 6), boundary="periodic")


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_torch_antialiased_interpolation_agrees_inside(name, factor):
    """F.interpolate has its own boundary; away from it the two are the same filter on the same grid."""
    x = random(2, 1, 12 * factor, 14 * factor)
    A = Downsample((1, *x.shape[-2:]), factor=factor, kernel=name).to(torch.float64)
    expected = F.interpolate(x, size=(12, 14), mode=name, antialias=True, align_corners=False)
    close(A(x)[..., 3:-3, 3:-3], expected[..., 3:-3, 3:-3])


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_box_is_average_pooling_and_none_is_slicing(factor):
    x = random(2, 4 * factor, 3 * factor)
    space = Space(tuple(x.shape))
    close(Downsample(space, factor=factor, kernel="box")(x), F.avg_pool2d(x, factor))
    start = (factor - 1) // 2
    close(Downsample(space, factor=factor, kernel="none")(x), x[:, start::factor, start::factor])


@pytest.mark.parametrize("factor, taps", [(2, (3, 4)), (3, (2, 7)), (2, (9, 1)), (4, (1, 2))])
def test_it_is_a_circular_convolution_of_which_some_pixels_are_kept(factor, taps):
    shape = (3 * factor, 2 * factor)
    x, kernel = random(2, *shape), random(2, *taps, seed=1)
    got = Downsample((2, *shape), factor=factor, kernel=kernel)(x)
    full = Convolution(kernel, domain=(2, *shape))(x)
    shifts = [(factor + k - 2) // 2 - k // 2 for k in taps]
    moved = full.roll([-s for s in shifts], (-2, -1))
    close(got, moved[..., ::factor, ::factor])


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_kernels_by_name_are_symmetric_of_sum_one_and_keep_constants(name, factor, ndim):
    kernel = resampling_kernel(name, factor, ndim=ndim, dtype=torch.float64)
    assert kernel.shape[0] == 1 and kernel.ndim == ndim + 1
    assert math.isclose(float(kernel.sum()), 1.0, rel_tol=1e-12)
    close(kernel, kernel.flip(tuple(range(1, ndim + 1))))
    shape = (4 * factor,) * ndim
    A = Downsample((1, *shape), factor=factor, kernel=name)
    close(A(torch.ones(1, *shape, dtype=torch.float64)), torch.ones(1, *(4,) * ndim, dtype=torch.float64))


@pytest.mark.parametrize("kernel", [*NAMES, random(1, 3, 4), random(2, 2, 5), random(3, 1, 3, 3)])
@pytest.mark.parametrize("factor", [2, 3])
def test_adjoint_and_norm_are_those_of_the_matrix(kernel, factor):
    A = Downsample((2, 2 * factor, 3 * factor), factor=factor, kernel=kernel)
    A = A.to(torch.float64)
    matrix = A.dense(dtype=torch.float64)
    close(A.H.dense(dtype=torch.float64), matrix.mT)
    close(A.norm_bound().double(), torch.linalg.matrix_norm(matrix, 2))


@pytest.mark.parametrize("kind, dtype", [("real", torch.float64), ("complex", torch.complex128)])
@pytest.mark.parametrize(
    "kernel, factor, shape",
    [("bicubic", 2, (4, 6)), ("sinc", 3, (6, 9)), ("none", 2, (6, 4)), (None, 3, (9, 3)), (None, 2, (8,))],
)
def test_ridge_is_the_dense_solution(kind, dtype, kernel, factor, shape):
    kernel = random(2, *(3, 4)[: len(shape)], dtype=dtype) if kernel is None else kernel
    A = Downsample(Space((2, *shape), kind), factor=factor, kernel=kernel)
    matrix = A.dense(dtype=torch.float64)
    y, z = random(3, *A.range.shape, dtype=dtype), random(3, *A.domain.shape, dtype=dtype, seed=1)
    weight = torch.tensor([1e-2, 1.0, 30.0], dtype=torch.float64)
    got = A.ridge(y, z, weight=weight)
    for i, w in enumerate(weight):
        system = matrix.mH @ matrix + w * torch.eye(A.domain.size, dtype=torch.float64)
        right = matrix.mH @ y[i].reshape(-1) + w * z[i].reshape(-1)
        close(got[i].reshape(-1), torch.linalg.solve(system, right))


def test_ridge_without_weight_is_the_nearest_consistent_image():
    A = Downsample((1, 8, 6), kernel="gaussian")
    y, z = random(1, 4, 3), random(1, 8, 6, seed=1)
    matrix = A.dense(dtype=torch.float64)
    x = A.ridge(y, z, weight=0.0)
    close(A(x), y, 1e-11)
    close((x - z).reshape(-1), torch.linalg.pinv(matrix) @ (y - A(z)).reshape(-1), 1e-11)


def test_ridge_with_a_kernel_per_sample_and_gradients():
    kernel, y, z = random(3, 1, 3, 3), random(3, 1, 2, 3), random(3, 1, 4, 6, seed=1)
    A = Downsample((1, 4, 6), kernel=kernel)
    together = A.ridge(y, z, weight=0.3)
    for i in range(3):
        close(together[i], A.bind(kernel=kernel[i]).ridge(y[i], z[i], weight=0.3))
    inputs = [t.clone().requires_grad_() for t in (kernel[0], y[0], z[0], torch.tensor(0.3).double())]
    assert torch.autograd.gradcheck(lambda k, y, z, w: A.bind(kernel=k).ridge(y, z, weight=w), inputs)


@pytest.mark.parametrize("factor", [2, 3])
def test_bilinear_upsampling_is_linear_interpolation_inside(factor):
    x = random(1, 2, 7, 6)
    B = Upsample((2, 7, 6), factor=factor, kernel="bilinear")
    expected = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    inside = slice(factor, -factor)
    close(B(x)[..., inside, inside], expected[..., inside, inside])


def test_bicubic_upsampling_reproduces_quadratics_inside():
    """The cubic of Keys with a = -1/2 is exact on them."""
    coarse = torch.arange(12, dtype=torch.float64)
    for factor in (2, 3, 4):
        fine = (torch.arange(12 * factor, dtype=torch.float64) + 0.5) / factor - 0.5
        B = Upsample((1, 12), factor=factor)
        inside = slice(3 * factor, -3 * factor)
        close(B((coarse**2 - 3 * coarse)[None])[0, inside], (fine**2 - 3 * fine)[inside])


def test_upsampling_is_the_scaled_adjoint():
    for kernel in ("bicubic", random(2, 3, 4)):
        A = Downsample((2, 6, 9), factor=3, kernel=kernel)
        B = Upsample(A.range, factor=3, kernel=kernel)
        matrix = 9 * A.dense(dtype=torch.float64).mT
        close(B.dense(dtype=torch.float64), matrix)
        close(B.norm_bound().double(), torch.linalg.matrix_norm(matrix, 2))


@pytest.mark.parametrize(
    "error, change",
    [
        (ShapeError, {"domain": Space((1, 5, 6))}),
        (ShapeError, {"domain": Space((6,))}),
        (ShapeError, {"kernel": torch.ones(3, 3)}),
        (ShapeError, {"kernel": torch.ones(3, 3, 3)}),
        (DtypeError, {"kernel": torch.ones(1, 3, 3, dtype=torch.complex64)}),
        (DtypeError, {"kernel": torch.ones(1, 3, 3, dtype=torch.int64)}),
        (ParameterError, {"kernel": "cubic"}),
        (ParameterError, {"factor": 0}),
        (ParameterError, {"factor": 1.5}),
    ],
)
def test_wrong_arguments_are_refused(error, change):
    with pytest.raises(error):
        Downsample(**{"domain": Space((2, 6, 8)), **change})
    if "domain" not in change:
        with pytest.raises(error):
            Upsample(**{"domain": Space((2, 6, 8)), **change})


@pytest.mark.parametrize("kind, dtype", [("real", torch.float64), ("complex", torch.complex128)])
@pytest.mark.parametrize("shape, factor", [((6, 8), 2), ((9,), 3), ((4, 2, 6), 2)])
def test_coarse_operators_are_products_with_interpolation(kind, dtype, shape, factor):
    kernels = [random(1, *(3, 2, 2)[: len(shape)]), random(2, *(2, 4, 3)[: len(shape)], dtype=dtype)]
    for kernel in kernels:
        for filters in ("bicubic", random(1, *(3, 4, 2)[: len(shape)], seed=1)):
            A = Convolution(kernel, domain=Space((2, *shape), kind))
            D = Downsample(A.domain, factor=factor, kernel=filters)
            U = Upsample(D.range, factor=factor, kernel=filters)
            B = coarse_convolution(A, factor, kernel=filters)
            full = [op.dense(dtype=torch.float64) for op in (D, A, U)]
            full = [m.to(torch.promote_types(m.dtype, dtype)) for m in full]
            close(B.dense(dtype=torch.float64).to(full[0].dtype), full[0] @ full[1] @ full[2])
            assert B.kernel.shape[0] == kernel.shape[0] and B.kernel.dtype == kernel.dtype
            got = coarse(A, factor, kernel=filters).dense(dtype=torch.float64)
            close(got.to(full[0].dtype), full[1] @ full[2])


def test_the_coarse_operator_approximates_the_fine_one():
    """P A Pᵀ of the multigrid method, P the downsampling: data of a smooth image on the coarse grid."""
    n, factor = 48, 2
    A = Convolution(gaussian_kernel(2.0).double(), domain=(1, n, n))
    D = Downsample(A.domain, factor=factor).to(torch.float64)
    t = torch.arange(n, dtype=torch.float64) * (2 * math.pi / n)
    x = (torch.sin(t)[:, None] + torch.cos(3 * t) * torch.sin(2 * t)[:, None])[None]
    B, C = coarse(A, factor), coarse_convolution(A, factor)
    assert B.domain == C.domain == C.range == Space((1, n // factor, n // factor)) and B.range == A.range
    assert float((B(D(x)) - A(x)).norm() / A(x).norm()) < 0.02  # A U D x against A x
    close(C.dense(), factor**2 * (D @ A @ D.H).dense())
    assert float((C(D(x)) - D(A(x))).norm() / D(A(x)).norm()) < 0.02
    square = coarse(Operator.from_function(torch.square, A.domain), factor)  # nonlinear ones too
    assert float((square(D(x)) - x**2).norm() / (x**2).norm()) < 0.05
    assert not isinstance(square, LinearOperator) and isinstance(B, LinearOperator)


def test_coarse_convolution_of_kernels_per_sample_with_gradient():
    kernel = random(3, 1, 3, 3).requires_grad_()
    A = Convolution(kernel, domain=(1, 4, 6))
    B = coarse_convolution(A, 2)
    x = random(1, 2, 3, seed=1)
    for i in range(3):
        close(B(x)[i].detach(), coarse_convolution(A.bind(kernel=kernel[i]), 2)(x).detach())
    assert torch.autograd.gradcheck(lambda k: coarse_convolution(A.bind(kernel=k), 2)(x), [kernel])
    with pytest.raises(ParameterError, match="coarse"):
        coarse_convolution(Convolution(kernel, domain=A.domain, boundary="zero"), 2)


# -- kernels of blur -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [(1.2,), (0.8, 2.0), (1.0, 0.7, 1.5)])
def test_gaussian_kernel_is_that_of_scipy(sigma):
    kernel = gaussian_kernel(sigma, dtype=torch.float64)
    point = torch.zeros(kernel.shape[1:], dtype=torch.float64)
    point[tuple(n // 2 for n in point.shape)] = 1
    radius = [n // 2 for n in point.shape]
    expected = scipy.ndimage.gaussian_filter(point.numpy(), sigma, radius=radius, mode="constant")
    close(kernel[0], torch.as_tensor(expected))


def test_gaussian_kernel_turns():
    kernel = gaussian_kernel((3.0, 1.0), angle=math.pi / 2, dtype=torch.float64)
    assert kernel.shape == (1, 25, 25)
    close(kernel, gaussian_kernel((1.0, 3.0), size=25, dtype=torch.float64))
    angle = 0.4
    kernel = gaussian_kernel((2.0, 1.0), angle=angle, size=41, dtype=torch.float64)[0]
    r = torch.arange(41, dtype=torch.float64) - 20
    y, x = torch.meshgrid(r, r, indexing="ij")
    got = torch.stack([(kernel * a * b).sum() for a in (y, x) for b in (y, x)]).reshape(2, 2)
    axis = torch.tensor([[math.cos(angle)], [math.sin(angle)]], dtype=torch.float64)  # of the first sigma
    across = torch.tensor([[-math.sin(angle)], [math.cos(angle)]], dtype=torch.float64)
    close(got, 4 * axis @ axis.T + across @ across.T, 1e-6)


def test_disk_kernel_has_the_moments_of_a_disk():
    for radius in (0.2, 1.5, 4.0, 7.3):
        kernel = disk_kernel(radius, dtype=torch.float64)[0]
        r = torch.arange(len(kernel), dtype=torch.float64) - len(kernel) // 2
        assert math.isclose(float(kernel.sum()), 1.0, rel_tol=1e-12)
        close(kernel, kernel.T)
        if radius > 1:
            # each pixel is a unit square: Sheppard's correction adds 1/12
            variance = float((kernel.sum(0) * r**2).sum())
            assert math.isclose(variance, radius**2 / 4 + 1 / 12, rel_tol=0.02, abs_tol=0.1)
    assert float(disk_kernel(1e-3, size=(3, 5))[0, 1, 2]) == 1.0


def test_motion_kernels_are_reproducible_whatever_the_batch():
    def draw(batch, generator):
        return MotionKernel(15)(batch, generator=generator, dtype=torch.float64)

    together = draw((2, 2), torch.Generator().manual_seed(3))
    g = torch.Generator().manual_seed(3)
    apart = torch.stack([draw((), g) for _ in range(4)]).reshape(2, 2, 1, 15, 15)
    assert torch.equal(together, apart)
    assert together.shape == (2, 2, 1, 15, 15) and bool((together >= 0).all())
    close(together.sum((-3, -2, -1)), torch.ones(2, 2, dtype=torch.float64))
    r = torch.arange(15, dtype=torch.float64) - 7
    close((together.sum(-1) * r).sum(-1), torch.zeros(2, 2, 1, dtype=torch.float64), 1e-9)
    assert MotionKernel(5)((0,), generator=g).shape == (0, 1, 5, 5)
    for size in (1, 2, 4):
        kernel = MotionKernel(size, amplitude=3.0)(generator=g)
        assert bool(kernel.isfinite().all()) and math.isclose(float(kernel.sum()), 1.0, rel_tol=1e-6)
    still = MotionKernel(5, amplitude=0.0)(generator=g)
    assert float(still[0, 2, 2]) == 1.0


def test_the_motion_is_the_stated_gaussian_process():
    """The mean spread of the traces is σ² times the mean of 1 - covariance over pairs of times."""
    g = torch.Generator().manual_seed(0)
    size, amplitude, length = 101, 0.05, 0.3
    draw = MotionKernel(size, amplitude=amplitude, length=length, steps=60)
    kernels = draw((300,), generator=g, dtype=torch.float64)
    r = torch.arange(size, dtype=torch.float64) - size // 2
    variance = (kernels.sum(-1) * r**2).sum(-1).mean()  # linear interpolation adds 1/6
    t = torch.linspace(0, 1, 60, dtype=torch.float64)
    d = 3**0.5 * (t[:, None] - t).abs() / length
    expected = (amplitude * size) ** 2 * (1 - ((1 + d) * torch.exp(-d)).mean())
    assert math.isclose(float(variance) - 1 / 6, float(expected), rel_tol=0.2)


def test_wrong_kernels_are_refused():
    for call in (
        lambda: gaussian_kernel(0.0),
        lambda: gaussian_kernel((1.0,) * 4),
        lambda: gaussian_kernel(1.0, ndim=3, angle=0.1),
        lambda: gaussian_kernel(1.0, size=0),
        lambda: gaussian_kernel(1.0, size=(3, 3, 3)),
        lambda: disk_kernel(-1.0),
        lambda: MotionKernel(0),
        lambda: MotionKernel(5, length=0.0),
        lambda: resampling_kernel("lanczos", 2),
    ):
        with pytest.raises(ParameterError):
            call()
