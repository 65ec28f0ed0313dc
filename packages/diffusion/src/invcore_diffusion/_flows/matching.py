"""Flow matching: training of velocity fields."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from invcore import DataError, ParameterError, Physics, Space
from invcore.samplers import Sampler
from invcore.spaces import batch_shape, check, space_of
from invcore_learning import StochasticLoss

from .velocity import velocity_of


class FlowMatching(StochasticLoss):
    r"""Regress a velocity field on straight lines from noise to images [1]_.

    .. math:: L = \|v_θ(x_t, t) - (x_1 - x_0)\|^2 / n, \qquad x_t = (1 - t) x_0 + t x_1,

    for one time t and noise x_0 ~ N(0, 1) of each image x_1. The best field is the mean of x_1 - x_0 given
    x_t, the one of `Velocity`. The model is called as ``model(x_t, t)``, images ``(n, channel, *spatial)``
    and times ``(n,)``: a network with an input for the noise level, such as ``learning.unet``, takes the time
    in its place. Neither reconstruction nor data play a part.

    Parameters
    ----------
    coupling : {"independent", "ot"}
        Noise and images are drawn independently, or the noises drawn for a batch are given to its images so
        that the sum of ‖x_1 - x_0‖² is smallest, which straightens the paths [2]_. Then the value of an image
        depends on the others of its batch.
    closed_form : int, optional
        M: the target is the mean of x_1 - x_0 given x_t for images that are x_1 or one of M - 1 others, drawn
        from ``images``: the same on average, with less variance [3]_. From the number of ``images`` on it is
        the mean over all of them, to which x_1 should belong: the closed form of the best field.
    images : Tensor, shape (item, channel, *spatial), optional
        The training images, for ``closed_form``.
    latest : float
        Times are uniform between 0 and this one; the closed form becomes singular at 1.

    Raises
    ------
    ParameterError
    DataError
        If there is no reference.

    References
    ----------
    .. [1] Y. Lipman, R. T. Q. Chen, H. Ben-Hamu, M. Nickel, M. Le, Flow matching for generative modeling,
       ICLR 2023.
    .. [2] A. Tong et al., Improving and generalizing flow-based generative models with minibatch optimal
       transport, TMLR 2024.
    .. [3] Q. Bertrand, A. Gagneux, M. Massias, R. Emonet, On the closed-form of flow matching: generalization
       does not arise from target stochasticity, 2025, arXiv:2506.03719.

    Examples
    --------
    >>> x = torch.ones(2, 1, 4, 4)
    >>> ideal = lambda z, t: (1 - z) / (1 - t)[:, None, None, None]  # all images are this one
    >>> FlowMatching()(None, x, None, None, ideal).abs().max() < 1e-6
    tensor(True)
    """

    coupling: Literal["independent", "ot"] = "independent"
    closed_form: int | None = None
    images: Tensor | None = None
    latest: float = 0.999
    needs_reference: ClassVar[bool] = True
    needs_reconstruction: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.coupling not in ("independent", "ot"):
            raise ParameterError(
                f"FlowMatching: coupling must be 'independent' or 'ot', got {self.coupling!r}"
            )
        if not 0 < self.latest < 1:
            raise ParameterError(f"FlowMatching: latest must lie between 0 and 1, got {self.latest!r}")
        if (self.closed_form is None) != (self.images is None):
            raise ParameterError("FlowMatching: closed_form and images, the training set, go together")
        if self.closed_form is None:
            return
        if not (isinstance(self.closed_form, int) and self.closed_form >= 1):
            raise ParameterError(
                f"FlowMatching: closed_form must be a whole number >= 1, got {self.closed_form!r}"
            )
        if self.coupling == "ot":
            raise ParameterError("FlowMatching: the closed form is that of independent noise and images")

    def __call__(self, x_hat: Tensor | None, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """See `TrainingLoss`; without ``physics`` images are (n, channel, *spatial)."""
        x, space = reference_images("FlowMatching", x_hat, x, y, physics)
        batch = batch_shape(x, space)
        x_1 = x.reshape(-1, *space.shape)
        t, x_0, others = self._drawn(x_1, batch)
        each = t.reshape(-1, *(1,) * len(space.shape))
        x_t = (1 - each) * x_0 + each * x_1
        target = x_1 - x_0 if others is None else (_expected(x_t, each, others) - x_t) / (1 - each)
        away = velocity_of(model, x_t, t) - target
        return away.abs().square().flatten(1).mean(1).reshape(batch)

    def _drawn(self, x: Tensor, batch: torch.Size) -> tuple[Tensor, Tensor, Tensor | None]:
        """Times, noises and the images that the target is a mean over, of each sample."""
        generators = self.generators("path", batch)
        host = torch.empty(x.shape[1:], dtype=x.dtype)
        one: Any = {"dtype": x.real.dtype}
        t = torch.stack([torch.rand((), generator=g, **one) for g in generators] or [torch.zeros((), **one)])
        noises = [Sampler.noise(host, g) for g in generators]
        t, x_0 = self.latest * t[: len(x)].to(x.device), torch.stack(noises or [host])[: len(x)].to(x.device)
        if self.coupling == "ot":
            x_0 = x_0[_assignment(x_0, x)]
        if self.images is None or self.closed_form is None:
            return t, x_0, None
        images = self.images.to(x.dtype)
        if self.closed_form >= len(images):
            return t, x_0, images.expand(len(x), *images.shape)
        count = (self.closed_form - 1,)
        drawn = [torch.randint(len(images), count, generator=g) for g in generators]
        chosen = images[torch.stack(drawn).to(images.device)] if drawn else images[None, :0]
        return t, x_0, torch.cat([x[:, None], chosen[: len(x)]], 1)


def reference_images(name: str, x_hat: Any, x: Tensor | None, y: Any, physics: Any) -> tuple[Tensor, Space]:
    """The images to learn from, and their space."""
    if x is None:
        raise DataError(f"{name}: there is no reference x: it is trained on images")
    if not isinstance(physics, Physics):
        return x, space_of(x[0])
    space = physics.domain
    if not isinstance(space, Space):
        raise ParameterError(f"{name}: expected single images, those of this physics are in {space}")
    check(x, space, f"{name}: reference x")
    for value, where, what in ((x_hat, space, "x_hat"), (y, physics.range, "y")):
        if value is not None:
            check(value, where, f"{name}: {what}")
    return x, space


def _assignment(x_0: Tensor, x_1: Tensor) -> Tensor:
    """Which noise belongs to each image, so that the sum of squared distances is smallest."""
    from scipy.optimize import linear_sum_assignment

    flat = [torch.view_as_real(x) if x.is_complex() else x for x in (x_1, x_0)]
    a, b = (x.detach().flatten(1).double() for x in flat)
    cost = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.mT
    return torch.as_tensor(linear_sum_assignment(cost.cpu().numpy())[1], device=x_0.device)


def _expected(x_t: Tensor, t: Tensor, images: Tensor) -> Tensor:
    """E[x_1 | x_t] over the images (n, M, channel, *spatial) of each sample, all as likely beforehand."""
    away = (x_t[:, None] - t[:, None] * images).abs().square().flatten(2).sum(2)
    weights = torch.softmax(-away / (2 * (1 - t.reshape(-1, 1)) ** 2), 1).to(images.dtype)
    return (weights.reshape(*weights.shape, *(1,) * (images.ndim - 2)) * images).sum(1)
