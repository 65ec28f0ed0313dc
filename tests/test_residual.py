"""The picture of what is left of the data, against the noise that was drawn."""

from types import SimpleNamespace

import pytest
import torch

from invcore import Physics, Space
from invcore.noises import GaussianMapNoise, GaussianNoise, PoissonNoise
from invcore.operators import FourierTransform, Identity
from invcore.run._residual import residual_of


def result(A, noise, x, **changes):
    """A result that is the truth."""
    physics = Physics(A, noise)
    y = physics(x, generator=torch.Generator().manual_seed(0))
    return SimpleNamespace(
        acquisition=SimpleNamespace(physics=physics, y=y),
        solution=SimpleNamespace(value=x, physics=physics),
        fit="known",
        **changes,
    )


X = torch.full((1, 64, 96), 50.0, dtype=torch.float64)
MAP = torch.linspace(0.1, 3.0, 96, dtype=torch.float64).expand(1, 64, 96)


@pytest.mark.parametrize(
    "noise",
    [GaussianNoise(sigma=0.3), GaussianMapNoise(sigma=MAP), PoissonNoise(gain=2.0, background=20.0)],
    ids=lambda noise: type(noise).__name__,
)
def test_noise_alone_is_of_size_one(noise):
    found = residual_of(result(Identity((1, 64, 96)), noise, X))
    assert found.shape == (64, 96)
    for half in found.chunk(2, -1):
        assert float(half.square().mean()) == pytest.approx(1, abs=0.1)


def test_it_is_the_difference_over_the_noise():
    one = result(Identity((1, 64, 96)), GaussianNoise(sigma=0.5), X)
    assert torch.allclose(residual_of(one), (one.acquisition.y - X)[0] / 0.5)


def test_neighbors_are_combined_where_there_are_many():
    x = torch.zeros(1, 1100, 700, dtype=torch.float64)
    found = residual_of(result(Identity((1, 1100, 700)), GaussianNoise(sigma=0.5), x))
    assert found.shape == (367, 234)
    assert float(found[:-1, :-1].square().mean()) == pytest.approx(1, abs=0.02)


def test_channels_and_complex_parts_are_averaged():
    A = FourierTransform(Space((3, 32, 48), "complex"))
    found = residual_of(result(A, GaussianNoise(sigma=0.5), torch.zeros(3, 32, 48, dtype=torch.complex128)))
    assert found.shape == (32, 48) and bool((found >= 0).all())
    assert float(found.square().mean()) == pytest.approx(1, abs=0.05)


def test_data_that_are_no_image():
    for shape in ((500, 3), (1, 2000, 20), (64,)):
        assert residual_of(result(Identity(shape), GaussianNoise(sigma=1.0), torch.zeros(shape))) is None
    unknown = result(Identity((1, 64, 96)), GaussianNoise(sigma=1.0), X)
    unknown.fit = None
    assert residual_of(unknown) is None
