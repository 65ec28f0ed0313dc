"""INVCORE_DISABLE_PLUGINS leaves plugins out, INVCORE_STRICT raises their failures."""

import sys

import pytest

import invcore
from invcore._registry import registry as _registry


def names(**kwargs):
    return [item.name for item in invcore.components(**kwargs)]


def test_one_plugin_is_disabled(distributions, monkeypatch, command):
    distributions.simple("invcore-acme")
    distributions.simple("invcore-other")
    monkeypatch.setenv("INVCORE_DISABLE_PLUGINS", "invcore-mri, Invcore_Acme, invcore-ghost")
    invcore.refresh()
    assert "acme.thing" not in names()
    assert "other.thing" in names()
    assert "invcore_acme._plugin" not in sys.modules
    with pytest.raises(
        invcore.UnknownComponentError, match="invcore-acme is disabled by INVCORE_DISABLE_PLUGINS"
    ):
        invcore.operator("acme.thing")
    with pytest.raises(invcore.UnknownComponentError, match="disabled by INVCORE_DISABLE_PLUGINS"):
        invcore.components(plugin="invcore-acme")
    code, out, _ = command("doctor")
    assert code == 0
    assert "INVCORE_DISABLE_PLUGINS names invcore-ghost, which is not installed." in out


@pytest.mark.parametrize("value", ["1", "*"])
def test_all_third_parties_are_disabled(distributions, monkeypatch, value):
    distributions.simple("invcore-acme")
    monkeypatch.setenv("INVCORE_DISABLE_PLUGINS", value)
    invcore.refresh()
    states = {plugin.name: plugin.status for plugin in _registry.registry().plugins()}
    assert states["invcore-acme"] == "disabled"
    assert states["invcore"] == "loaded"


def test_strict_raises_the_failure_of_a_plugin(distributions, monkeypatch):
    distributions.simple("invcore-bad", before="1 / 0")
    monkeypatch.setenv("INVCORE_STRICT", "1")
    invcore.refresh()
    for _ in range(2):
        with pytest.raises(invcore.PluginLoadError, match="ZeroDivisionError") as error:
            invcore.components()
        assert isinstance(error.value.__cause__, ZeroDivisionError)
    monkeypatch.setenv("INVCORE_STRICT", "0")
    invcore.refresh()
    assert invcore.components() is not None


def test_strict_on_the_command_line(distributions, monkeypatch, command):
    distributions.simple("invcore-bad", before="1 / 0")
    monkeypatch.setenv("INVCORE_STRICT", "1")
    code, out, err = command("list")
    assert (code, out) == (1, "")
    assert err == (
        "error: plugin invcore-bad 1.0: importing invcore_bad._plugin failed: "
        "ZeroDivisionError: division by zero\n"
    )


def test_strict_raises_for_a_conflict_and_doctor_still_reports(distributions, monkeypatch, command):
    distributions.simple("invcore-acme")
    distributions.simple("other-acme", entry="acme")
    monkeypatch.setenv("INVCORE_STRICT", "1")
    invcore.refresh()
    with pytest.raises(invcore.AmbiguousComponentError):
        invcore.components()
    code, out, _ = command("doctor")
    assert code == 1
    assert "offered by 2 distributions" in out
