"""Convolution against scipy, dense matrices and finite differences."""

import itertools
import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch

from invcore import DtypeError, ParameterError, ShapeError
from invcore.operators import Convolution, KernelConvolution, Space, least_squares, under_transform
from invcore.operators import _convolution_kernels as engine

NDIMAGE = {"circular": "wrap", "zero": "constant", "reflect": "mirror", "replicate": "nearest"}
BOUNDARIES = (*NDIMAGE, "valid")


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def close(got, expected, tolerance=1e-12):
    expected = torch.as_tensor(expected)
    assert got.shape == expected.shape
    assert float((got - expected).abs().max()) <= tolerance * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("method", ["direct", "fft"])
@pytest.mark.parametrize("boundary", list(NDIMAGE))
@pytest.mark.parametrize(
    "shape, taps",
    [
        ((9,), (4,)),
        ((9,), (5,)),
        ((8, 7), (3, 3)),
        ((8, 7), (4, 2)),
        ((7, 6), (6, 5)),
        ((5, 6, 4), (3, 2, 4)),
    ],
)
def test_scipy_ndimage_agrees_for_every_boundary_and_parity(boundary, method, shape, taps):
    x, k = random(*shape), random(*taps, seed=1)
    A = Convolution(k[None], domain=(1, *shape), boundary=boundary, method=method)
    expected = scipy.ndimage.convolve(x.numpy(), k.numpy(), mode=NDIMAGE[boundary])
    close(A(x[None])[0], expected)


@pytest.mark.parametrize("method", ["direct", "fft"])
@pytest.mark.parametrize("shape, taps", [((9,), (9,)), ((8, 7), (3, 4)), ((5, 6, 4), (2, 3, 4))])
def test_scipy_signal_agrees_on_the_valid_part(method, shape, taps):
    x, k = random(*shape, dtype=torch.complex128), random(*taps, seed=1, dtype=torch.complex128)
    domain = Space((1, *shape), "complex")
    A = Convolution(k[None], domain=domain, boundary="valid", method=method)
    close(A(x[None])[0], scipy.signal.convolve(x.numpy(), k.numpy(), mode="valid", method="direct"))


