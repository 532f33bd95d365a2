"""What a person or a machine reads of a run. Reads results only: nothing here imports torch."""
