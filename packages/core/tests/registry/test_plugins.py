"""Plugins are found, and a broken one breaks nothing else; each test reads the message that a user sees."""

import sys

import pytest

import invcore
from invcore._registry import loader as _loader
from invcore._registry import registry as _registry


def names(**kwargs):
    return [item.name for item in invcore.components(**kwargs)]


def test_an_installed_plugin_is_listed_without_importing_its_code(distributions):
    distributions.simple("invcore-acme", extra='summary="A thing.", tags=("odd",)')
    (item,) = invcore.components(plugin="invcore-acme")
    assert (item.kind, item.name, item.plugin, item.version) == (
        "operator",
        "acme.thing",
        "invcore-acme",
        "1.0",
    )
    assert (item.status, item.summary, item.tags) == ("available", "A thing.", ("odd",))
    assert names(tag="odd") == ["acme.thing"]
    assert "acme.thing" in names(kind="operator")
    assert "acme.thing" not in names(kind="prior")
    assert "invcore_acme.code" not in sys.modules


def test_get_and_create_and_helper(distributions):
    distributions.simple("invcore-acme")
    cls = invcore.get("operator", "acme.thing")
    assert cls.__name__ == "Thing"
    assert isinstance(invcore.create("operator", "acme.thing"), cls)
    assert isinstance(invcore.operator("acme.thing"), cls)
    assert isinstance(invcore.operator("acme.thing", plugin="Invcore_Acme"), cls)


@pytest.mark.parametrize("order", [("invcore-b", "invcore-a"), ("invcore-a", "invcore-b")])
def test_order_does_not_depend_on_the_file_system(distributions, order):
    for name in order:
        distributions.simple(name)
    found = [plugin.name for plugin in _registry.registry().installed]
    assert found.index("invcore-a") < found.index("invcore-b")


def test_one_distribution_with_two_entry_points(distributions):
    distributions.simple("invcore-acme")
    distributions.write(
        "acme_more.py",
        """
        from invcore.plugin import Component, hookimpl
        @hookimpl
        def invcore_components(api_version):
            yield Component("prior", "more.thing", f"builtins:dict", tags=(str(api_version),))
        """,
    )
    points = next(distributions.folder.glob("invcore_acme-*/entry_points.txt"))
    points.write_text(points.read_text() + "more = acme_more\n")
    invcore.refresh()
    assert names(plugin="invcore-acme") == ["acme.thing", "more.thing"]
    assert invcore.components("prior", plugin="invcore-acme")[0].tags == (str(invcore.plugin.API_VERSION),)


