"""Small instances of every component, for the conformance kit: the first of each is tiny."""

from .data import image_folder as image_folder
from .data import public_images as public_images
from .data import store as store
from .networks import dncnn as dncnn
from .networks import drunet as drunet
from .networks import ffdnet as ffdnet
from .networks import unet as unet
from .restoration import artifact_removal as artifact_removal
from .restoration import gradient_step as gradient_step
from .restoration import network as network
from .wrappers import complex as complex
from .wrappers import slices as slices
from .wrappers import tiled as tiled
