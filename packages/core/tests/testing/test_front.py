"""The front doors of the conformance kit."""

import subprocess
import sys

import pytest
import torch

import invcore
from invcore import LinearOperator, ParameterError, Space
from invcore.operators import Identity, Matrix
from invcore.plugin import Component
from invcore.testing import (
    Check,
    ReaderExample,
    check,
    check_component,
    iter_checks,
    parametrize_with_checks,
    temporary_plugin,
)

HERE = __name__


class Doubled(LinearOperator):
    """An adjoint that is twice too large."""

    domain: Space = Space((1, 2, 2))

    @property
    def range(self):
        return self.domain

    def forward(self, x):
        return x

    def adjoint(self, y):
        return 2 * y


def good():
    return {"tiny": Identity((1, 2, 3)), "two words, odd": Identity((1, 3, 3))}


def bad():
    return {"tiny": Doubled()}


def wrong_class():
    return {"tiny": Matrix(torch.eye(2))}


def broken():
    raise RuntimeError("no examples today")


def component(name, examples, target="invcore.operators:Identity"):
    return Component("operator", f"kit.{name}", target, summary="A test", examples=f"{HERE}:{examples}")


@pytest.fixture
def registered():
    """The components of a plugin that exists for this test, by name."""
    entries = [
        component("good", "good"),
        component("bad", "bad", f"{HERE}:Doubled"),
        component("wrong", "wrong_class"),
        component("broken", "broken"),
        Component("operator", "kit.silent", "invcore.operators:Identity", summary="Without examples"),
        Component("operator", "kit.absent", "invcore.operators:NoSuchThing"),
    ]
    with temporary_plugin(entries, name="invcore-kit"):
        yield {c.name: c for c in invcore.components(plugin="invcore-kit")}


def test_checks_have_a_name_and_a_sentence():
    found = list(iter_checks(Identity((1, 2, 3))))
    assert all(isinstance(c, Check) and c.doc.endswith(".") for c in found)
    assert len({c.name for c in found}) == len(found) > 25
    for item in (c for c in invcore.components() if c.status == "available"):
        for example in item.load_examples().values():
            obj = ReaderExample(item.load()(), example) if item.kind == "reader" else example
            found = [] if item.kind in ("dataset", "model") else iter_checks(obj, kind=item.kind)
            assert [c.name for c in found if not c.doc.endswith(".")] == []


def test_the_kind_is_asked_for_where_it_cannot_be_determined():
    with pytest.raises(ParameterError, match="name it: check\\(obj, kind='loss'\\)"):
        check(len)
    with pytest.raises(ParameterError, match="no checks for kind 'network'"):
        check(len, kind="network")
    with pytest.raises(ParameterError, match=r"ModelExample\(model, physics, x\)"):
        check(len, kind="model")


def test_a_component_gives_one_result_for_each_example_and_check(registered):
    results = list(check_component(registered["kit.good"]))
    assert {r.status for r in results} == {"passed", "skipped"}
    assert {r.example for r in results} == {"", "tiny", "two words, odd"}
    assert all(r.message for r in results if r.status == "skipped")
    failed = [r.name for r in check_component(registered["kit.bad"]) if r.status == "failed"]
    assert {"adjoint_matches_dense", "adjoint_probes"} <= set(failed)


def test_examples_that_cannot_be_made_are_one_failure(registered):
    (result,) = check_component(registered["kit.broken"])
    assert (result.status, result.name) == ("failed", "examples_are_instances")
    assert "no examples today" in result.message
    (result,) = check_component(registered["kit.wrong"])
    assert "example 'tiny' is a Matrix, not a Identity" in result.message
    (result,) = check_component(registered["kit.silent"])  # without examples
    assert (result.status, result.name) == ("passed", "target_can_be_imported")
    (result,) = check_component(registered["kit.absent"])
    assert result.status == "failed" and "NoSuchThing" in result.message


def test_expected_failures_are_strict(registered):
    reasons = {"adjoint_matches_dense": "known", "repr": "was wrong once"}
    found = {
        r.name: r for r in check_component(registered["kit.bad"], expected_failures=reasons) if r.example
    }
    assert found["adjoint_matches_dense"].status == "xfailed"
    assert found["adjoint_matches_dense"].message.startswith("known: A.H is not the adjoint of A")
    assert found["repr"].status == "failed"
    assert "take it off the list" in found["repr"].message


def parameters(decorated):
    (mark,) = decorated.pytestmark
    return {p.id: p for p in mark.args[1]}


def test_pytest_gets_one_parameter_for_each_component(registered):
    @parametrize_with_checks("invcore-kit")
    def function(check):
        check()

    found = parameters(function)
    assert sorted(found) == ["kit.bad", "kit.broken", "kit.good", "kit.wrong"]
    function(check=found["kit.good"].values[0])
    with pytest.raises(
        AssertionError,
        match=r"(?s)operator kit.bad fails .*tiny: adjoint_matches_dense: .*2 x the true adjoint",
    ):
        function(check=found["kit.bad"].values[0])
    with pytest.raises(AssertionError, match=r"kit.broken fails 1 of 1 checks(?s:.*)no examples today"):
        function(check=found["kit.broken"].values[0])


def test_expected_failures_of_a_pytest_function_are_strict(registered):
    failing = [r.name for r in check_component(registered["kit.bad"]) if r.status == "failed"]

    def outcome(reasons):
        @parametrize_with_checks(["kit.bad"], expected_failures={"kit.bad": reasons})
        def function(check):
            check()

        function(check=parameters(function)["kit.bad"].values[0])

    outcome(dict.fromkeys(failing, "known"))
    with pytest.raises(AssertionError, match="repr: expected to fail"):
        outcome({**dict.fromkeys(failing, "known"), "repr": "was wrong once"})
    with pytest.raises(AssertionError, match="adjoint is expected to fail, but there is no such check"):
        outcome({**dict.fromkeys(failing, "known"), "adjoint": "typo"})


def test_collecting_makes_no_example(registered):
    parametrize_with_checks("invcore-kit")
    code = (
        "import sys; from invcore.testing import parametrize_with_checks; "
        "parametrize_with_checks('invcore'); print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_a_check_has_a_limit():
    import threading

    release = threading.Event()
    slow = Check("slow", release.wait)
    assert slow.result(limit=0.05) == ("failed", "not finished after 0.05 s")
    release.set()
    assert slow.result(limit=10.0) == ("passed", "")


def test_pytest_takes_components_and_names_too(registered):
    def function(check):
        check()

    one = parameters(parametrize_with_checks([registered["kit.good"]])(function))
    del function.pytestmark
    assert list(one) == list(parameters(parametrize_with_checks(["kit.good"])(function)))


def test_expected_failures_that_match_nothing_are_an_error(registered):
    with pytest.raises(ParameterError, match="kit.worse"):
        parametrize_with_checks("invcore-kit", expected_failures={"kit.worse": {"adjoint": "typo"}})
    with pytest.raises(ParameterError, match="nothing to check"):
        parametrize_with_checks(["kit.silent"])


def test_importing_the_kit_needs_neither_pytest_nor_torch():
    code = (
        "import sys\n"
        "from invcore.testing import check, check_component, iter_checks, parametrize_with_checks\n"
        "print(sorted({'pytest', 'torch', 'numpy'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_checking_needs_no_pytest():
    code = (
        "import sys; sys.modules['pytest'] = None; import invcore; from invcore.operators import Identity; "
        "from invcore.testing import check; check(Identity(domain=invcore.Space((1, 2, 2)))); print('passed')"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "passed"
