"""The texts that turn a failed lookup into the next step: near names, other words for it, pip commands."""

import difflib
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterable, Sequence

from ..plugin import Component
from .aliases import ALIASES, PARAMETERS
from .loader import Plugin, extras, normalized

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

_ENDINGS = ("operator", "physics", "transform", "loss", "norm", "filter")
"""Suffixes of class names in other libraries; the kind is one more."""


def a(word: str) -> str:
    """Return the word with its article.

    Examples
    --------
    >>> a("operator"), a("prior")
    ('an operator', 'a prior')
    """
    return f"{'an' if word[:1] in 'aeiou' else 'a'} {word}"


def did_you_mean(word: str, choices: Iterable[str], *, cutoff: float = 0.75) -> str:
    """Return ``" Did you mean 'x'?"``, or nothing where no choice is near.

    Examples
    --------
    >>> did_you_mean("operators", ["operator", "prior"])
    " Did you mean 'operator'?"
    """
    near = difflib.get_close_matches(word, list(choices), n=3, cutoff=cutoff)
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
    verb = "is" if len(missing) == 1 else "are"
    return (
        f"{component.kind} {component.name!r} of plugin {plugin} needs {packages}, which {verb} not "
        f"installed: {pip_command(plugin, missing)}"
    )


def pip_command(plugin: str, missing: list[str]) -> str:
    """Return the command that installs missing imports of a plugin.

    An extra of the plugin that declares all of them is preferred; then the plugin's own version limits.
    """
    try:
        declared = importlib.metadata.requires(plugin) or []
    except importlib.metadata.PackageNotFoundError:
        declared = []
    by_extra: dict[str, set[str]] = {}
    specifiers: dict[str, str] = {}
    for requirement in declared:
        specifier, _, marker = requirement.partition(";")
        match = re.match(r"\s*([A-Za-z0-9._-]+)", specifier)
        if not match:
            continue
        name = normalized(match.group(1))
        extra = re.search(r"""extra\s*==\s*['"]([^'"]+)['"]""", marker)
        if extra:
            by_extra.setdefault(extra.group(1), set()).add(name)
        elif not marker:
            specifiers[name] = "".join(specifier.split())
    wanted = [_DISTRIBUTION_OF.get(name, name) for name in missing]
    for extra_name, brings in by_extra.items():
        if {normalized(name) for name in wanted} <= brings:
            return f'pip install "{plugin}[{extra_name}]"'
    return "pip install " + " ".join(f'"{specifiers.get(normalized(name), name)}"' for name in wanted)


def pip_for_all(missing: Sequence[str]) -> str:
    """Return one command that installs missing imports: extras of invcore that bring most of them first.

    Examples
    --------
    >>> pip_for_all(["astropy_of_nobody", "numpy_of_nobody"])
    'pip install "astropy_of_nobody" "numpy_of_nobody"'
    """
    wanted = {
        normalized(_DISTRIBUTION_OF.get(name, name)): _DISTRIBUTION_OF.get(name, name) for name in missing
    }
    try:
        declared = importlib.metadata.requires("invcore") or []
    except importlib.metadata.PackageNotFoundError:
        declared = []
    brings: dict[str, set[str]] = {}
    for requirement in declared:
        name = re.match(r"\s*([A-Za-z0-9._-]+)", requirement)
        extra = re.search(r"""extra\s*==\s*['"]([^'"]+)['"]""", requirement)
        if name and extra:
            brings.setdefault(extra.group(1), set()).add(normalized(name.group(1)))
    extras: list[str] = []
    while best := max(brings, key=lambda extra: len(brings[extra] & set(wanted)), default=""):
        found = brings.pop(best) & set(wanted)
        if not found:
            break
        extras.append(best)
        wanted = {key: name for key, name in wanted.items() if key not in found}
    words = [f'"invcore[{",".join(extras)}]"'] if extras else []
    return " ".join(["pip install", *words, *(f'"{name}"' for name in wanted.values())])


def install(namespace: str, plugins: Sequence[Plugin]) -> str:
    """Return ``pip install "invcore[mri]"``, or nothing for a plugin that is installed or not one of ours."""
    if namespace not in extras() or f"invcore-{namespace}" in {plugin.name for plugin in plugins}:
        return ""
    return f'pip install "invcore[{namespace}]"'


