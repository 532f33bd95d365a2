"""Other systems: experiment trackers that take a run's figures, and places that checkpoints come from."""
