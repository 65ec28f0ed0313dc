"""Splitting of k-space: SSDU, its weighted and robust forms, and splits of a sequence by frames."""

from __future__ import annotations

import math
from dataclasses import field
from typing import Any, cast

import torch
from torch import Tensor

import invcore
from invcore import LinearOperator, Physics, Value
from invcore.noises import GaussianNoise
from invcore.spaces import batch_shape, per_sample, space_of

from .._data.sample import sample_by_sample, stacked_draws
from .base import support
from .splitting import Splitting, masked, need_one_block, over
from .wrapped import WrappingLoss, averaged


class DensityMask(Value):
    """Masks that keep each position with a probability of its own.

    Parameters
    ----------
    density : Tensor, shape (*spatial)
        Probabilities.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> draw = DensityMask(torch.tensor([0.0, 1.0]))
    >>> draw((3,), generator=torch.Generator().manual_seed(0)).shape
    torch.Size([3, 1, 2])
    """

    density: Tensor

    def __post_init__(self) -> None:
        if not bool(((self.density >= 0) & (self.density <= 1)).all()):
            raise invcore.ParameterError("DensityMask: density must be probabilities, 0 to 1")

    def __call__(self, batch: tuple[int, ...] = (), *, generator: torch.Generator) -> Tensor:
        """Draw masks, shape (*batch, 1, *spatial), one after the other."""
        density = self.density.cpu()
        one = lambda: torch.rand(density.shape, dtype=torch.float64, generator=generator) < density
        drawn = [one() for _ in range(math.prod(batch))]
        out = torch.stack(drawn) if drawn else density.new_zeros(0, *density.shape)
        return out.reshape(*batch, 1, *density.shape).to(torch.float32)


class FrameMask(Value):
    """Masks that keep some frames of a sequence (t, y, x): alternate groups, or one group.

    Parameters
    ----------
    frames : int
    size : int
        Frames in a group.
    keep : {"alternate", "one"}
        Even or odd groups at random, or one random group.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> FrameMask(4, size=2)(generator=torch.Generator().manual_seed(0)).flatten()
    tensor([1., 1., 0., 0.])
    """

    frames: int
    size: int = 1
    keep: str = "alternate"

    def __post_init__(self) -> None:
        if self.keep not in ("alternate", "one") or not 1 <= self.size < self.frames:
            raise invcore.ParameterError(
                "FrameMask: expected 1 <= size < frames and keep 'alternate' or 'one', got "
                f"{self.size!r}, {self.frames!r} and {self.keep!r}"
            )

    def __call__(self, batch: tuple[int, ...] = (), *, generator: torch.Generator) -> Tensor:
        """Draw masks, shape (*batch, 1, frames, 1, 1), one after the other."""
        group = torch.arange(self.frames) // self.size
        choices = 2 if self.keep == "alternate" else int(group[-1]) + 1
        drawn = [int(torch.randint(choices, (), generator=generator)) for _ in range(math.prod(batch))]
        chosen = torch.tensor(drawn, dtype=torch.long)[:, None]
        kept = (group % 2 == chosen) if self.keep == "alternate" else (group == chosen)
        return kept.float().reshape(*batch, 1, self.frames, 1, 1)


