"""Small instances of every component, for the conformance kit: the first of each is tiny."""

from .data import image_folder as image_folder
from .data import public_images as public_images
from .data import store as store
from .losses import consistency as consistency
from .losses import ensure as ensure
from .losses import neighbor2neighbor as neighbor2neighbor
from .losses import noise2score as noise2score
from .losses import r2r as r2r
from .losses import regularity as regularity
from .losses import splitting as splitting
from .losses import sum as sum
from .losses import sure as sure
from .losses import unknown_variance as unknown_variance
from .losses import unsure as unsure
from .losses import wrapped as wrapped
from .networks import dncnn as dncnn
from .networks import drunet as drunet
from .networks import ffdnet as ffdnet
from .networks import unet as unet
from .restoration import artifact_removal as artifact_removal
from .restoration import gradient_step as gradient_step
from .restoration import network as network
from .restoration import ram as ram
from .wrappers import complex as complex
from .wrappers import slices as slices
from .wrappers import tiled as tiled
