"""`Value`: the frozen configuration object that operators, noises, priors and solvers are."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import difflib
import functools
import inspect
import types
import typing
from abc import ABC
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, ParamSpec, Self, TypeVar, dataclass_transform

import torch
from torch import Tensor
from torch.nn import Module

from ._contract import check_methods
from ._errors import DtypeError, ParameterError

_COMPLEX_OF = {
    torch.float16: torch.complex32,
    torch.float32: torch.complex64,
    torch.float64: torch.complex128,
}
_REAL_OF = {c: r for r, c in _COMPLEX_OF.items()}


_LOW = frozenset(
    {torch.float16, torch.bfloat16, torch.complex32}
    | {getattr(torch, n) for n in dir(torch) if n.startswith("float8_")}
)
BELOW = (
    "invcore computes in float32 or float64, because below that squares and sums lose the data. Convert with "
    ".float() (complex: .to(torch.complex64)); networks may be of any precision."
)


def below_single(dtype: torch.dtype) -> bool:
    """True for precisions below float32, which operators, noises, priors and solvers refuse."""
    return dtype in _LOW


_P = ParamSpec("_P")
_R = TypeVar("_R")


def full_precision(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let a function compute as its tensors say, also under `torch.autocast`, which would halve precision."""

    @functools.wraps(function)
    def inside(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        halved = [device for device in ("cpu", "cuda") if torch.is_autocast_enabled(device)]
        if not halved:
            return function(*args, **kwargs)
        with contextlib.ExitStack() as off:
            for device in halved:
                off.enter_context(torch.autocast(device, enabled=False))
            return function(*args, **kwargs)

    return inside


def real_dtype(dtype: torch.dtype) -> torch.dtype:
    """The real dtype of the same precision: ``complex64 -> float32``, ``float64 -> float64``."""
    return _REAL_OF.get(dtype, dtype)


def power_of_two(x: Tensor) -> Tensor:
    """The largest power of two below each positive number, and 1 for zero: to divide by it is exact."""
    x = x.detach()
    return torch.where(x > 0, x / torch.where(x > 0, 2 * torch.frexp(x).mantissa, 1), 1)


def complex_dtype(dtype: torch.dtype) -> torch.dtype:
    """The complex dtype of the same precision: ``float32 -> complex64``."""
    return _COMPLEX_OF.get(dtype, dtype)


@dataclass_transform(frozen_default=True, eq_default=False)
class Value(ABC):
    """A frozen value, some of whose fields are parameters ξ.

    A subclass becomes a frozen dataclass without a decorator and is then *final*: it cannot be
    subclassed again. Pass ``abstract=True`` in the class statement for a base class that only declares, and
    also ``fields=True`` if what it declares are fields that its subclasses have in common.

    Fields with a default are options and are given by name. One or two fields without a default are what the
    value is made of and may be given by position, in the order of their declaration: ``Matrix(a)``,
    ``Mask(m, domain)``. Three or more are given by name, as nobody remembers their order.

    Attributes
    ----------
    params : tuple of str
        The fields that are parameters ξ. A parameter may carry leading batch dimensions, which
        broadcast against the batch dimensions of the data.
    units : dict of str to int, optional
        The fields in units of the data (of a prior or solver: of the image), with the power of the unit:
        ``{"sigma": 1}``. With them divided by it the value means the same in that unit. None: not known.
    positional : int, optional
        The number of leading fields that may be given by position, where the rule above does not fit.

    Examples
    --------
    >>> class Window(Value):
    ...     low: float
    ...     high: float
    ...     closed: bool = True
    >>> Window(0.0, 1.0, closed=False)
    Window(low=0.0, high=1.0, closed=False)
    """

    params: ClassVar[tuple[str, ...]] = ()
    positional: ClassVar[int | None] = None
    units: ClassVar[dict[str, int] | None] = None
    _shared: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, *, abstract: bool = False, fields: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if fields:
            cls._shared = _declared(cls)
        for base in cls.__mro__[1:]:
            if issubclass(base, Value) and "__dataclass_fields__" in vars(base):
                raise TypeError(
                    f"{cls.__name__} extends {base.__name__}, which is concrete: a class is either abstract "
                    f"or final. Hold a {base.__name__} in a field instead, or extend its abstract base."
                )
        if abstract:
            return
        check_methods(cls)
        for name in _by_position(cls):
            given = vars(cls).get(name, dataclasses.MISSING)
            setattr(cls, name, dataclasses.field(default=given, kw_only=False))
        _check_fields_first(cls)
        shared = {n: k for base in cls.__mro__[:0:-1] for n, k in vars(base).get("_shared", {}).items()}
        own = inspect.get_annotations(cls)
        cls.__annotations__ = shared | own
        dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)(cls)
        cls.__annotations__ = own  # those of a base are evaluated in its own module
        unknown = set(cls.params) - {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        if unknown:
            raise TypeError(
                f"{cls.__name__}.params names {sorted(unknown)}, which are not fields of the class"
            )

    def _check(self) -> None:  # noqa: B027, most values have nothing to check
        """What a base class checks at construction, before the class itself."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _field_names(self)}  # leaves cached properties out

    def __repr__(self) -> str:
        inner = ", ".join(f"{n}={_short(getattr(self, n))}" for n in _field_names(self))
        return f"{type(self).__name__}({inner})"

    def _children(self) -> Iterator[tuple[str, Value]]:
        """The values held in fields, with a label: what `bind`, `to` and `parameters` descend into."""
        for name in _field_names(self):
            held = getattr(self, name)
            if isinstance(held, Value):
                yield name, held
            elif isinstance(held, tuple):
                yield from ((str(i), v) for i, v in enumerate(held) if isinstance(v, Value))

    def _leaves(self, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
        """All parameters below this value as ``(path, value)``; the last part of the path is the name."""
        for name in self.params:
            yield (*path, name), getattr(self, name)
        for label, child in self._children():
            yield from child._leaves((*path, label))

    def _names(self) -> dict[str, list[tuple[tuple[str, ...], Any]]]:
        """Names that `bind` accepts: plain where they are unambiguous, dotted paths where they are not."""
        groups: dict[str, list[tuple[tuple[str, ...], Any]]] = {}
        for path, value in self._leaves():
            groups.setdefault(path[-1], []).append((path, value))
        names: dict[str, list[tuple[tuple[str, ...], Any]]] = {}
        for name, leaves in groups.items():
            if all(value is leaves[0][1] for _, value in leaves):
                names[name] = leaves
            else:
                names.update({".".join(path): [(path, value)] for path, value in leaves})
        return names

    def parameters(self) -> dict[str, Tensor]:
        """The parameters ξ that are tensors, by the name that `bind` takes."""
        return dict(self._parameters)

    @functools.cached_property
    def _parameters(self) -> dict[str, Tensor]:
        return {n: leaves[0][1] for n, leaves in self._names().items() if isinstance(leaves[0][1], Tensor)}

    def bind(self, **params: Any) -> Self:
        """Return a copy with some parameters replaced; ``self`` stays as it is.

        Parameters
        ----------
        **params
            New values by name. In an expression made of several operators a name that belongs to more
            than one of them with different values is written with its path, as `parameters` lists it.

        Raises
        ------
        ParameterError
            If a name is not a parameter of this value.
        """
        if not params:
            return self
        names = self._names()
        updates: dict[tuple[str, ...], Any] = {}
        for name, value in params.items():
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                dotted = [n for n in names if n.endswith("." + name)]
                if dotted:
                    hint = f" It is ambiguous here: say which, as in bind(**{{{dotted[0]!r}: ...}})."
                raise ParameterError(
                    f"{type(self).__name__} has no parameter {name!r}; it has "
                    f"{sorted(names) or 'none'}.{hint}"
                )
            updates.update({path: value for path, _ in names[name]})
        return self._rebuilt(updates)

    def _rebuilt(self, updates: dict[tuple[str, ...], Any]) -> Self:
        own = {path[0]: value for path, value in updates.items() if len(path) == 1}
        below: dict[str, dict[tuple[str, ...], Any]] = {}
        for path, value in updates.items():
            if len(path) > 1:
                below.setdefault(path[0], {})[path[1:]] = value

        def rebuilt(child: Any, label: str) -> Any:
            return child._rebuilt(below[label]) if label in below else child

        for name in _field_names(self):
            held = getattr(self, name)
            if isinstance(held, Value) and name in below:
                own[name] = rebuilt(held, name)
            elif isinstance(held, tuple) and any(isinstance(v, Value) for v in held):
                own[name] = tuple(rebuilt(v, str(i)) for i, v in enumerate(held))
        return dataclasses.replace(self, **own)  # type: ignore[type-var]

    def to(self, target: torch.device | str | torch.dtype) -> Self:
        """Return a copy on another device, or in another precision.

        A network moves as a copy, unless it is there already.

        Parameters
        ----------
        target : torch.device, str or torch.dtype
            A device moves every tensor. A dtype sets the precision: complex tensors become the complex
            type of that precision, integer and boolean tensors stay. What is shared between parts of
            an expression stays shared.

        Raises
        ------
        DtypeError
            If the precision is below float32.
        ParameterError
            If it is neither a device nor a dtype.
        """
        if isinstance(target, str):
            if isinstance(named := getattr(torch, target.removeprefix("torch."), None), torch.dtype):
                raise ParameterError(
                    f"to({target!r}): a string is a device, such as 'cpu' or 'cuda'; a precision is a dtype: "
                    f"to({named})"
                )
            target = _device(target)
        if not isinstance(target, torch.dtype | torch.device):
            raise ParameterError(
                f"to() takes a device or a dtype, such as 'cuda' or torch.float64, got {target!r}"
            )
        if isinstance(target, torch.dtype):
            if not (target.is_floating_point or target.is_complex):
                raise ParameterError(f"to() takes a device or a floating or complex dtype, not {target}")
            if target in _LOW:
                raise DtypeError(f"{type(self).__name__}.to({target}): {BELOW}")
        return _moved(self, target)

    def _tensors(self) -> Iterator[Tensor]:
        for name in _field_names(self):
            held = getattr(self, name)
            for item in held if isinstance(held, tuple) else (held,):
                if isinstance(item, Tensor):
                    yield item
                elif isinstance(item, Value):
                    yield from item._tensors()
                elif isinstance(item, Module):
                    yield from item.parameters()
                    yield from item.buffers()

    def networks(self) -> dict[str, Module]:
        """The networks that this value calls, by the path of the field that holds each.

        A network stays a plain module: it is called as it is, so gradients reach its weights, and training it
        changes what the value computes.

        Examples
        --------
        >>> class Filtered(Value):
        ...     network: torch.nn.Module
        >>> list(Filtered(torch.nn.Linear(2, 2)).networks())
        ['network']
        """
        found: dict[str, Module] = {}
        for name in _field_names(self):
            held = getattr(self, name)
            parts = (
                {f"{name}.{i}": v for i, v in enumerate(held)} if isinstance(held, tuple) else {name: held}
            )
            for path, part in parts.items():
                if isinstance(part, Module):
                    found[path] = part
                elif isinstance(part, Value):
                    found |= {f"{path}.{below}": network for below, network in part.networks().items()}
        return found

    @property
    def device(self) -> torch.device:
        """Device of the tensors of this value; the CPU if it has none."""
        return next((t.device for t in self._tensors()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The real dtype of the widest tensor in this value; ``float32`` if it has none."""
        widths = [real_dtype(t.dtype) for t in self._tensors() if t.is_floating_point() or t.is_complex()]
        return max(widths, key=lambda d: d.itemsize, default=torch.float32)


def _device(name: str) -> torch.device:
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ParameterError(
            f"to({name!r}): not a device; those of torch are 'cpu', 'cuda', 'cuda:1', 'mps' and their like"
        ) from error


def _declared(cls: type[Value]) -> dict[str, Any]:
    """The annotations that stand for fields."""
    return {n: kind for n, kind in inspect.get_annotations(cls).items() if "ClassVar" not in str(kind)}


def _by_position(cls: type[Value]) -> list[str]:
    """Names of the fields that may be given by position; see `Value`."""
    declared = list(_declared(cls))
    if cls.positional is not None:
        return declared[: cls.positional]
    required = [n for n in declared if n not in vars(cls)]
    return required if len(required) <= 2 else []


def _check_fields_first(cls: type[Value]) -> None:
    """Refuse, before the author's ``__post_init__``, what a field annotated as a value or tensor cannot hold.

    Otherwise ``solver(prior="tv")`` fails deep in a solve, in words about attributes of strings.
    """
    author = getattr(cls, "__post_init__", None)

    def __post_init__(self: Any) -> None:
        for name, held in vars(self).items():
            if isinstance(held, Tensor) and held.dtype in _LOW:
                raise DtypeError(f"{cls.__name__}: {name} is {held.dtype}: {BELOW}")
        for name, kinds in _field_kinds(cls).items():
            held = getattr(self, name)
            if type(held) not in kinds and not isinstance(held, kinds):  # the first is the fast one
                raise ParameterError(_wrong_kind(f"{cls.__name__}: {name}", held, kinds))
        self._check()
        if author is not None:
            author(self)

    cls.__post_init__ = __post_init__  # type: ignore[attr-defined]


@functools.cache
def _field_kinds(cls: type[Value]) -> dict[str, tuple[type, ...]]:
    """Find the fields that hold values or tensors and nothing else but None, with the classes they allow."""
    try:
        hints = typing.get_type_hints(cls)
    except (NameError, TypeError):  # annotations that exist for type checkers only
        return {}
    found = {}
    for name in (f.name for f in dataclasses.fields(cls)):  # type: ignore[arg-type]
        hint = hints.get(name)
        kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        held = [kind for kind in kinds if kind is not types.NoneType]
        if held and all(
            isinstance(kind, type) and issubclass(kind, Value | Tensor | Module) for kind in held
        ):
            found[name] = tuple(kinds)
    return found


_LOOKED_UP = ("operator", "noise", "fidelity", "prior", "solver", "denoiser")  # values found by name


def _wrong_kind(what: str, held: Any, kinds: tuple[type, ...]) -> str:
    wanted = [kind for kind in kinds if kind is not types.NoneType]
    name = " or ".join(kind.__name__ for kind in wanted)
    message = f"{what} must be {'an' if name[0] in 'AEIOU' else 'a'} {name}, got {held!r:.80}."
    if Tensor in kinds:
        return f"{message} torch.as_tensor makes one of numbers and arrays."
    helper = name.lower().removeprefix("linear")
    if isinstance(held, str) and helper in _LOOKED_UP:
        makers = [f"invcore.{helper}(NAME, ...)"]
    else:
        methods = (n for n, m in vars(wanted[0]).items() if isinstance(m, classmethod | staticmethod))
        makers = [f"{name}.{n}" for n in methods if not n.startswith("_")]
    return f"{message} {', '.join(makers)} make{'s' * (len(makers) == 1)} one." if makers else message


def _field_names(value: Value) -> tuple[str, ...]:
    return _names_of(type(value))


@functools.cache
def _names_of(cls: type[Value]) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(cls))  # type: ignore[arg-type]


