"""Draws from the posterior of a problem, with a picture report."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import torch
from torch import Tensor

from .._errors import DataError, ParameterError, SolverError
from ..io import Acquisition, provenance, save_png, save_reconstruction, write_hdf5
from ..metrics._base import scored
from ..report import write_report
from ..samplers import Chain, Sampler
from ..spaces import real_size_of
from ._build import build
from ._folder import RESULT, output_folder, staged
from ._interrupt import interruptible
from ._measure import measure, measured
from ._problem import load, text_of

_SAMPLING = {"draws": 64, "chains": 1, "keep": 1000}
"""What ``[sampling]`` says, with the defaults."""
_SHOWN = 8
_MIXED = 1.1
"""R-hat in the median above which chains have not mixed; that of the worst pixel is large by chance."""
_CHECKPOINT = "chain.h5"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampled:
    """Draws from the posterior of a problem, and where they were written.

    Attributes
    ----------
    chain : Chain
        Draws, mean and variance, with a dimension ``chains`` in front.
    mean, std : Tensor, shape (batch..., channel, *spatial)
        Of the draws of all chains.
    sampler : Sampler
    metrics : dict of str to Tensor
        Of the mean, one value per sample.
    said : tuple of str
        What is to be known of the draws.
    seconds : float
    files : dict of str to Path
        What was written, by role.
    """

    chain: Chain
    mean: Tensor
    std: Tensor
    sampler: Sampler
    metrics: dict[str, Tensor]
    said: tuple[str, ...]
    seconds: float
    files: dict[str, Path]

    @property
    def interrupted(self) -> bool:
        """True if Ctrl-C ended the chain early."""
        return self.chain.stopped


def sample(
    problem: str | os.PathLike[str] | Mapping[str, Any],
    *,
    output: str | os.PathLike[str] = "invcore-out",
    command: str | None = None,
    progress: bool = False,
    stoppable: bool = False,
    say: Callable[[str], None] = lambda message: None,
) -> Sampled:
    """Draw images from the posterior of a problem, and write mean, deviation, draws and a report.

    A chain that is killed goes on where it was when the same call comes again.

    Parameters
    ----------
    problem : path or mapping
        As for `run`, with ``[sampler]`` in place of ``[solver]``, and in ``[sampling]`` the numbers ``draws``
        (64) of each chain, ``chains`` (1) side by side, and ``keep`` (1000), the most that are stored.
    output, command, progress, stoppable, say
        As for `run`.

    Returns
    -------
    Sampled

    Raises
    ------
    FileNotFoundError, DataError, ParameterError, UnknownComponentError, SolverError

    Examples
    --------
    >>> invcore.run.sample("problem.toml", output="out").mean.shape  # doctest: +SKIP
    torch.Size([1, 128, 128])
    """
    tables = load(problem)
    wanted = _numbers(tables)
    sampler: Any = build("sampler", tables["sampler"], _seeded(tables))
    if not isinstance(sampler, Sampler):
        raise ParameterError(f"[sampler] {tables['sampler']['name']} makes a {type(sampler).__name__}")
    with output_folder(output) as folder:
        acquisition, truth = measure(tables)
        say(f"read {measured(tables).name}: {acquisition.output.summary(acquisition)}")
        if sampler.bias:
            say(f"note: {sampler.bias}")
        begun = time.perf_counter()
        with interruptible(stoppable, say) as stop:
            try:
                chain = sampler.chain(
                    acquisition.y,
                    acquisition.physics,
                    generator=_seeded(tables, acquisition.physics.device),
                    progress=progress,
                    callback=lambda *_: stop(),
                    checkpoint=folder / _CHECKPOINT,
                    **wanted,
                )
            except (MemoryError, torch.OutOfMemoryError) as error:
                raise SolverError("there is not enough memory; take fewer chains") from error
        seconds = time.perf_counter() - begun
        if not chain.number:
            raise SolverError("it was stopped before the first draw; the same command goes on from there")
        mean, std = _pooled(chain)
        made = Sampled(
            chain=chain,
            mean=mean,
            std=std,
            sampler=sampler,
            metrics=_judged(tables, mean, truth),
            said=_said(chain, sampler, acquisition, mean),
            seconds=seconds,
            files={},
        )
        for sentence in made.said:
            say(sentence)
        made = _write(made, tables, acquisition, truth, folder, command)
        if not chain.stopped:
            (folder / _CHECKPOINT).unlink(missing_ok=True)
        return made


def _numbers(tables: Mapping[str, Any]) -> dict[str, int]:
    if "sampler" not in tables:
        raise DataError("the problem has no [sampler]: a name of `invcore list sampler`, and its options")
    given = tables.get("sampling", {})
    for key, value in given.items():
        if key not in _SAMPLING or isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise DataError(
                f"sampling.{key} = {value!r}: [sampling] has {', '.join(_SAMPLING)}, whole numbers from 1 on"
            )
    wanted = {**_SAMPLING, **given}
    if wanted["draws"] * wanted["chains"] < 2:
        raise DataError("sampling: a deviation takes two draws at least, of one chain or of several")
    return wanted


def _pooled(chain: Chain) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over the draws of all chains."""
    means, variances = chain.mean.cpu(), chain.variance.cpu()
    n, m = chain.number, len(means)
    between = (means - means.mean(0)).abs().square().sum(0)
    within = (n - 1) * variances.sum(0) if n > 1 else 0.0
    return means.mean(0), ((within + n * between) / max(n * m - 1, 1)).sqrt()


