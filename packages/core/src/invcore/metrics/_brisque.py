"""Blind image spatial quality evaluator, with a regressor of our own."""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from ._base import Judgment, check_image, check_shape
from ._natural import check_range, gray, halved, normalized, shipped, statistics

_PARTS = ("low", "high", "centers", "weights", "offset", "width")


class BRISQUE(Judgment, eq=False):
    r"""The 36 features of BRISQUE (Mittal et al., 2012), and a score regressed on them; smaller is better.

    .. math:: b + \sum_j w_j \exp(-\|f - c_j\|^2 / (2 h^2))

    The features ``f`` describe the distribution of the luminance, normalized by local mean and deviation, and
    of the products of neighbors, at two scales. They are brought to [-1, 1] by their ranges in training,
    beyond which they are cut. Red, green and blue are weighted to luminance. Not differentiable: the fits
    count signs.

    The score is **not** the published one, which estimates the opinion of viewers by weights that are not
    ours to give away. Without a ``regressor`` it estimates 100 times the `GMSD` from the unknown undistorted
    image: about 0 for a clean photograph, around 30 for a ruined one. It was fitted for this package on 400
    crops of photographs (BSDS) with noise, blur or the artifacts of block transform coding, as
    ``metrics/data/brisque.card.toml`` says; it knows no other defects. `fit` regresses on scores of one's
    own.

    Parameters
    ----------
    data_range : float
        The span of possible values (1.0 for images in [0, 1]). There is no default: the value depends on it.
    regressor : dict of str to Tensor, optional
        As `fit` makes it; the shipped one by default.
    complex : {"magnitude"}, optional
        Must be given for a complex image, of which the magnitude is judged; a real one ignores it.

    Raises
    ------
    ShapeError
        If the image has neither 1 nor 3 channels, or is smaller than 16 x 16 pixels.

    References
    ----------
    A. Mittal, A. Moorthy, A. Bovik, "No-reference image quality assessment in the spatial domain", IEEE
    Trans. Image Process. 21 (2012).

    Examples
    --------
    >>> noise = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0))
    >>> BRISQUE(data_range=1.0).features(noise).shape
    torch.Size([36])
    """

    higher_is_better: ClassVar[bool] = False
    dimensions: ClassVar[tuple[int, ...]] = (2,)
    magnitude_only: ClassVar[bool] = True

    data_range: float
    regressor: dict[str, Tensor] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("BRISQUE", self.data_range)
        if self.regressor is not None and set(self.regressor) != set(_PARTS):
            raise ParameterError(
                f"BRISQUE: regressor must hold {', '.join(_PARTS)}; make it with BRISQUE.fit."
            )

    def features(self, image: Tensor) -> Tensor:
        """The 36 features ``(batch..., 36)`` of images ``(batch..., channel, y, x)``, in double precision."""
        check_image("BRISQUE", "image", image)
        check_shape("BRISQUE", image, 2)
        (image,) = self._real(image)
        return _features(image, self.data_range)

    @classmethod
    def fit(
        cls,
        features: Tensor,
        scores: Tensor,
        *,
        data_range: float,
        centers: int = 150,
        width: float = 3.0,
        ridge: float = 1e-3,
        generator: torch.Generator | None = None,
    ) -> BRISQUE:
        """A metric whose score is regressed on given ones, by least squares with Gaussian kernels.

        Parameters
        ----------
        features : Tensor
            What `features` gives for the images, ``(n, 36)``.
        scores : Tensor
            The score of each, ``(n,)``; smaller is better.
        data_range : float
            The span of possible values of images.
        centers : int
            Number of kernels, at randomly chosen features; ``n`` at most.
        width : float
            Standard deviation of the kernels, in features scaled to [-1, 1].
        ridge : float
            Weight of the squared coefficients against the mean squared error.
        generator : torch.Generator, optional
            Chooses the centers; seed 0 by default.

        Returns
        -------
        BRISQUE
            With the regressor.
        """
        if (
            features.ndim != 2
            or features.shape[1] != 36
            or scores.shape != features.shape[:1]
            or len(scores) < 2
        ):
            raise ShapeError(
                "BRISQUE.fit: features must be (n, 36) and scores (n,) with n at least 2, got "
                f"{tuple(features.shape)} and {tuple(scores.shape)}."
            )
        if not (centers > 0 and width > 0 and ridge > 0):
            raise ParameterError("BRISQUE.fit: centers, width and ridge must be positive.")
        f, target = features.double(), scores.double()
        regressor = {"low": f.amin(0), "high": f.amax(0), "width": torch.tensor(float(width)).double()}
        g = torch.Generator().manual_seed(0) if generator is None else generator
        chosen = torch.randperm(len(f), generator=g)[:centers].to(f.device)
        scaled = _scaled(f, regressor)
        regressor["centers"] = scaled[chosen]
        kernel = _kernel(scaled, regressor)
        offset, mean = target.mean(), kernel.mean(0)
        centered = kernel - mean
        system = centered.T @ centered / len(f) + ridge * torch.eye(len(chosen)).to(f)
        weights = torch.linalg.solve(system, centered.T @ (target - offset) / len(f))
        regressor |= {"weights": weights, "offset": offset - mean @ weights}
        return cls(data_range=data_range, regressor=regressor)

    @torch.no_grad()
    def _value(self, image: Tensor) -> Tensor:
        regressor = shipped("brisque.npz") if self.regressor is None else self.regressor
        f = _features(image, self.data_range)
        regressor = {key: value.to(f) for key, value in regressor.items()}
        score = regressor["offset"] + _kernel(_scaled(f, regressor), regressor) @ regressor["weights"]
        return score.to(image.dtype)


def _features(image: Tensor, data_range: float) -> Tensor:
    if min(image.shape[-2:]) < 16:
        raise ShapeError(f"BRISQUE: the image {tuple(image.shape[-2:])} is smaller than 16 x 16 pixels.")
    x = gray("BRISQUE", image, data_range)
    found = torch.cat([statistics(normalized(v)[0], variances=True) for v in (x, halved(x))], -1)
    return found.reshape(*image.shape[:-3], 36)


def _scaled(f: Tensor, regressor: dict[str, Tensor]) -> Tensor:
    low, high = regressor["low"], regressor["high"]
    span = torch.where(high == low, 1, high - low)
    return (2 * (f - low) / span - 1).clamp(-1, 1)


def _kernel(scaled: Tensor, regressor: dict[str, Tensor]) -> Tensor:
    squared = (scaled.unsqueeze(-2) - regressor["centers"]).square().sum(-1)
    return torch.exp(-squared / (2 * regressor["width"].square()))
