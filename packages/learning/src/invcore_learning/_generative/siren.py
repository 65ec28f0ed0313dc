"""Neural fields: SIREN, and Herglotz-NET on the sphere."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import torch
from torch import Tensor, nn

import invcore
from invcore import Space

from .._networks.layers import require_counts


class Siren(nn.Module):
    """SIREN: a network of coordinates with sines between its layers [1]_.

    h₀ = x, h_{k+1} = sin(ω (W h_k + b)), and a linear last layer. Weights are drawn so that all layers have
    the same distribution of phases: uniform within ±1/n in the first and ±√(6/n)/ω in the others.

    Parameters
    ----------
    in_features : int
        Number of coordinates.
    out_features : int
    hidden : int
        Width of the hidden layers.
    layers : int
        Number of hidden layers.
    omega : float
        ω: the larger, the finer the detail.

    References
    ----------
    .. [1] V. Sitzmann, J. Martel, A. Bergman, D. Lindell, G. Wetzstein, Implicit neural representations with
       periodic activation functions, NeurIPS 2020.

    Examples
    --------
    >>> Siren(2, 1, hidden=16, layers=2)(torch.zeros(8, 8, 2)).shape
    torch.Size([8, 8, 1])
    """

    def __init__(
        self, in_features: int, out_features: int, *, hidden: int = 256, layers: int = 3, omega: float = 30.0
    ) -> None:
        super().__init__()
        require_counts(
            "Siren", in_features=in_features, out_features=out_features, hidden=hidden, layers=layers
        )
        if not omega > 0:
            raise invcore.ParameterError(f"Siren: omega must be positive, got {omega!r}")
        self.in_features, self.out_features = in_features, out_features
        self.hidden, self.layers, self.omega = hidden, layers, omega
        sizes = [in_features, *[hidden] * layers, out_features]
        self.linear = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        for k, layer in enumerate(self.linear):
            bound = 1 / sizes[k] if k == 0 else math.sqrt(6 / sizes[k]) / omega
            nn.init.uniform_(layer.weight, -bound, bound)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate at coordinates x, shape (..., in_features): shape (..., out_features)."""
        for layer in self.linear[:-1]:
            x = torch.sin(self.omega * layer(x))
        return self.linear[-1](x)


