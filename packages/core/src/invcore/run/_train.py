"""Training and evaluation of a model from a problem file; package invcore-learning does the work."""

from __future__ import annotations

import dataclasses
import importlib
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .. import models
from .._errors import DataError, MissingDependencyError, ParameterError
from .._physics import Physics
from ..io import provenance
from ._build import build, physics_of
from ._problem import parsed, tables_of, text_of
from ._schema import fits

_TABLES = {
    **dict.fromkeys(("dataset", "operator", "noise", "parameters", "model"), Mapping),
    **dict.fromkeys(("loss", "training", "validation", "card"), Mapping),
    "seed": int,
}
_NEEDED = ("dataset", "model")
_VALIDATION = {"dataset", "metrics", "baseline", "every", "patience", "keep"}
_ENGINE = {"accelerator": "str", "precision": "str"}
_CROP = {"crop": "tuple[int, ...]", "flips": "bool"}


class Trained(NamedTuple):
    """What a training left: the result of `invcore_learning.train`, and its files by role."""

    training: Any
    files: dict[str, Path]


def _silent(message: str) -> None:
    """Say nothing."""


def train(
    problem: str | os.PathLike[str] | Mapping[str, Any],
    *,
    output: str | os.PathLike[str] = "invcore-out",
    command: str | None = None,
    progress: bool = False,
    stoppable: bool = False,
    say: Callable[[str], None] = _silent,
) -> Trained:
    """Train the model of a problem, and write it with a card, a report and a table.

    The same call with the same folder goes on where it stopped.

    Parameters
    ----------
    problem : path or mapping
        A TOML file or its tables: ``[dataset]``, ``[operator]``, ``[noise]``, ``[parameters]``, ``[model]``,
        ``[loss]``, ``[training]``, ``[validation]``, ``[card]``, and ``seed``.
    output : path
    command : str, optional
        The command line, for the card.
    progress, stoppable, say
        As for `run`.

    Returns
    -------
    Trained

    Raises
    ------
    FileNotFoundError, DataError, ParameterError, UnknownComponentError
    MissingDependencyError
        If invcore-learning is not installed.

    Examples
    --------
    >>> train("problem.toml", output="out").training.status  # doctest: +SKIP
    'finished'
    """
    learning, tables = _learning(), _checked(problem)
    folder, seed, writes = Path(output), tables["seed"], not int(os.environ.get("RANK", "0"))
    if not writes:  # another process of torchrun speaks and writes
        say = _silent
    settings = dict(tables.get("training", {}))
    options = _options(learning, settings)
    dataset = build("dataset", tables["dataset"], _seeded(seed))
    physics = _physics(tables, dataset, options["loading"].transform)
    parameters = _parameters(tables)
    loss = build("loss", tables.get("loss", {"name": "supervised"}), _seeded(seed))
    model = _model(tables["model"], seed)
    if hasattr(loss, "wrap"):
        model = loss.wrap(model)
    with tempfile.TemporaryDirectory() as place:  # refused now rather than after the training
        models.save(model, Path(place) / "model.safetensors")
    judge = tables.get("validation")
    validation = judge and learning.Validation(**{**judge, **_judge(judge, seed)})
    weights = sum(p.numel() for p in model.parameters())
    say(f"{type(model).__name__}, {weights:,} weights, {len(dataset)} samples")
    done = learning.train(
        model,
        physics,
        dataset,
        loss=loss,
        validation=validation,
        optimization=options["optimization"],
        loading=dataclasses.replace(options["loading"], parameters=parameters),
        files=dataclasses.replace(options["files"], folder=folder),
        logging=dataclasses.replace(options["logging"], progress=progress, stoppable=stoppable),
        seed=seed,
        fabric=learning.engine(**{key: settings[key] for key in _ENGINE if key in settings}),
    )
    for sentence in done.said:
        say(sentence)
    say(f"{done.status} after {done.steps} steps")
    if not writes:
        return Trained(done, {})
    names = {"model": "model.safetensors", "log": "log.csv", "report": "report.html"}
    files = {role: folder / name for role, name in names.items()}
    models.save(done.model, files["model"], card=_card(tables, done, command))
    return Trained(done, {role: path for role, path in files.items() if path.exists()})


