"""Networks that make images: from noise, from coordinates; and the solver that fits one to data."""
