from ._cameras.pattern_order import hadamard_order as hadamard_order
from ._cameras.single_pixel import SinglePixel as SinglePixel
from ._cameras.single_pixel import bernoulli_patterns as bernoulli_patterns
from ._demo import TargetScan as TargetScan
from ._io.single_pixel import SinglePixelReader as SinglePixelReader
from ._io.single_pixel import write_single_pixel as write_single_pixel
from ._pupils.bead import BeadStack as BeadStack
from ._pupils.fit import PupilEstimate as PupilEstimate
from ._pupils.fit import PupilFit as PupilFit
from ._pupils.fit import fit_pupil as fit_pupil
from ._pupils.objective import Objective as Objective
from ._pupils.objective import StratifiedMedium as StratifiedMedium
from ._pupils.otf import otf as otf
from ._pupils.pupil_psf import PupilPSF as PupilPSF
from ._pupils.zernike import zernike as zernike
from ._pupils.zernike import zernike_index as zernike_index
from ._pupils.zernike import zernike_indices as zernike_indices
from ._pupils.zernike import zernike_name as zernike_name

__version__: str
from ._blurs.space_varying import SpaceVaryingBlur as SpaceVaryingBlur
