"""The operators of core against numpy, scipy and matrices written out."""

import itertools

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import torch

from invcore import ParameterError, ShapeError, Space
from invcore.operators import (
    AsComplex,
    ChannelMatrix,
    CompressedSensing,
    CosineTransform,
    Crop,
    Demosaic,
    Differences,
    FourierTransform,
    HadamardTransform,
    Pad,
    RealFourierTransform,
    RealPart,
    SineTransform,
    StructuredRandom,
    _trigonometric,
    compressed_sensing,
    decolorize,
    structured_random,
)


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def same(got, expected, tolerance=1e-12):
    expected = np.asarray(expected)
    assert tuple(got.shape) == expected.shape
    np.testing.assert_allclose(
        got.detach().resolve_conj().numpy(), expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max())
    )


def differentiable(op, batch=()):
    """First and second derivatives through A and its adjoint."""
    for part in (op, op.H):
        kind = torch.complex128 if part.domain.kind == "complex" else torch.float64
        x = randn(*batch, *part.domain.shape, dtype=kind).requires_grad_()
        assert torch.autograd.gradcheck(part, (x,))
        assert torch.autograd.gradgradcheck(part, (x,))


# -- differences ------------------------------------------------------------------------------------------


def difference_matrix(n, boundary):
    D = np.eye(n, k=1) - np.eye(n)
    if boundary == "neumann":
        D[-1] = 0
    elif boundary == "periodic":
        D[-1, 0] += 1
    return D


@pytest.mark.parametrize("boundary", ["neumann", "periodic", "zero"])
@pytest.mark.parametrize("shape", [(1, 6), (2, 1), (1, 4, 5), (3, 2, 1), (1, 3, 2, 5)])
def test_differences_are_kronecker_products(shape, boundary):
    spacing = (0.5, 2.0, 3.0)[: len(shape) - 1]
    D = Differences(Space(shape), boundary=boundary, spacing=spacing)
    rows = []
    for axis, h in zip(range(1, len(shape)), spacing):
        matrix = np.eye(1)
        for d, n in enumerate(shape):
            matrix = np.kron(matrix, difference_matrix(n, boundary) / h if d == axis else np.eye(n))
        rows.append(matrix)
    dense = np.concatenate(rows)
    same(D.dense(dtype=torch.float64), dense)
    same(D.H.dense(dtype=torch.float64), dense.T)
    same(D.gram.dense(dtype=torch.float64), dense.T @ dense)
    truth = np.linalg.norm(dense, 2)
    assert truth <= D.norm_bound().double().item() <= truth * (1 + 3e-7) + 1e-30


@pytest.mark.parametrize("boundary", ["neumann", "periodic", "zero"])
def test_differences_differentiate_twice(boundary):
    differentiable(Differences(Space((1, 3, 2), "complex"), boundary=boundary), batch=(2,))
    D = Differences((1, 3, 2), boundary=boundary)
    differentiable(D.gram, batch=(2,))


def test_differences_refuse():
    with pytest.raises(ParameterError, match="'neumann', 'periodic' or 'zero'"):
        Differences((1, 4), boundary="reflect")
    with pytest.raises(ShapeError, match="say spatial_dims"):
        Differences((4,))
    with pytest.raises(ParameterError, match="2 positive numbers"):
        Differences((1, 4, 4), spacing=(1.0, 0.0))


# -- orthonormal transforms against scipy -----------------------------------------------------------------


SHAPES = [((1, 1), None), ((2, 5), None), ((1, 4, 7), None), ((2, 3, 2, 4), None), ((3, 8), 2), ((6,), 1)]


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize(("shape", "dims"), SHAPES)
def test_fft(shape, dims, centered):
    axes = tuple(range(-(dims or len(shape) - 1), 0))
    for kind, x in (
        ("complex", randn(2, *shape, dtype=torch.complex128)),
        ("real", randn(2, *shape)),
    ):
        F = FourierTransform(Space(shape, kind), spatial_dims=dims, centered=centered)
        if centered:
            expected = np.fft.fftshift(
                scipy.fft.fftn(np.fft.ifftshift(x.numpy(), axes), axes=axes, norm="ortho"), axes
            )
        else:
            expected = scipy.fft.fftn(x.numpy(), axes=axes, norm="ortho")
        same(F(x), expected)
        same(F.H(F(x)), x)
        same(F.gram(x), x)


