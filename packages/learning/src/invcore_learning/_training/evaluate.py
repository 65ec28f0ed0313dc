"""Judging models and solvers on a data set."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from invcore import LinearOperator, ParameterError, Physics
from invcore.metrics import NRMSE, PSNR, Metric
from invcore.spaces import spaces_of

from .layout import channels_last
from .measure import Batch, Entries, measured, stacked
from .plan import Plan


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Metrics of each image, for a model and for the baseline beside it, and some pictures.

    Attributes
    ----------
    metrics, baseline : dict of str to Tensor, shape (n,)
        One value for each image; ``baseline`` is empty without one.
    pictures : dict of str to Tensor, shape (k, channel, *spatial)
        The first images: ``"model"``, and where there are ``"reference"`` and ``"baseline"``.
    seconds : float
        Time the model took.

    Examples
    --------
    >>> print(Evaluation(metrics={"psnr": torch.tensor([30.0, 32.0])}))
                   mean       std    images
    psnr         31.000     1.414         2
    """

    metrics: dict[str, Tensor]
    baseline: dict[str, Tensor] = field(default_factory=dict)
    pictures: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        rows = [("", "mean", "std", "images")]
        for name, values in self.metrics.items():
            rows.append((name, *_summary(values)))
            if name in self.baseline:
                rows.append(("  baseline", *_summary(self.baseline[name])))
        return "\n".join(f"{a:10}{b:>9} {c:>9} {d:>9}".rstrip() for a, b, c, d in rows)


def _summary(values: Tensor) -> tuple[str, str, str]:
    std = float(values.std()) if values.numel() > 1 else 0.0
    return f"{float(values.mean()):#.5g}", f"{std:#.4g}", str(values.numel())


def evaluate(
    model: Callable[[Any, Physics], Tensor],
    physics: Physics | Sequence[Physics],
    dataset: Any,
    *,
    metrics: Mapping[str, Metric] | None = None,
    baseline: Literal["adjoint", "pinv"] | Callable[[Any, Physics], Tensor] | None = None,
    parameters: Mapping[str, Callable[..., Any]] | None = None,
    batch: int = 16,
    seed: int = 0,
    pictures: int = 4,
) -> Evaluation:
    """Reconstruct all images of a data set, and judge each.

    Parameters
    ----------
    model : callable
        ``model(y, physics)``: a network or a solver. A module is put into evaluation mode for it.
    physics : Physics or sequence of Physics
        What measures the images, on its device; of several, entry i has number i modulo their number.
    dataset : data set
        Images ``(channel, *spatial)``, or `Sample`, whose data are used where it has some.
    metrics : dict of str to Metric, optional
        By default NRMSE, and PSNR of magnitudes with the peak of each reference.
    baseline : {"adjoint", "pinv"} or callable, optional
        What to judge beside the model.
    parameters : dict of str to generator, optional
        Parameters ξ that are drawn for each image.
    batch : int
    seed : int
        The measurements of image i depend on it and on i only.
    pictures : int
        Images to keep.

    Returns
    -------
    Evaluation

    Raises
    ------
    ParameterError
        If the data set has no references and the metrics need them.

    Examples
    --------
    >>> import invcore
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> images = invcore.dataset("dead_leaves", length=4, size=(16, 16))
    >>> physics = Physics(Identity((1, 16, 16)), GaussianNoise(sigma=0.1))
    >>> tv = invcore.solver("fista", prior=invcore.prior("tv"), weight="auto")
    >>> found = evaluate(tv, physics, images, baseline="adjoint")
    >>> bool((found.metrics["psnr"] > found.baseline["psnr"]).all())
    True
    """
    several = [physics] if isinstance(physics, Physics) else list(physics)
    metrics = default_metrics(several[0]) if metrics is None else metrics
    n = len(Entries(dataset))
    values = {name: torch.full((n,), torch.nan) for name in metrics}
    beside = {name: v.clone() for name, v in values.items()} if baseline is not None else {}
    shown: dict[str, dict[int, Tensor]] = {}
    seconds = 0.0
    for one, x_hat, spent in examine(model, several, dataset, parameters or {}, batch=batch, seed=seed):
        seconds += spent
        images = {"model": x_hat} | ({} if one.x is None else {"reference": one.x})
        if baseline is not None:
            with torch.no_grad():
                images["baseline"] = direct(baseline)(one.y, one.physics)
        index = [i for _, i in one.keys]
        for name, metric in metrics.items():
            values[name][index] = judged(metric, x_hat, one.x)
            if beside:
                beside[name][index] = judged(metric, images["baseline"], one.x)
        for name, image in images.items():
            shown.setdefault(name, {}).update({i: t.cpu() for i, t in zip(index, image) if i < pictures})
    return Evaluation(
        metrics=values,
        baseline=beside,
        pictures={name: torch.stack([some[i] for i in sorted(some)]) for name, some in shown.items() if some},
        seconds=seconds,
    )


