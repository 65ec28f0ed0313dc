"""Likelihood of single time tags without histograms."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from invcore import Operator, ParameterError, ShapeError, Space
from invcore.fidelities import Fidelity

from .._photons.impulse import ImpulseResponse
from .._photons.tags import TimeTags
from .returns import Gate, aligned, arrival, check_impulse, check_pixels, check_trailing
from .tcspc import TCSPC, Scene


class TagRates(Operator):
    r"""Expected counts in the bin of each recorded photon, and of each pixel over the whole gate,

    .. math:: u_i = \sum_k r_{p_i,k} ∫_{\text{bin of } i} h(t - 2 d_{p_i,k}/c - τ_{p_i}) dt + β_{p_i}, \quad
        m_p = \sum_k r_{p,k} ∫_{\text{gate}} h(t - 2 d_{p,k}/c - τ_p) dt + B β_p,

    with photon i in pixel p_i and B bins. They are entries and sums of the histogram of `TCSPC`, which is
    never formed: the work grows with the photons, not with the bins. The likelihood (`PointProcess`) needs
    nothing else of a scene.

    Parameters
    ----------
    tags : TimeTags
        The recorded photons.
    impulse : ImpulseResponse
        h. Gradients reach its parameters.
    surfaces : int
        K.
    width : int
        Bin width in ticks: 1 for the likelihood of the tags themselves, more for that of their histogram.
    delay : Tensor, shape (..., ny, nx), optional
        τ in seconds.
    psf, boundary
        As for `TCSPC`; the work is multiplied by the number of entries of the point spread function.

    Notes
    -----
    Domain ``(2 K + 1, y, x)`` as that of `TCSPC`; range a tuple ``((photon,), (y, x))``.

    Raises
    ------
    ParameterError, ShapeError
        If bins of that width do not fill the gate of the tags, or a field does not fit.

    Examples
    --------
    >>> tags = TimeTags.from_cells([[[3, 5, 5], []]], tick=1e-9, start=0, stop=16)
    >>> A = TagRates(tags=tags, impulse=ImpulseResponse.gaussian(fwhm=2e-9))
    >>> x = torch.tensor([0.75, 2.5, 0.1], dtype=torch.float64)[:, None, None].expand(3, 1, 2)
    >>> rates, total = A(x)
    >>> rates.shape, total.round(decimals=3).tolist()
    (torch.Size([3]), [[4.1, 4.1]])
    >>> tag_likelihood(x, A).item() == PointProcess().value((rates, total), A.data).item()
    True
    """

    tags: TimeTags
    impulse: ImpulseResponse
    surfaces: int = 1
    width: int = 1
    delay: Tensor | None = None
    psf: Tensor | None = None
    boundary: Literal["replicate", "reflect", "zero", "circular"] = "replicate"
    params = ("delay", "psf")

    def __post_init__(self) -> None:
        check_impulse(self, self.impulse)
        check_pixels(self, self.tags.shape, self.surfaces)
        check_trailing(self, "delay", self.delay, self.tags.shape)
        check_trailing(self, "psf", self.psf, None)
        ticks = self.tags.stop - self.tags.start
        if not isinstance(self.width, int) or self.width < 1 or ticks % self.width:
            raise ParameterError(
                f"TagRates: width must be a number of ticks that divides the gate of {ticks} ticks, "
                f"got {self.width!r}: gate the tags to a multiple of it"
            )

    @property
    def domain(self) -> Space:
        return Space((2 * self.surfaces + 1, *self.tags.shape))

    @property
    def range(self) -> tuple[Space, Space]:
        return Space((len(self.tags.tags),)), Space(self.tags.shape)

    @property
    def gate(self) -> Gate:
        """Start, bin width and number of bins."""
        tags, width = self.tags, self.width
        return Gate(tags.start * tags.tick, width * tags.tick, (tags.stop - tags.start) // width)

    @property
    def data(self) -> tuple[Tensor, Tensor]:
        """Data y for `PointProcess` and solvers, each photon once: (ones, zeros) shaped as the range."""
        photons, pixels = self.range
        points = torch.ones(photons.shape, dtype=self.dtype, device=self.tags.tags.device)
        return points, points.new_zeros(pixels.shape)

    def histogram_model(self) -> TCSPC:
        """Return the model of the tags' histogram with bins of this width."""
        gate = self.gate
        return TCSPC(
            impulse=self.impulse,
            bins=gate.bins,
            bin_width=gate.bin_width,
            shape=self.tags.shape,
            start=gate.start,
            surfaces=self.surfaces,
            psf=self.psf,
            boundary=self.boundary,
            delay=self.delay,
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        gate, k, dtype = self.gate, self.surfaces, x.dtype
        depth, photons, background = Scene(*x.split([k, k, 1], dim=-3))
        h = aligned(self.impulse, dtype, 3)
        position = arrival(depth, gate, self.delay)
        if self.psf is not None:
            position, photons = self._spread(position, photons)
        position = position.flatten(-2)  # (..., surface, pixel)
        photons, background = photons.flatten(-2), background.flatten(-2).squeeze(-2)
        pixel = self.tags.pixels()
        bins = (self.tags.tags - self.tags.start) // self.width
        edges = torch.stack([bins, bins + 1]).to(position.dtype)
        here = edges - position[..., pixel].unsqueeze(-2)  # (..., surface, 2, photon)
        rates = (photons[..., pixel] * _mass(h, here, gate, dtype)).sum(-2) + background[..., pixel]
        ends = torch.tensor([0, gate.bins], dtype=position.dtype, device=x.device)[:, None]
        whole = (photons * _mass(h, ends - position.unsqueeze(-2), gate, dtype)).sum(-2)
        total = whole + gate.bins * background
        return rates, total.unflatten(-1, self.tags.shape)

    def _spread(self, position: Tensor, photons: Tensor) -> tuple[Tensor, Tensor]:
        """Return the surfaces of the neighbors as further surfaces of each pixel."""
        assert self.psf is not None
        ky, kx = self.psf.shape[-2:]
        ny, nx = self.tags.shape
        margins = (kx - 1 - kx // 2, kx // 2, ky - 1 - ky // 2, ky // 2)
        wide = [_extended(t, margins, self.boundary) for t in (position, photons)]
        places, lights = [], []
        for a in range(ky):
            for b in range(kx):
                rows, columns = slice(ky - 1 - a, ky - 1 - a + ny), slice(kx - 1 - b, kx - 1 - b + nx)
                weight = self.psf[..., a, b].to(photons.dtype)[..., None, None, None]
                places.append(wide[0][..., rows, columns])
                lights.append(weight * wide[1][..., rows, columns])
        return torch.cat(places, -3), torch.cat(lights, -3)


def _extended(image: Tensor, margins: tuple[int, int, int, int], boundary: str) -> Tensor:
    """Extend (..., surface, y, x) beyond its edges."""
    if boundary == "zero":
        return torch.nn.functional.pad(image, margins)
    flat = image.reshape(-1, *image.shape[-3:])
    padded = torch.nn.functional.pad(flat, margins, mode=boundary)
    return padded.reshape(*image.shape[:-3], *padded.shape[1:])


def _mass(h: ImpulseResponse, edges: Tensor, gate: Gate, dtype: torch.dtype) -> Tensor:
    """Return the mass of h between edges (..., 2, n), in bins after the return, at least zero."""
    upto = h.cumulative((edges * gate.bin_width).to(dtype))
    return (upto[..., 1, :] - upto[..., 0, :]).clamp_min(0)


class PointProcess(Fidelity):
    r"""Negative log-likelihood of the points of a Poisson process,

    .. math:: f((u, m); (w, ·)) = \sum_p m_p - \sum_i w_i \log u_i,

    with uᵢ the rate at point i, which occurred wᵢ times (once), and m the expected number of points. Up to a
    constant it is the Poisson likelihood of the histogram of the points; bins without points enter through m.
    Convex; infinite where a point occurred at a rate that is not positive. Rates without a point are ignored;
    a constraint on the image must keep them nonnegative, or pixels without photons are unbounded.

    Notes
    -----
    Both arguments are tuples, as `TagRates` makes them; the second part of the data is ignored. The proximal
    operator is z_i = (u_i + √(u_i² + 4 s w_i))/2 for the rates and m - s for the totals.

    References
    ----------
    D. L. Snyder, M. I. Miller, "Random Point Processes in Time and Space", 2nd ed. (1991), section 2.3.

    Examples
    --------
    >>> u = torch.tensor([1.0, 2.0]), torch.tensor([3.0])
    >>> y = torch.tensor([1.0, 1.0]), torch.tensor([0.0])
    >>> round(PointProcess().value(u, y).item(), 4)  # 3 - log 2
    2.3069
    >>> PointProcess().grad(u, y)
    (tensor([-1.0000, -0.5000]), tensor([1.]))
    """

    def value(self, u: Any, y: Any, space: Any = None) -> Tensor:
        rates, total = _pair(u)
        points, _ = _pair(y)
        good = rates > 0
        log = torch.where(good, torch.where(good, rates, 1.0).log(), -torch.inf)
        cost = -torch.where(points > 0, points * log, 0.0)
        if space is None:
            return cost.sum() + total.sum()
        axes = [tuple(range(-len(s.shape), 0)) for s in _pair(space)]
        return cost.sum(axes[0]) + total.sum(axes[1])

    def grad(self, u: Any, y: Any, space: Any = None) -> tuple[Tensor, Tensor]:
        rates, total = _pair(u)
        points, _ = _pair(y)
        safe = torch.where(points > 0, rates, 1.0)
        return torch.where(points > 0, -points / safe, 0.0), torch.ones_like(total)

    def prox(self, u: Any, y: Any, step: float | Tensor, space: Any = None) -> tuple[Tensor, Tensor]:
        rates, total = _pair(u)
        points, _ = _pair(y)
        per_photon = per_pixel = step
        if isinstance(step, Tensor) and step.ndim and space is not None:
            photons, pixels = _pair(space)
            per_photon = step.reshape(*step.shape, *(1,) * len(photons.shape))
            per_pixel = step.reshape(*step.shape, *(1,) * len(pixels.shape))
        product = per_photon * points
        root = (rates.square() + 4 * product).sqrt()
        near = torch.where(
            rates < 0, 2 * product / torch.where(rates < 0, root - rates, 1.0), (rates + root) / 2
        )
        return torch.where(points > 0, near, rates), total - per_pixel


def tag_likelihood(x: Tensor, rates: TagRates) -> Tensor:
    """Return the negative log-likelihood of time tags, Σ m - Σ log u.

    Differentiable in the image and in the parameters of the response.

    Parameters
    ----------
    x : Tensor, shape (..., 2 K + 1, y, x)
        Depths, reflectivities, background.
    rates : TagRates
        Tags and their model.

    Returns
    -------
    Tensor, shape (...)
        Equal to Σ (λ_b - n_b log λ_b) over the histogram, its Poisson likelihood.
    """
    return PointProcess().value(rates(x), rates.data, rates.range)


def _pair(parts: Any) -> tuple[Any, Any]:
    if not isinstance(parts, tuple) or len(parts) != 2:
        got = f"{len(parts)} parts" if isinstance(parts, tuple) else type(parts).__name__
        raise ShapeError(
            f"PointProcess: expected a tuple of two parts (photons, pixels), as TagRates makes it; got {got}"
        )
    return parts
