"""Self-calibration: alternating estimates of the image and of the antenna gains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from invcore import ParameterError, Physics, Value

from .._data.visibilities import Visibilities
from .gain_solver import GainSolution, Mode, solve_gains
from .gains import gain_blocks


class SelfCalibration(Value):
    """Result of `self_calibrate`.

    Parameters
    ----------
    image : Tensor, shape (channel, y, x)
        Image of the last round.
    solution : GainSolution
        Gains of the last round.
    visibilities : Visibilities
        Data corrected for these gains, V_ij/(g_i g_j*), with weights to match; flagged where no gain was
        solved for.
    chi2 : tuple of float
        Reduced χ² of the data after each round, with the gains and the image of that round.

    Examples
    --------
    >>> self_calibrate(vis, shape=(64, 64), pixel=1e-6, imager=imager).chi2  # doctest: +SKIP
    (31.2, 4.1, 1.3, 1.0)
    """

    image: Tensor
    solution: GainSolution
    visibilities: Visibilities
    chi2: tuple[float, ...]


def apply_gains(visibilities: Visibilities, solution: GainSolution) -> Visibilities:
    """Correct data for gains, V_ij ↦ V_ij/(g_i g_j*), with weights times |g_i g_j|².

    Parameters
    ----------
    visibilities : Visibilities
        Visibilities of one correlation.
    solution : GainSolution
        Gains solved for the same rows.

    Returns
    -------
    Visibilities
        Corrected visibilities, flagged where an antenna has no valid gain.

    Raises
    ------
    ParameterError
        If there are several correlations, or other rows.

    Examples
    --------
    >>> apply_gains(vis, solution)  # doctest: +SKIP
    """
    if visibilities.data.shape[-1] != 1 or len(visibilities) != len(solution.block):
        raise ParameterError(
            f"apply_gains: expected one correlation and {len(solution.block)} rows, "
            f"got {visibilities.polarizations} and {len(visibilities)} rows"
        )
    factor = solution.operator(visibilities.channels).factors()[..., None]
    factor = torch.where(factor == 0, 1, factor).expand(visibilities.data.shape)
    usable = solution.usable()[..., None].expand(visibilities.flag.shape)
    return visibilities.replace(
        data=visibilities.data / factor.to(visibilities.data.dtype),
        weight=visibilities.weight * factor.abs().square().to(visibilities.weight.dtype),
        flag=visibilities.flag | ~usable,
    )


def self_calibrate(
    visibilities: Visibilities,
    *,
    shape: tuple[int, int],
    pixel: float,
    imager: Callable[[Tensor, Physics], Tensor],
    rounds: Sequence[Mode] = ("phase", "phase", "phase", "both", "both"),
    interval: float = 0.0,
    start: Tensor | None = None,
    reference: int | None = None,
    least_baselines: int | None = None,
    w_term: bool = True,
    accuracy: float = 1e-6,
) -> SelfCalibration:
    """Alternate between solving for gains, with the last image as the model, and imaging the corrected data.

    Both steps minimize the same misfit, Σ w_ij |V_ij - g_i g_j* (A x)_ij|², the imager with its prior on x.
    The starting model (``start``, or an image of the uncorrected data) must be roughly right. With amplitudes
    (mode "both") the geometric mean of all |g| is kept at 1, since self-calibration alone does not determine
    the flux of the source.

    Parameters
    ----------
    visibilities : Visibilities
        Visibilities of one correlation.
    shape : (int, int)
        Pixels of the image, (y, x).
    pixel : float
        Size of a pixel in radians.
    imager : callable
        Function ``imager(y, physics) -> image``; a solver, such as ``invcore.solver("radio.clean")``.
    rounds : sequence of {"phase", "both"}
        Gain parameters to solve for in each round: phases only, or amplitudes and phases. Start with phases.
    interval : float
        Time in seconds during which gains are constant; 0 solves for gains at every time.
    start : Tensor, shape (channel, y, x), optional
        The first model; by default an image of the uncorrected data. The classical choice is a point at the
        center, of any flux.
    reference, least_baselines
        As for `solve_gains`.
    w_term, accuracy
        As for `Visibilities.physics`.

    Returns
    -------
    SelfCalibration

    Raises
    ------
    ParameterError
        If there is no round, or there are several correlations.

    References
    ----------
    T. J. Cornwell, P. N. Wilkinson, "A new method for making maps with unstable radio interferometers", MNRAS
    196 (1981); T. J. Pearson, A. C. S. Readhead, Annu. Rev. Astron. Astrophys. 22 (1984).

    Examples
    --------
    >>> import invcore
    >>> from invcore_radio import simulate, vla
    >>> vis = vla("D", antennas=9).observe(hour_angles=(-1.0, 1.0), interval=900.0, sigma=0.01)
    >>> sky, point = torch.zeros(2, 1, 32, 32)
    >>> sky[0, 16, 16], sky[0, 10, 20], point[0, 16, 16] = 2.0, 1.0, 1.0
    >>> seed = torch.Generator().manual_seed(0)
    >>> gains = torch.polar(torch.ones(9), 0.4 * torch.randn(9, generator=seed))  # random phases
    >>> spoiled = simulate(vis, sky, pixel=7e-5, gains=gains, generator=seed)
    >>> imager = invcore.solver("fista", prior=invcore.prior("nonnegative"), max_steps=30)
    >>> size = {"shape": (32, 32), "pixel": 7e-5}
    >>> rounds = ("phase", "phase")
    >>> found = self_calibrate(spoiled, **size, imager=imager, rounds=rounds, interval=1e5, start=point)
    >>> found.chi2[1] < found.chi2[0]
    True
    """
    if not rounds:
        raise ParameterError(
            "self_calibrate: rounds is empty; expected modes such as ('phase', 'phase', 'both')"
        )
    options: dict[str, Any] = {"shape": shape, "pixel": pixel, "w_term": w_term, "accuracy": accuracy}
    physics = visibilities.physics(**options)
    data = visibilities.values()
    weight = torch.where(visibilities.mask, visibilities.weight, 0)[..., 0]
    block = gain_blocks(visibilities.time, interval)
    image = imager(data, physics) if start is None else start
    gains: Tensor | None = None
    history: list[float] = []
    for mode in rounds:
        with torch.no_grad():
            model = visibilities.physics(**options).operator(image)
        solution = solve_gains(
            data,
            model,
            weight=weight,
            antenna1=visibilities.antenna1,
            antenna2=visibilities.antenna2,
            block=block,
            antennas=len(visibilities.antenna_names),
            mode=mode,
            reference=reference,
            start=gains,
            least_baselines=least_baselines,
        )
        if mode == "both":
            solution = _normalized(solution)
        gains = solution.gains
        corrected = apply_gains(visibilities, solution)
        own = corrected.physics(**options)
        image = imager(corrected.values(), own)
        history.append(_reduced_chi2(corrected, own, image))
    return SelfCalibration(image=image, solution=solution, visibilities=corrected, chi2=tuple(history))


def _normalized(solution: GainSolution) -> GainSolution:
    """Scale the gains so that the geometric mean of their moduli is 1."""
    sizes = solution.gains[solution.valid].abs()
    mean = sizes[sizes > 0].log().mean().exp() if bool((sizes > 0).any()) else sizes.new_ones(())
    return GainSolution(
        gains=torch.where(solution.valid, solution.gains / mean, solution.gains),
        valid=solution.valid,
        sigma=solution.sigma / mean,
        antenna1=solution.antenna1,
        antenna2=solution.antenna2,
        block=solution.block,
        converged=solution.converged,
        steps=solution.steps,
    )


def _reduced_chi2(visibilities: Visibilities, physics: Physics, image: Tensor) -> float:
    """χ² per unflagged real datum."""
    mask = visibilities.mask[..., 0]
    with torch.no_grad():
        difference = (visibilities.values() - physics.operator(image))[mask]
    chi2 = (visibilities.weight[..., 0][mask] * difference.abs().square()).sum()
    return float(chi2) / max(1, 2 * int(mask.sum()))
