"""Derivatives through solvers: recomputed steps, GMRES, Jacobian-free, networks, bilevel learning."""

import dataclasses
import warnings
from typing import Any, NamedTuple

import pytest
import torch

from invcore import ParameterError, Physics, SolverError
from invcore.fidelities import LeastSquares
from invcore.noises import GaussianNoise
from invcore.operators import Convolution, Mask, Matrix, Space
from invcore.priors import L1, TV, Prior, Tikhonov
from invcore.solvers import (
    ADMM,
    FISTA,
    Anderson,
    ChambollePock,
    CondatVu,
    ConjugateGradient,
    GradientDescent,
    HalfQuadraticSplitting,
    ProximalGradient,
    Solver,
)
from invcore_testsupport import normal

F64 = torch.float64


class State(NamedTuple):
    x: Any


def gradients(solver, mode, *, batch=(2,), seed=0, learned=()):
    """Gradients to the data, the matrix, the noise level and the weight, and to ``learned``."""
    leaves = {
        "y": normal(*batch, 12, seed=seed + 1),
        "matrix": normal(12, 8, seed=seed),
        "sigma": torch.tensor(0.7, dtype=F64),
        "weight": torch.tensor(0.3, dtype=F64),
    }
    leaves = {n: t.requires_grad_() for n, t in leaves.items()}
    physics = Physics(Matrix(leaves["matrix"]), GaussianNoise(sigma=leaves["sigma"]))
    x = solver(leaves["weight"]).solve(leaves["y"], physics, differentiate=mode).value
    loss = (x * normal(*x.shape, seed=9)).sum() + x.square().sum()
    found = torch.autograd.grad(loss, [*leaves.values(), *learned])
    return dict(zip([*leaves, *(f"learned{i}" for i in range(len(learned)))], found))


def close(one, other, rtol):
    for name, value in one.items():
        distance = float(
            torch.linalg.vector_norm(value - other[name]) / torch.linalg.vector_norm(other[name])
        )
        assert distance < rtol, (name, distance)


class Network(Prior):
    """A contractive learned step: a network that no field of the prior lists as a parameter."""

    network: torch.nn.Module

    def _value(self, x, space):
        return x.square().sum(-1)

    def _prox(self, x, step, space):
        return 0.6 * x + 0.2 * torch.tanh(self.network(x))


def network():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = torch.nn.Linear(8, 8, dtype=F64)
        net.weight.data /= 2 * torch.linalg.matrix_norm(net.weight.data, 2)
    return net


SOLVERS = {
    "fista l1": lambda w: FISTA(prior=L1(), weight=w, rtol=1e-13, max_steps=600),
    "fista tikhonov": lambda w: FISTA(prior=Tikhonov(), weight=w, rtol=1e-13, max_steps=600),
    "anderson": lambda w: Anderson(solver=FISTA(prior=Tikhonov(), weight=w), rtol=1e-13, max_steps=200),
}


@pytest.mark.parametrize("name", list(SOLVERS))
def test_implicit_gradients_to_data_operator_noise_level_and_weight_are_the_unrolled_ones(name):
    close(gradients(SOLVERS[name], "implicit"), gradients(SOLVERS[name], "unroll"), 1e-6)


SPLITTING = {
    "admm tv": lambda w: ADMM(prior=TV(spatial_dims=1), weight=w, rtol=1e-9),
    "chambolle_pock tv": lambda w: ChambollePock(prior=TV(spatial_dims=1), weight=w, rtol=1e-9),
    "condat_vu tv": lambda w: CondatVu(prior=TV(spatial_dims=1), weight=w, rtol=1e-9),
    "hqs l1": lambda w: HalfQuadraticSplitting(prior=L1(), weight=w, rtol=1e-11),
    "hqs tikhonov": lambda w: HalfQuadraticSplitting(prior=Tikhonov(), weight=w, rtol=1e-11),
}


