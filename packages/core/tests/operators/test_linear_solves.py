"""least_squares, pinv, norm and cond against dense numpy and scipy, and their implicit derivatives."""

import warnings

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor
from torch.autograd import forward_ad

import invcore
from invcore import (
    ConvergenceWarning,
    DataError,
    LinearOperator,
    ParameterError,
    ShapeError,
    Space,
    least_squares,
)
from invcore._krylov.cg import cg
from invcore._krylov.lsqr import lsqr
from invcore.operators import Convolution, Downsample, Identity, Mask, Matrix, stack
from invcore.spaces import randn

SCALES = (1e-6, 1e-3, 1.0, 1e3, 1e6)
DTYPES = [torch.float32, torch.float64]
TOLERANCE = {torch.float32: 2e-4, torch.float64: 1e-8}


def matrix(m, n, *, cond=10.0, seed=0, kind="real"):
    """A matrix with given singular values: from 1 down to 1/cond."""
    g = np.random.default_rng(seed)
    draw = lambda *shape: (
        g.standard_normal(shape) + (1j * g.standard_normal(shape) if kind == "complex" else 0)
    )
    k = min(m, n)
    u, v = np.linalg.qr(draw(m, k))[0], np.linalg.qr(draw(n, k))[0]
    return u * np.geomspace(1, 1 / cond, k) @ v.conj().T


def vector(*shape, seed=1, kind="real"):
    g = np.random.default_rng(seed)
    return g.standard_normal(shape) + (1j * g.standard_normal(shape) if kind == "complex" else 0)


def tensor(a, dtype=torch.float64):
    t = torch.from_numpy(np.ascontiguousarray(a))
    return t.to(
        {torch.float32: torch.complex64, torch.float64: torch.complex128}[dtype] if t.is_complex() else dtype
    )


def error(got, expected):
    got = got.detach().resolve_conj().numpy()
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)


class NoBound(LinearOperator):
    """A dense matrix that knows no bound of its norm, so that the iteration is used."""

    matrix: Tensor
    params = ("matrix",)

    @property
    def domain(self):
        return Space((self.matrix.shape[-1],), "complex" if self.matrix.is_complex() else "real")

    @property
    def range(self):
        return Space((self.matrix.shape[-2],), "complex" if self.matrix.is_complex() else "real")

    def forward(self, x):
        return (self.matrix @ x.unsqueeze(-1)).squeeze(-1)


# -- pinv and least squares -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("shape", [(9, 6), (6, 9), (7, 7)], ids=["tall", "wide", "square"])
def test_pinv_is_that_of_numpy_at_every_scale(shape, kind, dtype):
    a, y = matrix(*shape, kind=kind), vector(3, shape[0], kind=kind)
    expected = y @ np.linalg.pinv(a).T
    for s in SCALES:
        got = Matrix(tensor(s * a, dtype)).pinv(tensor(y, dtype))
        assert error(s * got, expected) < TOLERANCE[dtype], s
        assert got.dtype == tensor(y, dtype).dtype


@pytest.mark.parametrize("shape", [(9, 6), (6, 9)], ids=["tall", "wide"])
def test_pinv_of_a_rank_deficient_matrix_has_smallest_norm(shape):
    a = matrix(*shape)
    a = a - a[:, :1] @ np.eye(1, shape[1])  # first column zero
    a[-1] = 0
    y = vector(shape[0])
    assert error(Matrix(tensor(a)).pinv(tensor(y)), np.linalg.pinv(a, rcond=1e-10) @ y) < 1e-8


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", ["cg", "lsqr", "lsmr"])
@pytest.mark.parametrize("kind", ["real", "complex"])
def test_shifted_least_squares_is_the_dense_solution_at_every_scale(kind, solver, dtype):
    a, y, center = matrix(8, 6, kind=kind), vector(2, 8, kind=kind), vector(2, 6, seed=3, kind=kind)
    for s in SCALES:
        lam = 0.1 * s**2
        normal = s**2 * a.conj().T @ a + lam * np.eye(6)
        expected = np.linalg.solve(normal, (s * y @ a.conj() + lam * center / s).T).T
        got = least_squares(
            Matrix(tensor(s * a, dtype)),
            tensor(y, dtype),
            shift=lam,
            center=tensor(center / s, dtype),
            solver=solver,
        )
        assert error(got, expected) < TOLERANCE[dtype], s


