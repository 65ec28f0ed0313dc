"""The kit on broken models."""

import pytest
import torch

from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.operators import Mask
from invcore.spaces import check
from invcore.testing import ModelExample, iter_checks


def scaled_adjoint(y, physics):
    check(y, physics.range, "y")
    return 0.9 * physics.operator.H(y)


def single(y, physics):
    return scaled_adjoint(y, physics).float()


def coupled(y, physics):
    x = scaled_adjoint(y, physics)
    return x / y.abs().amax().clamp_min(1)


def stateful(y, physics):
    y.mul_(1.001)
    return scaled_adjoint(y, physics)


def detached(y, physics):
    return scaled_adjoint(y.detach(), physics)


def half_derivative(y, physics):
    x = scaled_adjoint(y, physics)
    return (x + x.detach()) / 2


def any_shape(y, physics):
    return 0.9 * y[..., :6]


CASES = [
    (single, "result_is_an_image", "give torch.float32"),
    (coupled, "batch_equals_loop", "a batch differs from its item|changes with its batch-mates"),
    (stateful, "pure", "changes its input"),
    (scaled_adjoint, "it_restores", "that of the scaled adjoint"),
    (detached, "gradient", "the graph is cut"),
    (half_derivative, "gradient", "0.5 x what finite differences give"),
    (any_shape, "wrong_input_raises", "data twice as long"),
]


@pytest.mark.parametrize(("model", "name", "message"), CASES, ids=lambda v: getattr(v, "__name__", None))
def test_a_broken_model_fails_the_check_meant_for_it(model, name, message):
    mask = torch.tensor([[1.0, 1.0, 0.0, 1.0, 1.0, 0.0]], dtype=torch.float64)
    x = torch.linspace(1, 2, 6, dtype=torch.float64)[None]
    example = ModelExample(model, Physics(Mask(mask, (1, 6)), GaussianNoise(sigma=0.1)), x)
    found = {c.name: c for c in iter_checks(example)}[name]
    with pytest.raises(AssertionError, match=message):
        found()


def test_modules_are_models():
    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.tensor(0.9))

        def forward(self, y, physics):
            return self.gain * scaled_adjoint(y, physics)

    network = Network()
    physics = Physics(Mask(torch.ones(1, 6, dtype=torch.float64), (1, 6)), GaussianNoise(sigma=0.1))
    example = ModelExample(network, physics, torch.ones(1, 6, dtype=torch.float64))
    results = {c.name: c.result() for c in iter_checks(example)}
    failed = {n for n, (status, _) in results.items() if status == "failed"}
    assert failed == {"it_restores"}, results
    assert network.gain.dtype == torch.float32  # the kit works on copies
