"""The attack walks probes down the slope of their margin, to counterexamples that a search does not find."""
