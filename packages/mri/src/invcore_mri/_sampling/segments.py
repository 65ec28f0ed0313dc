"""Off-resonance by time segments: a phase in space and time as a sum of products."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError

_LEAST = 96  # values of the field that the interpolators fit, and times at which the fit is judged
_MOST = 256  # segments
_CHUNK = 2**14  # samples whose interpolators are computed at once


class Segments(NamedTuple):
    r"""Times and interpolators with :math:`e^{2 \pi i f t} \approx \sum_l b_l(t) e^{2 \pi i f \tau_l}`.

    Attributes
    ----------
    times : tuple of float
        τ, in seconds.
    weights : Tensor, shape (segment, ...)
        b at each time, complex128.
    error : float
        Largest error over the range of the field.
    """

    times: tuple[float, ...]
    weights: Tensor
    error: float


def segments(low: float, high: float, times: Tensor, eps: float) -> Segments:
    r"""Return the fewest segments that reach an accuracy, interpolated by least squares [1]_.

    The interpolators fit the phases of equally spaced values of the field from ``low`` to ``high``, at any
    of which the error is meant. About 1.3 segments for each turn of the phase, and one for each digit, are
    needed.

    Parameters
    ----------
    low, high : float
        Extremes of the field in Hz.
    times : Tensor
        In seconds, any shape.
    eps : float
        Largest error of the phase factor.

    References
    ----------
    .. [1] B. Sutton, D. Noll, J. Fessler, "Fast, iterative image reconstruction for MRI in the presence of
       field inhomogeneities", IEEE Trans. Med. Imaging 22 (2003).
    """
    t = times.detach().double().cpu()
    first, last = float(t.amin()), float(t.amax())
    turns = (high - low) * (last - first)
    if turns > _MOST:
        raise ParameterError(
            f"the off-resonance of {low:.4g} to {high:.4g} Hz turns the phase {turns:.0f} times in a readout "
            f"of {1e3 * (last - first):.4g} ms: is the field in rad/s, or are the times in ms?"
        )
    fine = max(_LEAST, 4 * math.ceil(turns))
    fields = torch.linspace(low, high, fine, dtype=torch.float64)
    trial = torch.linspace(first, last, fine, dtype=torch.float64)
    wanted = _phases(fields, trial)
    best, nodes = math.inf, trial
    for count in range(max(1, math.ceil(turns)), math.ceil(turns) + 40):
        some = _nodes(count, first, last)
        basis = _phases(fields, some)
        error = float((basis @ _fitted(basis, wanted) - wanted).abs().amax())
        if error < best:
            best, nodes = error, some
        if error <= eps:
            break
    basis = _phases(fields, nodes)
    parts = [_fitted(basis, _phases(fields, part)) for part in t.reshape(-1).split(_CHUNK)]
    weights = torch.cat(parts, -1).reshape(len(nodes), *t.shape)
    return Segments(tuple(nodes.tolist()), weights.to(times.device), best)


def _fitted(basis: Tensor, wanted: Tensor) -> Tensor:
    """Least squares; by singular values, as the columns are nearly dependent."""
    return torch.linalg.lstsq(basis, wanted, rcond=1e-15, driver="gelsd").solution


def _phases(fields: Tensor, times: Tensor) -> Tensor:
    """exp(2πi f t), (field, time)."""
    angle = 2 * math.pi * fields[:, None] * times
    return torch.polar(torch.ones_like(angle), angle)


def _nodes(count: int, first: float, last: float) -> Tensor:
    """Points denser at the ends, between equal steps (ill-conditioned) and Chebyshev's (too many)."""
    k = torch.arange(count, dtype=torch.float64)
    chebyshev = -torch.cos(math.pi * (2 * k + 1) / (2 * count))
    equal = (2 * k + 1 - count) / max(count - 1, 1)
    return (first + last) / 2 + (last - first) / 2 * (0.6 * chebyshev + 0.4 * equal)
