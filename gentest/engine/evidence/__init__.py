"""Evidence: the outputs of a batch of probes and the measurements on them, computed on demand and shared."""