@pytest.mark.parametrize("method", ["direct", "fft"])
@pytest.mark.parametrize("boundary", list(NDIMAGE))
def test_kernels_larger_than_the_image(boundary, method):
    """By the definition: scipy is not asked, which limits some of its modes."""
    n, taps = 4, 11
    x, k = random(n), random(taps, seed=1)
    A = Convolution(k[None], domain=(1, n), boundary=boundary, method=method)

    def beyond(i):
        if boundary == "zero":
            return x[i] if 0 <= i < n else 0.0
        if boundary == "circular":
            return x[i % n]
        if boundary == "replicate":
            return x[min(max(i, 0), n - 1)]
        i %= 2 * (n - 1)
        return x[min(i, 2 * (n - 1) - i)]

    expected = [float(sum(k[j] * beyond(m + taps // 2 - j) for j in range(taps))) for m in range(n)]
    close(A(x[None])[0], torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("boundary, method", list(itertools.product(BOUNDARIES, ["direct", "fft"])))
@pytest.mark.parametrize("taps", [(2, 2), (3, 2), (5, 2), (1, 1), (3, 3), (4, 5)])
def test_adjoint_is_the_transpose_for_every_boundary_and_parity(boundary, method, taps):
    """Kernels of width 2 among them: a known failure of circular adjoints by padding."""
    A = Convolution(random(1, *taps), domain=(1, 5, 6), boundary=boundary, method=method)
    matrix = A.dense()
    close(A.H.dense(), matrix.mT)
    close(A.gram.dense(), matrix.mT @ matrix)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_both_methods_agree_on_kernels_per_sample_and_channel(boundary):
    kernel, x = random(4, 1, 3, 2, 3), random(2, 3, 6, 7, seed=1)
    A, B = (Convolution(kernel, domain=(3, 6, 7), boundary=boundary, method=m) for m in ("direct", "fft"))
    assert A(x).shape[:2] == (4, 2)
    close(A(x), B(x))
    y = random(*A(x).shape, seed=2)
    close(A.H(y), B.H(y))
    each = Convolution(kernel[2, 0, 1:2], domain=(1, 6, 7), boundary=boundary)
    close(A(x)[2, 1, 1:2], each(x[1, 1:2]))


@pytest.mark.parametrize("channels, batch", [(1, 1), (1, 5), (3, 2), (3, 1)])
@pytest.mark.parametrize("chunk", [1, 100, 2**20])
def test_images_filtered_in_pieces_are_those_filtered_together(monkeypatch, channels, batch, chunk):
    monkeypatch.setattr(engine, "_CHUNK", chunk)
    for kernels, boundary in itertools.product({1, channels}, BOUNDARIES):
        kernel, x = random(kernels, 4, 3), random(batch, channels, 7, 6, seed=1)
        A = Convolution(kernel, domain=(channels, 7, 6), boundary=boundary, method="fft")
        recorded = A(x.clone().requires_grad_()).detach()  # with derivatives: all at once
        close(A(x), recorded)
        close(A.H(recorded), A.H(recorded.clone().requires_grad_()).detach())


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("channels", [1, 2])
def test_large_volumes_are_filtered_as_small_ones(monkeypatch, boundary, channels):
    x = random(2, 2, 7, 9, 6)
    A = Convolution(random(channels, 4, 3, 5, seed=1), (2, 7, 9, 6), boundary=boundary, method="fft")
    y, back = A(x), A.H(A(x))
    monkeypatch.setattr(engine, "_CHUNK", 1)
    monkeypatch.setattr(engine, "_PIECE", 100)  # two planes, three rows
    taken = []
    plain = engine._filter_volume
    monkeypatch.setattr(engine, "_filter_volume", lambda *args, **k: taken.append(plain(*args, **k)))
    close(A(x), y)
    close(A.H(y), back)
    assert len(taken) == 8
    z = torch.complex(x, random(2, 2, 7, 9, 6, seed=2))
    C = Convolution(A.kernel, Space(A.domain.shape, "complex"), boundary=boundary, method="fft")
    close(C(z).real, y)


def test_where_torch_does_not_tell_of_its_transforms_the_general_path_is_taken(monkeypatch):
    A = Convolution(random(1, 5, 4), domain=(1, 6, 7))
    x = random(3, 1, 6, 7, seed=1)
    expected = A(x)
    close(torch.func.vmap(A._apply)(x), expected)
    assert not under_transform()
    monkeypatch.delattr(torch._C._functorch, "peek_interpreter_stack")
    assert under_transform()
    close(A(x), expected)


@pytest.mark.parametrize("boundary, method", list(itertools.product(BOUNDARIES, ["direct", "fft"])))
def test_the_kernel_operator_is_the_same_map_and_its_adjoint_is_exact(boundary, method):
    for channels in (1, 2):
        A = Convolution(random(channels, 3, 4), domain=(2, 6, 5), boundary=boundary, method=method)
        x = random(2, 6, 5, seed=1)
        B = A.kernel_operator(x)
        close(B(A.kernel), A(x))
        close(B.H.dense(), B.dense().mT)
        y = random(*A(x).shape, seed=2)
        kernel = A.kernel.clone().requires_grad_()
        (A.bind(kernel=kernel)(x) * y).sum().backward()
        close(B.H(y), kernel.grad)


def test_kernel_operator_of_a_batch_of_complex_images():
    A = Convolution(
        random(1, 3, 2, dtype=torch.complex128), domain=Space((2, 5, 4), "complex"), boundary="zero"
    )
    x = random(3, 2, 5, 4, dtype=torch.complex128, seed=1)
    B = A.kernel_operator(x)
    close(B(A.kernel), A(x))
    close(B.H.dense(), B.dense().mH)


def test_blind_deconvolution_finds_the_kernel_from_a_sharp_image():
    x, kernel = random(1, 12, 12), random(1, 3, 3, seed=1)
    A = Convolution(kernel, domain=(1, 12, 12), boundary="valid")
    close(A.kernel_operator(x).pinv(A(x)), kernel, 1e-9)


@pytest.mark.parametrize("kind, dtype", [("real", torch.float64), ("complex", torch.complex128)])
def test_ridge_is_the_dense_solution(kind, dtype):
    A = Convolution(random(2, 3, 2, dtype=dtype), domain=Space((2, 4, 5), kind))
    y, z = random(3, 2, 4, 5, dtype=dtype), random(3, 2, 4, 5, dtype=dtype, seed=1)
    weight = torch.tensor([0.1, 1.0, 7.0], dtype=torch.float64)
    got = A.ridge(y, z, weight=weight)
    matrix = A.dense()
    for i, w in enumerate(weight):
        system = matrix.mH @ matrix + w * torch.eye(40, dtype=torch.float64)
        right = matrix.mH @ y[i].reshape(-1) + w * z[i].reshape(-1)
        close(got[i].reshape(-1), torch.linalg.solve(system, right), 1e-11)
    close(A.ridge(y, weight=0.5), A.ridge(y, torch.zeros_like(y), weight=0.5))
    close(A.ridge(y[0], weight=0.5), least_squares(A, y[0], shift=0.5), 1e-5)


@pytest.mark.parametrize("kernel", [random(1, 3, 2), random(2, 1, 5), random(3, 2, 2, 2)])
def test_the_circular_norm_is_exact(kernel):
    A = Convolution(kernel, domain=(2, 5, 6))
    close(A.norm_bound(), torch.linalg.matrix_norm(A.dense(), 2))
    assert Convolution(kernel, domain=(2, 5, 6), boundary="zero").norm_bound() is None


def test_the_transfer_function_is_kept_only_for_kernels_without_gradient():
    x = random(1, 1, 6, 6)
    A = Convolution(random(1, 3, 3), domain=(1, 6, 6))
    with torch.inference_mode():
        A(x)
    kept = A._kept_transfer
    A.H(A(x.clone().requires_grad_())).sum().backward()
    assert A._kept_transfer is kept
    learned = A.bind(kernel=A.kernel.clone().requires_grad_())
    for _ in range(2):  # a kept graph could be used only once
        learned.gram(x).sum().backward()
    assert not {"_kept_transfer", "_kept_power"} & set(vars(learned))
    with torch.no_grad():
        learned.kernel.mul_(2)
        close(learned(x), 2 * A(x))


def test_a_point_becomes_the_kernel():
    kernel = random(1, 4, 3)
    x = torch.zeros(1, 9, 9, dtype=torch.float64)
    x[0, 4, 4] = 1
    A = Convolution(kernel, domain=(1, 9, 9), boundary="zero")
    close(A(x)[:, 2:6, 3:6], kernel)


def test_sizes_are_products_of_small_primes():
    for n in range(1, 200):
        size = engine.good_size(n)
        smooth = {
            2**a * 3**b * 5**c * 7**d for a in range(9) for b in range(6) for c in range(4) for d in range(4)
        }
        assert size == min(s for s in smooth if s >= n)


def test_one_pixel():
    for boundary in NDIMAGE:
        A = Convolution(torch.tensor([[1.0, 2.0, 4.0]]), domain=(1, 1), boundary=boundary)
        expected = 2.0 if boundary == "zero" else 7.0
        assert math.isclose(float(A(torch.ones(1, 1))), expected, rel_tol=1e-6)


def test_float32_is_accurate():
    x, k = random(1, 3, 64, 64), random(1, 9, 9, seed=1)
    for boundary in BOUNDARIES:
        A = Convolution(k, domain=(3, 64, 64), boundary=boundary)
        close(A.to(torch.float32)(x.float()).double(), A(x), 3e-6)


@pytest.mark.parametrize(
    "error, change",
    [
        (ShapeError, {"kernel": torch.ones(3, 3, 3)}),
        (ShapeError, {"kernel": torch.ones(3, 3)}),
        (ShapeError, {"kernel": torch.ones(1, 3)}),
        (ShapeError, {"kernel": torch.ones(1, 9, 3), "boundary": "valid"}),
        (ShapeError, {"domain": Space((8,))}),
        (DtypeError, {"kernel": torch.ones(1, 3, 3, dtype=torch.complex64)}),
        (DtypeError, {"kernel": torch.ones(1, 3, 3, dtype=torch.int64)}),
        (ParameterError, {"boundary": "constant"}),
        (ParameterError, {"method": "fast"}),
    ],
)
def test_wrong_arguments_are_refused(error, change):
    arguments = {"kernel": torch.ones(1, 3, 3), "domain": Space((2, 8, 8)), **change}
    with pytest.raises(error):
        Convolution(**arguments)


def test_wrong_uses_are_refused():
    A = Convolution(torch.ones(2, 1, 3, 3), domain=(1, 8, 8), boundary="zero")
    with pytest.raises(ParameterError, match="circular"):
        A.ridge(torch.ones(1, 8, 8), weight=1.0)
    with pytest.raises(ParameterError, match="Did you mean 'kernel'"):
        A.bind(kernels=A.kernel)
    for B in (A, Convolution(A.kernel, domain=A.domain, method="direct")):
        with pytest.raises(ShapeError, match="batch"):
            B(torch.ones(3, 1, 8, 8))
    with pytest.raises(ShapeError):
        A.kernel_operator(torch.ones(8, 8))
    with pytest.raises(DtypeError):
        KernelConvolution(image=torch.ones(1, 4, dtype=torch.complex64), domain=(1, 2), image_domain=(1, 4))
    assert np.isfinite(float(A.norm()[0]))
