"""Small instances of every component, for the conformance kit: the first of each is tiny."""

from .coils import espirit as espirit
from .dynamic import frames as frames
from .dynamic import low_rank_sparse as low_rank_sparse
from .dynamic import temporal_differences as temporal_differences
from .dynamic import temporal_fourier as temporal_fourier
from .dynamic import temporal_spectrum as temporal_spectrum
from .dynamic import temporal_subspace as temporal_subspace
from .dynamic import temporal_tv as temporal_tv
from .io import cfl as cfl
from .io import cmrxrecon as cmrxrecon
from .io import fastmri as fastmri
from .io import mat as mat
from .io import phantom as phantom
from .quantitative import gradient_echo as gradient_echo
from .quantitative import inversion_recovery as inversion_recovery
from .quantitative import spin_echo as spin_echo
from .quantitative import spoiled_gradient_echo as spoiled_gradient_echo
from .sampling import fourier as fourier
from .sampling import mask_equispaced as mask_equispaced
from .sampling import mask_gaussian as mask_gaussian
from .sampling import mask_poisson as mask_poisson
from .sampling import mask_random as mask_random
from .sampling import nufft_sense as nufft_sense
from .sampling import sense as sense
