"""Small instances of every component, for the conformance kit: the first of each is tiny."""

from ._examples_estimators import matched_filter as matched_filter
from ._examples_estimators import regularized as regularized
from ._examples_readers import mat as mat
from ._examples_readers import ptu as ptu
from ._examples_readers import still_life as still_life
from ._examples_tcspc import dead_time as dead_time
from ._examples_tcspc import first_photon as first_photon
from ._examples_tcspc import first_photon_likelihood as first_photon_likelihood
from ._examples_tcspc import multispectral as multispectral
from ._examples_tcspc import pile_up as pile_up
from ._examples_tcspc import tag_rates as tag_rates
from ._examples_tcspc import tcspc as tcspc
