"""What a training can be told, in groups."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.nn import Parameter

from invcore import ParameterError
from invcore.metrics import Metric

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


class Transform(Protocol):
    """A change of an image that draws from a generator: a crop, a reflection."""

    def __call__(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """Change an image (channel, *spatial)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """How the weights are optimized.

    Parameters
    ----------
    epochs : int
        Passes over the data, unless ``steps`` is given.
    steps : int, optional
        Steps of the optimizer.
    optimizer : {"adam", "adamw", "sgd"} or callable
        A function of the parameters makes any other optimizer of torch; its learning rate is then its own,
        times the schedule.
    lr : float
        Learning rate.
    weight_decay : float
    schedule : {"constant", "cosine"} or callable
        Factor of the learning rate over the training: 1, a half period of the cosine from 1 to 0, or a
        function of the part that is done, from 0 to 1.
    warmup : int
        Steps in which the learning rate first rises linearly.
    clip : float, optional
        Largest norm of the gradient; a longer one is shortened.
    accumulate : int
        Batches whose gradients make up a step; the mean is over their samples, whatever their sizes.
    ema : float, optional
        Decay per step of an exponential moving average of the weights, such as 0.999. It is then what is
        validated and kept.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> Optimization(steps=100, schedule="cosine", warmup=10).factor(step=55, steps=100)
    0.5
    """

    epochs: int = 10
    steps: int | None = None
    optimizer: Literal["adam", "adamw", "sgd"] | Callable[[Iterable[Parameter]], torch.optim.Optimizer] = (
        "adam"
    )
    lr: float = 1e-3
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine"] | Callable[[float], float] = "constant"
    warmup: int = 0
    clip: float | None = None
    accumulate: int = 1
    ema: float | None = None

    def __post_init__(self) -> None:
        _whole("Optimization", epochs=self.epochs, accumulate=self.accumulate, steps=self.steps)
        _whole("Optimization", least=0, warmup=self.warmup)
        if not callable(self.optimizer) and self.optimizer not in OPTIMIZERS:
            raise ParameterError(
                f"Optimization: optimizer must be one of {sorted(OPTIMIZERS)}, or a function of the "
                f"parameters that makes one, got {self.optimizer!r}"
            )
        if not callable(self.schedule) and self.schedule not in ("constant", "cosine"):
            raise ParameterError(
                f"Optimization: schedule must be 'constant', 'cosine' or a function, got {self.schedule!r}"
            )
        if not 0 < self.lr < math.inf or not 0 <= self.weight_decay < math.inf:
            raise ParameterError(
                f"Optimization: expected lr > 0 and weight_decay >= 0, got {self.lr!r}, {self.weight_decay!r}"
            )
        if self.clip is not None and not self.clip > 0:
            raise ParameterError(f"Optimization: clip is the largest norm, above 0, got {self.clip!r}")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ParameterError(f"Optimization: ema is a decay between 0 and 1, got {self.ema!r}")

    def factor(self, *, step: int, steps: int) -> float:
        """Factor of the learning rate at one of the steps, which count from 0.

        Parameters
        ----------
        step, steps : int

        Returns
        -------
        float
        """
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        done = (step - self.warmup) / max(steps - self.warmup, 1)
        if callable(self.schedule):
            return float(self.schedule(done))
        return (1 + math.cos(math.pi * done)) / 2 if self.schedule == "cosine" else 1.0


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How samples are loaded, measured and put into batches.

    Parameters
    ----------
    batch : int
        Samples in a batch of one process.
    parameters : dict of str to generator, optional
        Parameters ξ of the physics that are drawn for each sample, such as
        ``{"mask": invcore.generator("mask_random", …)}``.
    fixed : bool, optional
        Whether the measurements of a sample are the same in each epoch, as real ones are. By default they
        are if the loss needs no reference: it could otherwise average the noise away.
    transform : callable, optional
        Changes each image before it is measured: ``transform(x, generator=g)``.
    groups : sequence of int, optional
        Which of several physics measures each entry; a batch has one physics. Without groups the physics is
        drawn for each batch, or with fixed measurements goes round: entry i has physics i modulo their
        number.
    drop_last : bool
        Leave out, in each epoch, the last step if its batches are not full.
    workers : int
        Processes that read the data; 0 reads in the training process.

    Raises
    ------
    ParameterError
    """

    batch: int = 16
    parameters: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    fixed: bool | None = None
    transform: Transform | None = None
    groups: Sequence[int] | None = None
    drop_last: bool = False
    workers: int = 0

    def __post_init__(self) -> None:
        _whole("Loading", batch=self.batch)
        _whole("Loading", least=0, workers=self.workers)


@dataclass(frozen=True, kw_only=True)
class Validation:
    """How a model is judged while it is trained, and which weights are kept.

    Parameters
    ----------
    dataset : data set
        As the one that is trained on; measured once and for all.
    metrics : dict of str to Metric, optional
        The first one decides. By default NRMSE and PSNR; without references the training loss.
    baseline : {"adjoint", "pinv"} or callable, optional
        What the report shows beside the model: a direct inversion, or a solver.
    every : int, optional
        Steps between validations; by default an epoch.
    patience : int, optional
        Stop when so many validations in a row brought nothing better.
    keep : {"best", "last"}
        Which weights the model has in the end.

    Raises
    ------
    ParameterError
    """

    dataset: Any
    metrics: Mapping[str, Metric] | None = None
    baseline: Literal["adjoint", "pinv"] | Callable[[Any, Any], Tensor] | None = "adjoint"
    every: int | None = None
    patience: int | None = None
    keep: Literal["best", "last"] = "best"

    def __post_init__(self) -> None:
        _whole("Validation", every=self.every, patience=self.patience)
        if self.keep not in ("best", "last"):
            raise ParameterError(f"Validation: keep must be 'best' or 'last', got {self.keep!r}")


@dataclass(frozen=True)
class Files:
    """Where a training writes checkpoint and ``log.csv``, and with a validation pictures and ``report.html``.

    The same call with the same folder goes on where the last one stopped.

    Parameters
    ----------
    folder : path
        Made if it is missing.
    every_seconds : float
        Time between checkpoints.
    every_steps : int, optional
        Steps between checkpoints, instead of a time.

    Raises
    ------
    ParameterError
    """

    folder: str | os.PathLike[str]
    every_seconds: float = field(default=300.0, kw_only=True)
    every_steps: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _whole("Files", every_steps=self.every_steps)
        if not self.every_seconds >= 0:
            raise ParameterError(f"Files: every_seconds must be 0 or more, got {self.every_seconds!r}")


@dataclass(frozen=True, kw_only=True)
class Logging:
    """What is shown and recorded of a training.

    Parameters
    ----------
    progress : bool
        Show a bar with loss and metrics; where there is no terminal, a line for each record.
    every : int, optional
        Steps between records of loss, gradient and learning rate; by default an epoch.
    loggers : sequence of lightning loggers
        They receive each record, and pictures: ``TensorBoardLogger`` or ``CSVLogger`` of
        ``lightning.fabric.loggers``, ``WandbLogger`` of ``lightning.pytorch.loggers`` …
    pictures : int
        Validation images shown in pictures and report.
    stoppable : bool
        On the first Ctrl-C stop after the step, and finish with what there is.

    Raises
    ------
    ParameterError
    """

    progress: bool = False
    every: int | None = None
    loggers: Sequence[Any] = ()
    pictures: int = 4
    stoppable: bool = True

    def __post_init__(self) -> None:
        _whole("Logging", every=self.every, pictures=self.pictures)


def _whole(name: str, *, least: int = 1, **numbers: Any) -> None:
    for key, value in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ParameterError(f"{name}: {key} must be a whole number from {least} on, got {value!r}")
