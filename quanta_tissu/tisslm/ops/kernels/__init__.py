"""Fast twins: Numba kernels, otherwise identical to the readable ops of the same name."""