def _judged(tables: Mapping[str, Any], mean: Tensor, truth: Tensor | None) -> dict[str, Tensor]:
    """Metrics of the mean; NRMSE unless the problem names others."""
    if truth is None:
        return {}
    named = tables.get("metrics", {"nrmse": {}})
    g = _seeded(tables)
    metrics = {name: build("metric", {"name": name, **table}, g) for name, table in named.items()}
    return {name: scored(metric, mean, truth) for name, metric in metrics.items()}


@torch.no_grad()
def _said(chain: Chain, sampler: Sampler, acquisition: Acquisition, mean: Tensor) -> tuple[str, ...]:
    """How many draws there are, how far they can be believed, and whether they fit the data."""
    m = len(chain.mean)
    spacing = "one a step" if sampler.thin == 1 else f"one every {sampler.thin} steps"
    each = "independent draws" if sampler.independent else f"draws, {spacing},"
    first = f"{m * chain.number} {each} of {m} chain{'s' if m > 1 else ''}, {chain.steps} steps"
    said = [f"{first}{'; stopped by Ctrl-C' if chain.stopped else ''}"]
    if sampler.bias:
        said.append(f"Not exact: {sampler.bias}.")
    if not sampler.independent and isinstance(chain.draws, Tensor) and len(chain.draws) >= 4:
        found = chain.r_hat().nan_to_num(1.0)
        middle = float(found.median())
        said.append(f"R-hat {middle:.2f} in the median of the pixels, {float(found.max()):.2f} in the worst")
        worth = chain.ess()
        said.append(
            f"They are worth {float(worth.nanmedian()):.0f} independent ones in the median of the pixels, "
            f"{float(worth.nan_to_num(torch.inf).min()):.0f} in the worst (effective sample size)"
        )
        if middle > _MIXED:
            said.append(
                "The chains have not mixed, or their draws are too few to tell: take a longer burn-in, or "
                "more draws further apart"
            )
    physics, likelihood = acquisition.physics, acquisition.physics.likelihood()
    if physics.noise.random and likelihood.chi_square:
        value = likelihood.value(physics.operator(chain.last), acquisition.y, physics.range)
        count = value[0].numel() * real_size_of(physics.range)
        misfit = 2 * float(value.sum()) / (count * m)
        said.append(f"χ²/N of the last draws {misfit:.3g}")
        if not misfit < 3:
            said.append(
                "The draws do not explain the data: the sampler has not reached the posterior, or diverged. "
                "Take more steps, a longer burn-in, or another guidance"
            )
    return tuple(said)


def _write(
    made: Sampled,
    tables: Mapping[str, Any],
    acquisition: Acquisition,
    truth: Tensor | None,
    folder: Path,
    command: str | None,
) -> Sampled:
    dims = len(acquisition.physics.domain.shape) - 1  # type: ignore[union-attr]
    shape: dict[str, Any] = {"spatial_dims": dims, "voxel_size": acquisition.voxel_size}
    names = {"image": RESULT, "mean": "mean.png", "deviation": "deviation.png", "samples": "samples.h5"}
    names["report"] = "report.html"
    record = {
        **provenance(
            command=command,
            seed=tables["seed"],
            components={"sampler": tables["sampler"]["name"]},
            parameters={"sampler": made.sampler, "draws": made.chain.number, "steps": made.chain.steps},
            data={"file": measured(tables).name, **acquisition.metadata},
        ),
        "problem": text_of(tables),
        "files": sorted(names.values()),
    }
    kept = made.chain.draws.flatten(0, 1)
    shown = kept[torch.linspace(0, len(kept) - 1, min(_SHOWN, len(kept))).round().long()].cpu()
    others = {"Standard deviation": made.std, **{f"Draw {i + 1}": x for i, x in enumerate(shown)}}
    figures = {key.upper(): f"{float(v.mean()):.4f}" for key, v in made.metrics.items()}
    figures |= {"draws": str(made.chain.number * len(made.chain.mean)), "time": f"{made.seconds:.1f} s"}
    with staged(folder) as stage:
        save_reconstruction(stage / names["image"], made.mean, record, spatial_dims=dims)
        save_png(stage / names["mean"], made.mean, part="magnitude", **shape)
        save_png(stage / names["deviation"], made.std, part="magnitude", **shape)
        _save_draws(stage / names["samples"], made, record["problem"])
        write_report(
            stage / names["report"],
            made.mean,
            title="Posterior samples",
            caption="Posterior mean",
            subtitle=measured(tables).name,
            reference=truth,
            others=others,
            verdict=made.said,
            figures=figures,
            metrics=made.metrics or None,
            metrics_note="Of the posterior mean.",
            metadata=acquisition.metadata,
            provenance=record,
            **shape,
        )
    return dataclasses.replace(made, files={role: folder / name for role, name in names.items()})


def _save_draws(path: Path, made: Sampled, problem: str | None) -> None:
    """Write ``draws`` (draw, chain, batch..., channel, *spatial), ``mean`` and ``std``."""

    def fill(file: h5py.File) -> None:
        for name, value in {"draws": made.chain.draws, "mean": made.mean, "std": made.std}.items():
            file[name] = value.detach().resolve_conj().cpu().numpy()
        if problem is not None:
            file["problem"] = problem

    write_hdf5(path, fill)


def _seeded(tables: Mapping[str, Any], device: torch.device | str = "cpu") -> torch.Generator:
    return torch.Generator(device=device).manual_seed(tables["seed"])
