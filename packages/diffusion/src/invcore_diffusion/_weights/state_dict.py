"""Weights of a file in a network whose shape they tell."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import Module

from invcore import DataError, ParameterError
from invcore_learning import read_checkpoint

from .hub import require_hash

_M = TypeVar("_M", bound=Module)
_REFUSALS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def read_state(path: str | os.PathLike[str], sha256: str | None, *, prefix: str = "") -> dict[str, Tensor]:
    """Weights by name, of a file with this hash; a prefix that all names have is left out."""
    if Path(path).is_file():
        require_hash(Path(path), sha256)
    state = read_checkpoint(path)
    if prefix and all(name.startswith(prefix) for name in state):
        state = {name.removeprefix(prefix): t for name, t in state.items()}
    return state


def opened(
    path: str | os.PathLike[str], state: Mapping[str, Tensor], what: str, make: Callable[[], _M]
) -> _M:
    """The network that ``make`` reads from the weights, with them in float32, frozen.

    Nothing is allocated before each name and shape is seen to fit.
    """
    try:
        with torch.device("meta"):
            network = make()
    except ParameterError:
        raise
    except _REFUSALS as error:
        raise DataError(
            f"{path} holds no {what}: its names and shapes do not fit one ({type(error).__name__}: {error})"
        ) from error
    own = network.state_dict()
    wrong = [
        *(f"{name} is missing" for name in own.keys() - state.keys()),
        *(f"{name} is unknown" for name in state.keys() - own.keys()),
        *(
            f"{name} has shape {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
            for name in own.keys() & state.keys()
            if state[name].shape != own[name].shape
        ),
    ]
    if wrong:
        raise DataError(f"{path} does not fit {what}: {'; '.join(sorted(wrong)[:3])}; {len(wrong)} in all")
    network.load_state_dict({name: state[name].float() for name in own}, assign=True)
    return network.eval().requires_grad_(False)


def require_class(name: str, condition: Tensor | None, number: int | None) -> None:
    """Refuse a class where none is taken, or one that the network does not know."""
    if number is None and condition is not None:
        raise ParameterError(f"{name}: this network is told nothing: leave condition out")
    if number is None:
        return
    if condition is None or condition.is_floating_point() or condition.is_complex():
        raise ParameterError(
            f"{name}: this network is told a class: give condition=torch.tensor(number), one of {number}"
        )
    if bool(((condition < 0) | (condition >= number)).any()):
        raise ParameterError(f"{name}: classes are numbered 0 to {number - 1}, got {condition.tolist()}")
