"""Finding plugins and asking each for its components, so that a broken one breaks nothing else.

pluggy validates and calls the hook; everything around it is here because pluggy's own entry-point
loader stops at the first failing import and drops a second distribution that uses the same entry name.
"""

import importlib.metadata
import os
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pluggy

from .. import __version__, plugin
from .._errors import IncompatiblePluginError, PluginLoadError
from ..plugin import API_VERSION, OLDEST_API_VERSION, Component

GROUP = "invcore"
CORE = "invcore"


def normalized(name: str) -> str:
    """Return a distribution's name as packaging compares it: lower case, runs of ``-_.`` as one dash.

    Examples
    --------
    >>> normalized("Invcore_Acme")
    'invcore-acme'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class Failure:
    """What went wrong with a plugin, remembered for `doctor` and for the lookup that needs it."""

    plugin: str
    version: str
    entry: str
    message: str
    error: BaseException | None = None
    component: tuple[str, str] | None = None
    incompatible: bool = False

    @property
    def traceback(self) -> str:
        """The traceback of the underlying exception; empty where there is none."""
        return "" if self.error is None else "".join(traceback.format_exception(self.error)).rstrip()

    def to_error(self) -> PluginLoadError:
        """Return the failure as an exception, the original one as its cause."""
        error = (IncompatiblePluginError if self.incompatible else PluginLoadError)(self.message)
        error.__cause__ = self.error
        return error


@dataclass(frozen=True)
class Source:
    """Where a plugin comes from: its distribution, its entry point, and how to import the module."""

    plugin: str
    version: str
    entry: str
    module: str
    load: Callable[[], object]


@dataclass(frozen=True)
class Plugin:
    """A plugin after loading. `status` is ``loaded``, ``failed``, ``incompatible`` or ``disabled``."""

    name: str
    version: str
    entry: str
    module: str
    status: str
    api_version: int | None = None
    components: tuple[Component, ...] = ()
    failures: tuple[Failure, ...] = ()

    @property
    def label(self) -> str:
        """Name and version, as messages show them."""
        return f"{self.name} {self.version}".strip()


def describe(error: BaseException) -> str:
    """Return ``"ImportError: no such thing"``, on one line."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # an exception that cannot print itself
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def strict() -> bool:
    """Whether ``INVCORE_STRICT`` asks for failures to be raised at once."""
    return os.environ.get("INVCORE_STRICT", "") not in ("", "0")


def disabled_plugins() -> frozenset[str]:
    """Return the names in ``INVCORE_DISABLE_PLUGINS``; ``"*"`` stands for all third-party ones."""
    value = os.environ.get("INVCORE_DISABLE_PLUGINS", "").strip()
    if value in ("", "0"):
        return frozenset()
    if value == "1":
        return frozenset("*")
    return frozenset(normalized(name.strip()) for name in value.split(",") if name.strip())


def discover() -> tuple[list[Source], list[Plugin]]:
    """Find the entry points of group ``invcore``.

    Returns
    -------
    sources : list of Source
        Sorted by distribution and entry name, so that the order never depends on the file system.
    unreadable : list of Plugin
        Distributions that mention the group but whose metadata cannot be read, and core itself if it is
        not installed but only on the path.
    """
    sources: list[Source] = []
    unreadable: list[Plugin] = []
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        name = ""
        try:
            if f"[{GROUP}]" not in (distribution.read_text("entry_points.txt") or ""):
                continue
            metadata = distribution.metadata
            if "Name" not in metadata or "Version" not in metadata:
                raise ValueError("METADATA is missing, or has no Name and Version")
            name = normalized(metadata["Name"])
            if name in seen:  # an earlier directory of sys.path has it: this one is shadowed
                continue
            seen.add(name)
            version = metadata["Version"]
            for point in distribution.entry_points:
                if point.group == GROUP:
                    sources.append(Source(name, version, point.name, point.value, point.load))
        except Exception as error:
            name = name or "(unnamed distribution)"
            message = (
                f"plugin {name}: its installed metadata cannot be read ({describe(error)}); reinstall it."
            )
            failure = Failure(name, "", "", message, error)
            unreadable.append(Plugin(name, "", "", "", "failed", failures=(failure,)))
    if CORE not in seen:
        message = (
            "plugin invcore: invcore can be imported but is not installed, so its own components are unknown; "
            "install it: pip install invcore"
        )
        failure = Failure(CORE, __version__, "core", message)
        unreadable.append(Plugin(CORE, __version__, "core", "", "failed", failures=(failure,)))
    return sorted(sources, key=lambda source: (source.plugin, source.entry)), unreadable


