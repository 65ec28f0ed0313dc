"""The loop that runs every solver: statuses, progress, callbacks, and errors that name the cause."""

import math
import pickle
import time

import pytest
import torch
from torch import Tensor

from invcore import (
    DataError,
    DtypeError,
    ParameterError,
    Physics,
    ShapeError,
    SolverError,
)
from invcore.operators import Identity, LinearOperator, Mask, Matrix, Space, stack
from invcore.priors import L1, WaveletL1
from invcore.solvers import FISTA, ConjugateGradient, Problem, Status
from invcore_testsupport import error, normal, physics_of, rng

F64, C128 = torch.float64, torch.complex128


def test_statuses_and_their_messages():
    A, y = normal(30, 20), normal(30, seed=1)
    assert ConjugateGradient(weight=1.0).solve(y, physics_of(A)).status is Status.CONVERGED
    short = ConjugateGradient(weight=0.0, max_steps=2, rtol=1e-10).solve(y, physics_of(A))
    assert short.status is Status.MAX_STEPS and int(short.stats["steps"]) == 2
    assert "raise max_steps" in short.status.value
    assert repr(short) == "Solution(MAX_STEPS, steps=2)"
    none = ConjugateGradient(weight=0.0, max_steps=0).solve(y, physics_of(A))
    assert none.status is Status.MAX_STEPS and not none.value.any()
    for status in Status:
        assert status.value.endswith((".", ").")) and len(status.value) > 20


def test_a_callback_sees_every_step_and_stops():
    seen = []

    def callback(k, problem, state):
        assert isinstance(problem, Problem)
        seen.append((k, state))
        return k == 3

    solution = FISTA(prior=L1(), weight=0.1, rtol=0.0).solve(
        normal(8), physics_of(normal(8, 5)), callback=callback
    )
    assert [k for k, _ in seen] == [0, 1, 2, 3]
    assert solution.status is Status.STOPPED and int(solution.stats["steps"]) == 4
    assert torch.equal(solution.value, seen[-1][1].x)


@pytest.mark.parametrize("differentiate", ["none", "unroll"])
def test_progress_goes_to_standard_error_only(differentiate, capfd, recwarn, monkeypatch):
    monkeypatch.setattr("invcore.solvers._progress._EVERY", 1e-4)
    y = normal(2, 8).requires_grad_()
    for solver in (FISTA(prior=L1(), weight=0.1), ConjugateGradient(weight=0.1)):
        physics = physics_of(normal(8, 5))
        pause = lambda *_: time.sleep(2e-3)
        solver.solve(y, physics, progress=True, differentiate=differentiate, callback=pause)
        out, err = capfd.readouterr()
        assert out == "" and type(solver).__name__ in err
    assert not recwarn
    FISTA(prior=L1(), weight=0.1).solve(normal(8), physics_of(normal(8, 5)))
    assert capfd.readouterr() == ("", "")


def test_nothing_global_is_touched():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    FISTA(prior=WaveletL1(wavelet="haar"), max_steps=3)(normal(1, 8, 8), Physics(Identity((1, 8, 8))))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.is_grad_enabled()


def test_same_seed_same_result():
    physics = Physics(Identity((1, 16, 16)))
    solve = lambda seed: FISTA(prior=WaveletL1(seed=seed), weight=1.0, max_steps=10)(
        normal(1, 16, 16), physics
    )
    assert torch.equal(solve(3), solve(3))
    assert not torch.equal(solve(3), solve(4))


def test_data_that_are_not_finite_are_counted_and_located():
    y = normal(3, 8)
    y[1, 2] = math.nan
    y[2, 5] = -math.inf
    with pytest.raises(
        DataError, match=r"2 values that are NaN or infinite, of 24; the first is at index \(1, 2\)"
    ):
        ConjugateGradient(weight=1.0)(y, physics_of(normal(8, 5)))
    stacked = Physics(stack([Matrix(normal(2, 3)), Matrix(normal(3, 3))]))
    with pytest.raises(DataError, match=r"block 1 has 1 value .* of 3; the first is at index \(0,\)"):
        FISTA(weight=1.0)((normal(2), torch.tensor([math.inf, 0, 0], dtype=F64)), stacked)
    with pytest.raises(DataError):
        ConjugateGradient(weight=1.0)(
            torch.tensor(complex(0, math.nan)).expand(3), physics_of(normal(3, 2, dtype=torch.complex64))
        )


class Overstated(LinearOperator):
    """Its norm bound is too small by a factor of four: gradient steps diverge."""

    domain: Space

    @property
    def range(self):
        return self.domain

    def forward(self, x):
        return 4 * x

    def adjoint(self, y):
        return 4 * y

    def norm_bound(self):
        return torch.ones(())


def test_divergence_is_an_error_that_names_the_cause():
    physics = Physics(Overstated(domain=Space((3,))))
    with pytest.raises(SolverError, match=r"FISTA failed after \d+ steps.*norm_bound.*testing\.check"):
        FISTA(prior=L1(), weight=0.1, max_steps=1000)(torch.ones(3), physics)
    solution = FISTA(prior=L1(), weight=0.1, max_steps=1000).solve(torch.ones(3), physics, throw=False)
    assert solution.status is Status.NONFINITE
    assert int(solution.stats["steps"]) < 200


