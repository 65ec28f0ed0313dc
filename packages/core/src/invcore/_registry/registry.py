"""The registry: which components exist, which can be used, and what to say when one cannot.

There is one in a process. It loads a plugin when a lookup needs it: a bare name belongs to core, ``mri.x`` to
the plugins whose entry point is called ``mri``. All are loaded to list components, and to say what is near a
name that does not exist.
"""

import importlib
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .._errors import (
    AmbiguousComponentError,
    MissingDependencyError,
    ParameterError,
    PluginLoadError,
    UnknownComponentError,
)
from ..plugin import KINDS, Component
from . import hints as _hints
from .loader import Plugin, core, describe, discover, normalized, strict

AVAILABLE = "available"
MISSING = "missing dependency"
CONFLICT = "conflict"
"""The states of a component."""


@dataclass(frozen=True)
class Registered(Component):
    """A component as the registry holds it: the plugin's record, who offers it, and whether it works.

    Besides the fields of `invcore.plugin.Component`:

    Parameters
    ----------
    plugin, version : str
        The distribution that offers it.
    status : str
        ``available``, ``missing dependency`` or ``conflict`` (another distribution offers the same kind and
        name).
    reason : str
        Why the status is not ``available``, and what to do about it.

    Examples
    --------
    >>> import invcore
    >>> all(found.plugin for found in invcore.components("solver"))
    True
    """

    plugin: str = field(kw_only=True)
    version: str = field(kw_only=True)
    status: str = field(default=AVAILABLE, kw_only=True)
    reason: str = field(default="", kw_only=True)

    def load(self, *, anyway: bool = False) -> object:
        """Import and return the class or factory.

        Parameters
        ----------
        anyway : bool
            Import it without looking for the packages that it requires: a reader without its package can
            still recognize a file.

        Raises
        ------
        MissingDependencyError
            If a package that it requires is not installed.
        PluginLoadError
            If it cannot be imported.
        """
        return self._import(self.target, anyway)

    def load_examples(self) -> dict[str, object]:
        """Call the examples function and return label to instance; empty where none is registered.

        Raises
        ------
        MissingDependencyError, PluginLoadError
            If the function cannot be imported, fails, or returns something else than a dict.
        """
        if not self.examples:
            return {}
        function = self._import(self.examples)
        where = f"{self.examples}, plugin {self.plugin} {self.version}"
        label = f"the examples of {self.kind} {self.name!r} ({where})"
        try:
            examples = function() if callable(function) else function
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginLoadError(f"{label} could not be made: {describe(error)}") from error
        if not isinstance(examples, dict) or not all(isinstance(key, str) for key in examples):
            raise PluginLoadError(f"{label} must be a dict of label to instance, not {examples!r}.")
        return examples

    def load_examples_function(self) -> object:
        """Import the examples function without calling it; None where none is registered."""
        return self._import(self.examples) if self.examples else None

    def _import(self, target: str, anyway: bool = False) -> object:
        if not anyway and _hints.missing_imports(self.requires):
            importlib.invalidate_caches()  # it may have been installed a moment ago
            if missing := _hints.missing_imports(self.requires):
                raise MissingDependencyError(_hints.missing_message(self, self.plugin, missing))
        module, _, path = target.partition(":")
        try:
            value: object = importlib.import_module(module)
            for attribute in path.split("."):
                value = getattr(value, attribute)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginLoadError(
                f"{self.kind} {self.name!r} of plugin {self.plugin} {self.version} could not be loaded "
                f"from {target!r}: {describe(error)}"
            ) from error
        return value


