"""Phase retrieval: Fourier magnitudes, coded diffraction, ptychography and its relatives."""
