"""Velocities and denoisers, which are the same thing in two coordinates."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invcore import Denoiser, LinearOperator, ParameterError, Physics, Space, Value
from invcore.denoisers import EmpiricalDenoiser, GaussianDenoiser
from invcore.noises import GaussianNoise
from invcore.spaces import SpaceLike, check


class Velocity(Value):
    r"""The velocity of the flow that carries noise to the images of a denoiser.

    On the straight path :math:`x_t = (1 - t) ε + t x_1` between noise ε ~ N(0, 1) and an image it is the mean
    of :math:`x_1 - ε` given :math:`x_t` [1]_,

    .. math:: v(x, t) = \frac{D_t(x) - x}{1 - t}, \qquad D_t(x) = D(x/t, (1 - t)/t) = E[x_1 | x_t = x].

    The flow ẋ = v(x, t) takes N(0, 1) at t = 0 to the images at t = 1. The score of the images of time t is
    (t v - x)/(1 - t).

    As a model, called with data and their physics, it gives what the denoiser makes of noisy images.

    Parameters
    ----------
    denoiser : Denoiser
        Times before the one that belongs to its largest noise level count as that one.

    References
    ----------
    .. [1] Y. Lipman, R. T. Q. Chen, H. Ben-Hamu, M. Nickel, M. Le, Flow matching for generative modeling,
       ICLR 2023.

    Examples
    --------
    >>> v = gaussian_flow(mean=torch.full((1, 1), 2.0), covariance=torch.ones(1, 1))
    >>> v(torch.full((1, 1), 1.0), 0.5)
    tensor([[2.]])
    """

    denoiser: Denoiser

    def __call__(self, x: Tensor, t: float | Tensor | Physics) -> Tensor:
        """Compute the velocity.

        Parameters
        ----------
        x : Tensor, shape (batch..., channel, *spatial)
        t : float, Tensor of shape (batch...), or Physics
            Times from 0 on and before 1; or the physics of denoising, of which ``x`` are the data.

        Returns
        -------
        Tensor, shape (batch..., channel, *spatial)

        Raises
        ------
        ShapeError, DtypeError, ParameterError, DataError
        """
        if isinstance(t, Physics):
            return self._restored(x, t)
        each = self._times(x, t)
        return (self._clean(x, each) - x) / (1 - self._shaped(each))

    def clean(self, x: Tensor, t: float | Tensor) -> Tensor:
        """The mean of the image x_1 given x_t, x + (1 - t) v(x, t)."""
        return self._clean(x, self._times(x, t))

    def _clean(self, x: Tensor, t: Tensor) -> Tensor:
        return self.denoiser(x / self._shaped(t), (1 - t) / t)

    def _shaped(self, t: Tensor) -> Tensor:
        """Times to compute with images."""
        return t.reshape(*t.shape, *(1,) * (self.denoiser.spatial_dims + 1)) if t.ndim else t

    def _times(self, x: Tensor, t: float | Tensor) -> Tensor:
        real = x.real.dtype if isinstance(x, Tensor) else torch.get_default_dtype()
        device = x.device if isinstance(x, Tensor) else None
        times = torch.as_tensor(t, dtype=real, device=device)
        if not bool(((times >= 0) & (times < 1)).all()):
            raise ParameterError(
                f"Velocity: times lie in [0, 1), got values up to {float(times.max()):g}: at t = 1 the image "
                "is reached, and its velocity is known as a limit only"
            )
        return times.clamp_min(earliest(self.denoiser, real))

    def _restored(self, y: Tensor, physics: Physics) -> Tensor:
        A, noise = physics.operator, physics.noise
        if not (isinstance(A, LinearOperator) and A.domain == A.range and isinstance(noise, GaussianNoise)):
            raise ParameterError(
                "Velocity: as a model it denoises; the physics must be that of white noise on images, got "
                f"{type(A).__name__} and {type(noise).__name__}"
            )
        check(y, A.range, "Velocity: data y")
        return self.denoiser(y, noise.sigma)


class FromVelocity(Denoiser):
    """The denoiser of a velocity field that flow matching has trained: D(x, σ) = z + (1 - t) v(z, t).

    t = 1/(1 + σ) and z = t x, so that z is on the path of `Velocity`. At σ = 0 it is the identity. For a
    network with conditions, or of images in another range than it was trained for, take `DiffusionDenoiser`.

    Parameters
    ----------
    network : Module
        ``network(z, t)`` for images ``(n, channel, *spatial)`` and one time each; called live.
    channels : int, optional
        The number of channels it takes.
    value_range : tuple of float or None
        The values of the images it was trained on.
    sigma_range : tuple of float
        The noise levels it is used for.
    spatial_dims : int

    Examples
    --------
    >>> class Still(torch.nn.Module):
    ...     def forward(self, z, t): return 0 * z
    >>> FromVelocity(Still())(torch.ones(1, 2, 2), 1.0).unique()
    tensor([0.5000])
    """

    network: Any
    channels: int | None = None  # type: ignore[misc]
    value_range: tuple[float, float] | None = None  # type: ignore[misc]
    sigma_range: tuple[float, float] = (0.0, float("inf"))  # type: ignore[misc]
    spatial_dims: int = 2

    def __post_init__(self) -> None:
        if not callable(self.network):
            raise ParameterError(f"FromVelocity: network must be a module v(z, t), got {self.network!r}")

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """See `Denoiser.denoise`."""
        if not x.numel():
            return x.clone()
        t = 1 / (1 + sigma)
        batch = x.shape[: x.ndim - self.spatial_dims - 1]
        each = t.expand(*batch, *(1,) * (self.spatial_dims + 1)) if t.ndim else t.expand(batch)
        return t * x + (1 - t) * velocity_of(self.network, t * x, each.reshape(batch))


def velocity_of(network: Any, x: Tensor, t: Tensor) -> Tensor:
    """``network(x, t)`` for any batch dimensions: it sees images (n, channel, *spatial) and times (n,)."""
    if isinstance(network, Velocity):
        return network(x, t)
    flat = x.reshape(-1, *x.shape[t.ndim :])
    v: Tensor = network(flat, t.reshape(-1))
    return v.reshape(x.shape)


def earliest(denoiser: Denoiser, dtype: torch.dtype) -> float:
    """The time that belongs to the largest noise level of a denoiser; if there is none, one near 0.

    Not too near, for the images that are told apart in noise of 1/t lose digits.
    """
    return 1 / (1 + min(denoiser.sigma_range[1], torch.finfo(dtype).eps ** -0.7))


def check_images(name: str, denoiser: Denoiser, space: SpaceLike) -> None:
    """Raise a `ParameterError` unless a denoiser is for images of this space."""
    dims = denoiser.spatial_dims + 1
    if not isinstance(space, Space) or len(space.shape) != dims:
        raise ParameterError(
            f"{name}: {type(denoiser).__name__} is for images (channel, *spatial) with {dims} dimensions; "
            f"those of this physics are in {space}"
        )


def empirical_flow(images: Tensor) -> Velocity:
    r"""The flow that flow matching learns from finitely many images, in closed form [1]_.

    .. math:: v(x, t) = \sum_i λ_i \frac{x_i - x}{1 - t}, \qquad
       λ = \operatorname{softmax}_i \left(-\frac{‖x - t x_i‖^2}{2 (1 - t)^2}\right)

    Its flow ends at the stored images: what a trained network makes beyond them is its own.

    Parameters
    ----------
    images : Tensor, shape (item, channel, *spatial)

    Returns
    -------
    Velocity

    References
    ----------
    .. [1] Q. Bertrand, A. Gagneux, M. Massias, R. Emonet, On the closed-form of flow matching: generalization
       does not arise from target stochasticity, 2025, arXiv:2506.03719.

    Examples
    --------
    >>> v = empirical_flow(torch.tensor([[[-1.0]], [[1.0]]]))
    >>> v(torch.tensor([[0.5]]), 0.5).round(decimals=4)  # 2 (tanh(1) - 0.5)
    tensor([[0.5232]])
    """
    return Velocity(EmpiricalDenoiser(images))


def gaussian_flow(mean: Tensor, covariance: Tensor | None = None, spectrum: Tensor | None = None) -> Velocity:
    """The flow to Gaussian images: v(x, t) = m + (t C - (1 - t)) (t² C + (1 - t)²)⁻¹ (x - t m).

    Parameters
    ----------
    mean, covariance, spectrum
        As of the denoiser ``gaussian``.

    Returns
    -------
    Velocity

    Examples
    --------
    >>> v = gaussian_flow(mean=torch.zeros(1, 2), covariance=torch.diag(torch.tensor([1.0, 4.0])))
    >>> v(torch.ones(1, 2), 0.5)
    tensor([[0.0000, 1.2000]])
    """
    return Velocity(GaussianDenoiser(mean=mean, covariance=covariance, spectrum=spectrum))
