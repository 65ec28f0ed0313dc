"""Fluorescence images of triangle meshes, from the Fourier transform of a mesh in closed form."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from invcore import DtypeError, Operator, ParameterError, ShapeError, Space

_NEAR = 1e-3  # phases that lie closer than this are expanded in a series


class MeshFluorescence(Operator):
    r"""Blurred image of the membranes of cells, or of solids, as a function of the vertices of a mesh.

    .. math:: y = F^{-1}[\hat h(k) \hat ρ(k)], \qquad
        \hat ρ(k) = \sum_T ρ_T |N_T| I_T(k) \quad \text{or} \quad
        \frac{i}{|k|^2} \sum_T ρ_T (k \cdot N_T) I_T(k)

    for dyed surfaces and for solids, with :math:`I_T = \int e^{-ik \cdot r}` over the unit triangle mapped to
    T and N_T twice its vector area: the mesh is never put on voxels. Only frequencies that the microscope
    passes are computed. Vertices can thus be fitted to an image [1]_.

    Parameters
    ----------
    triangles : Tensor, shape (triangle, 3), int64
        Indices of vertices, wound so that normals point outwards (for solids).
    transfer : Tensor, shape (z, y, x)
        ĥ on the grid of the FFT, real or complex, 1 at frequency 0; its shape is that of the image.
    vertices : int
        Their number.
    voxel : tuple of float
        (z, y, x), in the unit of the vertices. The image is periodic: it must hold mesh and blur.
    kind : {"membrane", "solid"}
    density : Tensor, shape (..., triangle), optional
        Photons per area (or volume) ρ_T; 1 by default. Leading dimensions are batch.

    Notes
    -----
    Domain ``(vertex, 3)``, coordinates (z, y, x) with the origin in the center of the first voxel; range
    ``(1, z, y, x)``. The image sums to area or volume times density. Computed in double precision; work and
    memory are triangles × frequencies.

    Raises
    ------
    ShapeError, DtypeError, ParameterError

    References
    ----------
    .. [1] S. Ichbiah, A. Sinha, F. Delbary, H. Turlier, "Inverse 3D microscopy rendering for cell shape
       inference with active mesh", ICCV (2025).

    Examples
    --------
    >>> corners = 4 + torch.tensor([[0.0, 0, 0], [0, 0, 2], [0, 2, 0]])
    >>> A = MeshFluorescence(triangles=torch.tensor([[0, 1, 2]]), transfer=torch.ones(8, 8, 8), vertices=3,
    ...                      voxel=(1.0, 1.0, 1.0))
    >>> A(corners).sum()  # its area
    tensor(2.)
    """

    triangles: Tensor
    transfer: Tensor
    vertices: int
    voxel: tuple[float, float, float]
    kind: Literal["membrane", "solid"] = "membrane"
    density: Tensor | None = None
    params = ("density", "transfer")

    def __post_init__(self) -> None:
        if self.triangles.dtype != torch.int64:
            raise DtypeError(f"MeshFluorescence: triangles must be int64, got {self.triangles.dtype}")
        if self.triangles.ndim != 2 or self.triangles.shape[-1] != 3 or not len(self.triangles):
            raise ShapeError(
                f"MeshFluorescence: triangles must be (triangle, 3), got {tuple(self.triangles.shape)}"
            )
        if int(self.triangles.min()) < 0 or int(self.triangles.max()) >= self.vertices:
            raise ParameterError(
                f"MeshFluorescence: triangles must name vertices 0 to {self.vertices - 1}, got "
                f"{int(self.triangles.min())} to {int(self.triangles.max())}"
            )
        if self.transfer.ndim < 3 or not (self.transfer.is_floating_point() or self.transfer.is_complex()):
            raise ShapeError(
                f"MeshFluorescence: transfer must be (z, y, x), got {self.transfer.dtype} "
                f"{tuple(self.transfer.shape)}"
            )
        if len(self.voxel) != 3 or not all(0 < h < math.inf for h in self.voxel):
            raise ParameterError(f"MeshFluorescence: voxel must be three lengths, got {self.voxel!r}")
        if self.kind not in ("membrane", "solid"):
            raise ParameterError(f"MeshFluorescence: kind must be 'membrane' or 'solid', got {self.kind!r}")
        if self.density is not None and self.density.shape[-1] != len(self.triangles):
            raise ShapeError(
                f"MeshFluorescence: density must be (..., {len(self.triangles)}), one for each triangle, got "
                f"{tuple(self.density.shape)}"
            )

    @property
    def domain(self) -> Space:
        return Space((self.vertices, 3))

    @property
    def range(self) -> Space:
        return Space((1, *self.transfer.shape[-3:]))

    def forward(self, x: Tensor) -> Tensor:
        shape = self.transfer.shape[-3:]
        half = self.transfer[..., : shape[-1] // 2 + 1]
        passed = (half.detach().abs() > 1e-12).reshape(-1, *half.shape[-3:]).any(0)
        axes = [torch.fft.fftfreq(n, d=h, dtype=torch.float64) for n, h in zip(shape, self.voxel)]
        axes[-1] = torch.fft.rfftfreq(shape[-1], d=self.voxel[-1], dtype=torch.float64)
        grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).to(x.device)
        k = 2 * math.pi * grid[passed]
        rho = self.spectrum(x, k)
        image = rho.new_zeros((*rho.shape[:-1], passed.numel()))
        at = torch.nonzero(passed.flatten()).flatten()
        image = image.index_add(-1, at, rho).unflatten(-1, tuple(passed.shape))
        return torch.fft.irfftn(image * half, s=shape, dim=(-3, -2, -1)).unsqueeze(-4).to(x.dtype)

    def spectrum(self, x: Tensor, k: Tensor) -> Tensor:
        """The Fourier transform ρ̂ of the mesh.

        Parameters
        ----------
        x : Tensor, shape (..., vertex, 3)
        k : Tensor, shape (frequency, 3)
            Angular wave vectors, order (z, y, x).

        Returns
        -------
        Tensor, shape (..., frequency)
            Complex, in double precision.
        """
        corners = x.double()[..., self.triangles, :]
        p, q, r = corners.unbind(-2)
        normal = torch.linalg.cross(q - p, r - p)
        weight = 1.0 if self.density is None else self.density.double()
        integral = triangle_integral(torch.einsum("kd,...tcd->...ktc", k.double(), corners))
        if self.kind == "membrane":
            return ((weight * torch.linalg.vector_norm(normal, dim=-1)).unsqueeze(-2) * integral).sum(-1)
        flux = torch.einsum("kd,...td->...kt", k.double(), normal)
        power = k.double().square().sum(-1)
        still = power == 0
        solid = 1j * (_column(weight) * flux * integral).sum(-1) / torch.where(still, 1, power)
        volume = (weight * (p * torch.linalg.cross(q, r)).sum(-1)).sum(-1, keepdim=True) / 6
        return torch.where(still, volume + 0j, solid)


def _column(weight: Tensor | float) -> Tensor | float:
    return weight.unsqueeze(-2) if isinstance(weight, Tensor) else weight


def triangle_integral(phases: Tensor) -> Tensor:
    """∫ exp(-i(a + u(b - a) + v(c - a))) over u, v ≥ 0, u + v ≤ 1, for phases (..., 3) = (a, b, c).

    Minus the second divided difference of exp(-ix), by a series where the phases nearly agree.
    """
    a, b, c = phases.sort(-1).values.unbind(-1)
    apart = c - a
    near = apart < _NEAR
    exact = -(_difference(c, b) - _difference(b, a)) / torch.where(near, 1, apart)
    mean = (a + b + c) / 3
    spread = (a - mean) ** 2 + (b - mean) ** 2 + (c - mean) ** 2
    series = torch.polar(torch.ones_like(mean), -mean) * (0.5 - spread / 48)
    return torch.where(near, series, exact)


def _difference(x: Tensor, y: Tensor) -> Tensor:
    """(exp(-ix) - exp(-iy)) / (x - y)."""
    middle = (x + y) / 2
    return -1j * torch.polar(torch.ones_like(middle), -middle) * _sinc((x - y) / 2)


def _sinc(t: Tensor) -> Tensor:
    """sin(t)/t, by a series near 0, where that of torch has no second derivative."""
    near = t.abs() < 0.01
    safe = torch.where(near, 1, t)
    return torch.where(near, 1 - t**2 / 6 + t**4 / 120, safe.sin() / safe)