def test_centered_fft_is_its_formula():
    n, c = 5, 2
    k = np.arange(n) - c
    matrix = np.exp(-2j * np.pi * np.outer(k, k) / n) / np.sqrt(n)
    F = FourierTransform(Space((n,), "complex"), spatial_dims=1, centered=True)
    same(F.dense(dtype=torch.complex128), matrix)


@pytest.mark.parametrize(("shape", "dims"), SHAPES)
def test_rfft(shape, dims):
    axes = tuple(range(-(dims or len(shape) - 1), 0))
    x = randn(2, *shape)
    F = RealFourierTransform(Space(shape), spatial_dims=dims)
    same(F(x), scipy.fft.rfftn(x.numpy(), axes=axes, norm="ortho"))
    matrix = F.dense(dtype=torch.float64)  # real coordinates
    same(F.H.dense(dtype=torch.float64), matrix.mT)
    same(F.gram(x), F.H(F(x)))
    assert abs(np.linalg.norm(matrix.numpy(), 2) - 1) < 1e-12
    isometric = RealFourierTransform(Space(shape), spatial_dims=dims, isometric=True)
    same(isometric.H(isometric(x)), x)
    matrix = isometric.dense(dtype=torch.float64)
    same(isometric.H.dense(dtype=torch.float64), matrix.mT)


@pytest.fixture(params=["ducc0", "fft", "matrix"])
def engine(request, monkeypatch):
    """The ways in which cosine and sine transforms are computed."""
    if request.param == "ducc0":
        pytest.importorskip("ducc0")
    monkeypatch.setattr(_trigonometric, "_ducc_here", lambda: request.param == "ducc0")
    monkeypatch.setattr(_trigonometric, "_SHORT", 0 if request.param == "fft" else 64)


@pytest.mark.parametrize("type", [1, 2])
@pytest.mark.parametrize(("shape", "dims"), [*SHAPES, ((1, 67), None), ((2, 3, 128, 5), 2)])
@pytest.mark.parametrize("name", ["cosine", "sine"])
def test_cosine_and_sine_transforms(engine, name, shape, dims, type):
    cls, reference = {
        "cosine": (CosineTransform, scipy.fft.dctn),
        "sine": (SineTransform, scipy.fft.dstn),
    }[name]
    axes = tuple(range(-(dims or len(shape) - 1), 0))
    if name == "cosine" and type == 1 and 1 in (shape[a] for a in axes):
        with pytest.raises(ShapeError, match="two samples"):
            cls(domain=Space(shape), spatial_dims=dims, type=type)
        return
    A = cls(domain=Space(shape), spatial_dims=dims, type=type)
    x = randn(2, *shape)
    same(A(x), reference(x.numpy(), type=type, axes=axes, norm="ortho"))
    same(A.H(A(x)), x)
    same(A(A.H(x)), x)
    B = cls(domain=Space(shape, "complex"), spatial_dims=dims, type=type)
    z = randn(2, *shape, dtype=torch.complex128)
    same(
        B(z),
        reference(z.numpy().real, type=type, axes=axes, norm="ortho")
        + 1j * reference(z.numpy().imag, type=type, axes=axes, norm="ortho"),
    )


@pytest.mark.parametrize("type", [1, 2])
@pytest.mark.parametrize("cls", [CosineTransform, SineTransform])
@pytest.mark.parametrize("shape, batch", [((7,), (5,)), ((6, 5), (9,)), ((3, 4, 5), (2, 3))])
def test_transforms_in_pieces_are_those_at_once(engine, monkeypatch, cls, type, shape, batch):
    A = cls(domain=Space((2, *shape)), type=type)
    x = randn(*batch, 2, *shape)
    expected = torch.stack([A(item) for item in x.flatten(0, -len(shape) - 2)]).view_as(x)
    for chunk in (1, 20, 2**17):
        monkeypatch.setattr(_trigonometric, "_CHUNK", chunk)
        same(A(x), expected)
        same(A.H(A(x.transpose(0, -1).contiguous().transpose(0, -1))), x)
        assert A(x[:0]).shape == x[:0].shape


