"""Small instances of every component, for the conformance kit: the first of each is tiny."""

from .networks import unet as unet
from .restoration import artifact_removal as artifact_removal
from .restoration import network as network