def evaluate(
    path: str | os.PathLike[str],
    problem: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    *,
    metrics: Mapping[str, Any] | None = None,
) -> Any:
    """Judge a trained model on the validation data of a problem; by default on those it was trained with.

    Parameters
    ----------
    path : path
        The model's file.
    problem : path or mapping, optional
        As for `train`. Its data set is taken where it has no ``[validation]``.
    metrics : dict of str to Metric, optional
        Instead of those of the problem.

    Returns
    -------
    invcore_learning.Evaluation

    Raises
    ------
    FileNotFoundError, DataError, ParameterError, UnknownComponentError, MissingDependencyError

    Examples
    --------
    >>> evaluate("out/model.safetensors").metrics["psnr"].mean()  # doctest: +SKIP
    tensor(31.2)
    """
    learning, model = _learning(), models.load(path)
    if problem is None:
        text = models.card(path).get("problem")
        if not isinstance(text, str):
            raise DataError(
                f"{path} does not say which problem it is for: give one, as in "
                "`invcore evaluate model.safetensors problem.toml`"
            )
        problem = parsed(text, f"the problem in {path}")
    tables = _checked(problem)
    judge = _judge(tables.get("validation", {"dataset": tables["dataset"]}), tables["seed"])
    return learning.evaluate(
        model,
        _physics(tables, judge["dataset"], None),
        judge["dataset"],
        metrics=metrics or judge.get("metrics"),
        baseline=judge.get("baseline", "adjoint"),
        parameters=_parameters(tables),
        seed=tables["seed"],
    )


def _learning() -> Any:
    try:
        return importlib.import_module("invcore_learning")
    except ModuleNotFoundError as error:
        if error.name != "invcore_learning":
            raise
        raise MissingDependencyError(
            'training and trained models need a package of their own: pip install "invcore[learning]"'
        ) from error


def _checked(problem: str | os.PathLike[str] | Mapping[str, Any]) -> dict[str, Any]:
    name = "problem" if isinstance(problem, Mapping) else str(problem)
    tables = tables_of(problem if isinstance(problem, Mapping) else Path(problem))
    if unknown := sorted(set(tables) - set(_TABLES)):
        raise DataError(f"{name}: unknown entries {unknown}; a training has {sorted(_TABLES)}")
    for key, value in tables.items():
        if not isinstance(value, _TABLES[key]) or isinstance(value, bool):
            wanted = "an integer" if key == "seed" else "a table"
            raise DataError(f"{name}: {key} must be {wanted}, got {value!r:.200}")
    for key in _NEEDED:
        if key not in tables:
            raise DataError(f"{name}: [{key}] is missing; a training needs {' and '.join(_NEEDED)}")
    judge = tables.get("validation", {})
    if unknown := sorted(set(judge) - _VALIDATION):
        raise DataError(f"{name}: [validation] has no {unknown}; it has {sorted(_VALIDATION)}")
    return {"seed": 0, **tables}


