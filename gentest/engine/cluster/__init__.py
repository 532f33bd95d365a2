"""Ray: share the evaluation of probes among the actors of a cluster."""
