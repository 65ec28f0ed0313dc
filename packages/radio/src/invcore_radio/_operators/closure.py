"""Closure phases and log closure amplitudes, which do not depend on antenna gains."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError
from invcore.noises import GaussianMapNoise
from invcore.operators import Operator, Space

from .._data.closure_sets import ClosureSet, closure_quadrangles, closure_triangles
from .._noise.angles import CorrelatedPhaseNoise, PhaseNoise, wrapped
from .._noise.closure_errors import (
    log_amplitude_bias,
    log_amplitude_error,
    phase_error,
    propagated,
    propagated_covariance,
    signal_to_noise,
    with_fraction,
)
from .._noise.correlated import CorrelatedNoise
from .._noise.covariance import BlockCovariance

if TYPE_CHECKING:
    from .._data.visibilities import Visibilities


class _Closures(Operator, abstract=True):
    """Base class of closure quantities; every subclass has the field ``closures``."""

    closures: ClosureSet

    @property
    def domain(self) -> Space:
        """Visibilities, ``(row, frequency)`` complex."""
        return Space(self.closures.shape, "complex")

    @property
    def range(self) -> Space:
        """Closure quantities, ``(closure,)``; phases in radians."""
        return Space((len(self.closures),))

    def sigma(
        self, visibilities: Tensor, sigma: Tensor, *, systematic: float = 0.0, fraction: float = 0.0
    ) -> Tensor:
        """Compute the standard deviation of each closure quantity.

        Parameters
        ----------
        visibilities : Tensor, shape (row, frequency), complex
            Measured visibilities.
        sigma : Tensor, shape (row, frequency)
            Standard deviation of their real and imaginary part.
        systematic : float
            Independent error of every closure quantity (phases in radians), added in quadrature.
        fraction : float
            Error of each visibility as a fraction of its amplitude, added in quadrature.

        Returns
        -------
        Tensor, shape (closure,)
        """
        variance = self._variance(visibilities, sigma, fraction)
        return (propagated(self.closures, variance) + systematic**2).sqrt()

    def covariance(
        self, visibilities: Tensor, sigma: Tensor, *, systematic: float = 0.0, fraction: float = 0.0
    ) -> BlockCovariance:
        """Compute the covariance of the closure quantities; parameters as for `sigma`.

        It is singular unless the closures are independent (``minimal`` sets) or ``systematic`` > 0.
        """
        return propagated_covariance(self.closures, self._variance(visibilities, sigma, fraction), systematic)

    @abstractmethod
    def _variance(self, visibilities: Tensor, sigma: Tensor, fraction: float) -> Tensor:
        """Variance of the phase or the log amplitude of each visibility."""


class ClosurePhases(_Closures):
    """Closure phases of visibilities, ψ_ijk = arg(V_ij V_jk V_ki) in [-π, π].

    Antenna-based phase errors, from atmosphere and clocks, cancel. Compose it with an interferometer,
    ``ClosurePhases(...) @ A``. The derivative is that of the angle, also at the jump by 2π, to which
    `PhaseLikelihood` is insensitive. A visibility of exactly zero counts as having phase 0.

    Parameters
    ----------
    closures : ClosureSet
        Triangles, from `closure_triangles`.

    Raises
    ------
    ShapeError
        If ``closures`` are not triangles.

    References
    ----------
    R. C. Jennison, "A phase sensitive interferometer technique for the measurement of the Fourier transforms
    of spatial brightness distributions of small angular extent", MNRAS 118 (1958); L. Blackburn et al., ApJ
    894 (2020) 31.

    Examples
    --------
    >>> a, b = torch.triu_indices(3, 3, 1)
    >>> A = ClosurePhases(closure_triangles(a, b, torch.zeros(3)))
    >>> V = torch.polar(torch.ones(3), torch.tensor([0.3, 0.1, 0.4])).reshape(3, 1)  # V_01, V_02, V_12
    >>> A(V)
    tensor([0.6000])
    """

    closures: ClosureSet

    def __post_init__(self) -> None:
        _need_legs(self, 3, "triangles")

    def forward(self, x: Tensor) -> Tensor:
        return wrapped((self.closures.sign * _legs(self.closures, x).angle()).sum(-1))

    def measured(self, visibilities: Tensor) -> Tensor:
        """Return the closure phases of data, ``(..., closure)``; they need no correction for noise."""
        return self(visibilities)

    def noise(
        self,
        visibilities: Tensor,
        sigma: Tensor,
        *,
        systematic: float = 0.0,
        fraction: float = 0.0,
        correlated: bool = False,
    ) -> PhaseNoise | CorrelatedPhaseNoise:
        """Return the noise of the closure phases; other parameters as for `sigma`.

        Parameters
        ----------
        correlated : bool
            Include the correlations between closures that share visibilities.
        """
        if correlated:
            return CorrelatedPhaseNoise(
                covariance=self.covariance(visibilities, sigma, systematic=systematic, fraction=fraction)
            )
        return PhaseNoise(sigma=self.sigma(visibilities, sigma, systematic=systematic, fraction=fraction))

    def _variance(self, visibilities: Tensor, sigma: Tensor, fraction: float) -> Tensor:
        return phase_error(_snr(self.closures, visibilities, sigma, fraction)).square()


class LogClosureAmplitudes(_Closures):
    """Log closure amplitudes of visibilities, c_ijkl = ln(|V_ij||V_kl| / (|V_ik||V_jl|)).

    Amplitudes of antenna gains cancel. The derivative does not exist where a visibility is zero.

    Parameters
    ----------
    closures : ClosureSet
        Quadrangles, from `closure_quadrangles`.

    Raises
    ------
    ShapeError
        If ``closures`` are not quadrangles.

    References
    ----------
    R. Q. Twiss, A. W. L. Carter, A. G. Little, "Brightness distribution over some strong radio sources at
    1427 Mc/s", Observatory 80 (1960); L. Blackburn et al., ApJ 894 (2020) 31.

    Examples
    --------
    >>> a, b = torch.triu_indices(4, 4, 1)
    >>> A = LogClosureAmplitudes(closure_quadrangles(a, b, torch.zeros(6)))
    >>> V = torch.tensor([4.0, 1.0, 1.0, 1.0, 1.0, 1.0]).to(torch.complex64).reshape(6, 1)
    >>> A(V)
    tensor([ 0.0000, -1.3863])
    """

    closures: ClosureSet

    def __post_init__(self) -> None:
        _need_legs(self, 4, "quadrangles")

    def forward(self, x: Tensor) -> Tensor:
        return (self.closures.sign * _legs(self.closures, x).abs().log()).sum(-1)

    def measured(self, visibilities: Tensor, *, snr: Tensor | None = None) -> Tensor:
        """Return the log closure amplitudes of data, corrected for the noise bias if ``snr`` is given.

        The bias of a logarithm, `log_amplitude_bias`, is 9 % at a signal-to-noise ratio of 1.5 and 0.5 % at
        2.5. The correction is only as good as the ratio: estimated from the same datum, its error exceeds the
        bias above a ratio of 1.5. Pass the ratio of a model or of a long average, or none.

        Parameters
        ----------
        visibilities : Tensor, shape (..., row, frequency), complex
            Measured visibilities.
        snr : Tensor, shape (row, frequency), optional
            A/σ of each visibility, known independently of these data.

        Returns
        -------
        Tensor, shape (..., closure)
        """
        out = self(visibilities)
        if snr is None:
            return out
        return out - (self.closures.sign * log_amplitude_bias(snr.reshape(-1)[self.closures.index])).sum(-1)

    def noise(
        self,
        visibilities: Tensor,
        sigma: Tensor,
        *,
        systematic: float = 0.0,
        fraction: float = 0.0,
        correlated: bool = False,
    ) -> GaussianMapNoise | CorrelatedNoise:
        """Return the noise of the log closure amplitudes; other parameters as for `sigma`.

        Parameters
        ----------
        correlated : bool
            Include the correlations between closures that share visibilities.
        """
        if correlated:
            return CorrelatedNoise(
                covariance=self.covariance(visibilities, sigma, systematic=systematic, fraction=fraction)
            )
        return GaussianMapNoise(
            sigma=self.sigma(visibilities, sigma, systematic=systematic, fraction=fraction)
        )

    def _variance(self, visibilities: Tensor, sigma: Tensor, fraction: float) -> Tensor:
        return log_amplitude_error(_snr(self.closures, visibilities, sigma, fraction)).square()


def closure_phases(
    visibilities: Visibilities, *, minimal: bool = True, min_snr: float = 0.0, tolerance: float = 0.5
) -> ClosurePhases:
    """Build the operator of the closure phases of a data set.

    Parameters
    ----------
    visibilities : Visibilities
        Visibilities of one correlation (``visibilities.stokes("I")``), averaged to common times.
    minimal : bool
        Use an independent set of triangles rather than all.
    min_snr : float
        Ignore visibilities with a smaller |V|/σ.
    tolerance : float
        Rows whose times differ by at most this many seconds are simultaneous.

    Returns
    -------
    ClosurePhases

    Raises
    ------
    ParameterError
        If there are several correlations, or no closures.

    Examples
    --------
    >>> from invcore_radio import simulate, vla
    >>> array = vla("D", antennas=6)
    >>> vis = simulate(array.observe(hour_angles=(0.0, 0.5), interval=900.0), torch.ones(1, 1, 1), pixel=1e-5)
    >>> closure_phases(vis).range.shape  # 10 independent triangles at each of 2 times
    (20,)
    """
    return ClosurePhases(closures=_found(closure_triangles, visibilities, minimal, min_snr, tolerance))


def log_closure_amplitudes(
    visibilities: Visibilities, *, minimal: bool = True, min_snr: float = 0.0, tolerance: float = 0.5
) -> LogClosureAmplitudes:
    """Build the operator of the log closure amplitudes of a data set; parameters as for `closure_phases`.

    Returns
    -------
    LogClosureAmplitudes

    Examples
    --------
    >>> from invcore_radio import simulate, vla
    >>> array = vla("D", antennas=6)
    >>> vis = simulate(array.observe(hour_angles=(0.0, 0.5), interval=900.0), torch.ones(1, 1, 1), pixel=1e-5)
    >>> log_closure_amplitudes(vis).range.shape  # 9 independent quadrangles at each of 2 times
    (18,)
    """
    return LogClosureAmplitudes(
        closures=_found(closure_quadrangles, visibilities, minimal, min_snr, tolerance)
    )


def _found(
    find: type | object, visibilities: Visibilities, minimal: bool, min_snr: float, tolerance: float
) -> ClosureSet:
    if visibilities.data.shape[-1] != 1:
        raise ParameterError(
            f"closures are of one correlation; these visibilities have {visibilities.polarizations}: take "
            ".stokes('I') first"
        )
    data, weight = visibilities.data[..., 0], visibilities.weight[..., 0]
    snr = data.abs() * weight.clamp_min(0).sqrt()
    good = ~visibilities.flag[..., 0] & (weight > 0) & (snr > 0) & (snr >= min_snr)
    closures: ClosureSet = find(  # type: ignore[operator]
        visibilities.antenna1,
        visibilities.antenna2,
        visibilities.time,
        good=good,
        snr=snr,
        minimal=minimal,
        tolerance=tolerance,
    )
    if not len(closures):
        raise ParameterError(
            "these visibilities have no closures: no antennas were observed together with all baselines "
            "between them "
            "(average to common times, or raise tolerance=)"
        )
    return closures


def _need_legs(operator: ClosurePhases | LogClosureAmplitudes, legs: int, name: str) -> None:
    got = operator.closures.index.shape[1]
    if got != legs:
        raise ShapeError(
            f"{type(operator).__name__}: closures must be {name} ({legs} visibilities), got {got}"
        )


def _legs(closures: ClosureSet, visibilities: Tensor) -> Tensor:
    """Gather (..., row, frequency) into (..., closure, leg)."""
    return visibilities.flatten(-2)[..., closures.index]


def _snr(closures: ClosureSet, visibilities: Tensor, sigma: Tensor, fraction: float) -> Tensor:
    """Signal-to-noise ratio of every visibility in a closure; 1 elsewhere, where there may be no data."""
    for name, t in (("visibilities", visibilities), ("sigma", sigma)):
        if tuple(t.shape) != closures.shape:
            raise ShapeError(
                f"{name} must have shape (row, frequency) = {closures.shape}, got {tuple(t.shape)}"
            )
    used = torch.zeros(sigma.numel(), dtype=torch.bool, device=sigma.device)
    used[closures.index.reshape(-1)] = True
    used = used.reshape(sigma.shape)
    bad = used & ~((sigma > 0) & torch.isfinite(sigma) & torch.isfinite(visibilities.abs()))
    if bool(bad.any()):
        raise ParameterError(
            f"{int(bad.sum())} visibilities that close have no error or value (sigma must be > 0 and "
            "finite): flag them"
        )
    total = with_fraction(sigma, visibilities, fraction)
    return torch.where(used, signal_to_noise(visibilities, torch.where(used, total, 1.0)), 1.0)
