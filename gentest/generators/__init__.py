"""Generators: any f as a function on tensors.

`generator` has the public class. Each format that other libraries write has one adapter, imported when its constructor
is called: `onnx`, `torchscript` (and `torch.export`), `diffusers`, `autoencoder`. `calling` calls any f, `returned`
reads the outputs, `modules` finds the modules of f, and `identity` digests everything that decides what f computes.

To add a format, write its module and one constructor in `generator`.
"""
