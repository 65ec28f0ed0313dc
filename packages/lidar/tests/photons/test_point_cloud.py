"""Point clouds: geometry, files, and files that are damaged or hostile."""

import math

import numpy as np
import pytest
import torch

from invcore import DataError, DtypeError, ParameterError, ShapeError
from invcore_lidar import PointCloud, point_cloud, read_ply, still_life, write_ply


@pytest.fixture
def cloud():
    depth, light = still_life((12, 15), surfaces=2)
    return point_cloud(depth, light, pitch=0.01, uncertainty=0.1 * depth, threshold=0.1)


def test_points_lie_on_their_lines_of_sight():
    depth = torch.full((1, 3, 5), 7.0, dtype=torch.float64)
    points = point_cloud(depth, torch.ones_like(depth), pitch=0.02).points.reshape(3, 5, 3)
    assert torch.allclose(points.norm(dim=-1), depth[0])
    assert torch.allclose(points[1, 2], torch.tensor([0.0, 0, 7], dtype=torch.float64))
    angle = torch.atan2(points[1, :, 0], points[1, :, 2])
    assert torch.allclose(angle, 0.02 * torch.arange(-2, 3, dtype=torch.float64))
    assert points[0, 2, 1] < 0 < points[2, 2, 1]  # y grows downwards
    flat = point_cloud(depth, torch.ones_like(depth), pitch=0.5, projection="parallel").points.reshape(
        3, 5, 3
    )
    assert torch.equal(flat[..., 2], depth[0])
    assert torch.equal(flat[0, :, 0], torch.tensor([-1, -0.5, 0, 0.5, 1], dtype=torch.float64))


def test_dim_and_unknown_pixels_give_no_point():
    depth = torch.tensor([[[1.0, math.nan, 3.0]]])
    assert len(point_cloud(depth, torch.tensor([[[1.0, 1.0, 0.2]]]), pitch=0.1, threshold=0.2)) == 1


def test_what_is_written_is_read_back(cloud, tmp_path):
    path = write_ply(tmp_path / "cloud.ply", cloud, comment="from a test\nin meters")
    found = read_ply(path)
    assert torch.equal(found.points, cloud.points)
    assert torch.equal(found.intensity, cloud.intensity)
    assert torch.equal(found.uncertainty, cloud.uncertainty)
    assert torch.equal(found.surface, cloud.surface)
    assert [p.name for p in tmp_path.iterdir()] == ["cloud.ply"]
    assert b"comment in meters\n" in path.read_bytes()
    empty = write_ply(tmp_path / "empty.ply", PointCloud(torch.zeros(0, 3)))
    assert len(read_ply(empty)) == 0


def test_other_programs_files(tmp_path):
    head = "ply\nformat {} 1.0\ncomment made elsewhere\nelement vertex 2\n"
    head += "property double x\nproperty double y\nproperty double z\nproperty uchar red\n"
    head += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    rows = [(1.5, 2.0, -3.0, 9), (4.0, 5.0, 6.0, 200)]
    for name, code in (("binary_little_endian", "<"), ("binary_big_endian", ">")):
        table = np.array(
            rows, dtype=[("x", code + "f8"), ("y", code + "f8"), ("z", code + "f8"), ("red", "u1")]
        )
        (tmp_path / "a.ply").write_bytes(
            head.format(name).encode() + table.tobytes() + b"\x03\0\0\0\0\1\0\0\0\1\0\0\0"
        )
        assert read_ply(tmp_path / "a.ply").points.tolist() == [[1.5, 2, -3], [4, 5, 6]]
    text = head.format("ascii") + "1.5 2 -3 9\n4 5 6 200\n3 0 1 1\n"
    (tmp_path / "a.ply").write_text(text)
    assert read_ply(tmp_path / "a.ply").points.dtype == torch.float64
    assert read_ply(tmp_path / "a.ply").points.tolist() == [[1.5, 2, -3], [4, 5, 6]]


def test_truncated_and_hostile_files(cloud, tmp_path):
    path = write_ply(tmp_path / "cloud.ply", cloud)
    whole = path.read_bytes()
    for keep in (0, 3, 40, whole.index(b"end_header"), len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        with pytest.raises(DataError, match=r"cloud\.ply"):
            read_ply(path)
    start = "ply\nformat {} 1.0\n"
    xyz = "property float x\nproperty float y\nproperty float z\n"
    hostile = {
        "huge": start.format("binary_little_endian") + f"element vertex 99999999999999\n{xyz}end_header\n",
        "huge text": start.format("ascii") + f"element vertex 999999999999\n{xyz}end_header\n1 2 3\n",
        "very huge": start.format("ascii") + f"element vertex {'9' * 4000}\n{xyz}end_header\n",
        "negative": start.format("ascii") + f"element vertex -1\n{xyz}end_header\n",
        "no z": start.format("ascii") + "element vertex 0\nproperty float x\nproperty float y\nend_header\n",
        "twice": start.format("ascii") + f"element vertex 0\n{xyz}property float x\nend_header\n",
        "list": start.format("ascii") + "element vertex 1\nproperty list uchar int x\nend_header\n",
        "format": start.format("binary_middle_endian") + f"element vertex 0\n{xyz}end_header\n",
        "no format": f"ply\nelement vertex 0\n{xyz}end_header\n",
        "no points": start.format("ascii") + "element face 0\nend_header\n",
        "endless": "ply\n" + "comment x\n" * 20000,
        "long line": "ply\ncomment " + "x" * 10**6,
        "nan": start.format("ascii") + f"element vertex 1\n{xyz}end_header\nnan 0 0\n",
        "words": start.format("ascii") + f"element vertex 1\n{xyz}end_header\none two three\n",
        "few": start.format("ascii") + f"element vertex 1\n{xyz}end_header\n1 2\n\n\n\n\n",
    }
    for text in hostile.values():
        path.write_text(text)
        with pytest.raises(DataError, match=r"cloud\.ply"):
            read_ply(path)


def test_wrong_input_is_refused(tmp_path):
    with pytest.raises(ShapeError, match="point, 3"):
        PointCloud(torch.zeros(3, 2))
    with pytest.raises(DtypeError):
        PointCloud(torch.zeros(3, 3, dtype=torch.int64))
    with pytest.raises(ShapeError, match="intensity"):
        PointCloud(torch.zeros(3, 3), intensity=torch.zeros(2))
    ones = torch.ones(1, 2, 2)
    with pytest.raises(ShapeError):
        point_cloud(ones, torch.ones(2, 2), pitch=0.1)
    with pytest.raises(ParameterError, match="pitch"):
        point_cloud(ones, ones, pitch=0.0)
    with pytest.raises(ParameterError, match="projection"):
        point_cloud(ones, ones, pitch=0.1, projection="fisheye")
    with pytest.raises(DataError, match="does not exist"):
        write_ply(tmp_path / "none" / "a.ply", PointCloud(torch.zeros(1, 3)))
