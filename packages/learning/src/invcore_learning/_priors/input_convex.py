"""Convex penalties that are learned."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import conv1d, conv2d, conv3d, softplus

import invcore
from invcore.priors import FunctionPrior

from .._networks.layers import CONVOLUTION, chosen, require_counts

APPLIED: dict[int, Any] = {1: conv1d, 2: conv2d, 3: conv3d}


class InputConvexNetwork(nn.Module):
    r"""A function of an image that is convex whatever its weights are [1]_.

    .. math:: z_1 = a(W_1 x + b_1), \quad z_{k+1} = a(P_k z_k + W_{k+1} x + b_{k+1}), \quad
        g(x) = \sum z_K + \tfrac{μ}{2} \|x\|^2

    with a = log(1 + exp), convolutions W and P, and P ≥ 0 as the square of what is learned: sums with
    nonnegative weights, and an increasing convex function, of convex functions are convex.

    Parameters
    ----------
    channels : int
        Of the image.
    features : int
    depth : int
        K, the number of layers.
    size : int
        Side of the kernels, odd.
    strong_convexity : float
        μ ≥ 0.
    spatial_dims : int
        1, 2 or 3.

    References
    ----------
    .. [1] B. Amos, L. Xu, J. Z. Kolter, Input convex neural networks, ICML 2017.

    Examples
    --------
    >>> import torch
    >>> g = InputConvexNetwork(features=4, depth=2)
    >>> x, z = torch.zeros(5, 1, 8, 8), torch.ones(5, 1, 8, 8)
    >>> bool((g((x + z) / 2) <= (g(x) + g(z)) / 2).all())
    True
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        features: int = 32,
        depth: int = 5,
        size: int = 5,
        strong_convexity: float = 0.0,
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        conv = chosen("InputConvexNetwork", "spatial_dims", spatial_dims, CONVOLUTION)
        require_counts("InputConvexNetwork", channels=channels, features=features, depth=depth, size=size)
        if size % 2 == 0 or not 0 <= strong_convexity < float("inf"):
            raise invcore.ParameterError(
                "InputConvexNetwork: expected an odd size and strong_convexity >= 0, got "
                f"{size!r} and {strong_convexity!r}"
            )
        self.channels, self.features, self.depth, self.size = channels, features, depth, size
        self.strong_convexity, self.spatial_dims = strong_convexity, spatial_dims
        self.image = nn.ModuleList(conv(channels, features, size, padding=size // 2) for _ in range(depth))
        self.roots = nn.ParameterList(conv(features, features, size).weight for _ in range(depth - 1))

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate.

        Parameters
        ----------
        x : Tensor, shape (batch..., channel, *spatial)

        Returns
        -------
        Tensor, shape (batch...)

        Raises
        ------
        DtypeError, ShapeError
        """
        d = self.spatial_dims
        if not isinstance(x, Tensor) or not x.is_floating_point():
            raise invcore.DtypeError("InputConvexNetwork: expected real images")
        if x.ndim < d + 1 or x.shape[-d - 1] != self.channels:
            raise invcore.ShapeError(
                f"InputConvexNetwork: expected images (batch..., {self.channels}, *spatial) with {d} spatial "
                f"dimensions, got {tuple(x.shape)}"
            )
        flat, convolve = x.reshape(-1, *x.shape[-d - 1 :]), APPLIED[d]
        z = softplus(self.image[0](flat))
        for root, image in zip(self.roots, self.image[1:]):
            z = softplus(convolve(z, root.square(), padding=self.size // 2) + image(flat))
        value = z.flatten(1).sum(1) + self.strong_convexity / 2 * flat.flatten(1).square().sum(1)
        return value.reshape(x.shape[: -d - 1])


def input_convex(network: InputConvexNetwork, *, rtol: float = 1e-6, max_steps: int = 500) -> FunctionPrior:
    """A convex prior that is a network, called live: value, gradient and proximal operator.

    Parameters
    ----------
    network : InputConvexNetwork
    rtol : float
        Accuracy of the proximal operator, as of `FunctionPrior`.
    max_steps : int

    References
    ----------
    S. Mukherjee, S. Dittmer, Z. Shumaylov, S. Lunz, O. Öktem, C.-B. Schönlieb, Learned convex regularizers
    for inverse problems, 2020, arXiv:2008.02839.

    Examples
    --------
    >>> import torch
    >>> g = input_convex(InputConvexNetwork(features=4, depth=2, strong_convexity=1.0))
    >>> g.prox(torch.ones(1, 6, 6), 0.5).shape
    torch.Size([1, 6, 6])
    """
    if not isinstance(network, InputConvexNetwork):
        raise invcore.ParameterError(
            f"input_convex: expected an InputConvexNetwork, got {type(network).__name__}; any other function "
            "makes a FunctionPrior, without the promise of convexity"
        )
    return FunctionPrior(network, rtol=rtol, max_steps=max_steps)
