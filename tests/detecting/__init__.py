"""Of what `tests/quality/detection.py` is made: checkpoints, ways of breaking them, judgements."""
