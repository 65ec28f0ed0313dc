"""`WeightedXRay`: line integrals in units of their noise."""

from __future__ import annotations

from functools import cached_property

from torch import Tensor

from invcore import LinearOperator, ParameterError, Space
from invcore.spaces import broadcast_shapes

from .._fbp.filters import FilterName
from .._geometry.coarse import coarser, pixel_means
from .._geometry.geometry import Geometry
from .xray import XRay


class WeightedXRay(LinearOperator):
    r"""The X-ray transform with a weight for each ray, x ↦ w ⊙ Ax.

    With :math:`w_i = 1/σ_i` the noise of all data is 1 and least squares is weighted least squares. For N
    counts behind a line integral y = -log(N/N₀) the variance is about 1/N, so :math:`w = \sqrt{N_0 e^{-y}}`:
    the quadratic approximation of the Poisson likelihood [1]_, good from about ten counts.

    Parameters
    ----------
    geometry : Geometry
    weights : Tensor, shape (..., channel, view, column) or (..., channel, view, row, column)
        Positive, broadcast to this shape; leading dimensions are batch.

    References
    ----------
    .. [1] K. Sauer and C. Bouman, "A local update strategy for iterative reconstruction from projections",
       IEEE Trans. Signal Process. 41 (1993).

    Examples
    --------
    >>> import torch
    >>> from invcore_tomography import parallel
    >>> A = WeightedXRay(parallel(4, columns=3), weights=torch.full((1, 4, 3), 2.0))
    >>> A(torch.ones(1, 3, 3))[0, 0]
    tensor([6., 6., 6.])
    """

    geometry: Geometry
    weights: Tensor
    params = ("weights",)

    def __post_init__(self) -> None:
        if not bool((self.weights > 0).all()):
            raise ParameterError(
                "WeightedXRay: weights must be positive; leave rays out by leaving out views"
            )

    @property
    def domain(self) -> Space:
        return self._xray.domain

    @property
    def range(self) -> Space:
        return self._xray.range

    def forward(self, x: Tensor) -> Tensor:
        return self.weights * self._xray(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._xray.H(self.weights * y)

    def fbp(self, y: Tensor, *, filter: FilterName = "ram-lak", cutoff: float = 1.0) -> Tensor:
        """Filtered backprojection of y/w; see `XRay.fbp`."""
        return self._xray.fbp(y / self.weights, filter=filter, cutoff=cutoff)

    def coarser(self, y: Tensor) -> tuple[WeightedXRay, Tensor] | None:
        """As `XRay.coarser`, with means weighted by w², and the root of the mean of w² as their weights."""
        geometry = coarser(self.geometry)
        if geometry is None:
            return None
        whole = self.weights.expand(broadcast_shapes(self.weights.shape, self.range.shape))
        weights = pixel_means(whole**2, self.geometry, geometry).sqrt()
        return (
            WeightedXRay(geometry=geometry, weights=weights),
            pixel_means(whole * y, self.geometry, geometry) / weights,
        )

    @cached_property
    def _xray(self) -> XRay:
        return XRay(geometry=self.geometry)
