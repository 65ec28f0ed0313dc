"""Compressive Raman microscopy: few binary spectral filters in place of spectra."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from invcore import DtypeError, LinearOperator, ParameterError, ShapeError, Space
from invcore.operators import ChannelMatrix


class CompressiveRaman(LinearOperator):
    r"""Photons behind spectral filters, from species of known spectra, in every pixel.

    .. math:: μ_m = τ_m \sum_q B_{mq} c_q, \qquad B = F S^T

    A micromirror array behind a grating lets the wavelengths F_m reach one fast detector, for a part τ_m of
    the dwell time. With as many filters as species the estimate (τB)⁻¹y is unbiased and reaches the
    Cramér–Rao bound, which `invcore.cramer_rao` gives with `PoissonNoise`; `raman_filters` designs the
    filters by it.

    Parameters
    ----------
    filters : Tensor, shape (..., filter, wavelength)
        F, 0 to 1; leading dimensions are batch.
    spectra : Tensor, shape (..., species, wavelength)
        S, each of sum 1: c is then the photons of a species over all wavelengths.
    shape : tuple of int
        Pixels (ny, nx).
    dwell : Tensor, shape (..., filter), optional
        τ; 1/filters by default. 1 for each of two complementary filters that two detectors read at once.

    Notes
    -----
    Domain ``(species, y, x)``, range ``(filter, y, x)``.

    Raises
    ------
    ShapeError, DtypeError

    References
    ----------
    P. Réfrégier, C. Scotté, H. B. de Aguiar, H. Rigneault, F. Galland, "Precision of proportion estimation
    with binary compressed Raman spectrum", J. Opt. Soc. Am. A 35 (2018).

    Examples
    --------
    >>> spectra = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])
    >>> A = CompressiveRaman(filters=torch.eye(3)[:2], spectra=spectra, shape=(1, 1))
    >>> A.matrix
    tensor([[0.2500, 0.0000],
            [0.2500, 0.2500]])
    """

    filters: Tensor
    spectra: Tensor
    shape: tuple[int, int]
    dwell: Tensor | None = None
    params = ("filters", "spectra", "dwell")

    def __post_init__(self) -> None:
        for name, value in self.parameters().items():
            if not value.is_floating_point():
                raise DtypeError(
                    f"CompressiveRaman: {name} must be a real floating tensor, got {value.dtype}"
                )
        if min(self.filters.ndim, self.spectra.ndim) < 2 or (
            self.filters.shape[-1] != self.spectra.shape[-1]
        ):
            raise ShapeError(
                "CompressiveRaman: filters (..., filter, wavelength) and spectra (..., species, wavelength) "
                f"must have the same wavelengths, got {tuple(self.filters.shape)} and "
                f"{tuple(self.spectra.shape)}"
            )
        if self.dwell is not None and self.dwell.shape[-1:] not in (self.filters.shape[-2:-1], (1,)):
            raise ShapeError(
                f"CompressiveRaman: dwell must be (..., {self.filters.shape[-2]}), got "
                f"{tuple(self.dwell.shape)}"
            )
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise ShapeError(f"CompressiveRaman: shape must be pixels (ny, nx), got {self.shape}")

    @property
    def domain(self) -> Space:
        return Space((self.spectra.shape[-2], *self.shape))

    @property
    def range(self) -> Space:
        return Space((self.filters.shape[-2], *self.shape))

    @property
    def matrix(self) -> Tensor:
        """τB, (..., filter, species)."""
        plain = self.filters @ self.spectra.mT
        return plain / plain.shape[-2] if self.dwell is None else self.dwell.unsqueeze(-1) * plain

    @property
    def _mixing(self) -> ChannelMatrix:
        return ChannelMatrix(self.matrix, domain=self.domain)

    def forward(self, x: Tensor) -> Tensor:
        return self._mixing.forward(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._mixing.adjoint(y)

    def norm_bound(self) -> Tensor:
        """The norm of the matrix, exact."""
        return self._mixing.norm_bound()


def raman_filters(
    spectra: Tensor,
    photons: Tensor,
    *,
    count: int | None = None,
    complementary: bool = False,
    starts: int = 50,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Design binary filters for which concentrations are estimated with the least variance.

    Minimizes the sum of the Cramér–Rao bounds of all species at ``photons`` under Poisson noise. For two
    species and two filters the first filter passes the wavelengths where S₁/S₂ exceeds a threshold, the
    second the others, and all thresholds are tried; else wavelengths are flipped one by one as long as that
    helps, from random starts.

    Parameters
    ----------
    spectra : Tensor, shape (species, wavelength)
        Each of sum 1.
    photons : Tensor, shape (species,)
        Assumed photons of each species, positive.
    count : int, optional
        Number of filters, at least that of species, which is the default.
    complementary : bool
        The filters are read at once, by as many detectors, and each wavelength goes to one of them: dwell 1
        in place of 1/count.
    starts : int
        Random starts.
    generator : torch.Generator, optional
        Needed for more than two species, or filters.

    Returns
    -------
    Tensor, shape (filter, wavelength)
        Zeros and ones.

    Raises
    ------
    ShapeError, ParameterError

    Examples
    --------
    >>> spectra = torch.tensor([[0.6, 0.3, 0.1, 0.0], [0.0, 0.2, 0.3, 0.5]])
    >>> raman_filters(spectra, torch.tensor([100.0, 100.0]))
    tensor([[1., 1., 0., 0.],
            [0., 0., 1., 1.]])
    """
    if spectra.ndim != 2 or tuple(photons.shape) != (len(spectra),) or not bool((photons > 0).all()):
        raise ShapeError(
            "raman_filters: spectra must be (species, wavelength) and photons (species,), positive; got "
            f"{tuple(spectra.shape)} and {tuple(photons.shape)}"
        )
    species, bands = spectra.shape
    count = species if count is None else count
    if not species <= count <= bands:
        raise ParameterError(
            f"raman_filters: count must lie between the number of species {species} and of "
            f"wavelengths {bands}, got {count}"
        )
    S, c = spectra.double(), photons.double()
    dwell = 1.0 if complementary else 1.0 / count
    if species == count == 2:
        ratio = torch.where(S[1] > 0, S[0] / S[1].clamp(min=1e-300), torch.inf)
        order = ratio.argsort(descending=True)
        steps = torch.ones(bands, bands, dtype=S.dtype, device=S.device).tril()[:-1]
        first = torch.zeros_like(steps).index_copy_(1, order, steps)
        tried = torch.stack((first, 1 - first), 1)
        return tried[_bound(tried, S, c, dwell).argmin()].to(spectra.dtype)
    if generator is None:
        raise ParameterError("raman_filters: more than two species or filters need a generator")
    found, least = None, torch.inf
    for _ in range(starts):
        owner = torch.randint(count, (bands,), generator=generator, device=generator.device).to(S.device)
        F = torch.nn.functional.one_hot(owner, count).T.to(S)
        F, bound = _flipped(F, S, c, dwell, exclusive=complementary)
        if found is None or bound < least:
            found, least = F, bound
    assert found is not None
    return found.to(spectra.dtype)


