"""Checkpoints that others wrote and others' libraries load: as tensors, whatever the library asks of torch.

A pickle runs code as it is read. `torch.load` refuses all but tensors where it is told to, and not every library tells
it to: torch's own hub does not, `torch.export.load` tries again without, and what is the default depends on torch's
version.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

FORCED, FORBIDDEN = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


@contextmanager
def tensors_only() -> Iterator[None]:
    """Within it, `torch.load` refuses a pickle of anything but tensors, however it is called."""
    before = {name: os.environ.pop(name, None) for name in (FORCED, FORBIDDEN)}
    os.environ[FORCED] = "1"
    try:
        yield
    finally:
        del os.environ[FORCED]
        os.environ.update({name: value for name, value in before.items() if value is not None})