@pytest.mark.parametrize("name", list(SPLITTING))
def test_splitting_solvers_have_the_unrolled_gradients_without_their_steps(name):
    solver = SPLITTING[name]
    close(gradients(solver, "implicit", batch=()), gradients(solver, "unroll", batch=()), 1e-4)


def test_a_schedule_has_no_implicit_derivative():
    solver = HalfQuadraticSplitting(prior=L1(), weight=0.23, schedule="dpir")
    y, physics = normal(12).requires_grad_(), Physics(Matrix(normal(12, 8)))
    with pytest.raises(SolverError, match="schedule='continuation'.*'unroll'"):
        solver.solve(y, physics, differentiate="implicit")


def unrolled(step, weight, sigma, y, matrix):
    solver = ProximalGradient(prior=L1(), weight=weight, step_size=step, max_steps=5, rtol=0.0)
    physics = Physics(Matrix(matrix), GaussianNoise(sigma=sigma))
    return solver.solve(y, physics, differentiate="unroll").value


def test_step_and_weight_of_an_unrolled_solver_have_true_gradients():
    """Not of the noise level, which 1/L follows as a constant; a converged solve has it, see above."""
    inputs = [torch.tensor(v, dtype=F64, requires_grad=True) for v in (1.3, 0.4)]
    y, matrix = normal(2, 12, seed=1), normal(12, 8)
    assert torch.autograd.gradcheck(lambda *p: unrolled(*p, torch.tensor(0.6, dtype=F64), y, matrix), inputs)


def test_learning_step_weight_and_noise_level():
    """Five trained steps of proximal gradient end nearer to the true images than five untrained ones."""
    matrix = normal(12, 8)
    truth = normal(20, 8, seed=2) * (torch.rand(20, 8, generator=torch.Generator().manual_seed(3)) > 0.6)
    y = truth @ matrix.T + 0.3 * normal(20, 12, seed=4)
    step, weight, sigma = (torch.tensor(v, dtype=F64, requires_grad=True) for v in (0.0, 1.0, 0.0))

    def loss():
        x = unrolled(2 * torch.sigmoid(step), weight.exp(), sigma.exp(), y, matrix)
        return (x - truth).square().mean()

    optimizer = torch.optim.Adam([step, weight, sigma], lr=0.1)
    first = float(loss().detach())
    for _ in range(30):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert float(loss().detach()) < 0.9 * first
    assert all(
        abs(float(p.detach()) - start) > 0.1 for p, start in ((step, 0.0), (weight, 1.0), (sigma, 0.0))
    )


def test_step_sizes_are_checked():
    for wrong in (0.0, 2.0, -1.0, torch.tensor([1.0, 2.5])):
        with pytest.raises(ParameterError, match="between 0 and 2"):
            ProximalGradient(step_size=wrong)


@pytest.mark.parametrize("name", ["fista l1", "cg", "pgd"])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_recomputed_steps_give_the_same_gradients_to_the_bit(name, batch):
    solvers = {
        "fista l1": lambda w: FISTA(prior=L1(), weight=w, rtol=1e-4, max_steps=60),
        "cg": lambda w: ConjugateGradient(weight=w, max_steps=6, rtol=1e-12),
        "pgd": lambda w: ProximalGradient(prior=Tikhonov(), weight=w, max_steps=20),
    }
    plain, again = (gradients(solvers[name], m, batch=batch) for m in ("unroll", "unroll_checkpointed"))
    for key, value in plain.items():
        assert torch.equal(value, again[key]), key


def stored(mode, steps):
    """Bytes that one unrolled solve keeps for its backward pass."""
    net = torch.nn.Sequential(
        torch.nn.Linear(8, 512, dtype=F64), torch.nn.Tanh(), torch.nn.Linear(512, 8, dtype=F64)
    )

    class Wide(Prior):
        def _value(self, x, space):
            return x.square().sum(-1)

        def _prox(self, x, step, space):
            return x - 0.1 * net(x)

    kept = {}

    def pack(t):
        kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes(), t
        return t

    solver = ProximalGradient(prior=Wide(), weight=1.0, max_steps=steps, rtol=0.0)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        x = solver.solve(normal(16, 12), Physics(Matrix(normal(12, 8))), differentiate=mode).value
    x.sum().backward()
    return sum(size for size, _ in kept.values())


