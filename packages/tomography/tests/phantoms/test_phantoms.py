"""Phantoms against numerical integration, published pictures and published tables."""

import math

import numpy as np
import pytest
import torch

from invcore import ParameterError, ShapeError
from invcore_tomography import Grid, Phantom, ellipses, ellipsoids, shepp_logan


def some(profile, spatial_dims=2):
    if spatial_dims == 2:
        return ellipses(
            center=[(0.2, -0.1), (-0.3, 0.2)],
            axes=[(0.3, 0.1), (0.05, 0.12)],
            density=[1.0, 2.0],
            angle=[0.4, -0.9],
            profile=profile,
            dtype=torch.float64,
        )
    return ellipsoids(
        center=[(0.2, -0.1, 0.1), (-0.3, 0.2, 0.0)],
        axes=[(0.3, 0.1, 0.2), (0.05, 0.12, 0.3)],
        density=[1.0, 2.0],
        angles=[(0.4, 0.2, -0.3), (-0.9, 1.0, 0.5)],
        profile=profile,
        dtype=torch.float64,
    )


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("profile", ["sharp", "bump", "gaussian"])
def test_line_integrals_equal_numerical_ones(profile, spatial_dims):
    phantom = some(profile, spatial_dims)
    origin = torch.tensor([[0.1, 0.0, 0.1], [0.3, -0.2, 0.05]], dtype=torch.float64)[:, :spatial_dims]
    direction = torch.tensor([[1.0, -0.3, 0.1], [0.4, 2.0, -0.5]], dtype=torch.float64)[:, :spatial_dims]
    t = torch.linspace(-3, 3, 200001, dtype=torch.float64)
    unit = direction / direction.norm(dim=-1, keepdim=True)
    exact = phantom.line_integrals(origin, direction)
    for k in range(2):
        line = torch.trapezoid(phantom.value(origin[k] + t[:, None] * unit[k]), t)
        assert abs(exact[k] - line) < (2e-4 if profile == "sharp" else 1e-8)
    assert (exact > 0.01).all()


def test_line_integrals_are_those_of_the_textbook():
    # Kak and Slaney, equation 3.5: ellipse with semi-axes A, B at angle θ, offset s
    a, b, rho, theta = 0.8, 0.3, 1.7, 0.6
    s = torch.linspace(-1, 1, 41, dtype=torch.float64)
    width2 = (a * math.cos(theta)) ** 2 + (b * math.sin(theta)) ** 2
    book = 2 * rho * a * b / width2 * (width2 - s**2).clamp_min(0).sqrt()
    disk = ellipses(center=[(0.0, 0.0)], axes=[(a, b)], density=[rho], dtype=torch.float64)
    normal = torch.tensor([math.cos(theta), math.sin(theta)], dtype=torch.float64)
    along = torch.tensor([-math.sin(theta), math.cos(theta)], dtype=torch.float64)
    assert torch.allclose(disk.line_integrals(s[:, None] * normal, along), book, atol=1e-13)


def test_the_modified_head_is_the_published_picture():
    published = pytest.importorskip("skimage.data").shepp_logan_phantom()
    image = shepp_logan(dtype=torch.float64).rasterize(Grid(shape=(400, 400), spacing=(2 / 400, 2 / 400)))
    difference = np.abs(image[0].numpy() - published)
    assert difference.mean() < 0.006  # edges and the smallest ellipses only
    assert (difference > 0.05).mean() < 0.025
    assert np.abs(image[0].flip(0).numpy() - published).mean() > 0.03


def test_the_standard_head_has_the_contrasts_of_1974():
    head = shepp_logan(variant="standard", dtype=torch.float64)
    at = torch.tensor([(0.0, -0.89), (0.0, 0.5), (0.22, 0.0), (0.0, -0.35), (0.0, 0.0)], dtype=torch.float64)
    assert torch.allclose(head.value(at), torch.tensor([2.0, 1.02, 1.0, 1.03, 1.02], dtype=torch.float64))


def test_the_head_in_3d_has_the_section_of_2d_in_its_middle():
    # those ellipsoids whose center and axes lie in the plane z = 0
    two, three = shepp_logan(dtype=torch.float64), shepp_logan(3, dtype=torch.float64)
    for k in (0, 1, 7, 8, 9):
        parts = [
            Phantom(**{n: getattr(p, n)[k : k + 1] for n in ("center", "axes", "rotation", "density")})
            for p in (two, three)
        ]
        flat = torch.rand(500, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(k)) * 2 - 1
        deep = torch.cat([flat, torch.zeros(500, 1, dtype=torch.float64)], -1)
        assert torch.equal(parts[0].value(flat), parts[1].value(deep))


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("profile", ["sharp", "bump", "gaussian"])
def test_averages_over_voxels(profile, spatial_dims):
    phantom = some(profile, spatial_dims)
    shape, factor = ((20, 24), 16) if spatial_dims == 2 else ((6, 10, 12), 8)
    spacing = tuple(2 / n for n in shape)
    center = (0.01, -0.03, 0.02)[:spatial_dims]
    fine = Grid(
        shape=tuple(factor * n for n in shape), spacing=tuple(h / factor for h in spacing), center=center
    )
    pool = torch.nn.functional.avg_pool2d if spatial_dims == 2 else torch.nn.functional.avg_pool3d
    expected = pool(phantom.rasterize(fine), factor)
    got = phantom.rasterize(Grid(shape=shape, spacing=spacing, center=center), samples=16)
    assert got.shape == (1, *shape)
    assert (got - expected).abs().max() < (0.06 if profile == "sharp" else 5e-3)
    assert (got - expected).norm() < 0.03 * expected.norm()


