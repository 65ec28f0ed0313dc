"""Pixel reassignment: the images of a detector array, registered and added."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError, Value

from .checks import image_stack
from .spectra import frequencies, shifted


class PixelReassignment(Value):
    r"""Adaptive pixel reassignment: register the images of a detector array, and add them.

    The image of element d is that of the central one moved by s_d, about half the distance of the elements.
    Moved back and added, the images have the light of an open pinhole and the resolution of a closed one.
    Each s_d is found by phase correlation with the central image: the peak, then fits of a plane to the
    phase of the cross spectrum at low frequencies, weighted by its magnitude.

    Parameters
    ----------
    center : int, optional
        The central element; the middle one by default.
    positions : Tensor, shape (detector, 2), optional
        Of the elements, in any unit. With them, all shifts are fitted by one similarity s_d = μ R(ψ) d (or
        its mirror image): more robust where outer elements have few photons.
    band : float
        Frequencies of the fit, in cycles per pixel.

    Raises
    ------
    ParameterError, ShapeError

    References
    ----------
    M. Castello et al., "A robust and versatile platform for image scanning microscopy enabling
    super-resolution FLIM", Nature Methods 16 (2019).

    Examples
    --------
    >>> bump = torch.exp(-torch.linspace(-3, 3, 32) ** 2)
    >>> y = torch.stack([bump.roll(k) for k in (-2, 0, 2)]).reshape(3, 1, 32)
    >>> PixelReassignment().shifts(y)[:, 1].round(decimals=2)
    tensor([-2.,  0.,  2.])
    """

    center: int | None = None
    positions: Tensor | None = None
    band: float = 0.12

    def __post_init__(self) -> None:
        if not 0 < self.band <= 0.5:
            raise ParameterError(
                f"PixelReassignment: band must lie in (0, 0.5] cycles per pixel, got {self.band}"
            )
        if self.positions is not None and (self.positions.ndim != 2 or self.positions.shape[-1] != 2):
            raise ShapeError(
                f"PixelReassignment: positions must be (detector, 2), got {tuple(self.positions.shape)}"
            )

    def __call__(self, y: Tensor) -> Tensor:
        """Return the sum of the registered images.

        Parameters
        ----------
        y : Tensor, shape (..., detector, y, x)

        Returns
        -------
        Tensor, shape (..., 1, y, x)

        Raises
        ------
        ShapeError, DtypeError, DataError
        """
        return shifted(y, -self.shifts(y)).sum(-3, keepdim=True)

    def shifts(self, y: Tensor) -> Tensor:
        """Return how far each image is moved against the central one.

        Parameters
        ----------
        y : Tensor, shape (..., detector, y, x)

        Returns
        -------
        Tensor, shape (..., detector, 2)
            s in pixels, order (y, x).

        Raises
        ------
        ShapeError, DtypeError, DataError
        """
        image_stack(y, "PixelReassignment")
        count = y.shape[-3]
        center = count // 2 if self.center is None else self.center
        if not 0 <= center < count:
            raise ShapeError(f"PixelReassignment: there is no element {center} among {count} detectors")
        if self.positions is not None and len(self.positions) != count:
            raise ShapeError(f"PixelReassignment: {len(self.positions)} positions for {count} detectors")
        spectra = torch.fft.fft2(y.detach().double())
        cross = spectra * spectra[..., center : center + 1, :, :].conj()
        found = self._refined(cross, self._peaks(cross))
        return self._fitted(found, center).to(y.dtype)

    def _low(self, cross: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Frequencies (ny, 1) and (1, nx), and which are in the band."""
        fy, fx = frequencies(tuple(cross.shape[-2:]), cross.real)  # type: ignore[arg-type]
        f = torch.hypot(fy, fx)
        return fy, fx, ((f > 0) & (f < self.band)).to(cross.real.dtype)

    def _peaks(self, cross: Tensor) -> Tensor:
        """Whole pixels of the highest phase correlation, (..., detector, 2)."""
        low = self._low(cross)[2]
        phase = cross / cross.abs().clamp(min=torch.finfo(torch.float64).tiny)
        at = torch.fft.ifft2(low * phase).real.flatten(-2).argmax(-1)
        ny, nx = cross.shape[-2:]
        rows, columns = at // nx, at % nx
        signed = [torch.where(p > n // 2, p - n, p) for p, n in ((rows, ny), (columns, nx))]
        return torch.stack(signed, -1).double()

    def _refined(self, cross: Tensor, shift: Tensor) -> Tensor:
        """Two weighted least-squares fits of the remaining phase by -2π f·s."""
        fy, fx, low = self._low(cross)
        weight = low * cross.abs()
        gy, gx = 2 * math.pi * fy, 2 * math.pi * fx
        yy, yx, xx = ((weight * g).sum((-2, -1)) for g in (gy * gy, gy * gx, gx * gx))
        tiny = 1e-12 * (yy + xx) + torch.finfo(torch.float64).tiny
        yy, xx = yy + tiny, xx + tiny  # an image of one row says nothing about y
        for _ in range(2):
            turn = gy * shift[..., :1, None] + gx * shift[..., 1:, None]
            phase = torch.angle(cross * torch.polar(torch.ones_like(turn), turn))
            by, bx = (-(weight * phase * g).sum((-2, -1)) for g in (gy, gx))
            determinant = yy * xx - yx * yx
            step = torch.stack(((xx * by - yx * bx), (yy * bx - yx * by)), -1) / determinant.unsqueeze(-1)
            shift = shift + step
        return shift

    def _fitted(self, found: Tensor, center: int) -> Tensor:
        """The similarity of the positions that is next to the shifts, if there are positions."""
        if self.positions is None:
            return found
        d = self.positions.to(found)
        d = torch.view_as_complex((d - d[center]).contiguous())
        s = torch.view_as_complex((found - found[..., center : center + 1, :]).contiguous())
        same, turned = (
            (s * e.conj()).sum(-1, keepdim=True) / (e.abs() ** 2).sum() * e for e in (d, d.conj())
        )
        errors = [((s - fit).abs() ** 2).sum(-1, keepdim=True) for fit in (same, turned)]
        return torch.view_as_real(torch.where(errors[0] <= errors[1], same, turned).contiguous())
