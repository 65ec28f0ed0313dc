"""Fourier ptychography with an unknown pupil and lights of unknown brightness: EPRY."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError, Physics, Solver
from invcore.solvers import Problem
from invcore.spaces import batch_shape, norm

from .engine import check_engine, floored
from .fourier_ptychography import FourierPtychography, PupilFields
from .frames import gather, scatter

_UNKNOWNS = ("object", "pupil", "brightness")
_DIMMEST, _BRIGHTEST = 0.5, 2.0


class _State(NamedTuple):
    x: Tensor
    pupil: Tensor
    brightness: Tensor
    k: int
    change: Tensor


class EPRY(Solver):
    r"""Recover object, pupil and brightness of the lights from a Fourier ptychographic series.

    For the lights of a group, images keep their phase and take the measured magnitude, and what this changes
    in the spectra behind the pupil,

    .. math:: Δ_j = F\, [u_j (\sqrt{y_j} / |u_j| - 1)], \qquad u_j = F^H [C P_j X_j]\, \sqrt{b_j},

    is given to the spectrum X of the object and to the pupil C [1]_, with the step sizes of rPIE (see `PIE`):

    .. math::
        X ← X + \frac{\sum_j \sqrt{b_j}\, \overline{C P_j} Δ_j}{(1 - α) p + α \max p}, \qquad
        C ← C + \frac{\sum_j \sqrt{b_j}\, \overline{P_j X_j} Δ_j}{(1 - α) q + α \max q},

    with p and q the sums of :math:`b_j |C P_j|^2` and :math:`b_j |P_j X_j|^2`. C is then set to modulus one:
    a pupil passes what it passes, and only its phase is unknown. After each visit of all lights the
    brightness of each becomes that which explains the light of its image [2]_, within a factor of two,
    :math:`b_j ← b_j \sum y_j / \sum |u_j|^2`, with a mean of one, weighted by the light of the images.

    Parameters
    ----------
    update : tuple of {"object", "pupil", "brightness"}
        What is estimated; the rest stays as the operator, or ``x0``, has it.
    alpha : float
        α, in (0, 1].
    group : int
        Lights visited together, from the axis outward.
    pupil_after, brightness_after : int
        Steps before the first update of the pupil, and of the brightness.
    max_steps : int
        Visits of all lights.
    rtol : float
        Stop, per sample, when a step changes the object by at most rtol of its norm.

    Notes
    -----
    The object starts from ``x0``, by default 1. Pupil and brightness that were found are in
    ``solution.physics.operator``. A constant phase of the pupil, and a linear one, which is a displacement of
    the object, are not determined.

    References
    ----------
    .. [1] X. Ou, G. Zheng, C. Yang, "Embedded pupil function recovery for Fourier ptychographic microscopy",
       Opt. Express 22 (2014).
    .. [2] Z. Bian, S. Dong, G. Zheng, "Adaptive system correction for robust Fourier ptychographic imaging",
       Opt. Express 21 (2013).

    Examples
    --------
    >>> steps = 3.0 * torch.arange(-2, 3)
    >>> A = FourierPtychography(positions=torch.cartesian_prod(steps, steps), radius=torch.tensor(6.0),
    ...                         shape=(32, 32), detector=(16, 16))
    >>> window = torch.hann_window(32)
    >>> x = torch.polar(torch.ones(1, 32, 32), torch.outer(window, window)[None])
    >>> y = A.bind(brightness=1 + 0.2 * torch.arange(25) / 12 - 0.2)(x)
    >>> b = EPRY(max_steps=30).solve(y, Physics(A)).physics.operator.brightness
    >>> [round(float(v), 1) for v in (b[0], b[-1])]
    [0.8, 1.2]
    """

    update: tuple[str, ...] = _UNKNOWNS
    alpha: float = 0.3
    group: int = 8
    pupil_after: int = 3
    brightness_after: int = 1
    max_steps: int = 100
    rtol: float = 1e-4

    def __post_init__(self) -> None:
        check_engine(self, _UNKNOWNS, ("pupil_after", "brightness_after"))

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        if not isinstance(physics.operator, FourierPtychography):
            raise ParameterError(
                f"EPRY solves Fourier ptychography, and {type(physics.operator).__name__} is none: use "
                "'optics.pie' for scans, 'optics.amplitude_flow' for other intensities"
            )
        return super().problem(y, physics, x0)

    def init(self, problem: Problem) -> _State:
        A: Any = problem.A
        x = problem.start()
        if problem.x0 is None:
            x = x + 1
        batch = batch_shape(x, problem.space)
        pupil = torch.ones(A.detector, dtype=x.dtype, device=x.device) if A.pupil is None else A.pupil
        lights = x.real.new_ones(A.positions.shape[-2]) if A.brightness is None else A.brightness
        return _State(
            x,
            pupil.to(x.dtype).expand(*batch, *A.detector),
            lights.to(x.real.dtype).expand(*batch, A.positions.shape[-2]),
            0,
            torch.full(batch, torch.inf, dtype=problem.y.dtype, device=x.device),
        )

    def step(self, problem: Problem, state: _State) -> _State:
        A: Any = problem.A
        field: PupilFields = A.field
        disks, corners = field.disks(), field.corners
        pupil, brightness = state.pupil, state.brightness
        spectrum = field.spectrum(state.x)
        # from the axis outward: the bright images hold what the dark ones refer to
        away = A.positions.detach().round().square().sum(-1).reshape(-1, A.positions.shape[-2]).sum(0)
        seen = torch.zeros_like(brightness)
        for lights in away.argsort(stable=True).split(self.group):
            root = brightness[..., lights].sqrt()[..., None, None]
            disk, at = disks[..., lights, :, :], corners[..., lights, :]
            windows = gather(spectrum, at, A.detector)
            passed = root * disk * pupil.unsqueeze(-3)
            u = field.images(passed * windows)
            y = problem.y[..., lights, :, :].clamp_min(0)
            size = u.abs()
            seen = seen.index_copy(-1, lights, size.square().sum((-2, -1)))
            factor = torch.where(size > 0, y.sqrt() / torch.where(size > 0, size, 1) - 1, 0)
            missing = field.spectra(factor * u)
            lit = root * disk * windows
            if "object" in self.update:
                dose = passed.abs().square().expand(missing.shape)
                top = scatter(passed.conj() * missing, at, A.shape)
                spectrum = spectrum + top / floored(scatter(dose, at, A.shape), self.alpha)
            if "pupil" in self.update and state.k >= self.pupil_after:
                light = lit.abs().square().sum(-3)
                pupil = torch.sgn(pupil + (lit.conj() * missing).sum(-3) / floored(light, self.alpha))
        if "brightness" in self.update and state.k >= self.brightness_after:
            measured = problem.y.clamp_min(0).sum((-2, -1))
            ratio = torch.where(seen > 0, measured / torch.where(seen > 0, seen, 1), 1)
            brightness = (brightness * ratio).clamp(_DIMMEST, _BRIGHTEST)
            share = (brightness * measured).sum(-1) / measured.sum(-1)
            brightness = brightness / share.unsqueeze(-1)
        x = field.object(spectrum)
        change = norm(x - state.x, problem.space) / norm(x, problem.space)
        return _State(x, pupil, brightness, state.k + 1, change)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol

    def found(self, problem: Problem, state: _State) -> Problem:
        held = {"pupil": state.pupil, "brightness": state.brightness}
        A = problem.A.bind(**{name: value for name, value in held.items() if name in self.update})
        return problem.replace(physics=Physics(operator=A, noise=problem.physics.noise))
