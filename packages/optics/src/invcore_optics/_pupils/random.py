"""Random point spread functions of aberrated pupils, the same over the image or varying with the field."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from invcore import ParameterError, Value

from .pupil_psf import PupilPSF
from .zernike import zernike_indices


class RandomPupil(Value):
    r"""Kernels of a pupil with random aberrations, for `invcore.operators.Convolution`.

    Zernike coefficients are independent and normal; their variances fall with the degree n as
    (n + 1)^(-decay) and sum to rms².

    Parameters
    ----------
    pupil : PupilPSF
        With ``unknown="zernike"``: its modes, grid and model.
    rms : float
        Root mean square of the wavefront error in meters. Beyond a tenth of the wavelength blur is strong.
    decay : float
        0: all modes alike.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> from invcore_optics import Objective
    >>> pupil = PupilPSF(objective=Objective(520e-9, 0.85), pixel=130e-9, shape=(15, 15))
    >>> kernel = RandomPupil(pupil, rms=40e-9)(batch=(2,), generator=torch.Generator().manual_seed(0))
    >>> kernel.shape, torch.allclose(kernel.sum((1, 2, 3)), torch.ones(2))
    (torch.Size([2, 1, 15, 15]), True)
    """

    pupil: PupilPSF
    rms: float
    decay: float = 2.0

    def __post_init__(self) -> None:
        _check("RandomPupil", self.pupil, self.rms, self.decay)

    def __call__(
        self, batch: tuple[int, ...] = (), *, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Draw kernels one after the other: the same seed gives the same ones however a batch is split.

        Returns
        -------
        Tensor, shape (*batch, 1, y, x), or (*batch, 1, plane, y, x) of several planes
            Not negative, of sum one.
        """
        count = math.prod(batch)
        deviations = _deviations(self.pupil, self.rms, self.decay)
        c = [_normal(generator, len(deviations)) * deviations for _ in range(count)]
        flat = self.pupil.range.shape[0] == 1
        shape = self.pupil.range.shape if flat else (1, *self.pupil.range.shape)
        if not c:
            return torch.zeros(*batch, *shape, dtype=dtype, device=generator.device)
        kernels = [self.pupil.to(dtype)(each.to(dtype)) for each in c]
        h = torch.stack([k / k.sum() for k in kernels])
        return h.reshape(*batch, *shape).to(generator.device)


