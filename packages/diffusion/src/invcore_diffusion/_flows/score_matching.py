"""Denoising score matching: training of denoisers for all noise levels."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from invcore import ParameterError
from invcore.samplers import Sampler
from invcore.spaces import batch_shape
from invcore_learning import StochasticLoss

from .matching import reference_images


class ScoreMatching(StochasticLoss):
    r"""Train a denoiser, and with it a score, for the noise levels of a diffusion [1]_.

    .. math:: L = \frac{σ^2 + σ_d^2}{(σ σ_d)^2} \|D(x + σ n, σ) - x\|^2 / N, \qquad
              \ln σ \sim N(μ, s^2), \quad n \sim N(0, 1)

    with one level for each image of N pixels, and the weight of EDM [2]_, which gives all levels about the
    same error at first. The model is called as ``model(x, sigma)``, images ``(n, channel, *spatial)`` and
    levels ``(n,)``. Neither reconstruction nor data play a part.

    Parameters
    ----------
    log_mean, log_deviation : float
        μ and s. By default those of EDM, for images in [-1, 1].
    sigma_data : float
        σ_d, the standard deviation of the pixels of clean images.

    Raises
    ------
    ParameterError
    DataError
        If there is no reference.

    References
    ----------
    .. [1] P. Vincent, A connection between score matching and denoising autoencoders, Neural Computation 23
       (2011).
    .. [2] T. Karras, M. Aittala, T. Aila, S. Laine, Elucidating the design space of diffusion-based
       generative models, NeurIPS 2022, table 1.

    Examples
    --------
    >>> x = torch.ones(2, 1, 4, 4)
    >>> ideal = lambda noisy, sigma: torch.ones_like(noisy)  # all images are this one
    >>> ScoreMatching()(None, x, None, None, ideal)
    tensor([0., 0.])
    """

    log_mean: float = -1.2
    log_deviation: float = 1.2
    sigma_data: float = 0.5
    needs_reference: ClassVar[bool] = True
    needs_reconstruction: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not (self.log_deviation >= 0 and self.sigma_data > 0):
            raise ParameterError(
                f"ScoreMatching: expected log_deviation >= 0 and sigma_data > 0, got {self.log_deviation!r} "
                f"and {self.sigma_data!r}"
            )

    def __call__(self, x_hat: Tensor | None, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """See `TrainingLoss`; without ``physics`` images are (n, channel, *spatial)."""
        x, space = reference_images("ScoreMatching", x_hat, x, y, physics)
        batch = batch_shape(x, space)
        clean = x.reshape(-1, *space.shape)
        host = torch.empty(space.shape, dtype=clean.dtype)
        levels, noises = [], []
        for g in self.generators("noise", batch):
            levels.append(self.log_mean + self.log_deviation * torch.randn((), generator=g))
            noises.append(Sampler.noise(host, g))
        if not len(clean):
            return clean.real.new_zeros(batch)
        sigma = torch.stack(levels).exp().to(clean.real)
        noisy = clean + sigma.reshape(-1, *(1,) * len(space.shape)) * torch.stack(noises).to(clean)
        error = (model(noisy, sigma) - clean).abs().square().flatten(1).mean(1)
        return ((sigma**-2 + self.sigma_data**-2) * error).reshape(batch)
