"""Voxels from windows of the views: shadows, and filtered backprojection as a linear network."""

import math

import pytest
import torch

from invcore import ParameterError, Physics, ShapeError
from invcore.operators import Identity
from invcore_testsupport import error, normal
from invcore_tomography import (
    FBP,
    Grid,
    LocalVoxel,
    XRay,
    cone,
    ellipses,
    fan,
    laminography,
    parallel,
    ramp_kernel,
)
from invcore_tomography._projection.local_voxel import shadows

F64 = torch.float64


@pytest.mark.parametrize(
    "geometry",
    [
        parallel(4, columns=7, pitch=0.5, grid=(5, 6)),
        fan(3, source_distance=6.0, detector_distance=4.0, columns=5, pitch=1.3, offset=0.2, grid=(3, 4)),
        cone(3, source_distance=9.0, detector_distance=4.0, rows=4, columns=5, pitch=1.2, grid=(2, 3, 4)),
        laminography(3, tilt=0.5, rows=3, columns=4, grid=(3, 4, 3)),
    ],
)
def test_the_ray_through_a_point_meets_the_detector_at_its_shadow(geometry):
    points = normal(5, geometry.ndim)
    found = shadows(geometry, points)
    middle = [(n - 1) / 2 for n in geometry.detector_shape[::-1]]
    for v in range(geometry.views):
        steps = [t[v] for t in (geometry.u, geometry.v) if t is not None]
        for p, at in zip(points, found[v]):
            pixel = geometry.detector[v] + sum((a - m) * s for a, m, s in zip(at, middle, steps))
            ray = geometry.source[v] if geometry.beam == "parallel" else p - geometry.source[v]
            across = torch.nn.functional.normalize(ray, dim=0)
            off = (pixel - p) - (pixel - p) @ across * across
            assert off.norm() < 1e-9


def linear(views, columns, window, pitch):
    """The ramp filter cut off at the window, and the angle of each view."""
    R = LocalVoxel(views=views, window=window, hidden=(), spatial_dims=2).double()
    kernel, half = ramp_kernel(max(columns, window // 2 + 1)), window // 2
    middle = len(kernel) // 2
    with torch.no_grad():
        row = kernel[middle - half : middle + half + 1] * math.pi / views / pitch
        R.network[0].weight.copy_(row.repeat(views)[None])
        R.network[0].bias.zero_()
    return R


def test_a_linear_network_is_filtered_backprojection_up_to_what_the_window_cuts_off():
    views, columns, pitch = 30, 41, 0.1
    inside = Grid((25, 25), spacing=pitch)  # all shadows fall on the detector
    geometry = parallel(views, columns=columns, pitch=pitch, grid=inside)
    disks = ellipses(center=[(0.2, 0.3), (-0.4, 0.0)], axes=[(0.5, 0.3), (0.2, 0.4)], density=[1.0, -0.4])
    physics, y = Physics(XRay(geometry)), disks.project(geometry).double().reshape(1, views, columns)
    x = FBP(geometry).to(F64)(y)
    errors = [
        error(linear(views, columns, w, pitch)(y, physics).detach(), x) for w in (5, 21, 41, 2 * columns - 1)
    ]
    assert errors[-1] < 1e-9  # the window holds the support of the filter on this detector
    assert errors[1] < 0.1 * errors[0] and errors[2] < 0.1 * errors[1]
    # what is cut off is the sum of the other samples of the filter
    cut = linear(views, columns, 2 * columns - 1, pitch)
    keep = linear(views, columns, 21, pitch)
    with torch.no_grad():
        weights = cut.network[0].weight.view(views, -1)
        weights[:, columns - 1 - 10 : columns + 10] = 0
    assert error((keep(y, physics) + cut(y, physics)).detach(), x) < 1e-9


def test_it_moves_with_the_object_and_scales_with_the_data():
    R = LocalVoxel(views=2, window=3, hidden=(8,), spatial_dims=2).double()
    geometry = parallel([0.0, math.pi / 2], columns=12, grid=(12, 12))
    A = XRay(geometry)
    x = torch.zeros(1, 12, 12, dtype=F64)
    x[:, 4:7, 5:7] = normal(1, 3, 2)
    here, there = (R(A(v), Physics(A)) for v in (x, x.roll((2, -1), (-2, -1))))
    assert torch.allclose(there[:, 3:-1, 1:-2], here.roll((2, -1), (-2, -1))[:, 3:-1, 1:-2], atol=1e-9)
    assert torch.allclose(R(1e4 * A(x), Physics(A)), 1e4 * here)


def test_some_voxels_are_those_of_the_image():
    R = LocalVoxel(views=3, window=3, hidden=(8,)).double()
    geometry = cone(
        3, source_distance=9.0, detector_distance=4.0, rows=4, columns=5, pitch=1.2, grid=(2, 3, 4)
    )
    physics, y = Physics(XRay(geometry)), normal(2, 1, 3, 4, 5)
    image = R(y, physics)
    some = torch.tensor([3, 17, 8])
    assert image.shape == (2, 1, 2, 3, 4)
    assert torch.allclose(R.values(y, physics, some), image.flatten(2)[..., some])


def test_other_problems_are_refused():
    R = LocalVoxel(views=3, window=3, hidden=(), spatial_dims=2)
    with pytest.raises(ParameterError, match="must be an XRay"):
        R(torch.zeros(1, 4), Physics(Identity((1, 4))))
    with pytest.raises(ParameterError, match="3 views"):
        R(torch.zeros(1, 4, 5), Physics(XRay(parallel(4, columns=5))))
    with pytest.raises(ShapeError):
        R(torch.zeros(1, 3, 6), Physics(XRay(parallel(3, columns=5))))
    curved = fan(3, source_distance=6.0, detector_distance=4.0, columns=5, pitch=1.3, detector="curved")
    with pytest.raises(ParameterError, match="flat detector"):
        R(torch.zeros(1, 3, 5), Physics(XRay(curved)))
    with pytest.raises(ParameterError, match="odd window"):
        LocalVoxel(views=3, window=4)
