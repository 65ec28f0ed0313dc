"""Plugins that exist for the duration of a test. Imports no torch."""

import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from .._registry.loader import Plugin, normalized
from .._registry.registry import added
from ..plugin import API_VERSION, Component, hookimpl

__all__ = ["temporary_plugin"]


@contextmanager
def temporary_plugin(
    source: types.ModuleType | Iterable[Component],
    *,
    name: str = "invcore-temporary",
    entry: str | None = None,
    version: str = "0",
    raise_failures: bool = True,
) -> Iterator[Plugin]:
    """Register a plugin while a ``with`` block runs, as if a distribution with it were installed.

    It goes through the same checks as an installed plugin. Inside a pytest fixture, ``yield`` from
    within the block.

    Parameters
    ----------
    source : module or iterable of Component
        A module that implements the hook ``invcore_components``, or the components themselves.
    name, version : str
        The distribution to pretend.
    entry : str, optional
        The name of the entry point, which is the namespace. By default that of the first component, or
        for a module the name without ``invcore-``.
    raise_failures : bool
        Raise when the plugin is at fault; otherwise the failures are remembered, as for installed ones.

    Yields
    ------
    Plugin
        What the registry made of it: `status`, `components`, `failures`.

    Raises
    ------
    PluginLoadError
        If `raise_failures` and something is wrong with the plugin.

    Examples
    --------
    >>> import invcore
    >>> from invcore.plugin import Component
    >>> with temporary_plugin([Component("prior", "demo.counter", "collections:Counter")]):
    ...     invcore.prior("demo.counter")
    Counter()
    """
    if isinstance(source, types.ModuleType):
        module = source
        entry = entry or name.removeprefix("invcore-")
    else:
        components = tuple(source)
        module = _module(name, components)
        entry = entry or (components[0].namespace if components else "") or name.removeprefix("invcore-")
    made = Plugin(normalized(name), version, entry, module.__name__, lambda: module)
    with added(made, raise_failures=raise_failures) as plugin:
        yield plugin


def _module(name: str, components: tuple[Component, ...]) -> types.ModuleType:
    """Return a module whose hook returns the components."""

    def invcore_components() -> tuple[Component, ...]:
        return components

    module = types.ModuleType(name.replace("-", "_"))
    vars(module).update(INVCORE_API_VERSION=API_VERSION, invcore_components=hookimpl(invcore_components))
    return module
