"""Weights of particles."""

import torch

from invcore_diffusion._particles.resampling import chosen, effective_size, one_of, resampled, systematic
from invcore_testsupport import rng

F64 = torch.float64


def test_effective_size_of_equal_and_of_one_weight():
    log_weights = torch.tensor([[0.0, 0.0], [0.0, -torch.inf], [0.0, -torch.inf]], dtype=F64)
    assert torch.allclose(effective_size(log_weights), torch.tensor([3.0, 1.0], dtype=F64))


def test_each_particle_is_drawn_as_often_as_its_weight_says_up_to_one():
    log_weights = torch.randn(7, 500, generator=rng(0), dtype=F64)
    index = systematic(log_weights, 20, rng(1))
    counts = torch.stack([(index == i).sum(0) for i in range(7)])
    expected = 20 * log_weights.softmax(0)
    assert (counts - expected).abs().max() < 1
    assert (counts.double().mean(1) - expected.mean(1)).abs().max() < 0.1  # no particle is favored


def test_one_particle_is_drawn_by_weight():
    log_weights = torch.tensor([0.2, 0.5, 0.3], dtype=F64).log()[:, None].expand(3, 40000)
    particles = torch.arange(3.0)[:, None, None].expand(3, 40000, 1)
    drawn = one_of(particles, log_weights, rng(2)).flatten().long().bincount(minlength=3) / 40000
    assert (drawn - torch.tensor([0.2, 0.5, 0.3])).abs().max() < 0.01


def test_only_poor_items_are_resampled():
    log_weights = torch.log(torch.tensor([[0.25, 0.97], [0.25, 0.01], [0.25, 0.01], [0.25, 0.01]], dtype=F64))
    particles = torch.arange(8.0).view(4, 2, 1)
    (kept, same), weights = resampled((particles, particles + 1), log_weights, 0.5, rng(3))
    assert torch.equal(kept[:, 0], particles[:, 0]) and torch.equal(weights[:, 0], log_weights[:, 0])
    assert kept[:, 1].flatten().tolist().count(1.0) >= 3 and torch.equal(same, kept + 1)
    assert torch.allclose(weights[:, 1].exp(), torch.full((4,), 0.25, dtype=F64))


def test_complex_particles_are_chosen():
    particles = torch.randn(3, 2, 4, generator=rng(4), dtype=torch.complex128)
    assert torch.equal(
        chosen(particles, torch.tensor([[2, 0]]))[0], torch.stack([particles[2, 0], particles[0, 1]])
    )
