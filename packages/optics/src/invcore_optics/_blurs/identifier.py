"""A network that reads the blur of a picture off the picture."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from invcore import DtypeError, ParameterError, Physics, ShapeError, Space
from invcore.models import load
from invcore.noises import GaussianNoise
from invcore.operators import Convolution
from invcore.spaces import check

from .unknown_boundary import surrounded

LEAST = 64
"""Smallest side of a picture in pixels."""
BLOCK = 32
"""Side of the blocks whose power spectra are averaged."""
_WIDEST = 3.4
"""Width in pixels from which on blurs look alike to the shipped weights: 12 pixels are taken for 3.5."""
_WEIGHTS = Path(__file__).parent / "psf_identifier.safetensors"


class PSFIdentifier(nn.Module):
    r"""Find the Gaussian blur of a picture by a network, and deconvolve with it.

    The kernel is :math:`h(r) \propto \exp(-\tfrac12 r^{\mathsf T} C^{-1} r)`, of any two widths and
    orientation. The log of the power spectrum of the picture, averaged over blocks of 32 × 32 pixels, is that
    of the object plus that of the blur; dense layers, which have seen many objects, noises and blurs in
    simulation, tell them apart and say log C. No star or bead is needed, and no search.

    Parameters
    ----------
    hidden : int
        Width of the dense layers.
    pretrained : bool
        With the weights that are shipped, for widths (standard deviations) from 0.5 to 4 pixels;
        `invcore.models.card` of their file says what they were trained on. False leaves the weights random.

    References
    ----------
    V. Debarnot, P. Weiss, "Deep-blur: blind identification and deblurring with convolutional neural
    networks", Biological Imaging 4 (2024), for the approach.

    Examples
    --------
    >>> from invcore.operators import gaussian_kernel
    >>> x = torch.randn(1, 200, 200, generator=torch.Generator().manual_seed(0)).cumsum(-1).cumsum(-2)
    >>> y = Convolution(gaussian_kernel(2.0, size=21), domain=(1, 200, 200), boundary="valid")(x)
    >>> found = PSFIdentifier().covariance(y)
    >>> found.shape
    torch.Size([2, 2])
    """

    def __init__(self, *, hidden: int = 96, pretrained: bool = True) -> None:
        super().__init__()
        self.hidden, self.pretrained = hidden, pretrained
        self.dense = nn.Sequential(
            nn.Linear(BLOCK * (BLOCK // 2 + 1), hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, 3),
        )
        if pretrained:
            if hidden != 96:
                raise ParameterError(
                    f"PSFIdentifier: the shipped weights have hidden=96, got {hidden!r}; pretrained=False "
                    "leaves others random"
                )
            self.load_state_dict(load(_WEIGHTS).state_dict())

    def log_covariance(self, pictures: Tensor) -> Tensor:
        """Return the entries (yy, yx, xx) of log C, squared pixels, of pictures (picture, y, x)."""
        x = pictures - pictures.mean((-2, -1), keepdim=True)
        x = x / (x.square().mean((-2, -1), keepdim=True) + torch.finfo(x.dtype).tiny).sqrt()
        return self.dense(_log_spectrum(x).flatten(1))

    def covariance(self, y: Tensor) -> Tensor:
        """Return the covariance C of the blur of a picture in squared pixels; its trace is that of (yy, xx).

        Parameters
        ----------
        y : Tensor, shape (..., channel, y, x)
            64 × 64 pixels or more. Channels are averaged.

        Returns
        -------
        Tensor, shape (..., 2, 2)

        Raises
        ------
        ShapeError, DtypeError
            If it is no picture of that size, or not real.
        """
        if not isinstance(y, Tensor) or not y.is_floating_point():
            got = y.dtype if isinstance(y, Tensor) else type(y).__name__
            raise DtypeError(f"PSFIdentifier: the picture must be a real floating-point tensor, got {got}")
        if y.ndim < 3 or min(y.shape[-2:]) < LEAST:
            raise ShapeError(
                f"PSFIdentifier: the picture must be (..., channel, y, x) with {LEAST} pixels or more along "
                f"y and x, got {tuple(y.shape)}"
            )
        plane = y.mean(-3)
        if not plane.numel():
            return plane.new_zeros((*plane.shape[:-2], 2, 2))
        found = self.log_covariance(plane[None].flatten(0, -3))
        matrix = found[:, [0, 1, 1, 2]].reshape(*plane.shape[:-2], 2, 2)
        return torch.linalg.matrix_exp(matrix)

    def identify(self, y: Tensor, physics: Physics) -> Physics:
        """Return the physics of a picture with the kernel that the network finds: for any solver.

        Parameters
        ----------
        y : Tensor, shape (..., channel, y, x)
        physics : Physics
            Of a `Convolution`; of its kernel only the size is looked at.

        Raises
        ------
        ParameterError
            If the operator is another one.
        ShapeError, DtypeError

        Warns
        -----
        UserWarning
            If the blur may be wider than any that the shipped weights know.
        """
        A = physics.operator
        if not isinstance(A, Convolution) or len(A.domain.shape) != 3:
            raise ParameterError(
                f"PSFIdentifier: the operator must be a Convolution of images, got {type(A).__name__}"
            )
        check(y, physics.range, "PSFIdentifier: y")
        ky, kx = A.kernel.shape[-2:]
        covariance = self.covariance(y)
        width = float(torch.linalg.eigvalsh(covariance.detach()).amax().sqrt()) if covariance.numel() else 0.0
        if self.pretrained and width > _WIDEST:
            warnings.warn(
                f"PSFIdentifier: found a blur {width:.1f} pixels wide, at the end of what it was trained for "
                "(4); a wider one looks the same to it: average blocks of pixels and compare",
                stacklevel=2,
            )
        return physics.bind(kernel=covariance_kernel(covariance, (ky, kx)))

    def forward(self, y: Tensor, physics: Physics) -> Tensor:
        """Deconvolve with the kernel that the network finds: `wiener` with the physics of `identify`.

        Parameters
        ----------
        y : Tensor, shape (..., channel, y, x)
        physics : Physics
            As for `identify`, with Gaussian noise; for others, and for better priors, use `identify`.

        Returns
        -------
        Tensor, shape (..., *physics.domain.shape)

        Raises
        ------
        ParameterError, ShapeError, DtypeError
        """
        return self.wiener(y, self.identify(y, physics))

    @staticmethod
    def wiener(y: Tensor, physics: Physics) -> Tensor:
        """Deconvolve by the Wiener filter for 1/f² spectra, of the mean and the variance of the data.

        Data with ``boundary="valid"`` are continued by their outermost pixels, all others are taken for
        periodic.

        Parameters
        ----------
        y : Tensor, shape (..., channel, y, x)
        physics : Physics
            Of a `Convolution`, with Gaussian noise.

        Returns
        -------
        Tensor, shape (..., *physics.domain.shape)

        Raises
        ------
        ParameterError
            If operator or noise are others.
        """
        A, noise = physics.operator, physics.noise
        if not isinstance(A, Convolution) or not isinstance(noise, GaussianNoise):
            raise ParameterError(
                "PSFIdentifier deconvolves Convolutions with Gaussian noise, this is "
                f"{type(A).__name__} with {type(noise).__name__}: use identify(y, physics) and a solver"
            )
        shape = A.domain.shape
        if not y.numel():
            return y.new_zeros((*y.shape[:-3], *shape))
        point = y.new_zeros(1, *shape[1:])
        point[..., 0, 0] = 1
        H = torch.fft.rfft2(Convolution(A.kernel, domain=Space(tuple(point.shape)))(point))
        mean = y.mean((-3, -2, -1), keepdim=True)
        variance = (y - mean).square().mean((-3, -2, -1), keepdim=True)
        S = variance * _natural_spectrum(shape[1:]).to(y)
        sigma = torch.as_tensor(noise.sigma, dtype=y.dtype, device=y.device)[..., None, None, None]
        x = surrounded(y - mean, A) if A.boundary == "valid" else y - mean
        W = S * H.conj() / (S * H.abs().square() + sigma**2)
        return mean + torch.fft.irfft2(W * torch.fft.rfft2(x), shape[1:])


def covariance_kernel(covariance: Tensor, size: tuple[int, int]) -> Tensor:
    """Return Gaussian kernels of sum 1, (..., 1, ky, kx), of covariances (..., 2, 2) in squared pixels."""
    y, x = (torch.arange(n, dtype=covariance.dtype, device=covariance.device) - n // 2 for n in size)
    r = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1)
    inverse = torch.linalg.inv(covariance)[..., None, None, None, :, :]
    h = (-(r[..., None, :] @ inverse @ r[..., None])[..., 0, 0] / 2).exp()
    return h / h.sum((-2, -1), keepdim=True)


def _natural_spectrum(shape: tuple[int, ...]) -> Tensor:
    """Power 1/f² of the coefficients of ``rfft2``, (y, x // 2 + 1), as of photographs; of variance 1."""
    y, x = (torch.fft.fftfreq(n, dtype=torch.float64) for n in shape)
    power = 1 / (y[:, None] ** 2 + x**2).clamp_min((0.5 / max(shape)) ** 2)
    return power[:, : shape[-1] // 2 + 1] / power.mean()


def _log_spectrum(x: Tensor) -> Tensor:
    """Log of the mean power spectrum of overlapping blocks, less its own mean, (picture, fy, fx)."""
    hann = torch.hann_window(BLOCK, periodic=True, dtype=x.dtype, device=x.device)
    blocks = x.unfold(-2, BLOCK, BLOCK // 2).unfold(-2, BLOCK, BLOCK // 2)
    power = torch.fft.rfft2(blocks * (hann[:, None] * hann)).abs().square().mean((-4, -3))
    logs = (power + 1e-6).log()
    return (logs - logs.mean((-2, -1), keepdim=True)) / 2
