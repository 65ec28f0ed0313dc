"""Instances of core's priors for the conformance kit: the first of each is tiny."""

from __future__ import annotations

from typing import Any

import torch

from .._physics import Physics
from .._value import Value
from ..denoisers import Equivariant, GaussianDenoiser, WaveletDenoiser
from ..generators import Joint
from ..models import GaussianRestorer
from ..noises import GaussianNoise, LaplaceNoise
from ..operators import Convolution, Differences, GaussianKernel, Identity, Mask, Matrix, Space
from ..priors import (
    EPLL,
    L1,
    RED,
    SNORE,
    TGV,
    TV,
    Analysis,
    Box,
    Cycle,
    FiRe,
    FunctionPrior,
    GaussianMixture,
    GradientStep,
    GroupL12,
    HessianSchatten,
    IndependentRealizations,
    LInf,
    Lp,
    NonNegative,
    Nuclear,
    PatchPrior,
    PnP,
    Quadratic,
    RelativeDifference,
    Restoration,
    Simplex,
    SumPrior,
    Tikhonov,
    WaveletL1,
)


def _small_mixture(size: int) -> object:
    """Two centered components."""
    base = torch.eye(size, dtype=torch.float64)
    near = base[:, :1] + base[:, 1:2]
    return GaussianMixture.of_covariances(
        torch.tensor([0.4, 0.6], dtype=torch.float64),
        torch.zeros(2, size, dtype=torch.float64),
        torch.stack([2 * base, base + 0.5 * near @ near.T]),
    )


def analysis() -> dict[str, object]:
    """Differences and a matrix, a smooth one, and nothing in between."""
    seeded = torch.Generator().manual_seed(0)
    rows = Matrix(torch.randn(3, 4, dtype=torch.float64, generator=seeded))
    accurate: Any = {"rtol": 1e-9, "max_steps": 50_000}
    return {
        "tiny": Analysis(L1(), rows, **accurate),
        "differences": Analysis(L1(), Differences(Space((1, 8, 8))), **accurate),
        "smooth": Analysis(GroupL12(dims=(-1,), smoothing=0.3), rows, **accurate),
        "identity": Analysis(L1(), Identity(Space((4,)))),
    }


def box() -> dict[str, object]:
    """Numbers, no upper bound, a bound for each column."""
    return {
        "tiny": Box(lower=-0.5, upper=0.5),
        "half": Box(lower=0.0, upper=float("inf")),
        "columns": Box(lower=torch.linspace(-1, 0, 8), upper=torch.ones(())),
    }


def epll() -> dict[str, object]:
    """With the mean of patches and without; to a local minimum."""
    kept: dict[str, object] = {}
    for label, size in (("without the mean", 3), ("with the mean", 4)):
        kept[label] = EPLL(mixture=_small_mixture(size), patch=2, refine=1000, rtol=1e-13)  # type: ignore[arg-type]
    return kept


class _Halved(Value):
    """A restorer that knows nothing of densities."""

    def __call__(self, y: torch.Tensor, physics: Any) -> torch.Tensor:
        return physics.operator.H(y) / 2


def _textured() -> GaussianRestorer:
    """The conditional mean of stationary images."""
    f = torch.fft.fftfreq(8, dtype=torch.float64)
    spectrum = 0.1 / (0.2 + f[:, None] ** 2 + f**2)
    return GaussianRestorer(mean=torch.full((1, 8, 8), 0.1, dtype=torch.float64), spectrum=spectrum)


def _blurred(width: float) -> Physics:
    n = torch.arange(3, dtype=torch.float64) - 1
    taps = torch.exp(-(n**2 + n[:, None] ** 2) / width)
    blur = Convolution(kernel=(taps / taps.sum())[None], domain=Space((1, 8, 8)))
    return Physics(blur, GaussianNoise(sigma=1.0))


def fire() -> dict[str, object]:
    """One cycle at random, and all of them; noise that is not Gaussian."""
    R = _textured()
    blurs = Cycle(R, (_blurred(1.0), _blurred(2.0)), gamma=0.8)
    kernels = Cycle(R, _blurred(1.0), varying=Joint((("kernel", GaussianKernel(3)),)))
    outliers = Cycle(_Halved(), Physics(_blurred(1.0).operator, LaplaceNoise(scale=0.1)))
    return {
        "tiny": FiRe((blurs, kernels)),
        "all": FiRe((blurs, Cycle(R, _blurred(0.5))), draws="all"),
        "outliers": FiRe(outliers, shifts=0.3, draws=2),
    }


def _log_cosh(x: torch.Tensor) -> torch.Tensor:
    r = x.abs()
    return (r + torch.nn.functional.softplus(-2 * r)).sum()


def function() -> dict[str, object]:
    """A smooth magnitude of real and complex images."""
    return {"tiny": FunctionPrior(_log_cosh, rtol=1e-9)}


def gradient_step() -> dict[str, object]:
    """The residual of wavelet shrinkage."""
    return {"tiny": GradientStep(denoiser=WaveletDenoiser(wavelet="haar", levels=1), sigma=0.2)}


def group_l12() -> dict[str, object]:
    """Across channels, across nothing, smoothed."""
    return {
        "tiny": GroupL12(dims=(-3,)),
        "rows": GroupL12(dims=(-1,)),
        "smoothed": GroupL12(dims=(-2, -1), smoothing=0.2),
    }


def hessian_schatten() -> dict[str, object]:
    """2-D and 1-D."""
    return {"tiny": HessianSchatten(), "1-D": HessianSchatten(spatial_dims=1, spacing=(0.5,))}


def independent_realizations() -> dict[str, object]:
    """Two realizations."""
    return {"tiny": IndependentRealizations(2)}


def l1() -> dict[str, object]:
    """The ℓ1 norm."""
    return {"tiny": L1()}


def linf() -> dict[str, object]:
    """There is one."""
    return {"tiny": LInf()}


def lp() -> dict[str, object]:
    """Powers from one to two, and the number of entries."""
    return {"tiny": Lp(p=1.5), "zero": Lp(p=0.0), "one": Lp(p=1.0), "two": Lp(p=2.0)}


def nonnegative() -> dict[str, object]:
    """The non-negative images."""
    return {"tiny": NonNegative()}


def nuclear() -> dict[str, object]:
    """Rows are channels, or the first spatial axis."""
    return {"tiny": Nuclear(rows=(-2,)), "channels": Nuclear(rows=(-3, -1))}


def patch() -> dict[str, object]:
    """Of a mixture."""
    return {"mixture": PatchPrior(model=_small_mixture(4), patch=2)}


def pnp() -> dict[str, object]:
    """The level from the step, and a fixed one; a denoiser that is another one in each iteration."""
    D = WaveletDenoiser(wavelet="haar", levels=1)
    return {
        "tiny": PnP(denoiser=D),
        "fixed": PnP(denoiser=D, sigma=0.2),
        "random": PnP(denoiser=Equivariant(denoiser=D, draw="random")),
    }


def quadratic() -> dict[str, object]:
    """A center, a closed form, conjugate gradients."""
    image = Space((1, 8, 8))
    periodic = Differences(domain=image, boundary="periodic", spacing=(1.0, 2.0))
    return {
        "center": Quadratic(
            operator=Identity(domain=image), center=torch.linspace(0, 1, 64).reshape(1, 8, 8)
        ),
        "periodic": Quadratic(operator=periodic),
        "differences": Quadratic(operator=Differences(domain=image), rtol=1e-13),
    }


def red() -> dict[str, object]:
    """The residual, and the score."""
    D = WaveletDenoiser(wavelet="haar", levels=1)
    return {"tiny": RED(denoiser=D, sigma=0.2), "score": RED(denoiser=D, sigma=0.2, scale="score")}


def relative_difference() -> dict[str, object]:
    """With and without edge preservation."""
    return {
        "tiny": RelativeDifference(),
        "quadratic": RelativeDifference(gamma=0.0, epsilon=0.1, spatial_dims=2, spacing=(1.0, 2.0)),
    }


def restoration() -> dict[str, object]:
    """ShaRP with one blur, several, and random ones; DRP; without draws; a restorer without a density."""
    R = _textured()
    both = (_blurred(1.0), _blurred(2.0))
    widths = Joint((("kernel", GaussianKernel(3)),))
    seen = Mask((torch.arange(16) % 3 > 0).double()[None], Space((1, 16)))
    return {
        "tiny": Restoration(R, both[0], draws=2),
        "several": Restoration(R, both),
        "random": Restoration(R, both[0], varying=widths),
        "drp": Restoration(R, both[0], form="drp"),
        "all": Restoration(R, both, draws="all"),
        "network": Restoration(_Halved(), Physics(seen, GaussianNoise(sigma=0.2)), form="drp"),
    }


def simplex() -> dict[str, object]:
    """One sum, and one for each channel."""
    return {"tiny": Simplex(), "channels": Simplex(total=2.0, dims=(-2, -1))}


def snore() -> dict[str, object]:
    """One level with a density, falling ones without."""
    image = _textured()
    D = GaussianDenoiser(mean=image.mean, spectrum=image.spectrum)
    return {
        "tiny": SNORE(D, sigma=0.3, draws=2),
        "falling": SNORE(WaveletDenoiser(wavelet="haar", levels=1), sigma=(0.4, 0.2)),
    }


def sum() -> dict[str, object]:
    """A multiple, formulas for bounds and squares, a smooth sum, and duals with and without bounds."""
    tv = TV(spatial_dims=1, rtol=1e-10, max_steps=20000)
    pair: Any = {"rtol": 1e-10, "max_steps": 20000}
    return {
        "tiny": 0.5 * L1(),
        "bounds": 0.5 * L1() + 0.2 * Tikhonov() + NonNegative() + Box(lower=-1.0, upper=0.4),
        "smooth": 2.0 * TV(smoothing=0.1, spatial_dims=1) + 0.5 * Tikhonov(),
        "elastic": tv + 0.7 * Tikhonov(),
        "tv and bounds": SumPrior((tv, NonNegative()), (0.5, 1.0), **pair),
        "two": SumPrior((tv, GroupL12(dims=(-2,)), L1()), (0.5, 0.2, 0.1), **pair),
    }


def tgv2() -> dict[str, object]:
    """To an accuracy that makes the many values of the search for a better point affordable."""
    return {"plane": TGV(rtol=2e-2)}


def tikhonov() -> dict[str, object]:
    """The squared norm."""
    return {"tiny": Tikhonov()}


def tv() -> dict[str, object]:
    """Every kind, solved to the accuracy that the kit looks for."""
    return {
        "tiny": TV(rtol=1e-10, max_steps=20000),
        "anisotropic": TV(kind="anisotropic", coupling="separate", rtol=1e-10, max_steps=20000),
        "smoothed": TV(smoothing=0.3, spacing=(1.0, 2.0), rtol=1e-10, max_steps=20000),
        "1-D": TV(spatial_dims=1, rtol=1e-10, max_steps=20000),
    }


def wavelet() -> dict[str, object]:
    """A fixed transform, random shifts, and all shifts."""
    return {
        "tiny": WaveletL1(wavelet="haar", levels=1, random_shifts=False),
        "shifts": WaveletL1(wavelet="db2", levels=2),
        "undecimated": WaveletL1(wavelet="haar", levels=1, undecimated=True, rtol=1e-13, max_steps=5000),
    }
