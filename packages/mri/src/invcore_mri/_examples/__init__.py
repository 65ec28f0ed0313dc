"""Small instances of every component, for the conformance kit: the first of each is tiny."""

from .coils import espirit as espirit
from .io import cfl as cfl
from .io import cmrxrecon as cmrxrecon
from .io import fastmri as fastmri
from .io import mat as mat
from .io import phantom as phantom
from .sampling import fourier as fourier
from .sampling import mask_equispaced as mask_equispaced
from .sampling import mask_gaussian as mask_gaussian
from .sampling import mask_poisson as mask_poisson
from .sampling import mask_random as mask_random
from .sampling import nufft_sense as nufft_sense
from .sampling import sense as sense
