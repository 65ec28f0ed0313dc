"""Words for the shell to complete: names of components, without importing the code behind them."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator

from .._registry.registry import registry
from ..plugin import KINDS

Words = list[tuple[str, str]]
"""Words with a line that explains each, for shells that show one."""


def component(incomplete: str) -> Words:
    """Complete the name of a component of any kind, or of a plugin."""
    plugins = [(plugin.name, f"plugin {plugin.version}") for plugin in registry().installed]
    return _matching(incomplete, [*_named(), *plugins])


def of_kind(kind: str) -> Callable[[str], Words]:
    """Return what completes the name of a component of this kind."""

    def complete(incomplete: str) -> Words:
        return _matching(incomplete, _named(kind))

    return complete


def kind(incomplete: str) -> Words:
    """Complete a kind of component."""
    return _matching(incomplete, [(kind, "") for kind in KINDS])


def plugin(incomplete: str) -> Words:
    """Complete the name of a distribution."""
    return _matching(incomplete, [(plugin.name, plugin.version) for plugin in registry().installed])


def tag(incomplete: str) -> Words:
    """Complete a tag."""
    with _silent():
        return _matching(incomplete, sorted({(tag, "") for c in registry().components() for tag in c.tags}))


def demo(incomplete: str) -> Words:
    """Complete the name of a demo."""
    with _silent():
        found = registry().components("dataset", tag="demo")
    return _matching(incomplete, [(item.name.partition(".")[0], item.summary) for item in found])


def _named(kind: str | None = None) -> Words:
    with _silent():
        return [(item.name, item.summary) for item in registry().components(kind)]


def _matching(incomplete: str, words: Iterable[tuple[str, str]]) -> Words:
    return [pair for pair in words if pair[0].startswith(incomplete.lower())]


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Drop what plugins print while they are loaded: the shell would take it for words."""
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield
