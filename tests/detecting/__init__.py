"""What the detection bench (`tests/quality/detection.py`) is made of: checkpoints, ways of breaking them, judgements."""
