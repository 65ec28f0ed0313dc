"""A class that cannot work as a component is refused where it is made, in words about its own methods."""

import pytest

from invcore import LinearOperator, Space
from invcore.denoisers import Denoiser
from invcore.io import Reader
from invcore.metrics._base import Comparison
from invcore.noises import EntryNoise, Noise
from invcore.priors import Prior
from invcore.solvers import Solver


def refused(message, base, **members):
    with pytest.raises(TypeError) as caught:
        type("Mine", (base,), members)
    assert message in str(caught.value)


def test_a_missing_method_is_named_with_its_arguments():
    refused(
        "Mine must define draw(self, y, generator): A noisy version", EntryNoise, likelihood=lambda self: 0
    )
    refused("sample(self, y, space, generator)", Noise, likelihood=lambda self: 0)
    refused("Mine must define _value(self, x, space)", Prior)
    refused("converged(self, problem, state)", Solver, init=lambda self, problem: 0)


@pytest.mark.parametrize(
    ("base", "name", "method"),
    [
        (Prior, "_prox", lambda self, x, step: x),
        (Prior, "_value", lambda self, x: x),
        (Solver, "step", lambda self, state: state),
        (Denoiser, "denoise", lambda self, x: x),
        (Reader, "_read", lambda self, path: path),
        (Comparison, "_value", lambda self, x_hat: x_hat),
    ],
)
def test_a_method_that_lacks_an_argument_is_named(base, name, method):
    refused(f"Mine.{name}(self, ", base, **{name: method})
    refused(f"cannot be called as {name}(self, ", base, **{name: method})


def test_more_arguments_are_fine_if_they_have_defaults():
    class Smooth(Prior):
        def _value(self, x, space, extra=0): ...

    assert Smooth() is not None


def test_a_property_and_a_method_are_told_apart():
    members = {"__annotations__": {"domain": Space}, "forward": lambda self, x: x}
    refused("Mine.range must be a property", LinearOperator, range=lambda self: None, **members)
    refused("Mine._value must be a method, not a property", Prior, _value=property(lambda self: 0))


def test_class_attributes_that_a_denoiser_needs_are_named():
    refused(
        "Mine must state channels, value_range, sigma_range, spatial_dims",
        Denoiser,
        denoise=lambda self, x, sigma: x,
    )
    refused("Mine must state higher_is_better", Comparison, _value=lambda self, x_hat, x: x)
