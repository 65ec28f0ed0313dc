from ._center import center_of_rotation as center_of_rotation
from ._center import sharpest as sharpest
from ._constructors import cone as cone
from ._constructors import fan as fan
from ._constructors import from_vectors as from_vectors
from ._constructors import helical as helical
from ._constructors import laminography as laminography
from ._constructors import parallel as parallel
from ._correction import BeamHardening as BeamHardening
from ._correction import fit_beam_hardening as fit_beam_hardening
from ._correction import FlatField as FlatField
from ._correction import Hounsfield as Hounsfield
from ._correction import mean_frame as mean_frame
from ._correction import median_filter as median_filter
from ._correction import MinusLog as MinusLog
from ._correction import PadTruncated as PadTruncated
from ._correction import RemoveZingers as RemoveZingers
from ._datasets import random_ellipses as random_ellipses
from ._datasets import RandomEllipses as RandomEllipses
from ._geometry import Geometry as Geometry
from ._grid import Grid as Grid
from ._phantoms import ellipses as ellipses
from ._phantoms import ellipsoids as ellipsoids
from ._phantoms import Phantom as Phantom
from ._phantoms import shepp_logan as shepp_logan
from ._rings import RemoveRings as RemoveRings

__version__: str
