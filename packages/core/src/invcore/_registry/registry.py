"""The registry: which components exist, which can be used, and what to say when one cannot.

It is built from the loaded plugins on first use, shared by the process, and never changed: `refresh`
and the temporary plugins of tests put a new one in its place.
"""

import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .._errors import (
    AmbiguousComponentError,
    InvcoreError,
    MissingDependencyError,
    ParameterError,
    PluginLoadError,
    UnknownComponentError,
)
from ..plugin import KINDS, Component
from . import hints as _hints
from . import known as _known
from .loader import (
    CORE,
    Failure,
    Plugin,
    Source,
    describe,
    disabled_plugins,
    discover,
    load,
    normalized,
    strict,
)

AVAILABLE = "available"
MISSING = "missing dependency"
FAILED = "failed"
CONFLICT = "conflict"
"""The states of a component. A plugin as a whole may be ``incompatible`` or ``disabled`` besides."""


@dataclass(frozen=True)
class Registered:
    """A component as the registry holds it: the plugin's record, who offers it, and whether it works.

    Parameters
    ----------
    component : Component
        What the plugin said.
    plugin, version : str
        The distribution that offers it.
    status : str
        ``available``, ``missing dependency``, ``failed`` (its code was tried and could not be imported)
        or ``conflict`` (another distribution offers the same kind and name).
    reason : str
        Why the status is not ``available``, and what to do about it.

    Examples
    --------
    >>> import invcore
    >>> all(found.plugin for found in invcore.components("solver"))
    True
    """

    component: Component
    plugin: str
    version: str
    status: str = AVAILABLE
    reason: str = ""

    @property
    def kind(self) -> str:
        """The kind, one of `invcore.plugin.KINDS`."""
        return self.component.kind

    @property
    def name(self) -> str:
        """The registered name."""
        return self.component.name

    @property
    def target(self) -> str:
        """``"module:attribute"`` of the class or factory."""
        return self.component.target

    @property
    def summary(self) -> str:
        """One line about it."""
        return self.component.summary

    @property
    def requires(self) -> tuple[str, ...]:
        """Import names of the optional packages that it needs."""
        return self.component.requires

    @property
    def examples(self) -> str:
        """``"module:function"`` that makes the instances the conformance kit tests; may be empty."""
        return self.component.examples

    @property
    def tags(self) -> tuple[str, ...]:
        """Free words to filter by."""
        return self.component.tags

    def load(self) -> object:
        """Import and return the class or factory.

        Raises
        ------
        MissingDependencyError, PluginLoadError
            If it cannot be imported.
        """
        return registry().load(self.kind, self.name, plugin=self.plugin)

    def load_examples(self) -> dict[str, object]:
        """Call the examples function and return label to instance; empty where none is registered.

        Raises
        ------
        MissingDependencyError, PluginLoadError
            If the function cannot be imported, fails, or returns something else than a dict.
        """
        return registry().load_examples(self.kind, self.name, plugin=self.plugin)


