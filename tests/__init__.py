"""The tests: a folder for each room, `laws` for what several rooms keep together, helpers, benchmarks, audits."""
