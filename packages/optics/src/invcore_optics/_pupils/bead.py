"""Images of a bead through an aberrated pupil, as a function of the aberrations."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from invcore import Operator, ParameterError, Space

from .pupil_psf import PupilPSF


class BeadParameters(NamedTuple):
    """Parts of the unknowns of a `BeadStack`.

    Attributes
    ----------
    coefficients : Tensor, shape (..., mode)
        Zernike coefficients in meters.
    depth : Tensor, shape (...)
        Added to the depths of the planes, in meters.
    width : Tensor, shape (...)
        Standard deviation of the bead, or of any other lateral blur, in pixels.
    photons : Tensor, shape (...)
        Expected counts per plane, over an infinite plane.
    background : Tensor, shape (...)
        Expected counts per pixel.
    """

    coefficients: Tensor
    depth: Tensor
    width: Tensor
    photons: Tensor
    background: Tensor


class BeadStack(Operator):
    r"""Expected images of one small bead at several depths, as a function of the aberrations of the pupil,

    .. math:: y_z = N\, G_s * h_{z + z_0}(c) + b,

    with the point spread function h of a pupil with Zernike coefficients c, a Gaussian G of standard
    deviation s for the size of the bead, N photons and the background b. Tilts among the modes are the
    lateral position of the bead, z₀ is the axial one.

    Parameters
    ----------
    pupil : PupilPSF
        With ``unknown="zernike"``. Without defocus among the modes, which z₀ stands for.

    Raises
    ------
    ParameterError

    Notes
    -----
    Domain ``(1, 1, mode + 4)``, an image of one row: the coefficients in meters, z₀ in meters, s in pixels,
    N, b; see `parts`. Range ``(plane, y, x)``.

    References
    ----------
    B. M. Hanser, M. G. L. Gustafsson, D. A. Agard, J. W. Sedat, "Phase-retrieved pupil functions in
    wide-field fluorescence microscopy", J. Microsc. 216 (2004).

    Examples
    --------
    >>> from invcore_optics import Objective
    >>> pupil = PupilPSF(objective=Objective(520e-9, 0.85), pixel=130e-9, shape=(15, 15), modes=(2, 3, 11))
    >>> A = BeadStack(pupil)
    >>> y = A(A.assemble(torch.zeros(3), width=0.5, photons=1000.0, background=2.0))
    >>> y.shape, round(float(y.sum() - 2 * 15**2) / 1000, 1)  # the share of light in the window
    (torch.Size([1, 15, 15]), 0.9)
    """

    pupil: PupilPSF

    def __post_init__(self) -> None:
        if self.pupil.unknown != "zernike":
            raise ParameterError(
                f"BeadStack: the unknown of the pupil must be 'zernike', got {self.pupil.unknown!r}"
            )

    @property
    def domain(self) -> Space:
        return Space((1, 1, len(self.pupil.modes) + 4))

    @property
    def range(self) -> Space:
        return self.pupil.range

    def parts(self, x: Tensor) -> BeadParameters:
        """Split unknowns (..., 1, 1, mode + 4) into `BeadParameters`."""
        x = x[..., 0, 0, :]
        return BeadParameters(x[..., :-4], *x[..., -4:].unbind(-1))

    def assemble(
        self,
        coefficients: Tensor,
        *,
        depth: Tensor | float = 0.0,
        width: Tensor | float = 0.0,
        photons: Tensor | float,
        background: Tensor | float = 0.0,
    ) -> Tensor:
        """Join the parts, see `BeadParameters`, to unknowns (..., 1, 1, mode + 4)."""
        rest = torch.broadcast_tensors(
            *(torch.as_tensor(v).to(coefficients) for v in (depth, width, photons, background)),
            coefficients[..., 0],
        )[:4]
        x = torch.cat([coefficients.expand(*rest[0].shape, -1), torch.stack(rest, -1)], -1)
        return x[..., None, None, :]

    def _moved(self, depth: Tensor) -> PupilPSF:
        depths = self.pupil.depths
        z = depth.new_zeros(1) if depths is None else depths
        return self.pupil.bind(depths=z + depth[..., None].to(z.dtype))

    def forward(self, x: Tensor) -> Tensor:
        c, depth, width, photons, background = self.parts(x)
        rows, columns = (_spread(n, width, False)[0] for n in self.pupil.shape)
        h = self._moved(depth).forward(c)
        return _full(photons) * (rows @ h @ columns.mT) + _full(background)

    def jacobian(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images (..., plane, y, x), and the derivatives (..., unknown, plane, y, x)."""
        c, depth, width, photons, background = self.parts(x)
        (rows, d_rows), (columns, d_columns) = (_spread(n, width, True) for n in self.pupil.shape)
        h, by_mode, by_depth = self._moved(depth).derivatives(c)
        sharp = torch.cat([by_mode, torch.stack([by_depth, h], -4)], -4)
        rows, d_rows, columns, d_columns = (m.unsqueeze(-4) for m in (rows, d_rows, columns, d_columns))
        blurred = rows @ sharp @ columns.mT
        h = h.unsqueeze(-4)
        by_width = d_rows @ h @ columns.mT + rows @ h @ d_columns.mT
        n = _full(photons).unsqueeze(-4)
        by_photons = blurred[..., -1:, :, :, :]
        parts = [n * blurred[..., :-1, :, :, :], n * by_width, by_photons, torch.ones_like(by_photons)]
        return (n * by_photons).squeeze(-4) + _full(background), torch.cat(parts, -4)


def _full(v: Tensor) -> Tensor:
    return v[..., None, None, None]


def _spread(count: int, width: Tensor, slope: bool) -> tuple[Tensor, Tensor]:
    """Return the matrix (..., 1, count, count) of a Gaussian blur of standard deviation ``width``.

    Light beyond the window is lost. Its derivative too, if ``slope``. Pixels integrate the Gaussian, so that
    a width of 0 is no blur; the floor keeps the derivative finite.
    """
    at = torch.arange(count, dtype=width.dtype, device=width.device)
    s = (width.square() + 1e-4).sqrt()[..., None, None, None] * 2**0.5
    above, below = ((at[:, None] - at + side) / s for side in (0.5, -0.5))
    matrix = (torch.erf(above) - torch.erf(below)) / 2
    if not slope:
        return matrix, matrix
    rate = -(above * (-above.square()).exp() - below * (-below.square()).exp()) / (torch.pi**0.5 * s)
    return matrix, rate * (2 * width / s.squeeze((-1, -2, -3)))[..., None, None, None]
