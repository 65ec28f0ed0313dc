"""The parameters of a component, and the options of a reader, as `invcore info` shows them."""

import inspect
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any


def options_of(reader: Any) -> Any:
    """Return what lists the options of a reader: its dataclass, or its own ``read``."""
    from ..io import Reader

    return reader.Options if reader.read is Reader.read else reader.read


def signature_of(target: object) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a class or function; none where there is no signature."""
    if not callable(target):
        return {}
    try:
        found = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return {}
    return {name: parameter for name, parameter in found.items() if name not in ("self", "path")}


def parameter_lines(
    signature: Mapping[str, inspect.Parameter], texts: Mapping[str, str], kinds: Mapping[str, str]
) -> Iterator[str]:
    """Yield ``name: annotation = default`` for each parameter, and below it what it means.

    The type of a tensor is that of the docstring, ``kinds``, which has its shape and dtype.
    """
    for name, parameter in signature.items():
        if "Tensor" in kinds.get(name, ""):
            parameter = parameter.replace(annotation=kinds[name])
        yield _written(parameter)
        yield from textwrap.wrap(texts.get(name, ""), 94, initial_indent="    ", subsequent_indent="    ")


def _written(parameter: inspect.Parameter) -> str:
    """``name: annotation = default``; annotations are text in modules that postpone them."""
    text = parameter.name
    if parameter.annotation is not parameter.empty:
        note = parameter.annotation
        text += f": {note if isinstance(note, str) else inspect.formatannotation(note)}"
    return text if parameter.default is parameter.empty else f"{text} = {parameter.default!r}"
