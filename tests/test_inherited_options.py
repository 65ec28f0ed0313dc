"""Options that a base class describes reach the pages of its subclasses."""

import importlib.util
import inspect
from pathlib import Path

import pytest

import invcore
from invcore._registry.descriptions import described
from invcore.solvers import FISTA, RichardsonLucy

spec = importlib.util.spec_from_file_location(
    "inherited", Path(__file__).parents[1] / "docs/_ext/inherited.py"
)
inherited = importlib.util.module_from_spec(spec)
spec.loader.exec_module(inherited)


def page(cls):
    lines = inspect.getdoc(cls).splitlines()
    inherited.process(None, "class", cls.__name__, cls, None, lines)
    return lines


def test_options_of_the_base_class_follow_those_of_the_class():
    lines = page(FISTA)
    entries = lines[slice(*inherited.section(lines))]
    names = [line.partition(" : ")[0] for line in entries if line[:1].strip()]
    assert sorted(names) == sorted(inspect.signature(FISTA).parameters)
    assert entries[names.index("fidelity")] and "    f; by default the likelihood of the noise." in entries
    assert lines.index("Parameters") < lines.index("References") < lines.index("Examples")


def test_a_description_of_its_own_takes_the_place_of_the_inherited_one():
    assert "weight" not in inherited.inherited(RichardsonLucy)
    assert inherited.inherited(RichardsonLucy)["max_steps"] == [
        "max_steps : int",
        "    Maximum number of steps.",
    ]


def test_a_class_without_options_of_its_own_gets_the_section():
    class Base:
        """Base.

        Parameters
        ----------
        a, b : int
            Both.
        """

        def __init__(self, a=1, b=2):
            pass

    class Plain(Base):
        """Plain.

        Raises
        ------
        ValueError
            Never.
        """

    assert page(Plain)[:9] == [
        "Plain.",
        "",
        "Parameters",
        "----------",
        "a : int",
        "    Both.",
        "b : int",
        "    Both.",
        "",
    ]


@pytest.mark.parametrize("kind", ["solver", "metric"])
def test_every_option_is_described_somewhere(kind):
    missing = []
    for component in invcore.components(kind):
        if component.status == "missing dependency":
            continue
        target = component.load()
        if inspect.isclass(target):
            known = described(target) | inherited.inherited(target)
            missing += [
                f"{component.name}: {name}"
                for name in inspect.signature(target).parameters
                if name not in known
            ]
    assert missing == []
