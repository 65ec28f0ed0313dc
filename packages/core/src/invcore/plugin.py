"""The interface for plugin authors: `namespace`, `Component`, `hookimpl`, `API_VERSION`.

A plugin is a distribution with an entry point in the group ``invcore`` that names a light module::

    [project.entry-points.invcore]
    acme = "invcore_acme._plugin"

The module states the interface it was written for and implements one hook that returns data::

    from invcore.plugin import hookimpl, namespace

    INVCORE_API_VERSION = 1

    acme = namespace("acme", "invcore_acme")

    @hookimpl
    def invcore_components():
        return [acme.operator("gain", "Gain", "Per-pixel gain", "linear")]

Everything in a `Component` is text, so listing components imports none of the code behind them. Keep
the module free of torch, numpy and your own heavy modules. Standard library and pluggy only.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partialmethod

import pluggy

from ._errors import ParameterError

__all__ = [
    "API_VERSION",
    "KINDS",
    "OLDEST_API_VERSION",
    "Component",
    "Namespace",
    "hookimpl",
    "hookspec",
    "namespace",
]

API_VERSION = 1
"""The plugin interface this invcore speaks; a plugin states the one it was written for."""

OLDEST_API_VERSION = max(1, API_VERSION - 1)
"""The oldest plugin interface this invcore still accepts (the current and the previous one)."""

KINDS = (
    "operator",
    "noise",
    "fidelity",
    "prior",
    "solver",
    "denoiser",
    "model",
    "sampler",
    "schedule",
    "integrator",
    "guidance",
    "loss",
    "metric",
    "dataset",
    "transform",
    "generator",
    "reader",
)
"""The kinds of component, in the order in which they are listed."""

hookspec = pluggy.HookspecMarker("invcore")
hookimpl = pluggy.HookimplMarker("invcore")

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)*")
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_IMPORT_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Component:
    """One registered thing: a name, what kind of thing it is, and where it lives.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    name : str
        Lower case. Core's names are bare (``"cg"``); those of a plugin start with its namespace, which
        is the name of its entry point (``"mri.sense"`` for ``mri = "invcore_mri._plugin"``).
    target : str
        ``"module:attribute"``: a class, or a function, that makes the component when it is called with
        the parameters as keywords.
    summary : str
        One line for ``invcore list``.
    requires : tuple of str
        Top-level import names of optional packages that the target needs (``("sigpy",)``). They are looked
        for without being imported.
    examples : str
        ``"module:function"``: a function of no arguments that returns ``dict[str, object]``, label to
        instance, the first of them tiny. The conformance kit tests these.
    tags : tuple of str
        Free words to filter by: ``invcore.components(tag="mri")``.

    Nothing is refused when a component is made, so that one wrong row of a table costs no other: `validate`
    is called when the plugin is loaded, and what it refuses is left out and reported by ``invcore doctor``.

    Examples
    --------
    >>> gain = Component("operator", "acme.gain", "invcore_acme.operators:Gain", summary="Per-pixel gain.")
    >>> gain.namespace
    'acme'
    """

    kind: str
    name: str
    target: str
    summary: str = field(default="", kw_only=True)
    requires: tuple[str, ...] = field(default=(), kw_only=True)
    examples: str = field(default="", kw_only=True)
    tags: tuple[str, ...] = field(default=(), kw_only=True)

    def validate(self) -> None:
        """Refuse a field of the wrong type or form.

        Raises
        ------
        ParameterError
            If a field cannot be used; the message starts with kind and name.
        """
        label = f"{self.kind} {self.name!r}" if isinstance(self.kind, str) else f"component {self.name!r}"
        for attribute in ("kind", "name", "target", "summary", "examples"):
            value = getattr(self, attribute)
            if not isinstance(value, str):
                raise ParameterError(f"{label}: {attribute} must be a string, not {type(value).__name__}.")
        for attribute in ("requires", "tags"):
            value = getattr(self, attribute)
            if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
                raise ParameterError(
                    f"{label}: {attribute} must be a tuple of strings such as ('sigpy',), not {value!r}."
                )
        if self.kind not in KINDS:
            raise ParameterError(f"{label}: unknown kind; the kinds are {', '.join(KINDS)}.")
        if not _NAME.fullmatch(self.name):
            raise ParameterError(
                f"{label}: a name is lower-case letters, digits, '_' and '-', in parts joined by dots, "
                "such as 'acme.gain'."
            )
        if not _TARGET.fullmatch(self.target):
            raise ParameterError(
                f"{label}: target must read 'package.module:attribute', not {self.target!r}."
            )
        if self.examples and not _TARGET.fullmatch(self.examples):
            raise ParameterError(
                f"{label}: examples must read 'package.module:function', not {self.examples!r}."
            )
        for text in (self.summary, *self.tags):  # both are printed: no line breaks, no terminal sequences
            if not text.isprintable():
                raise ParameterError(
                    f"{label}: summary and tags must be printable text on one line: {text!r}."
                )
        for name in self.requires:
            if not _IMPORT_NAME.fullmatch(name):
                raise ParameterError(
                    f"{label}: requires holds top-level import names such as 'sigpy', not {name!r}."
                )

    @property
    def namespace(self) -> str:
        """The part of the name before the first dot; empty for a bare name."""
        return self.name.partition(".")[0] if "." in self.name else ""


@dataclass(frozen=True)
class Namespace:
    """Make the components of one plugin, a line each. `namespace` makes it.

    There is a method for each kind in `KINDS`: ``acme.operator(...)``, ``acme.reader(...)``.

    Parameters
    ----------
    name : str
        What the components' names start with, the name of the plugin's entry point; empty for core.
    module : str
        The import name of the package.
    """

    name: str
    module: str

    def component(
        self,
        kind: str,
        name: str,
        target: str,
        summary: str,
        tags: str = "",
        *,
        requires: tuple[str, ...] = (),
    ) -> Component:
        """Return one component.

        Parameters
        ----------
        kind : str
            One of `KINDS`.
        name : str
            The name within the namespace: ``"gain"`` for ``acme.gain``.
        target : str
            The attribute of the package (``"Gain"``), or one of a module below it (``"operators:Gain"``).
            The examples mirror it: the function called `name`, with ``_`` for what an identifier cannot hold,
            in ``_examples`` (``_examples:gain``), or in a module below it (``_examples.operators:gain``).
        summary : str
            One line for ``invcore list``.
        tags : str
            Words to filter by, separated by spaces. The name of the namespace is always one of them.
        requires : tuple of str
            Top-level import names of optional packages that the target needs.
        """
        room, _, attribute = str(target).rpartition(":")
        words = tags.split() if isinstance(tags, str) else [tags]  # what is no text is refused by `validate`
        return Component(
            kind,
            ".".join(filter(None, (self.name, str(name)))),
            f"{'.'.join(filter(None, (self.module, room)))}:{attribute}",
            summary=summary,
            requires=requires,
            examples=f"{'.'.join(filter(None, (self.module, '_examples', room)))}:{_identifier(str(name))}",
            tags=tuple(filter(None, (self.name, *words))),
        )

    operator = partialmethod(component, "operator")
    noise = partialmethod(component, "noise")
    fidelity = partialmethod(component, "fidelity")
    prior = partialmethod(component, "prior")
    solver = partialmethod(component, "solver")
    denoiser = partialmethod(component, "denoiser")
    model = partialmethod(component, "model")
    sampler = partialmethod(component, "sampler")
    schedule = partialmethod(component, "schedule")
    integrator = partialmethod(component, "integrator")
    guidance = partialmethod(component, "guidance")
    loss = partialmethod(component, "loss")
    metric = partialmethod(component, "metric")
    dataset = partialmethod(component, "dataset")
    transform = partialmethod(component, "transform")
    generator = partialmethod(component, "generator")
    reader = partialmethod(component, "reader")


def namespace(name: str, module: str) -> Namespace:
    """Return what makes the components of one plugin.

    Parameters
    ----------
    name : str
        The name of the plugin's entry point, and the start of its components' names.
    module : str
        The import name of the package.

    Examples
    --------
    >>> acme = namespace("acme", "invcore_acme")
    >>> gain = acme.operator("gain", "Gain", "Per-pixel gain", "linear")
    >>> gain.name, gain.target, gain.examples
    ('acme.gain', 'invcore_acme:Gain', 'invcore_acme._examples:gain')
    """
    return Namespace(name, module)


def _identifier(name: str) -> str:
    """Return a component's name as the name of a function: ``3d-gain`` becomes ``_3d_gain``."""
    return re.sub(r"\W|^(?=\d)", "_", name)


@hookspec
def invcore_components(api_version: int) -> Iterable[Component]:  # type: ignore[empty-body]
    """Return the components of this plugin.

    An implementation may leave the argument out.

    Parameters
    ----------
    api_version : int
        The `API_VERSION` of the invcore that asks, for a plugin that serves several.

    Returns
    -------
    iterable of Component
    """
