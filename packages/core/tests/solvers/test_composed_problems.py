"""Problems put together from several terms, against CVXPY: two priors, K of one's own, blocks, functions.

``composed_problems.json`` holds CVXPY's solutions; where CVXPY is installed
``python test_composed_problems.py`` writes them again, without torch.
"""

import json
from pathlib import Path

import numpy as np
import pytest

RECORD = Path(__file__).with_name("composed_problems.json")
N, M = 12, 16


def data():
    """A matrix, an image of three plateaus, noisy data, and two operators for priors."""
    r = np.random.default_rng(12)
    A = r.standard_normal((M, N)) / 4
    x = np.repeat([0.0, 1.5, -0.5, 1.0], 3)
    return {
        "A": A,
        "y": A @ x + 0.1 * r.standard_normal(M),
        "B": r.standard_normal((M, N)) / 4,
        "K": r.standard_normal((8, N)) / 3,
        "L": r.standard_normal((9, N)) / 3,
        "outliers": A @ x + np.where(r.random(M) < 0.2, 3.0, 0.0),
        "counts": r.poisson(5 * np.abs(A) @ np.abs(x)).astype(float),
        "v": r.standard_normal(N),
    }


def total_variation(x):
    """Isotropic, of a 3 × 4 image, with differences of zero at the ends."""
    import cvxpy as cp

    image = cp.reshape(x, (3, 4), order="C")
    down = cp.vstack([image[1:] - image[:-1], np.zeros((1, 4))])
    right = cp.hstack([image[:, 1:] - image[:, :-1], np.zeros((3, 1))])
    return cp.sum(cp.norm(cp.vstack([cp.vec(down, order="C"), cp.vec(right, order="C")]), axis=0))


def truths():
    """Solutions of CVXPY, by name."""
    import cvxpy as cp

    d, x = data(), cp.Variable(N)
    A, B, K, L, y = (d[k] for k in ("A", "B", "K", "L", "y"))
    fit = cp.sum_squares(A @ x - y) / 2
    tv, l1 = cp.norm1(cp.diff(x)), cp.norm1(x)
    robust = cp.norm1(A @ x - d["outliers"])
    rate = 5 * np.abs(A) @ x + 0.1
    kl = cp.sum(cp.kl_div(d["counts"], rate))
    log_cosh = cp.sum(cp.logistic(2 * x) - x)  # up to a constant
    problems = {
        "tv and bounds": (fit + 0.1 * tv, [x >= 0]),
        "tv and l1": (fit + 0.1 * tv + 0.05 * l1, []),
        "elastic net in a box": (fit + 0.1 * l1 + 0.1 * cp.sum_squares(x), [x >= -0.3, x <= 0.8]),
        "2-D tv and bounds": (fit + 0.1 * total_variation(x), [x >= 0]),
        "analysis": (fit + 0.1 * cp.norm1(K @ x), []),
        "analysis and bounds": (fit + 0.1 * cp.norm1(K @ x) + 0.1 * cp.sum_squares(L @ x), [x >= 0]),
        "blocks": (fit / 0.25 + cp.norm1(B @ x - d["outliers"]) / 0.5 + 0.2 * tv, []),
        "counts and bounds": (fit + kl + 0.1 * tv, [x >= 0]),
        "function": (fit + 0.1 * log_cosh, [x >= 0]),
        "robust": (robust + 0.3 * tv + 0.1 * l1, []),
        "robust, in front of an operator": (robust + cp.sum_squares(x - d["v"]) / 1.4, []),
    }
    found = {}
    for name, (objective, constraints) in problems.items():
        options = {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12}
        cp.Problem(cp.Minimize(objective), constraints).solve(solver=cp.CLARABEL, **options)
        found[name] = [round(float(v), 9) for v in x.value]
    return found


