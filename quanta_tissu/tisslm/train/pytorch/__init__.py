"""Training on PyTorch: one process or several, on CPUs or GPUs. Imported only by `train.engine = torch`.

`replica.py` is where gradients come from, `module.py` gives PyTorch's wrappers the modules that they want,
`weights.py` holds the weights of one process (`sharded.py`: its share of them), `optimizers.py` updates them, and
`world.py` is the processes that torchrun has started.
"""
