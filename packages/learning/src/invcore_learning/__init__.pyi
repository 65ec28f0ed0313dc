from ._networks.base import Network as Network
from ._networks.unet import UNet as UNet
from ._restoration.artifact_removal import ArtifactRemoval as ArtifactRemoval
from ._restoration.denoiser import NetworkDenoiser as NetworkDenoiser

__version__: str
