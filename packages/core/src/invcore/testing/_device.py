"""A pretended second device, so that a device leak shows on a machine that has only a CPU.

Tensors on it are wrappers around CPU tensors which report another device. Every torch call is seen, so a call
that mixes a wrapper with a plain CPU tensor (which would fail on a GPU) is caught, and factory calls with
``device=x.device`` give wrappers. Values are computed for real, so code that looks at them runs as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

PRETENDED = torch.device("meta")
_FACTORIES = {torch.tensor, torch.as_tensor, torch.asarray, torch.scalar_tensor}
_READS = {
    Tensor.item,
    Tensor.tolist,
    Tensor.__bool__,
    Tensor.__int__,
    Tensor.__float__,
    Tensor.__index__,
    Tensor.__complex__,
}
_MIXING_ALLOWED = {"aten::copy_", "aten::index.Tensor", "aten::index_put_", "aten::index_put", "aten::index"}


class DeviceLeak(RuntimeError):
    """A tensor on the CPU met one on the pretended device."""


class NotSimulated(RuntimeError):
    """The pretended device cannot do this; nothing follows from it."""


class _Far(Tensor):
    """A tensor that says it is on the pretended device; `near` holds the values."""

    near: Tensor

    @staticmethod
    def __new__(cls, near: Tensor) -> _Far:
        far = Tensor._make_wrapper_subclass(
            cls,
            near.shape,
            strides=near.stride(),
            storage_offset=near.storage_offset(),
            dtype=near.dtype,
            device=PRETENDED,
        )
        far.near = near
        return far

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _dispatch(func, args, kwargs or {})


def _dispatch(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    device = kwargs.get("device")
    tensors = [a for a in tree_flatten((args, kwargs))[0] if isinstance(a, Tensor)]
    far = any(isinstance(t, _Far) for t in tensors)
    near = [tuple(t.shape) for t in tensors if not isinstance(t, _Far) and t.ndim > 0]
    name = func._schema.name
    if far and near and name not in _MIXING_ALLOWED:
        raise DeviceLeak(f"{name.replace('aten::', 'torch.')} met a CPU tensor of shape {near[0]}")
    if device is not None:
        far = torch.device(device).type == PRETENDED.type
        if far:
            kwargs = {**kwargs, "device": torch.device("cpu")}
    out = func(*tree_map(_near, args), **tree_map(_near, kwargs))
    if name.endswith("_") and args and isinstance(args[0], _Far):
        return args[0]
    return tree_map(lambda o: _Far(o) if isinstance(o, Tensor) else o, out) if far else out


def _near(value: Any) -> Any:
    return value.near if isinstance(value, _Far) else value


class _Dispatch(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep torch from importing its compiler, which takes a second or more: nothing is compiled here."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _dispatch(func, args, kwargs or {})


class _Function(TorchFunctionMode):
    """Catch what never reaches the dispatcher: factories that fill on the CPU, reads of single values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        device = kwargs.get("device")
        if func in _FACTORIES and device is not None and torch.device(device).type == PRETENDED.type:
            del kwargs["device"]
            return func(*args, **kwargs).to(device)
        if func in _READS and args and isinstance(args[0], _Far):
            return func(args[0].near, *args[1:], **kwargs)
        return func(*args, **kwargs)


def _refuse(*args: Any, **kwargs: Any) -> Any:
    raise NotSimulated("forward-mode derivatives")


@contextmanager
def pretended_device() -> Iterator[torch.device]:
    """Make tensors moved to the device that it yields behave as if they lived on another device."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch("torch.autograd.forward_ad.make_dual", _refuse))
        stack.enter_context(_Dispatch())
        stack.enter_context(_Function())
        yield PRETENDED


def runs_elsewhere(function: Callable[[torch.device], Any]) -> str | None:
    """Call ``function(device)`` with the pretended device; return what leaked, or None.

    Raises
    ------
    NotSimulated
        If the code under test did something that cannot be simulated.
    """
    with pretended_device() as device:
        try:
            out = function(device)
        except DeviceLeak as leak:
            return str(leak)
        except Exception as error:
            cause: BaseException | None = error
            seen: list[
                BaseException
            ] = []  # a chain may close on itself, where errors were raised from within hooks
            while cause is not None and cause not in seen:
                if isinstance(cause, DeviceLeak):
                    return str(cause)
                seen.append(cause)
                cause = cause.__cause__ or cause.__context__
            raise NotSimulated(f"{type(error).__name__}: {error}") from error
        for part in tree_flatten(out)[0]:
            if isinstance(part, Tensor) and part.device.type != PRETENDED.type:
                return f"the result, of shape {tuple(part.shape)}, is on {part.device}"
    return None
