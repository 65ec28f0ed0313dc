from ._guidance.dps import DPS as DPS
from ._integrators.euler import Ancestral as Ancestral
from ._integrators.euler import Euler as Euler
from ._sampling.diffusion import DiffusionSampler as DiffusionSampler
from ._schedules.karras import Karras as Karras

__version__: str
