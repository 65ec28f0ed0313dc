"""Proximal operators of priors as denoisers: public in `invcore.denoisers`, here because they need priors."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from typing import ClassVar, Literal, Self

from torch import Tensor

from .._errors import ParameterError
from ..denoisers import Denoiser
from ..operators import Space
from ._base import Prior
from ._epll import EPLL
from ._gaussian_mixture import GaussianMixture
from ._tgv import TGV
from ._tv import TV


class Proximal(Denoiser, abstract=True):
    """The proximal operator of a prior g: D(x, σ) = argmin over z of t g(z) + ‖z - x‖²/2.

    t = k σ², or k σ^(2 - degree) where g is homogeneous, so that D scales with the image: D(s x, s σ) = s
    D(x, σ).
    """

    channels: ClassVar[int | None] = None
    value_range: ClassVar[tuple[float, float] | None] = None
    sigma_range: ClassVar[tuple[float, float]] = (0.0, math.inf)
    strength: float = 1.0
    """k, for a subclass to declare as a field if it is to be chosen."""

    def __post_init__(self) -> None:
        if not 0 < self.strength < math.inf:
            raise ParameterError(f"{type(self).__name__}: strength must be positive, got {self.strength!r}.")
        self.prior  # noqa: B018  raises where a parameter is wrong

    @property
    @abstractmethod
    def prior(self) -> Prior:
        """g."""

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        if not x.numel():
            return x.clone()
        prior, lead = self.prior, x.ndim - self.spatial_dims - 1
        level = sigma.reshape(x.shape[:lead]) if sigma.ndim else sigma
        step = self.strength * level ** (2 - (prior.degree or 0))
        return prior.prox(x, step, Space(tuple(x.shape[lead:]), "complex" if x.is_complex() else "real"))


class ProximalDenoiser(Proximal):
    """The proximal operator of any prior, as a denoiser: for plug-and-play and to compare priors.

    ``D(x, σ) = argmin_z k σ^(2 - d) g(z) + ‖z - x‖²/2`` with d the degree of g (0 if it states none). A sum
    of `WaveletL1` of several wavelets, with ``undecimated=True``, is a dictionary of several frames.

    Parameters
    ----------
    penalty : Prior
        g.
    strength : float
        ``k``: more is smoother.
    spatial_dims : int
        1, 2 or 3.

    Examples
    --------
    >>> import torch
    >>> from invcore.priors import L1
    >>> ProximalDenoiser(L1(), spatial_dims=1)(torch.tensor([[3.0, -0.5]]), 1.0)
    tensor([[2., 0.]])
    """

    penalty: Prior  # type: ignore[misc]
    strength: float = 1.0
    spatial_dims: int = 2

    @property
    def prior(self) -> Prior:
        return self.penalty

    @property
    def identity_at_zero(self) -> bool:  # type: ignore[override]
        """Not for a prior of degree two, whose step does not depend on σ."""
        return self.penalty.degree is None or self.penalty.degree < 2

    def at(self, k: int) -> Self:
        """The denoiser that iteration ``k`` uses."""
        inner = self.penalty.at(k)
        return self if inner is self.penalty else dataclasses.replace(self, penalty=inner)

    @property
    def stochastic(self) -> bool:
        """As the prior."""
        return self.penalty.stochastic


class TVDenoiser(Proximal):
    """Total-variation denoising: ``D(x) = argmin_z k σ TV(z) + ‖z - x‖²/2``, with `invcore.priors.TV`.

    For photographs (crops of BSDS) the highest mean PSNR is at k = 0.7 for σ = 15/255 and at 0.8 for σ =
    25/255. Complex images couple their real and imaginary part.

    Parameters
    ----------
    strength : float
        ``k``: more is smoother.
    kind : {"isotropic", "anisotropic"}
    coupling : {"joint", "separate"}
        Whether the channels share their edges (vectorial total variation) or are denoised one by one.
    rtol, max_steps, spacing
        As in `invcore.priors.TV`.
    spatial_dims : int
        1, 2 or 3.

    References
    ----------
    .. [1] L. Rudin, S. Osher, E. Fatemi, "Nonlinear total variation based noise removal algorithms", Physica
       D 60 (1992).
    .. [2] A. Beck, M. Teboulle, "Fast gradient-based algorithms for constrained total variation image
       denoising and deblurring problems", IEEE Trans. Image Process. 18 (2009).

    Examples
    --------
    >>> import torch
    >>> step = torch.tensor([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]])
    >>> TVDenoiser(strength=1.0, spatial_dims=1)(step, 0.3).round(decimals=3)
    tensor([[0.1000, 0.1000, 0.1000, 0.9000, 0.9000, 0.9000]])
    """

    strength: float = 0.75
    kind: Literal["isotropic", "anisotropic"] = "isotropic"
    coupling: Literal["joint", "separate"] = "joint"
    rtol: float = 1e-5
    max_steps: int = 2000
    spatial_dims: int = 2
    spacing: tuple[float, ...] | None = None

    @property
    def prior(self) -> TV:
        return TV(
            kind=self.kind,
            coupling=self.coupling,
            spatial_dims=self.spatial_dims,
            spacing=self.spacing,
            rtol=self.rtol,
            max_steps=self.max_steps,
        )


class TGVDenoiser(Proximal):
    """Denoising with second-order total generalized variation, for images that are affine in pieces.

    ``D(x) = argmin_z k σ TGV(z) + ‖z - x‖²/2``, the proximal operator of `invcore.priors.TGV`. Affine images
    are left as they are.

    Parameters
    ----------
    strength : float
        ``k``: more is smoother.
    ratio, rtol, max_steps, spacing
        As in `invcore.priors.TGV`.
    spatial_dims : int
        1, 2 or 3.

    References
    ----------
    K. Bredies, K. Kunisch, T. Pock, "Total generalized variation", SIAM J. Imaging Sci. 3 (2010).

    Examples
    --------
    >>> import torch
    >>> ramp = torch.arange(6.0)[None]
    >>> TGVDenoiser(spatial_dims=1)(ramp, 0.5).round(decimals=2)
    tensor([[0., 1., 2., 3., 4., 5.]])
    """

    strength: float = 0.75
    ratio: float = 2.0
    rtol: float = 1e-3
    max_steps: int = 3000
    spatial_dims: int = 2
    spacing: tuple[float, ...] | None = None

    @property
    def prior(self) -> TGV:
        return TGV(
            ratio=self.ratio,
            spatial_dims=self.spatial_dims,
            spacing=self.spacing,
            rtol=self.rtol,
            max_steps=self.max_steps,
        )


class EPLLDenoiser(Proximal):
    """Expected patch log-likelihood: half-quadratic splitting with a mixture of normal densities of patches.

    ``D(x, σ)`` is the ``prox`` of `invcore.priors.EPLL` at step σ². Channels, real and imaginary part are
    denoised one by one.

    Parameters
    ----------
    mixture, patch, peak
        As in `invcore.priors.EPLL`.
    spatial_dims : int
        1, 2 or 3.

    References
    ----------
    D. Zoran and Y. Weiss, "From learning models of natural image patches to whole image restoration", ICCV
    (2011).

    Examples
    --------
    >>> import torch
    >>> bool((EPLLDenoiser()(torch.full((1, 9, 9), 0.5), 0.1) - 0.5).abs().max() < 1e-5)
    True
    """

    mixture: GaussianMixture | None = None
    patch: int = 8
    peak: float = 1.0
    spatial_dims: int = 2

    @property
    def value_range(self) -> tuple[float, float]:  # type: ignore[override]
        """From black, 0, to white, ``peak``."""
        return (0.0, self.peak)

    @property
    def prior(self) -> EPLL:
        return EPLL(mixture=self.mixture, patch=self.patch, spatial_dims=self.spatial_dims, peak=self.peak)
