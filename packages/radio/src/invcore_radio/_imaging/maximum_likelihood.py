"""Regularized maximum likelihood (RML): positive images from visibilities or closure quantities."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError
from invcore.fidelities import Fidelity
from invcore.operators import LinearOperator, Operator, Space
from invcore.priors import Prior
from invcore.solvers import LBFGS, Problem, Solver

from .._operators.interferometer import Interferometer
from .._priors.compact import CompactSource, gaussian

_FLOOR = 1e-6
_BACKGROUND = 0.1
_SCALES = torch.logspace(-8, 8, 129, dtype=torch.float64)


class PositiveImage(Operator):
    """Positive image as a function of an unconstrained one, x = s exp(mean z) softmax(z).

    The mean of z is the logarithm of the total flux, the rest its distribution: a function that does not
    depend on the flux has a gradient in z that does not change it.
    """

    domain: Space
    scale: Tensor
    params = ("scale",)

    @property
    def range(self) -> Space:
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(x.ndim - len(self.domain.shape))
        image = flat.mean(-1, keepdim=True).exp() * flat.softmax(-1)
        return self.scale * image.reshape(x.shape)

    def inverse(self, image: Tensor) -> Tensor:
        """Return the z of an image with positive intensities."""
        dims = tuple(range(-len(self.domain.shape), 0))
        log = image.log()
        flux = (image.sum(dims, keepdim=True) / self.scale).log()
        return log - log.mean(dims, keepdim=True) + flux


class PulledBack(Prior):
    """Prior g of a positive image, as a function of z."""

    prior: Prior
    image: PositiveImage

    def _value(self, x: Tensor, space: Space) -> Tensor:
        return self.prior.value(self.image._apply(x), space)

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        image, pull = torch.func.vjp(self.image._apply, x)[:2]
        slope: Tensor = pull(self.prior.grad(image, space))[0]
        return slope


class _State(NamedTuple):
    x: Tensor
    objective: Tensor
    change: Tensor
    first: Tensor


class RegularizedMaximumLikelihood(Solver):
    r"""Regularized maximum likelihood, as the images of the Event Horizon Telescope are made [1]_, [2]_.

    .. math:: \hat x = \arg\min_{x > 0} f(A x; y) + λ g(x)

    for any smooth likelihood f and any differentiable operator A: visibilities, or quantities independent of
    antenna gains (`ClosurePhases`, `LogClosureAmplitudes`), for which f is not convex. The unknown is ln x,
    which keeps x positive, and L-BFGS finds it. Each step of this solver is one such minimization, and the
    next starts from its blurred result, which moves the search out of poor local minima [1]_. A result with a
    higher objective is rejected.

    Parameters
    ----------
    prior : Prior, "compact" or None
        Prior g with a gradient. ``"compact"`` is `CompactSource` with lengths in units of the resolution, the
        inverse of the longest baseline with data of the interferometer in the operator; it suits sources of a
        few times the resolution.
    weight : "auto" or float
        Regularization weight λ; ``"auto"`` is 1 with ``prior="compact"``.
    fidelity : Fidelity, optional
        Likelihood f; by default that of the noise.
    blur : float
        Full width at half maximum of the blur between steps, in resolutions; 0 without an interferometer.
    inner_steps : int
        Maximum number of L-BFGS iterations in each step.
    inner_rtol : float
        Tolerance of L-BFGS, see `invcore.solvers.LBFGS`.
    max_steps : int
        Maximum number of minimizations.
    rtol : float
        Stop when a minimization improves the objective by less than this fraction.

    Notes
    -----
    With a linear operator and a convex f the starting point is the positive part of the dirty image;
    otherwise it is the Gaussian of the compact prior, or without that prior a flat image. Its total flux is
    the one that fits best. ``x0`` replaces it. Scale-invariant data, such as closure quantities alone, leave
    the total flux at its starting value.

    References
    ----------
    .. [1] The Event Horizon Telescope Collaboration, "First M87 Event Horizon Telescope results. IV. Imaging
       the central supermassive black hole", ApJL 875 (2019) L4.
    .. [2] A. Chael et al., "Interferometric imaging directly with closure phases and closure amplitudes", ApJ
       857 (2018) 23.

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Matrix
    >>> physics = Physics(Matrix(torch.diag(torch.tensor([1.0, 2.0], dtype=torch.float64))))
    >>> solver = RegularizedMaximumLikelihood(prior=None)
    >>> solver(torch.tensor([1.0, 4.0], dtype=torch.float64), physics).round(decimals=3)
    tensor([1., 2.], dtype=torch.float64)
    """

    prior: Prior | Literal["compact"] | None = "compact"
    weight: Literal["auto"] | float = "auto"
    fidelity: Fidelity | None = None
    blur: float = 0.8
    inner_steps: int = 300
    inner_rtol: float = 1e-6
    max_steps: int = 10
    rtol: float = 1e-2
    exact: ClassVar[bool] = False  # the search in ln x, from blurred images, ends in a local minimum

    def __post_init__(self) -> None:
        if isinstance(self.prior, str) and self.prior != "compact":
            raise ParameterError(f"{_NAME}: prior must be a Prior, 'compact' or None, got {self.prior!r}")
        if not (isinstance(self.inner_steps, int) and self.inner_steps >= 1):
            raise ParameterError(
                f"{_NAME}: inner_steps must be a whole number >= 1, got {self.inner_steps!r}"
            )
        if not 0 <= self.blur < math.inf or not 0 <= self.inner_rtol < math.inf:
            raise ParameterError(
                f"{_NAME}: blur and inner_rtol must be finite and not negative, got {self.blur!r} "
                f"and {self.inner_rtol!r}"
            )

    @property
    def requires_nonnegative(self) -> bool:
        return True

    def problem(self, y: Any, physics: Any, x0: Any = None) -> Problem:
        space = physics.domain
        if not isinstance(space, Space) or space.kind != "real":
            raise ShapeError(f"{_NAME}: images must be real, (channel, y, x); the operator acts on {space}")
        prior = self.prior
        if isinstance(prior, str):
            beam = resolution(physics.operator)
            if beam is None:
                raise ParameterError(
                    f"{_NAME}: prior='compact' takes its lengths from the baselines with data of the "
                    "Interferometer in the "
                    "operator, and there are none: pass prior=CompactSource(resolution=..., size=...) or "
                    "another one"
                )
            prior = CompactSource(resolution=beam)
        fidelity = self.fidelity or physics.likelihood()
        weight: Any = self.weight
        if weight == "auto":
            weight = 1.0
            if prior is not None and not isinstance(prior, CompactSource):
                weight = prior.suggested_weight(y, physics, fidelity).value
        elif isinstance(weight, str) or not 0 <= weight < math.inf:
            raise ParameterError(f"{_NAME}: weight must be 'auto' or finite and not negative, got {weight!r}")
        return Problem(physics=physics, y=y, fidelity=fidelity, prior=prior, weight=weight, x0=x0)

    def init(self, problem: Problem) -> _State:
        x = _start(problem)
        objective = problem.objective(x)
        return _State(x, objective, torch.full_like(objective, math.inf), objective.abs())

    def step(self, problem: Problem, state: _State) -> _State:
        x = state.x
        beam = resolution(problem.A)
        if self.blur and beam is not None:
            x = blurred(x, self.blur * beam)
        x = self._minimized(problem, x)
        objective = problem.objective(x)
        better = (objective < state.objective) | ~torch.isfinite(state.objective)
        size = objective.abs() + torch.finfo(objective.dtype).eps * state.first
        gain = (state.objective - objective) / size.clamp_min(torch.finfo(objective.dtype).tiny)
        kept = better.reshape(*better.shape, *(1,) * (x.ndim - better.ndim))
        return _State(
            torch.where(kept, x, state.x),
            torch.where(better, objective, state.objective),
            gain.clamp_min(0),
            state.first,
        )

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol

    def _minimized(self, problem: Problem, x: Tensor) -> Tensor:
        """Minimize by L-BFGS in ln x, from x."""
        space = problem.space
        assert isinstance(space, Space)
        flux = x.sum(tuple(range(-len(space.shape), 0)), keepdim=True)
        flux = torch.where(flux > 0, flux, 1)
        to_image = PositiveImage(domain=space, scale=flux)
        physics = type(problem.physics)(operator=problem.A @ to_image, noise=problem.physics.noise)
        inner = LBFGS(
            prior=None if problem.prior is None else PulledBack(prior=problem.prior, image=to_image),
            weight=problem.weight,
            fidelity=problem.fidelity,
            memory=20,
            max_steps=self.inner_steps,
            rtol=max(self.inner_rtol, 100 * torch.finfo(x.dtype).eps),
        )
        start = to_image.inverse(x + _FLOOR / space.size * flux)
        mode: Any = "unroll" if torch.is_grad_enabled() else "none"
        return to_image._apply(inner.solve(problem.y, physics, x0=start, differentiate=mode).value)


_NAME = RegularizedMaximumLikelihood.__name__


def resolution(operator: Any) -> float | None:
    """Return the resolution in pixels of the interferometer in an operator: 1 over its longest baseline.

    None if the operator contains no interferometer with data.
    """
    if isinstance(operator, Interferometer):
        wavelengths = torch.linalg.vector_norm(operator.uvw[..., :2].double(), dim=-1)[..., None]
        wavelengths = wavelengths * operator.frequencies.double() / 299792458.0
        if operator.mask is not None:
            wavelengths = torch.where(operator.mask != 0, wavelengths, 0)
        longest = float(wavelengths.max())
        pixel = operator.pixel if isinstance(operator.pixel, float) else max(operator.pixel)
        return 1 / (longest * pixel) if longest > 0 else None
    held = [child for _, child in operator._children()] if hasattr(operator, "_children") else []
    found = [r for r in map(resolution, held) if r is not None]
    return min(found) if found else None


def blurred(x: Tensor, fwhm: float) -> Tensor:
    """Convolve an image, zero outside, with a Gaussian of the given full width in pixels."""
    ny, nx = x.shape[-2:]
    frequencies = torch.fft.fftfreq(2 * ny).to(x)[:, None], torch.fft.rfftfreq(2 * nx).to(x)
    sigma = fwhm / (2 * math.sqrt(2 * math.log(2)))
    transfer = torch.exp(-2 * (math.pi * sigma) ** 2 * (frequencies[0].square() + frequencies[1].square()))
    spectrum = torch.fft.rfft2(x, s=(2 * ny, 2 * nx)) * transfer
    return torch.fft.irfft2(spectrum, s=(2 * ny, 2 * nx))[..., :ny, :nx].clamp_min(0)


def _dirty(problem: Problem, like: Tensor) -> Tensor:
    """The positive part of the dirty image plus a faint background, of flux 1; ``like`` if it vanishes."""
    zero = torch.zeros_like(like)
    A, space = problem.linear, problem.space
    assert isinstance(space, Space)
    dirty = -A._apply_adjoint(problem.fidelity.grad(A._apply(zero), problem.y, A.range)).clamp_max(0)
    axes = tuple(range(-len(space.shape), 0))
    flux = dirty.sum(axes, keepdim=True)
    return torch.where(
        flux > 0,
        (dirty / torch.where(flux > 0, flux, 1) + _BACKGROUND / space.size) / (1 + _BACKGROUND),
        like,
    )


def _start(problem: Problem) -> Tensor:
    """``x0``, or the dirty image, a Gaussian or a flat image with the total flux that fits best."""
    x, space = problem.start(), problem.image_space
    if problem.x0 is not None:
        return x.clamp_min(0)
    shape = torch.ones(space.shape, dtype=x.dtype, device=x.device)
    if isinstance(problem.prior, CompactSource):
        shape = gaussian(space.shape[-2:], problem.prior.width, shape).expand(space.shape)
    shape = (shape / shape.sum()).expand(x.shape)
    if isinstance(problem.A, LinearOperator) and problem.fidelity.convex:
        shape = _dirty(problem, shape)
    scales = _SCALES.to(shape)
    values = torch.stack(
        [problem.fidelity.value(problem.A._apply(s * shape), problem.y, problem.A.range) for s in scales]
    )
    best = values.amin(0)
    # among scales that fit equally well, choose the one nearest to 1
    near = torch.where(
        values <= best + 1e-9 * best.abs(), -scales.log().abs().reshape(-1, *(1,) * best.ndim), -math.inf
    )
    flux = scales[near.argmax(0)]
    return flux.reshape(*flux.shape, *(1,) * len(space.shape)) * shape
