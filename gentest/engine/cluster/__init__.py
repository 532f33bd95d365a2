"""Share the evaluation of probes among the actors of a Ray cluster."""
