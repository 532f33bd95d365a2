"""Identity: one digest of everything that decides what a callable computes.

gentest reuses evidence only between callables of equal identity: within a run, from the cache on disk, and in a gate.
An identity covers, transitively, weights and buffers, code, defaults, closures, `partial` arguments, plain values on
objects, modules and classes, the globals and module attributes that the code names, slots, and packed or quantized
state. Installed packages count as their version, or as the checksums of their files.

Identity is total: a part that cannot be read (a socket, a tensor on meta, a C object without a state) makes it
*unknown*, and an unknown identity equals no other. To name such a part, give the object an attribute
`gentest_identity`, or pass `Generator(..., identity="...")`.

Equal content gives equal digests in every process and on every machine that runs the same version of Python. Addresses,
paths and module names do not enter a digest.

`digest.py` has `identify`; `values.py` reads values and `programs.py` functions, classes and modules; `bytecode.py`
lists what code reads, and `libraries.py` says what an installed package counts as.
"""

from gentest.generators.identity.digest import Identity, Tensors, identify

__all__ = ["Identity", "Tensors", "identify"]
