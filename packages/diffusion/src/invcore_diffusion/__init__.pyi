from ._flows.likelihood import flow_log_density as flow_log_density
from ._flows.matching import FlowMatching as FlowMatching
from ._flows.velocity import FromVelocity as FromVelocity
from ._flows.velocity import Velocity as Velocity
from ._flows.velocity import empirical_flow as empirical_flow
from ._flows.velocity import gaussian_flow as gaussian_flow
from ._guidance.dps import DPS as DPS
from ._integrators.euler import Ancestral as Ancestral
from ._integrators.euler import Euler as Euler
from ._sampling.diffusion import DiffusionSampler as DiffusionSampler
from ._schedules.karras import Karras as Karras

__version__: str
