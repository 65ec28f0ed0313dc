"""Distributions made by hand on ``sys.path``, so that plugins are found the way installed ones are."""

import sys
import textwrap
from importlib.metadata import entry_points

import pytest

import invcore


class Distributions:
    """A folder on ``sys.path`` into which `install` writes plugins: modules, and what pip would record."""

    def __init__(self, folder):
        self.folder = folder
        self.modules = []

    def write(self, path, text):
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        self.modules.append(path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))

    def record(self, name, *, entry, module, version="1.0", requires=()):
        """Write the ``.dist-info`` folder."""
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        lines = [f"Requires-Dist: {requirement}" for requirement in requires]
        metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines]
        (info / "METADATA").write_text("\n".join(metadata) + "\n")
        (info / "entry_points.txt").write_text(f"[invcore]\n{entry} = {module}\n")
        invcore.refresh()
        return info

    def install(self, name, body, *, entry=None, code=None, **metadata):
        """Install a plugin whose entry module is `body`, with `code` in a module ``<package>.code``."""
        package = name.replace("-", "_")
        self.write(f"{package}/__init__.py", "")
        self.write(f"{package}/_plugin.py", body)
        self.write(f"{package}/code.py", code or "class Thing:\n    pass\n")
        self.record(
            name, entry=entry or name.removeprefix("invcore-"), module=f"{package}._plugin", **metadata
        )

    def simple(self, name, component="operator", *, named=None, entry=None, extra="", before="", **metadata):
        """Install a plugin with one component, ``<entry>.thing``."""
        entry = entry or name.removeprefix("invcore-")
        named = named or f"{entry}.thing"
        package = name.replace("-", "_")
        body = f"""\
            {before}
            from invcore.plugin import Component, hookimpl

            @hookimpl
            def invcore_components():
                return [Component("{component}", "{named}", "{package}.code:Thing", {extra})]
        """
        self.install(name, body, entry=entry, **metadata)


@pytest.fixture
def distributions(tmp_path, monkeypatch):
    """Plugins to install for one test; the other packages of the repository are left out."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    ours = (entry.dist.name for entry in entry_points(group="invcore") if entry.name != "core")
    monkeypatch.setenv("INVCORE_DISABLE_PLUGINS", ", ".join(ours))
    monkeypatch.delenv("INVCORE_STRICT", raising=False)
    invcore.refresh()
    made = Distributions(folder)
    yield made
    for name in made.modules:
        sys.modules.pop(name, None)
    monkeypatch.undo()
    invcore.refresh()


@pytest.fixture
def command(capsys):
    """Run ``invcore ...`` in this process; returns exit code, stdout and stderr."""
    from invcore.cli import main

    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main(words)
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return run
