"""Unbiased estimates of the squared error from the noise model: SURE, PURE, GSURE and UNSURE."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Module, Parameter

import invcore
from invcore import LinearOperator, Physics
from invcore.noises import GaussianMapNoise, GaussianNoise, PoissonGaussianNoise, PoissonNoise
from invcore.spaces import (
    SpaceLike,
    add,
    batch_shape,
    check,
    device_of,
    dtype_of,
    randn,
    scaled,
    spaces_of,
    tree_map,
    vdot,
)

from .._data.sample import sample_by_sample
from .base import StochasticLoss, TrainingLoss, size_of, support

GOLDEN = (1 + 5**0.5) / 2


class SURE(StochasticLoss):
    r"""Stein's unbiased risk estimate: the squared error in the data, without the image.

    .. math:: L = \tfrac1m \bigl(\|A \hat x(y) - y\|^2 - \textstyle\sum_i v_i + 2 \sum_i v_i
       \partial (A \hat x)_i/\partial y_i\bigr),

    with m entries and the variance vᵢ of each: σ² for Gaussian noise [1]_ (also a map, also complex), γ yᵢ
    for Poisson noise [2]_ and γ yᵢ + σ² for both [3]_. Its mean is that of ‖A(x̂ - x)‖²/m, exactly for
    Gaussian noise; for Poisson noise exactly where x̂ is affine in y, else to first order in γ. The divergence
    is that along a random direction [4]_, from a second evaluation of the model.

    ``domain="image"`` estimates ‖P(x̂ - x)‖²/n instead, with P the projection on what A sees [5]_; it applies
    the pseudo-inverse.

    Parameters
    ----------
    domain : {"data", "image"}
    tau : float
        Step of the difference, relative to the root mean square of the data. Small steps see the derivative
        of a network at one point, which varies more from sample to sample than that over the noise.
    second_derivative : bool
        Subtract 2σ²γ Σᵢ ∂²(A x̂)ᵢ/∂yᵢ², by a third evaluation: Poisson-Gaussian noise only.

    Raises
    ------
    ParameterError
        If the noise of the physics is another one, or its level zero.

    References
    ----------
    .. [1] C. Stein, Estimation of the mean of a multivariate normal distribution, Ann. Statist. 9 (1981).
    .. [2] F. Luisier, T. Blu, M. Unser, Image denoising in mixed Poisson-Gaussian noise, IEEE Trans. Image
       Process. 20 (2011).
    .. [3] Y. Le Montagner, E. D. Angelini, J.-C. Olivo-Marin, An unbiased risk estimator for image denoising
       in the presence of mixed Poisson-Gaussian noise, IEEE Trans. Image Process. 23 (2014).
    .. [4] S. Ramani, T. Blu, M. Unser, Monte-Carlo SURE, IEEE Trans. Image Process. 17 (2008).
    .. [5] Y. C. Eldar, Generalized SURE for exponential families, IEEE Trans. Signal Process. 57 (2009).

    Examples
    --------
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> physics = Physics(Identity((1, 400, 400)), GaussianNoise(sigma=0.1))
    >>> x = torch.ones(1, 400, 400)
    >>> y = physics(x, generator=torch.Generator().manual_seed(0))
    >>> shrink = lambda y, physics: 0.9 * y
    >>> error = (shrink(y, physics) - x).square().mean()
    >>> round(float(error), 4), round(float(SURE()(shrink(y, physics), None, y, physics, shrink)), 4)
    (0.0181, 0.0181)
    """

    domain: Literal["data", "image"] = "data"
    tau: float = 0.02
    second_derivative: bool = False

    def __post_init__(self) -> None:
        if self.domain not in ("data", "image"):
            raise invcore.ParameterError(f"SURE: domain must be 'data' or 'image', got {self.domain!r}")
        if self.domain == "image" and self.second_derivative:
            raise invcore.ParameterError("SURE: second_derivative is for domain='data'")
        _check_tau(self)

    def __call__(self, x_hat: Tensor, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """See `TrainingLoss`."""
        check(y, physics.range, "y")
        v, shift, curvature = variance(self, y, physics)
        A, space = physics.operator, physics.range
        b, step = probe(self, y, space, golden=self.second_derivative), step_of(self.tau, y, space)
        there = support(physics, y)
        residual = tree_map(torch.mul, there, add(add(A(x_hat), shift), y, -1.0))
        v = tree_map(torch.mul, there, v)
        vb = tree_map(torch.mul, v, b)
        plus = model(add(y, b, step, space), physics)
        if self.domain == "image":
            return self._in_image(residual, add(plus, x_hat, -1.0), step, vb, b, physics)
        minus, width = x_hat, step
        if self.second_derivative:
            minus, width = model(add(y, b, -step, space), physics), 2 * step
        total = vdot(residual, residual, space) - _entries(v, space)
        total = total + 2 * vdot(vb, add(A(plus), A(minus), -1.0), space) / width
        if self.second_derivative:
            if curvature is None:
                raise invcore.ParameterError("SURE: second_derivative is for Poisson-Gaussian noise")
            bend = add(add(A(plus), A(x_hat), -2.0), A(minus))
            total = total - 2 * vdot(scaled(curvature, b, space), bend, space) / step**2
        return total / size_of(space)

    def _in_image(
        self, residual: Any, change: Tensor, step: Tensor, vb: Any, b: Any, physics: Physics
    ) -> Tensor:
        A, domain = physics.operator, physics.domain
        if not isinstance(A, LinearOperator):
            raise invcore.ParameterError(
                f"SURE: domain='image' needs a linear operator, got {type(A).__name__}"
            )
        back, noise = A.pinv(residual), A.pinv(vb)
        total = vdot(back, back, domain) + 2 * vdot(noise, change, domain) / step
        return (total - vdot(noise, A.pinv(b), domain)) / size_of(domain)


class ENSURE(StochasticLoss):
    r"""SURE for undersampled data whose masks differ: errors in k-space, weighted by the sampling density.

    .. math:: L = \tfrac1n \Bigl(\|W M (A \hat x - y)\|^2 - \sum_i v_i w_i^2 + 2 \sum_i v_i w_i^2
       \partial(A \hat x)_i/\partial y_i\Bigr), \quad w_i = p_i^{-1/2}.

    For each mask M its mean over the noise is ‖W M A(x̂ - x)‖²/n, and over masks with P(Mᵢ = 1) = pᵢ that of
    an estimate which does not depend on the mask is its full error [1]_. The noise is Gaussian.

    Parameters
    ----------
    density : Tensor, shape (*range.shape), with size 1 where it is constant
        pᵢ > 0, the probability that an entry is sampled.
    tau : float
        Step of the difference, relative to the root mean square of the data.

    Raises
    ------
    ParameterError

    References
    ----------
    .. [1] H. K. Aggarwal, A. Pramanik, M. John, M. Jacob, ENSURE: a general approach for unsupervised
       training of deep image reconstruction algorithms, IEEE Trans. Med. Imaging 42 (2023).

    Examples
    --------
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Mask
    >>> physics = Physics(Mask(torch.tensor([[1.0, 0.0]]), (1, 2)), GaussianNoise(sigma=0.1))
    >>> y, keep = torch.tensor([[1.0, 0.0]]), lambda y, physics: y
    >>> ENSURE(density=torch.tensor([[0.5, 0.5]]))(y, None, y, physics, keep).shape
    torch.Size([])
    """

    density: Tensor = field(kw_only=True)
    tau: float = 0.02

    def __post_init__(self) -> None:
        _check_tau(self)
        if not bool(((self.density > 0) & (self.density <= 1)).all()):
            raise invcore.ParameterError("ENSURE: density must be probabilities in (0, 1]")

    def __call__(self, x_hat: Tensor, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """See `TrainingLoss`."""
        check(y, physics.range, "y")
        space, A = physics.range, physics.operator
        v, _, _ = variance(self, y, physics)
        if not isinstance(physics.noise, GaussianNoise | GaussianMapNoise):
            raise invcore.ParameterError("ENSURE: the noise must be Gaussian")
        weight = support(physics, y) / self.density.to(device=device_of(y), dtype=v.dtype)
        b = probe(self, y, space)
        step = step_of(self.tau, y, space)
        moved = A(model(add(y, b, step, space), physics)) - A(x_hat)
        r = A(x_hat) - y
        total = vdot(weight * r, r, space) - _entries(weight * v, space)
        return (total + 2 * vdot(weight * v * b, moved, space) / step) / size_of(space)


class UNSURE(StochasticLoss):
    r"""SURE without the noise level: the most pessimistic one whose divergence vanishes.

    .. math:: \min_R \max_η\ \mathrm{E}\, \tfrac1m \bigl(\|A \hat x(y) - y\|^2 + 2 η \textstyle\sum_i
       \partial (A \hat x)_i/\partial y_i\bigr)

    for white Gaussian noise [1]_. ``wrap`` puts η among the weights of the model: it starts at ``sigma²``,
    and its gradient is reversed, so that any optimizer ascends. It converges to an estimate of the variance
    of the noise, ``model.variance``.

    Parameters
    ----------
    sigma : float
        A first guess of the standard deviation, in the units of the data: `invcore.noises.estimate_sigma`
        gives one.
    tau : float
        Step of the difference, relative to the root mean square of the data.
    rate : float
        How fast log η moves, relative to the weights of the model: with Adam by up to ``rate`` times the
        learning rate in each step. Too fast a variance oscillates, too slow a one keeps to the guess.

    References
    ----------
    .. [1] J. Tachella, M. Davies, L. Jacques, UNSURE: self-supervised learning with unknown noise level and
       Stein's unbiased risk estimate, ICLR 2025.

    Examples
    --------
    >>> from invcore_learning import UNet
    >>> model = UNSURE(sigma=0.1).wrap(UNet(features=(4, 8)))
    >>> round(float(model.variance.detach()), 4)
    0.01
    """

    sigma: float = field(kw_only=True)
    tau: float = 0.02
    rate: float = 2.0

    def __post_init__(self) -> None:
        _check_tau(self)
        if not (self.sigma > 0 and self.rate > 0):
            raise invcore.ParameterError(
                f"UNSURE: sigma must be > 0 and rate > 0, got {self.sigma!r} and {self.rate!r}"
            )

    def wrap(self, model: Any) -> UnknownVariance:
        """Return the model with η among its weights."""
        if isinstance(model, UnknownVariance):
            return model
        return UnknownVariance(model, sigma=self.sigma, rate=self.rate)

    def __call__(self, x_hat: Tensor, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """See `TrainingLoss`."""
        check(y, physics.range, "y")
        parts = model.modules() if isinstance(model, Module) else ()
        held = next((m for m in parts if isinstance(m, UnknownVariance)), None)
        if held is None:
            raise invcore.ParameterError(
                "UNSURE learns the variance of the noise with the model: train model = loss.wrap(model), and "
                f"call the loss with it; got a {type(model).__name__}"
            )
        space, A = physics.range, physics.operator
        b, step = probe(self, y, space), step_of(self.tau, y, space)
        moved = add(A(model(add(y, b, step, space), physics)), A(x_hat), -1.0)
        residual = add(A(x_hat), y, -1.0)
        variance = held.variance
        ascending = 2 * variance.detach() - variance  # the value, and minus the derivative
        total = vdot(residual, residual, space) + 2 * ascending * vdot(b, moved, space) / step
        return total / size_of(space)


class UnknownVariance(Module):
    """A model, and the variance of the noise that `UNSURE` estimates with it.

    Parameters
    ----------
    model : Module
        A model R(y, physics).
    sigma : float
        The first guess of the standard deviation of the noise.
    rate : float
        How fast its logarithm moves, relative to the weights of the model.

    Examples
    --------
    >>> from invcore_learning import UNet
    >>> UnknownVariance(UNet(features=(4, 8)), sigma=0.1).log_ratio.requires_grad
    True
    """

    def __init__(self, model: Module, *, sigma: float = 0.1, rate: float = 2.0) -> None:
        super().__init__()
        self.model, self.sigma, self.rate = model, sigma, rate
        self.log_ratio = Parameter(torch.zeros(()))

    @property
    def variance(self) -> Tensor:
        """The estimate η of the variance, in the squared unit of the data."""
        return self.sigma**2 * torch.exp(self.rate * self.log_ratio)

    def forward(self, y: Any, physics: Physics) -> Tensor:
        """Reconstruct with the model."""
        return self.model(y, physics)


# -- their parts ------------------------------------------------------------------------------------------


def variance(loss: TrainingLoss, y: Any, physics: Physics) -> tuple[Any, Any, Any]:
    """An unbiased estimate of the variance of each entry, the mean of the noise, and σ²γ where both are."""
    space, noise = physics.range, physics.noise
    if isinstance(noise, GaussianNoise | GaussianMapNoise | PoissonNoise | PoissonGaussianNoise):
        noise = noise.per_sample(space, batch_shape(y, space))
    ones = tree_map(lambda t: torch.ones_like(t.real), y)
    nothing = tree_map(torch.zeros_like, y)

    def number(p: Any) -> Tensor:
        return torch.as_tensor(p, dtype=dtype_of(ones), device=device_of(y))

    if isinstance(noise, GaussianNoise | GaussianMapNoise):
        sigma = number(noise.sigma)
        if not bool((sigma > 0).any()):
            raise invcore.ParameterError(f"{type(loss).__name__}: the noise of the physics has sigma = 0")
        v = scaled(sigma**2, ones, space) if isinstance(noise, GaussianNoise) else sigma**2 * ones
        return v, nothing, None
    if isinstance(noise, PoissonNoise):
        background: Any = noise.background
        shift = (
            tree_map(lambda t, b: t + number(b), nothing, background)
            if isinstance(background, tuple)
            else tree_map(lambda t: t + number(background), nothing)
        )
        return scaled(number(noise.gain), y, space), shift, None
    if isinstance(noise, PoissonGaussianNoise):
        gain, sigma = number(noise.gain), number(noise.sigma)
        v = add(scaled(gain, y, space), scaled(sigma**2, ones, space))
        return v, nothing, sigma**2 * gain
    raise invcore.ParameterError(
        f"{type(loss).__name__} needs Gaussian, Poisson or Poisson-Gaussian noise of known level; this "
        f"physics has {type(noise).__name__}"
    )


def probe(loss: StochasticLoss, y: Any, space: SpaceLike, golden: bool = False) -> Any:
    """A random direction of independent entries with variance one; ``golden``: and third moment one."""
    draw = lambda t, i, g: randn(space, generator=g, dtype=dtype_of(y), device=device_of(y))
    b = sample_by_sample(draw, y, space, loss.generators("probe", batch_shape(y, space)))
    if not golden:
        return b
    share = torch.special.ndtri(torch.tensor(1 / (1 + GOLDEN**2), dtype=torch.float64)).item()
    return tree_map(lambda t: torch.where(t < share, GOLDEN, -1 / GOLDEN).to(t.dtype), b)


def step_of(tau: float, y: Any, space: SpaceLike) -> Tensor:
    """The step of the difference of each sample, shape (batch...)."""
    rms = (vdot(y, y, space) / size_of(space)).sqrt().detach()
    return tau * torch.where(rms > 0, rms, 1)


def _entries(v: Any, space: SpaceLike) -> Tensor:
    """Sum of the variances of the real components, one value per sample."""
    parts = zip(v if isinstance(v, tuple) else (v,), spaces_of(space))
    sums = [
        (2 if s.kind == "complex" else 1) * t.sum(tuple(range(t.ndim - len(s.shape), t.ndim)))
        for t, s in parts
    ]
    return sum(sums[1:], sums[0])


def _check_tau(loss: Any) -> None:
    if not loss.tau > 0:
        raise invcore.ParameterError(f"{type(loss).__name__}: tau must be > 0, got {loss.tau!r}")
