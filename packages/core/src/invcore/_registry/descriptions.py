"""What docstrings say of parameters: a class's own section, and those of the base classes it leaves out.

A base class describes the options that its subclasses share (`invcore.Solver`, the metrics, the options of
readers); a subclass describes only its own.
"""

import inspect
import re
from collections.abc import Sequence

_MARKUP = re.compile(r"(?::\w+:)?``?([^`]*)``?")
"""Literals and references of reStructuredText."""


def section(lines: Sequence[str]) -> tuple[int, int]:
    """Return where the entries of the section Parameters begin and end.

    Without that section, both are where it would be put.
    """
    heads = [i for i, line in enumerate(lines[1:]) if line.strip() and set(line.strip()) == {"-"}]
    begin = next((i + 2 for i in heads if lines[i].strip() == "Parameters"), None)
    end = min((i for i in heads if begin is None or i > begin), default=len(lines))
    while end and not lines[end - 1].strip():
        end -= 1
    return (end, end) if begin is None else (begin, end)


def described(target: object) -> dict[str, list[str]]:
    """Return the entries of the section Parameters of a docstring: each name with its lines."""
    lines = inspect.cleandoc(getattr(target, "__dict__", {}).get("__doc__") or _doc(target)).splitlines()
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for line in lines[slice(*section(lines))]:
        if line[:1].strip():
            head = line.partition(" : ")[0]
            names = [name.strip() for name in head.split(",")]
            found.update({name: [line.replace(head, name, 1)] for name in names})
        else:
            for name in names:
                found[name].append(line)
    return found


def inherited(cls: type) -> dict[str, list[str]]:
    """Return the entries of base classes for the parameters that the class's own docstring leaves out."""
    own, found = described(cls), {}
    for name in inspect.signature(cls).parameters:
        if name not in own:
            entries = (described(base).get(name) for base in cls.__mro__[1:-1])
            if entry := next(filter(None, entries), None):
                found[name] = entry
    return found


def _entries(target: object) -> dict[str, list[str]]:
    return described(target) | (inherited(target) if isinstance(target, type) else {})


def meanings(target: object) -> dict[str, str]:
    """Return what the docstrings say of each parameter of a class or function, without markup."""
    return {name: _plain(" ".join(lines[1:])) for name, lines in _entries(target).items()}


def kinds(target: object) -> dict[str, str]:
    """Return the types of parameters in the words of the docstrings: ``Tensor, shape (channel,)``."""
    found = {name: lines[0].partition(" : ")[2] for name, lines in _entries(target).items()}
    return {name: _plain(kind).removesuffix(", optional") for name, kind in found.items() if kind}


def _plain(text: str) -> str:
    return _MARKUP.sub(r"\1", " ".join(text.split()))


def _doc(target: object) -> str:
    return "" if isinstance(target, type) else target.__doc__ or ""
