"""What a solver can solve, and the solver that is chosen."""

import dataclasses

import numpy as np
import pytest
import torch

import invcore
from invcore import ParameterError, Physics
from invcore.fidelities import Huber
from invcore.noises import LaplaceNoise, PoissonNoise
from invcore.operators import Matrix
from invcore.priors import L1, TV, Analysis, FunctionPrior, NonNegative, Prior, Tikhonov
from invcore.run._record import record
from invcore.solvers import ADMM, CGLS, FISTA, LBFGS, Auto, ChambollePock, CondatVu, DouglasRachford
from invcore_testsupport import error, normal, physics_of

MATRIX = normal(9, 6, seed=1).abs()
GAUSSIAN = physics_of(MATRIX, 0.5)
LAPLACE = Physics(Matrix(MATRIX), LaplaceNoise(scale=1.0))
COUNTS = Physics(Matrix(MATRIX), PoissonNoise())
LINE = TV(spatial_dims=1)
BEHIND = Analysis(L1(), Matrix(normal(4, 6)))


@pytest.mark.parametrize(
    ("solver", "physics", "prior", "why"),
    [
        (FISTA(), GAUSSIAN, L1(), ""),
        (FISTA(), LAPLACE, L1(), "no Lipschitz gradient"),
        (CondatVu(), COUNTS, L1(), "no Lipschitz gradient"),
        (LBFGS(), GAUSSIAN, L1(), "L1 has no gradient"),
        (LBFGS(), GAUSSIAN, TV(spatial_dims=1, smoothing=0.1), ""),
        (DouglasRachford(), LAPLACE, L1(), "only for the identity"),
        (ADMM(), LAPLACE, LINE + NonNegative(), ""),
        (ChambollePock(), COUNTS, BEHIND, ""),
        (CGLS(), GAUSSIAN, L1(), "takes no prior"),
        (FISTA(), GAUSSIAN, FunctionPrior(lambda x: x.square().sum()) + L1(), "'chambolle_pock'"),
        (FISTA(), GAUSSIAN, FunctionPrior(lambda x: x.square().sum()) + NonNegative(), ""),
        (ADMM(), physics_of(normal(5, 8)), BEHIND, "K acts on"),
    ],
)
def test_support_is_what_happens_when_the_solver_is_called(solver, physics, prior, why):
    found = solver.supports(physics, prior)
    assert bool(found) == (not why) and why in found.why
    if why and not isinstance(solver, CGLS):
        y = physics.operator(torch.ones(physics.domain.shape, dtype=torch.float64))
        with pytest.raises(invcore.InvcoreError):
            dataclasses.replace(solver, prior=prior, weight=1.0)(y, physics)


def test_another_fidelity_may_be_asked_for():
    assert FISTA().supports(LAPLACE, L1(), fidelity=Huber(delta=0.1))
    assert not FISTA().supports(GAUSSIAN, L1(), fidelity=LAPLACE.likelihood())


@pytest.mark.parametrize(
    ("physics", "prior", "name"),
    [
        (GAUSSIAN, None, "cgls"),
        (LAPLACE, None, "chambolle_pock"),
        (GAUSSIAN, Tikhonov(), "cg"),
        (GAUSSIAN, 0.5 * L1() + NonNegative(), "fista"),
        (GAUSSIAN, TV(spatial_dims=1, smoothing=0.1), "lbfgs"),
        (GAUSSIAN, LINE + NonNegative(), "condat_vu"),
        (COUNTS, LINE, "chambolle_pock"),
    ],
)
def test_the_choice_solves_the_problem_and_says_why(physics, prior, name):
    y = physics.operator(torch.arange(6, dtype=torch.float64)).round()
    options = {} if prior is None else {"prior": prior, "weight": 0.3}
    solution = invcore.solver("auto", rtol=1e-6, **options).solve(y, physics)
    assert solution.choice.startswith(f"{name}: ")
    if prior is not None:
        assert error(solution.value, ADMM(rtol=1e-6, **options)(y, physics)) < 1e-3


def test_options_left_open_are_those_of_the_choice():
    chosen = Auto(prior=L1(), weight=1.0).choose(GAUSSIAN).solver
    assert (chosen.rtol, chosen.max_steps) == (FISTA().rtol, FISTA().max_steps)
    assert Auto(prior=L1(), weight=1.0, rtol=1e-2).choose(GAUSSIAN).solver.rtol == 1e-2


def test_a_problem_that_none_can_solve_has_the_reasons_of_all():
    class Odd(Prior):
        """Neither a gradient nor a proximal operator."""

        def _value(self, x, space):
            return x.abs().sum(-1)

    with pytest.raises(ParameterError, match="(?s)ChambollePock takes .*GradientDescent takes "):
        Auto(prior=Odd(), weight=1.0).choose(GAUSSIAN)


def test_the_record_of_a_run_has_the_choice_beside_the_solver(tmp_path):
    np.save(tmp_path / "x.npy", np.eye(8, dtype=np.float32)[None])
    problem = {
        "image": {"file": str(tmp_path / "x.npy")},
        "operator": {"name": "identity", "domain": [1, 8, 8]},
        "noise": {"name": "gaussian", "sigma": 0.1},
        "solver": {"name": "auto", "prior": {"name": "l1"}, "weight": 0.1},
    }
    found = record(invcore.run.run(problem, output=tmp_path / "out"))["parameters"]
    assert found["choice"].startswith("fista: ") and "Auto" in str(found["solver"])