def _bound(filters: Tensor, S: Tensor, c: Tensor, dwell: float) -> Tensor:
    """The trace of the Cramér–Rao bound of (..., filter, wavelength); infinite where it is singular."""
    M = dwell * filters @ S.T
    mean = M @ c
    information = M.mT @ (M / mean.clamp(min=1e-300).unsqueeze(-1))
    values = torch.linalg.eigvalsh(information)
    good = values[..., 0] > 1e-12 * values[..., -1]
    return torch.where(good, (1 / values.clamp(min=1e-300)).sum(-1), torch.inf)


def _flipped(F: Tensor, S: Tensor, c: Tensor, dwell: float, *, exclusive: bool) -> tuple[Tensor, float]:
    """The filters after changes of single wavelengths, each the best, until none helps."""
    count, bands = F.shape
    bound = float(_bound(F, S, c, dwell))
    while True:
        tried = F.expand(bands, count, count, bands).clone()
        for j, m in itertools.product(range(bands), range(count)):
            if exclusive:
                tried[j, m, :, j] = 0.0
                tried[j, m, m, j] = 1.0
            else:
                tried[j, m, m, j] = 1 - F[m, j]
        bounds = _bound(tried, S, c, dwell)
        best = int(bounds.flatten().argmin())
        if not float(bounds.flatten()[best]) < bound * (1 - 1e-12):
            return F, bound
        F, bound = tried.flatten(0, 1)[best], float(bounds.flatten()[best])
