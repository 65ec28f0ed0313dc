"""Charts: a mixture of variational autoencoders for a manifold that one of them cannot parametrize."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import invcore

from .._networks.layers import require_counts
from .vae import VAE


class VAEAtlas(nn.Module):
    r"""A mixture of variational autoencoders: a chart for each part of a manifold [1]_.

    One decoder parametrizes a piece of a manifold; a closed one (a circle, a sphere) or one in several
    pieces needs more. With weights α_k and the evidence bound of each `VAE`, up to a constant
    :math:`E_k(x) = -\mathrm{loss}_k(x)`, training minimizes

    .. math:: -\log \sum_k α_k \exp E_k(x)

    whose gradient is that of the charts' losses weighted by their responsibilities
    :math:`r_k(x) \propto α_k \exp E_k(x)`: expectation and maximization, by gradient steps. Train the charts
    on parts of the data first (`parts`): a chart that starts everywhere stays everywhere. Each chart then has
    the dimension of the manifold (`intrinsic_dimension`), and data are reconstructed on all of them by the
    solver ``learning.latent``.

    Parameters
    ----------
    shape : tuple of int
        (channel, *spatial) of the images.
    charts : int
    latent : int
        Number of latent variables of each chart.
    hidden : tuple of int
        Widths of the hidden layers of the encoders.
    variance : float
        σ², that of the noise in each pixel.
    beta : float

    References
    ----------
    .. [1] G. S. Alberti, J. Hertrich, M. Santacesaria, S. Sciutto, Manifold learning by mixture models of
       VAEs for inverse problems, J. Mach. Learn. Res. 25 (2024).

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> atlas = VAEAtlas((1, 4, 4), charts=3, latent=2, hidden=(16,))
    >>> x = torch.rand(10, 1, 4, 4, generator=g)
    >>> part = atlas.parts(x, generator=g)
    >>> atlas.loss(x, generator=g, part=part).shape, atlas.loss(x, generator=g).shape
    (torch.Size([10]), torch.Size([10]))
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        charts: int,
        latent: int,
        hidden: tuple[int, ...] = (64, 64),
        variance: float = 1e-2,
        beta: float = 1.0,
    ) -> None:
        super().__init__()
        require_counts("VAEAtlas", charts=charts)
        made = [VAE(shape, latent=latent, hidden=hidden, variance=variance, beta=beta) for _ in range(charts)]
        self.charts = nn.ModuleList(made)
        self.shape = tuple(shape)
        self.logits = nn.Parameter(torch.zeros(charts))

    @property
    def log_weights(self) -> Tensor:
        """log α_k, shape (charts,)."""
        return torch.log_softmax(self.logits, 0)

    def evidence(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """log α_k + E_k(x) of images (..., *shape), with one draw of latent variables: (..., charts)."""
        bounds = [-vae.loss(x, generator=generator) for vae in self.charts]  # type: ignore[operator]
        return torch.stack(bounds, -1) + self.log_weights

    def responsibilities(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """How likely each image belongs to each chart: (..., charts), of sum one."""
        return torch.softmax(self.evidence(x, generator=generator), -1)

    def loss(self, x: Tensor, *, generator: torch.Generator, part: Tensor | None = None) -> Tensor:
        """The loss of images (..., *shape): shape (...).

        Parameters
        ----------
        x : Tensor, shape (..., *shape)
        generator : torch.Generator
        part : Tensor of int, shape (...), optional
            Of `parts`: the one chart that each image belongs to.
        """
        evidence = self.evidence(x, generator=generator)
        if part is None:
            return -torch.logsumexp(evidence, -1)
        return -evidence.gather(-1, part[..., None]).squeeze(-1)

    @torch.no_grad()
    def parts(self, x: Tensor, *, generator: torch.Generator, rounds: int = 30) -> Tensor:
        """As many parts of images (n, *shape) as there are charts, by k-means: shape (n,).

        It starts from images far from each other [1]_.

        References
        ----------
        .. [1] D. Arthur, S. Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007.
        """
        if x.ndim != len(self.shape) + 1 or tuple(x.shape[1:]) != self.shape or len(x) < len(self.charts):
            raise invcore.ShapeError(
                f"VAEAtlas.parts: expected at least {len(self.charts)} images (n, *{self.shape}), got "
                f"{tuple(x.shape)}"
            )
        flat = x.flatten(1)
        share = torch.ones(len(flat), dtype=flat.dtype, device=flat.device)
        centers = flat[:0]
        for _ in self.charts:
            i = torch.multinomial(share.to(generator.device), 1, generator=generator)
            centers = torch.cat([centers, flat[i.to(flat.device)]])
            share = torch.cdist(flat, centers).amin(1).square() + torch.finfo(flat.dtype).tiny
        for _ in range(rounds):
            nearest = torch.cdist(flat, centers).argmin(1)
            for k in range(len(centers)):
                if bool((nearest == k).any()):
                    centers[k] = flat[nearest == k].mean(0)
        return torch.cdist(flat, centers).argmin(1)
