"""The training loop: steps, records, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from invcore import DtypeError, ParameterError, Physics, SolverError
from invcore.losses import Loss
from invcore.run import interruptible
from invcore.spaces import dtype_of

from .._data.sample import sample_generator
from .._losses.base import of_samples
from .._losses.wrapped import at_step
from . import checkpoint, record
from .evaluate import Evaluation, evaluate
from .judge import Judge
from .measure import Entries, measured, stacked
from .objective import Objective, random_numbers
from .options import OPTIMIZERS, Files, Loading, Logging, Optimization, Validation
from .plan import Plan
from .progress import shown, tell

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_LENGTH = ("epochs", "steps")
"""What may grow from call to call where the learning rate does not depend on it."""
_STEP = 3
"""Which random numbers: those of a step; 0 is the order, 1 an image, 2 a measurement."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """What came of a training.

    Attributes
    ----------
    model : Module
        The one that was given, trained in place, in evaluation mode.
    history : list of dict
        A record each time: ``step``, ``epoch``, mean ``loss`` per sample since the last one, ``gradient``
        norm before clipping, learning rate ``lr``, and ``validation_…`` metrics where it was validated.
    status : str
        ``"finished"``, ``"stopped early"`` or ``"interrupted"``.
    steps : int
    said : tuple of str
        What was decided without being asked.
    evaluation : Evaluation, optional
        Of the weights that were kept, on the validation images; in the first process only.
    """

    model: Module
    history: list[dict[str, float]]
    status: str
    steps: int
    said: tuple[str, ...] = ()
    evaluation: Evaluation | None = None


class Loop:
    """A training under way."""

    def __init__(
        self,
        model: Module,
        physics: Sequence[Physics],
        dataset: Any,
        loss: Loss,
        optimization: Optimization,
        loading: Loading,
        validation: Validation | None,
        files: Files | None,
        logging: Logging,
        seed: int,
        fabric: Fabric,
    ) -> None:
        self.model, self.loss, self.fabric, self.seed = model, loss, fabric, seed
        self.optimization, self.loading, self.validation = optimization, loading, validation
        self.files, self.logging = files, logging
        self.physics = [one.to(fabric.device) for one in physics]
        self.entries = Entries(dataset, loading.transform, seed)
        self.home = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.said: list[str] = []
        self.plan = Plan(
            length=len(self.entries),
            batch=loading.batch,
            accumulate=optimization.accumulate,
            processes=fabric.world_size,
            groups=loading.groups,
            physics=len(self.physics),
            fixed=self._fixed(),
            drop_last=loading.drop_last,
            seed=seed,
        )
        self._check_precision()
        self.total = optimization.steps or optimization.epochs * self.plan.steps
        objective = Objective(model, loss)
        weights = [p for p in objective.parameters() if p.requires_grad]
        if not weights:
            raise ParameterError(f"train: {type(model).__name__} has no weights to train")
        self.objective: Any
        self.objective, self.optimizer = fabric.setup(objective, self._optimizer(weights))
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.average = (
            AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(optimization.ema))
            if optimization.ema is not None
            else None
        )
        self.judge = Judge(validation, self.physics, loss, loading, seed, fabric) if validation else None
        if self.judge is not None and not self.judge.metrics:
            self.said.append("the loss on the validation data decides, as there are no metrics")
        self.done, self.sums, self.history = 0, (0.0, 0, 0.0, 0), list[dict[str, float]]()
        self.best: dict[str, Tensor] | None = None
        self.configuration = self._configuration(dataset)
        self.saved = time.monotonic()

    def _check_precision(self) -> None:
        """Refuse images that the weights cannot be applied to."""
        _, first = self.entries[0, 0]
        held: Any = first.x if first.y is None else first.y
        images = dtype_of(held).to_real()
        weights = next((p.dtype.to_real() for p in self.model.parameters()), images)
        if images != weights:
            raise DtypeError(
                f"train: the data set has {images}, the weights of the model are {weights}. Convert one of "
                "them: model.double(), or images and physics to the precision of the model."
            )

    def _fixed(self) -> bool:
        """Whether a sample is measured once and for all."""
        if self.loading.fixed is not None:
            return self.loading.fixed
        fixed = not getattr(self.loss, "needs_reference", True)
        how = (
            "the same in each epoch, as the loss needs no reference"
            if fixed
            else "new in each epoch, where none are stored"
        )
        self.said.append(f"measurements are {how} (Loading(fixed=...))")
        return fixed

    def _optimizer(self, weights: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        wanted = self.optimization
        if callable(wanted.optimizer):
            return wanted.optimizer(weights)
        kind: Any = OPTIMIZERS[wanted.optimizer]
        plain = self._scaler is None and not any(p.is_complex() for p in weights)
        fused = plain and self.fabric.device.type == "cpu"
        found: torch.optim.Optimizer = kind(
            weights, lr=wanted.lr, weight_decay=wanted.weight_decay, fused=fused or None
        )
        return found

    def _configuration(self, dataset: Any) -> dict[str, str]:
        """What a checkpoint must agree with."""
        wanted, loading, judge = self.optimization, self.loading, self.validation
        options = {k: v for k, v in vars(wanted).items() if wanted.schedule != "constant" or k not in _LENGTH}
        weights = {name: tuple(p.shape) for name, p in self.model.state_dict().items()}
        return checkpoint.description(
            {
                "model": {"class": type(self.model).__qualname__, "weights": weights},
                "physics": self.physics,
                "loss": self.loss,
                "optimization": options,
                "loading": {k: v for k, v in vars(loading).items() if k != "workers"},
                "validation": judge
                and {"data": _facts(judge.dataset), "metrics": judge.metrics, "keep": judge.keep},
                "validation every": judge and judge.every,
                "patience": judge and judge.patience,
                "data": _facts(dataset),
                "seed": self.seed,
                "processes": self.fabric.world_size,
                "precision": self.fabric.strategy.precision.precision,
            }
        )

    def run(self) -> str:
        """Take all steps that are left, and say how it ended."""
        validate_every = (self.validation and self.validation.every) or self.plan.steps
        record_every = self.logging.every or self.plan.steps
        stream, stopped = self._stream(), False
        self.objective.train()
        show_it = self.logging.progress and self.fabric.is_global_zero
        with (
            shown(show_it, self.total) as show,
            interruptible(self.logging.stoppable, tell if show_it else lambda message: None) as stop,
        ):
            while self.done < self.total and not stopped and not self._exhausted():
                value = self._step(stream)
                stopped, due = self._agreed(stop(), value)
                step, last = self.done, self.done == self.total
                validating = self.judge is not None and (step % validate_every == 0 or last)
                recording = validating or stopped or last or step % record_every == 0
                if recording:
                    self._record(validating)
                show(step, self.history[-1] if recording else {"loss": value[0] / value[1]}, recording)
                if due or stopped or last or self._exhausted():
                    self._save()
        if self.done == self.total:
            return "finished"
        return "interrupted" if stopped else "stopped early"

    def _exhausted(self) -> bool:
        return self.judge is not None and self.judge.exhausted(self.history)

    def _stream(self) -> Iterator[Any]:
        """All batches that are left, read ahead by the workers."""
        loader: Any = torch.utils.data.DataLoader(
            self.entries,
            batch_sampler=_Keys(self.plan, self.done, self.total, self.fabric.global_rank),
            num_workers=self.loading.workers,
            collate_fn=stacked,
            pin_memory=self.fabric.device.type == "cuda",
            generator=sample_generator(self.seed),
        )
        return iter(loader)

    def _step(self, stream: Iterator[Any]) -> tuple[float, int, float]:
        """Move the weights once; return the sum of the losses, their number, and the norm of the gradient."""
        fabric, step = self.fabric, self.done
        for group, rate in zip(self.optimizer.param_groups, self.rates):
            group["lr"] = rate * self.optimization.factor(step=step, steps=self.total)
        which, samples, _ = self.plan.step(step)
        parts = self.plan.parts(step, fabric.global_rank)
        loss = self.loss.at(step) if hasattr(self.loss, "at") else self.loss
        total = torch.zeros((), dtype=torch.float64)
        for j, (_, positions, counts) in enumerate(parts):
            at_step(self.model, step, positions)
            batch = measured(next(stream), self.physics[which], self.loading.parameters, self.seed)
            batch.weight = fabric.world_size * counts / len(samples)
            draw = (step * self.optimization.accumulate + j) * fabric.world_size + fabric.global_rank
            batch.loss = of_samples(loss, positions)
            numbers = random_numbers(sample_generator(self.seed, _STEP, draw, device=fabric.device))
            with fabric.no_backward_sync(self.objective, enabled=j < len(parts) - 1), numbers:
                value, each = self.objective(batch)
                fabric.backward(value)
            if counts:
                total = total + each.double().sum().cpu()
        norm = self._clipped()
        self._check_finite(float(total), norm, samples)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.done += 1
        return float(total), len(samples), norm

    @property
    def _scaler(self) -> Any:
        """What keeps gradients in float16 from vanishing, in that precision."""
        return getattr(self.fabric.strategy.precision, "scaler", None)

    def _clipped(self) -> float:
        """Shorten the gradient where that is wanted, and return the norm that it had."""
        clip, fabric = self.optimization.clip, self.fabric
        if clip is not None:
            found = fabric.clip_gradients(
                self.objective, self.optimizer, max_norm=clip, error_if_nonfinite=False
            )
        else:
            fabric.strategy.precision.unscale_gradients(self.optimizer.optimizer)
            grads = [p.grad for p in self.objective.parameters() if p.grad is not None]
            found = torch.nn.utils.get_total_norm(grads)
        return float(found)  # type: ignore[arg-type]

    def _check_finite(self, loss: float, norm: float, samples: Sequence[int]) -> None:
        skipped = self._scaler is not None  # by the scaler, which then multiplies by less
        if math.isfinite(loss) and (math.isfinite(norm) or skipped):
            return
        what = f"the loss is {loss}" if not math.isfinite(loss) else f"the norm of the gradient is {norm}"
        some = ", ".join(map(str, sorted(samples)[:10])) + (" …" if len(samples) > 10 else "")
        raise SolverError(
            f"train: {what} at step {self.done}, for the entries {some}. The weights stay those before it. "
            "Try a smaller learning rate, Optimization(clip=1.0), or look at these entries."
        )

    def _agreed(self, stop: bool, value: tuple[float, int, float]) -> tuple[bool, bool]:
        """Add up the losses of all processes; return whether to stop and whether to save, for all alike."""
        files = self.files
        due = files is not None and (
            self.done % files.every_steps == 0
            if files.every_steps
            else time.monotonic() - self.saved >= files.every_seconds
        )
        loss, count, norm = value
        if self.fabric.world_size > 1:
            mine = [float(stop), float(due and self.fabric.is_global_zero), loss]
            told = self.fabric.all_reduce(torch.tensor(mine, dtype=torch.float64), reduce_op="sum")
            stop, due, loss = bool(told[0]), bool(told[1]), float(told[2])
        a, b, c, d = self.sums
        self.sums = (a + loss, b + count, c + norm, d + 1)
        return stop, due

    @property
    def judged(self) -> Module:
        """The model that is validated and kept."""
        return self.model if self.average is None else self.average.module

    def _record(self, validating: bool) -> None:
        loss, samples, norm, steps = self.sums
        row: dict[str, float] = {
            "step": self.done,
            "epoch": -(-self.done // self.plan.steps),
            "loss": loss / samples,
            "gradient": norm / steps,
            "lr": self.optimizer.param_groups[0]["lr"],
        }
        images = None
        if validating and self.judge is not None:
            found, images = self.judge.means(self.judged, self.logging.pictures)
            row |= found
        self.sums = (0.0, 0, 0.0, 0)
        self.history.append(row)
        if validating and self.judge is not None and self.judge.since_best(self.history) == 0:
            self.best = {k: t.detach().cpu().clone() for k, t in self.judged.state_dict().items()}
        if self.fabric.is_global_zero:
            record.send(self.logging.loggers, row, images)
            if self.files is not None and images is not None:
                record.write_picture(Path(self.files.folder), self.done, images)

    def _save(self) -> None:
        if self.files is None:
            return
        folder = Path(self.files.folder)
        state = {
            "configuration": self.configuration,
            "step": self.done,
            "objective": self.objective,
            "optimizer": self.optimizer,
            "precision": self.fabric.strategy.precision.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "history": self.history,
            "sums": list(self.sums),
            "best": self.best,
        }
        checkpoint.write(self.fabric, folder, state)
        if self.fabric.is_global_zero:
            record.write_log(folder / "log.csv", self.history)
        self.saved = time.monotonic()

    def restore(self) -> None:
        """Go on where the checkpoint of the folder is, if there is one."""
        if self.files is None:
            return
        folder = Path(self.files.folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = checkpoint.read(self.fabric, folder, self.configuration)
        if state is None:
            return
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.done, self.history, self.best = state["step"], state["history"], state["best"]
        self.sums = tuple(state["sums"])

    def finished(self, status: str) -> Training:
        """Keep the weights that were asked for, judge them, and write the report."""
        at_step(self.model, 0)  # what is saved does not depend on how long it was trained
        judge = self.validation
        if judge is not None and judge.keep == "best" and self.best is not None:
            self.model.load_state_dict(self.best)
        elif self.average is not None:
            self.model.load_state_dict(self.average.module.state_dict())
        evaluation = None
        if judge is not None and self.fabric.is_global_zero:
            evaluation = evaluate(
                self.model,
                self.physics,
                judge.dataset,
                metrics=self.judge.metrics if self.judge else None,
                baseline=judge.baseline,
                parameters=self.loading.parameters,
                batch=self.loading.batch,
                seed=self.seed,
                pictures=self.logging.pictures,
            )
            if self.files is not None:
                record.write_training_report(
                    Path(self.files.folder) / "report.html",
                    self.history,
                    evaluation,
                    [f"{status} after {self.done} steps", *self.said],
                    self.configuration,
                    self.seed,
                )
        for logger in self.logging.loggers:
            logger.finalize("success")
        self.model.to(self.home).eval()
        return Training(
            model=self.model,
            history=self.history,
            status=status,
            steps=self.done,
            said=tuple(self.said),
            evaluation=evaluation,
        )


class _Keys:
    """The keys of all batches of a process, for a loader."""

    def __init__(self, plan: Plan, first: int, last: int, rank: int) -> None:
        self.plan, self.first, self.last, self.rank = plan, first, last, rank

    def __iter__(self) -> Iterator[Any]:
        return self.plan.keys(self.first, self.last, self.rank)


def _facts(dataset: Any) -> Mapping[str, Any]:
    """What identifies a data set without reading all of it."""
    _, first = Entries(dataset)[0, 0]
    return {"class": type(dataset).__qualname__, "length": len(dataset), "first": list(first)}
