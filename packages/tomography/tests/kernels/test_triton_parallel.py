"""The Triton kernel against its torch twin: on a GPU where there is one, else in Triton's interpreter."""

import os

import pytest
import torch

CUDA = torch.cuda.is_available()
if not CUDA:
    os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are defined
pytest.importorskip("triton")

from invcore_tomography import XRay, parallel  # noqa: E402
from invcore_tomography._kernels import torch_planar, triton_parallel  # noqa: E402

DEVICE = "cuda" if CUDA else "cpu"
SIZES = [  # rows, cols, views, columns, largest slope, largest dt
    (7, 9, 5, 11, 1.0, 1.5),
    (8, 6, 4, 3, 1.0, 1.5),  # the detector is narrower than the image
    (6, 6, 1, 20, 1.0, 1.5),  # wider; one view
    (1, 12, 3, 1, 1.0, 1.5),
    (12, 1, 3, 9, 1.0, 1.5),
    (9, 7, 5, 30, 30.0, 0.2),  # steep, and closer than half a pixel
    (9, 7, 4, 5, 1.0, 6.0),
]


def views(rows, cols, count, columns, steepest, widest):
    g = torch.Generator().manual_seed(0)

    def uniform(low, high):
        return low + (high - low) * torch.rand(count, generator=g, dtype=torch.float64)

    axis = torch.randint(0, 2, (count,), generator=g).to(torch.uint8)
    slope, dt = uniform(-steepest, steepest), uniform(-widest, widest)
    slope[:3] = torch.tensor([0.0, 1.0, -1.0])[:count]
    middle = torch.where(axis == 1, rows - 1, cols - 1) / 2
    t0 = middle - dt * (columns - 1) / 2 + uniform(-2, 2)
    return [t.to(DEVICE) for t in (axis, slope, t0, dt, uniform(0.5, 2))]


def noise(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """So that there are several in a row, and several groups of views."""
    monkeypatch.setattr(triton_parallel, "BLOCK", 16)
    monkeypatch.setattr(triton_parallel, "CHUNK", 200)


@pytest.mark.parametrize("size", SIZES)
def test_equals_the_torch_twin(size):
    rows, cols, count, columns = size[:4]
    arguments = views(*size)
    x, y = noise((2, rows, cols), 0), noise((2, count, columns), 1)
    forward = triton_parallel.parallel_forward(x, *arguments, columns)
    adjoint = triton_parallel.parallel_adjoint(y, *arguments, (rows, cols))
    assert forward.dtype == adjoint.dtype == torch.float32
    for got, want in (
        (forward, torch_planar.parallel_forward(x.double(), *arguments, columns)),
        (adjoint, torch_planar.parallel_adjoint(y.double(), *arguments, (rows, cols))),
    ):
        assert (got - want).norm() <= 1e-6 * want.norm()
    gap = (forward.double() * y).sum() - (x.double() * adjoint).sum()
    assert abs(gap) <= 1e-6 * forward.double().norm() * y.double().norm()


def test_empty():
    arguments = views(4, 5, 3, 6, 1.0, 1.0)
    assert triton_parallel.parallel_forward(noise((0, 4, 5), 0), *arguments, 6).shape == (0, 3, 6)
    assert triton_parallel.parallel_adjoint(noise((0, 3, 6), 0), *arguments, (4, 5)).shape == (0, 4, 5)


def test_used_on_cuda_if_it_computes_what_torch_does(monkeypatch):
    assert not triton_parallel.usable(torch.device("cpu"))
    assert triton_parallel._agrees(torch.device(DEVICE))
    right = triton_parallel.parallel_adjoint
    monkeypatch.setattr(triton_parallel, "parallel_adjoint", lambda *a: 1.01 * right(*a))
    with pytest.warns(RuntimeWarning, match="not compute the sums"):
        assert not triton_parallel._agrees(torch.device(DEVICE))
    monkeypatch.setattr(triton_parallel, "parallel_adjoint", None)
    with pytest.warns(RuntimeWarning, match="not callable"):
        assert not triton_parallel._agrees(torch.device(DEVICE))


@pytest.mark.parametrize("rows", [None, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_stands_in_for_torch_in_a_projector(monkeypatch, rows, dtype):
    monkeypatch.setattr(triton_parallel, "usable", lambda device: True)
    A = XRay(parallel(3, columns=7, rows=rows, offset=0.3).to(DEVICE))
    x, y = noise((2, *A.domain.shape[1:]), 0).to(dtype), noise((2, *A.range.shape[1:]), 1).to(dtype)
    projector = A._projectors[0]
    for data, adjoint in ((x, False), (y, True)):
        got = projector.in_torch(data, adjoint, projector._device_planes)
        want = projector.in_torch(data.double(), adjoint)
        assert got.dtype == dtype
        assert (got - want).norm() <= (1e-6 if dtype == torch.float32 else 1e-2) * want.norm()


@pytest.mark.gpu
@pytest.mark.skipif(not CUDA, reason="needs a CUDA device")
def test_chosen_on_cuda_and_equal_to_the_kernel_of_the_cpu():
    assert triton_parallel.usable(torch.device("cuda", torch.cuda.current_device()))
    A = XRay(parallel(30, columns=64))
    x, y = noise((2, *A.domain.shape), 0).cpu(), noise((2, *A.range.shape), 1).cpu()
    B = A.to("cuda")
    assert (B(x.cuda()).cpu() - A(x)).norm() <= 1e-5 * A(x).norm()
    assert (B.H(y.cuda()).cpu() - A.H(y)).norm() <= 1e-5 * A.H(y).norm()
