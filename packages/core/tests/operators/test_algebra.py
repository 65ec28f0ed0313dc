"""The operator layer against numpy matrices: algebra, bind, to, pickling, linearize, learnable parameters."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from invcore import DtypeError, LinearOperator, Operator, OperatorModule, ParameterError, ShapeError, Space
from invcore.operators import Identity, Mask, Matrix, block_diag, stack

g = np.random.default_rng(0)


def random(*shape):
    """Complex normal numbers."""
    return g.standard_normal(shape) + 1j * g.standard_normal(shape)


def tensor(a):
    return torch.from_numpy(np.ascontiguousarray(a))


def close(got, expected, tolerance=1e-12):
    np.testing.assert_allclose(
        got.detach().resolve_conj().numpy(), expected, atol=tolerance * np.abs(expected).max()
    )


A, B, C = random(3, 4), random(4, 5), random(3, 4)
X4, X5, Y3 = random(2, 4), random(2, 5), random(2, 3)


# -- algebra ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "matrix"),
    [
        (Matrix(tensor(A)), A),
        (Matrix(tensor(A)).H, A.conj().T),
        (Matrix(tensor(A)).gram, A.conj().T @ A),
        (Matrix(tensor(A)) @ Matrix(tensor(B)), A @ B),
        ((Matrix(tensor(A)) @ Matrix(tensor(B))).H, (A @ B).conj().T),
        ((Matrix(tensor(A)) @ Matrix(tensor(B))).gram, (A @ B).conj().T @ A @ B),
        (Matrix(tensor(A)) + Matrix(tensor(C)), A + C),
        ((Matrix(tensor(A)) + Matrix(tensor(C))).gram, (A + C).conj().T @ (A + C)),
        (Matrix(tensor(A)) - Matrix(tensor(C)), A - C),
        (-Matrix(tensor(A)), -A),
        (2 * Matrix(tensor(A)), 2 * A),
        (Matrix(tensor(A)) * 2, 2 * A),
        ((1 - 2j) * Matrix(tensor(A)), (1 - 2j) * A),
        (((1 - 2j) * Matrix(tensor(A))).H, (1 + 2j) * A.conj().T),
        (((1 - 2j) * Matrix(tensor(A))).gram, 5 * A.conj().T @ A),
        (np.float64(3.0) * Matrix(tensor(A)), 3 * A),
        (3j * (Matrix(tensor(A)).H @ Matrix(tensor(C))), 3j * A.conj().T @ C),
    ],
    ids=lambda value: (
        repr(value).replace("Matrix(matrix=complex128", "M").replace("])", "]")
        if isinstance(value, LinearOperator)
        else ""
    ),
)
def test_algebra_is_that_of_matrices(op, matrix):
    close(op.dense(), matrix)
    x, y = random(2, matrix.shape[1]), random(2, matrix.shape[0])
    close(op(tensor(x)), x @ matrix.T)
    close(op.H(tensor(y)), y @ matrix.conj())
    adjoint = op.H
    assert adjoint.H is op and adjoint.H.H is adjoint
    twin = pickle.loads(pickle.dumps(op))
    assert repr(twin) == repr(op)
    close(twin(tensor(x)), x @ matrix.T)
    close(copy.deepcopy(op)(tensor(x)), x @ matrix.T)


def test_nodes_print_as_they_were_written():
    D = Matrix(torch.zeros(2, 2))
    assert repr(D @ D.H) == "Matrix(matrix=float32[2, 2]) @ Matrix(matrix=float32[2, 2]).H"
    assert repr(D.gram) == "Matrix(matrix=float32[2, 2]).gram"
    assert repr((D @ D).H) == "(Matrix(matrix=float32[2, 2]) @ Matrix(matrix=float32[2, 2])).H"


def test_compositions_and_sums_are_flat():
    D = Identity((2,))
    assert len(((D @ D) @ (D @ D)).operators) == 4
    assert len(((D + D) + D).operators) == 3


def test_a_scale_for_each_sample():
    scale = g.standard_normal(2)
    op = tensor(scale) * Matrix(tensor(A))
    close(op(tensor(X4)), scale[:, None] * (X4 @ A.T))
    close(op.H(tensor(Y3)), scale[:, None] * (Y3 @ A.conj()))


def test_spaces_that_do_not_fit():
    D, E = Matrix(tensor(A)), Matrix(tensor(B))
    with pytest.raises(ShapeError, match="Cannot compose: Matrix takes"):
        E @ D
    with pytest.raises(ShapeError, match="both spaces must be the same"):
        D + E
    with pytest.raises(ShapeError, match="one domain"):
        stack([D, E])
    with pytest.raises(TypeError, match="compose with @"):
        D * E
    with pytest.raises(ParameterError, match="cannot be scaled by the complex number"):
        1j * Matrix(torch.eye(2))


def test_an_operator_times_an_image_is_refused():
    A = Mask(torch.ones(2, 3), domain=(1, 2, 3))
    x = torch.ones(1, 2, 3)
    for product in (lambda: A * x, lambda: x * A, lambda: A * torch.ones(5, 1, 2, 3)):
        with pytest.raises(ParameterError, match=r"A\(x\)"):
            product()
    batch = torch.ones(2, 1, 2, 3)
    factors = torch.tensor([2.0, 3.0])
    assert torch.equal((factors * A)(batch), factors.reshape(2, 1, 1, 1) * batch)
    assert torch.equal((A * torch.tensor(2.0))(x), 2 * x)
    B = Identity((2,))  # as many samples as entries: said through bind
    assert torch.equal((1 * B).bind(scale=factors)(torch.ones(2, 2)), torch.tensor([[2.0, 2.0], [3.0, 3.0]]))


def test_stack_is_rows_of_blocks():
    op = stack([Matrix(tensor(A)), 2 * Matrix(tensor(C))])
    close(op.dense(), np.vstack([A, 2 * C]))
    assert op.range == (Space((3,), "complex"), Space((3,), "complex"))
    first, second = op(tensor(X4))
    close(first, X4 @ A.T)
    close(second, 2 * X4 @ C.T)
    close(op.H((tensor(Y3), tensor(Y3))), Y3 @ A.conj() + 2 * Y3 @ C.conj())
    close(op.gram(tensor(X4)), X4 @ (A.conj().T @ A + 4 * C.conj().T @ C).T)


def test_block_diag_is_a_block_matrix():
    op = block_diag([Matrix(tensor(A)), Matrix(tensor(B))])
    dense = np.zeros((7, 9), complex)
    dense[:3, :4], dense[3:, 4:] = A, B
    close(op.dense(), dense)
    first, second = op.gram((tensor(X4), tensor(X5)))
    close(first, X4 @ (A.conj().T @ A).T)
    close(second, X5 @ (B.conj().T @ B).T)


def test_real_and_complex_blocks_mix():
    """(x real, z complex) ↦ (M x, N z), in real coordinates, with derivatives of both orders."""
    M, N = g.standard_normal((3, 3)), random(2, 2)
    op = block_diag([Matrix(tensor(M)), Matrix(tensor(N))])
    dense = op.dense()
    real = np.zeros((7, 7))
    real[:3, :3] = M
    real[3::2, 3::2], real[3::2, 4::2], real[4::2, 3::2], real[4::2, 4::2] = N.real, -N.imag, N.imag, N.real
    close(dense, real)
    x = (torch.randn(3, dtype=torch.float64, requires_grad=True), tensor(random(2)).requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: op((a, b)), x)
    assert torch.autograd.gradgradcheck(lambda a, b: op((a, b)), x)


# -- mixed real and complex, derived adjoint --------------------------------------------------------------


class Fourier(LinearOperator):
    """Real image to complex spectrum; no adjoint is written."""

    domain: Space

    @property
    def range(self):
        return Space(self.domain.shape, "complex")

    def forward(self, x):
        return torch.fft.fft(x, norm="ortho")


def test_a_derived_adjoint_takes_the_real_part():
    F = Fourier(domain=Space((5,)))
    y = random(2, 5)
    close(F.H(tensor(y)), np.fft.ifft(y, norm="ortho").real)
    dense = np.fft.fft(np.eye(5), norm="ortho").T
    stacked = np.empty((10, 5))
    stacked[::2], stacked[1::2] = dense.real, dense.imag
    close(F.dense(dtype=torch.float64), stacked)


def test_from_function_learns_range_and_adjoint():
    op = LinearOperator.from_function(cumulate, Space((4,)))
    matrix = np.tril(np.ones((4, 4)))
    close(op.dense(dtype=torch.float64), matrix)
    y = g.standard_normal((2, 4))
    close(op.H(tensor(y)), y @ matrix)
    twin = pickle.loads(pickle.dumps(op))
    close(twin(tensor(y)), y @ matrix.T)


def cumulate(x):
    return x.cumsum(-1)


def pair(x):
    return x[..., :1], x * 1j


def test_from_function_with_several_outputs_and_kinds():
    op = LinearOperator.from_function(pair, Space((3,), "complex"))
    assert op.range == (Space((1,), "complex"), Space((3,), "complex"))
    close(op.dense(dtype=torch.float64), np.vstack([[1, 0, 0], 1j * np.eye(3)]))


def cube(x):
    return x**3 + x.roll(1, -1) ** 2


def test_linearize_is_the_jacobian():
    op = Operator.from_function(cube, Space((4,)))
    x = g.standard_normal(4)
    jacobian = np.diag(3 * x**2) + np.roll(np.diag(2 * x), 1, axis=0)
    J = op.linearize(tensor(x))
    close(J.dense(), jacobian)
    y = g.standard_normal((2, 4))
    close(J.H(tensor(y)), y @ jacobian)
    many = op.linearize(tensor(np.stack([x, 2 * x])))
    assert many.dense().shape == (2, 4, 4)
    close(many.dense()[1], np.diag(12 * x**2) + np.roll(np.diag(4 * x), 1, axis=0))
    assert 1 - 1e-6 <= float(op.linearize(tensor(x)).norm(rtol=0.01)) / np.linalg.norm(jacobian, 2) <= 1.01
    linear = Matrix(torch.eye(2))
    assert linear.linearize(torch.ones(2)) is linear


def test_chain_rule_of_a_composition():
    op = Operator.from_function(cube, Space((4,))) @ Matrix(tensor(C.real.T[:, :2].copy()))
    x = g.standard_normal(2)
    inner = C.real.T[:, :2]
    u = inner @ x
    jacobian = (np.diag(3 * u**2) + np.roll(np.diag(2 * u), 1, axis=0)) @ inner
    close(op.linearize(tensor(x)).dense(), jacobian)


# -- values: bind, to -------------------------------------------------------------------------------------


def test_bind_by_plain_name_and_by_path():
    M, N = Matrix(tensor(A)), Matrix(tensor(B))
    both = M @ N
    assert sorted(both.parameters()) == ["0.matrix", "1.matrix"]
    close(both.bind(**{"1.matrix": tensor(2 * B)}).dense(), 2 * A @ B)
    close(both.dense(), A @ B)
    with pytest.raises(ParameterError, match=r"ambiguous here: say which, as in bind\(\*\*\{'0.matrix'"):
        both.bind(matrix=tensor(A))
    scaled = 2 * M
    assert sorted(n for n in scaled.parameters()) == ["matrix"]
    close(scaled.bind(matrix=tensor(C)).dense(), 2 * C)
    close(scaled.bind(scale=3.0).dense(), 3 * A)
    with pytest.raises(ParameterError, match="no parameter 'matrx'.*Did you mean 'matrix'"):
        scaled.bind(matrx=1)


def test_a_shared_parameter_is_bound_once():
    mask = torch.tensor([1.0, 2.0])
    M = Mask(mask, domain=(2,))
    twice = M @ M
    assert list(twice.parameters()) == ["mask"]
    np.testing.assert_array_equal(
        twice.bind(mask=torch.tensor([3.0, 0.0])).dense().numpy(), np.diag([9.0, 0.0])
    )


def test_a_batch_of_parameters_broadcasts_against_the_input():
    matrices = random(2, 3, 4)
    op = Matrix(tensor(matrices))
    close(op(tensor(X4)), np.einsum("bij,bj->bi", matrices, X4))
    close(op(tensor(X4[0])), np.einsum("bij,j->bi", matrices, X4[0]))
    close(op.H(tensor(Y3)), np.einsum("bij,bi->bj", matrices.conj(), Y3))
    close(op.dense(), matrices)
    lead = random(5, 1, 4)
    assert op(tensor(lead)).shape == (5, 2, 3)
    with pytest.raises(ShapeError, match="does not broadcast against the batch of the parameters"):
        op(tensor(random(3, 4)))


def test_an_empty_batch_is_no_batch():
    """Also where the library below refuses one, as torch's FFT does."""
    op = LinearOperator.from_function(torch.fft.fft, Space((4,), "complex"))
    x = torch.zeros(0, 4, dtype=torch.complex128)
    for m in (op, op.H, op.gram, op.H @ op):
        assert m(x).shape == (0, 4) and m(x).dtype == torch.complex128
    many = Matrix(tensor(random(2, 3, 4)))
    assert many(tensor(random(0, 1, 4))).shape == (0, 2, 3)
    with pytest.raises(ShapeError, match="does not broadcast"):
        many(tensor(random(0, 4)))


