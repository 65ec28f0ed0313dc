from ._data.images import ImageFolder as ImageFolder
from ._data.public import public_images as public_images
from ._data.sample import Sample as Sample
from ._data.sample import sample_generator as sample_generator
from ._data.store import Store as Store
from ._data.store import generate as generate
from ._networks.base import Network as Network
from ._networks.unet import UNet as UNet
from ._restoration.artifact_removal import ArtifactRemoval as ArtifactRemoval
from ._restoration.denoiser import NetworkDenoiser as NetworkDenoiser

__version__: str
