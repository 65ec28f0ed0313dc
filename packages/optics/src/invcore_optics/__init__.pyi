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