def test_to_changes_precision_and_nothing_else():
    op = stack([Mask(torch.ones(2, dtype=torch.bool), domain=(2,)), Matrix(torch.eye(2))])
    wide = op.to(torch.float64)
    assert [p.dtype for p in wide.parameters().values()] == [torch.bool, torch.float64]
    assert op.parameters()["matrix"].dtype == torch.float32
    assert Matrix(tensor(A)).to(torch.float32).matrix.dtype == torch.complex64
    with pytest.raises(ParameterError, match="floating or complex dtype"):
        op.to(torch.int32)


def test_wrong_input_says_what_was_expected():
    op = Mask(torch.ones(3, 4), domain=(1, 3, 4))
    with pytest.raises(ShapeError, match=r"expected shape \(batch..., 1, 3, 4\), got \(3, 4\).*x\[None\]"):
        op(torch.ones(3, 4))
    with pytest.raises(DtypeError, match="expected a real floating-point tensor, got torch.int64"):
        op(torch.ones(1, 3, 4, dtype=torch.int64))
    with pytest.raises(DtypeError, match="got ndarray"):
        op(np.ones((1, 3, 4)))


def test_a_class_is_abstract_or_final_and_complete():
    with pytest.raises(TypeError, match="abstract or final"):
        type("Sub", (Matrix,), {})
    with pytest.raises(TypeError, match="must state range"):
        type(
            "NoRange", (LinearOperator,), {"__annotations__": {"domain": Space}, "forward": lambda self, x: x}
        )
    with pytest.raises(TypeError, match="not fields of the class"):
        type(
            "Params",
            (LinearOperator,),
            {"params": ("k",), "domain": None, "range": None, "forward": lambda self, x: x},
        )


