"""Correlated Gaussian noise, and joint noise of several blocks of data."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from invcore import DtypeError, ParameterError
from invcore.fidelities import Fidelity
from invcore.noises import EntryNoise, Noise
from invcore.operators import Space, SpaceLike

from .covariance import BlockCovariance


class CorrelatedLeastSquares(Fidelity):
    """Likelihood of real data with correlated Gaussian errors, f(u; y) = ½ (u - y)ᵀ Σ⁻¹ (u - y).

    Parameters
    ----------
    covariance : BlockCovariance
        Covariance Σ of the flattened data.

    Raises
    ------
    ShapeError, DtypeError
        If the data do not have as many entries as Σ, or are not real.

    References
    ----------
    S. M. Kay, Fundamentals of Statistical Signal Processing: Estimation Theory (1993), Ch. 4.

    Examples
    --------
    >>> pair = torch.tensor([[[2.0, 1.0], [1.0, 2.0]]])
    >>> f = CorrelatedLeastSquares(BlockCovariance(index=torch.tensor([[0, 1]]), matrix=pair))
    >>> f.value(torch.ones(2), torch.zeros(2)), f.grad(torch.ones(2), torch.zeros(2))
    (tensor(0.3333), tensor([0.3333, 0.3333]))
    """

    covariance: BlockCovariance

    def value(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        return 0.5 * self.covariance.whiten(self._residual(u, y, space)).square().sum(-1)

    def grad(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        return self.covariance.solve(self._residual(u, y, space)).reshape(u.shape)

    def prox(self, u: Any, y: Any, step: float | Tensor, space: SpaceLike | None = None) -> Tensor:
        """y + Σ (Σ + step)⁻¹ (u - y), block by block."""
        t = torch.as_tensor(step, dtype=u.dtype, device=u.device)
        t = t.reshape(*t.shape, 1, 1) if t.ndim else t
        values, vectors = (part.to(u.dtype) for part in self.covariance._spectrum)
        r = self.covariance._blocks(self._residual(u, y, space)).unsqueeze(-1)
        shrunk = (values / (values + t)).unsqueeze(-1) * (vectors.mT @ r)
        return y + self.covariance._flat((vectors @ shrunk).squeeze(-1)).reshape(u.shape)

    def conjugate(self, p: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        """⟨p, y⟩ + ½ pᵀ Σ p."""
        flat, data = (self._residual(v, torch.zeros_like(v), space) for v in (p, y))
        blocks = self.covariance._blocks(flat)
        quadratic = torch.einsum("...i,...ij,...j->...", blocks, self.covariance.matrix.to(p.dtype), blocks)
        return (flat * data).sum(-1) + 0.5 * quadratic.sum(-1)

    def expected(self) -> Tensor:
        """Return the mean of `value` at the truth, half the number of data."""
        return torch.tensor(self.covariance.size / 2)

    def lipschitz(self) -> Tensor:
        """Return 1/λ for the smallest eigenvalue λ of Σ."""
        return 1 / self.covariance._spectrum[0].min()

    def _residual(self, u: Any, y: Any, space: SpaceLike | None) -> Tensor:
        for v in (u, y):
            if not isinstance(v, Tensor) or not v.is_floating_point():
                got = (
                    v.dtype
                    if isinstance(v, Tensor)
                    else f"{type(v).__name__} (several blocks: use JointNoise)"
                )
                raise DtypeError(f"CorrelatedLeastSquares is a model of real data, got {got}")
        r = u - y
        return r.flatten(-len(space.shape)) if isinstance(space, Space) else r.reshape(-1)


class CorrelatedNoise(EntryNoise):
    """Correlated Gaussian noise of real data, y ↦ y + n with E nnᵀ = Σ.

    Parameters
    ----------
    covariance : BlockCovariance
        Covariance Σ of the flattened data.

    Raises
    ------
    ShapeError, DtypeError
        If the data do not have as many entries as Σ, or are not real.

    References
    ----------
    S. M. Kay, Fundamentals of Statistical Signal Processing: Estimation Theory (1993), Ch. 4.

    Examples
    --------
    >>> pair = torch.tensor([[[2.0, 1.0], [1.0, 2.0]]])
    >>> noise = CorrelatedNoise(BlockCovariance(index=torch.tensor([[0, 1]]), matrix=pair))
    >>> y = noise(torch.zeros(20000, 2), space=Space((2,)), generator=torch.Generator().manual_seed(0))
    >>> (y.T @ y / 20000).round(decimals=1)
    tensor([[2., 1.],
            [1., 2.]])
    """

    covariance: BlockCovariance

    def draw(self, y: Tensor, generator: torch.Generator) -> Tensor:
        if not y.is_floating_point():
            raise DtypeError(f"CorrelatedNoise is a model of real data, got {y.dtype}")
        n = torch.empty(y.numel(), dtype=y.dtype, device=generator.device).normal_(generator=generator)
        return y + self.covariance.color(n.to(y.device)).reshape(y.shape)

    def likelihood(self) -> CorrelatedLeastSquares:
        return CorrelatedLeastSquares(covariance=self.covariance)


class JointLikelihood(Fidelity):
    """Likelihood of data in several blocks, f(u; y) = Σₖ wₖ fₖ(uₖ; yₖ).

    An example are closure phases and log closure amplitudes.

    Parameters
    ----------
    parts : tuple of Fidelity
        Likelihoods fₖ, one for each block of a stacked operator.
    weights : tuple of float, optional
        Weights wₖ > 0; 1 by default, which is right for independent data.

    Raises
    ------
    ParameterError
        If the numbers of parts, weights and blocks differ.

    Examples
    --------
    >>> from invcore.fidelities import LeastSquares
    >>> f = JointLikelihood((LeastSquares(), LeastSquares(sigma=0.5)))
    >>> f.value((torch.ones(2), torch.ones(3)), (torch.zeros(2), torch.zeros(3)))
    tensor(7.)
    """

    units = {"parts": 1}
    parts: tuple[Fidelity, ...]
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.parts, tuple) or not all(isinstance(f, Fidelity) for f in self.parts):
            raise ParameterError(
                "JointLikelihood: parts must be a tuple of fidelities, one for each block of the data"
            )
        if self.weights is not None and (
            len(self.weights) != len(self.parts) or not all(w > 0 for w in self.weights)
        ):
            raise ParameterError(
                f"JointLikelihood: weights must be {len(self.parts)} numbers > 0, one a part, got "
                f"{self.weights}"
            )

    @property
    def convex(self) -> bool:  # type: ignore[override]
        """True if all parts are convex."""
        return all(f.convex for f in self.parts)

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        """True if all parts are smooth."""
        return all(f.smooth for f in self.parts)

    def _blocks(self, space: SpaceLike | None, *values: Any) -> Any:
        if not all(isinstance(v, tuple) and len(v) == len(self.parts) for v in values):
            raise ParameterError(
                f"JointLikelihood of {len(self.parts)} parts: the data must be a tuple of as many tensors, "
                "one a block"
            )
        spaces = space if isinstance(space, tuple) else (None,) * len(self.parts)
        return zip(self.parts, self.weights or (1.0,) * len(self.parts), spaces, *values)

    def value(self, u: Any, y: Any, space: SpaceLike | None = None) -> Tensor:
        terms = [w * f.value(a, b, s) for f, w, s, a, b in self._blocks(space, u, y)]
        return sum(terms[1:], terms[0])

    def grad(self, u: Any, y: Any, space: SpaceLike | None = None) -> Any:
        return tuple(w * f.grad(a, b, s) for f, w, s, a, b in self._blocks(space, u, y))

    def prox(self, u: Any, y: Any, step: float | Tensor, space: SpaceLike | None = None) -> Any:
        return tuple(f.prox(a, b, w * step, s) for f, w, s, a, b in self._blocks(space, u, y))

    def lipschitz(self) -> float | Tensor | None:
        constants = [f.lipschitz() for f in self.parts]
        scaled = [
            torch.as_tensor(w * c)
            for w, c in zip(self.weights or (1.0,) * len(constants), constants)
            if c is not None
        ]
        return torch.stack(scaled).max() if len(scaled) == len(constants) else None


class JointNoise(Noise):
    """Independent noises of the blocks of a stacked operator.

    The likelihood is the sum of the parts' likelihoods, `JointLikelihood`.

    Parameters
    ----------
    parts : tuple of Noise
        One noise for each block.

    Raises
    ------
    ParameterError
        If ``parts`` is not a tuple of noises, one for each block.

    Examples
    --------
    >>> from invcore.noises import GaussianNoise, NoNoise
    >>> noise = JointNoise((GaussianNoise(sigma=1.0), NoNoise()))
    >>> a, b = noise((torch.zeros(2), torch.ones(3)), generator=torch.Generator().manual_seed(0))
    >>> b
    tensor([1., 1., 1.])
    """

    units = {"parts": 1}
    parts: tuple[Noise, ...]
    maps: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.parts, tuple) or not all(isinstance(n, Noise) for n in self.parts):
            raise ParameterError(
                "JointNoise: parts must be a tuple of noises, one for each block of the data"
            )

    @property
    def random(self) -> bool:
        return any(n.random for n in self.parts)

    def parameter_batch(self, space: SpaceLike) -> torch.Size:
        return torch.broadcast_shapes(
            *(n.parameter_batch(s) for n, s in zip(self.parts, self._spaces(space)))
        )

    def sample(self, y: Any, space: SpaceLike, generator: torch.Generator) -> Any:
        return tuple(n.sample(b, s, generator) for n, b, s in zip(self.parts, y, self._spaces(space)))

    def likelihood(self) -> JointLikelihood:
        return JointLikelihood(parts=tuple(n.likelihood() for n in self.parts))

    def _spaces(self, space: SpaceLike) -> tuple[SpaceLike, ...]:
        if not isinstance(space, tuple) or len(space) != len(self.parts):
            raise ParameterError(
                f"JointNoise of {len(self.parts)} parts: the data must have as many blocks, as those of "
                "stack(...)"
            )
        return space
