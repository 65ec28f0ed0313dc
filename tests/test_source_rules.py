"""Rules for the source of every package: it prints nothing, unpickles nothing, hides no builtin, shares no
default."""

import ast
import builtins
import importlib
import inspect
import json
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path for path in ROOT.glob("packages/*/src/invcore*") if path.is_dir())
PUBLIC = json.loads((ROOT / "tests" / "api_surface.json").read_text())


def calls(package):
    """Every call in a package's source, with the file it stands in, the name called and its keywords."""
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
                yield path.relative_to(package), ast.unparse(node.func), keywords, node


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_only_the_command_line_prints(package):
    for path, name, keywords, _ in calls(package):
        if not {"cli", "_template"} & set(path.parts):
            assert name != "print" or "file" in keywords, path


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_nothing_is_unpickled_or_extracted_unchecked(package):
    for path, name, keywords, node in calls(package):
        assert name not in ("pickle.load", "marshal.load", "eval"), path
        if name == "pickle.loads":  # a round trip of what was just written
            assert ast.unparse(node.args[0]).startswith("pickle.dumps("), path
        assert keywords.get("allow_pickle", "False") == "False", path
        if name == "torch.load":
            assert keywords.get("weights_only") == "True", path
        if name.endswith((".extractall", ".extract")):
            assert keywords.get("filter") == "'data'", path


def test_a_star_import_hides_no_builtin():
    assert [f"{module}.{n}" for module, names in PUBLIC.items() for n in names if hasattr(builtins, n)] == []


def test_no_default_can_be_changed():
    for module, names in PUBLIC.items():
        for name in names:
            thing = getattr(importlib.import_module(module), name)
            if inspect.isfunction(thing) or (inspect.isclass(thing) and not issubclass(thing, BaseException)):
                defaults = [p.default for p in inspect.signature(thing).parameters.values()]
                assert not any(isinstance(d, list | dict | set | torch.Tensor) for d in defaults), name
