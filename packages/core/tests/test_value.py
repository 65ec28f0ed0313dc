"""Rules for values: how fields are given, frozen, bound and moved, and which classes can be extended."""

import dataclasses
import inspect
import pickle

import pytest
import torch
from torch.nn import Parameter

from invcore import ParameterError, Physics
from invcore._value import Value
from invcore.fidelities import LeastSquares
from invcore.noises import GaussianNoise, Noise
from invcore.operators import Mask, Matrix
from invcore.solvers import FISTA
from invcore_testsupport import normal, rng

F64, C128 = torch.float64, torch.complex128


def test_required_fields_may_be_given_by_position():
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


class Gain(Value):
    gain: object = 1.0
    name: str = "g"
    params = ("gain",)


class Pair(Value):
    first: Gain
    second: Gain
    rest: tuple = ()


def test_values_are_frozen_and_take_keywords_only():
    g = Gain(gain=2.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        g.gain = 3.0
    with pytest.raises(TypeError):
        Gain(2.0)
    with pytest.raises(TypeError, match="unexpected keyword"):
        Gain(gian=2.0)
    assert g != Gain(gain=2.0) and g == g and hash(g)  # identity: tensors have no single truth
    assert repr(g) == "Gain(gain=2.0, name='g')"


@pytest.mark.parametrize("base", [Gain, GaussianNoise, LeastSquares, Mask, Physics])
@pytest.mark.parametrize("abstract", [False, True])
def test_a_concrete_class_is_final(base, abstract):
    with pytest.raises(
        TypeError, match=f"extends {base.__name__}, which is concrete: a class is either abstract or final"
    ):
        type("Sub", (base,), {}, abstract=abstract)


def test_an_abstract_class_can_be_extended_and_not_made():
    class Base(Noise, abstract=True):
        pass

    class Leaf(Base):
        def sample(self, y, space, generator):
            return -y

        def likelihood(self):
            return LeastSquares()

    assert Leaf()(torch.ones(2), generator=rng()).tolist() == [-1, -1]
    with pytest.raises(TypeError, match="abstract"):
        Base()


def test_params_must_be_fields():
    with pytest.raises(TypeError, match=r"params names \['nothing'\], which are not fields"):

        class Wrong(Value):
            params = ("nothing",)


def test_bind_by_plain_and_by_dotted_names():
    one, two = torch.tensor(1.0), torch.tensor(2.0)
    pair = Pair(first=Gain(gain=one), second=Gain(gain=two), rest=(Gain(gain=one), 7))
    assert list(pair.parameters()) == ["first.gain", "second.gain", "rest.0.gain"] or set(
        pair.parameters()
    ) == {
        "first.gain",
        "second.gain",
        "0.gain",
    }
    bound = pair.bind(**{"second.gain": 5.0})
    assert (bound.first.gain, bound.second.gain) == (one, 5.0)
    assert pair.second.gain is two and bound.first is pair.first and bound.rest[1] == 7
    with pytest.raises(ParameterError, match=r"ambiguous here: say which, as in bind\(\*\*\{'first.gain'"):
        pair.bind(gain=3.0)
    shared = Pair(first=Gain(gain=one), second=Gain(gain=one))
    assert list(shared.parameters()) == ["gain"]
    both = shared.bind(gain=two)
    assert both.first.gain is both.second.gain is two
    assert shared.bind() is shared


def test_sharing_survives_moves_copies_and_pickles():
    A = Mask(torch.ones(3), domain=(3,))
    expression = A.H @ A
    for other in (
        expression.to(F64),
        expression.to("cpu"),
        pickle.loads(pickle.dumps(expression)),
        expression.bind(mask=torch.zeros(3)),
    ):
        assert list(other.parameters()) == ["mask"]
        assert (
            float(
                other.bind(mask=2 * torch.ones(3, dtype=other.dtype))(torch.ones(3, dtype=other.dtype)).sum()
            )
            == 12
        )


def test_learnable_parameters_stay_what_they_are():
    p = Parameter(torch.ones(3))
    A = Mask(torch.zeros(3), domain=(3,)).bind(mask=p)
    assert A.mask is p and A.parameters()["mask"] is p
    A(torch.ones(3)).sum().backward()
    assert p.grad.tolist() == [1, 1, 1]


def test_complex_tensors_keep_their_kind_when_moved():
    A = Matrix(normal(2, 2, dtype=C128))
    assert A.to(torch.float32).matrix.dtype == torch.complex64
    assert A.to(torch.complex64).matrix.dtype == torch.complex64
    assert Mask(torch.tensor([True, False]), domain=(2,)).to(F64).mask.dtype == torch.bool


def test_fields_refuse_what_is_not_of_their_kind():
    with pytest.raises(ParameterError, match=r"FISTA: prior must be a Prior, got 'tv'. invcore.prior\(NAME"):
        FISTA(prior="tv")
    with pytest.raises(ParameterError, match=r"Matrix: matrix must be a Tensor, got \[\[1.0\]\]"):
        Matrix([[1.0]])
    assert FISTA(prior=None).prior is None
