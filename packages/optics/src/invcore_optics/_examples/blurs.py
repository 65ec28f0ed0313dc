"""Small instances of the blurs, for the conformance kit. The first of each is tiny."""

from __future__ import annotations

import torch

from invcore import Physics, Space
from invcore.noises import GaussianNoise
from invcore.operators import Convolution, gaussian_kernel
from invcore.priors import Tikhonov
from invcore.solvers import FISTA
from invcore.testing import ModelExample, SolverExample

from .._blurs.blind_multiscale import BlindMultiscale
from .._blurs.haze import Haze
from .._blurs.identifier import PSFIdentifier
from .._blurs.space_varying import SpaceVaryingBlur
from .._blurs.tiled import TiledBlur
from .._blurs.unknown_boundary import unknown_boundary
from .._blurs.unwrapping import Itoh, Modulo


def space_varying_blur() -> dict[str, object]:
    """Return both orders, all boundaries, two and three dimensions, a blur for each sample."""
    g = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=g, dtype=torch.float64)

    return {
        "tiny": SpaceVaryingBlur(kernels=random(2, 2, 3), maps=random(2, 4, 5), domain=Space((1, 4, 5))),
        "convolution_product": SpaceVaryingBlur(
            kernels=random(3, 3, 2),
            maps=random(3, 5, 6),
            domain=Space((2, 7, 7)),
            order="convolution_product",
        ),
        "zero": SpaceVaryingBlur(
            kernels=random(2, 4, 5), maps=random(2, 7, 6), domain=Space((1, 7, 6)), boundary="zero"
        ),
        "circular": SpaceVaryingBlur(
            kernels=random(2, 4, 5),
            maps=random(2, 6, 7),
            domain=Space((1, 6, 7)),
            order="convolution_product",
            boundary="circular",
        ),
        "volumes": SpaceVaryingBlur(
            kernels=random(2, 2, 3, 2), maps=random(2, 4, 5, 3), domain=Space((1, 4, 5, 3)), boundary="zero"
        ),
        "one for each sample": SpaceVaryingBlur(
            kernels=random(3, 2, 3, 3), maps=random(2, 5, 5), domain=Space((1, 5, 5))
        ),
    }


def blind_multiscale() -> dict[str, object]:
    """Return a small photograph of rectangles, blurred along a diagonal."""
    x = torch.zeros(1, 16, 16, dtype=torch.float64)
    x[:, 3:12, 2:8], x[:, 9:14, 9:15] = 1.0, 0.6
    camera = Convolution(torch.eye(5, dtype=torch.float64)[None] / 5, Space((1, 16, 16)), boundary="valid")
    start = Physics(camera.bind(kernel=torch.ones_like(camera.kernel) / 25), GaussianNoise(sigma=0.01))
    noise = 0.01 * torch.randn(1, 12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    final = FISTA(prior=Tikhonov(), weight=0.5, max_steps=3)
    return {"tiny": SolverExample(BlindMultiscale(solver=final, turns=1), start, camera(x) + noise)}


def tiled_blur() -> dict[str, object]:
    """Return both orders, both boundaries and blends, two and three dimensions, kernels for each sample."""
    g = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=g, dtype=torch.float64)

    return {
        "tiny": TiledBlur(random(1, 2, 2, 3), Space((1, 3, 5))),
        "convolution_product": TiledBlur(
            random(2, 3, 3, 2), Space((2, 8, 7)), order="convolution_product", blend="smooth"
        ),
        "zero": TiledBlur(random(3, 2, 4, 3), Space((1, 8, 5)), boundary="zero"),
        "convolution_product, zero": TiledBlur(
            random(1, 2, 2, 4), Space((1, 4, 7)), order="convolution_product", boundary="zero"
        ),
        "volumes": TiledBlur(random(2, 1, 2, 2, 3, 2), Space((1, 4, 5, 4)), boundary="zero"),
        "one for each sample": TiledBlur(random(3, 2, 2, 3, 3), Space((1, 6, 7))),
    }


def haze() -> dict[str, object]:
    """Return haze of gray and color images, one for each sample."""
    g = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=g, dtype=torch.float64)

    return {
        "tiny": Haze(thickness=random(1, 2, 3), airlight=random(1), domain=Space((1, 2, 3))),
        "color": Haze(thickness=random(3, 4, 3), airlight=random(3), domain=Space((3, 4, 3))),
        "one for each sample": Haze(
            thickness=random(3, 1, 3, 4), airlight=random(3, 2), domain=Space((2, 3, 4))
        ),
    }


def modulo() -> dict[str, object]:
    """Return a wrapped phase and a sensor that starts again when it is full."""
    return {
        "tiny": Modulo(Space((1, 2, 3))),
        "sensor": Modulo(Space((2, 5, 4)), period=1.7, interval="positive"),
    }


def itoh() -> dict[str, object]:
    """Return the data term of a phase, and one of another period."""
    return {"tiny": Itoh(), "another period": Itoh(period=1.3, sigma=0.5)}


def psf_identifier() -> dict[str, object]:
    """Return a small network on periodic images, and the shipped one where surroundings are unknown."""
    network, g = PSFIdentifier(hidden=4, pretrained=False), torch.Generator().manual_seed(0)
    for weights in network.parameters():
        torch.nn.init.normal_(weights, std=0.1, generator=g)
    h = gaussian_kernel(1.3, size=9).double()
    n = torch.arange(74, dtype=torch.float64)
    x = ((n / 5).sin()[:, None] * (n / 3).cos() > 0.2).double()[None]
    part, noise = x[:, :66, :64], GaussianNoise(sigma=0.05)
    periodic = Convolution(h, domain=Space((1, 66, 64)))
    return {
        "tiny": ModelExample(network, Physics(periodic, noise), part),
        "shipped": ModelExample(PSFIdentifier(), Physics(unknown_boundary(h, (1, 66, 66)), noise), x),
    }