def test_recomputed_steps_keep_little():
    """Hooks outside of recomputed steps do not see what they keep: the states, of known size, are counted."""
    states = 20 * 16 * 8 * 8 * 3
    assert stored("unroll_checkpointed", 20) + states < 0.25 * stored("unroll", 20)


def test_the_parameters_of_a_network_in_the_prior_have_implicit_gradients():
    net = network()
    solver = lambda w: ProximalGradient(prior=Network(network=net), weight=w, rtol=1e-13, max_steps=400)
    learned = tuple(net.parameters())
    leaves = {}
    for mode in ("implicit", "unroll"):
        physics = Physics(Matrix(normal(12, 8) / 6))
        x = solver(1.0).solve(normal(2, 12, seed=1), physics, differentiate=mode).value
        found = torch.autograd.grad(x.square().sum(), learned)
        leaves[mode] = {str(i): g for i, g in enumerate(found)}
    close(leaves["implicit"], leaves["unroll"], 1e-8)


def test_jacobian_free_is_the_gradient_of_one_more_step():
    net = network()
    physics = Physics(Matrix(normal(12, 8) / 6))
    solver = ProximalGradient(prior=Network(network=net), weight=1.0, rtol=1e-13, max_steps=400)
    y = normal(2, 12, seed=1).requires_grad_()
    solution = solver.solve(y, physics, differentiate="jacobian_free")
    plain = solver.solve(y, physics).value
    assert torch.equal(solution.value.detach(), plain)  # the value is that of the solve
    problem = solver.problem(y, physics)
    expected = torch.autograd.grad(solver.fixed_point(problem, plain).square().sum(), (y, *net.parameters()))
    got = torch.autograd.grad(solution.value.square().sum(), (y, *net.parameters()))
    exact = torch.autograd.grad(
        solver.solve(y, physics, differentiate="implicit").value.square().sum(), (y, *net.parameters())
    )
    for one, other, true in zip(got, expected, exact):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
        assert float((one * true).sum()) > 0  # a direction of ascent


def test_jacobian_free_needs_a_fixed_point():
    physics = Physics(Matrix(normal(12, 8)))
    with pytest.raises(SolverError, match="ConjugateGradient has no fixed point.*'implicit' or 'unroll'"):
        ConjugateGradient(weight=0.1).solve(normal(12), physics, differentiate="jacobian_free")
    with pytest.raises(ParameterError, match="differentiate must be"):
        FISTA().solve(normal(12), physics, differentiate="jfb")


