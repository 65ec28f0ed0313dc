"""Independent realizations of counts from one measurement."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .._errors import DataError, DtypeError, ParameterError
from .._finite import check_finite
from .._value import Value
from ..spaces import Space, check


class Thinning(Value):
    r"""Split counts into parts that are independent Poisson variables, by binomial thinning.

    .. math:: y^1 | y \sim \operatorname{Binomial}(y, p_1), \quad y^2 = y - y^1

    and so on for more parts: each photon goes to part k with probability :math:`p_k`. If y is Poisson
    distributed with mean μ, the parts are independent, with means :math:`p_k μ`, exactly. They are as good as
    repeated measurements with the shares of the exposure: for cross-validation, for losses without a
    reference, for `invcore.priors.IndependentRealizations`.

    Parameters
    ----------
    shares : tuple of float
        :math:`p_k`, positive, of sum one.
    gain : float
        Data units per count, as of `PoissonNoise`.

    Raises
    ------
    ParameterError

    References
    ----------
    J. F. C. Kingman, "Poisson processes" (1993), Section 5.1.

    Examples
    --------
    >>> y = torch.tensor([[[7.0, 0.0, 100.0]]])
    >>> first, second = Thinning()(y, generator=torch.Generator().manual_seed(0))
    >>> torch.equal(first + second, y), bool((first <= y).all())
    (True, True)
    """

    shares: tuple[float, ...] = (0.5, 0.5)
    gain: float = 1.0

    def __post_init__(self) -> None:
        good = len(self.shares) > 1 and all(p > 0 for p in self.shares)
        if not (good and abs(math.fsum(self.shares) - 1) < 1e-9):
            raise ParameterError(
                f"Thinning: shares must be two or more positive numbers of sum one, got {self.shares}"
            )
        if not 0 < self.gain < math.inf:
            raise ParameterError(f"Thinning: gain must be a positive number, got {self.gain!r}")

    def __call__(
        self, y: Tensor, *, generator: torch.Generator, space: Space | None = None
    ) -> tuple[Tensor, ...]:
        """Draw the parts.

        Parameters
        ----------
        y : Tensor, shape (batch..., *space.shape)
            Counts times ``gain``.
        generator : torch.Generator
        space : Space, optional
            Space of one item, so that the same seed gives the same parts however a batch is split; by default
            ``y`` is one item.

        Returns
        -------
        tuple of Tensor
            As many as shares, in the shape and units of ``y``, which is their sum.

        Raises
        ------
        DataError
            If ``y`` is not made of counts.
        """
        if not isinstance(y, Tensor) or not y.is_floating_point():
            got = getattr(y, "dtype", type(y).__name__)
            raise DtypeError(f"Thinning: y must be a real floating-point tensor, got {got}")
        if y.ndim == 0:
            raise DataError("Thinning: y must be an array of counts, got a number without dimensions")
        if space is not None:
            check(y, space, "Thinning: y")
        if not isinstance(generator, torch.Generator):
            raise ParameterError(f"Thinning: generator must be a torch.Generator, got {generator!r}")
        check_finite(y, "Thinning: y", "Fill in or leave out what was not measured.")
        left = (y.double() / self.gain).round()
        off = (left * self.gain - y).abs() > 1e-3 * self.gain + 1e-6 * y.abs()
        if bool((off | (left < 0)).any()):
            raise DataError(
                f"Thinning: y must hold whole numbers >= 0 times gain={self.gain:g}; "
                f"{int((off | (left < 0)).sum())} of {y.numel()} entries do not, such as "
                f"{float(y[off | (left < 0)][0]):.6g}. Thin the counts themselves, before a background or an "
                "offset is taken off."
            )
        items = left.flatten().unflatten(0, (-1, space.size if space else left.numel())) if y.numel() else []
        drawn = [self._draw(item.to(generator.device), generator) for item in items]
        if not drawn:
            return (y.clone(),) * len(self.shares)
        parts = torch.stack(drawn, dim=1).reshape(len(self.shares) - 1, *y.shape).to(y.device)
        first = [(self.gain * part).to(y.dtype) for part in parts]
        return (*first, y - sum(first))

    def _draw(self, counts: Tensor, generator: torch.Generator) -> Tensor:
        """All parts but the last, (parts - 1, n)."""
        found, rest = [], 1.0
        for share in self.shares[:-1]:
            p = torch.full_like(counts, min(share / rest, 1.0))
            found.append(torch.binomial(counts, p, generator=generator))
            counts, rest = counts - found[-1], rest - share
        return torch.stack(found)
