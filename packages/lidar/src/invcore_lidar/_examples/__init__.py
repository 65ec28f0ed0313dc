"""Small instances of every component, for the conformance kit: the first of each is tiny."""

from .depth import matched_filter as matched_filter
from .depth import regularized as regularized
from .io import mat as mat
from .io import pt3 as pt3
from .io import ptu as ptu
from .io import still_life as still_life
from .models import dead_time as dead_time
from .models import first_photon as first_photon
from .models import first_photon_likelihood as first_photon_likelihood
from .models import multispectral as multispectral
from .models import pile_up as pile_up
from .models import tag_rates as tag_rates
from .models import tcspc as tcspc