@pytest.mark.parametrize("rows", [8, 5], ids=["tall", "square"])
def test_least_squares_without_shift_is_lstsq(rows):
    a, y = matrix(rows, 5, cond=100), vector(rows)
    expected = scipy.linalg.lstsq(a, y)[0]
    for solver in ("cg", "lsqr", "lsmr"):
        assert error(least_squares(Matrix(tensor(a)), tensor(y), solver=solver), expected) < 1e-8


@pytest.mark.parametrize("s", [1e-8, 1.0, 1e8])
def test_pinv_of_a_mask_keeps_entries_that_are_small_only_beside_the_largest(s):
    A = Mask(s * torch.tensor([1.0, 1e-2, 1e-4, 1e-6], dtype=torch.float64), domain=(4,))
    x = torch.tensor([1.0, -2.0, 3.0, -4.0], dtype=torch.float64)
    torch.testing.assert_close(A.pinv(A(x)), x, rtol=1e-5, atol=0)


def test_lsqr_is_more_accurate_than_cg_for_an_ill_conditioned_operator():
    a = matrix(40, 20, cond=1e6)
    truth = vector(20)
    A, y = Matrix(tensor(a)), tensor(a @ truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        by = {s: error(least_squares(A, y, solver=s, max_steps=2000), truth) for s in ("cg", "lsqr")}
    assert by["lsqr"] < 1e-5
    assert by["lsqr"] <= by["cg"]


def test_blocks_of_data():
    a, c = matrix(5, 4), matrix(6, 4, seed=7)
    y, z = vector(5), vector(6, seed=8)
    A = stack([Matrix(tensor(a)), 0.5 * Matrix(tensor(c))])
    expected = np.linalg.lstsq(np.vstack([a, 0.5 * c]), np.concatenate([y, z]), rcond=None)[0]
    assert error(A.pinv((tensor(y), tensor(z))), expected) < 1e-8
    assert error(least_squares(A, (tensor(y), tensor(z))), expected) < 1e-8


def test_one_shift_and_one_matrix_for_each_sample():
    a = np.stack([matrix(6, 4, seed=s) for s in range(3)])
    y, lam = vector(3, 6), np.array([0.0, 0.1, 10.0])
    got = least_squares(Matrix(tensor(a)), tensor(y), shift=tensor(lam))
    for i in range(3):
        expected = np.linalg.solve(a[i].T @ a[i] + lam[i] * np.eye(4), a[i].T @ y[i])
        assert error(got[i], expected) < 1e-8
    assert least_squares(Matrix(tensor(a)), tensor(y[0])).shape == (3, 4)
    assert Matrix(tensor(a)).pinv(tensor(y[0])).shape == (3, 4)


@pytest.mark.parametrize("solver", ["cg", "lsqr"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sample_does_not_depend_on_its_batch_mates(solver, dtype):
    A = Matrix(tensor(matrix(12, 9, cond=30), dtype))
    y = tensor(vector(4, 12), dtype)
    eps = torch.finfo(dtype).eps
    alone = least_squares(A, y[0], solver=solver)
    first = least_squares(A, y, solver=solver)[0]
    assert (
        float((first - alone).norm() / alone.norm()) < 2 * 30**2 * eps
    )  # another order of summation, times cond²
    for mates in (1e5 * y[1:], 0 * y[1:], y[1:].flip(0)):
        together = least_squares(A, torch.cat([y[:1], mates]), solver=solver)[0]
        assert float((together - first).norm() / first.norm()) < 20 * eps


def test_zero_data_and_empty_batches():
    A = Matrix(tensor(matrix(5, 4)))
    for solve in (
        A.pinv,
        lambda y: least_squares(A, y),
        lambda y: least_squares(A, y, solver="lsqr", shift=0.1),
    ):
        assert torch.equal(
            solve(torch.zeros(2, 5, dtype=torch.float64)), torch.zeros(2, 4, dtype=torch.float64)
        )
        assert solve(torch.zeros(0, 5, dtype=torch.float64)).shape == (0, 4)
    zero = Matrix(torch.zeros(3, 2))
    assert torch.equal(zero.pinv(torch.ones(3)), torch.zeros(2))


def test_a_warm_start_saves_steps():
    a = matrix(30, 20, cond=50)
    gram = tensor(a.T @ a)
    b = tensor(a.T @ vector(30))
    apply = lambda v: v @ gram
    cold = cg(apply, b, max_steps=500)
    warm = cg(apply, b, x0=cold.x * (1 + 1e-9), max_steps=500)
    assert warm.steps < 0.8 * cold.steps


def test_steps_are_counted_by_the_slowest_sample_and_residuals_are_true():
    a = matrix(20, 20, cond=20)
    b = vector(2, 20)
    solved = lsqr(lambda v: v @ tensor(a.T), lambda u: u @ tensor(a), tensor(b), max_steps=200)
    assert bool(solved.converged.all())
    truth = np.linalg.norm(b - solved.x.numpy() @ a.T, axis=1) / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(solved.residual.numpy(), truth, atol=1e-9)


def test_a_solve_that_does_not_converge_warns():
    A = Matrix(tensor(matrix(30, 30, cond=1e5)))
    y = tensor(vector(2, 30))
    with pytest.warns(
        ConvergenceWarning, match=r"LSQR stopped after 3 steps .*2 of 2 samples.*raise max_steps \(now 3\)"
    ):
        A.pinv(y, max_steps=3)
    with pytest.warns(
        ConvergenceWarning, match=r"Conjugate gradient stopped after 3 steps.*add a shift, or use float64"
    ):
        least_squares(A, y, max_steps=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        least_squares(A, y, shift=0.1)


def test_wrong_arguments():
    A = Matrix(torch.eye(3))
    with pytest.raises(ParameterError, match="shift must not be negative"):
        least_squares(A, torch.ones(3), shift=-1.0)
    with pytest.raises(ParameterError, match="'cg', 'lsqr' or 'lsmr', got 'qr'"):
        least_squares(A, torch.ones(3), solver="qr")
    with pytest.raises(ShapeError, match="data y: expected shape"):
        least_squares(A, torch.ones(4))
    with pytest.raises(ShapeError, match="center: expected shape"):
        least_squares(A, torch.ones(3), shift=1.0, center=torch.ones(2))
    with pytest.raises((DataError, ShapeError)):
        A.pinv(torch.ones(2))


# -- norm and condition number ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["real", "complex"])
def test_norm_is_a_tight_upper_bound_at_every_scale(kind, dtype):
    for seed in range(2):
        a = matrix(60, 50, cond=3.0, seed=seed, kind=kind)
        true = np.linalg.norm(a, 2)
        for s in SCALES:
            for op in (NoBound(matrix=tensor(s * a, dtype)), s * NoBound(matrix=tensor(a, dtype))):
                got = float(op.norm()) / s
                assert true * (1 - 1e-6) <= got <= true * (1 / (1 - 0.1)) ** 0.5 * (1 + 1e-5)


def test_norm_with_a_clustered_top_of_the_spectrum_and_a_tight_margin():
    a = np.diag(np.concatenate([[1.0], np.full(300, 0.999), np.linspace(0, 0.9, 200)]))
    for rtol in (0.1, 0.01):
        got = float(NoBound(matrix=tensor(a)).norm(rtol=rtol))
        assert 1.0 <= got <= (1 / (1 - rtol)) ** 0.5 * 1.0001


def test_norm_of_each_operator_in_a_batch_and_of_nothing():
    a = np.stack([matrix(5, 4), 3 * matrix(5, 4, seed=2)])
    np.testing.assert_allclose(NoBound(matrix=tensor(a)).norm().numpy(), [1.0, 3.0], rtol=1e-6)
    assert float(NoBound(matrix=torch.zeros(3, 3)).norm()) == 0.0
    scaled = tensor(np.array([2.0, -1.0])) * NoBound(matrix=tensor(a))
    np.testing.assert_allclose(scaled.norm().numpy(), [2.0, 3.0], rtol=1e-6)
    assert float((3 * Identity((4,))).norm()) == 3.0


def test_norm_is_reproducible_and_takes_a_generator():
    A = NoBound(matrix=tensor(matrix(300, 250)))
    assert float(A.norm()) == float(A.norm())
    torch.manual_seed(0)
    state = torch.get_rng_state()
    A.norm()
    assert torch.equal(state, torch.get_rng_state())
    first, again, other = (float(A.norm(generator=torch.Generator().manual_seed(s))) for s in (1, 1, 2))
    assert first == again
    assert len({first, other, float(A.norm())}) == 3


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("shape", [(9, 6), (6, 9), (7, 7)])
def test_cond_is_that_of_numpy_at_every_scale(shape, kind):
    a = matrix(*shape, cond=1e3, kind=kind)
    for s in SCALES:
        assert abs(float(NoBound(matrix=tensor(s * a)).cond()) / 1e3 - 1) < 1e-6
    np.testing.assert_allclose(
        NoBound(matrix=tensor(np.stack([a, matrix(*shape, cond=5, kind=kind)]))).cond().numpy(),
        [1e3, 5],
        rtol=1e-6,
    )
    singular = a.copy()
    singular[:, 0] = singular[:, 1]
    if shape[0] >= shape[1]:
        assert np.isinf(float(NoBound(matrix=tensor(singular)).cond()))


# -- implicit derivatives ---------------------------------------------------------------------------------


def dense_solution(a, y, lam, center):
    """The same through torch's dense solver, whose derivatives torch knows."""
    normal = a.mH @ a + lam.reshape(*lam.shape, 1, 1) * torch.eye(a.shape[-1], dtype=a.dtype)
    right = (a.mH @ y.unsqueeze(-1)) + (lam.unsqueeze(-1) * center).unsqueeze(-1)
    return torch.linalg.solve(normal, right).squeeze(-1)


@pytest.mark.parametrize("solver", ["cg", "lsqr"])
@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("batch", [(), (2,)], ids=["one", "batch of matrices"])
def test_implicit_derivatives_equal_those_of_the_dense_solution(kind, solver, batch):
    a = (
        np.stack([matrix(6, 4, cond=4, seed=s, kind=kind) for s in range(2)])
        if batch
        else matrix(6, 4, cond=4, kind=kind)
    )
    inputs = [a, vector(2, 6, kind=kind), np.array([0.1, 0.5]), vector(2, 4, seed=5, kind=kind)]
    weight = tensor(vector(2, 4, seed=6, kind=kind))

    def gradients(function):
        leaves = [tensor(i).requires_grad_() for i in inputs]
        x = function(*leaves)
        first = torch.autograd.grad((x * weight).real.sum(), leaves, create_graph=True)
        total = sum((f.abs() ** 2).sum() for f in first)
        return x, first, torch.autograd.grad(total, leaves)

    def implicit(a, y, lam, center):
        return least_squares(Matrix(a), y, shift=lam, center=center, solver=solver, rtol=1e-13)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        got, expected = gradients(implicit), gradients(dense_solution)
    assert error(got[0], expected[0].detach().numpy()) < 1e-10
    for order in (1, 2):
        for name, one, other in zip(("matrix", "y", "shift", "center"), got[order], expected[order]):
            assert error(one, other.detach().numpy()) < 1e-8, (order, name)


@pytest.mark.parametrize("kind", ["real", "complex"])
def test_gradgradcheck_of_least_squares(kind):
    def solve(a, y, lam):
        return least_squares(Matrix(a), y, shift=lam, rtol=1e-14, max_steps=60)

    leaves = [
        tensor(matrix(3, 2, cond=3, kind=kind)).requires_grad_(),
        tensor(vector(3, kind=kind)).requires_grad_(),
        torch.tensor(0.3, dtype=torch.float64, requires_grad=True),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert torch.autograd.gradcheck(solve, leaves)
        assert torch.autograd.gradgradcheck(solve, leaves)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5)], ids=["tall", "wide"])
@pytest.mark.parametrize("kind", ["real", "complex"])
def test_derivatives_of_pinv_equal_those_of_the_dense_one(shape, kind):
    a, y, weight = (
        matrix(*shape, cond=4, kind=kind),
        vector(shape[0], kind=kind),
        tensor(vector(shape[1], kind=kind)),
    )

    def gradients(function):
        leaves = [tensor(a).requires_grad_(), tensor(y).requires_grad_()]
        return torch.autograd.grad((function(*leaves) * weight).real.sum(), leaves)

    got = gradients(lambda m, v: Matrix(m).pinv(v))
    expected = gradients(lambda m, v: torch.linalg.pinv(m) @ v)
    for one, other in zip(got, expected):
        assert error(one, other.numpy()) < 1e-8


def test_the_graph_does_not_grow_with_the_steps():
    """Only the solution is kept for the backward pass, however many steps the solve takes."""

    def graph_size(steps):
        a = tensor(matrix(30, 20, cond=1e3)).requires_grad_()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            x = least_squares(Matrix(a), tensor(vector(30)), shift=1e-3, max_steps=steps)
        seen, todo = set(), [x.grad_fn]
        while todo:
            node = todo.pop()
            if node is not None and node not in seen:
                seen.add(node)
                todo.extend(parent for parent, _ in node.next_functions)
        return len(seen)

    assert graph_size(2) == graph_size(200)


def test_memory_does_not_grow_with_the_steps():
    """Storage that stays alive after the forward solve, counted by torch's saved tensors."""
    kept = []
    A = Mask(torch.linspace(0.01, 1, 5000, dtype=torch.float64).requires_grad_(), domain=(5000,))
    y = torch.ones(5000, dtype=torch.float64)
    for steps in (3, 60):
        count = 0

        def pack(t):
            nonlocal count
            count += t.numel()
            return t

        with warnings.catch_warnings(), torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            warnings.simplefilter("ignore", ConvergenceWarning)
            least_squares(A, y, shift=1e-4, max_steps=steps)
        kept.append(count)
    assert kept[0] == kept[1] < 20 * 5000


# -- closed forms -----------------------------------------------------------------------------------


def _with_closed_form():
    g = torch.Generator().manual_seed(3)

    def draw(*shape, dtype=torch.float64):
        return torch.randn(*shape, dtype=dtype, generator=g)

    blur = Convolution(draw(1, 3, 4), domain=(2, 6, 5))
    return {
        "convolution": blur,
        "kernel for each sample": Convolution(draw(3, 1, 3, 3), domain=(1, 4, 5)),
        "complex": Convolution(
            draw(1, 3, dtype=torch.complex128), domain=Space((1, 7), "complex"), method="direct"
        ),
        "downsample": Downsample((1, 6, 9), factor=3, kernel=draw(1, 4, 5)),
        "mask": Mask(draw(4).abs().round(), domain=(2, 4)),
        "scaled": (-1e-3) * blur,
    }


@pytest.mark.parametrize("name", list(_with_closed_form()))
@pytest.mark.parametrize("shift", [1e-6, 0.3, "each"])
def test_closed_forms_replace_conjugate_gradient(name, shift):
    A = _with_closed_form()[name]
    shift = torch.tensor([1e-3, 1.0, 5.0], dtype=torch.float64) if shift == "each" else shift
    if name == "scaled":
        shift = 1e-6 * shift
    g = torch.Generator().manual_seed(4)
    y, z = (randn(space, (3,), generator=g, dtype=torch.float64) for space in (A.range, A.domain))
    for center in (z, None):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of conjugate gradient that has not converged
            got = least_squares(A, y, shift=shift, center=center, max_steps=0)
        matrix = A.dense(dtype=torch.float64)
        lam = torch.as_tensor(shift, dtype=torch.float64).reshape(-1, 1, 1)
        eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype)
        b = matrix.mH @ y.flatten(1).unsqueeze(-1)
        if center is not None:
            b = b + lam * z.flatten(1).unsqueeze(-1)
        expected = torch.linalg.solve(matrix.mH @ matrix + lam * eye, b).squeeze(-1)
        error = (got.flatten(1) - expected).norm() / expected.norm()
        assert float(error) < 1e-8


def test_closed_forms_keep_the_derivatives():
    A = _with_closed_form()["convolution"]
    y = torch.randn(2, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    values = (A.kernel, y, torch.tensor(0.4, dtype=torch.float64), y.flip(0))
    inputs = tuple(v.clone().requires_grad_() for v in values)
    assert torch.autograd.gradcheck(
        lambda k, y, w, z: least_squares(A.bind(kernel=k), y, shift=w, center=z), inputs
    )


def test_one_right_side_and_several_shifts():
    a = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    y, shifts = torch.ones(5, dtype=torch.float64), torch.tensor([0.1, 1.0, 7.0], dtype=torch.float64)
    blur = Convolution(torch.ones(1, 3, dtype=torch.float64), domain=(1, 5))
    for A, data in ((Matrix(a), y), (blur, y[None])):
        for solver in ("cg", "lsqr", "lsmr"):
            got = least_squares(A, data, shift=shifts, solver=solver)
            each = torch.stack([least_squares(A, data, shift=s, solver=solver) for s in shifts])
            torch.testing.assert_close(got, each)


def test_forward_mode_of_a_solve_reaches_the_matrix_and_the_right_hand_side():
    """A tangent of the matrix alone is not seen by ``requires_grad``, and must not be lost."""
    M, dM = tensor(matrix(5, 5, cond=4.0)), tensor(matrix(5, 5, cond=4.0, seed=3))
    b, db = tensor(vector(5)), tensor(vector(5, seed=7))
    x, dx = torch.func.jvp(lambda m, r: invcore.operators.solve(Matrix(m), r), (M, b), (dM, db))
    inverse = torch.linalg.inv(M)
    assert torch.allclose(x, inverse @ b) and torch.allclose(dx, inverse @ (db - dM @ x))
    only = torch.func.jvp(lambda m: invcore.operators.solve(Matrix(m), b), (M,), (dM,))[1]
    assert torch.allclose(only, -inverse @ (dM @ x))
    with forward_ad.dual_level():
        dual = invcore.operators.solve(Matrix(forward_ad.make_dual(M, dM)), b)
        assert torch.allclose(forward_ad.unpack_dual(dual).tangent, only)

    def slope(m):
        return torch.func.jvp(lambda n: invcore.operators.solve(Matrix(n), b), (m,), (dM,))[1].sum()

    E, e = tensor(matrix(5, 5, seed=9)), 1e-6
    found = (torch.func.grad(slope)(M) * E).sum()
    assert abs((slope(M + e * E) - slope(M - e * E)) / (2 * e) - found) < 1e-5


def test_where_gradients_are_off_the_transforms_of_torch_still_find_them():
    M = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.ones(6, dtype=torch.float64)
    with torch.no_grad():
        slope = torch.func.grad(lambda y: least_squares(Matrix(M), y, shift=2.0).sum())(y)
    truth = M @ torch.linalg.solve(M.T @ M + 2 * torch.eye(4, dtype=M.dtype), torch.ones(4, dtype=M.dtype))
    torch.testing.assert_close(slope, truth)
