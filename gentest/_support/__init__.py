"""What every room may use: whole files, printable text, checks of arguments. The standard library only."""

__version__ = "0.1.0"