@dataclass(frozen=True)
class Registry:
    """The components of some plugins; see the module's description."""

    plugins: tuple[Plugin, ...]
    _index: dict[tuple[str, str], list[tuple[Plugin, Component]]] = field(
        init=False, repr=False, default_factory=dict
    )
    _broken: dict[tuple[str, str, str], str] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        for plugin in self.plugins:
            for component in plugin.components:
                self._index.setdefault((component.kind, component.name), []).append((plugin, component))

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Everything that went wrong while plugins were loaded."""
        return tuple(failure for plugin in self.plugins for failure in plugin.failures)

    @property
    def conflicts(self) -> tuple[str, ...]:
        """One message for each kind and name that several distributions offer."""
        return tuple(
            self._conflict_message(*key, [plugin for plugin, _ in offers])
            for key, offers in sorted(self._index.items())
            if len(offers) > 1
        )

    def components(
        self, kind: str | None = None, tag: str | None = None, plugin: str | None = None
    ) -> tuple[Registered, ...]:
        """Return the matching components, ordered by kind, name and plugin."""
        if kind is not None:
            self._check_kind(kind)
        if plugin is not None:
            plugin = self._check_plugin(plugin)
        found = [
            self._registered(owner, component, len(offers))
            for (offered, _), offers in self._index.items()
            if kind in (None, offered)
            for owner, component in offers
            if plugin in (None, owner.name) and (tag is None or tag in component.tags)
        ]
        return tuple(sorted(found, key=lambda item: (KINDS.index(item.kind), item.name, item.plugin)))

    def find(self, kind: str, name: str, *, plugin: str | None = None) -> Registered:
        """Return the one component of this kind and name.

        Raises
        ------
        ParameterError
            If there is no such kind.
        UnknownComponentError
            If nothing of the kind has this name.
        AmbiguousComponentError
            If several distributions offer it and `plugin` does not choose one.
        """
        self._check_kind(kind)
        offers = self._index.get((kind, name), [])
        if plugin is not None:
            plugin = self._check_plugin(plugin)
            offers = [offer for offer in offers if offer[0].name == plugin]
        if not offers:
            raise UnknownComponentError(self._unknown_message(kind, name, plugin))
        if len(offers) > 1:
            raise AmbiguousComponentError(self._conflict_message(kind, name, [owner for owner, _ in offers]))
        return self._registered(*offers[0], len(self._index[kind, name]))

    def load(self, kind: str, name: str, *, plugin: str | None = None) -> object:
        """Find a component and import its target; raises as `find`, and if it cannot be imported."""
        found = self.find(kind, name, plugin=plugin)
        return self._resolve(found, found.target)

    def load_anyway(self, found: Registered) -> object:
        """Import a target without asking for the packages that it requires: a reader can recognize a file that it cannot read."""
        return self._import(found, found.target)

    def load_examples(self, kind: str, name: str, *, plugin: str | None = None) -> dict[str, object]:
        """Find a component and call its examples function."""
        found = self.find(kind, name, plugin=plugin)
        if not found.examples:
            return {}
        function = self._resolve(found, found.examples)
        label = f"the examples of {kind} {name!r} ({found.examples}, plugin {found.plugin} {found.version})"
        try:
            examples = function() if callable(function) else function
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginLoadError(f"{label} could not be made: {describe(error)}") from error
        if not isinstance(examples, dict) or not all(isinstance(key, str) for key in examples):
            raise PluginLoadError(f"{label} must be a dict of label to instance, not {examples!r}.")
        return examples

    def _resolve(self, found: Registered, target: str) -> object:
        missing = _hints.missing_imports(found.requires)
        if missing:  # it may have been installed a moment ago
            importlib.invalidate_caches()
            missing = _hints.missing_imports(found.requires)
        if missing:
            raise MissingDependencyError(_hints.missing_message(found.component, found.plugin, missing))
        return self._import(found, target)

    def _import(self, found: Registered, target: str) -> object:
        module, _, path = target.partition(":")
        key = (found.kind, found.name, found.plugin)
        try:
            value: object = importlib.import_module(module)
            for attribute in path.split("."):
                value = getattr(value, attribute)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            message = (
                f"{found.kind} {found.name!r} of plugin {found.plugin} {found.version} could not be loaded "
                f"from {target!r}: {describe(error)}"
            )
            self._broken[key] = message
            raise PluginLoadError(message) from error
        self._broken.pop(key, None)
        return value

    def _registered(self, owner: Plugin, component: Component, offers: int) -> Registered:
        status, reason = AVAILABLE, ""
        broken = self._broken.get((component.kind, component.name, owner.name))
        if broken:
            status, reason = FAILED, broken
        elif offers > 1:
            owners = [plugin for plugin, _ in self._index[component.kind, component.name]]
            status, reason = CONFLICT, self._conflict_message(component.kind, component.name, owners)
        elif missing := _hints.missing_imports(component.requires):
            status, reason = MISSING, _hints.missing_message(component, owner.name, missing)
        return Registered(component, owner.name, owner.version, status, reason)

    def _check_kind(self, kind: str) -> None:
        if kind not in KINDS:
            hint = _hints.did_you_mean(kind, KINDS)
            raise ParameterError(f"there is no kind {kind!r}.{hint} The kinds are {', '.join(KINDS)}.")

    def _check_plugin(self, name: str) -> str:
        """Return the normalized name of an installed plugin that offers components, or raise."""
        name = normalized(name)
        entries = [plugin for plugin in self.plugins if plugin.name == name]
        if any(plugin.status == "loaded" for plugin in entries):
            return name
        for plugin in entries:
            for failure in plugin.failures:
                raise failure.to_error()
        if entries:
            raise UnknownComponentError(f"plugin {name!r} is disabled by INVCORE_DISABLE_PLUGINS.")
        installed = sorted({plugin.name for plugin in self.plugins})
        hint = _hints.did_you_mean(name, installed)
        extra = _known.EXTRAS.get(name)
        if extra:
            hint += f' Install it: pip install "invcore[{extra}]".'
        raise UnknownComponentError(
            f"no plugin {name!r} is installed.{hint} Installed: {', '.join(installed)}."
        )

    def _conflict_message(self, kind: str, name: str, owners: list[Plugin]) -> str:
        labels = " and ".join(owner.label for owner in owners)
        return (
            f"{kind} {name!r} is offered by {len(owners)} distributions: {labels}. Choose one, for example "
            f"invcore.{kind}({name!r}, plugin={owners[0].name!r}), or uninstall the others."
        )

    def _unknown_message(self, kind: str, name: str, plugin: str | None) -> str:
        return _hints.unknown_message(
            kind,
            name,
            plugin,
            {key: [owner.name for owner, _ in offers] for key, offers in self._index.items()},
            self.plugins,
        )


_lock = threading.RLock()
_current: Registry | None = None
_building = False
_added: list[Plugin] = []  # by `added`; a refresh keeps them


def build(*, raise_failures: bool) -> Registry:
    """Discover and load every plugin; the first failure is raised where that is asked for."""
    sources, plugins = discover()
    disabled = disabled_plugins()
    for source in sources:
        first_party = source.plugin == CORE or source.plugin in _known.EXTRAS
        if source.plugin in disabled or ("*" in disabled and not first_party):
            plugins.append(Plugin(source.plugin, source.version, source.entry, source.module, "disabled"))
        else:
            plugins.append(load(source))
    found = Registry(tuple(plugins))
    if raise_failures:
        for failure in found.failures:
            raise failure.to_error()
        for conflict in found.conflicts:
            raise AmbiguousComponentError(conflict)
    return found


def registry() -> Registry:
    """Return the registry of this process, built on first use. Thread-safe."""
    global _building, _current
    found = _current
    if found is not None:
        return found
    with _lock:
        if _current is None:
            if _building:
                raise InvcoreError(
                    "components were looked up while the plugins are being loaded: a plugin's entry module "
                    "must only return Components."
                )
            _building = True
            try:
                _current = Registry((*build(raise_failures=strict()).plugins, *_added))
            finally:
                _building = False
        return _current


def refresh() -> None:
    """Forget the registry, so that the next lookup searches the installed plugins again.

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
def added(source: Source, *, raise_failures: bool) -> Iterator[Plugin]:
    """Add a plugin to the registry for the duration of a ``with`` block."""
    global _current
    plugin = load(source)
    if raise_failures:
        for failure in plugin.failures:
            raise failure.to_error()
    with _lock:
        _current = Registry((*registry().plugins, plugin))
        _added.append(plugin)
    try:
        yield plugin
    finally:
        with _lock:
            _added[:] = [other for other in _added if other is not plugin]
            _current = Registry(tuple(other for other in registry().plugins if other is not plugin))
