"""A run of pytest under `--gentest`: what it checks, keeps and tells. Only `plugin.py` is loaded in every run."""
