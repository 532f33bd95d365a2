"""Generators, results, pages and browsers that tests of several rooms share."""