def test_the_mass_is_the_area():
    phantom = some("sharp")
    area = math.pi * (phantom.axes.prod(-1) * phantom.density).sum()
    grid = Grid(shape=(61, 64), spacing=(2 / 61, 2 / 64))
    mass = phantom.rasterize(grid, samples=32).sum() * grid.spacing[0] * grid.spacing[1]
    assert abs(mass / area - 1) < 1e-4


def test_batches_and_gradients():
    phantom = some("bump")
    two = phantom.bind(center=torch.stack([phantom.center, phantom.center + 0.1]))
    origin, direction = torch.rand(2, 5, 7, 2, dtype=torch.float64).unbind(0)
    both = two.line_integrals(origin, direction)
    assert both.shape == (2, 5, 7)
    assert torch.allclose(both[0], phantom.line_integrals(origin, direction))

    def integrals(center, axes, density):
        return phantom.bind(center=center, axes=axes, density=density).line_integrals(
            origin[0, :3], direction[0, :3]
        )

    values = [phantom.center, phantom.axes, phantom.density]
    assert torch.autograd.gradcheck(integrals, [v.clone().requires_grad_() for v in values])


def test_what_cannot_be():
    with pytest.raises(ParameterError, match="positive"):
        ellipses(center=[(0.0, 0.0)], axes=[(0.0, 1.0)], density=[1.0])
    with pytest.raises(ShapeError, match="density"):
        ellipses(center=[(0.0, 0.0)], axes=[(1.0, 1.0)], density=[1.0, 2.0], angle=[0.0])
    with pytest.raises(ParameterError, match="profile"):
        some("square")
    with pytest.raises(ShapeError, match="dimensions"):
        some("sharp").rasterize(Grid(shape=(4, 4, 4), spacing=(1.0, 1.0, 1.0)))


def test_sinograms_of_every_geometry():
    from invcore_tomography import cone, fan, parallel

    phantom, deep = some("bump"), some("bump", 3)
    far = {"source_distance": 4.0, "detector_distance": 2.0, "pitch": 0.1}
    for geometry, which in (
        (parallel(7, columns=20, pitch=0.1), phantom),
        (fan(7, columns=20, **far), phantom),
        (fan(7, columns=20, detector="curved", **far), phantom),
        (cone(5, rows=6, columns=20, **far), deep),
    ):
        sinogram = which.project(geometry)
        assert sinogram.shape == (1, geometry.views, *geometry.detector_shape)
        origin, direction = geometry.rays()
        at = tuple(int(i) for i in torch.unravel_index(sinogram[0].argmax(), sinogram[0].shape))
        t = torch.linspace(-10, 10, 200001, dtype=torch.float64)
        line = torch.trapezoid(which.value(origin[at] + t[:, None] * direction[at]), t)
        assert abs(sinogram[(0, *at)] - line) < 1e-8
        assert line > 1e-3
    two = phantom.bind(density=torch.stack([phantom.density, 2 * phantom.density]))
    batch = two.project(parallel(7, columns=20, pitch=0.1))
    assert batch.shape == (2, 1, 7, 20) and torch.allclose(batch[1], 2 * batch[0])


def test_the_projector_agrees_with_the_exact_sinogram():
    from invcore_tomography import Grid, XRay, parallel

    head = some("bump")
    grid = Grid(shape=(128, 128), spacing=1 / 64)
    geometry = parallel(30, columns=128, pitch=1 / 64, grid=grid)
    exact = head.project(geometry)
    y = XRay(geometry)(head.rasterize(grid))
    assert (y - exact).norm() < 0.02 * exact.norm()  # the small ellipse is six pixels wide


def test_random_ellipses_do_not_depend_on_the_order():
    from invcore_tomography import Grid, RandomEllipses

    images = RandomEllipses(grid=Grid(shape=(24, 24), spacing=1 / 12), length=20)
    later = images[7].clone()
    assert torch.equal(images[3], RandomEllipses(grid=images.grid, length=20)[3])
    assert torch.equal(later, images[7]) and not torch.equal(images[7], images[8])
    assert not torch.equal(images[7], RandomEllipses(grid=images.grid, length=20, seed=1)[7])
    with pytest.raises(IndexError):
        images[20]
    loaded = list(torch.utils.data.DataLoader(images, batch_size=5))
    assert len(loaded) == 4 and loaded[0].shape == (5, 1, 24, 24)