def _moved(
    held: Any, target: torch.device | str | torch.dtype, known: dict[int, tuple[Any, Any]] | None = None
) -> Any:
    """A copy elsewhere; ``known`` maps the id of what was met before to it and to its copy."""
    known = {} if known is None else known
    if isinstance(held, tuple) and not hasattr(held, "_fields"):
        return tuple(_moved(v, target, known) for v in held)
    if not isinstance(held, Value | Tensor | Module):
        return held
    if id(held) not in known:
        if isinstance(held, Module):
            moved: Any = _moved_network(held, target)
        elif isinstance(held, Value):
            fields = {n: _moved(getattr(held, n), target, known) for n in _field_names(held)}
            moved = dataclasses.replace(held, **fields)  # type: ignore[type-var]
        else:
            moved = _moved_tensor(held, target)
        known[id(held)] = held, moved
    return known[id(held)][1]


def _moved_network(network: Module, target: torch.device | str | torch.dtype) -> Module:
    """The network itself if it is there already, else a copy."""
    held = [*network.parameters(), *network.buffers()]
    moved = [_moved_tensor(t, target) for t in held]
    if all(a is b for a, b in zip(held, moved)):
        return network
    return copy.deepcopy(network)._apply(lambda t: _moved_tensor(t, target))


def _moved_tensor(held: Tensor, target: torch.device | str | torch.dtype) -> Tensor:
    if not isinstance(target, torch.dtype):
        return held.to(target)
    if held.is_complex():
        return held.to(complex_dtype(real_dtype(target)))
    return held.to(real_dtype(target)) if held.is_floating_point() else held


