"""The orthogonal wavelet transform as an operator."""

from __future__ import annotations

from torch import Tensor

from .._errors import ParameterError, ShapeError
from ..spaces import Space
from ._axes import Isometry
from ._wavelet import dwt, idwt, max_levels, orthogonal_filters


class WaveletTransform(Isometry):
    """Orthogonal wavelet transform with periodic boundaries, ``W.H W = W W.H = I``.

    The coefficients have the shape of the image (Mallat layout, coarsest approximation first along each
    axis), also at odd sizes. They equal those of PyWavelets with ``mode="periodization"`` where every level
    has even lengths.

    Parameters
    ----------
    domain : Space
        The last ``spatial_dims`` dimensions are transformed; real or complex.
    wavelet : str
        An orthogonal wavelet of PyWavelets: haar, db, sym or coif family.
    levels : int, optional
        By default as many as leave the shortest axis at least as long as the filter.
    shift : tuple of int
        The image is rolled by this many samples along each transformed axis first; ``()`` is no shift.
    spatial_dims : int
        1, 2 or 3.

    Raises
    ------
    ParameterError, ShapeError

    References
    ----------
    S. Mallat, "A theory for multiresolution signal decomposition: the wavelet representation", IEEE
    Trans. Pattern Anal. Mach. Intell. 11 (1989).

    Examples
    --------
    >>> import torch
    >>> W = WaveletTransform((1, 5, 8), wavelet="db2", levels=2)
    >>> x = torch.arange(40.0).reshape(1, 5, 8)
    >>> torch.allclose(W.H(W(x)), x, atol=1e-4)
    True
    """

    domain: Space
    wavelet: str = "db4"
    levels: int | None = None
    shift: tuple[int, ...] = ()
    spatial_dims: int = 2

    def __post_init__(self) -> None:
        orthogonal_filters(self.wavelet)
        if self.spatial_dims not in (1, 2, 3) or self.spatial_dims > len(self.domain.shape):
            raise ShapeError(
                f"WaveletTransform: spatial_dims must be 1, 2 or 3 and at most the {len(self.domain.shape)} "
                f"dimensions of {self.domain}, got {self.spatial_dims!r}."
            )
        if self.levels is not None and (not isinstance(self.levels, int) or self.levels < 0):
            raise ParameterError(
                f"WaveletTransform: levels must be None or an integer >= 0, got {self.levels!r}."
            )
        if self.shift and len(self.shift) != self.spatial_dims:
            raise ParameterError(
                f"WaveletTransform: shift needs {self.spatial_dims} integers, got {self.shift!r}."
            )

    @property
    def range(self) -> Space:
        return self.domain

    @property
    def depth(self) -> int:
        """The number of levels in use."""
        spatial = self.domain.shape[-self.spatial_dims :]
        return max_levels(spatial, self.wavelet) if self.levels is None else self.levels

    @property
    def _dims(self) -> tuple[int, ...]:
        return (-3, -2, -1)[-self.spatial_dims :]

    def forward(self, x: Tensor) -> Tensor:
        return dwt(x, self.wavelet, self.depth, self._dims, self.shift or None)

    def adjoint(self, y: Tensor) -> Tensor:
        return idwt(y, self.wavelet, self.depth, self._dims, self.shift or None)