class RandomPupilField(Value):
    r"""Random blur that varies over the image, as kernels and maps for `SpaceVaryingBlur`.

    Each Zernike coefficient is a random polynomial of the position (ξ, η) in the field, scaled to [-1, 1],

    .. math:: c_k(ξ, η) = \sum_{i + j \le degree} a_{kij} P_i(ξ) P_j(η),

    with Legendre polynomials and independent normal coefficients. Point spread functions at a grid of
    positions are written as the best ``rank`` kernels (singular value decomposition), whose coefficients are
    interpolated by splines to maps.

    Parameters
    ----------
    pupil : PupilPSF
        With ``unknown="zernike"`` and one plane.
    rms : float
        Root mean square of the wavefront error over pupil and field, in meters.
    shape : tuple of int
        Pixels (ny, nx) of the maps: those of the image for the order "product_convolution".
    rank : int
        K, the number of kernels.
    degree : int
        Of the polynomials; 0 is no variation.
    points : int
        Positions along each side of the grid, 4 or more.
    decay : float
        As of `RandomPupil`.

    Raises
    ------
    ParameterError

    References
    ----------
    P. Escande, P. Weiss, "Approximation of integral operators using product-convolution expansions", J. Math.
    Imaging Vis. 58 (2017).

    Examples
    --------
    >>> from invcore_optics import Objective
    >>> pupil = PupilPSF(objective=Objective(520e-9, 0.85), pixel=130e-9, shape=(15, 15))
    >>> field = RandomPupilField(pupil, rms=50e-9, shape=(40, 50), rank=6)
    >>> {n: t.shape for n, t in field(generator=torch.Generator().manual_seed(0)).items()}
    {'kernels': torch.Size([6, 15, 15]), 'maps': torch.Size([6, 40, 50])}
    """

    pupil: PupilPSF
    rms: float
    shape: tuple[int, int]
    rank: int = 8
    degree: int = 2
    points: int = 6
    decay: float = 2.0
    positional = 2

    def __post_init__(self) -> None:
        _check("RandomPupilField", self.pupil, self.rms, self.decay)
        if self.pupil.range.shape[0] != 1:
            raise ParameterError("RandomPupilField: the pupil must have one plane")
        if self.points < 4 or self.degree < 0 or not 1 <= self.rank <= self.points**2:
            raise ParameterError(
                "RandomPupilField: points >= 4, degree >= 0 and 1 <= rank <= points² are needed, got "
                f"{self.points}, {self.degree}, {self.rank}"
            )

    def __call__(
        self, batch: tuple[int, ...] = (), *, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> dict[str, Tensor]:
        """Draw blurs one after the other: the same seed gives the same ones however a batch is split.

        Returns
        -------
        dict
            ``"kernels"`` (*batch, rank, ky, kx) and ``"maps"`` (*batch, rank, ny, nx), to be bound to a
            `SpaceVaryingBlur`. The kernel at each pixel has sum one, to the accuracy of the expansion.
        """
        drawn = [self._one(generator, dtype) for _ in range(math.prod(batch))]
        shapes = {"kernels": (self.rank, *self.pupil.shape), "maps": (self.rank, *self.shape)}
        return {
            name: (torch.stack([d[k] for d in drawn]) if drawn else torch.zeros(0, *shape, dtype=dtype))
            .reshape(*batch, *shape)
            .to(generator.device)
            for k, (name, shape) in enumerate(shapes.items())
        }

    def coefficients(self, generator: torch.Generator, y: Tensor, x: Tensor) -> Tensor:
        """Return one draw of the coefficients at positions ``y``, ``x`` (...), of shape (..., mode)."""
        pairs = [(i, j) for i in range(self.degree + 1) for j in range(self.degree + 1 - i)]
        deviations = _deviations(self.pupil, self.rms, self.decay)
        a = _normal(generator, len(deviations) * len(pairs)).reshape(len(deviations), -1)
        # unit mean square over [-1, 1]² each
        basis = [math.sqrt((2 * i + 1) * (2 * j + 1)) * _legendre(i, y) * _legendre(j, x) for i, j in pairs]
        return deviations * (torch.stack(basis, -1) @ a.T) / math.sqrt(len(pairs))

    def _one(self, generator: torch.Generator, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        from scipy.interpolate import RectBivariateSpline

        at = torch.linspace(-1, 1, self.points, dtype=torch.float64)
        y, x = torch.meshgrid(at, at, indexing="ij")
        h = self.pupil.to(torch.float64)(self.coefficients(generator, y, x))
        h = h / h.sum((-3, -2, -1), keepdim=True)
        U, s, Vh = torch.linalg.svd(h.reshape(self.points**2, -1), full_matrices=False)
        shares = (U * s)[:, : self.rank].T.reshape(-1, self.points, self.points)
        places = [(np.arange(n) + 0.5) * (2 / n) - 1 for n in self.shape]
        maps = [RectBivariateSpline(at.numpy(), at.numpy(), m.numpy())(*places) for m in shares]
        kernels = Vh[: self.rank].reshape(-1, *self.pupil.shape)
        return kernels.to(dtype), torch.from_numpy(np.stack(maps)).to(dtype)


def _legendre(n: int, t: Tensor) -> Tensor:
    return torch.special.legendre_polynomial_p(t, n)


def _normal(generator: torch.Generator, count: int) -> Tensor:
    return torch.randn(count, generator=generator, device=generator.device, dtype=torch.float64).cpu()


def _deviations(pupil: PupilPSF, rms: float, decay: float) -> Tensor:
    degrees = [zernike_indices(j, order=pupil.order)[0] for j in pupil.modes]
    variances = torch.tensor([(n + 1.0) ** -decay for n in degrees], dtype=torch.float64)
    return rms * (variances / variances.sum()).sqrt()


def _check(name: str, pupil: PupilPSF, rms: float, decay: float) -> None:
    if pupil.unknown != "zernike":
        raise ParameterError(f"{name}: the unknown of the pupil must be 'zernike', got {pupil.unknown!r}")
    if not (0 <= rms < math.inf and 0 <= decay < math.inf):
        raise ParameterError(f"{name}: rms (meters) and decay must be numbers >= 0, got {rms!r}, {decay!r}")