def test_a_shadowed_distribution_is_not_a_conflict(distributions, tmp_path, monkeypatch):
    distributions.simple("invcore-acme")
    behind = tmp_path / "behind" / "invcore_acme-0.5.dist-info"
    behind.mkdir(parents=True)
    (behind / "METADATA").write_text("Metadata-Version: 2.1\nName: invcore_acme\nVersion: 0.5\n")
    (behind / "entry_points.txt").write_text("[invcore]\nacme = invcore_acme._plugin\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(behind.parent)])
    invcore.refresh()
    (item,) = invcore.components(plugin="invcore-acme")
    assert (item.version, item.status) == ("1.0", "available")


def test_a_broken_plugin_is_reported_where_it_is_asked_for(distributions, command):
    distributions.simple("invcore-good")
    distributions.simple("invcore-bad", before="import no_such_package")
    assert "good.thing" in names()
    assert invcore.operator("good.thing")

    with pytest.raises(invcore.UnknownComponentError) as unknown:
        invcore.operator("bad.thing")
    assert str(unknown.value) == (
        "no operator is called 'bad.thing'. Did you mean 'good.thing'?\n"
        "This may be why: plugin invcore-bad 1.0: importing invcore_bad._plugin failed: "
        "ModuleNotFoundError: No module named 'no_such_package'\n"
        "`invcore doctor` shows it in full."
    )
    with pytest.raises(invcore.PluginLoadError, match="no_such_package") as load:
        invcore.components(plugin="invcore-bad")
    assert isinstance(load.value.__cause__, ModuleNotFoundError)

    code, out, err = command("list", "operator")
    assert code == 0
    assert "good.thing" in out
    assert err == "Problems with invcore-bad: run `invcore doctor`.\n"
    code, out, err = command("doctor")
    assert code == 1
    assert "plugin invcore-bad 1.0: importing invcore_bad._plugin failed" in out
    lines = [line.strip() for line in out.replace("\\", "/").splitlines()]
    first = lines.index("Traceback (most recent call last):") + 1
    assert lines[first].endswith(
        'invcore_bad/_plugin.py", line 1, in <module>'
    )  # the plugin's own code first
    code, out, err = command("info", "bad.thing")
    assert code == 1
    assert "Traceback" not in out + err
    assert "This may be why: plugin invcore-bad 1.0: importing" in err


def test_a_distribution_whose_package_is_gone(distributions, command):
    """An orphaned editable install made every command of another tool fail (datachain#1904)."""
    distributions.record("invcore-gone", entry="gone", module="invcore_gone._plugin")
    assert command("info", "convolution")[0] == 0
    code, _, err = command("info", "gone.x")
    assert code == 1
    assert "reinstall invcore-gone, or pip uninstall invcore-gone" in err


def test_of_two_plugins_with_one_name_none_wins(distributions, command):
    distributions.simple("invcore-acme")
    distributions.simple("other-acme", entry="acme", version="2.5")
    message = (
        "operator 'acme.thing' is offered by 2 distributions: invcore-acme 1.0 and other-acme 2.5. "
        "Choose one, for example invcore.operator('acme.thing', plugin='invcore-acme'), "
        "or uninstall the others."
    )
    with pytest.raises(invcore.AmbiguousComponentError) as ambiguous:
        invcore.operator("acme.thing")
    assert str(ambiguous.value) == message
    for plugin in ("invcore-acme", "other-acme"):
        made = invcore.operator("acme.thing", plugin=plugin)
        assert type(made).__module__ == plugin.replace("-", "_") + ".code"
        assert [item.status for item in invcore.components(plugin=plugin)] == ["conflict"]

    code, out, _ = command("doctor")
    assert code == 1
    assert message in out
    code, out, err = command("list", "operator")
    assert code == 0
    assert out.count("acme.thing") == 2
    assert out.count("conflict") == 2
    assert "`invcore info NAME` says why" in err
    assert message in command("info", "acme.thing")[1]


def test_plugin_for_a_newer_api(distributions, command):
    newer = invcore.plugin.API_VERSION + 1
    distributions.simple("invcore-future", before=f"INVCORE_API_VERSION = {newer}")
    distributions.simple("invcore-good")
    message = (
        f"plugin invcore-future 1.0: it is written for plugin API {newer}, and invcore "
        f"{invcore.__version__} speaks API {invcore.plugin.API_VERSION}. "
        "Upgrade invcore: pip install --upgrade invcore"
    )
    with pytest.raises(invcore.UnknownComponentError) as unknown:
        invcore.operator("future.thing")
    assert f"This may be why: {message}" in str(unknown.value)
    with pytest.raises(invcore.IncompatiblePluginError) as incompatible:
        invcore.components(plugin="invcore-future")
    assert str(incompatible.value) == message
    assert invcore.operator("good.thing")

    code, out, _ = command("doctor")
    assert code == 1
    assert message in out
    assert "incompatible" in out
    code, _, err = command("check", "invcore-future")
    assert (code, err) == (1, f"error: {message}\n")


def test_plugin_without_its_dependency(distributions, command):
    distributions.simple(
        "invcore-acme",
        extra='requires=("astra",)',
        requires=["numpy>=1.26", "astra-toolbox>=2.1; extra == 'ct'"],
        code="import astra\nclass Thing: pass",
    )
    message = (
        "operator 'acme.thing' of plugin invcore-acme needs 'astra', which is not installed: "
        'pip install "invcore-acme[ct]"'
    )
    (item,) = invcore.components(plugin="invcore-acme")
    assert (item.status, item.reason) == ("missing dependency", message)
    with pytest.raises(invcore.MissingDependencyError) as missing:
        invcore.operator("acme.thing")
    assert str(missing.value) == message
    with pytest.raises(ImportError):
        invcore.get("operator", "acme.thing")

    assert "missing dependency" in command("list", "operator")[1]
    code, out, _ = command("doctor")
    assert code == 0  # an optional package that is not there is no fault of the installation
    assert message in out
    assert message in command("info", "acme.thing")[1]

    distributions.write("astra.py", "")  # now it is installed: found without a refresh
    assert invcore.operator("acme.thing")


@pytest.mark.parametrize(
    "declared, hint",
    [
        ([], 'pip install "nosuch"'),
        (["NoSuch >=2,<3"], 'pip install "NoSuch>=2,<3"'),
        (["nosuch; extra == 'a'", "nosuch; extra == 'b'"], 'pip install "invcore-acme[a]"'),
        (["nosuch; python_version < '3'"], 'pip install "nosuch"'),
    ],
)
def test_pip_command_follows_what_the_plugin_declares(distributions, declared, hint):
    distributions.simple("invcore-acme", extra='requires=("nosuch",)', requires=declared)
    with pytest.raises(invcore.MissingDependencyError) as missing:
        invcore.operator("acme.thing")
    assert str(missing.value).endswith(hint)


@pytest.mark.parametrize(
    "line", ["raise SystemExit(3)", "raise GeneratorExit", "import pytest; pytest.skip('no')"]
)
def test_a_plugin_cannot_end_the_program(distributions, line):
    distributions.simple("invcore-bad", before=line)
    with pytest.raises(invcore.PluginLoadError, match=r"importing .* failed"):
        invcore.components(plugin="invcore-bad")


def test_keyboard_interrupt_passes_and_leaves_no_half_registry(distributions):
    distributions.simple("invcore-bad", before="import builtins; builtins._interrupt()")
    import builtins

    def interrupt():
        raise KeyboardInterrupt

    builtins._interrupt = interrupt
    try:
        with pytest.raises(KeyboardInterrupt):
            invcore.components()
        builtins._interrupt = lambda: None
        assert "bad.thing" in names()
    finally:
        del builtins._interrupt


HOOK = """
from invcore.plugin import Component, hookimpl
@hookimpl
def invcore_components({arguments}):
    {body}
"""


@pytest.mark.parametrize(
    "arguments, body, message",
    [
        (
            "",
            "raise ValueError('out of order')",
            "its hook invcore_components failed: ValueError: out of order",
        ),
        ("", "return 3", "its hook invcore_components failed: TypeError"),
        ("", "return {'a': 1}", "it must return a list of Component, not dict"),
        ("", "return 'abc'", "it must return a list of Component, not str"),
        ("", "return [('operator', 'bad.x')]", "returned ('operator', 'bad.x'), which is not a Component"),
        (
            "",
            "return [Component('operator', 'bad.x', 'nowhere')]",
            "target must read 'package.module:attribute'",
        ),
        ("", "return [Component('oprator', 'bad.x', 'a:b')]", "unknown kind; the kinds are operator,"),
        ("", "return [Component('operator', 'x', 'a:b')]", "its name must start with 'bad.'"),
        ("", "return [Component('operator', 'acme.x', 'a:b')]", "outside the plugin's namespace"),
        (
            "",
            "return [Component('prior', 'bad.x', t) for t in ('a:b', 'c:d')]",
            "registered 2 times (a:b, c:d)",
        ),
        ("wrong", "return []", "Argument(s) {'wrong'} are declared"),
        ("", "return [type('Rude', (), {'__repr__': lambda self: 1 / 0})()]", "ZeroDivisionError"),
        ("", "raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})", "failed: Mute"),
        ("", "import sys; sys.exit()", "failed: SystemExit"),
    ],
)
def test_bad_hooks_are_reported(distributions, arguments, body, message):
    distributions.install("invcore-bad", HOOK.format(arguments=arguments, body=body))
    distributions.simple("invcore-good")
    assert "good.thing" in names()
    with pytest.raises(invcore.PluginLoadError) as error:
        invcore.components(plugin="invcore-bad")
    assert "plugin invcore-bad 1.0: " in str(error.value)
    assert message in str(error.value)


WRONG = {
    "outside the namespace": "Component('operator', 'rogue', 'builtins:dict')",
    "no target": "Component('operator', 'bad.wrong', 'nowhere')",
    "a class for a target": "bad.operator('wrong', dict, 'A class')",
    "no text": "bad.operator('wrong', 'dict', None)",
    "tags": "bad.operator('wrong', 'dict', 'Thing', ('linear',))",
    "requires": "bad.operator('wrong', 'dict', 'Thing', requires='sigpy')",
    "no component": "{'name': 'bad.wrong'}",
    "cannot be printed": "type('Rude', (), {'__repr__': lambda self: 1 / 0})()",
    "terminal sequence": "bad.operator('wrong', 'dict', '\\x1b[2J')",
}


@pytest.mark.parametrize("row", WRONG.values(), ids=WRONG)
def test_one_wrong_component_drops_itself_and_not_its_neighbors(distributions, command, monkeypatch, row):
    body = f"""
        from invcore.plugin import Component, hookimpl, namespace
        bad = namespace("bad", "builtins")
        COMPONENTS = (bad.operator("a", "dict", "First"), {row}, bad.operator("b", "dict", "Last"))
        @hookimpl
        def invcore_components():
            return COMPONENTS
    """
    distributions.install("invcore-bad", body)
    assert names(plugin="invcore-bad") == ["bad.a", "bad.b"]
    assert invcore.operator("bad.a") == {}
    (failure,) = next(p for p in _registry.registry().installed if p.name == "invcore-bad").failures
    if failure.component:
        with pytest.raises(invcore.UnknownComponentError) as error:
            invcore.operator(failure.component)
        assert f"This may be why: {failure.message}\n" in str(error.value)
        assert failure.component in failure.message
    code, out, _ = command("doctor")
    assert code == 1
    assert failure.message in out
    assert "\x1b" not in out
    monkeypatch.setenv("INVCORE_STRICT", "1")
    invcore.refresh()
    with pytest.raises(invcore.PluginLoadError) as strict:
        invcore.operator("bad.a")
    assert str(strict.value) == failure.message


def test_a_generator_that_raises_costs_what_comes_after(distributions):
    body = "yield Component('operator', 'bad.a', 'builtins:dict'); yield 1 / 0"
    distributions.install("invcore-bad", HOOK.format(arguments="", body=body))
    assert names(plugin="invcore-bad") == ["bad.a"]
    with pytest.raises(invcore.UnknownComponentError, match="ZeroDivisionError"):
        invcore.operator("bad.b")


def test_forgotten_hookimpl(distributions):
    distributions.install("invcore-bad", "def invcore_components():\n    return []\n")
    with pytest.raises(invcore.PluginLoadError, match=r"does not implement the hook.*hookimpl"):
        invcore.components(plugin="invcore-bad")


@pytest.mark.parametrize("stated", ["'1'", "1.0", "True"])
def test_api_version_that_is_no_integer(distributions, stated):
    distributions.simple("invcore-bad", before=f"INVCORE_API_VERSION = {stated}")
    with pytest.raises(invcore.PluginLoadError, match="INVCORE_API_VERSION must be an integer"):
        invcore.components(plugin="invcore-bad")


def test_the_previous_api_is_accepted_and_an_older_one_is_not(distributions, monkeypatch):
    monkeypatch.setattr(_loader, "API_VERSION", 5)
    monkeypatch.setattr(_loader, "OLDEST_API_VERSION", 4)
    for api in (3, 4, 5):
        distributions.simple(f"invcore-v{api}", before=f"INVCORE_API_VERSION = {api}")
    assert names(plugin="invcore-v4") == ["v4.thing"]
    assert names(plugin="invcore-v5") == ["v5.thing"]
    with pytest.raises(invcore.IncompatiblePluginError, match=r"pip install --upgrade invcore-v3$"):
        invcore.components(plugin="invcore-v3")


def test_a_module_that_raises_when_asked_for_an_attribute(distributions):
    distributions.install("invcore-bad", "def __getattr__(name):\n    raise RuntimeError(name)\n")
    with pytest.raises(invcore.PluginLoadError, match="reading its INVCORE_API_VERSION failed: RuntimeError"):
        invcore.components(plugin="invcore-bad")


def test_core_works_from_the_path_without_being_installed(distributions, monkeypatch):
    monkeypatch.setattr(_loader.importlib.metadata, "distributions", list)
    assert {item.plugin for item in invcore.components()} == {"invcore"}
    assert invcore.solver("cg")


@pytest.mark.parametrize("damage", ["no metadata", "bad entry points"])
def test_unreadable_metadata_breaks_nothing(distributions, damage, command):
    distributions.simple("invcore-good")
    distributions.simple("invcore-torn")
    info = next(distributions.folder.glob("invcore_torn-*"))
    if damage == "no metadata":
        (info / "METADATA").unlink()
    else:
        (info / "entry_points.txt").write_text("[invcore]\nthis is not a table\n")
    invcore.refresh()
    assert "good.thing" in names()
    assert "torn.thing" not in names()
    code, out, _ = command("doctor")
    assert code == 1
    assert "its installed metadata cannot be read" in out


def test_a_target_that_cannot_be_imported(distributions, command):
    distributions.simple("invcore-acme", code="raise OSError('license server not found')")
    with pytest.raises(invcore.PluginLoadError) as error:
        invcore.operator("acme.thing")
    assert str(error.value) == (
        "operator 'acme.thing' of plugin invcore-acme 1.0 could not be loaded from "
        "'invcore_acme.code:Thing': OSError: license server not found"
    )
    assert isinstance(error.value.__cause__, OSError)
    code, out, _ = command("info", "acme.thing")
    assert code == 0
    assert "failed: operator 'acme.thing'" in out

    distributions.write("invcore_acme/code.py", "class Thing: pass\n# longer than before\n")
    assert invcore.operator("acme.thing")


def test_a_target_that_exits_or_is_not_there(distributions):
    distributions.simple("invcore-acme", code="import sys; sys.exit('bye')")
    with pytest.raises(invcore.PluginLoadError, match="SystemExit: bye"):
        invcore.operator("acme.thing")
    distributions.simple("invcore-void", code="class Other: pass")
    with pytest.raises(invcore.PluginLoadError, match=r"no attribute 'Thing'"):
        invcore.operator("void.thing")


def test_examples_load_from_their_target(distributions):
    code = """
        class Thing: pass
        def good(): return {"tiny": Thing()}
        def listed(): return [Thing()]
        def failing(): raise RuntimeError("no data")
    """
    for name in ("good", "listed", "failing"):
        extra = f'examples="invcore_{name}.code:{name}"'
        distributions.simple(f"invcore-{name}", extra=extra, code=code)
    distributions.simple("invcore-none")
    load = lambda name: invcore.components(plugin=f"invcore-{name}")[0].load_examples()
    assert list(load("good")) == ["tiny"]
    assert load("none") == {}
    with pytest.raises(invcore.PluginLoadError, match="must be a dict of label to instance"):
        load("listed")
    with pytest.raises(invcore.PluginLoadError, match="RuntimeError: no data"):
        load("failing")