def load(source: Source) -> Plugin:
    """Import a plugin's module and collect its components; never raises for what the plugin does.

    Only `KeyboardInterrupt` passes. ``SystemExit`` and other odd exceptions count as failures, because
    a plugin must not be able to end the program that merely listed it.
    """
    label = f"{source.plugin} {source.version}".strip()
    step = f"importing {source.module} failed"
    api_version: int | None = None

    def failed(message: str, error: BaseException | None = None, status: str = "failed") -> Plugin:
        bad = status == "incompatible"
        text = f"plugin {label}: {message}"
        failure = Failure(source.plugin, source.version, source.entry, text, error, incompatible=bad)
        return _plugin(source, status, api_version, failures=[failure])

    try:
        module = source.load()
        step = "reading its INVCORE_API_VERSION failed"
        stated = getattr(module, "INVCORE_API_VERSION", API_VERSION)
        if not isinstance(stated, int) or isinstance(stated, bool):
            return failed(f"INVCORE_API_VERSION must be an integer, not {stated!r}")
        api_version = stated
        if not OLDEST_API_VERSION <= stated <= API_VERSION:
            return failed(_incompatible_message(source.plugin, stated), status="incompatible")
        step = "its hook invcore_components failed"
        # One manager a plugin: no plugin can wrap, block or shadow the hook of another.
        manager = pluggy.PluginManager("invcore")
        manager.add_hookspecs(plugin)
        manager.register(module, name=source.plugin)
        if not manager.hook.invcore_components.get_hookimpls():
            return failed(
                f"{source.module} does not implement the hook invcore_components "
                "(a function of that name, decorated with @invcore.plugin.hookimpl)"
            )
        items: list[object] = []
        for result in manager.hook.invcore_components(api_version=API_VERSION):
            if isinstance(result, (str, bytes, Mapping, Component)):
                raise TypeError(f"it must return a list of Component, not {type(result).__name__}")
            items.extend(result)
        components, failures = _accepted(items, source, label)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return failed(f"{step}: {describe(error)}", error)
    status = "failed" if failures and not components else "loaded"
    return _plugin(source, status, api_version, components, failures)


def _plugin(
    source: Source,
    status: str,
    api_version: int | None,
    components: Sequence[Component] = (),
    failures: Sequence[Failure] = (),
) -> Plugin:
    where = (source.plugin, source.version, source.entry, source.module)
    return Plugin(*where, status, api_version, tuple(components), tuple(failures))


def _incompatible_message(name: str, stated: int) -> str:
    behind = "invcore" if stated > API_VERSION else name
    accepted = " and ".join(str(version) for version in range(OLDEST_API_VERSION, API_VERSION + 1))
    return (
        f"it is written for plugin API {stated}, and invcore {__version__} speaks API {accepted}. "
        f"Upgrade {behind}: pip install --upgrade {behind}"
    )


def _accepted(items: list[object], source: Source, label: str) -> tuple[list[Component], list[Failure]]:
    """Split what a hook returned into components that may be registered and failures."""
    failures: list[Failure] = []

    def reject(message: str, component: tuple[str, str] | None = None) -> None:
        text = f"plugin {label}: {message}"
        failures.append(Failure(source.plugin, source.version, source.entry, text, component=component))

    grouped: dict[tuple[str, str], list[Component]] = {}
    for item in items:
        if not isinstance(item, Component):
            reject(f"its hook invcore_components returned {item!r}, which is not a Component")
            continue
        key = (item.kind, item.name)
        if source.plugin == CORE and "." in item.name:
            reject(f"{item.kind} {item.name!r}: core's own names have no namespace", key)
        elif source.plugin != CORE and not item.name.startswith(f"{source.entry.lower()}."):
            reject(
                f"{item.kind} {item.name!r} is outside the plugin's namespace: its name must start with "
                f"{source.entry.lower() + '.'!r}, after the entry point {source.entry!r}",
                key,
            )
        else:
            grouped.setdefault(key, []).append(item)
    components: list[Component] = []
    for (kind, name), same in grouped.items():
        if len(same) == 1:
            components += same
        else:
            targets = ", ".join(component.target for component in same)
            reject(f"{kind} {name!r} is registered {len(same)} times ({targets}); none is used", (kind, name))
    return components, failures
