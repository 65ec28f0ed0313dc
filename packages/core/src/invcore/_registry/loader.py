"""Finding plugins and asking each for its components, so that a broken one breaks nothing else.

Finding reads metadata only; a plugin's module is imported when a lookup needs the plugin. pluggy validates
and calls the hook; everything around it is here because pluggy's own entry-point loader stops at the first
failing import and drops a second distribution that uses the same entry name.
"""

import functools
import importlib
import importlib.metadata
import os
import re
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint

import pluggy

from .. import __version__, plugin
from .._errors import IncompatiblePluginError, InvcoreError, ParameterError, PluginLoadError
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


def describe(error: BaseException) -> str:
    """Return ``"ImportError: no such thing"``, on one line and without control characters."""
    try:
        text = " ".join(str(error).split())
    except KeyboardInterrupt:
        raise
    except BaseException:  # an exception that cannot print itself, or exits when asked to
        text = ""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@dataclass(frozen=True)
class Failure:
    """A failure of a plugin, or of the one component that is named."""

    plugin: str
    message: str
    error: BaseException | None = None
    component: str = ""

    @property
    def traceback(self) -> str:
        """The traceback of the exception, from the plugin's own code on; empty where there is none."""
        if self.error is None:
            return ""
        frames = self.error.__traceback__
        while frames and frames.tb_next and _is_machinery(frames.tb_frame.f_globals.get("__name__", "")):
            frames = frames.tb_next
        return "".join(traceback.format_exception(type(self.error), self.error, frames)).rstrip()


def _is_machinery(module: str) -> bool:
    return module.partition(".")[0] in (CORE, "pluggy", "importlib")


_here = threading.local()  # whether this thread is loading a plugin


@dataclass(eq=False)
class Plugin:
    """An entry point of group ``invcore``, and after `load` what came of it.

    Parameters
    ----------
    name, version : str
        The distribution.
    entry, module : str
        The entry point: its name, which is the namespace of the components, and what it names.
    importer : callable
        Imports the module and returns it.
    status : str
        ``found``, and after `load` ``loaded``, ``failed`` or ``incompatible``; ``disabled`` and ``failed``
        (unreadable metadata) from the start.
    """

    name: str
    version: str
    entry: str
    module: str
    importer: Callable[[], object]
    status: str = "found"
    api_version: int | None = None
    components: tuple[Component, ...] = ()
    failures: tuple[Failure, ...] = ()
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def installed(self) -> bool:
        """True for core and an entry point in a distribution's metadata; not for one made for a test."""
        return self.name == CORE or isinstance(getattr(self.importer, "__self__", None), EntryPoint)

    @property
    def label(self) -> str:
        """Name and version, as messages show them."""
        return f"{self.name} {self.version}".strip()

    def may_offer(self, name: str) -> bool:
        """True if a component of this name can be here: core has the bare ones, others their namespace."""
        return name.startswith(f"{self.entry.lower()}.") if "." in name else self.name == CORE

    def load(self) -> "Plugin":
        """Import the module and collect its components, once; never raises for what the plugin does.

        Only `KeyboardInterrupt` passes. ``SystemExit`` and other odd exceptions count as failures, because a
        plugin must not be able to end the program that merely listed it. Each plugin has its own lock, so one
        that hangs in another thread blocks only those who need it.

        Raises
        ------
        InvcoreError
            If a plugin's module looks components up while it is imported.
        """
        if getattr(_here, "loading", False):
            raise InvcoreError(
                "components were looked up while the plugins are being loaded: a plugin's entry module "
                "must only return Components."
            )
        with self._lock:
            if self.status == "found":
                _here.loading = True
                try:
                    self.failures = ()  # of an attempt that Ctrl-C ended
                    self.status = self._loaded()
                finally:
                    _here.loading = False
        return self

    def fail(self, message: str, error: BaseException | None = None, component: str = "") -> str:
        """Remember a failure, and return the status ``failed``."""
        failure = Failure(self.name, f"plugin {self.label}: {message}", error, component)
        self.failures = (*self.failures, failure)
        return "failed"

    def raise_failure(self) -> None:
        """Raise the first failure, if there is one, from the exception that caused it.

        Raises
        ------
        PluginLoadError, IncompatiblePluginError
            The failure.
        """
        for failure in self.failures:
            kind = IncompatiblePluginError if self.status == "incompatible" else PluginLoadError
            raise kind(failure.message) from failure.error

    def _loaded(self) -> str:
        step = f"importing {self.module} failed"
        accepted: dict[tuple[str, str], list[Component]] = {}
        try:
            module = self.importer()
            step = "reading its INVCORE_API_VERSION failed"
            stated = getattr(module, "INVCORE_API_VERSION", API_VERSION)
            if not isinstance(stated, int) or isinstance(stated, bool):
                return self.fail(f"INVCORE_API_VERSION must be an integer, not {stated!r}")
            self.api_version = stated
            if not OLDEST_API_VERSION <= stated <= API_VERSION:
                self.fail(_incompatible_message(self.name, stated))
                return "incompatible"
            step = "its hook invcore_components failed"
            # One manager a plugin: no plugin can wrap, block or shadow the hook of another.
            manager = pluggy.PluginManager("invcore")
            manager.add_hookspecs(plugin)
            manager.register(module, name=self.name)
            if not manager.hook.invcore_components.get_hookimpls():
                return self.fail(
                    f"{self.module} does not implement the hook invcore_components "
                    "(a function of that name, decorated with @invcore.plugin.hookimpl)"
                )
            for result in manager.hook.invcore_components(api_version=API_VERSION):
                if isinstance(result, (str, bytes, Mapping, Component)):
                    raise TypeError(f"it must return a list of Component, not {type(result).__name__}")
                for item in result:
                    if self._accepts(item):
                        accepted.setdefault((item.kind, item.name), []).append(item)
        except KeyboardInterrupt as stop:  # says which one hangs
            raise KeyboardInterrupt(f"while plugin {self.label} was loaded") from stop
        except BaseException as error:
            gone = isinstance(error, ModuleNotFoundError) and error.name == self.module.partition(".")[0]
            advice = (
                ". Its package is not there, as after an editable install whose folder was removed: "
                f"reinstall {self.name}, or pip uninstall {self.name}"
            )
            self.fail(f"{step}: {describe(error)}{advice if gone else ''}", error)
        for (kind, name), same in accepted.items():
            if len(same) > 1:
                targets = ", ".join(component.target for component in same)
                said = f"{kind} {name!r} is registered {len(same)} times ({targets}); none is used"
                self.fail(said, component=name)
        self.components = tuple(same[0] for same in accepted.values() if len(same) == 1)
        return "failed" if self.failures and not self.components else "loaded"

    def _accepts(self, item: object) -> bool:
        """True if an item can be registered; if not, the failure is remembered and costs only this item."""
        try:
            if not isinstance(item, Component):
                raise ParameterError(f"its hook returned {item!r}, which is not a Component")
            item.validate()
            if self.name == CORE and "." in item.name:
                raise ParameterError(f"{item.kind} {item.name!r}: core's own names have no namespace")
            if self.name != CORE and not self.may_offer(item.name):
                raise ParameterError(
                    f"{item.kind} {item.name!r} is outside the plugin's namespace: its name must start with "
                    f"{self.entry.lower() + '.'!r}, after the entry point {self.entry!r}"
                )
        except Exception as error:
            ours = isinstance(error, ParameterError)
            component = str(getattr(item, "name", ""))
            self.fail(str(error) if ours else describe(error), None if ours else error, component)
            return False
        return True


