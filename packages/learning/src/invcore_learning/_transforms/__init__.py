"""Groups of transforms with explicit draws, and what is made equivariant to them."""
