"""Solvers and noises refuse what is in the wrong place, and say what belongs there."""

import pytest
import torch

from invcore import ParameterError, Physics
from invcore.noises import GaussianNoise
from invcore.operators import Identity
from invcore.solvers import ConjugateGradient

A = Identity((1, 2, 2))
y = torch.ones(1, 2, 2)


@pytest.mark.parametrize("args", [(y, A), (Physics(A), y)])
def test_physics_is_the_second_argument(args):
    with pytest.raises(
        ParameterError, match=r"physics must be a Physics, got (Identity|Tensor). Physics\(A, noise\)"
    ):
        ConjugateGradient()(*args)


def test_a_seed_is_no_generator():
    with pytest.raises(ParameterError, match="generator must be a torch.Generator, got 0"):
        Physics(A, GaussianNoise(0.1))(y, generator=0)