def test_parameters_of_one_sample_declare_their_dimensions():
    """Else a batch of parameters would be taken for one parameter."""
    own = {
        "__annotations__": {"k": Tensor, "domain": Space, "range": Space},
        "params": ("k",),
        "forward": lambda self, x: x,
    }
    foreign_ = own | {"autograd": "adjoint", "batched": False}
    with pytest.raises(TypeError, match=r"without batch of each parameter; it lacks \['k'\]"):
        type("Missing", (LinearOperator,), foreign_)
    with pytest.raises(TypeError, match=r"param_ndim names \['h'\], which are not among its params"):
        type("Unknown", (LinearOperator,), own | {"param_ndim": {"h": 1}})
    assert type("Right", (LinearOperator,), foreign_ | {"param_ndim": {"k": 2}}).param_ndim == {"k": 2}


# -- derivatives ------------------------------------------------------------------------------------------


def checked(function, *inputs):
    leaves = [tensor(i).requires_grad_() for i in inputs]
    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves)


@pytest.mark.parametrize("direction", ["forward", "adjoint", "gram"])
def test_derivatives_to_x_and_parameters(direction):
    def apply(m, x):
        op = Matrix(m)
        return {"forward": op, "adjoint": op.H, "gram": op.gram}[direction](x)

    checked(apply, A[:2, :3], random(2, 2 if direction == "adjoint" else 3))
    checked(apply, random(2, 2, 3), random(2, 2 if direction == "adjoint" else 3))


