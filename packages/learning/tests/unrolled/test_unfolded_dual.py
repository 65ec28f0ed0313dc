"""Unfolded proximal networks against the minimizer that their iterations tend to."""

import pytest
import torch

import invcore
from invcore_learning import UnfoldedDual
from invcore_learning._unrolled.unfolded_dual import VARIANTS, analysis, denoised, squared_norm, synthesis

F = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def box_solution(M, z, level):
    """min ½‖x - z‖² + ν‖Mx‖₁ by its dual, a box-constrained least squares problem (SciPy)."""
    optimize = pytest.importorskip("scipy.optimize")
    found = optimize.lsq_linear(M.T.numpy(), z.numpy(), (-level, level), method="bvls", tol=1e-14)
    return z - M.T @ torch.as_tensor(found.x)


@pytest.mark.parametrize("variant", VARIANTS)
def test_many_steps_give_the_proximal_operator_of_total_variation(variant):
    z = torch.cumsum(torch.randn(40, generator=seeded(), dtype=F), 0) * 0.3
    eye = torch.eye(40, dtype=F)
    M = eye[1:] - eye[:-1]
    exact = box_solution(M, z, 0.3)
    run = lambda steps: denoised(
        lambda k, x: M @ x, lambda k, u: M.T @ u, lambda k: 4.0, z, 0.3, steps, variant
    )
    errors = [float((run(steps) - exact).norm() / exact.norm()) for steps in (20, 200)]
    assert errors[0] < 3e-2 and errors[1] < (2e-3 if variant == "sccp" else 1e-6)


def matrix(map_, shape):
    eye = torch.eye(shape.numel(), dtype=F).reshape(-1, *shape)
    return map_(eye).flatten(1).T


@pytest.mark.parametrize("size", [(6, 9), (5, 4), (3, 3)])
def test_filter_bank_its_adjoint_and_its_norm(size):
    one = torch.randn(4, 1, 3, 3, generator=seeded(1), dtype=F)
    D = matrix(lambda x: analysis(x, one), torch.Size((1, *size)))
    assert torch.equal(matrix(lambda u: synthesis(u, one), torch.Size((4, *size))), D.T)
    exact = torch.linalg.matrix_norm(D, 2) ** 2
    if min(size) < 4:  # an image that does not hold the kernel of DᵀD
        assert exact <= squared_norm(one, size) <= 2 * exact
    else:
        torch.testing.assert_close(squared_norm(one, size), exact)
    three = torch.randn(5, 3, 3, 3, generator=seeded(2), dtype=F)
    D = matrix(lambda x: analysis(x, three), torch.Size((3, *size)))
    exact = torch.linalg.matrix_norm(D, 2) ** 2
    assert exact * (1 - 1e-12) <= squared_norm(three, size) <= 3 * exact


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_tight_frame_is_one_whatever_the_weights(dims):
    D = UnfoldedDual(features=30, tight=True, tied=True, spatial_dims=dims).to(F)
    bank = D._bank(torch.randn(D.filters[0].shape, generator=seeded(3), dtype=F))
    x = torch.randn(2, 1, *(5, 4, 6)[:dims], generator=seeded(4), dtype=F)
    torch.testing.assert_close(synthesis(analysis(x, bank), bank), x)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("tight", [False, True])
def test_gradients_are_those_of_finite_differences(variant, tight):
    torch.manual_seed(0)
    D = UnfoldedDual(features=10, steps=3, variant=variant, tight=tight, value_range=None).to(F)
    x = torch.randn(1, 6, 6, generator=seeded(5), dtype=F)
    weights = torch.randn(x.shape, generator=seeded(6), dtype=F)
    loss = lambda: (weights * D(x, 0.2)).sum()
    loss().backward()
    if tight:  # without a frame the steps follow the norm, which is no part of the derivative
        direction = torch.randn(D.filters.shape, generator=seeded(7), dtype=F)
        check_slope(D.filters, direction, loss)
    check_slope(D.scale.theta, torch.ones((), dtype=F), loss)


def check_slope(p, direction, loss):
    with torch.no_grad():
        p += 1e-6 * direction
        above = loss()
        p -= 2e-6 * direction
        below = loss()
        p += 1e-6 * direction
    torch.testing.assert_close((p.grad * direction).sum(), (above - below) / 2e-6, rtol=1e-5, atol=1e-8)


def test_a_truncated_network_is_not_promised_to_be_nonexpansive():
    """Booklet: ‖J‖ = 1.0036 after 20 steps from zero; converged it is at most 1."""
    z = torch.cumsum(torch.randn(40, generator=seeded(), dtype=F), 0) * 0.3
    eye = torch.eye(40, dtype=F)
    M = eye[1:] - eye[:-1]
    run = lambda steps: (
        lambda x: denoised(lambda k, v: M @ v, lambda k, u: M.T @ u, lambda k: 4.0, x, 0.3, steps, "difb")
    )
    norm = lambda steps: float(torch.linalg.matrix_norm(torch.func.jacrev(run(steps))(z), 2))
    assert norm(2000) <= 1 + 1e-6


def test_it_denoises_and_is_refused_without_a_level():
    D = UnfoldedDual(features=9, steps=2)
    with pytest.raises(invcore.ParameterError, match="needs the noise level"):
        D(torch.rand(1, 8, 8))
    with pytest.raises(invcore.ParameterError, match="at least 9 filters"):
        UnfoldedDual(features=8, tight=True)
    with pytest.raises(invcore.ParameterError, match="variant is one of"):
        UnfoldedDual(variant="fista")


def test_synthesis_filters_of_their_own_start_as_the_adjoint():
    torch.manual_seed(0)
    options = {"features": 5, "steps": 4, "value_range": None}
    apart, one = UnfoldedDual(**options, apart=True).to(F), UnfoldedDual(**options).to(F)
    one.filters.data = apart.filters.data
    x = torch.randn(2, 1, 6, 7, generator=seeded(5), dtype=F)
    torch.testing.assert_close(apart(x, 0.2), one(x, 0.2), rtol=0, atol=1e-13)
    with pytest.raises(invcore.ParameterError, match="excludes apart"):
        UnfoldedDual(features=9, tight=True, apart=True)


def test_synthesis_filters_of_their_own_against_matrices():
    apart = UnfoldedDual(features=3, steps=3, tied=True, apart=True, strength=5.0, value_range=None).to(F)
    apart.filters.data = torch.randn(apart.filters.shape, generator=seeded(1), dtype=F)
    apart.back.data = torch.randn(apart.filters.shape, generator=seeded(2), dtype=F)
    size = torch.Size((1, 5, 6))
    D = matrix(lambda x: analysis(x, apart.filters[0]), size)
    S = matrix(lambda x: analysis(x, apart.back[0]), size).T
    z, level = torch.randn(30, generator=seeded(3), dtype=F), 5.0 * 0.2**2
    step = 1.99 / (torch.linalg.matrix_norm(D, 2) * torch.linalg.matrix_norm(S, 2))
    u = torch.zeros(len(D), dtype=F)
    for _ in range(3):
        u = (u + step * D @ (z - S @ u)).clamp(-level, level)
    torch.testing.assert_close(apart(z.view(size), 0.2).flatten(), z - S @ u)
    (apart(z.view(size), 0.2).square().sum()).backward()
    assert all(bool((p.grad != 0).any()) for p in apart.parameters())