def test_a_singular_fixed_point_falls_back_to_the_smallest_solution():
    """Where A has a null space I - J is singular; the gradient to y is that of the pseudo-inverse."""
    a = normal(5, 9)
    y = normal(5, seed=1).requires_grad_()
    solver = FISTA(weight=0.0, rtol=1e-13, max_steps=4000)
    x = solver.solve(y, Physics(Matrix(a)), differentiate="implicit").value
    weight = normal(9, seed=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = torch.autograd.grad((x * weight).sum(), y)[0]
    torch.testing.assert_close(got, torch.linalg.pinv(a).T @ weight, rtol=1e-6, atol=1e-8)


def test_no_graph_within_no_grad():
    y = normal(12).requires_grad_()
    physics = Physics(Matrix(normal(12, 8)))
    with torch.no_grad():
        for mode in ("implicit", "jacobian_free"):
            assert not FISTA(prior=L1(), weight=0.1).solve(y, physics, differentiate=mode).value.requires_grad


def ridge(matrix, weight, y, solver=None):
    """A number made of the ridge solution: by a solver, implicitly, or by its formula."""
    if solver is None:
        gram = matrix.mT @ matrix + weight * torch.eye(8, dtype=F64)
        return torch.linalg.solve(gram, matrix.mT @ y).square().sum()
    physics = Physics(Matrix(matrix), GaussianNoise(sigma=1.0))
    return solver(weight).solve(y, physics, differentiate="implicit").value.square().sum()


def second(of, matrix, weight):
    """A product with the Hessian, by autograd.grad with explicit inputs."""
    leaves = [matrix.clone().requires_grad_(), weight.clone().requires_grad_()]
    first = torch.autograd.grad(of(*leaves), leaves, create_graph=True)
    return first, torch.autograd.grad((first[0] * normal(12, 8, seed=5)).sum() + first[1], leaves)


RIDGE = {
    "fista": lambda w: FISTA(prior=Tikhonov(), weight=w, rtol=1e-14, max_steps=5000),
    "gd": lambda w: GradientDescent(prior=Tikhonov(), weight=w, rtol=1e-13),
    "admm": lambda w: ADMM(prior=Tikhonov(), weight=w, rtol=1e-12),
}


@pytest.mark.parametrize("name", list(RIDGE))
def test_second_derivatives_of_a_solution_are_those_of_its_formula(name):
    point = normal(12, 8), torch.tensor(0.3, dtype=F64)
    y = normal(12, seed=1)
    expected = second(lambda m, w: ridge(m, w, y), *point)
    found = second(lambda m, w: ridge(m, w, y, RIDGE[name]), *point)
    for some, others in zip(found, expected):
        for a, b in zip(some, others):
            torch.testing.assert_close(a.detach(), b.detach(), rtol=1e-7, atol=1e-9)
    hessian = torch.autograd.functional.hessian(lambda w: ridge(point[0], w, y, RIDGE[name]), point[1])
    exact = torch.autograd.functional.hessian(lambda w: ridge(point[0], w, y), point[1])
    torch.testing.assert_close(hessian, exact, rtol=1e-7, atol=1e-9)


def test_third_derivatives_of_a_fixed_point_and_transforms_are_refused():
    y, weight = normal(12, seed=1), torch.tensor(0.3, dtype=F64, requires_grad=True)
    of = lambda w: ridge(normal(12, 8), w, y, RIDGE["fista"])
    found = of(weight)
    for _ in range(2):
        (found,) = torch.autograd.grad(found, weight, create_graph=True)
    with pytest.raises(SolverError, match="orders one and two, not three"):
        torch.autograd.grad(found, weight)
    with pytest.raises(SolverError, match=r"not inside the transforms of torch\.func"):
        torch.func.grad(of)(weight.detach())


def test_a_jacobian_free_gradient_is_not_differentiated_again():
    y = normal(12).requires_grad_()
    solver = FISTA(prior=Tikhonov(), weight=0.1, rtol=1e-10, max_steps=500)
    x = solver.solve(y, Physics(Matrix(normal(12, 8))), differentiate="jacobian_free").value
    (first,) = torch.autograd.grad(x.square().sum(), y, create_graph=True)
    with pytest.raises(SolverError, match="no second derivative"):
        torch.autograd.grad(first.sum(), y, retain_graph=True)
    with pytest.raises(SolverError, match="no second derivative"):
        first.sum().backward()


@pytest.mark.parametrize("mode", ["unroll", "implicit"])
def test_a_weight_chosen_from_the_data_has_no_derivative(mode):
    y, solver = normal(12).requires_grad_(), FISTA(prior=L1())
    physics = Physics(Matrix(normal(12, 8)), GaussianNoise(sigma=0.5))
    with pytest.raises(ParameterError, match=r"weight='auto' is chosen from the data.*problem\(y, physics\)"):
        solver.solve(y, physics, differentiate=mode)
    held = dataclasses.replace(solver, weight=solver.problem(y, physics).weight)
    assert held.solve(y, physics, differentiate=mode).value.requires_grad


@pytest.mark.parametrize(
    "make", [lambda w: FISTA(prior=L1(), weight=w), lambda w: ADMM(weight=w, linearized=True)]
)
def test_unrolled_steps_of_an_operator_without_a_closed_norm(make):
    """Central differences of the very steps, whose length comes from a norm by Lanczos iteration."""
    domain, way = Space((1, 6, 6)), normal(1, 3, 3, seed=3)
    kernel, y = normal(1, 3, 3).abs() + 0.2, normal(1, 6, 6, seed=1)

    def value(kernel, mode):
        A = Convolution(kernel=kernel, domain=domain, boundary="zero")
        solver = dataclasses.replace(make(0.05), max_steps=4, rtol=0.0)
        return (solver.solve(y, Physics(A), differentiate=mode).value * normal(1, 6, 6, seed=2)).sum()

    leaf = kernel.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(leaf, "unroll"), leaf)
    slope = (value(kernel + 1e-5 * way, "none") - value(kernel - 1e-5 * way, "none")) / 2e-5
    torch.testing.assert_close((gradient * way).sum(), slope, rtol=1e-6, atol=1e-9)


