"""Deep linear networks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

import invcore
from invcore import Physics
from invcore.spaces import check, flatten, real_size_of, unflatten

from .layers import require_counts


class DeepLinear(nn.Module):
    """A product of matrices from data to images, R(y) = W_L … W_1 y.

    Trained by gradient descent with weight decay on signals of a subspace, it finds the map that is right
    there and nearly zero on data off it, hence robust; without decay the part off it keeps its random start
    [1]_. Decay λ/2 on the factors is the penalty λL/2 Σ s^(2/L) on the singular values of the product.

    Parameters
    ----------
    in_features, out_features : int
        Real sizes of data and images.
    width : int
        Of the hidden layers.
    depth : int
        L, the number of matrices. They start normal with variance 1 over their number of columns.

    References
    ----------
    .. [1] H. Laus, S. Parkinson, V. Charisopoulos, F. Krahmer, R. Willett, Solving inverse problems with deep
       linear neural networks: global convergence guarantees for gradient descent with weight decay, 2025,
       arXiv:2502.15522.

    Examples
    --------
    >>> from invcore.operators import Matrix
    >>> R = DeepLinear(3, 5, width=8)
    >>> R(torch.ones(2, 3), Physics(Matrix(torch.ones(3, 5)))).shape
    torch.Size([2, 5])
    """

    def __init__(self, in_features: int, out_features: int, *, width: int, depth: int = 3) -> None:
        super().__init__()
        require_counts(
            "DeepLinear", in_features=in_features, out_features=out_features, width=width, depth=depth
        )
        self.in_features, self.out_features, self.width, self.depth = in_features, out_features, width, depth
        sizes = [in_features, *[width] * (depth - 1), out_features]
        self.factors = nn.ParameterList(
            nn.init.normal_(torch.empty(b, a), std=a**-0.5) for a, b in pairwise(sizes)
        )

    def product(self) -> Tensor:
        """W_L … W_1, shape (out_features, in_features)."""
        product = self.factors[0]
        for factor in list(self.factors)[1:]:
            product = factor @ product
        return product

    def forward(self, y: Any, physics: Physics) -> Any:
        """Reconstruct.

        Parameters
        ----------
        y : Tensor or tuple of Tensor, shape (batch..., *range.shape)
        physics : Physics
            Says the spaces; the operator is not used.

        Returns
        -------
        Tensor, shape (batch..., *domain.shape)

        Raises
        ------
        ShapeError
            If data or images have other sizes.
        """
        check(y, physics.range, "DeepLinear: data")
        sizes = real_size_of(physics.range), real_size_of(physics.domain)
        if sizes != (self.in_features, self.out_features):
            raise invcore.ShapeError(
                f"DeepLinear: it maps {self.in_features} numbers to {self.out_features}, this physics needs "
                f"{sizes[0]} to {sizes[1]}"
            )
        x = flatten(y, physics.range)
        for factor in self.factors:
            x = x @ factor.mT
        return unflatten(x, physics.domain)
