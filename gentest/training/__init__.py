"""gentest during training: suites of properties, modules that are borrowed, alarms, and callbacks of trainers."""
