"""Gaussian noise: its moments, its level for each sample, its draws whatever the batch."""

import math

import pytest
import torch

from invcore import ParameterError
from invcore.noises import GaussianNoise, NoNoise
from invcore.operators import Space
from invcore_testsupport import normal, rng

F64, C128 = torch.float64, torch.complex128


@pytest.mark.parametrize("dtype", [torch.float32, F64, torch.complex64, C128])
def test_moments_of_gaussian_noise(dtype):
    n, sigma = 200_000, 0.7
    clean = 3 + torch.zeros(n, dtype=dtype)
    noise = GaussianNoise(sigma=sigma)(clean, generator=rng()) - clean
    assert noise.dtype == dtype
    parts = [noise.real, noise.imag] if dtype.is_complex else [noise]
    for part in parts:
        part = part.double()
        assert abs(float(part.mean())) < 5 * sigma / math.sqrt(n)
        assert abs(float(part.var()) / sigma**2 - 1) < 5 * math.sqrt(2 / n)
        assert abs(float((part**4).mean()) / (3 * sigma**4) - 1) < 0.05
        neighbors = float((part[1:] * part[:-1]).mean())
        assert abs(neighbors) < 5 * sigma**2 / math.sqrt(n)
    if dtype.is_complex:
        assert abs(float((parts[0] * parts[1]).double().mean())) < 5 * sigma**2 / math.sqrt(n)


def test_one_noise_level_per_sample():
    space = Space((1, 5000))
    sigma = torch.tensor([[0.1], [2.0]], dtype=F64).expand(2, 3)
    y = GaussianNoise(sigma=sigma)(torch.zeros(2, 3, 1, 5000, dtype=F64), space=space, generator=rng())
    assert torch.allclose(y.std((-2, -1)), sigma, rtol=0.06)
    spread = GaussianNoise(sigma=sigma)(torch.zeros(1, 5000, dtype=F64), space=space, generator=rng())
    assert torch.equal(spread, y)  # the noise levels bring the batch


def test_noise_wants_a_generator_and_leaves_the_global_one_alone():
    with pytest.raises(ParameterError, match=r"pass generator=torch.Generator\(\).manual_seed\(0\)"):
        GaussianNoise(sigma=1.0)(torch.zeros(3))
    before = torch.get_rng_state()
    GaussianNoise(sigma=1.0)(torch.zeros(3), generator=rng())
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(NoNoise()(torch.ones(3)), torch.ones(3))


SPACES = {
    "real": Space((2, 3)),
    "complex": Space((2, 3), "complex"),
    "blocks": (Space((2,)), Space((3,), "complex"), (Space((1, 2)),)),
}


def zeros(space, *batch):
    if isinstance(space, tuple):
        return tuple(zeros(s, *batch) for s in space)
    return torch.zeros(*batch, *space.shape, dtype=C128 if space.kind == "complex" else F64)


def leaves(x):
    return [leaf for part in x for leaf in leaves(part)] if isinstance(x, tuple) else [x]


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("split", [[1, 1, 1, 1, 1], [2, 3], [4, 0, 1]])
def test_the_same_seed_gives_the_same_noise_however_the_batch_is_split(name, split):
    space, noise = SPACES[name], GaussianNoise(sigma=0.5)
    whole = leaves(noise(zeros(space, 5), space=space, generator=rng(3)))
    g = rng(3)
    parts = [leaves(noise(zeros(space, n), space=space, generator=g)) for n in split]
    for i, block in enumerate(whole):
        assert torch.equal(torch.cat([part[i] for part in parts]), block)
    assert not torch.equal(leaves(noise(zeros(space, 5), space=space, generator=rng(4)))[0], whole[0])


def test_an_empty_batch():
    empty = torch.zeros(0, 3)
    assert GaussianNoise(sigma=torch.ones(0))(empty, space=Space((3,)), generator=rng()).shape == (0, 3)


def test_blocks_are_independent():
    space = Space((20000,)), Space((20000,))
    a, b = GaussianNoise(sigma=1.0)(zeros(space), space=space, generator=rng())
    assert abs(float((a * b).mean())) < 0.04


def test_noise_is_differentiable_to_the_clean_data_and_the_level():
    y, sigma = normal(2, 4).requires_grad_(), torch.tensor([0.3, 1.0], dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda y, s: GaussianNoise(sigma=s)(y, space=Space((4,)), generator=rng(1)), (y, sigma)
    )


@pytest.mark.parametrize("sigma", [-1.0, math.nan, torch.tensor([1.0, -0.1]), torch.tensor(math.nan)])
def test_noise_levels_that_make_no_sense_are_refused(sigma):
    with pytest.raises(ParameterError, match="GaussianNoise: sigma must be a number >= 0"):
        GaussianNoise(sigma=sigma)