def test_a_solver_whose_steps_cut_the_graph_says_so():
    class Rounding(Solver):
        max_steps: int = 3
        rtol: float = 0.0

        def init(self, problem):
            return State(problem.start())

        def step(self, problem, state):
            return State(problem.backprojection.detach().round())

        def converged(self, problem, state):
            return torch.zeros((), dtype=torch.bool)

    y = normal(12).requires_grad_()
    with pytest.raises(SolverError, match="Rounding: no derivative passes through its steps"):
        Rounding().solve(y, Physics(Matrix(normal(12, 8))), differentiate="unroll")


def test_the_noise_level_of_a_fidelity_learns():
    """dx/dσ of the ridge solution x = (AᵀA + λσ²)⁻¹Aᵀy."""
    a, y, sigma = normal(12, 8), normal(12, seed=1), torch.tensor(0.8, dtype=F64, requires_grad=True)
    solver = FISTA(
        prior=Tikhonov(), weight=0.5, fidelity=LeastSquares(sigma=sigma), rtol=1e-13, max_steps=800
    )
    x = solver.solve(y, Physics(Matrix(a)), differentiate="implicit").value
    got = torch.autograd.grad(x.sum(), sigma)[0]
    normal_matrix = a.T @ a + 0.5 * 0.8**2 * torch.eye(8, dtype=F64)
    expected = (
        -2 * 0.5 * 0.8 * torch.linalg.solve(normal_matrix, torch.linalg.solve(normal_matrix, a.T @ y)).sum()
    )
    torch.testing.assert_close(got, expected, rtol=1e-7, atol=1e-10)


def test_bilevel_learning_in_ten_lines():
    """Examples find the weight of soft thresholding with the least error, as does a search."""
    truth = torch.where(
        torch.rand(64, 50, generator=torch.Generator().manual_seed(0)) < 0.2, normal(64, 50), 0
    )
    physics = Physics(Mask(torch.ones(50, dtype=F64), domain=(50,)))
    y = truth + 0.3 * normal(64, 50, seed=1)

    log_weight = torch.zeros((), dtype=F64, requires_grad=True)
    optimizer = torch.optim.Adam([log_weight], lr=0.1)
    for _ in range(60):
        solver = FISTA(prior=L1(), weight=log_weight.exp())
        x = solver.solve(y, physics, differentiate="implicit").value
        loss = (x - truth).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    grid = torch.linspace(0.05, 1.5, 200, dtype=F64)
    losses = torch.stack(
        [(FISTA(prior=L1(), weight=float(w))(y, physics) - truth).square().mean() for w in grid]
    )
    assert abs(float(log_weight.detach().exp()) - float(grid[losses.argmin()])) < 0.03
    assert float(loss.detach()) <= float(losses.min()) * (1 + 5e-3)
