"""Measures of a user's own: callables, models that are loaded late, and fixtures of pytest."""
