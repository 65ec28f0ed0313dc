"""Training and evaluation of models R(y, physics)."""
