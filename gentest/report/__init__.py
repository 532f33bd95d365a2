"""Reports of a run for people and machines: facts, and one writer per format. They read results, and need no torch."""
