from ._data.images import ImageFolder as ImageFolder
from ._data.public import public_images as public_images
from ._data.sample import Sample as Sample
from ._data.sample import sample_generator as sample_generator
from ._data.store import Store as Store
from ._data.store import generate as generate
from ._networks.base import Network as Network
from ._networks.convert import convert as convert
from ._networks.convert import read_checkpoint as read_checkpoint
from ._networks.dncnn import DnCNN as DnCNN
from ._networks.drunet import DRUNet as DRUNet
from ._networks.ffdnet import FFDNet as FFDNet
from ._networks.unet import UNet as UNet
from ._networks.wrappers import ComplexNetwork as ComplexNetwork
from ._networks.wrappers import Slices as Slices
from ._networks.wrappers import TiledNetwork as TiledNetwork
from ._restoration.artifact_removal import ArtifactRemoval as ArtifactRemoval
from ._restoration.denoiser import NetworkDenoiser as NetworkDenoiser
from ._restoration.gradient_step import GradientStepDenoiser as GradientStepDenoiser

__version__: str
