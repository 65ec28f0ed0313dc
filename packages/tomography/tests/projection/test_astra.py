"""ASTRA's projectors: the same scan, the same sinogram as `XRay`, as far as the two interpolate alike."""

import gc

import pytest
import torch

import invcore
from invcore_tomography import AstraXRay, Grid, XRay, cone, ellipses, fan, parallel
from invcore_tomography._kernels import torch_planar
from invcore_tomography._projection.projector import _ray_arguments

FAN = {"source_distance": 3.0, "detector_distance": 2.0}
SCANS = {
    "parallel": lambda n: parallel(
        17,
        columns=n + 8,
        pitch=2 / n,
        center_of_rotation=n / 2 + 1.3,
        grid=Grid(shape=(n, n - 5), spacing=2 / n, center=(0.1, -0.04)),
    ),
    "fan": lambda n: fan(
        17, columns=n + 8, pitch=4 / n, offset=0.05, grid=Grid(shape=(n - 5, n), spacing=2 / n), **FAN
    ),
}
EVERY = [("parallel", "linear"), ("parallel", "line"), ("parallel", "strip"), ("fan", "line")]


def spots(profile):
    """Two ellipses, neither centered nor alike."""
    return ellipses(
        center=[(0.2, 0.15), (-0.3, 0.3)],
        axes=[(0.5, 0.3), (0.3, 0.4)],
        angle=[0.4, 0.9],
        density=[1.0, -0.5],
        profile=profile,
    )


def noise(shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def relative(a, b):
    return float((a.double() - b.double()).norm() / b.double().norm())


@pytest.fixture
def astra():
    return pytest.importorskip("astra")


# -- parity -----------------------------------------------------------------------------------------


def test_linear_is_joseph(astra):
    """ASTRA's "linear" and our rays are one discretization: pixel for pixel, beyond the border too."""
    geometry = SCANS["parallel"](24)
    x = noise((1, *geometry.grid.shape))
    joseph = torch_planar.rays_forward(x, *_ray_arguments(geometry))
    assert relative(AstraXRay(geometry=geometry)(x), joseph) < 5e-5  # rays are found in single precision


@pytest.mark.parametrize(
    ("scan", "projector", "smooth", "sharp"),
    [
        ("parallel", "linear", 2e-4, 2e-3),
        ("parallel", "line", 6e-3, 1e-2),
        ("parallel", "strip", 5e-4, 4e-3),
        ("fan", "line", 3e-3, 1e-2),
    ],
)
def test_sinograms_are_those_of_xray(astra, scan, projector, smooth, sharp):
    """Same order, orientation and units; what is left is the interpolation."""
    geometry = SCANS[scan](128)
    for profile, limit in (("bump", smooth), ("sharp", sharp)):
        x = spots(profile).rasterize(geometry.grid).double()
        ours, theirs = XRay(geometry)(x), AstraXRay(geometry=geometry, projector=projector)(x)
        assert relative(theirs, ours) < limit


@pytest.mark.parametrize("scan", SCANS)
def test_neither_is_further_from_the_exact_integrals(astra, scan):
    geometry = SCANS[scan](128)
    phantom = spots("sharp")
    x, exact = phantom.rasterize(geometry.grid).double(), phantom.project(geometry)
    ours, theirs = (relative(A(geometry=geometry)(x), exact) for A in (XRay, AstraXRay))
    assert ours < 1.02 * theirs < 0.025


@pytest.mark.parametrize(("scan", "projector"), EVERY)
def test_backprojections_are_those_of_xray(astra, scan, projector):
    """On the average of a few pixels: each kernel's transpose leaves its own pattern between neighbors."""
    geometry = SCANS[scan](64)
    y = spots("bump").project(geometry).double()
    ours, theirs = (
        torch.nn.functional.avg_pool2d(A.H(y), 6)
        for A in (XRay(geometry), AstraXRay(geometry=geometry, projector=projector))
    )
    assert relative(theirs, ours) < 0.01


# -- the operator -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("scan", "projector"), EVERY)
def test_adjoint_is_exact(astra, scan, projector):
    A = AstraXRay(geometry=SCANS[scan](24), projector=projector, channels=2)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        x, y = noise((2, *A.domain.shape), 0, dtype), noise((2, *A.range.shape), 1, dtype)
        forward, backward = A(x), A.H(y)
        assert forward.dtype == backward.dtype == dtype
        gap = (forward.double() * y).sum() - (x.double() * backward).sum()
        assert abs(gap) <= tolerance * forward.double().norm() * y.double().norm()
    double = noise(A.domain.shape)
    assert relative(A(double.float()), A(double)) < 2e-6
    assert relative(A.H(A(double).float()), A.H(A(double))) < 2e-6


def test_gradients_reach_the_image_and_the_sinogram(astra):
    A = AstraXRay(geometry=fan(3, columns=4, grid=(3, 3), **FAN))
    x, y = noise(A.domain.shape).requires_grad_(), noise(A.range.shape, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: (A(x).square(), A.H(y)), (x, y))
    assert torch.autograd.gradgradcheck(lambda x: A(x).square(), (x,))


@pytest.mark.parametrize("size", [1e-6, 1e4])
def test_the_unit_of_length_does_not_matter(astra, size):
    """ASTRA compares lengths with fixed numbers; here its pixels always have size one."""
    n = 24
    one = fan(7, columns=n, pitch=2.0, grid=Grid(shape=(n, n)), source_distance=60.0, detector_distance=40.0)
    other = fan(
        7,
        columns=n,
        pitch=2.0 * size,
        grid=Grid(shape=(n, n), spacing=size),
        source_distance=60.0 * size,
        detector_distance=40.0 * size,
    )
    x = noise((1, n, n))
    assert relative(AstraXRay(geometry=other)(x) / size, AstraXRay(geometry=one)(x)) < 1e-5


def test_projectors_leave_astra_with_the_operator(astra):
    A = AstraXRay(geometry=parallel(2, columns=3))
    A(torch.ones(A.domain.shape))
    identifier = A._kept[0].identifier
    assert astra.projector.projection_geometry(identifier)
    del A
    gc.collect()
    with pytest.raises(Exception, match="not found"):
        astra.projector.projection_geometry(identifier)


def test_a_matrix_beyond_the_limit_is_refused(astra):
    A = AstraXRay(geometry=parallel(8, columns=16), max_bytes=1000)
    assert A(torch.ones(A.domain.shape)).dtype == torch.float32
    with pytest.raises(invcore.ParameterError, match="max_bytes"):
        A(torch.ones(A.domain.shape, dtype=torch.float64))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"geometry": "parallel"}, "Geometry"),
        ({"geometry": cone(3, rows=2, columns=3, **FAN)}, "in the plane"),
        ({"geometry": fan(3, columns=3, detector="curved", **FAN)}, "curved"),
        ({"geometry": parallel(3, columns=3, grid=Grid(shape=(3, 3), spacing=(1.0, 2.0)))}, "square pixels"),
        ({"geometry": parallel(3, columns=3), "channels": 0}, "channels"),
        ({"geometry": fan(3, columns=3, **FAN), "projector": "linear"}, "divergent"),
    ],
)
def test_what_astra_can_not_do_is_refused(fields, message):
    with pytest.raises((invcore.DtypeError, invcore.ParameterError), match=message):
        AstraXRay(**fields)
