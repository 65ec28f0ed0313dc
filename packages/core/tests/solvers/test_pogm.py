"""POGM against FISTA run to the end, and proximal steps that start where the last one ended."""

import pytest
import torch

from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.operators import Convolution, Mask
from invcore.priors import L1, TV
from invcore.solvers import FISTA, POGM, ProximalGradient


def blurred():
    """Spikes under a blur, so that most singular values are small."""
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(1, 12, 12, dtype=torch.float64)
    x[0, ::5, ::4] = 1.0
    kernel = torch.tensor([[[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]], dtype=torch.float64) / 16
    physics = Physics(Convolution(kernel=kernel, domain=(1, 12, 12)), GaussianNoise(sigma=0.02))
    return physics(x, generator=generator), physics


def test_fewer_steps_than_fista_to_the_same_image():
    y, physics = blurred()
    given = {"prior": L1(), "weight": 20.0, "rtol": 0.0, "max_steps": 2000}
    best = ProximalGradient(**{**given, "rtol": 1e-9}, backtracking=True)(y, physics)
    found = {}
    for solver in (FISTA(**given), POGM(**given)):
        solution = solver.solve(
            y, physics, callback=lambda k, p, s: bool((s.x - best).norm() < 1e-3 * best.norm())
        )
        found[type(solver).__name__] = int(solution.stats["steps"])
    assert found["POGM"] < 0.9 * found["FISTA"]


def test_a_warm_proximal_step_gives_the_same_image_in_fewer_iterations():
    y, _ = blurred()
    prior = TV(rtol=1e-8)
    with torch.no_grad():
        memory = prior.memory(y)
        cold, memory = prior.warm_prox(y, 0.1, None, memory)
        near = y + 1e-3 * torch.sin(torch.arange(12.0, dtype=torch.float64))
        warm, _ = prior.warm_prox(near, 0.1, None, memory)
    torch.testing.assert_close(cold, prior.prox(y, 0.1))
    torch.testing.assert_close(warm, prior.prox(near, 0.1), rtol=0, atol=1e-3)
    steps = [int(prior.denoise(near, 0.1, dual=dual).steps) for dual in (None, memory[0])]
    assert steps[1] < steps[0]
    assert prior.memory(y) == ()  # where derivatives may be asked for


@pytest.mark.parametrize("method", [FISTA, POGM])
def test_it_does_not_stop_at_a_restart(method):
    """The steps just after one are short, then they are long again: those are no reason to stop."""
    rtol = 3e-4
    for seed in (1, 3, 5, 6):
        noise = torch.randn(1, 6, 10, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        for least in (1e-3, 1e-2):
            d = torch.logspace(0, 1, 60, base=least, dtype=torch.float64).reshape(1, 6, 10)
            physics, y = Physics(Mask(mask=d, domain=(1, 6, 10))), d**1.5 * noise
            steps = int(method(rtol=rtol).solve(y, physics).stats["steps"])
            further = method(rtol=0.0, max_steps=steps + 60).solve(y, physics).stats["change"][steps:]
            assert float(further.max()) < 1.2 * rtol