def unknown_message(kind: str | None, name: str, plugin: str | None, plugins: Sequence[Plugin]) -> str:
    """Say that nothing has this kind and name, and what may have been meant.

    Parameters
    ----------
    kind, name : str
        What was asked for; a `kind` of None stands for any component, and for a plugin.
    plugin : str or None
        The distribution it was asked from.
    plugins : sequence of Plugin
        All plugins, for what they offer and for what went wrong with them.
    """
    said = [
        f"no {kind or 'component and no plugin'} is called {name!r}"
        + (f" in plugin {plugin!r}." if plugin else ".")
    ]
    name = name.lower()
    same = [(owner, item) for owner in plugins for item in owner.components if item.name == name]
    offered = [owner.name for owner, item in same if item.kind == kind]
    namespace = name.partition(".")[0] if "." in name else ""
    alike = meant(kind, name, [item for owner in plugins for item in owner.components])
    if offered:
        said.append(f"It is offered by {' and '.join(offered)}.")
    elif kind and same and kind not in [of for of, _ in alike]:
        others = [item.kind for _, item in same]
        said.append(f"{name!r} is {' and '.join(a(other) for other in others)}, not {a(kind)}.")
        said.append(f"Use invcore.{others[0]}({name!r}).")
    elif alike:
        said += _pointed(kind, alike, plugins)
    elif command := install(namespace, plugins):
        said.append(f"What starts with '{namespace}.' comes with: {command}")
    else:
        if namespace and not any(owner.may_offer(name) for owner in plugins):
            said.append(f"No plugin called {namespace!r} is installed.")
        here = {item.name for owner in plugins for item in owner.components if kind in (None, item.kind)}
        here |= set() if kind else {owner.name for owner in plugins}
        near = [other for other in sorted(here) if other.rpartition(".")[2] == name.rpartition(".")[2]]
        near += difflib.get_close_matches(name, sorted(here), n=3, cutoff=0.72)
        told = in_summaries(kind, name, [item for owner in plugins for item in owner.components])
        if near:
            said.append(f"Did you mean {' or '.join(map(repr, list(dict.fromkeys(near))[:3]))}?")
        elif told:
            said.append(f"The word is in the summary of {' and '.join(map(repr, told))}.")
        elif kind and not here:
            said.append(f"No {kind} exists yet: neither core nor an installed plugin has one.")
    quoted = failures_for(name, plugins)
    if len(said) == 1 and not quoted:
        said.append(f"`invcore list{f' {kind}' if kind else ''}` shows what is installed.")
    return "\n".join([" ".join(said), *quoted])


def parameter_meant(word: str, accepted: Iterable[str]) -> list[str]:
    """Return the parameters that a word of another library stands for, else the nearest one.

    Examples
    --------
    >>> parameter_meant("lambda_reg", ["prior", "weight"]), parameter_meant("max_iter", ["max_steps"])
    (['weight'], ['max_steps'])
    """
    accepted = list(accepted)
    written = _folded(word)
    found = [ours for ours in accepted if written in map(_folded, PARAMETERS.get(ours, "").split())]
    return found or difflib.get_close_matches(word, accepted, n=1, cutoff=0.6)


def in_summaries(kind: str | None, word: str, components: Iterable[Component]) -> list[str]:
    """Return up to three components of a kind whose summary or tags have the word."""
    written = re.sub(r"[_-]+", " ", word.rpartition(".")[2].lower())
    if len(written) < 3:
        return []
    return [
        item.name
        for item in components
        if kind in (None, item.kind)
        and re.search(rf"\b{re.escape(written)}", f"{item.summary} {' '.join(item.tags)}".lower())
    ][:3]


def meant(kind: str | None, word: str, components: Iterable[Component]) -> list[tuple[str, str]]:
    """Return the components that a word of another library, or the name of a class, stands for.

    Those of the kind that was asked for are preferred: ``l2`` is a fidelity to some and a prior to others.
    """
    written = _folded(word)
    words = {written, *(written.removesuffix(end) for end in (kind or "", *_ENDINGS))}
    found = [
        (item.kind, item.name)
        for item in components
        if words & {_folded(item.name), _folded(item.target.partition(":")[2])}
    ]
    found += [
        (of, ours)
        for of, rows in ALIASES.items()
        for ours, theirs in rows.items()
        if words & {_folded(ours.rpartition(".")[2]), *map(_folded, theirs.split())}
    ]
    found = [pair for pair in dict.fromkeys(found) if pair != (kind, word)]
    return [pair for pair in found if pair[0] == kind] or found


def _pointed(kind: str | None, meant: Sequence[tuple[str, str]], plugins: Sequence[Plugin]) -> list[str]:
    """Name the components that were meant, and the command that installs their package."""
    names = [repr(name) if of == kind else f"the {of} {name!r}" for of, name in meant[:3]]
    said = [f"Here it is called {' or '.join(names)}."]
    for namespace in dict.fromkeys(name.partition(".")[0] for _, name in meant[:3] if "." in name):
        if command := install(namespace, plugins):
            said.append(f"What starts with '{namespace}.' comes with: {command}")
    return said


def _folded(word: str) -> str:
    """Return a word as names of all styles agree on it: ``ConjugateGradient`` is ``conjugate_gradient``."""
    return re.sub(r"[^a-z0-9.]", "", word.lower())


def failures_for(name: str, plugins: Sequence[Plugin]) -> list[str]:
    """Return lines that quote the failures which may explain a missing name, and name the others."""
    said, others = [], set()
    for plugin in plugins:
        may = "." in name and plugin.may_offer(name)
        if may and plugin.status == "disabled":
            said.append(f"Plugin {plugin.name} is disabled by INVCORE_DISABLE_PLUGINS.")
        if plugin.status == "found":
            said.append(f"Plugin {plugin.label} takes long to load, and was not waited for.")
        for failure in plugin.failures:
            if failure.component.lower() == name or (may and not failure.component):
                said.append(f"This may be why: {failure.message}")
            else:
                others.add(failure.plugin)
    if others:
        said.append(f"Problems with {', '.join(sorted(others))}: run `invcore doctor`.")
    elif said:
        said.append("`invcore doctor` shows it in full.")
    return said
