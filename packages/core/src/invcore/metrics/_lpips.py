"""Learned perceptual similarity, through torchmetrics."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor

from .._errors import MissingDependencyError, ParameterError, ShapeError
from ._base import RangedComparison, image_dims

_WEIGHTS = {"alex": "AlexNet_Weights", "vgg": "VGG16_Weights", "squeeze": "SqueezeNet1_1_Weights"}


class LPIPS(RangedComparison):
    r"""Learned perceptual image patch similarity (Zhang et al., 2018): 0 for equal images, larger is worse.

    .. math:: \sum_l \frac1{N_l} \sum_i \| w_l ⊙ ({\hat φ}_{li} - φ_{li}) \|^2

    with the features φ of both images at layers ``l`` of a network for image classification, of unit length
    in each pixel ``i``, and learned weights ``w``. It is computed by torchmetrics, whose network comes from
    torchvision; invcore needs neither for anything else. The weights of the network must be on this computer
    already: nothing is fetched behind one's back. An image of one channel is shown as gray. Differentiable.

    Parameters
    ----------
    data_range : float or "max"
        The span of possible values, which begin at 0 (1.0 for images in [0, 1]), or ``"max"`` for the largest
        magnitude of each reference. There is no default: the value depends on it.
    net : {"alex", "vgg", "squeeze"}
        The network.

    Raises
    ------
    MissingDependencyError
        When called, if torchmetrics, torchvision or the weights are missing.
    ShapeError
        If the images differ in shape, have neither 1 nor 3 channels, or are smaller than 32 x 32 pixels.

    References
    ----------
    R. Zhang, P. Isola, A. Efros, E. Shechtman, O. Wang, "The unreasonable effectiveness of deep features as a
    perceptual metric", CVPR (2018).

    Examples
    --------
    >>> LPIPS(data_range=1.0).net
    'alex'
    """

    higher_is_better: ClassVar[bool] = False
    dimensions: ClassVar[tuple[int, ...]] = (2,)
    magnitude_only: ClassVar[bool] = True

    net: Literal["alex", "vgg", "squeeze"] = "alex"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.net not in _WEIGHTS:
            raise ParameterError(f"LPIPS: net must be 'alex', 'vgg' or 'squeeze', got {self.net!r}.")

    def _value(self, x_hat: Tensor, x: Tensor) -> Tensor:
        if x.shape[-3] not in (1, 3):
            raise ShapeError(f"LPIPS: images have 1 channel, or 3 (red, green, blue), got {x.shape[-3]}.")
        if min(x.shape[-2:]) < 32:
            raise ShapeError(f"LPIPS: the image {tuple(x.shape[-2:])} is smaller than 32 x 32 pixels.")
        network = _network(self.net, x.device, x.dtype)
        peak = self._peak(x)
        shown = [
            (v / peak).expand(*v.shape[:-3], 3, -1, -1).reshape(-1, 3, *v.shape[-2:]) for v in (x_hat, x)
        ]
        value = cast(Tensor, network(*shown, normalize=True))
        return value.reshape(x.shape[: x.ndim - len(image_dims(2))])


@functools.cache
def _network(net: str, device: torch.device, dtype: torch.dtype) -> Any:
    """The network of torchmetrics; its weights are not fetched."""
    try:
        import torchvision
        from torchmetrics.image import LearnedPerceptualImagePatchSimilarity
    except ImportError as error:
        raise MissingDependencyError(
            f"LPIPS needs torchmetrics and torchvision ({error}): pip install torchmetrics torchvision"
        ) from error
    url = getattr(torchvision.models, _WEIGHTS[net]).IMAGENET1K_V1.url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.is_file():
        raise MissingDependencyError(
            f"LPIPS needs the weights of its network, {path.name}, in the folder that torch.hub.get_dir() "
            "names, below 'checkpoints'. Fetch them once: python -c \"import torch; "
            f"torch.hub.load_state_dict_from_url('{url}')\""
        )
    return LearnedPerceptualImagePatchSimilarity(net_type=net).net.to(device, dtype).requires_grad_(False)
