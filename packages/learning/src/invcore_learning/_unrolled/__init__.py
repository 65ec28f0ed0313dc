"""Modules around solvers, unrolled or at their fixed point, and the architectures made of them."""