@pytest.mark.parametrize("n", [512, 1024, 4096])
def test_transforms_of_lines_that_share_cache_sets(n):
    """ducc0's lines are set apart in memory where their length is a multiple of a page."""
    for cls, reference in ((CosineTransform, scipy.fft.dct), (SineTransform, scipy.fft.dst)):
        for dtype, rtol in ((torch.float32, 1e-6), (torch.float64, 1e-14)):
            x = randn(3, n).to(dtype)
            A = cls((n,), spatial_dims=1, type=2)
            expected = reference(x.double().numpy(), type=2, norm="ortho")
            assert np.linalg.norm(A(x).double().numpy() - expected) < rtol * np.linalg.norm(expected)
            assert (A.H(A(x)) - x).norm() < rtol * x.norm()
            assert A(x).is_contiguous()


def test_transforms_stay_precise_when_long(engine):
    """Twiddle factors are computed in float64: float32 errors stay at rounding."""
    n = 2**14 - 1
    x = randn(1, n)
    for A in (CosineTransform((1, n)), SineTransform((1, n))):
        error = (A(x.float()).double() - A(x)).norm() / x.norm()
        assert error < 5e-7


@pytest.mark.parametrize("n", [1, 2, 4, 8, 64, 128])
def test_hadamard_orders(n):
    natural = scipy.linalg.hadamard(n) / np.sqrt(n)
    changes = (np.diff(np.sign(natural), axis=1) != 0).sum(1)
    space = Space((1, n))
    dense = {
        order: HadamardTransform(space, order=order).dense(dtype=torch.float64)
        for order in ("natural", "dyadic", "sequency")
    }
    same(dense["natural"], natural)
    same(dense["sequency"], natural[np.argsort(changes)])
    levels = n.bit_length() - 1
    reversed_bits = [int(format(k, f"0{levels}b")[::-1], 2) if levels else 0 for k in range(n)]
    same(dense["dyadic"], natural[reversed_bits])
    for matrix in dense.values():
        same(matrix, matrix.mT)


def test_hadamard_in_two_dimensions():
    A = HadamardTransform(Space((1, 4, 64), "complex"))
    x = randn(2, 1, 4, 64, dtype=torch.complex128)
    expected = scipy.linalg.hadamard(4) @ x.numpy() @ scipy.linalg.hadamard(64) / 16
    same(A(x), expected)
    with pytest.raises(ShapeError, match="Pad to 8 first"):
        HadamardTransform((1, 5))
    with pytest.raises(ParameterError, match="'sequency'"):
        HadamardTransform((1, 4), order="cake")


# -- crop, pad --------------------------------------------------------------------------------------------

NUMPY_MODES = {
    "zero": "constant",
    "circular": "wrap",
    "reflect": "reflect",
    "symmetric": "symmetric",
    "replicate": "edge",
}


@pytest.mark.parametrize("mode", NUMPY_MODES)
@pytest.mark.parametrize(
    ("shape", "padding"),
    [
        ((1, 4), ((0, 0),)),
        ((1, 1), ((3, 2),)),
        ((2, 2), ((1, 5),)),
        ((1, 3, 4), ((2, 1), (0, 3))),
        ((1, 3, 4), ((7, 10), (9, 0))),
        ((2, 3, 5), ((1, 1), (1, 0), (0, 2))),
    ],
)
def test_pad_is_that_of_numpy(shape, padding, mode):
    A = Pad(Space(shape), padding=padding, mode=mode)
    x = randn(*shape)
    widths = [(0, 0)] * (len(shape) - len(padding)) + list(padding)
    same(A(x), np.pad(x.numpy(), widths, mode=NUMPY_MODES[mode]))
    matrix = A.dense(dtype=torch.float64)
    same(A.H.dense(dtype=torch.float64), matrix.mT)
    same(A.gram.dense(dtype=torch.float64), matrix.mT @ matrix)
    truth = np.linalg.norm(matrix.numpy(), 2)
    assert truth <= A.norm_bound().double().item() <= truth * (1 + 3e-7)


