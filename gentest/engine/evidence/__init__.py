"""Evidence: the outputs of a batch of probes and what was measured on them, computed on demand and shared."""
