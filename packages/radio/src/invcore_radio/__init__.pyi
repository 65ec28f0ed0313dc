from ._direct import direct_transform as direct_transform
from ._direct import direction_cosines as direction_cosines
from ._interferometer import Interferometer as Interferometer
from ._uvfits import read_uvfits as read_uvfits
from ._visibilities import Visibilities as Visibilities
