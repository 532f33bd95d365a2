"""`gentest init`: the files that a model's repository starts with, from a few answers.

`kinds.py` says which kinds of generator there are, `looking.py` what a folder and its sources tell without being run,
`sources.py` what --load means by that, `answers.py` what is asked and how it is read, `files.py` makes the files. What
a model's own file or code says of its latent space is asked of a process of its own (`peeking.py`): none of the others
imports torch.
"""

from gentest.cli.init.command import DESCRIPTION, HELP, add_to, run

__all__ = ["DESCRIPTION", "HELP", "add_to", "run"]
