"""Small instances of every component, for the conformance kit: the first of each is tiny."""

from .blurs import space_varying_blur as space_varying_blur
from .cameras import cassi as cassi
from .cameras import lensless as lensless
from .cameras import single_pixel as single_pixel
from .io import cassi_mat as cassi_mat
from .io import lensless_tiff as lensless_tiff
from .io import single_pixel_mat as single_pixel_mat
from .io import target as target
from .io import tiff as tiff
from .phase import phase_retrieval as phase_retrieval
from .phase import pie as pie
from .phase import ptychography as ptychography
from .phase_io import ptychography_npz as ptychography_npz
from .pupils import bead_stack as bead_stack
from .pupils import pupil_fit as pupil_fit
from .pupils import pupil_psf as pupil_psf
from .pupils import random_pupil as random_pupil
from .pupils import random_pupil_field as random_pupil_field
