"""Property-based testing for generative models, inside pytest.

The author of a GAN, VAE or diffusion decoder declares what must hold in its latent space. gentest checks it: Hypothesis
searches for a counterexample, which is shrunk, explained and replayed.

    @gentest.between(gentest.brightness(), tolerance=0.05)
    def test_brightness_is_between(generator):
        return generator

Run it with `pytest --gentest`. `__init__.pyi` lists the public names. Each is imported on first use, so that importing
gentest does not import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
