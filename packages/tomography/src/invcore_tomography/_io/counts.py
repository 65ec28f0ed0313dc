"""Line integrals from counts of a file: what is no count is filled in, left out, or refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from invcore import DataError

from .._correction import samples
from .._correction.counts import RemoveZingers, mean_frame
from .._correction.fill import fill_samples
from .options import CountOptions

FLOOR = 1e-4  # half a photon of 5,000
_MOST = 0.03  # of samples without counts that are filled in; more are no accident
_WEAK = 0.02  # of the beam of a detector row: a pixel that sees less is dead
_BRIGHTER = 1.2  # times the beam: more than a sample behind an object can see


@dataclass
class Frames:
    """Counts of a scan and its flat and dark frames, of the chosen detector rows.

    Attributes
    ----------
    views : Tensor, shape (view, row, column)
    flat, dark : Tensor, shape (frame, row, column), optional
    at, flat_at : array, optional
        Positions of views and flats in the scan.
    top : float, optional
        Largest value of the pixels' integer type.
    certain : bool
        True if the format prescribes counts.
    """

    views: Tensor
    flat: Tensor | None = None
    dark: Tensor | None = None
    at: np.ndarray | None = None
    flat_at: np.ndarray | None = None
    top: float | None = None
    certain: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


class Lines(NamedTuple):
    """Line integrals (view, row, column) of the views that were kept, and their indices."""

    lines: Tensor
    kept: Tensor


def line_integrals(frames: Frames, options: CountOptions, facts: dict[str, Any]) -> Lines:
    """Line integrals from counts, transmission, or what ``values=`` says the pixels are.

    What was done is added to ``facts`` and its lists ``"notes"`` and ``"left_out"``.

    Raises
    ------
    DataError
        If too many samples are no counts.
    """
    notes: list[str] = facts.setdefault("notes", [])
    views = frames.views.float()
    if not len(views):
        raise DataError("there are no views: the data are empty")
    facts["values"] = options.values
    everything = torch.arange(len(views))
    if options.values == "attenuation":
        return Lines(views, everything)
    if options.values == "normalized":
        bright = _brightest(views).median()
        notes.append("normalized images: line integrals are known up to a factor and a constant")
        return Lines(bright - views, everything)
    if options.zingers:
        views = RemoveZingers()(views)
    dark = torch.zeros(views.shape[1:]) if options.values == "transmission" else _dark(frames, facts)
    if options.values == "transmission":
        flat: Tensor = torch.ones(views.shape[1:])
    elif frames.flat is None:
        flat = _assumed_beam(views, dark, frames.certain, notes)
    else:
        flat = _flat(frames, dark, facts)
    beam = (flat - dark) * options.exposure
    if not bool((beam > 0).any()):
        raise DataError(
            "the flat field is nowhere above the dark field: are the two swapped, or of other scans?"
        )
    row_beam = beam.median(dim=-1, keepdim=True).values
    weak = ~(beam > (_WEAK * row_beam).clamp_min(0))
    through = (views - dark) / torch.where(weak, 1.0, beam)
    pixels = (weak.all(0) if weak.ndim == 3 else weak) | samples.stuck(views) | samples.unresponsive(through)
    saturation = samples.full_scale(frames.views, frames.top)
    bad = ~torch.isfinite(through) | weak | pixels
    if saturation is not None and options.values == "counts":
        full = frames.views >= saturation
        bad |= full & (through > _BRIGHTER)  # brighter than the beam: no bound of anything
        full &= ~bad
        share = float(full.float().mean())
        if share > _MOST:
            notes.append(
                f"{share:.1%} of the samples are saturated ({saturation:g}): line integrals there are bounds"
            )
        else:
            bad |= full
    bad |= samples.outliers(through)
    kept, dropped = _kept(through, bad, pixels)
    through, bad = through[kept], bad[kept]
    return Lines(_logarithm(through, bad, pixels, dropped, options, facts), kept)


def _logarithm(
    through: Tensor, bad: Tensor, pixels: Tensor, dropped: int, options: CountOptions, facts: dict[str, Any]
) -> Tensor:
    """-log of transmissions, filled in where they are none."""
    notes: list[str] = facts["notes"]
    whole = through.numel()
    alive = ~pixels.expand(bad.shape)
    floor = FLOOR if options.floor is None else options.floor
    low = (through <= floor) & ~bad & alive
    share = float((low | (bad & alive)).sum()) / max(1, int(alive.sum()))
    if share > _MOST and (options.floor is None or float(low.sum()) < share * whole / 2):
        raise DataError(
            f"{share:.0%} of the samples are no counts: at or below the dark level, saturated, NaN or "
            "infinite. If the pixels are transmissions or line integrals, say values='transmission' or "
            "values='attenuation'; if they are images normalized to zero mean, values='normalized'; if the "
            f"object is that opaque, floor={FLOOR:g}, the transmission below which nothing is counted; if "
            "the views were exposed longer than the flat field, exposure="
        )
    if bool(pixels.float().mean() > 0.2):
        raise DataError(
            f"{float(pixels.float().mean()):.0%} of the detector pixels do not count: choose another slice="
        )
    facts["dead_pixels"] = int(pixels.sum())
    facts["transmission_floor"] = floor
    if facts["dead_pixels"]:
        dead = facts["dead_pixels"]
        notes.append(f"{dead} detector pixels do not see the beam; they are filled in from their neighbors")
    if dropped:
        facts.setdefault("left_out", []).append(
            f"{dropped} of {dropped + len(through)} views are not used: nothing was counted in them"
        )
    if options.floor is not None:
        through = torch.where(low, floor, through)
        if bool(low.any()):
            notes.append(f"{int(low.sum())} of {whole} transmissions at or below {floor:g} were set to it")
    else:
        bad = bad | low
    filled = int((bad & alive).sum())
    facts["filled_samples"] = filled
    if filled:
        notes.append(f"{filled} of {whole} samples are no counts; they are filled in from their neighbors")
    _check_beam(through, bad, facts)
    lines = -torch.log(torch.where(bad, 1.0, through))
    return fill_samples(lines, bad)


def _dark(frames: Frames, facts: dict[str, Any]) -> Tensor:
    if frames.dark is None:
        return torch.zeros(frames.views.shape[1:])
    dark, _ = _lit(frames.dark.float(), "dark", facts)
    if frames.flat is not None:  # a frame that saw the beam is no dark one
        level = dark.flatten(1).median(dim=1).values
        beam = frames.flat.float().flatten(1).nanmedian() - level.min()
        seen = level - level.min() > 0.1 * beam
        if bool(seen.any()) and float(beam) > 0:
            facts.setdefault("left_out", []).append(
                f"{int(seen.sum())} dark frames not used: they see the beam"
            )
            dark = dark[~seen]
    return mean_frame(dark)


def _lit(stack: Tensor, name: str, facts: dict[str, Any]) -> tuple[Tensor, np.ndarray]:
    """Frames without those that differ from the others by more than half, such as empty ones."""
    level = stack.flatten(1).nanmedian(dim=1).values
    middle = level.median()
    odd = ~torch.isfinite(stack).flatten(1).all(1)
    if name == "flat":
        odd |= (level < middle / 2) | (level > 2 * middle)
    kept = np.flatnonzero(~odd.numpy())
    if len(kept) == 0:
        raise DataError(f"all {len(stack)} {name} frames hold NaN or infinite values")
    if len(kept) < len(stack):
        facts.setdefault("left_out", []).append(
            f"{len(stack) - len(kept)} of {len(stack)} {name} frames not used: they differ from the others"
        )
    return stack[torch.from_numpy(kept)], kept


def _flat(frames: Frames, dark: Tensor, facts: dict[str, Any]) -> Tensor:
    """The flat field, of each view where the frames were taken at several times."""
    assert frames.flat is not None
    flat, kept = _lit(frames.flat.float(), "flat", facts)
    at = None if frames.flat_at is None else np.asarray(frames.flat_at)[kept]
    groups = samples.groups_of(flat, at)
    if len(groups) == 1:
        return mean_frame(flat)
    count = len(frames.views)
    when = np.arange(count) if frames.at is None else frames.at
    if at is None:  # before and after
        at = np.concatenate([np.full(len(groups[0]), -1), np.full(len(groups[1]), count)])
    beams = [float((flat[torch.from_numpy(g)] - dark).mean()) for g in groups]
    facts["flat_groups"] = len(groups)
    facts["notes"].append(
        f"flat fields of {len(groups)} times interpolated: beams of {', '.join(f'{b:.4g}' for b in beams)}"
    )
    return samples.interpolated_frame(flat, groups, at, when)


def _assumed_beam(views: Tensor, dark: Tensor, certain: bool, notes: list[str]) -> Tensor:
    """The beam of a scan without flat fields, and whether the values can be counts at all."""
    if not certain and bool(torch.isfinite(views).all()):
        edge = max(1, views.shape[-1] // 50)
        ends = torch.cat([views[..., :edge], views[..., -edge:]], -1).flatten(1).median(dim=1).values
        low, bright = views.flatten(1).aminmax(dim=1)[0], _brightest(views)
        height = (ends - low.median()) / (bright.median() - low.median()).clamp_min(1e-30)
        if float(low.min()) < 0 and abs(float(views.mean())) < 0.1 * float(views.std()):
            raise DataError(
                "the values have zero mean: these are no counts but normalized images. Say "
                "values='normalized', or values='attenuation' if they are line integrals"
            )
        if float(height.median()) < 0.15:
            raise DataError(
                "the edges of the views are their darkest parts, as in line integrals and not as in counts, "
                "where the beam beside the object is the brightest. Say values='attenuation' if the pixels "
                "are line integrals; else give flat fields"
            )
    bright = _brightest(views)
    beam = (bright.nanmedian() - dark.mean()).clamp_min(1e-6)
    notes.append(
        "the file has no flat fields: the beam without object is taken to be the 98th percentile of the "
        "counts, the same for all pixels"
    )
    return dark + beam


def _brightest(views: Tensor) -> Tensor:
    """The 98th percentile of each view."""
    return torch.nanquantile(views.flatten(1)[:, :: max(1, views[0].numel() // 10000)], 0.98, dim=1)


def _kept(through: Tensor, bad: Tensor, pixels: Tensor) -> tuple[Tensor, int]:
    """Indices of the views in which something was counted, and the number of the others."""
    nothing = (bad | (through <= FLOOR)) & ~pixels
    empty = nothing.flatten(1).float().mean(1) > 0.5 * float((~pixels).float().mean())
    spread = through.flatten(1).amax(1) - through.flatten(1).amin(1)
    empty |= spread == 0
    if len(through) >= 16:
        level = torch.where(bad | pixels, 0.0, through.clamp_min(0)).flatten(1).mean(1)
        around = torch.cat([level[:3].flip(0), level, level[-3:].flip(0)]).unfold(0, 7, 1).median(-1).values
        empty |= level < around / 3
    if float(empty.float().mean()) > 0.5:  # not an accident: said as such
        empty = torch.zeros_like(empty)
    return torch.arange(len(through))[~empty], int(empty.sum())


def _check_beam(through: Tensor, bad: Tensor, facts: dict[str, Any]) -> None:
    """Note flat fields that were taken with another exposure than the views."""
    edge = max(1, through.shape[-1] // 30)
    ends = torch.where(bad, torch.nan, through)
    left, right = (part.flatten(1).nanmedian(dim=1).values for part in (ends[..., :edge], ends[..., -edge:]))
    both = torch.cat([left, right])
    level = float(both.nanmedian())
    steady = float((both - level).abs().nanmedian()) < 0.03 * level
    brightest = float(_brightest(torch.where(bad, 0.0, through)).median())
    if not level > 0 or 1 / 1.3 < level < 1.3 or not steady or brightest > 1.15 * level:
        return
    said = f"at both edges of all views the beam is {level:.3g} times that of the flat fields"
    other = f"If they were exposed differently, say exposure={level:.3g}"
    if level > 1:
        raise DataError(f"{said}. {other}; if the pixels are no counts, values=")
    facts["notes"].append(f"{said}. {other}; else the object fills the field of view")
