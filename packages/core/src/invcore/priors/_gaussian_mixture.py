"""`GaussianMixture`: a density that is a sum of normal densities, fitted by expectation maximization."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from .._errors import DataError, ParameterError, ShapeError
from .._value import Value
from ..denoisers._gaussian_field import eigen_of
from ._safetensors import read, write

_CHUNK = 2**14
"""Vectors that are worked on together."""

_BLOCK = 2**11
"""Vectors that are compared with all components together: what fits into a cache."""


class GaussianMixture(Value):
    r"""The density p(v) = Σ_k w_k N(v; μ_k, C_k) of vectors of d numbers, such as the pixels of a patch.

    Parameters
    ----------
    weights : Tensor, shape (component,)
        Positive, with sum one.
    means : Tensor, shape (component, d)
    factors : Tensor, shape (component, d, d)
        L_k, lower triangular, with C_k = L_k L_kᵀ.

    Examples
    --------
    >>> p = GaussianMixture.of_covariances(torch.ones(1), torch.zeros(1, 2), torch.eye(2)[None])
    >>> p.log_prob(torch.zeros(1, 2))  # -log 2π
    tensor([-1.8379])
    """

    weights: Tensor
    means: Tensor
    factors: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.means.shape)
        if len(shape) != 2 or self.weights.shape != shape[:1] or self.factors.shape != (*shape, shape[1]):
            raise ShapeError(
                "GaussianMixture: expected weights (component,), means (component, d), factors (component, "
                "d, d); "
                "got shapes "
                f"{tuple(self.weights.shape)}, {shape}, {tuple(self.factors.shape)}."
            )

    @classmethod
    def of_covariances(cls, weights: Tensor, means: Tensor, covariances: Tensor) -> Self:
        """From covariances C_k, shape (component, d, d), instead of their factors.

        They may be singular, where densities are asked for with some variance.

        Raises
        ------
        ParameterError
            If one is not positive semidefinite.
        """
        factors, failed = torch.linalg.cholesky_ex(covariances)
        if bool(failed.any()):
            values, vectors = eigen_of(covariances, "GaussianMixture: a covariance")
            upper = torch.linalg.qr((vectors * values.sqrt().unsqueeze(-2)).mT).R
            lower = upper.mT * torch.where(upper.diagonal(dim1=-2, dim2=-1) < 0, -1, 1).unsqueeze(-2)
            factors = torch.where((failed > 0)[:, None, None], lower, factors)
        return cls(weights=weights, means=means, factors=factors)

    @property
    def components(self) -> int:
        """Number of components."""
        return self.means.shape[0]

    @property
    def dimension(self) -> int:
        """d."""
        return self.means.shape[1]

    @cached_property
    def covariances(self) -> Tensor:
        """C_k, shape (component, d, d)."""
        return self.factors @ self.factors.mT

    @cached_property
    def _spectrum(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues (component, d) and eigenvectors (component, d, d) of the covariances."""
        u, s, _ = torch.linalg.svd(self.factors)
        return s.square(), u

    def log_prob(self, v: Tensor, variance: float | Tensor = 0.0) -> Tensor:
        """log p of vectors.

        Parameters
        ----------
        v : Tensor, shape (n, d)
        variance : float or Tensor, shape (n,)
            Of white noise in the vectors: what counts then are the covariances C_k + variance · 1.

        Returns
        -------
        Tensor, shape (n,)
        """
        return torch.cat([self._joint(part, s).logsumexp(1) for part, s in self._chunks(v, variance)])

    def score(self, v: Tensor) -> Tensor:
        """∇ log p, shape (n, d): Σ_k r_k C_k⁻¹ (μ_k - v), r the probabilities of the components."""
        values, vectors = self._spectrum
        out = []
        for part, s in self._chunks(v, 0.0):
            r = self._joint(part, s).softmax(1)
            total = torch.zeros_like(part)
            for k in range(self.components):
                pull = ((self.means[k] - part) @ vectors[k] / values[k]) @ vectors[k].T
                total = total + r[:, k, None] * pull
            out.append(total)
        return torch.cat(out)

    def map_estimate(self, v: Tensor, variance: float | Tensor) -> Tensor:
        """The Wiener estimate of vectors seen in white noise, each with its most likely component.

        Parameters
        ----------
        v : Tensor, shape (n, d)
        variance : float or Tensor, shape (n,)

        Returns
        -------
        Tensor, shape (n, d)
            μ_k + C_k (C_k + variance · 1)⁻¹ (v - μ_k), k = argmax of w_k N(v; μ_k, C_k + variance · 1).
        """
        values, vectors = self._spectrum
        out = []
        for part, s in self._chunks(v, variance):
            with torch.no_grad():
                chosen = self._most_likely(part, s)
            order = chosen.argsort(stable=True)
            groups, found = order.split(chosen.bincount(minlength=self.components).tolist()), []
            for k, at in enumerate(groups):
                if not len(at):
                    continue
                gain = values[k] / (values[k] + (s[at] if s.ndim else s))
                shrunk = ((part[at] - self.means[k]) @ vectors[k] * gain) @ vectors[k].T
                found.append(shrunk + self.means[k])
            estimate = torch.cat(found)[order.argsort()] if found else part
            out.append(estimate)
        return torch.cat(out)

    def posterior_mean(self, v: Tensor, variance: float | Tensor) -> Tensor:
        """The conditional mean of vectors seen in white noise: no estimate has a smaller mean squared error.

        Parameters
        ----------
        v : Tensor, shape (n, d)
        variance : float or Tensor, shape (n,)

        Returns
        -------
        Tensor, shape (n, d)
            Σ_k r_k [μ_k + C_k (C_k + variance · 1)⁻¹ (v - μ_k)], r_k ∝ w_k N(v; μ_k, C_k + variance · 1).
        """
        values, vectors = self._spectrum
        out = []
        for part, s in self._chunks(v, variance):
            r = self._joint(part, s).softmax(1)
            total = torch.zeros_like(part)
            for k in range(self.components):
                gain = values[k] / (values[k] + s)
                shrunk = ((part - self.means[k]) @ vectors[k] * gain) @ vectors[k].T
                total = total + r[:, k, None] * (self.means[k] + shrunk)
            out.append(total)
        return torch.cat(out)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """``n`` vectors drawn from the density, shape (n, d)."""
        k = torch.multinomial(self.weights.cpu(), n, replacement=True, generator=generator)
        white = torch.randn(n, self.dimension, 1, generator=generator, dtype=self.dtype).to(self.device)
        return self.means[k] + (self.factors[k] @ white).squeeze(-1)

    def refined(self, vectors: Tensor, *, floor: float = 0.0, centered: bool = False) -> tuple[Self, float]:
        """One step of expectation maximization, and the mean log-likelihood of the vectors before it.

        Parameters
        ----------
        vectors : Tensor, shape (n, d)
        floor : float
            Added to the diagonal of the covariances.
        centered : bool
            Leave the means as they are.
        """
        joint = [self._likely(part) for part in vectors.split(_CHUNK)]
        level = sum(float(j.logsumexp(1).double().sum()) for j in joint) / len(vectors)
        r = torch.cat([j.softmax(1) for j in joint])
        count = r.double().sum(0)
        used = count > torch.finfo(r.dtype).eps * len(vectors)  # a component that nothing belongs to stays
        share = torch.where(used, count, 1).to(r.dtype)
        means = self.means
        if not centered:
            means = torch.where(used[:, None], r.T @ vectors / share[:, None], means)
        factors = []
        for k in range(self.components):
            (near,) = (r[:, k] > torch.finfo(r.dtype).eps).nonzero(as_tuple=True)  # the others weigh nothing
            away = vectors[near] - means[k]
            covariance = (away * r[near, k : k + 1]).T @ away / share[k]
            covariance = covariance + floor * torch.eye(self.dimension, dtype=r.dtype, device=r.device)
            factor, failed = torch.linalg.cholesky_ex(covariance)
            factors.append(factor if bool(used[k]) and not bool(failed) else self.factors[k])
        weights = (count / count.sum()).to(r.dtype)
        return type(self)(weights=weights, means=means, factors=torch.stack(factors)), level

    @classmethod
    def fit(
        cls,
        vectors: Tensor,
        components: int,
        *,
        seed: int = 0,
        floor: float = 1e-6,
        centered: bool = False,
        max_steps: int = 100,
        tol: float = 1e-3,
    ) -> Self:
        """Fit a mixture by expectation maximization [1]_, from means drawn far apart (k-means++ [2]_).

        Parameters
        ----------
        vectors : Tensor, shape (n, d)
            In double precision the fit is too.
        components : int
        seed : int
        floor : float
            Added to the diagonal of the covariances, in units of the square of the vectors.
        centered : bool
            All means are zero. Starts from groups of similar direction and length.
        max_steps : int
        tol : float
            Stop when the mean log-likelihood of a vector rises by less, in nats.

        References
        ----------
        .. [1] A. Dempster, N. Laird, D. Rubin, "Maximum likelihood from incomplete data via the EM
           algorithm", J. R. Stat. Soc. B 39 (1977).
        .. [2] D. Arthur and S. Vassilvitskii, "k-means++: the advantages of careful seeding", SODA (2007).

        Examples
        --------
        >>> g = torch.Generator().manual_seed(0)
        >>> v = torch.cat([torch.randn(500, 1, generator=g) - 4, torch.randn(500, 1, generator=g) + 4])
        >>> GaussianMixture.fit(v, 2).means.flatten().sort().values.round(decimals=1)
        tensor([-3.9000,  4.0000])
        """
        if vectors.ndim != 2 or not vectors.is_floating_point():
            raise ShapeError(
                f"GaussianMixture.fit: expected real vectors (n, d), got {vectors.dtype} "
                f"{tuple(vectors.shape)}."
            )
        if not 1 <= components <= len(vectors):
            raise ParameterError(
                f"GaussianMixture.fit: components must be from 1 to the number of vectors, {len(vectors)}, "
                f"got {components!r}."
            )
        if not bool(torch.isfinite(vectors).all()):
            raise DataError("GaussianMixture.fit: the vectors contain NaN or infinity.")
        if not floor > 0 or max_steps < 1:
            raise ParameterError(
                f"GaussianMixture.fit: floor must be positive and max_steps at least 1, "
                f"got {floor!r} and {max_steps!r}."
            )
        with torch.no_grad():
            mixture = cls._start(vectors, components, seed, floor, centered)
            level = -math.inf
            for _ in range(max_steps):
                mixture, now = mixture.refined(vectors, floor=floor, centered=centered)
                if now - level < tol:
                    break
                level = now
        return mixture

    @classmethod
    def _start(cls, v: Tensor, components: int, seed: int, floor: float, centered: bool) -> Self:
        """Groups around vectors that lie far apart, or around lines of different direction."""
        generator = torch.Generator().manual_seed(seed)
        pool = v[torch.randperm(len(v), generator=generator)[: max(300 * components, 1000)].to(v.device)]
        seeds = [0]
        far = torch.full_like(pool[:, 0], torch.finfo(v.dtype).max)
        for _ in range(components - 1):
            far = far.minimum(_distances(pool, pool[seeds[-1:]], centered)[:, 0])
            chance = far.double().cpu() + 1e-9
            seeds.append(int(torch.multinomial(chance, 1, generator=generator)))
        member = _distances(pool, pool[seeds], centered).argmin(1)
        d = v.shape[1]
        eye = torch.eye(d, dtype=v.dtype, device=v.device)
        means, factors, weights = [], [], []
        for k in range(components):
            mine = pool[member == k]
            mean = torch.zeros_like(pool[0]) if centered else mine.mean(0) if len(mine) else pool[seeds[k]]
            own = (mine - mean).T @ (mine - mean)
            level = own.trace() / max(len(mine), 1) / d  # as if d more vectors, white, belonged to it
            factors.append(torch.linalg.cholesky((own + d * level * eye) / (len(mine) + d) + floor * eye))
            means.append(mean)
            weights.append((len(mine) + 1) / (len(pool) + components))
        return cls(weights=v.new_tensor(weights), means=torch.stack(means), factors=torch.stack(factors))

    def save(self, path: str | Path, *, card: Mapping[str, str] | None = None, half: bool = False) -> None:
        """Write a safetensors file, in half the space of full matrices.

        Parameters
        ----------
        path : str or Path
        card : mapping of str to str, optional
            How the mixture was made: from which data, under which license. Kept as the metadata of the file.
        half : bool
            Means and factors in half precision.
        """
        rows, columns = torch.tril_indices(self.dimension, self.dimension)
        means, packed = self.means, self.factors[:, rows, columns]
        if half:
            means, packed = means.half(), packed.half()
        write(
            Path(path),
            {"weights": self.weights, "means": means, "factors": packed},
            {"format": "invcore.GaussianMixture 1", **(card or {})},
        )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; numbers of half precision become single precision.

        Raises
        ------
        DataError
            If the file is not one of these.
        """
        tensors, _ = read(Path(path))
        if not {"weights", "means", "factors"} <= set(tensors) or tensors["means"].ndim != 2:
            raise DataError(
                f"{path}: holds {sorted(tensors)}, not the weights, means and factors of a mixture"
            )
        wide = {n: t.float() if t.dtype == torch.float16 else t for n, t in tensors.items()}
        k, d = wide["means"].shape
        rows, columns = torch.tril_indices(d, d)
        if wide["factors"].shape != (k, len(rows)):
            raise DataError(
                f"{path}: factors of shape {tuple(wide['factors'].shape)} do not fit means of shape {(k, d)}"
            )
        factors = torch.zeros(k, d, d, dtype=wide["factors"].dtype)
        factors[:, rows, columns] = wide["factors"]
        return cls(weights=wide["weights"], means=wide["means"], factors=factors)

    def _joint(self, v: Tensor, variance: Tensor) -> Tensor:
        """log w_k N(v; μ_k, C_k + variance), shape (n, component); variance (n, 1) or of no dimensions."""
        values, vectors = self._spectrum
        noise = variance.split(_BLOCK) if variance.ndim else None
        rows = []
        for i, block in enumerate(v.split(_BLOCK)):
            level = variance if noise is None else noise[i]
            if level.ndim and len(level) and not level.requires_grad and bool((level == level[0]).all()):
                # one for all of them: far fewer logarithms
                level = level[:1]
            columns = []
            for k in range(self.components):
                power = values[k] + level
                squares = ((block - self.means[k]) @ vectors[k]).square()
                one = power.numel() == self.dimension
                whole = squares @ (1 / power.flatten()) if one else (squares / power).sum(1)
                columns.append(whole + power.log().sum(-1))
            rows.append(torch.stack(columns, 1))
        constant = self.weights.log() - self.dimension / 2 * math.log(2 * math.pi)
        return constant - torch.cat(rows) / 2

    def _most_likely(self, v: Tensor, variance: Tensor) -> Tensor:
        """The argmax of `_joint`, shape (n,).

        For one variance the exponents are polynomials of second degree in v, so that the products of two
        entries and one matrix give them all.
        """
        level = variance.reshape(-1)[:1]
        if not len(v) or not bool((variance == level).all()):
            return self._joint(v, variance).argmax(1)
        values, vectors = self._spectrum
        power = values + level
        whole = (vectors / power.unsqueeze(-2)) @ vectors.mT
        linear = (whole @ self.means.unsqueeze(-1)).squeeze(-1)
        constant = self.weights.log() - (power.log().sum(-1) + (linear * self.means).sum(-1)) / 2
        i, j = torch.triu_indices(self.dimension, self.dimension, device=v.device)
        squares = torch.where(i == j, -0.5, -1.0) * whole[:, i, j]
        found = []
        for block in v.split(_BLOCK):
            pairs = block.index_select(1, i).mul_(block.index_select(1, j))
            found.append(torch.addmm(torch.addmm(constant, block, linear.mT), pairs, squares.mT).argmax(1))
        return torch.cat(found)

    def _likely(self, v: Tensor) -> Tensor:
        """As `_joint` without noise, from the triangular factors."""
        eye = torch.eye(self.dimension, dtype=v.dtype, device=v.device)
        inverse = torch.linalg.solve_triangular(self.factors, eye.expand_as(self.factors), upper=False)
        whole = [
            torch.stack([((b - m) @ i.T).square().sum(1) for m, i in zip(self.means, inverse)], 1)
            for b in v.split(_BLOCK)
        ]
        logs = self.factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant = self.weights.log() - logs - self.dimension / 2 * math.log(2 * math.pi)
        return constant - torch.cat(whole) / 2

    def _chunks(self, v: Tensor, variance: float | Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        if v.ndim != 2 or v.shape[1] != self.dimension:
            raise ShapeError(
                f"GaussianMixture: expected vectors (n, {self.dimension}), got shape {tuple(v.shape)}."
            )
        s = torch.as_tensor(variance, dtype=v.dtype, device=v.device)
        parts = s.reshape(-1, 1).split(_CHUNK) if s.ndim else None
        for i, part in enumerate(v.split(_CHUNK)):
            yield part, s if parts is None else parts[i]


def _distances(points: Tensor, seeds: Tensor, centered: bool) -> Tensor:
    """Squared distances; of lines through zero squared sines, and squared ratios of length in logarithms."""
    if not centered:
        return torch.cdist(points, seeds).square()
    (a, u), (b, w) = (
        (n.log(), t / n) for t in (points, seeds) for n in (t.norm(dim=1, keepdim=True).clamp_min(1e-3),)
    )
    return (1 - (u @ w.T).square()).clamp_min(0) + (a - b.T).square()
