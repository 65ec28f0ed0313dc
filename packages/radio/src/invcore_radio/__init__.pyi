from ._visibilities import Visibilities as Visibilities