class Registry:
    """The plugins of this environment, and lookups that load those they need.

    Parameters
    ----------
    strict : bool
        Raise the first failure of a plugin that is loaded, instead of remembering it.
    """

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._core = core()
        self._lock = threading.Lock()
        self._discovered: list[Plugin] | None = None

    @property
    def installed(self) -> tuple[Plugin, ...]:
        """Every plugin, core first. None is loaded for this; the metadata are read once."""
        with self._lock:
            if self._discovered is None:
                self._discovered = discover()
        return (self._core, *self._discovered, *_added)

    def plugins(self, name: str | None = None, plugin: str | None = None) -> tuple[Plugin, ...]:
        """Load and return plugins: all, those that may offer a name, or one distribution and its rivals.

        Raises
        ------
        PluginLoadError, AmbiguousComponentError
            In strict mode, the first failure or conflict among them.
        """
        if plugin is not None:
            entries = {other.entry.lower() for other in self.installed if other.name == plugin}
            chosen = [other for other in self.installed if other.entry.lower() in entries]
        elif name is None:
            chosen = list(self.installed)
        elif "." in name:
            chosen = [other for other in self.installed if other.may_offer(name)]
        else:
            chosen = [self._core]
        loaded = tuple(other.load() for other in chosen)
        if self._strict:
            for other in loaded:
                other.raise_failure()
            for conflict in _conflicts(loaded).values():
                raise AmbiguousComponentError(conflict)
        return loaded

    def soon(self, patience: float = 5.0) -> tuple[Plugin, ...]:
        """Return all plugins, those loaded that can be in some seconds each: a message waits for no other.

        Those that need longer have the status ``found``.
        """
        for other in self.installed:
            thread = threading.Thread(target=other.load, daemon=True)
            if other.status == "found":
                try:
                    thread.start()
                    thread.join(patience)
                except KeyboardInterrupt as stop:
                    raise KeyboardInterrupt(f"while plugin {other.label} was loaded") from stop
            if self._strict:
                other.raise_failure()
        return self.installed

    def conflicts(self) -> tuple[str, ...]:
        """Return one message for each kind and name that several distributions offer."""
        return tuple(message for _, message in sorted(_conflicts(self.plugins()).items()))

    def components(
        self,
        kind: str | None = None,
        tag: str | None = None,
        plugin: str | None = None,
        *,
        name: str | None = None,
    ) -> tuple[Registered, ...]:
        """Return the matching components, ordered by kind, name and plugin; only their plugins are loaded."""
        if kind is not None and kind not in KINDS:
            hint = _hints.did_you_mean(kind, KINDS)
            raise ParameterError(f"there is no kind {kind!r}.{hint} The kinds are {', '.join(KINDS)}.")
        if name is not None and not isinstance(name, str):
            raise ParameterError(f"a component is looked up by its name, a string, not {name!r}.")
        name = name and name.lower()
        if plugin is not None:
            plugin = self._check_plugin(plugin)
        loaded = self.plugins(name, plugin)
        conflicts = _conflicts(loaded) if len(loaded) > 1 else {}
        found = [
            _registered(owner, component, conflicts.get((component.kind, component.name), ""))
            for owner in loaded
            if plugin in (None, owner.name)
            for component in owner.components
            if kind in (None, component.kind) and name in (None, component.name)
            if tag is None or tag in component.tags
        ]
        return tuple(sorted(found, key=lambda item: (KINDS.index(item.kind), item.name, item.plugin)))

    def find(self, kind: str, name: str, *, plugin: str | None = None) -> Registered:
        """Return the one component of this kind and name; the case of the name does not matter.

        Raises
        ------
        ParameterError
            If there is no such kind.
        UnknownComponentError
            If nothing of the kind has this name.
        AmbiguousComponentError
            If several distributions offer it and `plugin` does not choose one.
        """
        found = self.components(kind, None, plugin, name=name)
        if not found:
            raise UnknownComponentError(_hints.unknown_message(kind, name, plugin, self.soon()))
        if len(found) > 1:
            raise AmbiguousComponentError(found[0].reason)
        return found[0]

    def _check_plugin(self, name: str) -> str:
        """Return the normalized name of an installed plugin that offers components, or raise."""
        name = normalized(name)
        own = [other.load() for other in self.installed if other.name == name]
        if any(other.status == "loaded" for other in own):
            return name
        for other in own:
            other.raise_failure()
        if own:
            raise UnknownComponentError(f"plugin {name!r} is disabled by INVCORE_DISABLE_PLUGINS.")
        installed = sorted({other.name for other in self.installed})
        hint = _hints.did_you_mean(name, installed)
        if command := _hints.install(name.removeprefix("invcore-"), self.installed):
            hint += f" Install it: {command}."
        raise UnknownComponentError(
            f"no plugin {name!r} is installed.{hint} Installed: {', '.join(installed)}."
        )


def _registered(owner: Plugin, component: Component, conflict: str) -> Registered:
    status, reason = AVAILABLE, ""
    if conflict:
        status, reason = CONFLICT, conflict
    elif missing := _hints.missing_imports(component.requires):
        status, reason = MISSING, _hints.missing_message(component, owner.name, missing)
    return Registered(
        **vars(component), plugin=owner.name, version=owner.version, status=status, reason=reason
    )


def _conflicts(plugins: Iterable[Plugin]) -> dict[tuple[str, str], str]:
    """Return a message for each kind and name that several plugins offer."""
    owners: dict[tuple[str, str], list[Plugin]] = defaultdict(list)
    for plugin in plugins:
        for component in plugin.components:
            owners[component.kind, component.name].append(plugin)
    return {
        (kind, name): (
            f"{kind} {name!r} is offered by {len(same)} distributions: "
            f"{' and '.join(owner.label for owner in same)}. Choose one, for example "
            f"invcore.{kind}({name!r}, plugin={same[0].name!r}), or uninstall the others."
        )
        for (kind, name), same in owners.items()
        if len(same) > 1
    }


_lock = threading.Lock()
_current: Registry | None = None
_added: list[Plugin] = []  # by `added`; a refresh keeps them


def registry() -> Registry:
    """Return the registry of this process. Thread-safe."""
    global _current
    with _lock:
        if _current is None:
            _current = Registry(strict=strict())
        return _current


def refresh() -> None:
    """Forget the plugins, so that the next lookup searches the installed ones again.

    For a notebook in which a plugin was just installed, or after the environment variables changed.

    Examples
    --------
    >>> import invcore
    >>> invcore.refresh()
    """
    global _current
    importlib.invalidate_caches()
    with _lock:
        _current = None


@contextmanager
def added(plugin: Plugin, *, raise_failures: bool) -> Iterator[Plugin]:
    """Add a plugin to the registry for the duration of a ``with`` block."""
    plugin.load()
    if raise_failures:
        plugin.raise_failure()
    _added.append(plugin)
    try:
        yield plugin
    finally:
        _added[:] = [other for other in _added if other is not plugin]
