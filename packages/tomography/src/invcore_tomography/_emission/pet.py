"""`PET`: the model of a positron emission tomograph."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from invcore import LinearOperator, ParameterError, ShapeError
from invcore.operators import Convolution, Space, gaussian_kernel, stack

from .._geometry.grid import Grid
from .line_integrals import LineIntegrals
from .scanner import Scanner

_FWHM = 2.354820045030949


class PET(LinearOperator):
    r"""Positron emission tomography: expected counts of each line of response,

    .. math:: A x = f \odot P\,(g * x),

    with x the activity, g the Gaussian point response of the scanner, P the integrals along the lines of
    response (`LineIntegrals`), and f one factor for each line: attenuation exp(-∫μ), detector efficiency,
    duration. Randoms and scatter are the background of the noise, not of this linear map:
    ``PoissonNoise(background=r)``, and the expected counts are Ax + r.

    Parameters
    ----------
    scanner : Scanner
        Detectors; its ``tof`` makes this a time-of-flight model.
    grid : Grid
        The image: 2-D for a scanner of one ring, else 3-D.
    factors : Tensor, shape (..., [plane,] view, bin), optional
        f; leading dimensions are batch. All time-of-flight bins share it; in list mode it has the shape of a
        sinogram too.
    resolution : float
        Full width at half maximum of g in meters; 0 for none.
    events : Tensor of int64, shape (event, 2 to 4), optional
        List mode: the index ([tof,] [plane,] view, bin) of each recorded event in the sinogram. The range is
        then ``(1, event)``.
    views : tuple of int, optional
        Views to model (ordered subsets); all by default.

    Notes
    -----
    Domain ``(1, *grid.shape)``; range ``(1, [tof,] [plane,] view, bin)``. Gradients reach ``factors``.

    References
    ----------
    A. J. Reader, J. Verhaeghe, "4D image reconstruction for emission tomography", Phys. Med. Biol. 59 (2014),
    section 2. G. Schramm, K. Thielemans, "PARALLELPROJ: an open-source framework for fast calculation of
    projections in tomography", Front. Nucl. Med. 3 (2024).

    Examples
    --------
    >>> A = PET(Scanner(detectors=16, radius=0.4), Grid(shape=(8, 8), spacing=0.05))
    >>> A.range.shape
    (1, 8, 7)
    >>> A.bind(factors=A.attenuation_factors(torch.full((1, 8, 8), 9.6)))(torch.ones(1, 8, 8)).shape
    torch.Size([1, 8, 7])
    """

    scanner: Scanner
    grid: Grid
    factors: Tensor | None = None
    resolution: float = 0.0
    events: Tensor | None = None
    views: tuple[int, ...] | None = None
    params = ("factors",)

    def __post_init__(self) -> None:
        if (self.scanner.rings == 1) != (self.grid.ndim == 2):
            raise ShapeError(
                f"PET: a scanner of {self.scanner.rings} ring(s) needs a "
                f"{'2' if self.scanner.rings == 1 else '3'}-D grid, got shape {self.grid.shape}"
            )
        if not 0 <= self.resolution < float("inf"):
            raise ParameterError(f"PET: resolution must be >= 0, in meters, got {self.resolution!r}")
        if self.views is not None and not set(self.views) <= set(range(self.scanner.views)):
            raise ParameterError(f"PET: views must be from 0 to {self.scanner.views - 1}, got {self.views}")
        shape = self._lines_shape
        if self.factors is not None and tuple(self.factors.shape[-len(shape) :]) != shape:
            raise ShapeError(
                f"PET: factors must be (..., {str(shape)[1:-1]}), got {tuple(self.factors.shape)}"
            )
        if self.events is not None:
            full = self._sinogram.shape[1:]
            if self.events.ndim != 2 or self.events.shape[1] != len(full) or self.events.dtype != torch.int64:
                raise ShapeError(
                    f"PET: events must be int64 of shape (event, {len(full)}), the indices into a "
                    f"sinogram {full}; got {self.events.dtype} {tuple(self.events.shape)}"
                )
            limits = torch.tensor(full, device=self.events.device)
            if not bool(((self.events >= 0) & (self.events < limits)).all()):
                raise ParameterError(f"PET: some events lie outside the sinogram {full}")
            if self.views is not None:
                raise ParameterError("PET: views are for sinograms; select the events instead")

    # -- spaces --------------------------------------------------------------------------------------

    @property
    def domain(self) -> Space:
        return Space((1, *self.grid.shape))

    @property
    def range(self) -> Space:
        return self._sinogram if self.events is None else Space((1, self.events.shape[0]))

    @property
    def _lines_shape(self) -> tuple[int, ...]:
        """Shape of the factors: ([plane,] view, bin), with the chosen views only."""
        *plane, views, bins = self.scanner.shape
        return (*plane, views if self.views is None else len(self.views), bins)

    @property
    def _sinogram(self) -> Space:
        tof = () if self.scanner.tof is None else (self.scanner.tof.bins,)
        return Space((1, *tof, *self._lines_shape))

    # -- the model -----------------------------------------------------------------------------------

    @cached_property
    def integrals(self) -> LineIntegrals:
        """P, the integrals along the lines of response."""
        first, last = self.scanner.lines()
        if self.events is not None:
            *tof, index = self._event_parts
            tof_bin = tof[0] if tof else None
            first, last = first.flatten(0, -2)[index], last.flatten(0, -2)[index]
            return LineIntegrals(
                first=first, last=last, grid=self.grid, tof=self.scanner.tof, tof_bin=tof_bin
            )
        if self.views is not None:
            chosen = torch.tensor(self.views)
            first, last = first.index_select(-3, chosen), last.index_select(-3, chosen)
        return LineIntegrals(first=first, last=last, grid=self.grid, tof=self.scanner.tof)

    @cached_property
    def response(self) -> LinearOperator | None:
        """g, a convolution that is zero beyond the grid; None for a resolution of 0."""
        if self.resolution == 0:
            return None
        kernel = torch.ones((1,) * self.grid.ndim, dtype=torch.float64)
        for axis, step in enumerate(self.grid.spacing):
            taps = gaussian_kernel(self.resolution / _FWHM / step, ndim=1, dtype=torch.float64).flatten()
            kernel = kernel * taps.reshape([-1 if a == axis else 1 for a in range(self.grid.ndim)])
        kernel = (kernel / kernel.sum()).to(torch.float32 if self.factors is None else self.factors.dtype)
        return Convolution(kernel=kernel[None].to(self.device), domain=self.domain, boundary="zero")

    def forward(self, x: Tensor) -> Tensor:
        blurred = x if self.response is None else self._response(x.dtype)._apply(x)
        counts = self.integrals._apply(blurred)
        return counts if self.factors is None else self._weights().to(x.dtype) * counts

    def adjoint(self, y: Tensor) -> Tensor:
        weighted = y if self.factors is None else self._weights().to(y.dtype) * y
        image = self.integrals._apply_adjoint(weighted)
        return image if self.response is None else self._response(y.dtype)._apply_adjoint(image)

    def _response(self, dtype: torch.dtype) -> LinearOperator:
        assert self.response is not None
        return self.response if self.response.dtype == dtype else self.response.to(dtype)

    def _weights(self) -> Tensor:
        """f, broadcastable to the range: (..., 1, [1,] *lines) or (..., 1, event)."""
        assert self.factors is not None
        ndim = len(self._lines_shape)
        if self.events is not None:
            chosen = self._event_parts[-1].to(self.factors.device)
            return self.factors.flatten(-ndim)[..., chosen].unsqueeze(-2)
        weights = self.factors.unsqueeze(-ndim - 1)
        return weights if self.scanner.tof is None else weights.unsqueeze(-ndim - 1)

    @cached_property
    def _event_parts(self) -> tuple[Tensor, ...]:
        """([tof bin,] flat index of the line) of each event."""
        assert self.events is not None
        columns = list(self.events.cpu().unbind(-1))
        tof = [columns.pop(0)] if self.scanner.tof is not None else []
        flat = torch.from_numpy(
            np.ravel_multi_index(tuple(c.numpy() for c in columns), self._lines_shape).astype(np.int64)
        )
        return (*tof, flat)

    # -- attenuation, sensitivity, subsets -------------------------------------------------------------

    def attenuation_factors(self, mu: Tensor) -> Tensor:
        """exp(-∫μ) along each line, to multiply into ``factors``.

        Parameters
        ----------
        mu : Tensor, shape (..., 1, *grid.shape)
            Attenuation coefficient in 1/m at 511 keV (water: 9.6).

        Returns
        -------
        Tensor, shape (..., [plane,] view, bin)
        """
        first, last = self.scanner.lines()
        if self.views is not None:
            chosen = torch.tensor(self.views)
            first, last = first.index_select(-3, chosen), last.index_select(-3, chosen)
        integrals = LineIntegrals(first=first, last=last, grid=self.grid)(mu)
        return (-integrals).exp().squeeze(-len(self._lines_shape) - 1)

    @property
    def sensitivity(self) -> Tensor:
        """Aᴴ1 over *all* lines, in list mode too, (..., 1, *grid.shape); the divisor of MLEM."""
        learning = self.factors is not None and self.factors.requires_grad
        return self._sensitivity() if learning else self._kept_sensitivity

    @cached_property
    def _kept_sensitivity(self) -> Tensor:
        with torch.no_grad():
            return self._sensitivity()

    def _sensitivity(self) -> Tensor:
        everything = self if self.events is None else dataclasses.replace(self, events=None)
        ones = torch.ones(everything.range.shape, dtype=self.dtype, device=self.device)
        return everything._apply_adjoint(ones)

    def list_mode(self, events: Tensor) -> PET:
        """The model of single recorded events (list mode).

        Its data y count how often each event was recorded, usually once. A step of
        `invcore.solvers.RichardsonLucy` is

        .. math:: x ← \\frac{x}{s} ⊙ \\sum_e \\frac{a_e}{⟨a_e, x⟩ + b_e},

        with the sensitivity s of all lines: the image is that of the events' histogram, which is not formed
        (L. Parra, H. H. Barrett, "List-mode likelihood", IEEE Trans. Med. Imaging 17, 1998).

        Parameters
        ----------
        events : Tensor of int64, shape (event, 2 to 4)
            Indices ([tof,] [plane,] view, bin) into a sinogram.
        """
        return dataclasses.replace(self, events=events)

    def subsets(self, n: int) -> LinearOperator:
        """The model as a stack of ``n`` interleaved subsets of views, as for `invcore.solvers.OSEM`.

        Parameters
        ----------
        n : int

        Returns
        -------
        LinearOperator
            Its data are tuples; `split` cuts a sinogram accordingly.
        """
        if self.events is not None or self.views is not None:
            raise ParameterError("PET: subsets are taken of the whole sinogram")
        if not 1 <= n <= self.scanner.views:
            raise ParameterError(
                f"PET: the number of subsets must be from 1 to {self.scanner.views}, got {n}"
            )
        parts = []
        for i in range(n):
            views = tuple(range(i, self.scanner.views, n))
            factors = None if self.factors is None else self.factors[..., list(views), :]
            parts.append(dataclasses.replace(self, factors=factors, views=views))
        return stack(parts)  # type: ignore[return-value]

    @staticmethod
    def split(sinogram: Tensor, n: int) -> tuple[Tensor, ...]:
        """Cut a sinogram (..., view, bin) into the data of `subsets`."""
        return tuple(sinogram[..., i::n, :] for i in range(n))
