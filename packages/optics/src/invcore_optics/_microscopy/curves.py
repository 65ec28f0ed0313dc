"""Filaments as curves off the grid: images of polylines, in closed form."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invcore import Operator, ParameterError, ShapeError, Space


class Curves(Operator):
    r"""Image of filaments with a Gaussian point spread function, from the vertices of polylines.

    .. math:: y(r) = \sum_k a_k \sum_{\text{segments}} \frac{e^{-n^2/2σ^2}}{\sqrt{2π}\, σ} \;
        \frac{\operatorname{erf}(s / \sqrt2 σ) - \operatorname{erf}((s - ℓ) / \sqrt2 σ)}{2}

    where n and s are the distances of r across and along a segment of length ℓ: the exact blur of a line of
    light, without a grid. Derivatives reach all vertices, so that curves slide to where the image has them.

    Parameters
    ----------
    shape : tuple of int
        Pixels (ny, nx).
    curves, vertices : int
        Number of curves, and of vertices of each.
    sigma : float or Tensor, shape (batch...)
        Standard deviation σ of the point spread function in pixels.

    Notes
    -----
    Domain ``(curve, vertex, 3)``: positions (y, x) in pixels and, in the third place, the light per length at
    the vertex, of which each segment has the mean of its ends. Range ``(1, y, x)``.

    Raises
    ------
    ShapeError, ParameterError

    References
    ----------
    B. Laville, L. Blanc-Féraud, G. Aubert, "Off-the-grid curve reconstruction through divergence
    regularization: an extreme point result", SIAM J. Imaging Sci. 16 (2023), for curves as unknowns.

    Examples
    --------
    >>> A = Curves((9, 9), curves=1, vertices=2, sigma=1.0)
    >>> line = torch.tensor([[[4.0, -9.0, 1.0], [4.0, 18.0, 1.0]]])
    >>> A(line)[0, 3:6, 4].round(decimals=3)  # the Gaussian across
    tensor([0.2420, 0.3990, 0.2420])
    """

    shape: tuple[int, int]
    curves: int
    vertices: int
    sigma: float | Tensor
    params = ("sigma",)
    positional = 1

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise ShapeError(f"Curves: shape must be pixels (ny, nx), got {self.shape}")
        if self.curves < 1 or self.vertices < 2:
            raise ParameterError(
                f"Curves: curves >= 1 and vertices >= 2 are needed, got {self.curves} and {self.vertices}"
            )
        if not bool((torch.as_tensor(self.sigma).detach() > 0).all()):
            raise ParameterError(f"Curves: sigma must be positive, got {self.sigma!r}")

    @property
    def domain(self) -> Space:
        return Space((self.curves, self.vertices, 3))

    @property
    def range(self) -> Space:
        return Space((1, *self.shape))

    def forward(self, x: Tensor) -> Tensor:
        points, light = x[..., :2], x[..., 2]
        start, step = points[..., :-1, :], points.diff(dim=-2)
        level = (light[..., 1:] + light[..., :-1]) / 2
        length = torch.linalg.vector_norm(step, dim=-1)
        way = step / torch.where(length > 0, length, 1).unsqueeze(-1)
        rows, columns = (torch.arange(n, dtype=x.dtype, device=x.device) for n in self.shape)
        dy = rows[:, None] - start[..., 0, None, None]
        dx = columns - start[..., 1, None, None]
        uy, ux = way[..., 0, None, None], way[..., 1, None, None]
        along, across = dy * uy + dx * ux, dx * uy - dy * ux
        s = torch.as_tensor(self.sigma, dtype=x.dtype, device=x.device)
        s = s.reshape(*s.shape, 1, 1, 1, 1)
        root = math.sqrt(2) * s
        span = (torch.erf(along / root) - torch.erf((along - length[..., None, None]) / root)) / 2
        bell = torch.exp(-((across / root) ** 2)) / (math.sqrt(2 * math.pi) * s)
        return (level[..., None, None] * bell * span).sum((-4, -3)).unsqueeze(-3)

    def length(self, x: Tensor) -> Tensor:
        """Length of each curve in pixels, (..., curve).

        Parameters
        ----------
        x : Tensor, shape (..., curve, vertex, 3)
        """
        return torch.linalg.vector_norm(x[..., :2].diff(dim=-2), dim=-1).sum(-1)