class NumpyMatrix(LinearOperator):
    """A dense matrix in numpy, one sample at a time: a foreign backend."""

    matrix: Tensor
    domain: Space
    range: Space
    params = ("matrix",)
    autograd = "adjoint"
    batched = False
    param_ndim = {"matrix": 2}

    def forward(self, x):
        assert x.ndim == 1 and not x.is_conj()
        return torch.from_numpy(self.matrix.numpy() @ x.numpy())

    def adjoint(self, y):
        return torch.from_numpy(self.matrix.numpy().conj().T @ y.numpy())

    def vjp_params(self, x, v):
        return {"matrix": v.unsqueeze(-1) * x.conj().unsqueeze(-2)}


def foreign(matrix):
    kind = "complex" if matrix.is_complex() else "real"
    m, n = matrix.shape[-2:]
    return NumpyMatrix(matrix=matrix, domain=Space((n,), kind), range=Space((m,), kind))


@pytest.mark.parametrize("direction", ["forward", "adjoint", "gram"])
def test_a_foreign_backend_differentiates_twice(direction):
    def apply(m, x):
        op = foreign(m)
        return {"forward": op, "adjoint": op.H, "gram": op.gram}[direction](x)

    checked(apply, A[:2, :3], random(2, 2 if direction == "adjoint" else 3))
    checked(apply, A.real[:2, :3].copy(), g.standard_normal((2, 2 if direction == "adjoint" else 3)))
    checked(apply, random(2, 2, 3), random(2, 2 if direction == "adjoint" else 3))


