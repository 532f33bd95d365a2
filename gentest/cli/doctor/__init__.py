"""`gentest doctor`: what would stop a run, or spoil it, and what to do about it.

`finding.py` is what is said of one thing; `installed.py` looks at what is installed. What pytest itself makes of a
folder, its plugins, the device, the CLIP and the caches is asked of a pytest process of its own, which collects and
runs nothing (`gentest.cli.doctor.examining`): none of this imports torch.
"""

from gentest.cli.doctor.command import add_to, run

__all__ = ["add_to", "run"]