def ssdu(shape: tuple[int, ...], *, held_out: float = 0.4, center: int = 4, seed: int = 0) -> Splitting:
    """Self-supervised learning by undersampling (SSDU) [1]_: `Splitting` of k-space.

    The entries left out are drawn by a Gaussian density of standard deviation (n - 1)/4 about the center of
    k-space, the low frequencies always seen; the distance is that of the paper, ℓ1 and ℓ2, normalized. After
    training the model sees all data.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape of k-space, its center at n // 2.
    held_out : float
        Mean share of the positions that are left out.
    center : int
        Side of the square about the center that the model always sees.
    seed : int

    References
    ----------
    .. [1] B. Yaman, S. A. H. Hosseini, S. Moeller, J. Ellermann, K. Uğurbil, M. Akçakaya, Self-supervised
       learning of physics-guided reconstruction neural networks without fully sampled reference data, Magn.
       Reson. Med. 84 (2020).

    Examples
    --------
    >>> loss = ssdu((64, 64))
    >>> round(float(1 - loss.masks.density.mean()), 2)
    0.4
    """
    if not 0 < held_out < 0.9:
        raise invcore.ParameterError(f"ssdu: held_out must lie between 0 and 0.9, got {held_out!r}")
    exponent, inside = torch.zeros(()), torch.ones((), dtype=torch.bool)
    for i, n in enumerate(shape):
        t = (torch.arange(n) - n // 2).reshape(-1, *(1,) * (len(shape) - 1 - i))
        exponent = exponent + (t / max((n - 1) / 4, 1)) ** 2 / 2
        inside = inside & (t >= -(center // 2)) & (t < center - center // 2)
    profile = torch.where(inside, 0, torch.exp(-exponent.double()))
    low, high = 0.0, 1.0 / float(profile.max()) * 1e6
    for _ in range(100):  # the factor with which the clipped density has the wanted mean
        factor = (low + high) / 2
        low, high = (
            (factor, high) if float((factor * profile).clamp(max=1).mean()) < held_out else (low, factor)
        )
    density = 1 - (low * profile).clamp(max=1)
    return Splitting(masks=DensityMask(density), evaluate="all", distance="l1l2", seed=seed)


def phase2phase(frames: int, *, seed: int = 0) -> Splitting:
    """Reconstruct from even frames, compare with odd ones, and the other way round [1]_.

    Parameters
    ----------
    frames : int
        Frames of the data (channel, t, y, x).
    seed : int

    References
    ----------
    .. [1] C. Eldeniz et al., Phase2Phase: respiratory motion-resolved reconstruction of free-breathing
       magnetic resonance imaging using deep learning without a ground truth, Invest. Radiol. 56 (2021).

    Examples
    --------
    >>> phase2phase(6).masks
    FrameMask(frames=6, size=1, keep='alternate')
    """
    return Splitting(masks=FrameMask(frames), evaluate="all", seed=seed)


def artifact2artifact(frames: int, *, size: int = 2, seed: int = 0) -> Splitting:
    """Reconstruct from a group of frames, compare with the others [1]_.

    Parameters
    ----------
    frames : int
        Frames of the data (channel, t, y, x).
    size : int
        Frames in a group.
    seed : int

    References
    ----------
    .. [1] J. Liu, Y. Sun, C. Eldeniz, W. Gan, H. An, U. S. Kamilov, RARE: image reconstruction using deep
       priors learned without ground truth, IEEE J. Sel. Top. Signal Process. 14 (2020).

    Examples
    --------
    >>> artifact2artifact(6).masks
    FrameMask(frames=6, size=2, keep='one')
    """
    return Splitting(masks=FrameMask(frames, size=size, keep="one"), evaluate="all", seed=seed)


class WeightedSplitting(WrappingLoss):
    r"""Weighted and robust SSDU: splitting whose mean is the error in all of k-space.

    With pᵢ the probability that an entry is sampled, and qᵢ that a sampled one is seen,

    .. math:: L = \tfrac1n \sum_{i ∈ Ω \setminus Λ} \frac{|(A \hat x - y)_i|^2}{1 - k_i},
       \qquad k_i = \frac{1 - p_i}{1 - p_i q_i}

    over the n entries; given what the model sees, its mean over the masks is the squared error in all entries
    it does not see [1]_, plus their noise. ``alpha`` > 0 removes Gaussian noise, too: the model sees
    ỹ = y + αn', the entries that it sees are compared with weight (1 + 1/α²)², and after training the result
    is x̂ + Aᴴ(A x̂ - ỹ)/α² [2]_. The variances are then subtracted: the mean is the squared error of the
    result in the entries seen, and of x̂ in the others.

    Parameters
    ----------
    sampling : Tensor, shape (*range.shape), with size 1 where it is constant
        pᵢ, above 0.
    seen : Tensor, the same
        qᵢ, below 1, or 1 where pᵢ is 1: the center of k-space, which is always seen.
    alpha : float
    samples : int
        Draws of n' that are averaged after training.

    Raises
    ------
    ParameterError
        If a probability does not fit, or with ``alpha`` the noise of the physics is not Gaussian.

    References
    ----------
    .. [1] C. Millard, M. Chiew, A theoretical framework for self-supervised MR image reconstruction using
       sub-sampling via variable density Noisier2Noise, IEEE Trans. Comput. Imaging 9 (2023).
    .. [2] C. Millard, M. Chiew, Clean self-supervised MRI reconstruction from noisy, sub-sampled training
       data with Robust SSDU, Bioengineering 11 (2024).

    Examples
    --------
    >>> from invcore.operators import Mask
    >>> from invcore_learning import ArtifactRemoval, UNet
    >>> p = torch.full((1, 1, 8), 0.5)
    >>> loss = WeightedSplitting(sampling=p, seen=p)
    >>> physics = Physics(Mask(torch.ones(1, 8, 8), (1, 8, 8)))
    >>> model = loss.wrap(ArtifactRemoval(UNet(features=(4, 8))))
    >>> y = torch.ones(2, 1, 8, 8)
    >>> loss(model(y, physics), None, y, physics, model).shape
    torch.Size([2])
    """

    sampling: Tensor = field(kw_only=True)
    seen: Tensor = field(kw_only=True)
    alpha: float = 0.0
    samples: int = 1

    def __post_init__(self) -> None:
        p, q = self.sampling, self.seen
        if not bool(((p > 0) & (p <= 1)).all()) or not bool(((q >= 0) & (q <= 1)).all()):
            raise invcore.ParameterError("WeightedSplitting: sampling and seen must be probabilities")
        if bool(((q == 1) & (p < 1)).any()):
            raise invcore.ParameterError(
                "WeightedSplitting: entries that are always seen must always be sampled, or the loss never "
                "compares them: seen < 1 where sampling < 1"
            )
        if not self.alpha >= 0 or self.samples < 1:
            raise invcore.ParameterError(
                f"WeightedSplitting: expected alpha >= 0 and samples >= 1, got {self.alpha!r} and "
                f"{self.samples!r}"
            )

    def reconstruct(self, model: Any, y: Any, physics: Physics) -> Tensor:
        """See `WrappingLoss.reconstruct`."""
        m = self._mask(y, physics)
        batch = batch_shape(y, physics.range)
        noisier, wider = self._noisier(y, physics, self.generators("noise", batch))
        return cast(Tensor, model(m * noisier, masked(wider, m)))

    def restore(self, model: Any, y: Any, physics: Physics) -> Tensor:
        """See `WrappingLoss.restore`."""
        if not self.alpha:
            return cast(Tensor, model(y, physics))
        A = physics.operator
        if not isinstance(A, LinearOperator):
            raise invcore.ParameterError("WeightedSplitting: with alpha the operator must be linear")

        def once(generators: list[torch.Generator]) -> Tensor:
            noisier, wider = self._noisier(y, physics, generators)
            x = model(noisier, wider)
            return cast(Tensor, x + A.H(A(x) - noisier) / self.alpha**2)

        return averaged(self, self.samples, batch_shape(y, physics.range), once)

    def _mask(self, y: Tensor, physics: Physics) -> Tensor:
        need_one_block("WeightedSplitting", physics)
        space = physics.range
        q = self.seen.cpu().expand(space.shape[1:]) if self.seen.ndim < len(space.shape) else self.seen.cpu()  # type: ignore[union-attr]
        if q.ndim == len(space.shape):  # type: ignore[union-attr]
            q = q[0]
        batch = tuple(batch_shape(y, space))
        m = stacked_draws(lambda g: DensityMask(q)(generator=g), batch, self.generators("mask", batch))
        return m.to(device=y.device, dtype=y.real.dtype)

    def _noisier(
        self, y: Tensor, physics: Physics, generators: list[torch.Generator]
    ) -> tuple[Tensor, Physics]:
        if not self.alpha:
            return y, physics
        sigma = self._sigma(y, physics)
        draw = lambda t, i, own: invcore.spaces.randn(
            space_of(t), generator=own, dtype=t.dtype, device=t.device
        )
        omega = sample_by_sample(draw, y, physics.range, generators)
        noisier = y + support(physics, y) * self.alpha * sigma * omega
        wider = GaussianNoise(sigma=cast(GaussianNoise, physics.noise).sigma * (1 + self.alpha**2) ** 0.5)
        return noisier, Physics(physics.operator, wider)

    def _sigma(self, y: Tensor, physics: Physics) -> Any:
        noise = physics.noise
        if not isinstance(noise, GaussianNoise):
            raise invcore.ParameterError(
                f"WeightedSplitting: with alpha the noise must be Gaussian, got {type(noise).__name__}"
            )
        return per_sample(
            noise.per_sample(physics.range, tuple(batch_shape(y, physics.range))).sigma, physics.range
        )

    def compare(self, x_hat: Tensor, y: Any, physics: Physics, model: Any) -> Tensor:
        """See `WrappingLoss.compare`."""
        m, there = self._mask(y, physics), support(physics, y)
        p, q = (t.to(device=y.device, dtype=y.real.dtype) for t in (self.sampling, self.seen))
        always = (p == 1) & (q == 1)
        k = torch.where(always, 0, (1 - p) / torch.where(always, 1, 1 - p * q))
        left, inside = there * (1 - m) / (1 - k), there * m
        square = (physics.operator(x_hat) - y).abs().square()
        dims, space = over(physics.range), physics.range
        total = (left * square).sum(dims)
        if self.alpha:
            factor = 1 + 1 / self.alpha**2
            components = 2 if y.is_complex() else 1
            v = components * self._sigma(y, physics) ** 2
            total = total + (inside * (factor**2 * square - factor * v) - left * v).expand(y.shape).sum(dims)
        return cast(Tensor, total / space.size)  # type: ignore[union-attr]
