"""Poisson data with a background: randoms and scatter in emission tomography, dark counts of a camera."""

import torch

from invcore import Physics
from invcore.fidelities import PoissonKL
from invcore.noises import PoissonNoise
from invcore.operators import Matrix, Space, stack
from invcore.solvers import OSEM, RichardsonLucy


def test_mean_and_variance_include_the_background():
    background = torch.tensor([0.5, 4.0])
    noise = PoissonNoise(gain=0.5, background=background)
    generator = torch.Generator().manual_seed(0)
    y = noise(torch.full((20000, 2), 2.0), space=Space((2,)), generator=generator)
    expected = 2.0 + background
    assert torch.allclose(y.mean(0), expected, atol=6 * float((0.5 * expected / 20000).max().sqrt()))
    assert torch.allclose(y.var(0), 0.5 * expected, rtol=0.06)


def test_one_background_for_each_sample_gives_the_same_draws_in_any_split():
    background = torch.rand(3, 4, generator=torch.Generator().manual_seed(1)) * 5
    u, space = torch.ones(3, 4), Space((4,))
    whole = PoissonNoise(background=background)(u, space=space, generator=torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(2)
    parts = [PoissonNoise(background=b)(v, space=space, generator=generator) for b, v in zip(background, u)]
    assert torch.equal(whole, torch.stack(parts))


def test_likelihood_knows_the_background_of_each_block():
    noise = PoissonNoise(background=(torch.tensor([1.0, 2.0]), torch.tensor([3.0])))
    u = (torch.tensor([1.0, 1.0]), torch.tensor([1.0]))
    y = (torch.tensor([2.0, 3.0]), torch.tensor([4.0]))
    spaces = (Space((2,)), Space((1,)))
    f = noise.likelihood()
    assert isinstance(f, PoissonKL)
    assert torch.allclose(f.value(u, y, spaces), torch.tensor(0.0))
    assert all(bool((g == 0).all()) for g in f.grad(u, y, spaces))
    assert noise(u, space=spaces, generator=torch.Generator().manual_seed(0))[0].shape == (2,)


def test_expectation_maximization_takes_a_background_for_each_entry_and_block():
    generator = torch.Generator().manual_seed(0)
    parts = [Matrix(torch.rand(5, 3, generator=generator, dtype=torch.float64)) for _ in range(2)]
    truth = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    backgrounds = tuple(torch.rand(5, generator=generator, dtype=torch.float64) for _ in parts)
    y = tuple(A(truth) + b for A, b in zip(parts, backgrounds))
    physics = Physics(stack(parts), PoissonNoise(background=backgrounds))
    for solver in (OSEM(max_steps=20000, rtol=1e-10), RichardsonLucy(max_steps=40000, rtol=1e-10)):
        assert torch.allclose(solver(y, physics), truth, rtol=1e-4)
