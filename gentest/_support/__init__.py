"""Helpers for every room: safe files, printable text, argument checks. They need the standard library only."""

__version__ = "0.1.0"
