from ._calibration import calibration_shape as calibration_shape
from ._calibration import sampled as sampled
from ._cfl import read_cfl as read_cfl
from ._cfl import read_cfl_header as read_cfl_header
from ._cfl import write_cfl as write_cfl
from ._espirit import Espirit as Espirit
from ._espirit import espirit as espirit
from ._fastmri import FastMRIData as FastMRIData
from ._fastmri import parse_header as parse_header
from ._fastmri import read_fastmri as read_fastmri
from ._fastmri import write_fastmri as write_fastmri
from ._masks import MaskEquispaced as MaskEquispaced
from ._masks import MaskGaussian as MaskGaussian
from ._masks import MaskPoisson as MaskPoisson
from ._masks import MaskRandom as MaskRandom
from ._noise import NoiseEstimate as NoiseEstimate
from ._noise import estimate_noise as estimate_noise
from ._noise import estimate_sigma as estimate_sigma
from ._noise import noise_covariance as noise_covariance
from ._noise import prewhiten as prewhiten
from ._phantom import Scan as Scan
from ._phantom import coil_array as coil_array
from ._phantom import head_phantom as head_phantom
from ._phantom import simulate as simulate

__version__: str
