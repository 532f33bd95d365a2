"""A whole check of a real instance, for every test of an adapter or a kind."""

from tests.helpers.whole_check import checked as checked