def examine(
    model: Callable[[Any, Physics], Tensor],
    physics: Sequence[Physics],
    dataset: Any,
    parameters: Mapping[str, Callable[..., Any]],
    *,
    batch: int,
    seed: int,
    rank: int = 0,
    processes: int = 1,
) -> Iterator[tuple[Batch, Tensor, float]]:
    """Give batches of a share of the data set, with reconstructions and the time of each."""
    entries = Entries(dataset)
    plan = Plan(length=len(entries), batch=batch, physics=len(physics), fixed=True)
    mine = range(rank, len(entries), processes)
    with evaluating(model), channels_last(model, physics[0].device):
        for k, one in enumerate(physics):
            own = [i for i in mine if plan.assigned(i) == k]
            for start in range(0, len(own), batch):
                samples = stacked([entries[0, i] for i in own[start : start + batch]])
                with torch.no_grad():
                    made = measured(samples, one, parameters, seed)
                    begun = time.perf_counter()
                    x_hat = model(made.y, made.physics)
                    if x_hat.is_cuda:
                        torch.cuda.synchronize(x_hat.device)
                yield made, x_hat, time.perf_counter() - begun


@contextlib.contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Put the modules of a model that are in training mode into evaluation mode, and back."""
    training = [m for m in model.modules() if m.training] if isinstance(model, torch.nn.Module) else []
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


@torch.no_grad()
def judged(metric: Metric, x_hat: Tensor, x: Tensor | None) -> Tensor:
    """One value for each image."""
    if getattr(metric, "no_reference", False):
        return metric(x_hat).float().cpu()  # type: ignore[call-arg]
    if x is None:
        raise ParameterError(
            f"{type(metric).__name__} compares with a reference, and the data set has none. Choose metrics "
            "without reference, or give Sample with x."
        )
    return metric(x_hat, x).float().cpu()


def default_metrics(physics: Physics) -> dict[str, Metric]:
    """NRMSE and PSNR of images of this physics."""
    dims = len(spaces_of(physics.domain)[0].shape) - 1
    return {
        "nrmse": NRMSE(complex="complex", spatial_dims=dims),
        "psnr": PSNR(data_range="max", complex="magnitude", spatial_dims=dims),
    }


def direct(baseline: str | Callable[[Any, Physics], Tensor]) -> Callable[[Any, Physics], Tensor]:
    """A direct inversion by its name; what is callable stays."""
    if callable(baseline):
        return baseline
    if baseline not in ("adjoint", "pinv"):
        raise ParameterError(f"baseline must be 'adjoint', 'pinv' or callable, got {baseline!r}")

    def inverted(y: Any, physics: Physics) -> Tensor:
        A = physics.operator
        if not isinstance(A, LinearOperator):
            raise ParameterError(f"baseline {baseline!r} needs a linear operator, got {type(A).__name__}")
        x: Any = A.H(y) if baseline == "adjoint" else A.pinv(y)
        return x

    return inverted