def test_crop_undoes_padding():
    space = Space((1, 4, 5), "complex")
    x = randn(2, 1, 4, 5, dtype=torch.complex128)
    for mode in NUMPY_MODES:
        P = Pad(space, padding=((2, 3), (1, 0)), mode=mode)
        same(Crop(P.range, size=(4, 5), offset=(2, 1))(P(x)), x)
    for n, m in itertools.product((4, 5), (2, 3)):  # the centered window keeps the pixel n // 2 at m // 2
        y = Crop((1, n), size=(m,))(torch.arange(float(n))[None])
        assert y[0, m // 2] == n // 2


def test_crop_and_zero_padding_are_adjoint():
    P = Pad((1, 3), padding=((2, 1),))
    C = Crop(P.range, size=(3,), offset=(2,))
    same(C.dense(), P.H.dense())
    with pytest.raises(ShapeError, match="does not fit"):
        Crop((1, 3), size=(2,), offset=(2,))
    with pytest.raises(ShapeError, match="before, after"):
        Pad((1, 3), padding=((-1, 2),))
    with pytest.raises(ParameterError, match="'circular'"):
        Pad((1, 3), padding=((1, 2),), mode="wrap")


# -- channels, casts --------------------------------------------------------------------------------------


def test_channel_matrix():
    M = randn(2, 4, 3)  # one matrix per sample
    x = randn(2, 3, 5, 7, seed=1)
    A = ChannelMatrix(M, domain=(3, 5, 7))
    same(A(x), np.einsum("bij,bjyx->biyx", M.numpy(), x.numpy()))
    same(A.gram(x), np.einsum("bki,bkj,bjyx->biyx", M.numpy(), M.numpy(), x.numpy()))
    same(A.norm(), np.linalg.norm(M.numpy(), 2, axis=(-2, -1)))
    same(A(x[0]), np.einsum("bij,jyx->biyx", M.numpy(), x[0].numpy()))
    with pytest.raises(ShapeError, match="the channels of"):
        ChannelMatrix(M, domain=(4, 5))
    with pytest.raises(ShapeError, match="complex domain"):
        ChannelMatrix(M + 0j, domain=(3, 5))


def test_decolorize():
    x = randn(2, 3, 4, 5, dtype=torch.float32)
    r, g, b = x.numpy().transpose(1, 0, 2, 3)
    same(decolorize(domain=Space((3, 4, 5)))(x)[:, 0], 0.299 * r + 0.587 * g + 0.114 * b, 1e-6)
    same(decolorize(domain=Space((3, 4, 5)), weights="flat")(x)[:, 0], (r + g + b) / 3, 1e-6)
    same(decolorize(domain=Space((3, 4, 5)), weights=(1.0, 0.0, -2.0))(x)[:, 0], r - 2 * b, 1e-6)
    with pytest.raises(ParameterError, match="3 weights for the 4 channels"):
        decolorize(domain=Space((4, 5)))
    with pytest.raises(ParameterError, match="'rec601'"):
        decolorize(domain=Space((3, 5)), weights="rec2020")


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "grbg", "gbrg"])
def test_demosaic(pattern):
    x = randn(2, 3, 5, 4)
    y = Demosaic((3, 5, 4), pattern=pattern)(x)
    for i, j in itertools.product(range(5), range(4)):
        color = "rgb".index(pattern[2 * (i % 2) + j % 2])
        same(y[:, 0, i, j], x[:, color, i, j])
    A = Demosaic((3, 5, 4), pattern=pattern)
    same(A(A.H(y)), y)
    same(A.pinv(y), A.H(y))


