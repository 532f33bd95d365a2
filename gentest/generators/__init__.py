"""Any f as a function on tensors: `generator` is the public one, and what it is made of and from.

One module for each format that others write, imported when its constructor is called: `arrays` (NumPy), `onnx`,
`torchscript` (and what `torch.export` wrote), `diffusers` pipelines, `autoencoder`; `fixed_batch` is what two of them
share. `calling` calls any f, `returned` reads what it gave back. `identity` digests all that decides what a callable
computes, `weights` finds the modules that it holds, `randomness` pins the random numbers that it draws.
"""
