"""The end of a flow as an operator: noise to image."""

from __future__ import annotations

import torch
from torch import Tensor

from invcore import Denoiser, Operator, Space

from .transport import Method, check_flow, evenly, transported
from .velocity import Velocity, earliest


class FlowMap(Operator):
    """T: noise z ~ N(0, 1) to an image, along the flow of a denoiser in so many steps.

    ``A @ FlowMap(...)`` sees the data of noise, so that what solves or samples nonlinear problems does it
    among the images that the flow makes: with the prior N(0, 1) of z, which is `Tikhonov` of weight 1.

    Parameters
    ----------
    denoiser : Denoiser
    domain : Space
        Space of the images.
    steps : int
        Steps of the ODE, from t = 0 to t = 1.
    method : {"midpoint", "heun", "euler"}

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> from invcore.denoisers import GaussianDenoiser
    >>> D = GaussianDenoiser(mean=torch.ones(1, 1), covariance=torch.full((1, 1), 4.0))
    >>> FlowMap(D, (1, 1), steps=50)(torch.tensor([[3.0]])).round(decimals=2)  # 1 + 2 z
    tensor([[7.]])
    """

    denoiser: Denoiser
    domain: Space
    steps: int = 20
    method: Method = "midpoint"

    def __post_init__(self) -> None:
        check_flow("FlowMap", self.steps, self.method)

    @property
    def range(self) -> Space:
        """Space of the images."""
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        """The image of the noise ``x``."""
        return transported(Velocity(self.denoiser), x, self._times(x), self.method)

    def inverse(self, x: Tensor) -> Tensor:
        """The noise that becomes the image ``x``, up to the error of the steps.

        The last of them is taken for one in which the noise vanishes, as it does where images have a density.
        """
        times = self._times(x)[:-1][::-1]
        return transported(Velocity(self.denoiser), times[0] * x, times, self.method)

    def _times(self, x: Tensor) -> list[float]:
        return evenly(self.steps, earliest(self.denoiser, torch.empty(0, dtype=x.dtype).real.dtype))