def _incompatible_message(name: str, stated: int) -> str:
    behind = "invcore" if stated > API_VERSION else name
    accepted = " and ".join(str(version) for version in range(OLDEST_API_VERSION, API_VERSION + 1))
    return (
        f"it is written for plugin API {stated}, and invcore {__version__} speaks API {accepted}. "
        f"Upgrade {behind}: pip install --upgrade {behind}"
    )


def strict() -> bool:
    """True if ``INVCORE_STRICT`` asks for failures to be raised at once."""
    return os.environ.get("INVCORE_STRICT", "") not in ("", "0")


def disabled_plugins() -> frozenset[str]:
    """Return the names in ``INVCORE_DISABLE_PLUGINS``; ``"*"`` stands for all third-party ones."""
    value = os.environ.get("INVCORE_DISABLE_PLUGINS", "").strip()
    if value in ("", "0"):
        return frozenset()
    if value == "1":
        return frozenset("*")
    return frozenset(normalized(name.strip()) for name in value.split(",") if name.strip())


@functools.cache
def extras() -> frozenset[str]:
    """Return the extras of invcore that install a package of the same name: ``mri`` brings invcore-mri."""
    try:
        declared = importlib.metadata.requires(CORE) or []
    except importlib.metadata.PackageNotFoundError:  # invcore is on the path without being installed
        declared = []
    found = (re.match(r"""invcore-([\w-]+)\b.*\bextra\s*==\s*['"]\1['"]""", line) for line in declared)
    return frozenset(match[1] for match in found if match)


def core() -> Plugin:
    """Return core: it registers its components as any plugin does, but needs no metadata to be found."""
    module = "invcore._plugin"
    return Plugin(CORE, __version__, "core", module, functools.partial(importlib.import_module, module))


def discover() -> list[Plugin]:
    """Find the entry points of group ``invcore`` in the metadata of what is installed.

    Returns
    -------
    list of Plugin
        Sorted by distribution and entry name, so that the order never depends on the file system. None is
        loaded. Distributions that mention the group but whose metadata cannot be read have failed.
    """
    found: list[Plugin] = []
    seen = {CORE}
    disabled = disabled_plugins()
    for distribution in importlib.metadata.distributions():
        name = "(unnamed distribution)"
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
            third_party = name.removeprefix("invcore-") not in extras()
            status = "disabled" if name in disabled or ("*" in disabled and third_party) else "found"
            points = [point for point in distribution.entry_points if point.group == GROUP]
            found += [Plugin(name, metadata["Version"], p.name, p.value, p.load, status) for p in points]
        except Exception as error:
            torn = Plugin(name, "", "", "", lambda: None, "failed")
            torn.fail(f"its installed metadata cannot be read ({describe(error)}); reinstall it.", error)
            found.append(torn)
    return sorted(found, key=lambda plugin: (plugin.name, plugin.entry))
