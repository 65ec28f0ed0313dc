"""Small instances of every component, for the conformance kit: the first of each is tiny."""

from __future__ import annotations

from ._examples_closure import angles as angles
from ._examples_closure import closure_phases as closure_phases
from ._examples_closure import correlated as correlated
from ._examples_closure import correlated_angles as correlated_angles
from ._examples_closure import correlated_least_squares as correlated_least_squares
from ._examples_closure import correlated_phase as correlated_phase
from ._examples_closure import log_closure_amplitudes as log_closure_amplitudes
from ._examples_closure import phase as phase
from ._examples_gains import gains as gains
from ._examples_imaging import clean as clean
from ._examples_imaging import sara as sara
from ._examples_imaging import sara_frame as sara_frame
from ._examples_interferometer import interferometer as interferometer
from ._examples_interferometer import single_dish as single_dish
from ._examples_maximum_likelihood import centroid as centroid
from ._examples_maximum_likelihood import compact as compact
from ._examples_maximum_likelihood import entropy as entropy
from ._examples_maximum_likelihood import log_amplitudes as log_amplitudes
from ._examples_maximum_likelihood import rml as rml
from ._examples_maximum_likelihood import second_moment as second_moment
from ._examples_maximum_likelihood import total_flux as total_flux
from ._examples_maximum_likelihood import tsv as tsv
from ._examples_optical import amplitudes as amplitudes
from ._examples_optical import bispectra as bispectra
from ._examples_optical import oifits as oifits
from ._examples_optical import source_model as source_model
from ._examples_optical import squared_visibilities as squared_visibilities
from ._examples_optical import unit_flux as unit_flux
from ._examples_readers import galaxy as galaxy
from ._examples_readers import ms as ms
from ._examples_readers import uvfits as uvfits
