"""What a test is called, also where pytest-xdist's `--dist loadgroup` adds the name of its group to its node id.

Imported by the plugin in every run of pytest: the standard library and pytest only.
"""

from __future__ import annotations

import pytest


def marked_group(item: pytest.Item) -> str:
    """The group that a test's own `xdist_group` marks name, as xdist reads them; empty where it has none."""
    marks = list(item.iter_markers("xdist_group"))
    return "_".join(sorted({str(m.args[0] if m.args else m.kwargs.get("name", "default")) for m in marks}))


def node_id(item: pytest.Item) -> str:
    """The test's node id as it is without workers."""
    if group := marked_group(item) if getattr(item.config.option, "loadgroup", False) else "":
        return item.nodeid.removesuffix(f"@{group}")
    return item.nodeid
