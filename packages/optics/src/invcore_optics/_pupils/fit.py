"""Aberrations of a microscope from images of a bead at several depths."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from invcore import DataError, ParameterError, Physics, ShapeError, Solver, SolverError, Value
from invcore.noises import GaussianNoise, Noise, PoissonNoise
from invcore.solvers import Problem

from .bead import BeadStack
from .objective import Objective, StratifiedMedium
from .pupil_psf import Apodization, Model, PupilPSF
from .zernike import Order, zernike, zernike_index, zernike_indices, zernike_name


class _State(NamedTuple):
    x: Tensor
    objective: Tensor
    damping: Tensor
    change: Tensor


class PupilFit(Solver):
    r"""Maximum likelihood of the unknowns of a `BeadStack` by Fisher scoring with damping,

    .. math:: (F + μ \operatorname{diag} F)\, d = -J^{\mathsf T} \nabla f, \qquad
       F = J^{\mathsf T} \operatorname{diag}(I(A x)) J,

    with the information I of the noise: Gauss–Newton for Gaussian noise. The Jacobian is dense, from one
    transform per mode. Steps that do not lower f are not taken, and raise μ. The start comes from the data:
    the brightest plane, its centroid, the light in the window; no aberration. It has no derivatives.

    Parameters
    ----------
    max_steps : int
    rtol : float
        Stop when a step is expected to lower f by less than rtol² (f + 100).

    References
    ----------
    M. R. Osborne, "Fisher's method of scoring", Int. Stat. Rev. 60 (1992).

    Examples
    --------
    >>> from invcore_optics import BeadStack, Objective, PupilPSF
    >>> z = 500e-9 * torch.arange(-2.0, 3)
    >>> options = {"pixel": 130e-9, "shape": (25, 25), "modes": (2, 3, 11), "depths": z}
    >>> A = BeadStack(PupilPSF(objective=Objective(520e-9, 0.85), **options))
    >>> x = A.assemble(torch.tensor([0.0, 0.0, 40e-9]), width=0.5, photons=1e5, background=10.0)
    >>> found = PupilFit()(A(x), Physics(A, PoissonNoise()))
    >>> round(1e9 * float(found[0, 0, 2]), 1)
    40.0
    """

    max_steps: int = 50
    rtol: float = 1e-4

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        if not isinstance(physics.operator, BeadStack):
            raise ParameterError(
                "PupilFit is for the operator BeadStack (optics.bead_stack), got "
                f"{type(physics.operator).__name__}"
            )
        return Problem(physics=physics, y=y, fidelity=physics.likelihood(), x0=x0)

    def init(self, problem: Problem) -> _State:
        A = problem.A
        assert isinstance(A, BeadStack)
        if torch.is_grad_enabled():
            raise SolverError("PupilFit has no derivative through its steps: use differentiate='none'")
        x = problem.x0 if problem.x0 is not None else _start(A, problem.y)
        objective = problem.objective(x)
        damping = torch.full_like(objective, 1e-3)
        return _State(x, objective, damping, torch.full_like(objective, math.inf))

    def step(self, problem: Problem, state: _State) -> _State:
        x, objective, damping, _ = state
        if not x.numel():
            return state
        F, g = _information(problem, x)
        size = F.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt()
        size = torch.where(size > 0, size, 1)
        scaled = F / (size[..., None] * size[..., None, :])
        slope = g / size
        shift = torch.eye(F.shape[-1], dtype=F.dtype, device=F.device) * damping.to(F.dtype)[..., None, None]
        d = torch.linalg.solve(scaled + shift, -slope)
        expected = -(slope * d).sum(-1) - ((scaled @ d[..., None])[..., 0] * d).sum(-1) / 2
        tried = x + (d / size).to(x.dtype)[..., None, None, :]
        value = problem.objective(tried)
        ratio = (objective - value).to(F.dtype) / torch.where(expected > 0, expected, 1)
        level = (value - objective).abs() <= 10 * torch.finfo(value.dtype).eps * objective.abs()
        taken = torch.isfinite(value) & ((value < objective) | level)
        share = (expected.clamp_min(0) / (objective.abs() + 100)).sqrt()  # 100: as for perfect data
        factor = torch.where(ratio > 0.75, 0.1, torch.where(ratio > 0.25, 1.0, 4.0))
        return _State(
            torch.where(taken[..., None, None, None], tried, x),
            torch.where(taken, value, objective),
            damping * torch.where(taken, factor, 8.0).to(damping.dtype),
            torch.where(taken, share, math.inf).to(objective.dtype).detach(),
        )

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol


def _information(problem: Problem, x: Tensor) -> tuple[Tensor, Tensor]:
    """Fisher information and gradient, in double precision."""
    A = problem.A
    assert isinstance(A, BeadStack)
    images, J = A.jacobian(x)
    J = J.flatten(-3).double()
    residual = problem.fidelity.grad(images, problem.y, A.range)
    weights = problem.physics.noise.information(images, A.range)
    weights = torch.where(torch.isfinite(weights), weights, 0).expand_as(images).flatten(-3).double()
    return (J * weights[..., None, :]) @ J.mT, (J @ residual.flatten(-3).double()[..., None])[..., 0]


def _start(A: BeadStack, y: Tensor) -> Tensor:
    """Unknowns without aberration: brightest plane, centroid of its bright pixels, light and background."""
    pupil = A.pupil
    rim = torch.cat([y[..., 0, :], y[..., -1, :], y[..., :, 0], y[..., :, -1]], -1)
    background = rim.flatten(-2).median(-1).values
    clear = y - background[..., None, None, None]
    depths = y.new_zeros(1) if pupil.depths is None else pupil.depths.to(y)
    best = clear.flatten(-2).amax(-1).argmax(-1)
    depth = -depths[..., best] if depths.ndim == 1 else -depths.gather(-1, best[..., None])[..., 0]
    index = best[..., None, None, None].expand(*best.shape, 1, *clear.shape[-2:])
    plane = clear.gather(-3, index)[..., 0, :, :]
    bright = (plane - plane.flatten(-2).amax(-1)[..., None, None] / 2).clamp_min(0)
    c = y.new_zeros(*best.shape, len(pupil.modes))
    mass = bright.sum((-2, -1)).clamp_min(torch.finfo(y.dtype).tiny)
    for k, j in enumerate(pupil.modes):
        n, m = zernike_indices(j, order=pupil.order)
        if n == 1:  # W = 2 c p displaces by 2 c / NA
            axis = -1 if m > 0 else -2
            at = torch.arange(y.shape[axis], dtype=y.dtype, device=y.device) - y.shape[axis] // 2
            place = (bright.sum(-2 if axis == -1 else -1) * at).sum(-1) / mass
            c[..., k] = place * pupil.pixel * pupil.objective.na / 2
    photons = clear.sum((-2, -1)).amax(-1).clamp_min(1e-6)
    return A.assemble(c, depth=depth, width=0.5, photons=photons, background=background.clamp_min(1e-3))


class PupilEstimate(Value):
    """Aberrations found by `fit_pupil`, with standard errors.

    Attributes
    ----------
    operator : BeadStack
        The model, on the window of the data that was used.
    x : Tensor, shape (1, 1, mode + 4)
        Its unknowns, see `BeadStack.parts`.
    deviation : Tensor, shape (1, 1, mode + 4)
        Standard errors of the unknowns: the larger of that by the inverse Fisher information times
        ``dispersion``, and of that by what each plane alone would change (the sandwich estimate with planes
        as clusters), which is honest where the misfit is systematic.
    dispersion : float
        Mean of (y - A x)² over the variance that the noise model gives. Above 1 the counts are not photons
        (the gain of the camera), or the model does not explain them all.
    residual : float
        ‖y - A x‖ / ‖y - background‖.
    data : Tensor, shape (plane, y, x)
        The window of the data.
    """

    operator: BeadStack
    x: Tensor
    deviation: Tensor
    dispersion: float
    residual: float
    data: Tensor

    @property
    def modes(self) -> tuple[int, ...]:
        """Zernike indices of the aberrations: without the tilts, which are the place of the bead."""
        pupil = self.operator.pupil
        return tuple(j for j in pupil.modes if zernike_indices(j, order=pupil.order)[0] > 1)

    def _of_modes(self, held: Tensor) -> Tensor:
        kept = [k for k, j in enumerate(self.operator.pupil.modes) if j in self.modes]
        return held[0, 0, kept]

    @property
    def coefficients(self) -> Tensor:
        """Coefficients of `modes` in meters."""
        return self._of_modes(self.x)

    @property
    def errors(self) -> Tensor:
        """Standard errors of the coefficients in meters."""
        return self._of_modes(self.deviation)

    @property
    def rms(self) -> float:
        """Root mean square of the wavefront error in meters, without defocus and tilt."""
        return float(torch.linalg.vector_norm(self.coefficients))

    @property
    def model(self) -> Tensor:
        """What the model predicts for the data, (plane, y, x)."""
        return self.operator(self.x)

    def wavefront(self, samples: int = 64) -> Tensor:
        """Return the wavefront error in meters without tilt, (samples, samples); NaN outside of the pupil."""
        side = (torch.arange(samples, dtype=torch.float64) + 0.5) * (2 / samples) - 1
        y, x = torch.meshgrid(side, side, indexing="ij")
        Z = zernike(self.modes, y, x, order=self.operator.pupil.order)
        W = torch.einsum("k,kyx->yx", self.coefficients.double().cpu(), Z)
        return torch.where(torch.hypot(y, x) <= 1, W, math.nan)

    def psf(self, *, shape: tuple[int, int] | None = None, depths: Tensor | None = None) -> Tensor:
        """Return the point spread function without the size of the bead, centered, in focus at depth 0.

        Parameters
        ----------
        shape : tuple of int, optional
            By default that of the data.
        depths : Tensor, shape (plane,), optional
            By default those of the data.

        Returns
        -------
        Tensor, shape (plane, y, x)
            Each plane sums to the share of light in the window.
        """
        pupil = self.operator.pupil
        A = PupilPSF(
            objective=pupil.objective,
            pixel=pupil.pixel,
            shape=pupil.shape if shape is None else shape,
            modes=self.modes,
            order=pupil.order,
            depths=pupil.depths if depths is None else depths,
            model=pupil.model,
            apodization=pupil.apodization,
            medium=pupil.medium,
        )
        return A(self.coefficients)

    def table(self) -> str:
        """Describe the aberrations in nanometers, one a line, and what else was found."""
        order = self.operator.pupil.order
        found = self.operator.parts(self.x)
        error = self.operator.parts(self.deviation)
        lines = [
            f"{zernike_name(j, order=order):32s} {1e9 * float(c):8.1f} +- {1e9 * float(e):.1f} nm"
            for j, c, e in zip(self.modes, self.coefficients, self.errors)
        ]
        width, pixel = float(found.width), self.operator.pupil.pixel
        return "\n".join(
            [
                *lines,
                f"{'rms of these':32s} {1e9 * self.rms:8.1f} nm",
                f"{'axial position':32s} {1e9 * float(found.depth):8.1f} +- "
                f"{1e9 * float(error.depth):.1f} nm",
                f"{'width of the bead (deviation)':32s} {1e9 * abs(width) * pixel:8.1f} +- "
                f"{1e9 * float(error.width) * pixel:.1f} nm",
                f"{'background':32s} {float(found.background):8.1f} +- {float(error.background):.1f} counts",
                f"relative residual {self.residual:.3f}, dispersion {self.dispersion:.3g}",
            ]
        )


def fit_pupil(
    stack: Tensor,
    objective: Objective,
    *,
    pixel: float,
    spacing: float,
    modes: tuple[int, ...] | None = None,
    order: Order = "noll",
    window: int | None = None,
    noise: Literal["poisson", "gaussian"] = "poisson",
    model: Model = "scalar",
    apodization: Apodization | None = None,
    medium: StratifiedMedium | None = None,
    max_steps: int = 50,
) -> PupilEstimate:
    """Find the Zernike aberrations of a microscope from images of one bead at several depths.

    The signs of even aberrations need planes on both sides of the focus. Lateral and axial position, light,
    background and the width of the bead are found along. Errors are those of the likelihood, enlarged by the
    misfit (`PupilEstimate.dispersion`).

    Parameters
    ----------
    stack : Tensor, shape (plane, y, x)
        Counts, one bright bead.
    objective : Objective
    pixel : float
        Pixel in the object, in meters.
    spacing : float
        Distance of planes in meters.
    modes : tuple of int, optional
        Zernike indices, by default those up to degree 5 and the spherical aberrations of degree 6 and 8.
        Piston and defocus cannot be among them; tilts are added.
    order : {"noll", "ansi"}
    window : int, optional
        Pixels on a side around the brightest one, an odd number; by default as many as the defocused light
        needs and the stack has.
    noise : {"poisson", "gaussian"}
        "gaussian" weights all pixels alike.
    model, apodization, medium
        As for `PupilPSF`.
    max_steps : int

    Returns
    -------
    PupilEstimate

    Raises
    ------
    ShapeError
        If the stack is not (plane, y, x) with three planes or more.
    ParameterError
    DataError
        If the stack holds NaN or negative counts, or the bead lies at its border.

    Examples
    --------
    >>> objective = Objective(520e-9, 0.85)
    >>> z = 400e-9 * (torch.arange(9) - 4)
    >>> A = PupilPSF(objective=objective, pixel=130e-9, shape=(31, 31), modes=(7, 11), depths=z)
    >>> counts = torch.poisson(1e5 * A(torch.tensor([-20e-9, 30e-9])) + 10, torch.Generator().manual_seed(0))
    >>> found = fit_pupil(counts, objective, pixel=130e-9, spacing=400e-9, modes=(5, 6, 7, 8, 11))
    >>> (1e9 * found.coefficients).round().tolist()
    [0.0, 0.0, -20.0, 0.0, 30.0]
    """
    if noise not in ("poisson", "gaussian"):
        raise ParameterError(f"fit_pupil: noise must be 'poisson' or 'gaussian', got {noise!r}")
    data, A = bead_problem(
        stack,
        objective,
        pixel=pixel,
        spacing=spacing,
        modes=modes,
        order=order,
        window=window,
        model=model,
        apodization=apodization,
        medium=medium,
    )
    sigma = float(torch.cat([data[:, 0], data[:, -1]]).std()) or 1.0
    held = PoissonNoise() if noise == "poisson" else GaussianNoise(sigma=sigma)
    x = PupilFit(max_steps=max_steps).solve(data, Physics(A, held)).value
    return estimate(A, held, data, x)


def bead_problem(
    stack: Tensor,
    objective: Objective,
    *,
    pixel: float,
    spacing: float,
    modes: tuple[int, ...] | None = None,
    order: Order = "noll",
    window: int | None = None,
    model: Model = "scalar",
    apodization: Apodization | None = None,
    medium: StratifiedMedium | None = None,
) -> tuple[Tensor, BeadStack]:
    """Return the window of a stack around its bead, and the model of it. Parameters as of `fit_pupil`."""
    if stack.ndim != 3 or len(stack) < 3:
        raise ShapeError(
            f"fit_pupil: the stack must be (plane, y, x), 3 planes or more, got {tuple(stack.shape)}"
        )
    if not bool(torch.isfinite(stack).all()) or bool((stack < 0).any()):
        raise DataError("fit_pupil: the stack holds NaN, infinity or negative counts: subtract no background")
    if not (pixel > 0 and spacing != 0 and math.isfinite(pixel) and math.isfinite(spacing)):
        raise ParameterError(f"fit_pupil: pixel and spacing are in meters, got {pixel!r}, {spacing!r}")
    y = stack if stack.is_floating_point() else stack.float()
    depths = spacing * (torch.arange(len(y), dtype=torch.float64) - len(y) // 2)
    data = _window(y, objective, pixel, depths, window)
    pupil = PupilPSF(
        objective=objective,
        pixel=pixel,
        shape=(data.shape[-2], data.shape[-1]),
        modes=_modes(modes, order),
        order=order,
        depths=depths.to(y.device),
        model=model,
        apodization=apodization,
        medium=medium,
    ).to(y.dtype)
    return data, BeadStack(pupil)


def estimate(A: BeadStack, noise: Noise, data: Tensor, x: Tensor) -> PupilEstimate:
    """Return unknowns ``x`` with their standard errors."""
    physics = Physics(A, noise)
    found = A(x)
    dispersion, deviation = _errors(Problem(physics=physics, y=data, fidelity=physics.likelihood()), x)
    background = float(A.parts(x).background)
    return PupilEstimate(
        operator=A,
        x=x,
        deviation=deviation,
        dispersion=dispersion,
        residual=float((data - found).norm() / (data - background).norm()),
        data=data,
    )


def _errors(problem: Problem, x: Tensor) -> tuple[float, Tensor]:
    """Return the mean square of weighted residuals, and standard errors of the unknowns."""
    A = problem.A
    assert isinstance(A, BeadStack)
    images, J = A.jacobian(x)
    weights = problem.physics.noise.information(images, A.range).expand_as(images).double()
    residual = (problem.y - images).double()
    J = J.double().flatten(-2)
    weighted = J * weights.flatten(-2)
    F = torch.einsum("azp,bzp->ab", weighted, J)
    count = residual.numel() - x.shape[-1]
    dispersion = float((weights * residual.square()).sum()) / max(count, 1)
    size = F.diagonal().clamp_min(1e-300).sqrt()
    inverse = torch.linalg.pinv(F / torch.outer(size, size), hermitian=True) / torch.outer(size, size)
    pulls = inverse @ torch.einsum("azp,zp->az", weighted, residual.flatten(-2))
    planes = len(residual)
    by_plane = (pulls - pulls.mean(1, keepdim=True)).square().sum(1) * planes / (planes - 1)
    deviation = torch.maximum(dispersion * inverse.diagonal(), by_plane).sqrt()
    return dispersion, deviation.to(x.dtype).reshape(x.shape)


def _modes(modes: tuple[int, ...] | None, order: Order) -> tuple[int, ...]:
    if modes is None:
        pairs = [zernike_indices(j) for j in range(5, 22)] + [(6, 0), (8, 0)]
        modes = tuple(zernike_index(n, m, order=order) for n, m in pairs)
    if any(zernike_indices(j, order=order) in ((0, 0), (2, 0)) for j in modes):
        raise ParameterError(
            "fit_pupil: piston has no effect and defocus is the axial position, which is found along: leave "
            f"them out of modes, got {modes}"
        )
    tilts = tuple(zernike_index(1, m, order=order) for m in (1, -1))
    return (*tilts, *(j for j in modes if j not in tilts))


def _window(y: Tensor, objective: Objective, pixel: float, depths: Tensor, window: int | None) -> Tensor:
    """Return the pixels around the brightest one of the smoothed stack."""
    ny, nx = y.shape[-2:]
    smooth = torch.nn.functional.avg_pool2d(y[:, None], 3, stride=1)[:, 0]
    row, column = divmod(int(smooth.amax(0).argmax()), nx - 2)
    row, column = row + 1, column + 1
    room = min(row, column, ny - 1 - row, nx - 1 - column)
    if window is None:
        slope = objective.na / math.sqrt(objective.index**2 - objective.na**2)
        reach = float(depths.abs().max()) * slope / 2 + 4 * objective.wavelength / objective.na
        half = min(max(6, math.ceil(reach / pixel)), room)
    elif not (isinstance(window, int) and window >= 5 and window % 2 == 1):
        raise ParameterError(f"fit_pupil: window is an odd number of pixels >= 5, got {window!r}")
    else:
        half = window // 2
    if half > room or half < 2:
        raise DataError(
            f"fit_pupil: the brightest pixel ({row}, {column}) is {room} pixels from the border; "
            f"the window needs {half}: choose a bead further inside, or a smaller window"
        )
    return y[:, row - half : row + half + 1, column - half : column + half + 1]