def in_unit(value: Any, unit: float, powers: dict[str, int] | None = None) -> Any:
    """The value with its numbers in another unit, a power of two; None if it does not say how they scale.

    ``powers`` stand in for the ``units`` of its class.
    """
    own = getattr(value, "_in_unit", None)
    if powers is None and own is not None:
        return own(unit)
    powers = value.units if powers is None else powers
    if powers is None:
        return None
    found = {n: _over(getattr(value, n), unit**power) for n, power in powers.items()}
    if any(new is None and getattr(value, n) is not None for n, new in found.items()):
        return None
    return dataclasses.replace(value, **found) if found else value


def _over(held: Any, unit: float) -> Any:
    """A number, tensor, value or tuple of them over the unit; None if a value does not say how it scales."""
    if isinstance(held, tuple):
        parts = tuple(_over(part, unit) for part in held)
        return None if any(part is None for part in parts) else parts
    if isinstance(held, Value):
        return in_unit(held, unit)
    return None if held is None else held * (1 / unit)


def _short(held: Any) -> str:
    if isinstance(held, Tensor):
        kind = str(held.dtype).removeprefix("torch.")
        if held.numel() == 1 and not held.requires_grad:
            return f"{held.item():.4g}"
        return f"{kind}{list(held.shape)}"
    if isinstance(held, tuple) and held and all(isinstance(v, Value) for v in held):
        return "(" + ", ".join(map(repr, held)) + ")"
    if isinstance(held, types.FunctionType | types.MethodType):
        return held.__qualname__
    return f"{type(held).__name__}(...)" if isinstance(held, Module) else repr(held)
