"""Readers and writers of UVFITS, Measurement Sets, OIFITS and FITS images, and acquisitions from them."""
