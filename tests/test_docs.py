"""What a user can name is documented: hooks, kinds, exceptions, commands and their options, components."""

import inspect
import re
import sys
from pathlib import Path

import pytest

import invcore
import invcore.testing
from invcore import _errors, plugin
from invcore.testing import ConformanceError

DOCS = Path(__file__).parents[1] / "docs"


def page(name):
    return (DOCS / name).read_text()


def section(text, heading):
    """Text under a heading, up to the next heading of the same or a higher level."""
    match = re.search(rf"^(#+) `?{re.escape(heading)}`?$", text, re.MULTILINE)
    if match is None:
        return None
    rest = text[match.end() :]
    end = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


HOOKS = [f for f in vars(plugin).values() if inspect.isfunction(f) and hasattr(f, "invcore_spec")]
ERRORS = [e for e in vars(_errors).values() if inspect.isclass(e) and e.__module__ == _errors.__name__]


def test_there_is_something_to_document():
    assert [h.__name__ for h in HOOKS] == ["invcore_components"]
    assert len(ERRORS) >= 10


@pytest.mark.parametrize("hook", HOOKS, ids=lambda h: h.__name__)
def test_hook_has_a_section_with_its_signature(hook):
    text = section(page("reference/hooks.md"), hook.__name__)
    assert text, f"docs/reference/hooks.md has no heading for the hook {hook.__name__}"
    assert f"{hook.__name__}({', '.join(inspect.signature(hook).parameters)})" in text


@pytest.mark.parametrize("kind", plugin.KINDS)
def test_kind_is_described(kind):
    assert re.search(rf"^\| `{kind}` \|", page("reference/kinds.md"), re.MULTILINE)


@pytest.mark.parametrize("error", [*ERRORS, ConformanceError], ids=lambda e: e.__name__)
def test_exception_is_public_and_described(error):
    assert getattr(invcore.testing if error is ConformanceError else invcore, error.__name__) is error
    assert section(page("reference/errors.md"), error.__name__), (
        f"docs/reference/errors.md lacks {error.__name__}"
    )


def commands():
    from typer.main import get_command

    from invcore.cli._app import build

    def walk(command, prefix):
        for name, sub in getattr(command, "commands", {}).items():
            if getattr(sub, "commands", None):
                yield from walk(sub, f"{prefix} {name}")
            else:
                yield f"{prefix} {name}", sub

    return dict(walk(get_command(build()), "invcore"))


def test_every_command_and_option_is_described():
    text = page("reference/cli.md")
    missing = []
    for name, command in commands().items():
        body = section(text, name)
        if not body:
            missing.append(name)
            continue
        for parameter in command.params:
            longest = max(parameter.opts, key=len) if parameter.param_type_name == "option" else ""
            if longest not in ("", "--help", "--verbose") and f"`{longest}" not in body:
                missing.append(f"{name} {longest}")
    assert not missing, f"docs/reference/cli.md lacks {missing}"


def test_every_option_in_the_page_exists():
    from typer.main import get_command

    from invcore.cli._app import build

    text = page("reference/cli.md")
    common = [(text.partition("\n## ")[0], [get_command(build()), *commands().values()])]
    for body, having in [
        *common,
        *((section(text, name), [command]) for name, command in commands().items()),
    ]:
        has = {option for c in having for p in c.params for option in (*p.opts, *p.secondary_opts)}
        named = set(re.findall(r"--[a-z][\w-]*", body))
        assert named <= has | {"--help"}, (
            f"docs/reference/cli.md names options that do not exist: {named - has}"
        )


def test_every_command_in_the_page_exists():
    described = re.findall(r"^#+ `(invcore [\w -]+)`$", page("reference/cli.md"), re.MULTILINE)
    assert sorted(described) == sorted(commands())


def test_every_component_is_in_the_catalogue(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    import generate

    text = generate.catalogue()
    for component in invcore.components():
        assert f"`{component.name}`" in text
        assert component.summary, f"{component.kind} {component.name} has no summary"
        target = generate.resolve(component.target)
        assert inspect.getdoc(target), f"{component.target} has no docstring"
    sys.modules.pop("generate")
