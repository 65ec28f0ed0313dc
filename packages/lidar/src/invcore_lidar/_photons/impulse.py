"""Impulse responses: what a detector records of an infinitely thin, still surface."""

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
    """The distribution h(t) of the detection times of photons from one surface, laser pulse and timing jitter together.

    h is a density: ∫ h(t) dt = 1, with t in seconds after the time of flight. ``ImpulseResponse.gaussian``,
    ``.exponential_gaussian`` and ``.measured`` make the three kinds. Every method takes times of any shape and is
    differentiable, twice, in the times and in the parameters; a parameter that is not a number broadcasts against the
    times, from the right (`unsqueezed` appends axes).

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
        """h(t), per second.

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
        """∫ h over all times before t, from 0 to 1.

        Parameters
        ----------
        t : Tensor, shape (...)
            Seconds.

        Returns
        -------
        Tensor, shape (...)
        """

    def log_density(self, t: Tensor) -> Tensor:
        """log h(t); -∞ where no photon arrives."""
        return self.density(t).log()

    @abstractmethod
    def interval(self, outside: float) -> tuple[float, float]:
        """Times between which all of h lies but the fraction ``outside`` at most, in seconds."""

    @property
    def support(self) -> tuple[float, float]:
        """Times between which all of h lies, to the precision of double floats (10⁻¹⁵), in seconds."""
        return self.interval(1e-15)

    @property
    def fwhm(self) -> float:
        """Full width at half maximum in seconds; the largest, if parameters have many values."""
        low, high = self.interval(1e-3)
        t = torch.linspace(low, high, 8193, dtype=torch.float64)
        with torch.no_grad():
            h = self.unsqueezed(1).to(torch.float64).to("cpu").density(t)
        above = h >= h.amax(-1, keepdim=True) / 2
        first, last = above.int().argmax(-1), 8192 - above.flip(-1).int().argmax(-1)
        return ((last - first) * (t[1] - t[0])).amax().item()

    def unsqueezed(self, axes: int) -> ImpulseResponse:
        """Return a copy whose parameters have that many axes of size 1 appended, to broadcast against batches of times.

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
        """Draw detection times.

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
        """Return a Gaussian, centered on the time of flight; ``fwhm`` is its full width at half maximum in seconds."""
        return GaussianResponse(sigma=fwhm / _FWHM)

    @staticmethod
    def exponential_gaussian(*, sigma: float | Tensor, decay: float | Tensor) -> ExponentialGaussianResponse:
        """Return a Gaussian with an exponential tail; standard deviation and mean of the two, in seconds."""
        return ExponentialGaussianResponse(sigma=sigma, decay=decay)

    @staticmethod
    def measured(*, samples: Tensor, spacing: float, origin: float | None = None) -> MeasuredResponse:
        """Return a response that goes through samples; at their maximum is t = 0 unless ``origin`` is given."""
        if origin is None:
            if not isinstance(samples, Tensor) or samples.ndim < 1 or not samples.numel():
                raise ShapeError(
                    "ImpulseResponse.measured: samples must be a tensor (..., sample), not empty"
                )
            mean = samples.detach().reshape(-1, samples.shape[-1]).mean(0)
            origin = -spacing * int(mean.argmax())
        return MeasuredResponse(samples=samples, spacing=spacing, origin=origin)


class GaussianResponse(ImpulseResponse):
    """A Gaussian impulse response,

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
    """A Gaussian with an exponential tail, as the diffusion of carriers in a SPAD makes it,

    .. math:: h(t) = \\frac{1}{τ} e^{σ^2/(2τ^2) - t/τ} Φ(t/σ - σ/τ),

    which is the density of the sum of a Gaussian time around 0 and an exponential one with mean τ.

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
    E. Grushka, "Characterization of exponentially modified Gaussian peaks in chromatography", Analytical Chemistry 44 (1972).

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
        """τ h(t), each half of the line by the formula that neither overflows nor cancels there."""
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
    """An impulse response through measured samples, linear between them and to zero one step beyond both ends.

    Parameters
    ----------
    samples : Tensor, shape (..., sample)
        At equal steps, of any unit: they are divided by their sum. Not negative, not all zero.
    spacing : float
        Step in seconds.
    origin : float
        Time of the first sample in seconds after the time of flight. Samples that are counts of bins belong to the middles
        of the bins.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If the samples are no such list, or the step is not positive.

    Notes
    -----
    h is continuous and piecewise linear, so that `cumulative` is differentiable twice but at the samples themselves, where the
    second derivative jumps.

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
            raise ParameterError("MeasuredResponse: samples must be finite, not negative, and not all zero")

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
        """Return a copy with axes of size 1 put between the samples' batch axes and the samples."""
        return self.bind(samples=self.samples[(..., *(None,) * axes, slice(None))]) if axes else self

    def sample(self, count: int, *, generator: torch.Generator) -> Tensor:
        if self.samples.ndim > 1:
            raise ShapeError("MeasuredResponse.sample: draw from one response at a time, these are several")
        weights = self.samples.detach().double().cpu()
        upto = weights.cumsum(0) / weights.sum()
        uniform = torch.rand(3, count, generator=generator, dtype=torch.float64)
        which = torch.searchsorted(upto, uniform[0], right=True).clamp_max(len(weights) - 1)
        return self.origin + (which + uniform[1] - uniform[2]) * self.spacing  # a hat is two boxes convolved

    def _weights(self) -> Tensor:
        return self.samples / self.samples.sum(-1, keepdim=True)

    def _position(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The knot before t (0 is one step before the first sample) and the distance from it in steps, 0 ... 1."""
        steps = (t - self.origin) / self.spacing + 1
        last = self.samples.shape[-1]
        i = steps.detach().floor().clamp(0, last)
        return i.long(), (steps - i).clamp(0, 1)

    @staticmethod
    def _look_up(table: Tensor, i: Tensor) -> tuple[Tensor, Tensor]:
        """``table[..., i]`` and ``table[..., i + 1]``, the axes before broadcast against i."""
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
            f"{type(response).__name__}.sample: draw from one response at a time, {name} has {value.numel()} values"
        )
    return _largest(value)


def _deviations(tail: float) -> float:
    """How many standard deviations from the mean a Gaussian has that much left on one side."""
    if not 0 < tail < 0.5:
        raise ParameterError(f"outside must be a fraction between 0 and 1, got {tail!r}")
    return -torch.special.ndtri(torch.tensor(tail, dtype=torch.float64)).item()