def test_a_foreign_backend_under_jvp_vmap_and_hessian():
    op = foreign(tensor(A))
    x, d = tensor(X4[0]), tensor(X4[1])
    value, slope = torch.func.jvp(op._apply, (x,), (d,))
    close(value, A @ X4[0])
    close(slope, A @ X4[1])
    close(torch.func.vmap(op._apply)(tensor(X4)), X4 @ A.T)
    close(torch.func.vmap(op._apply, in_dims=1)(tensor(X4.T)), X4 @ A.T)
    real = foreign(tensor(A.real.copy()))
    hessian = torch.func.hessian(lambda v: 0.5 * (real._apply(v) ** 2).sum())(tensor(X4.real[0].copy()))
    close(hessian, A.real.T @ A.real)
    gradients = torch.func.vmap(torch.func.grad(lambda v: (real._apply(v) ** 2).sum()))(
        tensor(X4.real.copy())
    )
    close(gradients, 2 * X4.real @ A.real.T @ A.real)


def test_a_foreign_backend_keeps_tangents_where_no_gradient_is_wanted():
    op, x, d = foreign(tensor(A)), tensor(X4[0]), tensor(X4[1])
    with torch.no_grad(), forward_ad.dual_level():
        value, slope = forward_ad.unpack_dual(op(forward_ad.make_dual(x, d)))
    close(value, A @ X4[0])
    close(slope, A @ X4[1])
    with torch.no_grad():
        assert op(x.clone().requires_grad_()).grad_fn is None
    assert op(x.clone().requires_grad_()).grad_fn is not None


