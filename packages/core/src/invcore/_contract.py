"""What a class must write to be a component, checked where the class is made rather than deep in a solve."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any


def check_methods(cls: type, *, complete: bool = True) -> None:
    """Refuse a class whose methods cannot be called as its bases say.

    Parameters
    ----------
    cls : type
    complete : bool
        Whether the class must write every abstract method of its bases.

    Raises
    ------
    TypeError
        If a method is missing, is a property where a method belongs or the reverse, or does not take the
        arguments that it is called with.

    Examples
    --------
    >>> class Shape:
    ...     def scaled(self, factor, *, origin): '''Return the shape scaled about a point.'''
    >>> class Circle(Shape):
    ...     def scaled(self, factor): return factor
    >>> check_methods(Circle)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    TypeError: Circle.scaled(self, factor) cannot be called as scaled(self, factor, *, origin): Return the ...
    """
    for name, written in vars(cls).items():
        declared = _declared(cls, name)
        if declared is not None:
            _check_member(cls, name, written, declared)
    missing = [name for name in dir(cls) if getattr(getattr(cls, name, None), "__isabstractmethod__", False)]
    if complete and missing:
        wanted = " and ".join(_described(name, getattr(cls, name)) for name in missing)
        raise TypeError(f"{cls.__name__} must define {wanted}")


def check_stated(cls: type, names: Iterable[str], how: str) -> None:
    """Refuse a class that neither states one of these attributes nor has a field or property of its name.

    Parameters
    ----------
    cls : type
    names : iterable of str
    how : str
        What would do, for the message.

    Raises
    ------
    TypeError
    """
    annotated = [item for base in cls.__mro__ for item in inspect.get_annotations(base).items()]
    fields = {name for name, kind in annotated if "ClassVar" not in str(kind)}
    for name in names:
        if inspect.isfunction(getattr(cls, name, None)):
            raise TypeError(f"{cls.__name__}.{name} must be a property: write @property above it")
    if missing := [name for name in names if not hasattr(cls, name) and name not in fields]:
        raise TypeError(f"{cls.__name__} must state {', '.join(missing)}: {how}")


def _declared(cls: type, name: str) -> Any:
    """The member of this name in the nearest base that documents it; None if there is none."""
    if name.startswith("__") and name != "__call__":
        return None
    for base in cls.__mro__[1:-1]:
        member = vars(base).get(name)
        if inspect.isfunction(member) or isinstance(member, property):
            return member
    return None


def _check_member(cls: type, name: str, written: Any, declared: Any) -> None:
    if isinstance(declared, property):
        if inspect.isfunction(written):
            raise TypeError(f"{cls.__name__}.{name} must be a property: write @property above it")
        return
    if isinstance(written, property):
        raise TypeError(
            f"{cls.__name__}.{name} must be a method, not a property: {_described(name, declared)}"
        )
    open_ended = any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(declared).parameters.values())
    if open_ended or not inspect.isfunction(written):
        return
    signature = inspect.signature(written)
    positional, keywords = _arguments(declared)
    try:
        signature.bind(*positional, **keywords)
    except TypeError:
        own = _text(name, written)
        raise TypeError(f"{cls.__name__}.{own} cannot be called as {_described(name, declared)}") from None


def _arguments(declared: Any) -> tuple[list[str], dict[str, str]]:
    """All arguments of a method, those by position and those by keyword only."""
    parameters = inspect.signature(declared).parameters.values()
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return (
        [p.name for p in parameters if p.kind in by_position],
        {p.name: p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY},
    )


def _text(name: str, function: Any) -> str:
    """``name(self, x, *, y)``: names and defaults, no annotations."""
    bare = inspect.signature(function)
    parameters = [p.replace(annotation=inspect.Parameter.empty) for p in bare.parameters.values()]
    plain = bare.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
    return f"{name}{plain}"


def _described(name: str, member: Any) -> str:
    first = (inspect.getdoc(member) or "").partition("\n")[0]
    text = f"property {name}" if isinstance(member, property) else _text(name, member)
    return f"{text}: {first}" if first else text
