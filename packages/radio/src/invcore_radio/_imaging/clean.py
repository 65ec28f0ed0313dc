"""CLEAN of Högbom and Clark, and at several scales: major cycles. Minor cycles are in `minor_cycle`."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from invcore import DataError, ParameterError, ShapeError, SolverError
from invcore.solvers import Problem, Solver
from invcore.spaces import broadcast_shapes

from .clean_beams import (
    Weighted,
    beam_and_norm,
    convolved,
    dirty_noise,
    image_space,
    inside,
    largest_sidelobe,
    natural,
    scale_kernels,
    sensitivity,
)
from .minor_cycle import Components, listed, whole


class CleanResult(NamedTuple):
    """Result of `hogbom`.

    Attributes
    ----------
    model : Tensor, shape (y, x)
        The sum of the components, in Jy/pixel.
    residual : Tensor, shape (y, x)
        The dirty image minus the beams of all components.
    positions : Tensor, shape (component, 2)
        Row and column of each component, in the order of detection.
    fluxes : Tensor, shape (component,)
        Flux of each component in Jy.
    """

    model: Tensor
    residual: Tensor
    positions: Tensor
    fluxes: Tensor


def hogbom(
    dirty: Tensor,
    beam: Tensor,
    *,
    gain: float = 0.1,
    iterations: int = 1000,
    threshold: float = 0.0,
    window: Tensor | None = None,
    positive: bool = False,
) -> CleanResult:
    """Deconvolve a dirty image by Högbom's CLEAN, from its dirty beam alone [1]_.

    Repeatedly, the largest |residual| becomes a component with ``gain`` times its flux, and the beam times
    that flux is subtracted. If the visibilities are available, `Clean` is the better choice: it does not
    assume the same beam everywhere.

    Parameters
    ----------
    dirty : Tensor, shape (y, x)
        Dirty image in Jy/beam.
    beam : Tensor, shape (2h+1, 2w+1)
        Dirty beam in the same pixels, its peak in the middle and zero beyond its edges. With ``h = ny - 1``
        and ``w = nx - 1`` it covers the whole image, wherever the component is.
    gain : float
        Loop gain, above 0 and below 2.
    iterations : int
        Maximum number of components.
    threshold : float
        Stop when no |residual| exceeds it.
    window : Tensor, shape (y, x), optional
        Nonzero where components are allowed; everywhere by default.
    positive : bool
        Positive components only.

    Returns
    -------
    CleanResult

    Raises
    ------
    ShapeError
        If the beam has an even size, or shapes do not fit.
    DataError
        If the image or the beam is not finite.
    ParameterError
        If an option is out of range.

    References
    ----------
    .. [1] J. A. Högbom, "Aperture synthesis with a non-regular distribution of interferometer baselines",
       Astron. Astrophys. Suppl. 15 (1974).

    Examples
    --------
    >>> dirty = torch.tensor([[0.5, 1.0, 0.5, 0.0]])
    >>> hogbom(dirty, torch.tensor([[0.5, 1.0, 0.5]]), gain=1.0, iterations=1).model
    tensor([[0., 1., 0., 0.]])
    """
    if dirty.ndim != 2 or beam.ndim != 2 or not all(n % 2 for n in beam.shape):
        raise ShapeError(
            f"hogbom: expected a dirty image (y, x) and a beam of odd size with its peak in the middle, got "
            f"{tuple(dirty.shape)} and {tuple(beam.shape)}"
        )
    if not bool(torch.isfinite(dirty).all() & torch.isfinite(beam).all()):
        raise DataError("hogbom: the dirty image and the beam must be finite everywhere")
    if window is not None and window.shape != dirty.shape:
        raise ShapeError(
            f"hogbom: the window has shape {tuple(window.shape)}, the image {tuple(dirty.shape)}"
        )
    _check_gain("hogbom", gain)
    residual = dirty.detach().clone(memory_format=torch.contiguous_format)[None]
    found = whole(
        residual,
        beam.detach().to(residual.dtype)[None, None],
        preference=torch.ones(1),
        allowed=None if window is None else (window != 0)[None],
        gain=gain,
        limit=threshold,
        count=iterations,
        positive=positive,
    )
    model = _placed(found, residual[0], [torch.ones(1, 1, dtype=dirty.real.dtype, device=dirty.device)])
    return CleanResult(model, residual[0], found.positions[:, 1:], found.fluxes)


class _State(NamedTuple):
    x: Tensor
    u: Tensor
    residual: Tensor
    peak: Tensor
    first: Tensor
    floor: Tensor
    beam: Tensor
    norm: Tensor
    field: Tensor | None
    change: Tensor


class Clean(Solver):
    r"""CLEAN: the image as a sum of components, found one by one where the residual is largest.

    With imaging weights W and the peak c of the dirty beam, a step is a major cycle of Cotton and Schwab
    [3]_,

    .. math:: r_k = c^{-1} A^{\mathsf H} W (y - A x_k), \qquad x_{k+1} = x_k + \mathrm{minor}(r_k).

    The minor cycle assumes the same beam everywhere: it takes the largest |r|, adds ``gain`` times its flux
    to the image, subtracts the beam, and repeats until the peak is down to the level of the sidelobes. By
    ``algorithm`` it subtracts

    * ``"hogbom"``: the whole beam from the whole image [1]_;
    * ``"clark"``: a patch of the beam from the pixels that may become components, which is faster for large
      images [2]_;
    * ``"multiscale"``: the whole beam from the residual at several ``scales``, so that components may be
      extended [4]_.

    If the components of a cycle do not lower the misfit (because the beam does vary), they are scaled down to
    the minimum along their direction. The result is the model in Jy/pixel; `restore` gives the restored
    image. A primary beam in the operator is divided out: components are searched in units of the noise, out
    to where the sensitivity falls to ``cutoff``.

    Parameters
    ----------
    algorithm : {"hogbom", "clark", "multiscale"}
    gain : float
        Loop gain, above 0 and below 2.
    scales : tuple of float
        Radii in pixels of the components of ``"multiscale"``; the first is 0, a point.
    scale_bias : float
        Preference for small scales b: the decrease of the misfit by a component of scale s counts (1 - b
        s/max(scales))² times.
    patch : int
        Half width in pixels of the beam that ``"clark"`` subtracts.
    weights : Tensor, shape (..., row, frequency), optional
        Imaging weights W, e.g. uniform or Briggs (`imaging_weights`); natural weights 1/σ² by default.
    window : Tensor, shape (y, x), optional
        Nonzero where components are allowed; everywhere by default.
    positive : bool
        Positive components only.
    cutoff : float
        Smallest sensitivity, relative to the best, at which components are allowed.
    discrepancy : float, optional
        Stop, per sample, when no |r| exceeds this many standard deviations of its noise, if the physics
        states one.
    cycle_components : int
        Maximum number of components in a major cycle.
    cycle_factor : float
        A minor cycle ends when its peak, relative to the initial one, falls below this factor times the
        largest sidelobe (for ``"clark"``, the largest one outside the patch); the ratio is limited to 0.05 …
        0.8.
    max_steps : int
        Maximum number of major cycles.
    rtol : float
        Stop, per sample, when no |r| exceeds rtol times the peak of the dirty image.

    References
    ----------
    .. [1] J. A. Högbom, "Aperture synthesis with a non-regular distribution of interferometer baselines",
       Astron. Astrophys. Suppl. 15 (1974).
    .. [2] B. G. Clark, "An efficient implementation of the algorithm 'CLEAN'", Astron. Astrophys. 89 (1980).
    .. [3] F. R. Schwab, "Relaxing the isoplanatism assumption in self-calibration; applications to
       low-frequency radio interferometry", Astron. J. 89 (1984).
    .. [4] T. J. Cornwell, "Multiscale CLEAN deconvolution of radio synthesis images", IEEE J. Sel. Top.
       Signal Process. 2 (2008).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore_radio import Interferometer
    >>> uvw = 200 * torch.randn(60, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> nu = torch.tensor([1.5e9])
    >>> A = Interferometer(uvw=uvw, frequencies=nu, shape=(16, 16), pixel=2e-4, w_term=False)
    >>> x = torch.zeros(1, 16, 16)
    >>> x[0, 4, 9], x[0, 8, 3] = 1.0, 0.5
    >>> found = Clean()(A(x), Physics(A))
    >>> bool((found - x).abs().max() < 0.01)
    True
    """

    algorithm: Literal["hogbom", "clark", "multiscale"] = "hogbom"
    gain: float = 0.1
    scales: tuple[float, ...] = (0.0, 2.0, 4.0, 8.0, 16.0)
    scale_bias: float = 0.2
    patch: int = 24
    weights: Tensor | None = None
    window: Tensor | None = None
    positive: bool = False
    cutoff: float = 0.1
    discrepancy: float | None = 3.0
    cycle_components: int = 10_000
    cycle_factor: float = 1.5
    max_steps: int = 50
    rtol: float = 1e-3
    params = ("weights",)

    def __post_init__(self) -> None:
        if self.algorithm not in ("hogbom", "clark", "multiscale"):
            raise ParameterError(
                f"Clean: algorithm must be 'hogbom', 'clark' or 'multiscale', got {self.algorithm!r}"
            )
        _check_gain("Clean", self.gain)
        good = self.scales and self.scales[0] == 0 and all(0 < s < math.inf for s in self.scales[1:])
        if not good or not 0 <= self.scale_bias < 1:
            raise ParameterError(
                "Clean: scales are radii in pixels of which the first is 0, and scale_bias is from 0 to "
                "below 1, got "
                f"{self.scales!r} and {self.scale_bias!r}"
            )
        if self.patch < 1 or self.cycle_components < 1 or not self.cycle_factor > 0:
            raise ParameterError(
                f"Clean: patch, cycle_components and cycle_factor must be positive, got {self.patch!r}, "
                f"{self.cycle_components!r} and {self.cycle_factor!r}"
            )
        if not 0 < self.cutoff <= 1:
            raise ParameterError(f"Clean: cutoff must be above 0 and at most 1, got {self.cutoff!r}")
        if self.discrepancy is not None and not 0 < self.discrepancy < math.inf:
            raise ParameterError(
                f"Clean: discrepancy must be a positive number or None, got {self.discrepancy!r}"
            )

    def init(self, problem: Problem) -> _State:
        A, y = problem.linear, problem.y
        space = image_space(A, "Clean")
        if torch.is_grad_enabled():
            raise SolverError(
                "Clean: which pixels become components does not vary smoothly: use differentiate='none'"
            )
        weighted = self._weighted(problem)
        like = problem.backprojection
        beam, norm = beam_and_norm(A, weighted.weights, like)
        field = sensitivity(A, weighted.weights, like)
        own = weighted.weights.shape[: max(0, weighted.weights.ndim - len(A.range.shape))]  # type: ignore[union-attr]
        batch = broadcast_shapes(like.shape[:-3], norm.shape[:-1], own)
        if problem.x0 is not None:
            batch = broadcast_shapes(batch, problem.x0.shape[:-3])
        noise = dirty_noise(A, weighted, norm, like).amax(-1).expand(batch)
        beam = beam.expand(*batch, *beam.shape[-3:])
        norm = norm.expand(*batch, space.shape[0])
        if field is not None:
            field = field.expand(*batch, *space.shape)
        x = torch.zeros((*batch, *space.shape), dtype=like.dtype, device=like.device)
        u = torch.zeros((*batch, *A.range.shape), dtype=y.dtype, device=y.device)  # type: ignore[union-attr]
        first = self._peak(self._residual(problem, u, norm, field), field)
        if problem.x0 is not None:
            x = x + problem.x0.to(x.dtype)
            u = A(x)
        residual = self._residual(problem, u, norm, field)
        floor = self.rtol * first
        if self.discrepancy is not None:
            floor = torch.maximum(floor, self.discrepancy * noise)
        peak = self._peak(residual, field)
        return _State(x, u, residual, peak, first, floor, beam, norm, field, _relative(peak, first))

    def step(self, problem: Problem, state: _State) -> _State:
        A, x, residual = problem.linear, state.x, state.residual
        space = image_space(A, "Clean")
        single = torch.zeros_like(x)
        added = torch.zeros_like(x)
        images = residual.reshape(-1, *space.shape[1:])
        beams = state.beam.reshape(-1, *state.beam.shape[-2:])
        targets, firsts = added.view(-1, *space.shape[1:]), single.view(-1, *space.shape[1:])
        floors = state.floor.unsqueeze(-1).expand(state.norm.shape).reshape(-1)
        allowed = self._allowed(state.field, images.shape)
        for k in range(len(images)):
            window = None if allowed is None else allowed[k]
            self._minor(images[k], beams[k], float(floors[k]), window, targets[k], firsts[k])
        if state.field is not None:
            seen = state.field >= self.cutoff
            inverse = torch.where(seen, 1 / torch.where(seen, state.field, 1), 0)
            added, single = added * inverse, single * inverse
        u_added = A(added)
        added, u_added = self._safeguarded(problem, state, added, u_added, single)
        x, u = x + added, state.u + u_added
        residual = self._residual(problem, u, state.norm, state.field)
        peak = self._peak(residual, state.field)
        return state._replace(x=x, u=u, residual=residual, peak=peak, change=_relative(peak, state.first))

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.peak <= state.floor

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        raise SolverError(
            "Clean: which pixels become components does not vary smoothly: use differentiate='none'"
        )

    # -- parts ---------------------------------------------------------------------------------------

    def _weighted(self, problem: Problem) -> Weighted:
        ndim = len(problem.A.range.shape)  # type: ignore[union-attr]
        found = natural(problem.fidelity, problem.physics.noise.random, problem.y, ndim)
        if self.weights is None:
            return found
        weights = self.weights.to(problem.y.real)
        if not bool((weights >= 0).all()):
            raise ParameterError("Clean: weights must not be negative")
        return Weighted(weights, found.variance)

    def _residual(self, problem: Problem, u: Tensor, norm: Tensor, field: Tensor | None) -> Tensor:
        """The residual image divided by the sensitivity: in units of apparent flux, with uniform noise."""
        weights = self._weighted(problem).weights
        r = problem.linear.H(weights * (problem.y - u)) / norm[..., None, None]
        if field is not None:
            r = torch.where(field > 0, r / torch.where(field > 0, field, 1), 0)
        return r.contiguous()

    def _allowed(self, field: Tensor | None, shape: torch.Size) -> Tensor | None:
        """Nonzero where components are allowed, one map for each image."""
        if self.window is None and field is None:
            return None
        allowed = torch.ones(shape)
        if self.window is not None:
            if self.window.shape != shape[1:]:
                raise ShapeError(
                    f"Clean: expected a window of shape {tuple(shape[1:])}, got {tuple(self.window.shape)}"
                )
            allowed = allowed.to(self.window.device) * (self.window != 0)
        if field is not None:
            allowed = allowed.to(field.device) * (field.reshape(shape) >= self.cutoff)
        return allowed

    def _peak(self, residual: Tensor, field: Tensor | None) -> Tensor:
        size = residual.real.clamp_min(0) if self.positive else residual.abs()
        allowed = self._allowed(field, residual.reshape(-1, *residual.shape[-2:]).shape)
        if allowed is not None:
            size = size * allowed.to(size).reshape(size.shape)
        return size.amax((-3, -2, -1))

    def _minor(
        self, image: Tensor, beam: Tensor, floor: float, allowed: Tensor | None, target: Tensor, first: Tensor
    ) -> None:
        """Find the components of one residual image; add all to ``target``, the first one to ``first``."""
        nx = image.shape[1]
        hy, hx = beam.shape[-2] // 2, beam.shape[-1] // 2
        size = image.real.clamp_min(0) if self.positive else image.abs()
        peak = float((size if allowed is None else size * allowed).max())
        if peak <= floor:
            return
        kernels = [torch.ones(1, 1, dtype=image.real.dtype, device=image.device)]
        if self.algorithm == "clark":
            py, px = min(self.patch, hy), min(self.patch, hx)
            rest = beam.abs().clone()
            rest[hy - py : hy + py + 1, hx - px : hx + px + 1] = 0
            outside = float(rest.max())
            limit = max(floor, peak * min(0.8, max(0.05, self.cycle_factor * outside)))
            part = beam[hy - py : hy + py + 1, hx - px : hx + px + 1]
            found = listed(
                image,
                part,
                allowed=allowed,
                gain=self.gain,
                limit=limit,
                outside=outside,
                count=self.cycle_components,
                positive=self.positive,
            )
        else:
            limit = max(floor, peak * min(0.8, max(0.05, self.cycle_factor * largest_sidelobe(beam))))
            residual, beams, preference = image.clone()[None], beam[None, None], torch.ones(1)
            windows = None if allowed is None else allowed[None]
            if self.algorithm == "multiscale":
                kernels = scale_kernels(self.scales, image)
                residual = torch.stack([convolved(image, k) for k in kernels])
                each = [convolved(beam, k) for k in kernels]
                beams = torch.stack([torch.stack([convolved(b, k) for k in kernels]) for b in each])
                largest = max(self.scales)
                power = beams[:, :, hy, hx].real.diagonal()
                bias = torch.tensor([1 - self.scale_bias * s / (largest or 1) for s in self.scales])
                preference = bias.to(power) * power.rsqrt()
                windows = torch.stack([inside(image, s) for s in self.scales])
                windows = windows if allowed is None else windows * (allowed > 0)
            found = whole(
                residual.contiguous(),
                beams.contiguous(),
                preference=preference,
                allowed=windows,
                gain=self.gain,
                limit=limit,
                count=self.cycle_components,
                positive=self.positive,
            )
        if not len(found.fluxes):  # extended scales may miss an isolated pixel
            at = int((size if allowed is None else size * allowed).argmax())
            value = image[at // nx, at % nx]
            position = torch.tensor([[0, at // nx, at % nx]])
            found = Components(
                position, (self.gain * (value.real if self.positive else value)).reshape(1).to(image.dtype)
            )
            kernels = [torch.ones(1, 1, dtype=image.real.dtype, device=image.device)]
        target += _placed(found, image, kernels)
        alone = Components(found.positions[:1], found.fluxes[:1])
        first += _placed(alone, image, kernels)

    def _safeguarded(
        self, problem: Problem, state: _State, added: Tensor, u_added: Tensor, single: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Scale the components of a cycle down to the minimum of the misfit if they overshoot.

        If they do not point downhill, only the first of them is kept.
        """
        A, weights = problem.linear, self._weighted(problem).weights
        n = len(A.range.shape)  # type: ignore[union-attr]
        misfit = weights * (problem.y - state.u)
        downhill = _inner(misfit, u_added, n)
        curved = _inner(weights * u_added, u_added, n)
        wrong = downhill <= 0
        if bool((wrong & (curved > 0)).any()):
            only = A(single)
            added = torch.where(_trailing(wrong, 3), single, added)
            u_added = torch.where(_trailing(wrong, n), only, u_added)
            downhill, curved = _inner(misfit, u_added, n), _inner(weights * u_added, u_added, n)
        overshoots = curved > 1.9 * downhill
        factor = torch.where(overshoots, downhill / torch.where(curved > 0, curved, 1), 1)
        if not bool(overshoots.any()):
            return added, u_added
        return _trailing(factor, 3) * added, _trailing(factor, n) * u_added


def _relative(peak: Tensor, first: Tensor) -> Tensor:
    return peak / torch.where(first > 0, first, 1)


def _inner(a: Tensor, b: Tensor, ndim: int) -> Tensor:
    """Re⟨a, b⟩ over the last dimensions."""
    product = a.real * b.real + a.imag * b.imag if a.is_complex() else a * b
    return product.sum(tuple(range(-ndim, 0)))


def _trailing(t: Tensor, ndim: int) -> Tensor:
    return t.reshape(*t.shape, *(1,) * ndim)


def _placed(found: Components, like: Tensor, kernels: list[Tensor]) -> Tensor:
    """The image (y, x) of components."""
    planes = torch.zeros((len(kernels), *like.shape), dtype=like.dtype, device=like.device)
    where = found.positions.to(like.device)
    planes.index_put_(tuple(where.T), found.fluxes.to(like.device), accumulate=True)
    image = planes[0] * 0
    for plane, kernel in zip(planes, kernels, strict=True):
        image = image + convolved(plane, kernel)
    return image


def _check_gain(name: str, gain: float) -> None:
    if not 0 < gain < 2:
        raise ParameterError(f"{name}: gain must be above 0 and below 2, got {gain!r}")