def test_a_foreign_backend_takes_conjugate_views_batches_and_empty_ones():
    op = foreign(tensor(A))
    close(op(tensor(X4).conj()), X4.conj() @ A.T)
    close(foreign(tensor(A).conj())(tensor(X4)), X4 @ A.conj().T)
    assert op(torch.zeros(0, 4, dtype=torch.complex128)).shape == (0, 3)
    assert op(tensor(random(2, 3, 4))).shape == (2, 3, 3)


def test_a_foreign_backend_without_vjp_params_refuses_instead_of_giving_zero():
    class Plain(LinearOperator):
        gain: Tensor
        domain: Space = Space((2,))
        params = ("gain",)
        autograd = "adjoint"

        @property
        def range(self):
            return self.domain

        def forward(self, x):
            return torch.from_numpy(self.gain.numpy() * x.numpy())

        def adjoint(self, y):
            return self.forward(y)

    gain = torch.ones(2, requires_grad=True)
    y = Plain(gain=gain)(torch.ones(2))
    with pytest.raises(ParameterError, match=r"does not define vjp_params.*\['gain'\]"):
        y.sum().backward()


# -- learnable operators ----------------------------------------------------------------------------------


def test_a_module_learns_its_operator():
    truth = torch.tensor([1.0, -2.0, 0.5])
    module = OperatorModule(Mask(torch.zeros(3), domain=(3,)))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.3)
    x = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    for _ in range(200):
        optimizer.zero_grad()
        ((module(x) - truth * x) ** 2).mean(0).sum().backward()
        optimizer.step()
    assert torch.allclose(module.operator.mask, truth, atol=1e-4)
    assert torch.equal(module.H(x), module.operator.mask * x)


def test_a_module_keeps_and_moves_what_it_does_not_learn():
    op = Matrix(torch.eye(2)) @ Mask(torch.ones(2), domain=(2,))
    module = OperatorModule(op, learn=["mask"])
    assert [n for n, _ in module.named_parameters()] == ["mask"]
    assert sorted(module.state_dict()) == ["mask", "matrix"]
    assert module.double().operator.dtype == torch.float64
    other = OperatorModule(op, learn=["mask"]).double()
    other.load_state_dict({"mask": torch.tensor([2.0, 3.0]), "matrix": 2 * torch.eye(2)})
    np.testing.assert_array_equal(other.operator.dense().detach().numpy(), np.diag([4.0, 6.0]))
    with pytest.raises(ParameterError, match="no learnable parameter"):
        OperatorModule(op, learn=["musk"])
    assert torch.equal(op.parameters()["mask"], torch.ones(2))


def test_the_jacobian_of_a_composition_is_the_product_of_jacobians(generator):
    inner = Operator.from_function(lambda x: torch.sin(x) * x.sum(-1, keepdim=True), Space((3,)))
    outer = Matrix(torch.randn(4, 3, dtype=torch.float64, generator=generator))
    last = Operator.from_function(lambda x: x**3, Space((4,)))
    A = last @ outer @ inner
    x = torch.randn(2, 3, dtype=torch.float64, generator=generator)
    expected = torch.stack([torch.autograd.functional.jacobian(A, one) for one in x])
    J = A.linearize(x)
    v, w = (torch.randn(2, n, dtype=torch.float64, generator=generator) for n in (3, 4))
    torch.testing.assert_close(J(v), (expected @ v.unsqueeze(-1)).squeeze(-1))
    torch.testing.assert_close(J.H(w), (expected.mT @ w.unsqueeze(-1)).squeeze(-1))
    torch.testing.assert_close(J.gram(v), J.H(J(v)))
