"""Fast twins: Numba kernels, otherwise identical to the readable ops of the same name.

Each module has `forward` and `backward` with the signatures of its readable op (what is saved may differ). They
bring arrays into rows without gaps and hand them to kernels, which make few passes over memory, release Python's
lock and use one thread. The mathematics is derived in the readable ops; here it only says what differs.
"""
