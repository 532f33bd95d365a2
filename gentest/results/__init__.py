"""Frozen records of checks, runs and comparisons, and their JSON.

They decide nothing, and need the standard library only.
"""
