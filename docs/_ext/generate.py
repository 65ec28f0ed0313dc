"""Writes the pages that come from the program: the catalogue of components and the API reference.

They land in ``docs/generated`` before Sphinx reads its sources, so these lists are never kept by hand.
"""

import importlib
import inspect
import pkgutil
import re
from operator import attrgetter
from pathlib import Path

import invcore
from invcore.plugin import KINDS
from invcore.testing import ReaderExample, iter_checks

PACKAGES = sorted(path.name for path in Path(__file__).parents[2].glob("packages/*/src/invcore*"))


def resolve(target):
    """The object that ``"module:attribute"`` names."""
    module, _, attribute = target.partition(":")
    return attrgetter(attribute)(importlib.import_module(module))


def _parameters(target):
    """Names of the parameters of a target; those with a default are followed by it."""
    found = []
    for parameter in inspect.signature(target).parameters.values():
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        found.append(f"`{parameter.name}{default if len(default) < 25 else '=...'}`")
    return ", ".join(found) or "none"


def _status(component):
    return "tested by the kit" if component.examples else "no examples"


def catalogue():
    """The catalogue page: one table for each kind that has components."""
    lines = [
        "# Catalogue",
        "",
        "Every component that the packages of this repository register, as `invcore list` shows them.",
        "This page is generated from the registry. *requires* names optional packages; *status* says whether",
        "the [conformance kit](../explanation/conformance.md) has examples to test.",
    ]
    components = list(invcore.components())
    for kind in KINDS:
        rows = [c for c in components if c.kind == kind]
        if not rows:
            continue
        lines += [
            "",
            f"## {kind}",
            "",
            "| name | summary | parameters | requires | status |",
            "| --- | --- | --- | --- | --- |",
        ]
        for c in sorted(rows, key=lambda c: ("." in c.name, c.name)):
            requires = ", ".join(f"`{r}`" for r in c.requires) or "nothing more"
            cells = (f"`{c.name}`", c.summary, _parameters(resolve(c.target)), requires, _status(c))
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def checks():
    """The page of the conformance kit's checks: for each kind, those that its registered examples undergo."""
    lines = [
        "# The checks",
        "",
        "What the [conformance kit](../explanation/conformance.md) asks of each kind of component. This "
        "page is",
        "generated from the checks that the registered examples undergo.",
    ]
    found = {}
    for component in invcore.components():
        if component.kind == "dataset":  # which checks there are depends on what it offers
            continue
        if component.status == "missing dependency":  # others of its kind undergo the same checks
            continue
        for example in component.load_examples().values():
            if component.kind == "reader":
                example = ReaderExample(component.load()(), example)
            for check in iter_checks(example, kind=component.kind):
                found.setdefault(component.kind, {}).setdefault(check.name, check.doc)
    for kind in KINDS:
        if kind in found:
            lines += ["", f"## {kind}", "", "| check | what must hold |", "| --- | --- |"]
            lines += [f"| `{name}` | {doc.replace('|', '&#124;')} |" for name, doc in found[kind].items()]
    return "\n".join(lines) + "\n"


def public_modules():
    """The public modules of our packages, each with the names it offers."""
    found = {}
    for top in PACKAGES:
        names = [top]
        for info in pkgutil.iter_modules(importlib.import_module(top).__path__, top + "."):
            if not info.name.rpartition(".")[2].startswith("_"):
                names.append(info.name)
        for name in names:
            found[name] = sorted(getattr(importlib.import_module(name), "__all__", ()))
    return found


def _module_page(name, names):
    module = importlib.import_module(name)
    lines = [name, "=" * len(name), "", f".. automodule:: {name}", "   :no-members:", ""]
    for item in names:
        value = getattr(module, item)
        qualified = f"{name}.{item}"
        if inspect.ismodule(value):
            continue
        directive = (
            "autoclass" if inspect.isclass(value) else "autofunction" if callable(value) else "autodata"
        )
        lines += [item, "-" * len(item), "", f".. {directive}:: {qualified}"]
        if directive == "autoclass":
            lines += ["   :members:"]
        lines += [""]
    return "\n".join(lines)


def _api(folder):
    modules = public_modules()
    pages = {name: names for name, names in modules.items() if name not in ("invcore",)}
    homes = {}
    for name, names in pages.items():
        for item in names:
            homes.setdefault(id(getattr(importlib.import_module(name), item)), name)
    lines = ["# API reference", "", "```{toctree}", ":maxdepth: 1", "", *("invcore", *pages), "```", ""]
    own = [item for item in modules["invcore"] if id(getattr(invcore, item)) not in homes]
    pages = {"invcore": own, **pages}
    lines += ["## Names of `invcore` itself", "", "| name | documented in |", "| --- | --- |"]
    for item in modules["invcore"]:
        home = homes.get(id(getattr(invcore, item)), "invcore")
        lines.append(f"| `invcore.{item}` | [{home}]({home}.rst) |")
    (folder / "index.md").write_text("\n".join(lines) + "\n")
    for name, names in pages.items():
        (folder / f"{name}.rst").write_text(_module_page(name, names))


def write(app):
    """Write all generated pages (connected to ``builder-inited``)."""
    folder = Path(app.srcdir) / "generated"
    (folder / "api").mkdir(parents=True, exist_ok=True)
    (folder / "catalogue.md").write_text(catalogue())
    (folder / "checks.md").write_text(checks())
    _api(folder / "api")


_INITIAL = re.compile(r"^(\s*(?:\.\. \[\d+\] )?)(?=[A-Z]\. )")
_LITERAL = re.compile(r"(``.*?``|`.*?`_?)")


def escape(app, what, name, obj, options, lines):
    """Escape what docstrings mean as text and reStructuredText as markup.

    That is the stars of shapes such as ``(batch..., *spatial)``, the bars of ``|x|``, and an author's initial
    at the start of a line, which would begin a list; in prose only, not in literals, doctests and formulas.
    """
    verbatim = None
    for i, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if line.lstrip().startswith(">>>"):
            verbatim = "doctest"
        elif line.lstrip().startswith(".. math::"):
            verbatim = indent
        elif (verbatim == "doctest" and not line.strip()) or (
            isinstance(verbatim, int) and line.strip() and indent <= verbatim
        ):
            verbatim = None
        if verbatim is None:
            parts = _LITERAL.split(line)
            parts[::2] = [re.sub(r"(?<=[(, ])\*(?=\w)|\|", r"\\\g<0>", part) for part in parts[::2]]
            lines[i] = _INITIAL.sub(r"\1\\", "".join(parts))


def setup(app):
    """Connect to Sphinx."""
    app.connect("autodoc-process-docstring", escape, priority=100)  # before numpydoc
    app.connect("builder-inited", write, priority=100)
    return {"parallel_read_safe": True}
