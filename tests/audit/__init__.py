"""Audits: scripts that try gentest on thousands of drawn cases, each run as `python -m tests.audit.NAME`."""