def test_wrong_data_are_refused():
    physics = physics_of(normal(8, 5))
    solver = ConjugateGradient(weight=1.0)
    with pytest.raises(
        ShapeError, match=r"ConjugateGradient: data y: expected shape \(batch..., 8\), got \(7,\)"
    ):
        solver(normal(7), physics)
    with pytest.raises(DtypeError, match="expected a real"):
        solver(normal(8, dtype=C128), physics)
    with pytest.raises(DtypeError, match="expected a real"):
        solver(torch.ones(8, dtype=torch.int64), physics)
    with pytest.raises(DtypeError, match="torch.as_tensor"):
        solver([1.0] * 8, physics)
    with pytest.raises(ShapeError, match="starting point x0"):
        solver.solve(normal(8), physics, x0=normal(4))
    with pytest.raises(ShapeError, match="tuple of 2 tensors"):
        solver(normal(8), Physics(stack([physics.operator, physics.operator])))


def test_batches_that_do_not_fit():
    A, y = normal(8, 5), normal(4, 8)
    for solver, physics, x0 in (
        (ConjugateGradient(weight=torch.ones(3, dtype=F64)), physics_of(A), None),
        (FISTA(prior=L1(), weight=torch.ones(3, dtype=F64)), physics_of(A), None),
        (FISTA(prior=L1()), physics_of(A, torch.ones(3, dtype=F64)), None),
        (FISTA(prior=L1(), weight=1.0), physics_of(A.expand(3, 8, 5)), None),
        (FISTA(prior=L1(), weight=1.0), physics_of(A), normal(3, 5)),
        (ConjugateGradient(weight=1.0), physics_of(A), normal(3, 5)),
    ):
        said = r"batch dimensions do not broadcast: y \(4,\).*3|sigma has shape \(3,\).*the batch \(4,\)"
        with pytest.raises(ShapeError, match=said):
            solver.solve(y, physics, x0=x0)


def test_data_of_another_precision_are_promoted():
    physics, y = physics_of(normal(8, 5)), normal(8).float()
    for solver in (ConjugateGradient(), FISTA(prior=L1(), weight=1.0)):
        x = solver(y, physics)
        assert x.dtype == F64 and error(x, solver(y.double(), physics)) < 1e-6


def test_starting_points_bring_their_batch():
    A, y, x0 = normal(8, 5), normal(8), normal(3, 5, seed=2)
    for solver in (ConjugateGradient(weight=1.0, rtol=1e-10), FISTA(weight=1.0, rtol=1e-10, max_steps=5000)):
        x = solver.solve(y, physics_of(A), x0=x0).value
        assert x.shape == (3, 5)
        assert error(x, solver(y, physics_of(A)).expand(3, 5)) < 1e-6


def test_data_on_another_device():
    from invcore.testing._device import pretended_device

    physics = physics_of(normal(8, 5))
    with pretended_device() as far:
        y = normal(8).to(far)
        with pytest.raises(DataError, match=r"The data is on .*, the physics on cpu.*physics.to\("):
            ConjugateGradient(weight=1.0)(y, physics)
        assert ConjugateGradient(weight=1.0)(y, physics.to(far)).device == y.device


@pytest.mark.parametrize(
    "options, message",
    [
        ({"weight": "best"}, "weight must be 'auto' or finite and not negative, got 'best'"),
        ({"weight": -1.0}, "weight .* got -1.0"),
        ({"weight": math.nan}, "weight .* got nan"),
        ({"weight": math.inf}, "weight .* got inf"),
        ({"weight": torch.tensor([1.0, -1.0])}, "weight"),
        ({"max_steps": -1}, "max_steps must be a whole number >= 0, got -1"),
        ({"max_steps": 1.5}, "max_steps"),
        ({"rtol": -1e-3}, "rtol must be a finite number >= 0"),
        ({"rtol": math.nan}, "rtol"),
    ],
)
@pytest.mark.parametrize("make", [ConjugateGradient, FISTA])
def test_options_that_make_no_sense(make, options, message):
    with pytest.raises(ParameterError, match=f"{make.__name__}: {message}"):
        make(**options)(normal(8), physics_of(normal(8, 5)))


def test_solvers_are_values():
    solver = FISTA(prior=WaveletL1(seed=3), weight=torch.tensor([0.1, 0.2]))
    again = pickle.loads(pickle.dumps(solver))
    assert torch.equal(again.weight, solver.weight) and again.prior.seed == 3
    assert solver.bind(weight=0.5).weight == 0.5 and isinstance(solver.weight, Tensor)
    assert repr(ConjugateGradient(weight=1.0)).startswith(
        "ConjugateGradient(weight=1.0, max_steps=1000, rtol=1e-05"
    )


def test_the_result_does_not_depend_on_the_number_of_threads():
    physics = Physics(Mask((torch.rand(256, 256, generator=rng()) > 0.5).float(), domain=(1, 256, 256)))
    y = physics(normal(1, 256, 256, dtype=torch.float32))
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(FISTA(prior=WaveletL1(), weight=0.1, max_steps=20)(y, physics))
    finally:
        torch.set_num_threads(1)
    assert error(*results) < 1e-5
