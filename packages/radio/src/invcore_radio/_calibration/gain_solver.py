"""Antenna gains from data and a model of the sky, by alternating least squares (StefCal)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from invcore import DataError, DtypeError, ParameterError, ShapeError, Value

from .gains import Gains

Mode = Literal["phase", "both"]


class GainSolution(Value):
    """Result of `solve_gains`.

    Parameters
    ----------
    gains : Tensor, shape (antenna, block, frequency or 1)
        Complex gains; 1 where there were too few data.
    valid : Tensor, shape (antenna, block, frequency or 1)
        Bool, false where there were too few data.
    sigma : Tensor, shape (antenna, block, frequency or 1)
        Standard deviation of the real and of the imaginary part, for known gains of the other antennas;
        infinite where invalid.
    antenna1, antenna2, block : Tensor, shape (row,), int64
        Antennas and block of time of each row.
    converged : bool
        True if the tolerance was reached.
    steps : int
        Number of iterations.

    Examples
    --------
    >>> one = torch.ones(2, 1, 1)
    >>> first, second = torch.tensor([0]), torch.tensor([1])
    >>> GainSolution(gains=one + 0j, valid=one > 0, sigma=one, antenna1=first, antenna2=second,
    ...              block=torch.tensor([0]), converged=True, steps=3)
    GainSolution(2 antennas, 1 block, 1 frequency, 100 % valid, converged in 3 steps)
    """

    gains: Tensor
    valid: Tensor
    sigma: Tensor
    antenna1: Tensor
    antenna2: Tensor
    block: Tensor
    converged: bool
    steps: int

    def __repr__(self) -> str:
        a, b, f = self.gains.shape
        share = 100 * float(self.valid.double().mean()) if self.valid.numel() else 100.0
        outcome = "converged" if self.converged else "not converged"
        return (
            f"GainSolution({a} antennas, {b} block{'s' if b != 1 else ''}, "
            f"{f} frequenc{'ies' if f != 1 else 'y'}, {share:.3g} % valid, {outcome} in {self.steps} steps)"
        )

    def operator(self, frequencies: int) -> Gains:
        """Return the gains as an operator on visibilities with this number of frequencies."""
        return Gains(
            gains=self.gains,
            antenna1=self.antenna1,
            antenna2=self.antenna2,
            block=self.block,
            frequencies=frequencies,
        )

    def usable(self) -> Tensor:
        """Return whether both antennas of a row have valid gains, (row, frequency or 1)."""
        return self.valid[self.antenna1, self.block] & self.valid[self.antenna2, self.block]


def solve_gains(
    data: Tensor,
    model: Tensor,
    *,
    weight: Tensor,
    antenna1: Tensor,
    antenna2: Tensor,
    block: Tensor | None = None,
    antennas: int | None = None,
    mode: Mode = "both",
    per_frequency: bool = False,
    reference: int | None = None,
    start: Tensor | None = None,
    least_baselines: int | None = None,
    max_steps: int = 500,
    rtol: float = 1e-6,
) -> GainSolution:
    r"""Solve for the gains with which a model fits the data, by alternating least squares (StefCal).

    .. math:: \min_g Σ_{ij} w_{ij} |V_{ij} - g_i g_j^* M_{ij}|^2

    The problem is linear in each gain if the others are known:

    .. math:: g_i = Σ_j w_{ij} V_{ij} (M_{ij} g_j^*)^* / Σ_j w_{ij} |M_{ij} g_j|^2 .

    All antennas are updated at once, and every second iterate is averaged with the previous one, which
    ensures convergence [1]_. For ``mode="phase"`` the updated gain is divided by its modulus. The phase of
    the reference antenna is zero in every block.

    Parameters
    ----------
    data, model : Tensor, shape (row, frequency), complex
        Visibilities V, and those of the model M.
    weight : Tensor, shape (row, frequency)
        1/σ² of real and imaginary part; 0 where flagged.
    antenna1, antenna2 : Tensor, shape (row,), int64
        Antennas i and j of each row.
    block : Tensor, shape (row,), int64, optional
        Blocks of constant gains, see `gain_blocks`; a single one by default.
    antennas : int, optional
        Number of antennas; by default one more than the largest index.
    mode : {"phase", "both"}
        Solve for phases only, or for amplitudes and phases.
    per_frequency : bool
        Solve for separate gains at every frequency.
    reference : int, optional
        Antenna whose phase is zero; by default the one with the most weight. Blocks where it has no data use
        another one.
    start : Tensor, shape (antenna, block, frequency or 1), optional
        Initial gains.
    least_baselines : int, optional
        Antennas with fewer baselines in a block get no solution. By default 2 for phases, 3 with amplitudes:
        with fewer, gains fit any data.
    max_steps : int
        Maximum number of iterations.
    rtol : float
        Relative change of all gains at which to stop.

    Returns
    -------
    GainSolution

    Raises
    ------
    ShapeError, DtypeError, DataError, ParameterError
        If the arrays do not fit together, a value is not finite, there are no rows, or an option is unknown.

    References
    ----------
    .. [1] S. Salvini, S. J. Wijnholds, "Fast gain calibration in radio astronomy using alternating direction
       implicit methods: analysis and applications", A&A 571 (2014) A97.

    Examples
    --------
    >>> a, b = torch.triu_indices(4, 4, 1)
    >>> g = torch.tensor([1.0, 2j, -1.5, 0.5])
    >>> V = (g[a] * g[b].conj())[:, None]
    >>> one = torch.ones(6, 1)
    >>> solution = solve_gains(V, one + 0j, weight=one, antenna1=a, antenna2=b, reference=0)
    >>> bool((solution.gains[:, 0, 0] - g).abs().max() < 1e-4)
    True
    """
    shape = tuple(data.shape)
    if len(shape) != 2 or tuple(model.shape) != shape or tuple(weight.shape) != shape:
        raise ShapeError(
            f"solve_gains: data, model and weight must be (row, frequency), got {shape}, "
            f"{tuple(model.shape)}, "
            f"{tuple(weight.shape)}"
        )
    for name, t in (("data", data), ("model", model)):
        if not t.is_complex():
            raise DtypeError(f"solve_gains: {name} must be complex, got {t.dtype}")
        if not bool(torch.isfinite(t.abs()).all()):
            raise DataError(f"solve_gains: {name} must be finite everywhere, also where the weight is 0")
    if not bool(((weight >= 0) & (weight < torch.inf)).all()):
        raise DataError("solve_gains: weights must be finite and not negative; 0 where flagged")
    for name, held in (("antenna1", antenna1), ("antenna2", antenna2), ("block", block)):
        if held is not None and (held.dtype != torch.int64 or tuple(held.shape) != shape[:1]):
            raise ShapeError(
                f"solve_gains: {name} must be int64 of shape (row,) = {shape[:1]}, "
                f"got {held.dtype} {tuple(held.shape)}"
            )
    if not shape[0]:
        raise DataError("solve_gains: there are no rows")
    most = int(max(antenna1.max(), antenna2.max())) + 1
    if antennas is not None and antennas < most:
        raise ParameterError(
            f"solve_gains: antennas must be {most} or more, as antenna {most - 1} occurs, got {antennas}"
        )
    if mode not in ("phase", "both"):
        raise ParameterError(f"solve_gains: mode must be 'phase' or 'both', got {mode!r}")
    rows, channels = shape
    block = torch.zeros(rows, dtype=torch.int64, device=data.device) if block is None else block
    count = most if antennas is None else antennas
    blocks = int(block.max()) + 1
    f = channels if per_frequency else 1
    weight = torch.where(antenna1[:, None] == antenna2[:, None], 0, weight)

    first, second = antenna1 * blocks + block, antenna2 * blocks + block

    def collected(forward: Tensor, backward: Tensor) -> Tensor:
        """Sum the contributions of all rows to their first and to their second antenna."""
        out = forward.new_zeros((count * blocks, f))
        if f == 1:
            forward, backward = forward.sum(1, keepdim=True), backward.sum(1, keepdim=True)
        return out.index_add(0, first, forward).index_add(0, second, backward)

    least = (2 if mode == "phase" else 3) if least_baselines is None else least_baselines
    valid, total = _determined(weight, model, first, second, count * blocks, f, least)
    weight = torch.where((valid[first] & valid[second]).expand(shape), weight, 0)
    g = torch.ones((count * blocks, f), dtype=data.dtype, device=data.device)
    if start is not None:
        if start.ndim != 3 or start.shape[:2] != (count, blocks) or start.shape[2] not in (1, f):
            raise ShapeError(
                f"solve_gains: start must be (antenna, block, frequency or 1) = {(count, blocks, f)}, "
                f"got {tuple(start.shape)}"
            )
        g = start.reshape(count * blocks, -1).expand(-1, f).to(data.dtype).clone()
    g = torch.where(valid, g, 1)
    power = model.real.square() + model.imag.square()
    weighted = weight * data * model.conj()
    converged, step = False, 0
    for step in range(1, max_steps + 1):
        size = g.real.square() + g.imag.square()
        numerator = collected(weighted * g[second], weighted.conj() * g[first])
        denominator = collected(weight * power * size[second], weight * power * size[first])
        new = numerator / torch.where(denominator > 0, denominator, 1)
        if mode == "phase":
            new = torch.sgn(new)
        new = torch.where(valid & (denominator > 0) & (new != 0), new, g)
        if step % 2 == 0:
            new = (new + g) / 2
            if mode == "phase":
                new = torch.where(new == 0, g, torch.sgn(new))
        change = (new - g).norm() / new.norm().clamp_min(torch.finfo(weight.dtype).tiny)
        g = new
        if float(change) <= rtol:
            converged = True
            break
    size = g.real.square() + g.imag.square()
    information = collected(weight * power * size[second], weight * power * size[first])
    sigma = torch.where(valid, information, 0).rsqrt()
    g = _referred(
        g.reshape(count, blocks, f),
        valid.reshape(count, blocks, f),
        total.reshape(count, blocks, f),
        reference,
    )
    return GainSolution(
        gains=g,
        valid=valid.reshape(count, blocks, f),
        sigma=sigma.reshape(count, blocks, f),
        antenna1=antenna1,
        antenna2=antenna2,
        block=block,
        converged=converged,
        steps=step,
    )


def _determined(
    weight: Tensor, model: Tensor, first: Tensor, second: Tensor, size: int, f: int, least: int
) -> tuple[Tensor, Tensor]:
    """Find the gains with enough baselines to others that have enough, and the total weight of each."""
    strength = weight * (model.real.square() + model.imag.square())
    if f == 1:
        strength = strength.sum(1, keepdim=True)
    total = strength.new_zeros((size, f)).index_add(0, first, strength).index_add(0, second, strength)
    pair, inverse = torch.unique(torch.stack([first, second]).sort(0).values, dim=1, return_inverse=True)
    known = strength.new_zeros((pair.shape[1], f)).index_add(0, inverse, strength) > 0
    valid = torch.ones((size, f), dtype=torch.bool, device=weight.device)
    while True:
        seen = (known & valid[pair[0]] & valid[pair[1]]).to(torch.int64)
        degree = torch.zeros((size, f), dtype=torch.int64, device=weight.device)
        degree = degree.index_add(0, pair[0], seen).index_add(0, pair[1], seen)
        fewer = valid & (degree >= max(1, least))
        if bool((fewer == valid).all()):
            return valid, total
        valid = fewer


def _referred(g: Tensor, valid: Tensor, total: Tensor, reference: int | None) -> Tensor:
    """Turn the phases of each block so that the reference antenna has phase 0."""
    if reference is not None and not 0 <= reference < len(g):
        raise ParameterError(
            f"solve_gains: reference must be an antenna from 0 to {len(g) - 1}, got {reference}"
        )
    preference = torch.where(valid, total.sum((1, 2), keepdim=True).expand_as(total), -1)
    if reference is not None:
        preference = preference.clone()
        preference[reference] = torch.where(valid[reference], torch.inf, -1)
    chosen = preference.argmax(0, keepdim=True)
    turn = torch.sgn(g.gather(0, chosen)).conj()
    return torch.where(valid & (turn != 0), g * turn, g)