class HerglotzNet(nn.Module):
    r"""Herglotz-NET: a function on the sphere, a network of sines behind harmonic atoms [1]_.

    .. math:: ψ_j(x) = \mathrm{Re}\{(1 + 2 ρ_j ζ) e^{ρ_j (ζ - 1)}\}/(1 + 2 L), \qquad
        ζ = ⟨a_j, x⟩ + i ⟨b_j, x⟩

    with orthonormal a, b. Powers of ζ are spherical harmonics, so an atom has no poles and a known spectrum,
    greatest near the degree ρ, which is learned.

    Parameters
    ----------
    out_features : int
    atoms : int
    degree : float
        L: ρ starts uniform in (0, L).
    hidden : int
        Width of the hidden layers.
    layers : int
        Number of hidden layers.
    omega : float
        ω of the sines.
    seed : int
        Of the directions a, b and of ρ.

    References
    ----------
    .. [1] T. Hanon, N. Mil-Homens Cavaco, J. Kiely, L. Jacques, Herglotz-NET: implicit neural representation
       of spherical data with harmonic positional encoding, 2025, arXiv:2502.13777.

    Examples
    --------
    >>> HerglotzNet(1, atoms=8, hidden=16)(torch.tensor([[0.0, 0.0, 1.0]])).shape
    torch.Size([1, 1])
    """

    directions: Tensor

    def __init__(
        self,
        out_features: int,
        *,
        atoms: int = 64,
        degree: float = 8.0,
        hidden: int = 64,
        layers: int = 2,
        omega: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        require_counts("HerglotzNet", atoms=atoms)
        if not degree > 0:
            raise invcore.ParameterError(f"HerglotzNet: degree must be positive, got {degree!r}")
        self.out_features, self.atoms, self.degree = out_features, atoms, degree
        self.hidden, self.layers, self.omega, self.seed = hidden, layers, omega, seed
        g = torch.Generator().manual_seed(seed)
        frames = torch.linalg.qr(torch.randn(atoms, 3, 2, generator=g)).Q.mT.contiguous()
        self.register_buffer("directions", frames)
        rho = (degree * torch.rand(atoms, generator=g)).clamp_min(1e-3)
        self.raw = nn.Parameter(rho + torch.log(-torch.expm1(-rho)))  # ρ = softplus(raw)
        self.network = Siren(atoms, out_features, hidden=hidden, layers=layers, omega=omega)

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate at unit vectors x, shape (..., 3): shape (..., out_features)."""
        psi = herglotz_atoms(x, self.directions, nn.functional.softplus(self.raw))
        return self.network(psi / (1 + 2 * self.degree))


def herglotz_atoms(x: Tensor, directions: Tensor, rho: Tensor) -> Tensor:
    """Re{(1 + 2ρζ) exp(ρ(ζ - 1))} with ζ = ⟨a, x⟩ + i ⟨b, x⟩.

    Its coefficient in degree l is that of (2l + 1) (ρζ)^l exp(-ρ)/l!, and ζ^l is a spherical harmonic.

    Parameters
    ----------
    x : Tensor, shape (..., 3)
        Unit vectors.
    directions : Tensor, shape (n, 2, 3)
        a and b of each atom: orthonormal.
    rho : Tensor, shape (n,)

    Returns
    -------
    Tensor, shape (..., n)

    Examples
    --------
    >>> herglotz_atoms(torch.tensor([1.0, 0.0, 0.0]), torch.eye(3)[None, :2], torch.tensor([2.0]))
    tensor([5.])
    """
    u, v = (x @ directions[:, i].mT for i in (0, 1))
    phase = rho * v
    return torch.exp(rho * (u - 1)) * ((1 + 2 * rho * u) * torch.cos(phase) - 2 * phase * torch.sin(phase))


class NeuralField(nn.Module):
    """An image as a function of coordinates, for `DeepImagePrior`.

    Parameters
    ----------
    network : Module
        From coordinates (..., d) to channels (..., c): a `Siren`, a `HerglotzNet`.
    grid : {"box", "sphere"}
        ``"box"``: coordinates of pixel centers, the longest side of the image from -1 to 1. ``"sphere"``:
        unit vectors; the axes of the image are colatitude, 0 to π, and longitude, 0 to 2π, at pixel centers.

    Examples
    --------
    >>> field = NeuralField(Siren(2, 3, hidden=8))
    >>> field(field.latent(Space((3, 4, 6)))).shape
    torch.Size([3, 4, 6])
    """

    def __init__(self, network: nn.Module, *, grid: Literal["box", "sphere"] = "box") -> None:
        super().__init__()
        if grid not in ("box", "sphere"):
            raise invcore.ParameterError(f"NeuralField: grid must be 'box' or 'sphere', got {grid!r}")
        self.network, self.grid = network, grid

    def latent(self, space: Space, *, generator: torch.Generator | None = None) -> Tensor:
        """The coordinates of the pixels, shape (*spatial, d); no draws."""
        spatial = space.shape[1:]
        if self.grid == "sphere":
            if len(spatial) != 2:
                raise invcore.ShapeError(f"NeuralField: an image on the sphere has two axes, got {space}")
            theta, phi = (math.pi * k * centers(n) for k, n in zip((1, 2), spatial))
            theta = theta[:, None].expand(spatial)
            ring = torch.sin(theta)
            x = torch.stack([ring * torch.cos(phi), ring * torch.sin(phi), torch.cos(theta)], -1)
            return x.to(next(self.parameters()))
        axes = [(2 * centers(n) - 1) * n / max(spatial) for n in spatial]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).to(next(self.parameters()))

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate at coordinates, shape (*spatial, d): an image (channel, *spatial)."""
        return self.network(x).movedim(-1, 0)


def centers(n: int) -> Tensor:
    """Centers of n cells of the unit interval."""
    return (torch.arange(n, dtype=torch.float64) + 0.5) / n
