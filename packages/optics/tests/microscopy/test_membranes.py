"""Fourier transforms of meshes against closed forms, and forces of foams against Lami's law."""

import math

import pytest
import torch

import invcore
from invcore_optics import MeshFluorescence, infer_tensions


def model(triangles, vertices, kind="solid", size=8, voxel=1.0):
    transfer = torch.ones(size, size, size, dtype=torch.float64)
    return MeshFluorescence(
        triangles=triangles, transfer=transfer, vertices=vertices, voxel=(voxel,) * 3, kind=kind
    )


def box():
    """Corners of the cube [0, 1]³ and triangles with normals outwards."""
    corners = torch.cartesian_prod(*(torch.tensor([0.0, 1.0], dtype=torch.float64),) * 3)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return corners, torch.tensor([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])


def sphere(levels):
    """An octahedron, halved ``levels`` times and put on the unit sphere."""
    points = [p for axis in torch.eye(3, dtype=torch.float64) for p in (axis, -axis)]
    faces = [(0, 2, 4), (2, 1, 4), (1, 3, 4), (3, 0, 4), (2, 0, 5), (1, 2, 5), (3, 1, 5), (0, 3, 5)]
    for _ in range(levels):
        made, finer = {}, []
        for face in faces:
            middles = []
            for i, j in zip(face, face[1:] + face[:1]):
                key = (min(i, j), max(i, j))
                if key not in made:
                    made[key] = len(points)
                    points.append(torch.nn.functional.normalize(points[i] + points[j], dim=0))
                middles.append(made[key])
            (a, b, c), (p, q, r) = face, middles
            finer += [(a, p, r), (p, b, q), (r, q, c), (p, q, r)]
        faces = finer
    return torch.stack(points), torch.tensor(faces)


def waves(count=20, scale=4.0):
    return scale * torch.randn(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_a_cube_is_a_product_of_sincs():
    corners, triangles = box()
    k = waves()
    exact = (torch.sinc(k / (2 * math.pi)) * torch.polar(torch.ones_like(k), -k / 2)).prod(-1)
    assert float((model(triangles, 8).spectrum(corners, k) - exact).abs().max()) < 1e-13


def test_waves_along_the_faces_need_the_series():
    corners, triangles = box()
    k = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1e-4, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    exact = (torch.sinc(k / (2 * math.pi)) * torch.polar(torch.ones_like(k), -k / 2)).prod(-1)
    assert float((model(triangles, 8).spectrum(corners, k) - exact).abs().max()) < 1e-9


def test_a_ball_of_triangles_converges_with_the_second_power():
    """4π (sin k - k cos k)/k³, and 4π sin k / k for its surface."""
    k = waves(scale=1.5)
    size = k.norm(dim=-1)
    solid = 4 * math.pi * (size.sin() - size * size.cos()) / size**3
    surface = 4 * math.pi * size.sin() / size
    for kind, exact in (("solid", solid), ("membrane", surface)):
        errors = []
        for levels in (2, 3):
            points, faces = sphere(levels)
            found = model(faces, len(points), kind).spectrum(points, k)
            assert float(found.imag.abs().max()) < 1e-12
            errors.append(float((found.real - exact).abs().max() / (4 * math.pi)))
        assert errors[1] < 0.03
        assert 3 < errors[0] / errors[1] < 5


def test_the_image_holds_the_volume_where_it_is():
    corners, triangles = box()
    image = model(triangles, 8, size=8, voxel=0.5)(corners + 1.25)[0]  # from 1.25 to 2.25: voxels 2.5 to 4.5
    assert float(image.sum()) == pytest.approx(1.0, rel=1e-12)
    axis = 0.5 * torch.arange(8, dtype=torch.float64)
    spread = image.sum((1, 2)) * torch.exp(2j * math.pi * axis / 4.0)
    assert float(torch.angle(spread.sum())) == pytest.approx(2 * math.pi * 1.75 / 4.0, abs=1e-9)


def test_three_equal_tensions_meet_at_120_degrees_and_others_by_lami():
    for gammas in ((1.0, 1.0, 1.0), (1.0, 1.0, 1.5)):
        a, b, c = gammas
        angles = [
            math.acos((p * p - q * q - r * r) / (2 * q * r)) for p, q, r in ((a, b, c), (b, c, a), (c, a, b))
        ]
        assert sum(angles) == pytest.approx(2 * math.pi)
        if c == 1.5:
            assert math.degrees(angles[2]) == pytest.approx(82.82, abs=0.01)
        turns = torch.tensor([0.0, angles[2], angles[2] + angles[0]], dtype=torch.float64)
        t = torch.stack((turns.sin(), turns.cos()), -1)[None]
        found = infer_tensions(torch.tensor([[0, 1, 2]]), t)
        assert torch.allclose(found.tensions, torch.tensor(gammas, dtype=torch.float64) / (sum(gammas) / 3))
        assert float(found.imbalance.max()) < 1e-12


def test_pressures_of_a_double_bubble():
    """Two bubbles of radii 1 and 2 and one tension: p₁ - p₂ = γ/R of the wall, and R = 2."""
    t = torch.tensor([0.0, 2.0, 4.0], dtype=torch.float64) * math.pi / 3
    ways = torch.stack((t.sin(), t.cos()), -1)
    found = infer_tensions(
        torch.tensor([[0, 1, 2], [0, 1, 2]]),
        torch.stack((ways, -ways)),
        sides=torch.tensor([[1, 0], [2, 0], [1, 2]]),
        curvatures=torch.tensor([1.0, 0.5, 0.5], dtype=torch.float64),
    )
    assert torch.allclose(found.pressures, torch.tensor([0.0, 1.0, 0.5], dtype=torch.float64))


def test_wrong_input_is_refused():
    with pytest.raises(invcore.ParameterError, match="vertices"):
        model(torch.tensor([[0, 1, 3]]), 3)
    with pytest.raises(invcore.DtypeError, match="int64"):
        model(torch.ones(1, 3), 3)
    with pytest.raises(invcore.DataError, match="unit vectors"):
        infer_tensions(torch.tensor([[0, 1, 2]]), 2 * torch.ones(1, 3, 2))
