import inspect
import pickle

import pytest
import torch

from invcore import ParameterError, Physics
from invcore._value import Value
from invcore.noises import GaussianNoise, NoNoise
from invcore.operators import Identity, Mask, Matrix


def test_what_a_value_is_made_of_may_be_given_by_position():
    class Window(Value):
        low: float
        high: float
        closed: bool = True

    assert (
        repr(Window(0.0, 1.0)) == repr(Window(high=1.0, low=0.0)) == "Window(low=0.0, high=1.0, closed=True)"
    )
    with pytest.raises(TypeError, match="positional"):
        Window(0.0, 1.0, False)
    kinds = [p.kind.name for p in inspect.signature(Window).parameters.values()]
    assert kinds == ["POSITIONAL_OR_KEYWORD", "POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY"]


def test_three_required_fields_are_given_by_name():
    class Box(Value):
        x: float
        y: float
        z: float

    with pytest.raises(TypeError, match="positional"):
        Box(1.0, 2.0, 3.0)
    assert Box(z=3.0, x=1.0, y=2.0).z == 3


def test_options_are_given_by_name():
    class Option(Value):
        rtol: float = 0.1

    with pytest.raises(TypeError, match="positional"):
        Option(0.2)


def test_a_class_variable_is_no_field_and_a_count_overrides_the_rule():
    class Pair(Value):
        first: float
        second: float = 2.0
        third: float = 3.0
        positional = 2

    assert Pair(1.0, 5.0).second == 5
    with pytest.raises(TypeError, match="positional"):
        Pair(1.0, 5.0, 6.0)


def test_physics_takes_operator_and_noise_by_position():
    A, noise = Matrix(torch.eye(2)), GaussianNoise(0.1)
    physics = Physics(A, noise)
    assert physics.operator is A
    assert physics.noise is noise
    assert isinstance(Physics(A).noise, NoNoise)
    assert repr(pickle.loads(pickle.dumps(physics))) == repr(physics)


@pytest.mark.parametrize(
    ("operator", "noise", "name"), [("mask", NoNoise(), "operator"), (Identity((2,)), 0.1, "noise")]
)
def test_physics_refuses_what_is_no_operator_or_noise(operator, noise, name):
    with pytest.raises(ParameterError, match=f"expected {name}"):
        Physics(operator, noise)


def test_an_operator_times_an_image_is_refused():
    A = Mask(torch.ones(2, 3), domain=(1, 2, 3))
    x = torch.ones(1, 2, 3)
    for product in (lambda: A * x, lambda: x * A, lambda: A * torch.ones(5, 1, 2, 3)):
        with pytest.raises(ParameterError, match=r"A\(x\)"):
            product()
    batch = torch.ones(2, 1, 2, 3)
    factors = torch.tensor([2.0, 3.0])
    assert torch.equal((factors * A)(batch), factors.reshape(2, 1, 1, 1) * batch)
    assert torch.equal((A * torch.tensor(2.0))(x), 2 * x)
    B = Identity((2,))  # as many samples as entries: said through bind
    assert torch.equal((1 * B).bind(scale=factors)(torch.ones(2, 2)), torch.tensor([[2.0, 2.0], [3.0, 3.0]]))
