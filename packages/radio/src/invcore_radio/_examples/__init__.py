"""Small instances of every component, for the conformance kit: the first of each is tiny."""

from __future__ import annotations

from .calibration import gains as gains
from .closure import angles as angles
from .closure import closure_phases as closure_phases
from .closure import correlated as correlated
from .closure import correlated_angles as correlated_angles
from .closure import correlated_least_squares as correlated_least_squares
from .closure import correlated_phase as correlated_phase
from .closure import log_amplitudes as log_amplitudes
from .closure import log_closure_amplitudes as log_closure_amplitudes
from .closure import phase as phase
from .imaging import clean as clean
from .imaging import rml as rml
from .imaging import sara_frame as sara_frame
from .interferometer import interferometer as interferometer
from .interferometer import single_dish as single_dish
from .io import galaxy as galaxy
from .io import ms as ms
from .io import uvfits as uvfits
from .optical import amplitudes as amplitudes
from .optical import bispectra as bispectra
from .optical import oifits as oifits
from .optical import source_model as source_model
from .optical import squared_visibilities as squared_visibilities
from .optical import unit_flux as unit_flux
from .priors import centroid as centroid
from .priors import compact as compact
from .priors import entropy as entropy
from .priors import sara as sara
from .priors import second_moment as second_moment
from .priors import total_flux as total_flux
from .priors import tsv as tsv