@pytest.mark.parametrize("cell", [2, 3])
def test_demosaic_of_cells(cell):
    x = randn(3, 11, 13)
    y = Demosaic((3, 11, 13), pattern="gbrg", cell=cell)(x)
    for i, j in itertools.product(range(11), range(13)):
        color = "rgb".index("gbrg"[2 * (i // cell % 2) + j // cell % 2])
        same(y[0, i, j], x[color, i, j])
    with pytest.raises(ParameterError, match="cell must be"):
        Demosaic((3, 4, 4), cell=0)


def test_casts_and_their_adjoints():
    z = randn(2, 3, dtype=torch.complex128)
    R = RealPart(Space((3,), "complex"))
    C = AsComplex((3,))
    same(R(z), z.real)
    same(C(z.real), z.real + 0j)
    same(R.dense(), np.kron(np.eye(3), [[1, 0]]))
    same(C.dense(), R.dense().mT)
    same(R.gram(z), z.real + 0j)
    with pytest.raises(ShapeError, match="complex images"):
        RealPart((3,))
    with pytest.raises(ShapeError, match="real images"):
        AsComplex(Space((3,), "complex"))


def test_operators_that_are_linear_over_the_reals_only():
    """Through a real part an operator of complex images does not commute with i: matrix and adjoint know."""
    R, C = RealPart(Space((2,), "complex")), AsComplex((2,))
    through = C @ R
    same(through.dense(), np.diag([1.0, 0, 1, 0]))
    same(R.gram.dense(), np.diag([1.0, 0, 1, 0]))
    turned = 1j * through
    same(turned.dense(), np.kron(np.eye(2), [[0, 0], [1, 0]]))
    same(turned.H.dense(), turned.dense().mT)
    same(turned.gram.dense(), np.diag([1.0, 0, 1, 0]))


# -- random measurements ----------------------------------------------------------------------------------


def test_compressed_sensing():
    x = randn(2, 2, 3, 4, dtype=torch.float32)
    A = compressed_sensing(domain=Space((2, 3, 4)), measurements=7, seed=3)
    same(A(x), x.reshape(2, -1).numpy() @ A.matrix.numpy().T, 1e-6)
    B = compressed_sensing(domain=Space((2, 3, 4)), measurements=7, seed=3, channelwise=True)
    same(B(x), x.reshape(2, 2, -1).numpy() @ B.matrix.numpy().T, 1e-6)
    again = compressed_sensing(domain=Space((2, 3, 4)), measurements=7, seed=3)
    assert torch.equal(A.matrix, again.matrix)
    other = compressed_sensing(domain=Space((2, 3, 4)), measurements=7, seed=4)
    assert not torch.equal(A.matrix, other.matrix)


@pytest.mark.parametrize("kind", ["real", "complex"])
def test_compressed_sensing_has_the_stated_variance(kind):
    m, n = 200, 300
    matrix = compressed_sensing(domain=Space((1, n), kind), measurements=m).matrix
    parts = torch.view_as_real(matrix) if kind == "complex" else matrix
    count = parts.numel()
    variance = 1 / m / (2 if kind == "complex" else 1)
    assert abs(parts.mean()) < 5 * (variance / count) ** 0.5
    assert abs(parts.var() / variance - 1) < 5 * (2 / count) ** 0.5


def test_compressed_sensing_refuses():
    with pytest.raises(ParameterError, match="must be positive"):
        compressed_sensing(domain=Space((1, 3)), measurements=0)
    with pytest.raises(ShapeError, match=r"\(..., m, 3\)"):
        CompressedSensing(torch.ones(2, 4), domain=(1, 3))
    large = CompressedSensing(torch.ones(1, 2**20 + 1), domain=(1, 2**20 + 1))
    assert large.norm_bound() is None and 1024 < large.norm() < 1024 * 1.06


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("transform", ["dct", "dst", "fft", "hadamard"])
def test_structured_random_is_its_product(transform, half):
    space = Space((1, 4, 2), "complex")
    A = structured_random(
        domain=space, transform=transform, diagonals="phases", layers=2, half=half, measurements=5, seed=2
    ).to(torch.float64)
    F = A.transform.dense(dtype=torch.complex128).numpy()
    D1, D2 = (np.diag(d.flatten().numpy()) for d in A.signs)
    expected = F @ D2 @ F @ D1 @ (F if half else np.eye(8))
    same(A.dense(dtype=torch.complex128), expected[A.rows.numpy()])
    same(A.signs.abs(), np.ones((2, 1, 4, 2)), 1e-6)
    y = randn(3, 5, dtype=torch.complex128)
    same(A(A.H(y)), y, 1e-6)  # the phases were drawn in float32


def test_structured_random_of_signs():
    A = structured_random(domain=Space((2, 5, 3)), seed=1)
    assert set(A.signs.unique().tolist()) == {-1.0, 1.0}
    again = structured_random(domain=Space((2, 5, 3)), seed=1)
    assert torch.equal(A.signs, again.signs)
    x = randn(2, 5, 3)
    A = A.to(torch.float64)
    same(A.H(A(x)), x)
    assert A.norm() == 1
    signs = 1 - 2.0 * torch.randint(2, (4, 2, 2, 5, 3), generator=torch.Generator().manual_seed(5))
    batch = A.bind(signs=signs)  # its own signs for each of four samples
    for k in range(4):
        same(batch(x)[k], A.bind(signs=signs[k])(x))
    same(batch.bind(signs=signs * 3).norm(), [9.0] * 4)


def test_structured_random_of_a_padded_image_measures_more_than_its_pixels():
    A = structured_random(domain=Space((1, 8, 8))) @ Pad((1, 5, 6), padding=((0, 3), (0, 2)))
    assert A.range.shape == (1, 8, 8)  # 64 numbers, of 30 pixels
    x = randn(1, 5, 6, dtype=torch.float32)
    torch.testing.assert_close(A(x).norm(), x.norm())
    torch.testing.assert_close(A.H(A(x)), x)


def test_structured_random_refuses():
    with pytest.raises(ParameterError, match="pad the image first"):
        structured_random(domain=Space((1, 4)), measurements=5)
    with pytest.raises(ParameterError, match="need complex images"):
        structured_random(domain=Space((1, 4)), transform="fft")
    with pytest.raises(ParameterError, match="one of"):
        structured_random(domain=Space((1, 4)), transform="dwt")
    A = structured_random(domain=Space((1, 4)))
    with pytest.raises(ShapeError, match="layers"):
        A.bind(signs=torch.ones(2, 1, 5))
    for rows, message in ((torch.tensor([4]), "from 0 to 3"), (torch.tensor([1.0]), "int64")):
        with pytest.raises(ShapeError, match=message):
            StructuredRandom(signs=A.signs, transform=A.transform, domain=A.domain, rows=rows)


SMALL = [
    FourierTransform(Space((1, 3), "complex"), centered=True),
    RealFourierTransform((1, 3, 4)),
    CosineTransform(Space((1, 3), "complex")),
    SineTransform((1, 3)),
    HadamardTransform((1, 4)),
    Crop((1, 4), size=(3,)),
    Pad((1, 3), padding=((2, 3),), mode="reflect"),
    RealPart(Space((2,), "complex")),
    AsComplex((2,)),
    Demosaic((3, 2, 3)),
    structured_random(domain=Space((1, 4)), measurements=3).to(torch.float64),
]


@pytest.mark.parametrize("op", SMALL, ids=lambda op: type(op).__name__)
def test_derivatives_twice(op):
    differentiable(op, batch=(2,))


@pytest.mark.parametrize(("cls", "n"), [(ChannelMatrix, 2), (CompressedSensing, 6)])
def test_derivatives_to_matrices_twice(cls, n):
    x = randn(2, 2, 3).requires_grad_()
    m = randn(2, 4, n, seed=1).requires_grad_()
    op = cls(matrix=m, domain=Space((2, 3)))
    assert torch.autograd.gradcheck(lambda x, m: op.bind(matrix=m)(x), (x, m))
    assert torch.autograd.gradgradcheck(lambda x, m: op.bind(matrix=m).gram(x), (x, m))
