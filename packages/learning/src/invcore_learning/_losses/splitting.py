"""Splitting the data: reconstruct from one part, compare with the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor

import invcore
from invcore import Physics, Space
from invcore.noises import (
    GammaNoise,
    GaussianMapNoise,
    GaussianNoise,
    NoNoise,
    PoissonGaussianNoise,
    PoissonNoise,
)
from invcore.operators import Identity, Mask, RandomMask
from invcore.spaces import batch_shape

from .._data.sample import stacked_draws
from .base import expected, noise_variance, support
from .wrapped import WrappingLoss, evaluation

_KNOWN = (GammaNoise, GaussianMapNoise, GaussianNoise, PoissonGaussianNoise, PoissonNoise)
"""Noise of which the variance is known."""


class Splitting(WrappingLoss):
    r"""Reconstruct from a random part of the data, compare with the rest [1]_ [2]_ [3]_.

    .. math:: L = \frac{1}{\sum_i M_{2,i}} \|M_2 (A\, \hat x(M_1 y, M_1 A) - y)\|^2, \quad M_2 = M (1 - M_1),

    with M the entries that are measured at all.

    Where the noise of the entries is independent, its mean is the squared error of A x̂ in the entries left
    out, plus the variance of the noise. For denoising this is Noise2Self. All channels are split alike.

    Parameters
    ----------
    masks : generator of masks, optional
        ``masks((), generator=g)``, shape (1, *spatial), is called for each sample: ones are what the model
        sees. By default `keep` of the positions, drawn at random.
    keep : float
        Share of the positions that the model sees; without `masks` only.
    evaluate : {"auto", "combined", "held_out", "average", "all"}
        After training reconstruct from several parts and average, or once from all data. ``"held_out"``
        averages in each pixel the reconstructions that have not seen it: for operators that are a mask or
        the identity, where others were never compared with anything. ``"combined"`` adds what was measured
        there, which has independent errors, weighted by the inverse variances: that of the noise, and that
        of the reconstruction, from its distance to the data. By default "combined" for a mask or the
        identity where the noise is of known level (Gaussian, Poisson, Gamma, or none behind a mask),
        "held_out" for them where it is not, else "average".
    samples : int
        Parts that are averaged. Without `masks` the positions are divided into groups, each of which is left
        out once or in several rounds.
    distance : {"mse", "l1l2"}
        ``"l1l2"``: ‖u - v‖₁/‖v‖₁ + ‖u - v‖₂/‖v‖₂ of the entries compared [2]_.
    against : {"held_out", "measured"}
        What is compared: M₂ above, or all entries that are measured, those that the model has seen too. For
        data without noise (else the model learns to repeat it): see `partial_measurements`.

    Raises
    ------
    ParameterError
        If the data are several blocks, or a part would be empty.

    References
    ----------
    .. [1] J. Batson, L. Royer, Noise2Self: blind denoising by self-supervision, ICML 2019.
    .. [2] B. Yaman, S. A. H. Hosseini, S. Moeller, J. Ellermann, K. Uğurbil, M. Akçakaya, Self-supervised
       learning of physics-guided reconstruction neural networks without fully sampled reference data, Magn.
       Reson. Med. 84 (2020).
    .. [3] A. A. Hendriksen, D. M. Pelt, K. J. Batenburg, Noise2Inverse: self-supervised deep convolutional
       denoising for tomography, IEEE Trans. Comput. Imaging 6 (2020).

    Examples
    --------
    >>> from invcore_learning import UNet
    >>> physics = Physics(Identity((1, 8, 8)))
    >>> loss = Splitting(keep=0.5)
    >>> model = loss.wrap(UNet(features=(4, 8)))
    >>> y = torch.ones(2, 1, 8, 8)
    >>> loss(model(y, physics), None, y, physics, model).shape
    torch.Size([2])
    """

    masks: Any = None
    keep: float = 0.9
    evaluate: Literal["auto", "combined", "held_out", "average", "all"] = "auto"
    samples: int = 5
    distance: Literal["mse", "l1l2"] = "mse"
    against: Literal["held_out", "measured"] = "held_out"

    def __post_init__(self) -> None:
        if not 0 < self.keep < 1:
            raise invcore.ParameterError(f"Splitting: keep must lie between 0 and 1, got {self.keep!r}")
        if self.masks is not None and not callable(self.masks):
            raise invcore.ParameterError(f"Splitting: masks must be a generator, got {self.masks!r}")
        if self.evaluate not in (modes := ("auto", "combined", "held_out", "average", "all")):
            raise invcore.ParameterError(
                f"Splitting: evaluate must be one of {', '.join(modes)}, got {self.evaluate!r}"
            )
        if self.distance not in ("mse", "l1l2"):
            raise invcore.ParameterError(
                f"Splitting: distance must be 'mse' or 'l1l2', got {self.distance!r}"
            )
        if self.against not in ("held_out", "measured"):
            raise invcore.ParameterError(
                f"Splitting: against must be 'held_out' or 'measured', got {self.against!r}"
            )
        if self.samples < 1:
            raise invcore.ParameterError(f"Splitting: samples must be >= 1, got {self.samples!r}")

    def reconstruct(self, model: Any, y: Any, physics: Physics) -> Tensor:
        """See `WrappingLoss.reconstruct`."""
        m = self.mask(y, physics)
        return cast(Tensor, model(m * y, masked(physics, m)))

    def restore(self, model: Any, y: Any, physics: Physics) -> Tensor:
        """See `WrappingLoss.restore`."""
        if self.evaluate == "all":
            return cast(Tensor, model(y, physics))
        diagonal = isinstance(physics.operator, Identity | Mask)
        if self.evaluate in ("held_out", "combined") and not diagonal:
            raise invcore.ParameterError(
                f"Splitting: evaluate={self.evaluate!r} needs a mask or the identity as the operator, got "
                f"{type(physics.operator).__name__}"
            )
        need_one_block(type(self).__name__, physics)
        there = support(physics, y)
        total = left_out = unseen = torch.zeros((), dtype=y.real.dtype, device=y.device)
        parts = self._parts(y, physics)
        for m in parts:
            x = model(m * y, masked(physics, m))
            w = 1 - m * there
            total, left_out, unseen = total + x, left_out + w * x, unseen + w
        mean = total / len(parts)
        if self.evaluate == "average" or not diagonal:
            return mean
        x = torch.where(unseen > 0, left_out / unseen.clamp_min(1), mean)
        wanted = self.evaluate == "combined" or (self.evaluate == "auto" and known_level(physics))
        return combined(x, y, physics, there * (unseen > 0)) if wanted else x

    def _parts(self, y: Any, physics: Physics) -> list[Tensor]:
        """What the model sees after training, the same in every call: shape (1, *spatial)."""
        generators = [evaluation(self, i, ()) for i in range(self.samples)]
        if self.masks is not None:
            return [drawn(self.masks, self.keep, (), y, physics, g) for g in generators]
        shape = physics.range.shape  # type: ignore[union-attr]
        positions = shape[1:] or shape
        groups = min(max(round(1 / (1 - self.keep)), 2), math.prod(positions))
        parts = []
        for (g,) in generators[: max(1, round(self.samples / groups))]:
            group = torch.randperm(math.prod(positions), generator=g) % groups
            seen = (group != torch.arange(groups)[:, None]).to(device=y.device, dtype=y.real.dtype)
            parts += list(seen.reshape(groups, *((1,) if len(shape) > 1 else ()), *positions))
        return parts

    def mask(self, y: Any, physics: Physics) -> Tensor:
        """The part of the data that the model sees in this step."""
        need_one_block(type(self).__name__, physics)
        batch = tuple(batch_shape(y, physics.range))
        return drawn(self.masks, self.keep, batch, y, physics, self.generators("mask", batch))

    def compare(self, x_hat: Tensor, y: Any, physics: Physics, model: Any) -> Tensor:
        """See `WrappingLoss.compare`."""
        left = support(physics, y)
        if self.against == "held_out":
            left = (1 - self.mask(y, physics)) * left
        u, dims = expected(physics.operator(x_hat), physics), over(physics.range)
        r = left * (u - y)
        if self.distance == "l1l2":
            v = left * y
            return r.abs().sum(dims) / nonzero(v.abs().sum(dims)) + norm(r, dims) / nonzero(norm(v, dims))
        count = left.expand(y.shape).sum(dims)
        return r.abs().square().sum(dims) / count.clamp_min(1)


def partial_measurements(masks: Any = None, *, keep: float = 0.8, seed: int = 0) -> Splitting:
    r"""Learn the conditional mean of images of which only a random part was ever measured [1]_ [2]_.

    .. math:: L = \frac{1}{\sum_i S_i} ‖S (A\, \hat x(\tilde S z, \tilde S A) - z)‖^2,
        \qquad z = S A x, \; \tilde S \subset S

    The measured part S is split further, and the model, which sees S̃, is compared with all that was
    measured: `Splitting` with ``against="measured"``. If S does not depend on the image, what is missing is
    missing at random: the minimizer is the conditional mean E[A x | S̃ z] in every entry that is measured with
    positive probability given S̃, as for complete references, with no noise. After training the model sees
    all of z. Such a model is the restorer of `invcore.priors.Restoration`.

    Parameters
    ----------
    masks : generator of masks, optional
        ``masks((), generator=g)``, shape (1, *spatial), for each sample: ones are what the model may see.
    keep : float
        Share of the positions that the model sees; without `masks` only.
    seed : int

    References
    ----------
    .. [1] Y. Hu, A. Peng, W. Gan, P. Milanfar, M. Delbracio, U. Kamilov, Stochastic deep restoration priors
       for imaging inverse problems, arXiv:2410.02057 (2024).
    .. [2] B. Yaman, S. A. H. Hosseini, S. Moeller, J. Ellermann, K. Uğurbil, M. Akçakaya, Self-supervised
       learning of physics-guided reconstruction neural networks without fully sampled reference data, Magn.
       Reson. Med. 84 (2020).

    Examples
    --------
    >>> loss = partial_measurements(keep=0.5)
    >>> loss.against, loss.evaluate
    ('measured', 'all')
    """
    return Splitting(masks=masks, keep=keep, evaluate="all", against="measured", seed=seed)


def known_level(physics: Physics) -> bool:
    """Whether the noise says how far the data are from A x; the identity without noise says nothing."""
    if isinstance(physics.noise, NoNoise):
        return isinstance(physics.operator, Mask)
    return isinstance(physics.noise, _KNOWN)


def combined(x: Tensor, y: Tensor, physics: Physics, measured: Tensor) -> Tensor:
    """The mean of predictions and data by inverse variances, in the entries that were measured.

    The errors of a prediction that has not seen an entry and of its measurement are independent. The mean
    square of the first is that of their difference minus the variance of the second, over a sample.
    """
    A, dims = physics.operator, over(physics.range)
    u = A(x)
    r, v = y - expected(u, physics), noise_variance(u, physics)
    count = measured.expand(y.shape).sum(dims, keepdim=True).clamp_min(1)
    error = (measured * (r.abs().square() - v)).sum(dims, keepdim=True).clamp_min(0) / count
    share = measured * torch.where(v > 0, error / (error + v), 1)
    factor = A.mask if isinstance(A, Mask) else torch.ones((), dtype=y.dtype, device=y.device)
    return x + share * r / torch.where(factor == 0, 1, factor)


def need_one_block(name: str, physics: Physics) -> None:
    """Refuse data of several blocks."""
    if not isinstance(physics.range, Space):
        raise invcore.ParameterError(
            f"{name} splits data of one block; these have {len(physics.range)}. Split the operator instead."
        )


def drawn(
    masks: Any,
    keep: float,
    batch: tuple[int, ...],
    y: Tensor,
    physics: Physics,
    generators: Sequence[torch.Generator],
) -> Tensor:
    """Masks (batch..., 1, *spatial) of what the model sees."""
    shape = physics.range.shape  # type: ignore[union-attr]
    positions = shape[1:] or shape
    if masks is None:
        count = math.prod(positions)
        if not 1 <= math.floor(keep * count + 0.5) < count:
            raise invcore.ParameterError(
                f"Splitting: keep={keep} of {count} positions leaves one of the parts empty"
            )
        masks = RandomMask(positions, keep=keep, exact=True)
    m = stacked_draws(lambda g: masks((), generator=g), batch, generators)
    m = m.to(device=y.device, dtype=y.real.dtype)
    if len(shape) == 1:
        m = m.squeeze(len(batch))
    own = tuple(m.shape[len(batch) :])
    if len(own) != len(shape) or any(a not in (1, b) for a, b in zip(own, shape)):
        raise invcore.ShapeError(f"Splitting: masks of shape {own} do not fit data of shape {shape}")
    return m


def masked(physics: Physics, m: Tensor) -> Physics:
    """The physics of ``m * y``."""
    A = physics.operator
    if isinstance(A, Mask):
        return Physics(A.bind(mask=A.mask * m), physics.noise)
    part = Mask(m, cast(Space, physics.range))
    return Physics(part if isinstance(A, Identity) else part @ A, physics.noise)


def over(space: Any) -> tuple[int, ...]:
    """The dimensions of one sample."""
    return tuple(range(-len(space.shape), 0))


def norm(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Euclidean norm with a finite derivative at zero."""
    return torch.linalg.vector_norm(x, dim=dims)


def nonzero(x: Tensor) -> Tensor:
    """x, and 1 where it is zero."""
    return torch.where(x > 0, x, 1)