def problems():
    """(data, physics, prior, weight) of each problem in invcore."""
    import torch

    from invcore import Physics
    from invcore.noises import BlockNoise, GaussianNoise, LaplaceNoise, PoissonNoise
    from invcore.operators import LinearOperator, Matrix, Space, stack
    from invcore.priors import L1, TV, Analysis, Box, FunctionPrior, NonNegative, Quadratic, Tikhonov

    d = {name: torch.as_tensor(v) for name, v in data().items()}
    A, K, L, y = Matrix(d["A"]), Matrix(d["K"]), Matrix(d["L"]), d["y"]
    exact = {"rtol": 1e-9, "max_steps": 20_000}
    tv = TV(spatial_dims=1, **exact)
    plain = Physics(A)

    class Flat(LinearOperator):
        """An image as a vector."""

        domain: Space
        range = Space((N,))

        def forward(self, x):
            return x.flatten(-len(self.domain.shape))

        def adjoint(self, y):
            return y.unflatten(-1, self.domain.shape)

    row, image = Flat(domain=Space((1, N))), Flat(domain=Space((1, 3, 4)))

    def log_cosh(x):
        return (x + torch.nn.functional.softplus(-2 * x)).sum()

    return {
        "tv and bounds": (y, Physics(A @ row), tv + NonNegative(), 0.1),
        "tv and l1": (y, Physics(A @ row), 0.1 * tv + 0.05 * L1(), 1.0),
        "elastic net in a box": (y, plain, L1() + 2 * Tikhonov() + Box(lower=-0.3, upper=0.8), 0.1),
        "2-D tv and bounds": (y, Physics(A @ image), TV(**exact) + NonNegative(), 0.1),
        "analysis": (y, plain, Analysis(L1(), K), 0.1),
        "analysis and bounds": (y, plain, Analysis(L1(), K) + 2.0 * Quadratic(L) + NonNegative(), 0.1),
        "blocks": (
            (y, d["outliers"]),
            Physics(
                stack([A @ row, Matrix(d["B"]) @ row]),
                BlockNoise((GaussianNoise(sigma=0.5), LaplaceNoise(scale=0.5))),
            ),
            tv,
            0.2,
        ),
        "counts and bounds": (
            (y, d["counts"]),
            Physics(
                stack([A @ row, 5 * Matrix(d["A"].abs()) @ row]),
                BlockNoise((GaussianNoise(sigma=1.0), PoissonNoise(background=0.1))),
            ),
            tv + NonNegative(),
            0.1,
        ),
        "function": (y, plain, FunctionPrior(log_cosh, rtol=1e-10) + NonNegative(), 0.1),
        "robust": (d["outliers"], Physics(A @ row, LaplaceNoise(scale=1.0)), 3 * tv + L1(), 0.1),
    }


SOLVERS = {
    "tv and bounds": ("chambolle_pock", "fista"),
    "tv and l1": ("condat_vu", "fista"),
    "elastic net in a box": ("admm", "fista"),
    "2-D tv and bounds": ("chambolle_pock", "fista"),
    "analysis": ("condat_vu", "admm", "fista"),
    "analysis and bounds": ("chambolle_pock", "condat_vu", "fista"),
    "blocks": ("chambolle_pock", "admm"),
    "counts and bounds": ("chambolle_pock",),
    "function": ("condat_vu", "admm"),
    "robust": ("chambolle_pock", "admm"),
}


@pytest.mark.parametrize(("name", "solver"), [(n, s) for n, some in SOLVERS.items() for s in some])
def test_solvers_find_what_cvxpy_finds(name, solver):
    import invcore

    y, physics, prior, weight = problems()[name]
    method = invcore.solver(solver, prior=prior, weight=weight, rtol=1e-7, max_steps=20_000)
    x = method(y, physics).reshape(-1)
    assert np.abs(x.numpy() - json.loads(RECORD.read_text())[name]).max() < 1e-4


def test_a_fidelity_in_front_of_an_operator_has_the_proximal_operator_that_cvxpy_finds():
    import torch

    from invcore.fidelities import L1, Composed
    from invcore.operators import Matrix

    d = {name: torch.as_tensor(v) for name, v in data().items()}
    x = Composed(L1(), Matrix(d["A"]), rtol=1e-10).prox(d["v"], d["outliers"], 0.7)
    found = json.loads(RECORD.read_text())["robust, in front of an operator"]
    assert np.abs(x.numpy() - found).max() < 1e-6


def test_the_record_is_that_of_cvxpy():
    pytest.importorskip("cvxpy")
    recorded = json.loads(RECORD.read_text())
    for name, x in truths().items():
        assert np.abs(np.array(x) - recorded[name]).max() < 1e-6, name


if __name__ == "__main__":
    RECORD.write_text(json.dumps(truths(), indent=0) + "\n")
