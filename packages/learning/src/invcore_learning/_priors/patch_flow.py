"""PatchNR: the density of patches by a normalizing flow."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

import invcore
from invcore.priors import PatchPrior

from .._networks.layers import require_counts


class PatchFlow(nn.Module):
    r"""A normalizing flow on patches: an invertible network, and the density that it carries to N(0, 1).

    Each layer shuffles the pixels, and then maps either half given the other one,

    .. math:: u_2 = s_1(v_1) ⊙ v_2 + t_1(v_1), \qquad u_1 = s_2(u_2) ⊙ v_1 + t_2(u_2)

    with s = exp(2c/π arctan ·) and small networks for s and t [1]_.

    Parameters
    ----------
    patch : int
        Side of the patches.
    spatial_dims : int
    layers : int
    hidden : int
        Width of the two hidden layers of the small networks.
    clamp : float
        c: no factor is beyond exp(±c).
    seed : int
        Of the shuffles.

    References
    ----------
    .. [1] L. Dinh, J. Sohl-Dickstein, S. Bengio, Density estimation using Real NVP, ICLR 2017.

    Examples
    --------
    >>> flow = PatchFlow(patch=3, layers=2, hidden=8)
    >>> v = torch.rand(10, 9, generator=torch.Generator().manual_seed(0))
    >>> torch.allclose(flow.inverse(flow(v)[0]), v, atol=1e-5)
    True
    """

    shuffles: Tensor

    def __init__(
        self,
        *,
        patch: int = 6,
        spatial_dims: int = 2,
        layers: int = 5,
        hidden: int = 512,
        clamp: float = 1.6,
        seed: int = 0,
    ) -> None:
        super().__init__()
        require_counts("PatchFlow", patch=patch, spatial_dims=spatial_dims, layers=layers, hidden=hidden)
        if not (clamp > 0 and patch >= 2):
            raise invcore.ParameterError(
                f"PatchFlow: expected clamp > 0 and patch >= 2, got {clamp!r} and {patch!r}"
            )
        self.patch, self.spatial_dims, self.layers = patch, spatial_dims, layers
        self.hidden, self.clamp, self.seed = hidden, clamp, seed
        d = patch**spatial_dims
        g = torch.Generator().manual_seed(seed)
        self.register_buffer("shuffles", torch.stack([torch.randperm(d, generator=g) for _ in range(layers)]))
        a, b = d // 2, d - d // 2
        self.given_first = nn.ModuleList(self._small(a, b) for _ in range(layers))
        self.given_second = nn.ModuleList(self._small(b, a) for _ in range(layers))

    def _small(self, given: int, mapped: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(given, self.hidden),
            nn.SiLU(),
            nn.Linear(self.hidden, self.hidden),
            nn.SiLU(),
            nn.Linear(self.hidden, 2 * mapped),
        )

    def _affine(self, network: nn.Module, given: Tensor) -> tuple[Tensor, Tensor]:
        """The logarithm of the factor, and the shift."""
        raw, shift = network(given).chunk(2, dim=-1)
        return 2 * self.clamp / math.pi * torch.atan(raw), shift

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """To normal variables.

        Parameters
        ----------
        v : Tensor, shape (n, d)
            Patches, with values of about 0 to 1.

        Returns
        -------
        tuple of Tensor
            z, shape (n, d), and log |det ∂z/∂v|, shape (n,).
        """
        half, logs = v.shape[-1] // 2, v.new_zeros(v.shape[0])
        for shuffle, first, second in zip(self.shuffles, self.given_first, self.given_second):
            v = v[:, shuffle]
            v1, v2 = v[:, :half], v[:, half:]
            log, shift = self._affine(first, v1)
            v2, logs = torch.exp(log) * v2 + shift, logs + log.sum(-1)
            log, shift = self._affine(second, v2)
            v1, logs = torch.exp(log) * v1 + shift, logs + log.sum(-1)
            v = torch.cat([v1, v2], dim=-1)
        return v, logs

    def inverse(self, z: Tensor) -> Tensor:
        """From normal variables z, shape (n, d), to patches."""
        half = z.shape[-1] // 2
        for k in reversed(range(self.layers)):
            z1, z2 = z[:, :half], z[:, half:]
            log, shift = self._affine(self.given_second[k], z2)
            z1 = (z1 - shift) * torch.exp(-log)
            log, shift = self._affine(self.given_first[k], z1)
            z2 = (z2 - shift) * torch.exp(-log)
            z = torch.cat([z1, z2], dim=-1)[:, self.shuffles[k].argsort()]
        return z

    def log_prob(self, v: Tensor) -> Tensor:
        """The logarithm of the density of patches v, shape (n, d): shape (n,)."""
        z, logs = self(v)
        return logs - 0.5 * (z.square().sum(-1) + z.shape[-1] * math.log(2 * math.pi))

    def sample(self, count: int, *, generator: torch.Generator) -> Tensor:
        """Draw patches, shape (count, d)."""
        weight = next(self.parameters())
        z = torch.randn(count, self.patch**self.spatial_dims, generator=generator, dtype=weight.dtype)
        return self.inverse(z.to(weight.device))


def patchnr(flow: PatchFlow) -> PatchPrior:
    """PatchNR: the negative log-likelihood of all patches under a normalizing flow, called live [1]_.

    Train the flow by maximum likelihood, ``-flow.log_prob(patches).mean()``, on patches of a few images.

    Parameters
    ----------
    flow : PatchFlow

    References
    ----------
    .. [1] F. Altekrüger, A. Denker, P. Hagemann, J. Hertrich, P. Maass, G. Steidl, PatchNR: learning from
       very few images by patch normalizing flow regularization, Inverse Problems 39 (2023).

    Examples
    --------
    >>> g = patchnr(PatchFlow(patch=3, layers=2, hidden=8))
    >>> g.grad(torch.ones(1, 6, 6)).shape
    torch.Size([1, 6, 6])
    """
    if not isinstance(flow, PatchFlow):
        raise invcore.ParameterError(f"patchnr: expected a PatchFlow, got {type(flow).__name__}")
    return PatchPrior(flow, patch=flow.patch, spatial_dims=flow.spatial_dims)
