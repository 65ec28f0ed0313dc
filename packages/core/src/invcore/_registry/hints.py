"""The texts that turn a failed lookup into the next step: near names, other kinds, pip commands."""

import difflib
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterable, Mapping, Sequence

from ..plugin import KINDS, Component
from . import known as _known
from .loader import Plugin, normalized

_DISTRIBUTION_OF = {
    "astra": "astra-toolbox",
    "cv2": "opencv-python",
    "PIL": "pillow",
    "pywt": "PyWavelets",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}
"""Import name to distribution, where they differ."""


def a(word: str) -> str:
    """Return the word with its article.

    Examples
    --------
    >>> a("operator"), a("prior")
    ('an operator', 'a prior')
    """
    return f"{'an' if word[:1] in 'aeiou' else 'a'} {word}"


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"``, or nothing where no choice is near.

    Examples
    --------
    >>> did_you_mean("operators", ["operator", "prior"])
    " Did you mean 'operator'?"
    """
    near = difflib.get_close_matches(word, list(choices), n=3, cutoff=0.75)
    return f" Did you mean {' or '.join(repr(match) for match in near)}?" if near else ""


def missing_imports(names: Sequence[str]) -> list[str]:
    """Return those top-level import names that cannot be found. Nothing is imported."""
    missing = []
    for name in names:
        try:
            found = importlib.util.find_spec(name) is not None
        except (ImportError, ValueError):  # a finder that refuses, or a module without a spec
            found = False
        if not found:
            missing.append(name)
    return missing


def missing_message(component: Component, plugin: str, missing: list[str]) -> str:
    """Say what a component lacks, and the pip command that brings it."""
    packages = " and ".join(repr(name) for name in missing)
    return (
        f"{component.kind} {component.name!r} of plugin {plugin} needs {packages}, which is not installed: "
        f"{pip_command(plugin, missing)}"
    )


def pip_command(plugin: str, missing: list[str]) -> str:
    """Return the command that installs missing imports of a plugin.

    An extra of the plugin that declares all of them is preferred; then the plugin's own version limits.
    """
    try:
        declared = importlib.metadata.requires(plugin) or []
    except importlib.metadata.PackageNotFoundError:
        declared = []
    extras: dict[str, set[str]] = {}
    specifiers: dict[str, str] = {}
    for requirement in declared:
        specifier, _, marker = requirement.partition(";")
        match = re.match(r"\s*([A-Za-z0-9._-]+)", specifier)
        if not match:
            continue
        name = normalized(match.group(1))
        extra = re.search(r"""extra\s*==\s*['"]([^'"]+)['"]""", marker)
        if extra:
            extras.setdefault(extra.group(1), set()).add(name)
        elif not marker:
            specifiers[name] = "".join(specifier.split())
    wanted = [_DISTRIBUTION_OF.get(name, name) for name in missing]
    for extra_name, brings in extras.items():
        if {normalized(name) for name in wanted} <= brings:
            return f'pip install "{plugin}[{extra_name}]"'
    return "pip install " + " ".join(f'"{specifiers.get(normalized(name), name)}"' for name in wanted)


def unknown_message(
    kind: str,
    name: str,
    plugin: str | None,
    offers: Mapping[tuple[str, str], Sequence[str]],
    plugins: Sequence[Plugin],
) -> str:
    """Say that nothing has this kind and name, and why that may be.

    Parameters
    ----------
    kind, name : str
        What was asked for.
    plugin : str or None
        The distribution it was asked from.
    offers : mapping
        ``(kind, name)`` to the distributions that offer it.
    plugins : sequence of Plugin
        All plugins, for what went wrong with them.
    """
    said = [f"no {kind} is called {name!r}" + (f" in plugin {plugin!r}." if plugin else ".")]
    if (kind, name) in offers:
        said.append(f"It is offered by {' and '.join(offers[kind, name])}.")
    others = [other for other, same in offers if same == name and other != kind]
    if others:
        said.append(f"{name!r} is {' and '.join(a(other) for other in others)}, not {a(kind)}.")
        said.append(f"Use invcore.{others[0]}({name!r}).")
    owner = _known.KNOWN.get((kind, name))
    installed = {entry.name for entry in plugins if entry.status != "disabled"}
    if owner and owner not in installed and owner in _known.EXTRAS:
        said.append(f'It is part of {owner}: pip install "invcore[{_known.EXTRAS[owner]}]"')
    if not others and not owner and (kind, name) not in offers:
        said += _near(kind, name, offers, installed)
    quoted = failures_for(kind, name, plugins)
    if len(said) == 1 and not quoted:
        said.append(f"`invcore list {kind}` shows what is installed.")
    return "\n".join([" ".join(said), *quoted])


def _near(
    kind: str, name: str, offers: Mapping[tuple[str, str], Sequence[str]], installed: set[str]
) -> list[str]:
    """Suggest near names, also those of first-party packages that are not installed."""
    here = [offered for other, offered in offers if other == kind]
    known = {
        offered: _known.EXTRAS[owner]
        for (other, offered), owner in _known.KNOWN.items()
        if other == kind and owner not in installed and owner in _known.EXTRAS
    }
    near = difflib.get_close_matches(name, sorted({*here, *known}), n=3, cutoff=0.72)
    tails = [offered for offered in sorted({*here, *known}) if offered.rpartition(".")[2] == name]
    near = list(dict.fromkeys([*tails, *near]))[:3]
    if not near:
        return []
    said = [f"Did you mean {' or '.join(repr(match) for match in near)}?"]
    for match in near:
        if match in known:
            said.append(f'{match!r} comes with: pip install "invcore[{known[match]}]"')
    return said


def failures_for(kind: str | None, name: str, plugins: Sequence[Plugin]) -> list[str]:
    """Return lines that quote the failures which may explain a missing name, and name the others.

    A `kind` of None stands for any.
    """
    namespace = name.partition(".")[0]
    said, others = [], set()
    for plugin in plugins:
        if plugin.status == "disabled" and plugin.entry.lower() == namespace:
            said.append(f"Plugin {plugin.name} is disabled by INVCORE_DISABLE_PLUGINS.")
        for failure in plugin.failures:
            whole = failure.component is None and failure.entry.lower() == namespace and "." in name
            if whole or failure.component in [(kind or other, name) for other in KINDS]:
                said.append(f"This may be why: {failure.message}")
            else:
                others.add(failure.plugin)
    if others:
        said.append(f"Problems with {', '.join(sorted(others))}: run `invcore doctor`.")
    elif said:
        said.append("`invcore doctor` shows it in full.")
    return said
