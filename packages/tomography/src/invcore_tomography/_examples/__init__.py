"""Small instances of every component, for the conformance kit: the first of each is tiny."""

from .components import astra as astra
from .components import beam_hardening as beam_hardening
from .components import bounded_tv as bounded_tv
from .components import ellipses as ellipses
from .components import fbp as fbp
from .components import flat_field as flat_field
from .components import hounsfield as hounsfield
from .components import lines as lines
from .components import minus_log as minus_log
from .components import pad_truncated as pad_truncated
from .components import pet as pet
from .components import remove_rings as remove_rings
from .components import remove_zingers as remove_zingers
from .components import shepp_logan as shepp_logan
from .components import weighted_xray as weighted_xray
from .components import xray as xray
from .io import dicom as dicom
from .io import dxchange as dxchange
from .io import htc as htc
from .io import mat as mat
from .io import mrc as mrc
from .io import tiff as tiff
from .io import txrm as txrm
