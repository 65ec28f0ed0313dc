"""Independent Richardson–Lucy against a general minimizer, and in any unit of the counts."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

import invcore
from invcore import Physics, stack
from invcore.noises import PoissonNoise
from invcore.operators import Matrix
from invcore.solvers import RichardsonLucy
from invcore_optics import IndependentRichardsonLucy

PARTS = (0.3, 0.7)


def problem(gain):
    g = torch.Generator().manual_seed(0)
    A = torch.eye(5, 3, dtype=torch.float64) + 0.3 * torch.rand(5, 3, generator=g, dtype=torch.float64)
    x = torch.tensor([5.0, 1.0, 9.0], dtype=torch.float64)
    y = tuple(gain * torch.poisson(share * A @ x, generator=g) for share in PARTS)
    return A, y, Physics(stack([Matrix(share * A) for share in PARTS]), PoissonNoise(gain=gain))


@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_equals_a_general_minimizer(gain):
    A, y, physics = problem(gain)
    weight = 0.2

    def objective(flat):
        x = flat.reshape(2, 3)
        fit = sum(
            (a @ v - counts * np.log(a @ v + 1e-300)).sum()
            for a, v, counts in zip([share * A.numpy() for share in PARTS], x, [t.numpy() for t in y])
        )
        return fit / gain + 0.5 * weight * ((x - x.mean(0)) ** 2).sum()

    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 2000}
    best = minimize(objective, np.full(6, 4.0), method="L-BFGS-B", bounds=[(1e-9, None)] * 6, options=options)
    solver = IndependentRichardsonLucy(weight=weight, rtol=1e-10, max_steps=5000)
    found = solver(y, physics)
    expected = torch.from_numpy(best.x.reshape(2, 3).mean(0))
    assert float((found - expected).norm()) < 1e-4 * float(expected.norm())


def test_counts_in_another_unit():
    _, y, physics = problem(1.0)
    _, other, amplified = problem(4.0)
    reference = IndependentRichardsonLucy(weight=0.2)(y, physics)
    found = IndependentRichardsonLucy(weight=0.2 / 16)(other, amplified)
    assert torch.allclose(found, 4 * reference, rtol=1e-12)


def test_without_weight_each_part_is_a_richardson_lucy():
    A, y, physics = problem(1.0)
    found = IndependentRichardsonLucy(weight=0.0, max_steps=7, rtol=0.0).solve(y, physics).state.x
    start = IndependentRichardsonLucy(weight=0.0).init(IndependentRichardsonLucy().problem(y, physics)).x
    for k, share in enumerate(PARTS):
        alone = RichardsonLucy(max_steps=7, rtol=0.0)
        expected = alone.solve(y[k], Physics(Matrix(share * A), PoissonNoise()), x0=start[k]).value
        assert torch.allclose(found[k], expected, rtol=1e-12)


def test_one_set_of_counts_is_refused():
    A, y, _ = problem(1.0)
    with pytest.raises(invcore.ParameterError, match="two or more independent parts"):
        IndependentRichardsonLucy()(y[0], Physics(Matrix(A), PoissonNoise()))
