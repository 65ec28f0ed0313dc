"""The iterative engine of ptychography: ePIE, rPIE, mixed states, refined positions."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError, Physics, Solver
from invcore.solvers import Problem
from invcore.spaces import batch_shape, norm

from .engine import check_engine, floored
from .frames import gather, ramp, scatter
from .ptychography import DiffractionFields, Ptychography

_UNKNOWNS = ("object", "probe", "positions")
_FARTHEST = 0.5  # pixels that a position moves in one visit


class _State(NamedTuple):
    x: Tensor
    probe: Tensor
    positions: Tensor
    k: int
    change: Tensor


class PIE(Solver):
    r"""Recover object, probe and positions of a ptychographic scan, group of frames by group of frames.

    For the frames of a group, fields at the detector keep their phase and take the measured magnitude,

    .. math::
        u_{jm} ← u_{jm} \sqrt{y_j / \textstyle\sum_m |u_{jm}|^2}, \qquad
        Δ_{jm} = F^H u_{jm} - P_{jm}\, x_j,

    and what this changes in the exit waves is given to the object and to the probe,

    .. math::
        x ← x + \frac{\sum_{jm} \bar P_{jm} Δ_{jm}}{(1 - α) p + α \max p}, \qquad
        P_m ← P_m + \frac{\sum_j \bar x_j Δ_{jm}}{(1 - α) q + α \max q},

    with :math:`p = \sum_{jm} |P_{jm}|^2` and :math:`q = \sum_j |x_j|^2` at each pixel. One frame a group and
    α = 1 is ePIE [1]_, smaller α is rPIE [2]_; several modes of the probe are mixed states [3]_. A position
    moves by least squares to where Δ, to first order, is explained best; the mean of the positions stays,
    since it is not determined. One step visits all frames, in an order drawn from ``seed``.

    Parameters
    ----------
    update : tuple of {"object", "probe", "positions"}
        What is estimated. The rest stays as the operator, or ``x0``, has it.
    alpha : float
        α, in (0, 1].
    group : int
        Frames visited together, in one batch of Fourier transforms. Without derivatives, large groups are
        faster a step and need more steps.
    probe_after, positions_after : int
        Steps before the first update of the probe, and of the positions.
    seed : int
        Of the order of the frames, the same for all samples of a batch.
    max_steps : int
        Visits of all frames.
    rtol : float
        Stop, per sample, when a step changes the object, weighted by its light, by at most rtol of its norm.

    Notes
    -----
    The object starts from ``x0``, by default 1. What was found is in ``solution.physics.operator``: its
    ``probe`` and ``positions``.

    References
    ----------
    .. [1] A. M. Maiden and J. M. Rodenburg, "An improved ptychographical phase retrieval algorithm for
       diffractive imaging", Ultramicroscopy 109 (2009).
    .. [2] A. Maiden, D. Johnson, P. Li, "Further improvements to the ptychographical iterative engine",
       Optica 4 (2017).
    .. [3] P. Thibault and A. Menzel, "Reconstructing state mixtures from diffraction measurements", Nature
       494 (2013).

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> probe = torch.randn(1, 4, 4, dtype=torch.complex64, generator=g)
    >>> positions = torch.tensor([[i, j] for i in range(4) for j in range(4)]).float()
    >>> A = Ptychography(probe=probe, positions=positions, shape=(7, 7))
    >>> x = torch.polar(torch.ones(1, 7, 7), torch.rand(1, 7, 7, generator=g))
    >>> found = PIE(update=("object",), max_steps=100)(A(x), Physics(A))
    >>> bool((A(found) - A(x)).norm() < 0.01 * A(x).norm())
    True
    """

    update: tuple[str, ...] = ("object", "probe")
    alpha: float = 0.1
    group: int = 16
    probe_after: int = 1
    positions_after: int = 5
    seed: int = 0
    max_steps: int = 100
    rtol: float = 1e-3

    def __post_init__(self) -> None:
        check_engine(self, _UNKNOWNS, ("probe_after", "positions_after"))

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        if not isinstance(physics.operator, Ptychography):
            raise ParameterError(
                f"PIE solves ptychography, and {type(physics.operator).__name__} is none: use "
                "'optics.amplitude_flow' for other intensities"
            )
        return super().problem(y, physics, x0)

    def init(self, problem: Problem) -> _State:
        A: Any = problem.A
        x = problem.start()
        if problem.x0 is None:
            x = x + 1
        batch = batch_shape(x, problem.space)
        probe = A.probe.to(x.dtype).expand(*batch, *A.probe.shape[-3:])
        positions = A.positions.to(problem.y.dtype).expand(*batch, *A.positions.shape[-2:])
        return _State(
            x, probe, positions, 0, torch.full(batch, torch.inf, dtype=problem.y.dtype, device=x.device)
        )

    def step(self, problem: Problem, state: _State) -> _State:
        x, probe, positions, k, _ = state
        generator = torch.Generator().manual_seed(self.seed + k)
        order = torch.randperm(positions.shape[-2], generator=generator).to(x.device)
        for frames in order.split(self.group):
            x, probe, positions = self._visited(problem, frames, x, probe, positions, k)
        if "positions" in self.update:
            positions = positions + (state.positions - positions).mean(-2, keepdim=True)
        positions = self._inside(problem, positions)
        return _State(x, probe, positions, k + 1, self._change(problem, x, state.x, probe, positions))

    def _visited(
        self, problem: Problem, frames: Tensor, x: Tensor, probe: Tensor, positions: Tensor, k: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Object, probe and positions after one group."""
        A: Any = problem.A
        here = positions[..., frames, :]
        B = DiffractionFields(probe=probe, positions=here, shape=A.shape, propagator=A.propagator)
        mask = None if A.mask is None else A.mask if A.mask.shape[-3] == 1 else A.mask[..., frames, :, :]
        probes = B.probes
        windows = gather(x.squeeze(-3), B.corners, _size(probe)).unsqueeze(-3)
        missing = self._missing(B, probes * windows, problem.y[..., frames, :, :], mask)
        if "object" in self.update:
            dose = _sum_modes(probes).expand(*missing.shape[:-3], *_size(probe))
            top = scatter((probes.conj() * missing).sum(-3), B.corners, A.shape)
            x = x + (top / floored(scatter(dose, B.corners, A.shape), self.alpha)).unsqueeze(-3)
        if "probe" in self.update and k >= self.probe_after:
            top = _moved_back(windows.conj() * missing, here - B.corners)
            dose = _sum_modes(windows).sum(-3)
            probe = probe + top / floored(dose, self.alpha).unsqueeze(-3)
        if "positions" in self.update and k >= self.positions_after:
            moved = here + _displacement(probes, windows, missing)
            positions = positions.index_copy(-2, frames, self._inside(problem, moved))
        return x, probe, positions

    def _missing(self, B: DiffractionFields, waves: Tensor, y: Tensor, mask: Tensor | None) -> Tensor:
        """Δ, what exit waves lack to explain the data, (..., frame, mode, y, x)."""
        fields = B.propagated(waves)
        size = _sum_modes(fields)
        tiny = torch.finfo(size.dtype).tiny
        excess = (y.clamp_min(0) / size.clamp_min(tiny)).sqrt() - 1
        excess = torch.where(size > tiny, excess, 0)
        if mask is not None:
            excess = torch.where(mask > 0, excess, 0)
        return B.returned(excess.unsqueeze(-3) * fields)

    def _inside(self, problem: Problem, positions: Tensor) -> Tensor:
        """Positions whose windows lie in the object."""
        A: Any = problem.A
        room = [n - k for n, k in zip(A.shape, _size(A.probe))]
        return torch.stack([s.clamp(0, most) for s, most in zip(positions.unbind(-1), room)], -1)

    def _change(self, problem: Problem, x: Tensor, old: Tensor, probe: Tensor, positions: Tensor) -> Tensor:
        """The relative change of the object as the probe sees it: what gets no light never settles."""
        A: Any = problem.A
        light = _sum_modes(probe).sqrt().unsqueeze(-3).expand(*positions.shape[:-1], *_size(probe))
        dose = scatter(light, positions.detach().round().long(), A.shape).unsqueeze(-3)
        return norm(dose * (x - old), problem.space) / norm(dose * x, problem.space)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol

    def found(self, problem: Problem, state: _State) -> Problem:
        A = problem.A.bind(probe=state.probe, positions=state.positions)
        return problem.replace(physics=Physics(operator=A, noise=problem.physics.noise))


