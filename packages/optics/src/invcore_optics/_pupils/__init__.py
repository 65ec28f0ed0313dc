"""Pupils and their point spread functions: Zernike phases, defocus, stratified media, stacks."""
