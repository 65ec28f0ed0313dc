"""A network after a direct inversion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor
from torch.nn import Module

import invcore
from invcore import Physics

from .._networks.base import Network


class ArtifactRemoval(Module):
    """Go back to an image by a direct inversion, and let a network remove its artifacts [1]_.

    R(y, physics) = network(B y) with B the adjoint, the pseudo-inverse, or filtered backprojection of the
    operator, or a reconstruction of one's own. `invcore.models.GaussianRestorer` with the spectrum of the
    images leaves the network fewer artifacts than these, and less noise.

    Parameters
    ----------
    network : Module
        From images to images; a `Network` that takes a noise level is given that of the physics.
    inversion : {"adjoint", "pinv", "fbp"} or callable
        B, or what is called as B(y, physics): a solver, a model.

    References
    ----------
    .. [1] K. H. Jin, M. T. McCann, E. Froustey, M. Unser, Deep convolutional neural network for inverse
       problems in imaging, IEEE Trans. Image Process. 26 (2017).

    Examples
    --------
    >>> import torch
    >>> from invcore.operators import Mask
    >>> physics = Physics(Mask(torch.ones(1, 8, 8), (1, 8, 8)))
    >>> ArtifactRemoval(torch.nn.Identity())(torch.ones(1, 8, 8), physics).mean()
    tensor(1.)
    """

    def __init__(
        self,
        network: Module,
        *,
        inversion: Literal["adjoint", "pinv", "fbp"] | Callable[[Any, Physics], Tensor] = "adjoint",
    ) -> None:
        super().__init__()
        if not callable(inversion) and inversion not in ("adjoint", "pinv", "fbp"):
            raise invcore.ParameterError(
                "ArtifactRemoval: inversion must be 'adjoint', 'pinv', 'fbp', or callable as "
                f"inversion(y, physics), got {inversion!r}"
            )
        self.network, self.inversion = network, inversion

    def forward(self, y: Any, physics: Physics) -> Tensor:
        """Reconstruct.

        Parameters
        ----------
        y : Tensor or tuple of Tensor, shape (batch..., *range.shape)
        physics : Physics
            Of a linear operator.

        Returns
        -------
        Tensor, shape (batch..., *domain.shape)

        Raises
        ------
        ParameterError
            If the operator is not linear, or has no such inversion.
        """
        x = self._inverted(y, physics)
        if isinstance(self.network, Network) and self.network.noise_level:
            return self.network(x, getattr(physics.noise, "sigma", None))
        return self.network(x)

    def _inverted(self, y: Any, physics: Physics) -> Tensor:
        """B y."""
        A = physics.operator
        if callable(self.inversion):
            return self.inversion(y, physics)
        if not isinstance(A, invcore.LinearOperator):
            raise invcore.ParameterError(f"ArtifactRemoval: A must be linear, got {type(A).__name__}")
        if not hasattr(A, "H" if self.inversion == "adjoint" else self.inversion):
            raise invcore.ParameterError(
                f"ArtifactRemoval: {type(A).__name__} has no {self.inversion}; use "
                "inversion='adjoint' or 'pinv'"
            )
        x: Tensor = A.H(y) if self.inversion == "adjoint" else getattr(A, self.inversion)(y)
        return x
