"""Small instances of every component, for the conformance kit: the first of each is tiny."""

from .collections import detect as detect
from .collections import lidc as lidc
from .collections import lodopab as lodopab
from .correction import beam_hardening as beam_hardening
from .correction import flat_field as flat_field
from .correction import hounsfield as hounsfield
from .correction import minus_log as minus_log
from .correction import pad_truncated as pad_truncated
from .correction import remove_rings as remove_rings
from .correction import remove_zingers as remove_zingers
from .emission import lines as lines
from .emission import pet as pet
from .io import dicom as dicom
from .io import dxchange as dxchange
from .io import htc as htc
from .io import mat as mat
from .io import mrc as mrc
from .io import tiff as tiff
from .io import txrm as txrm
from .phantoms import ellipses as ellipses
from .phantoms import shepp_logan as shepp_logan
from .priors import bounded_tv as bounded_tv
from .projection import astra as astra
from .projection import fbp as fbp
from .projection import weighted_xray as weighted_xray
from .projection import xray as xray