def _options(learning: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """The dataclasses that [training] fills, each with the entries that are its own."""
    groups = {
        "optimization": learning.Optimization,
        "loading": learning.Loading,
        "files": learning.Files,
        "logging": learning.Logging,
    }
    hidden = {"parameters", "transform", "folder", "loggers", "progress", "stoppable"}
    known = {
        field.name: (group, str(field.type))
        for group, cls in groups.items()
        for field in dataclasses.fields(cls)
        if field.name not in hidden
    }
    known |= {key: ("engine", kind) for key, kind in _ENGINE.items()}
    known |= {key: ("crop", kind) for key, kind in _CROP.items()}
    found: dict[str, dict[str, Any]] = {group: {} for group in (*groups, "engine", "crop")}
    for key, value in settings.items():
        if key not in known:
            raise DataError(f"[training] has no {key!r}; it has {', '.join(sorted(known))}")
        group, kind = known[key]
        if not fits(kind, value) or isinstance(value, Mapping):
            raise ParameterError(f"[training] {key} takes {kind}, got {value!r:.200}")
        found[group][key] = value
    crop = found["crop"]
    if "crop" in crop:
        flips = crop.get("flips", True)
        found["loading"]["transform"] = learning.RandomCrop(tuple(crop["crop"]), flips=flips)
    found["files"]["folder"] = "."
    return {group: cls(**found[group]) for group, cls in groups.items()}


def _physics(tables: Mapping[str, Any], dataset: Any, transform: Any) -> Physics:
    """The physics of the problem, or of a store; the operator's domain is that of the first image."""
    if "operator" not in tables:
        held = getattr(dataset, "physics", None)
        if not isinstance(held, Physics):
            raise DataError(
                "the problem needs an [operator] that measures the images; only a store of measurements "
                "brings its own"
            )
        return held
    first = dataset[0]
    x = getattr(first, "x", first)
    if x is None:
        raise DataError("the data set has no images: leave [operator] out, and take the store's own physics")
    seed = tables["seed"]
    part = x if transform is None else transform(x, generator=_seeded(seed))
    return physics_of(tables, part, _seeded(seed))


def _parameters(tables: Mapping[str, Any]) -> dict[str, Any]:
    given = tables.get("parameters", {})
    return {name: build("generator", table, _seeded(tables["seed"])) for name, table in given.items()}


def _judge(table: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The components of [validation]: data set, metrics, and a solver as the baseline."""
    if not isinstance(table.get("dataset"), Mapping):
        raise DataError('[validation] needs a dataset, as in dataset = { name = "..." }')
    made: dict[str, Any] = {"dataset": build("dataset", table["dataset"], _seeded(seed))}
    if "metrics" in table:
        named = table["metrics"]
        if not isinstance(named, Mapping) or not all(isinstance(t, Mapping) for t in named.values()):
            raise DataError("[validation] metrics are tables by name, as in { psnr = { data_range = 1.0 } }")
        made["metrics"] = {k: build("metric", {"name": k, **t}, _seeded(seed)) for k, t in named.items()}
    if isinstance(baseline := table.get("baseline", "adjoint"), Mapping):
        table = {k: v for k, v in baseline.items() if k != "kind"}
        baseline = build("solver", table, _seeded(seed))
    return {**made, "baseline": baseline}


def _model(table: Mapping[str, Any], seed: int) -> torch.nn.Module:
    """A new model with weights of the seed, or one from a file to be trained on."""
    with torch.random.fork_rng(devices=[]):  # torch's initialization draws from the global state
        torch.set_rng_state(_seeded(seed).get_state())
        model = models.load(table["file"]) if "file" in table else build("model", table, _seeded(seed))
    if not isinstance(model, torch.nn.Module):
        raise ParameterError(f"[model] {type(model).__name__} has no weights to train: it is no module")
    return model


def _seeded(seed: int) -> torch.Generator:
    """A generator for each part, so that a part does not change with what was drawn for others."""
    return torch.Generator().manual_seed(seed)


def _card(tables: Mapping[str, Any], done: Any, command: str | None) -> dict[str, Any]:
    """What a user of the model should know."""
    found = done.evaluation
    figures: dict[str, Any] = {}
    for name, values in (found.metrics if found is not None else {}).items():
        figures[name] = {"mean": float(values.mean()), "images": len(values)}
        if name in found.baseline:
            figures[name]["baseline"] = float(found.baseline[name].mean())
    given = {"data": dict(tables["dataset"]), "license": "not stated", **tables.get("card", {})}
    made = ("date", "command", "versions", "plugins")
    record = provenance(command=command, seed=tables["seed"])
    return {
        **given,
        "figures": figures,
        "training": {"status": done.status, "steps": done.steps, "decided": list(done.said)},
        "made": {key: record[key] for key in made},
        "problem": text_of(tables),
    }
