"""Impulse responses: detection times of photons from a single flat surface."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from invcore import DtypeError, ParameterError, ShapeError, Value
from invcore.operators import under_transform

_FWHM = 2 * math.sqrt(2 * math.log(2))  # of a Gaussian, in standard deviations
_ROOT_2 = math.sqrt(2)


class ImpulseResponse(Value, abstract=True):
    """Density h(t) of the detection times of photons from one surface: laser pulse and timing jitter.

    ∫ h(t) dt = 1, with t in seconds after the time of flight. ``ImpulseResponse.gaussian``,
    ``.exponential_gaussian`` and ``.measured`` make the three kinds. Every method takes times of any shape
    and is twice differentiable in the times and in the parameters; tensor parameters broadcast against the
    times from the right (`unsqueezed` appends axes).

    Examples
    --------
    >>> h = ImpulseResponse.gaussian(fwhm=100e-12)
    >>> h.cumulative(torch.zeros((), dtype=torch.float64)).item()
    0.5
    >>> h.support[1] < 1e-9
    True
    """

    @abstractmethod
    def density(self, t: Tensor) -> Tensor:
        """Return h(t) in 1/s.

        Parameters
        ----------
        t : Tensor, shape (...)
            Seconds.

        Returns
        -------
        Tensor, shape (...)
        """

    @abstractmethod
    def cumulative(self, t: Tensor) -> Tensor:
        """Return ∫ h over all times before t, from 0 to 1.

        Parameters
        ----------
        t : Tensor, shape (...)
            Seconds.

        Returns
        -------
        Tensor, shape (...)
        """

    def log_density(self, t: Tensor) -> Tensor:
        """Return log h(t); -∞ where h is zero."""
        return self.density(t).log()

    @abstractmethod
    def interval(self, outside: float) -> tuple[float, float]:
        """Return times in seconds between which lies all of h except at most the fraction ``outside``."""

    @property
    def support(self) -> tuple[float, float]:
        """Times in seconds between which lies all of h to double precision (10⁻¹⁵)."""
        return self.interval(1e-15)

    @property
    def fwhm(self) -> float:
        """Full width at half maximum in seconds; the largest of a batch."""
        low, high = self.interval(1e-3)
        t = torch.linspace(low, high, 8193, dtype=torch.float64)
        with torch.no_grad():
            h = self.unsqueezed(1).to(torch.float64).to("cpu").density(t)
        above = h >= h.amax(-1, keepdim=True) / 2
        first, last = above.int().argmax(-1), 8192 - above.flip(-1).int().argmax(-1)
        return ((last - first) * (t[1] - t[0])).amax().item()

    def unsqueezed(self, axes: int) -> ImpulseResponse:
        """Return a copy whose parameters have ``axes`` axes of size 1 appended, to broadcast against times.

        Parameters
        ----------
        axes : int

        Returns
        -------
        ImpulseResponse
        """
        held = {n: getattr(self, n) for n in self.params}
        return self.bind(**{n: v[(..., *(None,) * axes)] for n, v in held.items() if isinstance(v, Tensor)})

    @abstractmethod
    def sample(self, count: int, *, generator: torch.Generator) -> Tensor:
        """Draw detection times relative to the time of flight.

        Parameters
        ----------
        count : int
        generator : torch.Generator

        Returns
        -------
        Tensor, shape (count,)
            Seconds, float64.
        """

    @staticmethod
    def gaussian(*, fwhm: float | Tensor) -> GaussianResponse:
        """Return a Gaussian at the time of flight with a full width at half maximum in seconds."""
        return GaussianResponse(sigma=fwhm / _FWHM)

    @staticmethod
    def exponential_gaussian(*, sigma: float | Tensor, decay: float | Tensor) -> ExponentialGaussianResponse:
        """Return a Gaussian of standard deviation ``sigma`` with a tail of mean ``decay``, in seconds."""
        return ExponentialGaussianResponse(sigma=sigma, decay=decay)

    @staticmethod
    def measured(*, samples: Tensor, spacing: float, origin: float | None = None) -> MeasuredResponse:
        """Return a response through samples; t = 0 is at their maximum unless ``origin`` is given."""
        if origin is None:
            if not isinstance(samples, Tensor) or samples.ndim < 1 or not samples.numel():
                raise ShapeError("ImpulseResponse.measured: samples must be a nonempty tensor (..., sample)")
            mean = samples.detach().reshape(-1, samples.shape[-1]).mean(0)
            origin = -spacing * int(mean.argmax())
        return MeasuredResponse(samples=samples, spacing=spacing, origin=origin)


class GaussianResponse(ImpulseResponse):
    """Gaussian impulse response,

    .. math:: h(t) = \\frac{1}{\\sqrt{2π} σ} e^{-t^2/(2σ^2)}.

    Parameters
    ----------
    sigma : float or Tensor
        Standard deviation σ in seconds, positive; the full width at half maximum is 2.355 σ.

    Raises
    ------
    ParameterError
        If ``sigma`` is not positive and finite.

    Examples
    --------
    >>> h = ImpulseResponse.gaussian(fwhm=2.0)
    >>> t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    >>> round((h.density(t)[1] / h.density(t)[0]).item(), 12)
    0.5
    """

    sigma: float | Tensor
    params = ("sigma",)

    def __post_init__(self) -> None:
        _check_positive(self, "sigma")

    def density(self, t: Tensor) -> Tensor:
        sigma = self.sigma
        return torch.exp(-0.5 * (t / sigma) ** 2) / (math.sqrt(2 * math.pi) * sigma)

    def cumulative(self, t: Tensor) -> Tensor:
        return 0.5 * torch.erfc(t / (-_ROOT_2 * self.sigma))

    def log_density(self, t: Tensor) -> Tensor:
        sigma = self.sigma
        scale = sigma.log() if isinstance(sigma, Tensor) else math.log(sigma)
        return -0.5 * (t / sigma) ** 2 - (scale + 0.5 * math.log(2 * math.pi))

    def interval(self, outside: float) -> tuple[float, float]:
        half = _largest(self.sigma) * _deviations(outside / 2)
        return -half, half

    def sample(self, count: int, *, generator: torch.Generator) -> Tensor:
        return torch.randn(count, generator=generator, dtype=torch.float64) * _one(self, "sigma")


class ExponentialGaussianResponse(ImpulseResponse):
    """Gaussian with an exponential tail, caused in a SPAD by the diffusion of carriers,

    .. math:: h(t) = \\frac{1}{τ} e^{σ^2/(2τ^2) - t/τ} Φ(t/σ - σ/τ),

    the density of the sum of a zero-mean Gaussian time and an exponential time with mean τ.

    Parameters
    ----------
    sigma : float or Tensor
        Standard deviation σ of the Gaussian part in seconds, positive.
    decay : float or Tensor
        τ in seconds, positive.

    Raises
    ------
    ParameterError
        If a parameter is not positive and finite.

    References
    ----------
    E. Grushka, "Characterization of exponentially modified Gaussian peaks in chromatography", Analytical
    Chemistry 44 (1972).

    Examples
    --------
    >>> h = ExponentialGaussianResponse(sigma=25e-12, decay=90e-12)
    >>> 60e-12 < h.fwhm < 150e-12
    True
    """

    sigma: float | Tensor
    decay: float | Tensor
    params = ("sigma", "decay")

    def __post_init__(self) -> None:
        _check_positive(self, "sigma")
        _check_positive(self, "decay")

    def density(self, t: Tensor) -> Tensor:
        return self._tail(t) / self.decay

    def cumulative(self, t: Tensor) -> Tensor:
        return 0.5 * torch.erfc(t / (-_ROOT_2 * self.sigma)) - self._tail(t)

    def _tail(self, t: Tensor) -> Tensor:
        """Return τ h(t), on each side of the peak by the formula that neither overflows nor cancels there."""
        sigma = self.sigma
        ratio = sigma / self.decay
        z = t / sigma - ratio
        early = z < 0
        below, above = torch.where(early, z, 0.0), torch.where(early, 0.0, z)
        left = 0.5 * torch.special.erfcx(-below / _ROOT_2) * torch.exp(-0.5 * (below + ratio) ** 2)
        right = torch.exp(-ratio * (above + 0.5 * ratio)) * torch.special.ndtr(above)
        return torch.where(early, left, right)

    def interval(self, outside: float) -> tuple[float, float]:
        half = _largest(self.sigma) * _deviations(outside / 4)
        return -half, half + _largest(self.decay) * math.log(4 / outside)

    def sample(self, count: int, *, generator: torch.Generator) -> Tensor:
        normal = torch.randn(count, generator=generator, dtype=torch.float64)
        uniform = torch.rand(count, generator=generator, dtype=torch.float64)
        return normal * _one(self, "sigma") - _one(self, "decay") * torch.log1p(-uniform)


class MeasuredResponse(ImpulseResponse):
    """Measured impulse response, linear between samples and zero one step beyond both ends.

    Parameters
    ----------
    samples : Tensor, shape (..., sample)
        Equally spaced, in any unit: they are divided by their sum. Nonnegative, not all zero.
    spacing : float
        Step in seconds.
    origin : float
        Time of the first sample in seconds after the time of flight. Counts in bins are samples at the bin
        centers.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If the samples are not such a list, or the step is not positive.

    Notes
    -----
    h is continuous and piecewise linear, so that `cumulative` is twice differentiable except at the samples,
    where the second derivative jumps.

    Examples
    --------
    >>> h = ImpulseResponse.measured(samples=torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64), spacing=1.0)
    >>> h.origin, h.support
    (-1.0, (-2.0, 2.0))
    >>> h.density(torch.tensor([0.0, 2.0])).tolist()
    [0.5, 0.0]
    """

    samples: Tensor
    spacing: float
    origin: float
    params = ("samples",)

    def __post_init__(self) -> None:
        if not isinstance(self.samples, Tensor) or not self.samples.is_floating_point():
            kind = self.samples.dtype if isinstance(self.samples, Tensor) else type(self.samples).__name__
            raise DtypeError(f"MeasuredResponse: samples must be a floating-point tensor, got {kind}")
        if self.samples.ndim < 1 or self.samples.shape[-1] < 1:
            raise ShapeError(
                f"MeasuredResponse: samples must be (..., sample), got {tuple(self.samples.shape)}"
            )
        if not (isinstance(self.spacing, int | float) and 0 < self.spacing < math.inf):
            raise ParameterError(
                f"MeasuredResponse: spacing must be a positive time in seconds, got {self.spacing!r}"
            )
        if not (isinstance(self.origin, int | float) and math.isfinite(self.origin)):
            raise ParameterError(f"MeasuredResponse: origin must be a time in seconds, got {self.origin!r}")
        if under_transform() or self.samples.device.type == "meta":
            return
        held = self.samples.detach()
        if not (
            bool(torch.isfinite(held).all()) and bool((held >= 0).all()) and bool((held.sum(-1) > 0).all())
        ):
            raise ParameterError("MeasuredResponse: samples must be finite, nonnegative, and not all zero")

    def density(self, t: Tensor) -> Tensor:
        i, f = self._position(t)
        here, after = self._look_up(torch.nn.functional.pad(self._weights(), (1, 1)), i)
        return (here + f * (after - here)) / self.spacing

    def cumulative(self, t: Tensor) -> Tensor:
        i, f = self._position(t)
        padded = torch.nn.functional.pad(self._weights(), (1, 1))
        here, after = self._look_up(padded, i)
        steps = 0.5 * (padded[..., :-1] + padded[..., 1:])
        before, _ = self._look_up(torch.nn.functional.pad(steps.cumsum(-1), (1, 0)), i)
        return before + f * (here + 0.5 * f * (after - here))

    def interval(self, outside: float) -> tuple[float, float]:
        return self.origin - self.spacing, self.origin + self.samples.shape[-1] * self.spacing

    def unsqueezed(self, axes: int) -> MeasuredResponse:
        """Return a copy with axes of size 1 between the batch axes and the samples."""
        return self.bind(samples=self.samples[(..., *(None,) * axes, slice(None))]) if axes else self

    def sample(self, count: int, *, generator: torch.Generator) -> Tensor:
        if self.samples.ndim > 1:
            raise ShapeError("MeasuredResponse.sample: draw from one response at a time, not from a batch")
        weights = self.samples.detach().double().cpu()
        upto = weights.cumsum(0) / weights.sum()
        uniform = torch.rand(3, count, generator=generator, dtype=torch.float64)
        which = torch.searchsorted(upto, uniform[0], right=True).clamp_max(len(weights) - 1)
        return self.origin + (which + uniform[1] - uniform[2]) * self.spacing  # a hat is two boxes convolved

    def _weights(self) -> Tensor:
        return self.samples / self.samples.sum(-1, keepdim=True)

    def _position(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the knot before t (0: a step before the first sample) and the distance from it in steps."""
        steps = (t - self.origin) / self.spacing + 1
        last = self.samples.shape[-1]
        i = steps.detach().floor().clamp(0, last)
        return i.long(), (steps - i).clamp(0, 1)

    @staticmethod
    def _look_up(table: Tensor, i: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``table[..., i]`` and ``table[..., i + 1]``; the leading axes broadcast against i."""
        length = table.shape[-1]
        flat = table.reshape(-1)
        if table.ndim > 1:
            rows = torch.arange(flat.numel() // length, device=flat.device).reshape(table.shape[:-1])
            i = i + length * rows
        return flat[i], flat[i + 1]


def _check_positive(response: ImpulseResponse, name: str) -> None:
    value = getattr(response, name)
    label = type(response).__name__
    if isinstance(value, Tensor):
        if not value.is_floating_point():
            raise DtypeError(f"{label}: {name} must be a floating-point tensor, got {value.dtype}")
        if under_transform() or value.device.type == "meta":
            return
        good = bool(((value.detach() > 0) & torch.isfinite(value.detach())).all())
    else:
        good = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
    if not good:
        raise ParameterError(f"{label}: {name} must be a positive time in seconds, got {value!r}")


def _largest(value: float | Tensor) -> float:
    return value.detach().amax().item() if isinstance(value, Tensor) else float(value)


def _one(response: ImpulseResponse, name: str) -> float:
    value = getattr(response, name)
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ShapeError(
            f"{type(response).__name__}.sample: draw from one response at a time, {name} has {value.numel()} "
            "values"
        )
    return _largest(value)


def _deviations(tail: float) -> float:
    """Return the number of standard deviations above which a Gaussian has mass ``tail``."""
    if not 0 < tail < 0.5:
        raise ParameterError(f"outside must be a fraction between 0 and 1, got {tail!r}")
    return -torch.special.ndtri(torch.tensor(tail, dtype=torch.float64)).item()
