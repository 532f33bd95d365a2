"""The attack: walk a probe down the slope of its margin, where a search finds no counterexample."""