def _size(probe: Tensor) -> tuple[int, int]:
    return probe.shape[-2], probe.shape[-1]


def _sum_modes(u: Tensor) -> Tensor:
    """Σ_m |u_m|²."""
    return (u.real.square() + u.imag.square()).sum(-3)


def _moved_back(waves: Tensor, by: Tensor) -> Tensor:
    """The sum over frames of waves moved by ``-by``, (..., mode, y, x)."""
    spectra = torch.fft.fft2(waves) * ramp((waves.shape[-2], waves.shape[-1]), -by).unsqueeze(-3)
    return torch.fft.ifft2(spectra.sum(-4))


def _displacement(probes: Tensor, windows: Tensor, missing: Tensor) -> Tensor:
    """The least-squares displacement of each frame that explains Δ = P ∂x/∂s ds, (..., frame, 2)."""
    slopes = [probes * (windows.roll(-1, d) - windows.roll(1, d)) / 2 for d in (-2, -1)]

    def product(u: Tensor, v: Tensor) -> Tensor:
        return (u.real * v.real + u.imag * v.imag).sum((-3, -2, -1))

    yy, xy, xx = (product(slopes[i], slopes[j]) for i, j in ((0, 0), (0, 1), (1, 1)))
    by, bx = (product(s, missing) for s in slopes)
    det = yy * xx - xy.square()
    ridge = torch.finfo(det.dtype).eps * (yy + xx).square()
    safe = torch.where(det > ridge, det, torch.inf)
    moved = torch.stack([(xx * by - xy * bx) / safe, (yy * bx - xy * by) / safe], -1)
    return moved.clamp(-_FARTHEST, _FARTHEST)
