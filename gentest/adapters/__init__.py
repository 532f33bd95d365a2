"""Adapters: what others made of a generator, as a callable on tensors that `gentest.Generator` takes.

Each is thin and knows one format: `arrays` (NumPy), `onnx`, `torchscript` (and what `torch.export` wrote), `diffusers`
pipelines, `autoencoder`; `fixed_batch` is what two of them share. None knows `Generator`, whose constructors import
them when they are called, and which `returned` serves with what any f gave back.
"""
