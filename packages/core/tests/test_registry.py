"""Components, lookups by name, and what a lookup says when it fails."""

import dataclasses
import importlib.metadata
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import invcore
from invcore._registry import known as _known
from invcore._registry import registry as _registry
from invcore.plugin import KINDS, Component
from invcore.testing import _known as generator
from invcore.testing import temporary_plugin

TARGETS = """
class Kernel:
    def __init__(self, *, size, sigma: float = 1.0):
        self.size, self.sigma = size, sigma

class Plain:
    pass

def factory(**options):
    return options

value = 3
"""


@pytest.fixture
def lab(distributions):
    """A temporary plugin with one component for each way of being callable."""
    distributions.write("lab_targets.py", TARGETS)
    parts = {"kernel": "Kernel", "plain": "Plain", "factory": "factory", "value": "value"}
    components = [
        Component("operator", f"lab.{name}", f"lab_targets:{target}") for name, target in parts.items()
    ]
    components += [
        Component("prior", "lab.tv", "lab_targets:Plain"),
        Component("operator", "lab.dict", "builtins:dict"),
    ]
    with temporary_plugin(components, name="invcore-lab") as plugin:
        yield plugin


# -- Component --------------------------------------------------------------------------------------


def test_component_is_a_frozen_value_of_text():
    component = Component("operator", "acme.gain", "acme.code:Gain", requires=("sigpy",), tags=("a", "b"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        component.name = "other"
    assert pickle.loads(pickle.dumps(component)) == component
    assert hash(component) == hash(dataclasses.replace(component))
    assert component.namespace == "acme"
    assert Component("solver", "cg", "m:a").namespace == ""


@pytest.mark.parametrize(
    "change, message",
    [
        ({"kind": "operators"}, "unknown kind; the kinds are operator, noise"),
        ({"kind": 1}, "kind must be a string, not int"),
        ({"name": "acme.Gain"}, "lower-case letters"),
        ({"name": "acme gain"}, "lower-case letters"),
        ({"name": ""}, "lower-case letters"),
        ({"name": "acme..gain"}, "lower-case letters"),
        ({"target": "acme.code.Gain"}, "target must read 'package.module:attribute', not 'acme.code.Gain'"),
        ({"target": dict}, "target must be a string, not type"),
        ({"examples": "acme.code"}, "examples must read 'package.module:function'"),
        ({"requires": "sigpy"}, "requires must be a tuple of strings such as ('sigpy',), not 'sigpy'"),
        ({"requires": ["sigpy"]}, "requires must be a tuple of strings"),
        ({"requires": ("scipy.ndimage",)}, "top-level import names such as 'sigpy', not 'scipy.ndimage'"),
        ({"tags": (1,)}, "tags must be a tuple of strings"),
        ({"summary": "two\nlines"}, "summary must be one line"),
    ],
)
def test_component_says_what_is_wrong(change, message):
    fields = {"kind": "operator", "name": "acme.gain", "target": "acme.code:Gain", **change}
    with pytest.raises(invcore.ParameterError) as error:
        Component(**fields)
    assert message in str(error.value)
    assert isinstance(error.value, ValueError)


# -- lookups ----------------------------------------------------------------------------------------


def test_there_is_a_helper_for_every_kind():
    for kind in KINDS:
        with pytest.raises(invcore.UnknownComponentError, match=f"no {kind} is called 'nothing-of-the-kind'"):
            getattr(invcore, kind)("nothing-of-the-kind")


def test_create_passes_parameters(lab):
    made = invcore.operator("lab.kernel", size=3)
    assert (made.size, made.sigma) == (3, 1.0)
    assert invcore.create("operator", "lab.factory", kind=1, name=2) == {"kind": 1, "name": 2}
    assert invcore.get("operator", "lab.value") == 3
    assert invcore.operator("lab.dict", a=1) == {"a": 1}  # a builtin without a signature


@pytest.mark.parametrize(
    "name, params, message",
    [
        (
            "lab.kernel",
            {"size": 3, "sigmas": 2},
            "operator 'lab.kernel' has no parameter 'sigmas'. Did you mean 'sigma'? It takes size, sigma.",
        ),
        (
            "lab.kernel",
            {"size": 3, "foo": 1, "bar": 2},
            "operator 'lab.kernel' has no parameter 'foo' or 'bar'. It takes size, sigma.",
        ),
        ("lab.kernel", {}, "operator 'lab.kernel' needs size. It takes size, sigma."),
        ("lab.plain", {"x": 1}, "operator 'lab.plain' has no parameter 'x'. It takes no parameters."),
        ("lab.value", {}, "operator 'lab.value' is 3, which cannot be called: use invcore.get."),
    ],
)
def test_wrong_parameters(lab, name, params, message):
    with pytest.raises(invcore.ParameterError) as error:
        invcore.operator(name, **params)
    assert str(error.value) == message


def test_an_error_inside_the_constructor_is_not_disguised(distributions):
    distributions.simple("invcore-acme", code="class Thing:\n    def __init__(self):\n        {}['x']\n")
    with pytest.raises(KeyError):
        invcore.operator("acme.thing")


def test_unknown_names(lab):
    def said(kind, name, **kwargs):
        with pytest.raises(invcore.UnknownComponentError) as error:
            invcore.get(kind, name, **kwargs)
        return str(error.value)

    assert said("operator", "lab.kernal") == "no operator is called 'lab.kernal'. Did you mean 'lab.kernel'?"
    assert said("operator", "kernel").endswith("Did you mean 'lab.kernel'?")
    assert said("operator", "lab.tv") == (
        "no operator is called 'lab.tv'. 'lab.tv' is a prior, not an operator. Use invcore.prior('lab.tv')."
    )
    assert said("prior", "zzz") == "no prior is called 'zzz'. `invcore list prior` shows what is installed."
    assert said("operator", "lab.kernel", plugin="invcore") == (
        "no operator is called 'lab.kernel' in plugin 'invcore'. It is offered by invcore-lab."
    )


def test_unknown_kind_and_plugin(lab):
    with pytest.raises(invcore.ParameterError, match=r"no kind 'operators'. Did you mean 'operator'\?"):
        invcore.components("operators")
    with pytest.raises(
        invcore.UnknownComponentError, match=r"no plugin 'invcore-lap' .* Did you mean 'invcore-lab'"
    ):
        invcore.components(plugin="invcore-lap")


def test_a_first_party_name_that_is_not_installed(distributions, monkeypatch, command):
    monkeypatch.setattr(_known, "EXTRAS", {"invcore-sky": "sky"})
    monkeypatch.setattr(_known, "KNOWN", {("operator", "sky.dish"): "invcore-sky"})
    exact = "no operator is called 'sky.dish'. It is part of invcore-sky: pip install \"invcore[sky]\""
    with pytest.raises(invcore.UnknownComponentError) as error:
        invcore.operator("sky.dish")
    assert str(error.value) == exact
    with pytest.raises(invcore.UnknownComponentError) as error:
        invcore.operator("sky.disc")
    assert str(error.value) == (
        "no operator is called 'sky.disc'. Did you mean 'sky.dish'? "
        "'sky.dish' comes with: pip install \"invcore[sky]\""
    )
    with pytest.raises(invcore.UnknownComponentError, match=r'Install it: pip install "invcore\[sky\]"'):
        invcore.components(plugin="invcore-sky")
    assert command("info", "sky.dish") == (1, "", f"error: {exact}\n")


def test_components_are_ordered_by_kind_and_name(lab):
    found = invcore.components()
    keys = [(KINDS.index(item.kind), item.name) for item in found]
    assert keys == sorted(keys)
    assert [item.name for item in invcore.components("operator", plugin="invcore-lab")] == [
        "lab.dict",
        "lab.factory",
        "lab.kernel",
        "lab.plain",
        "lab.value",
    ]


# -- what the repository registers ------------------------------------------------------------------


def test_the_table_of_known_components_is_up_to_date():
    invcore.refresh()
    assert generator.generate() == _known.KNOWN, "run: python -m invcore.testing._known"
    assert Path(_known.__file__).read_text() == generator.text(), "run: python -m invcore.testing._known"


def test_first_party_extras_are_those_of_core():
    brings = {}
    for requirement in importlib.metadata.requires("invcore"):
        match = re.match(r"(invcore-[\w-]+).*extra == ['\"]([\w-]+)['\"]", requirement)
        if match:
            brings.setdefault(match[1], set()).add(match[2])
    assert set(_known.EXTRAS) == set(brings)
    for name, extra in _known.EXTRAS.items():
        assert extra in brings[name]


def test_installed_first_party_plugins_are_sound():
    invcore.refresh()
    problems = [f.message for f in _registry.registry().failures if f.plugin in ("invcore", *_known.EXTRAS)]
    assert not problems
    assert not _registry.registry().conflicts


def test_every_registered_target_and_example_can_be_imported():
    invcore.refresh()
    for item in invcore.components():
        if item.plugin in ("invcore", *_known.EXTRAS) and item.status == "available":
            assert callable(item.load()), item.name


def test_metadata_is_read_once_in_a_process():
    code = (
        "import importlib.metadata as m, invcore; real, calls = m.distributions, []\n"
        "m.distributions = lambda *a, **k: calls.append(1) or real(*a, **k)\n"
        "invcore.components(); invcore.components('operator')\n"
        "assert len(calls) == 1, calls\n"
        "invcore.refresh(); invcore.components(); assert len(calls) == 2, calls\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
