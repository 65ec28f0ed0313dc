"""Looking components up by name: `components`, `get`, `create`, and one helper for each kind.

A helper states what it returns, for the reader of a script and for type checkers. Kinds without a base class
return ``Any``.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._errors import ParameterError
from .descriptions import meanings
from .hints import parameter_meant
from .registry import Registered, refresh, registry

if TYPE_CHECKING:
    from ..denoisers import Denoiser
    from ..fidelities import Fidelity
    from ..io import Reader
    from ..losses import Loss
    from ..metrics import Metric
    from ..noises import Noise
    from ..operators import Operator
    from ..priors import Prior
    from ..samplers import Guidance, Integrator, Sampler, Schedule
    from ..solvers import Solver

__all__ = [
    "components",
    "create",
    "dataset",
    "denoiser",
    "fidelity",
    "generator",
    "get",
    "guidance",
    "integrator",
    "loss",
    "metric",
    "model",
    "noise",
    "operator",
    "prior",
    "reader",
    "refresh",
    "sampler",
    "schedule",
    "solver",
    "transform",
]


def components(
    kind: str | None = None, tag: str | None = None, plugin: str | None = None
) -> tuple[Registered, ...]:
    """List the registered components, without importing the code behind them.

    The entry modules of all plugins are loaded for this, or of one plugin where it is named.

    Parameters
    ----------
    kind : str, optional
        One of `invcore.plugin.KINDS`.
    tag : str, optional
        Only components that carry this tag.
    plugin : str, optional
        Only those of one distribution, such as ``"invcore-mri"``.

    Returns
    -------
    tuple of Registered
        Ordered by kind, name and plugin. Components that cannot be used are listed too: their `status`
        and `reason` say why.

    Raises
    ------
    ParameterError
        If there is no such kind.
    UnknownComponentError
        If no such plugin is installed.
    PluginLoadError
        If the plugin asked for could not be loaded.

    Examples
    --------
    >>> import invcore
    >>> [found for found in invcore.components("operator", tag="no such tag")]
    []
    """
    return registry().components(kind, tag, plugin)


def get(kind: str, name: str, *, plugin: str | None = None) -> Any:
    """Import and return the class, or factory, registered under a kind and name.

    Parameters
    ----------
    kind : str
        One of `invcore.plugin.KINDS`.
    name : str
        The registered name, in any case: bare for core (``"cg"``), with its namespace for a plugin
        (``"mri.sense"``). Only core, or the plugin of this namespace, is loaded.
    plugin : str, optional
        The distribution to take it from, where several offer it.

    Raises
    ------
    UnknownComponentError
        If nothing of the kind has this name; the message suggests near names, what other
        libraries' words are called here, and what to install.
    AmbiguousComponentError
        If several distributions offer it and `plugin` is not given.
    MissingDependencyError
        If a package that it needs is not installed.
    PluginLoadError
        If importing it fails; the original exception is the ``__cause__``.

    Examples
    --------
    >>> import invcore
    >>> invcore.get("operators", "cg")
    Traceback (most recent call last):
        ...
    invcore._errors.ParameterError: there is no kind 'operators'. Did you mean 'operator'? The kinds are ...
    """
    return registry().find(kind, name, plugin=plugin).load()


def create(kind: str, name: str, /, *args: Any, plugin: str | None = None, **params: Any) -> Any:
    """Make a component: look its class up and call it with the parameters.

    Parameters
    ----------
    kind, name, plugin
        As in `get`.
    *args, **params
        Passed on, after their number and names have been compared with those the class accepts.

    Raises
    ------
    ParameterError
        If a parameter is unknown or a required one is missing; the message lists the accepted names.
    UnknownComponentError, AmbiguousComponentError, MissingDependencyError, PluginLoadError
        As in `get`.

    Examples
    --------
    >>> import invcore
    >>> invcore.create("prior", "no-such-prior")
    Traceback (most recent call last):
        ...
    invcore._errors.UnknownComponentError: no prior is called 'no-such-prior'...
    """
    target = get(kind, name, plugin=plugin)
    check_parameters(kind, name, target, params, len(args))
    return target(*args, **params)


def check_parameters(kind: str, name: str, target: Any, params: Mapping[str, Any], given: int = 0) -> None:
    """Raise a ParameterError if the target cannot be called with these keywords, and ``given`` positions."""
    if not callable(target):
        raise ParameterError(f"{kind} {name!r} is {target!r}, which cannot be called: use invcore.get.")
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):  # a builtin without one: let the call itself decide
        return
    accepted = {
        parameter.name: parameter.default is parameter.empty
        for parameter in signature.parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    takes = f"It takes {', '.join(accepted)}." if accepted else "It takes no parameters."
    leading = [p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    if given > len(leading) and not any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()):
        first = f"{', '.join(leading)} by position, the rest" if leading else "its parameters"
        raise ParameterError(f"{kind} {name!r} takes {first} by name: {', '.join(accepted)}.")
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values()):
        unknown = [key for key in params if key not in accepted]
        if unknown:
            near = parameter_meant(unknown[0], accepted)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise ParameterError(
                f"{kind} {name!r} has no parameter {' or '.join(map(repr, unknown))}.{hint} {takes}"
            )
    missing = [k for k, required in accepted.items() if required and k not in (*params, *leading[:given])]
    if missing:
        said = {k: meaning for k, meaning in meanings(target).items() if k in missing and meaning}
        means = "".join(f" {k}: {meaning.rstrip('.')}." for k, meaning in list(said.items())[:2])
        raise ParameterError(f"{kind} {name!r} needs {', '.join(missing)}.{means} {takes}")


def operator(name: str, /, *args: Any, plugin: str | None = None, **params: Any) -> Operator:
    """Make a forward operator A, by its registered name: `create` of kind ``"operator"``."""
    return create("operator", name, *args, plugin=plugin, **params)


def noise(name: str, /, *args: Any, plugin: str | None = None, **params: Any) -> Noise:
    """Make a noise model, by its registered name: `create` of kind ``"noise"``."""
    return create("noise", name, *args, plugin=plugin, **params)


def fidelity(name: str, /, *args: Any, plugin: str | None = None, **params: Any) -> Fidelity:
    """Make a data fidelity, by its registered name: `create` of kind ``"fidelity"``."""
    return create("fidelity", name, *args, plugin=plugin, **params)


def prior(name: str, /, *args: Any, plugin: str | None = None, **params: Any) -> Prior:
    """Make a prior, by its registered name: `create` of kind ``"prior"``."""
    return create("prior", name, *args, plugin=plugin, **params)


def solver(name: str, /, *args: Any, plugin: str | None = None, **params: Any) -> Solver:
    """Make a solver, by its registered name: `create` of kind ``"solver"``."""
    return create("solver", name, *args, plugin=plugin, **params)


def denoiser(name: str, /, *args: Any, plugin: str | None = None, **params: Any) -> Denoiser:
    """Make a denoiser D(x, sigma), by its registered name: `create` of kind ``"denoiser"``."""
    return create("denoiser", name, *args, plugin=plugin, **params)


def model(name: str | os.PathLike[str], /, *args: Any, plugin: str | None = None, **params: Any) -> Any:
    """Make a reconstruction network by its registered name, or open the file of a trained one.

    Parameters
    ----------
    name : str or Path
        A registered name: `create` of kind ``"model"``. A path, or a name that ends with ``.safetensors``:
        the file is opened by `invcore.models.load`, which says what is refused.
    *args, plugin, **params
        As in `create`; a file takes ``sha256`` only.
    """
    if isinstance(name, os.PathLike) or (isinstance(name, str) and name.endswith(".safetensors")):
        load = importlib.import_module("invcore.models").load
        return load(name, *args, **params)
    return create("model", name, *args, plugin=plugin, **params)


def sampler(name: str, /, *args: Any, plugin: str | None = None, **params: Any) -> Sampler:
    """Make a posterior sampler, by its registered name: `create` of kind ``"sampler"``."""
    return create("sampler", name, *args, plugin=plugin, **params)


def schedule(name: str, /, *args: Any, plugin: str | None = None, **params: Any) -> Schedule:
    """Make the noise levels of a diffusion, by their registered name: `create` of kind ``"schedule"``."""
    return create("schedule", name, *args, plugin=plugin, **params)


def integrator(name: str, /, *args: Any, plugin: str | None = None, **params: Any) -> Integrator:
    """Make the integrator of a diffusion, by its registered name: `create` of kind ``"integrator"``."""
    return create("integrator", name, *args, plugin=plugin, **params)


def guidance(name: str, /, *args: Any, plugin: str | None = None, **params: Any) -> Guidance:
    """Make the guidance of a diffusion by data, by its registered name: `create` of kind ``"guidance"``."""
    return create("guidance", name, *args, plugin=plugin, **params)


def loss(name: str, /, *args: Any, plugin: str | None = None, **params: Any) -> Loss:
    """Make a training loss, by its registered name: `create` of kind ``"loss"``."""
    return create("loss", name, *args, plugin=plugin, **params)


def metric(name: str, /, *args: Any, plugin: str | None = None, **params: Any) -> Metric:
    """Make an image-quality metric, by its registered name: `create` of kind ``"metric"``."""
    return create("metric", name, *args, plugin=plugin, **params)


def dataset(name: str, /, *args: Any, plugin: str | None = None, **params: Any) -> Any:
    """Make a data set, by its registered name: `create` of kind ``"dataset"``."""
    return create("dataset", name, *args, plugin=plugin, **params)


def transform(name: str, /, *args: Any, plugin: str | None = None, **params: Any) -> Any:
    """Make an image transform, by its registered name: `create` of kind ``"transform"``."""
    return create("transform", name, *args, plugin=plugin, **params)


def generator(name: str, /, *args: Any, plugin: str | None = None, **params: Any) -> Any:
    """Make a generator of physics parameters, by its registered name: `create` of kind ``"generator"``."""
    return create("generator", name, *args, plugin=plugin, **params)


def reader(name: str, /, *args: Any, plugin: str | None = None, **params: Any) -> Reader:
    """Make a reader of a raw-data format, by its registered name: `create` of kind ``"reader"``."""
    return create("reader", name, *args, plugin=plugin, **params)
