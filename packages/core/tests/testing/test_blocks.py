"""Fidelities and noises of several blocks are checked as those of one, and wrong ones are found."""

import pytest
import torch

from invcore import Fidelity, Noise
from invcore.fidelities import L1, BlockFidelity, LeastSquares
from invcore.noises import BlockNoise, GaussianNoise
from invcore.testing import iter_checks


def result(obj, name):
    return next(check for check in iter_checks(obj) if check.name == name).result()[0]


class Held(Fidelity, abstract=True, fields=True):
    """A fidelity of two blocks that does what its part does."""

    inner: BlockFidelity

    def value(self, u, y, space=None):
        return self.inner.value(u, y, space)

    def grad(self, u, y, space=None):
        return self.inner.grad(u, y, space)

    def prox(self, u, y, step, space=None):
        return self.inner.prox(u, y, step, space)


class SecondGradientForgotten(Held):
    def grad(self, u, y, space=None):
        first, second = super().grad(u, y, space)
        return first, torch.zeros_like(second)


class OtherStep(Held):
    def prox(self, u, y, step, space=None):
        return super().prox(u, y, step, space)[0], super().prox(u, y, 2 * step, space)[1]


class AnyNumber(Held):
    def value(self, u, y, space=None):
        return super().value(u, y, space) if not isinstance(u, tuple) or len(u) == 2 else torch.zeros(())


class OneLevelForAll(Noise):
    inner: BlockNoise

    def sample(self, y, space, generator):
        return BlockNoise((self.inner.parts[0],) * 2).sample(y, space, generator)

    def likelihood(self):
        return self.inner.likelihood()


PAIR = BlockFidelity((LeastSquares(sigma=0.5), L1()))
LEVELS = BlockNoise((GaussianNoise(sigma=0.1), GaussianNoise(sigma=0.5)))


@pytest.mark.parametrize("check", ["value_per_sample", "grad", "prox", "lipschitz", "wrong_blocks_raise"])
def test_sound_blocks_pass(check):
    assert result(BlockFidelity((LeastSquares(sigma=0.5), LeastSquares(sigma=2.0))), check) == "passed"


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (SecondGradientForgotten(inner=PAIR), "grad"),
        (OtherStep(inner=PAIR), "prox"),
        (OneLevelForAll(inner=LEVELS), "moments"),
        (AnyNumber(inner=PAIR), "wrong_blocks_raise"),
    ],
)
def test_broken_blocks_fail(broken, check):
    assert result(broken, check) == "failed"
