"""Libraries: a class or a function that somebody patched is seen."""

from __future__ import annotations

import pytest
from torch import nn

from gentest.generators.identity import identify
from tests.helpers.identities import Net


def test_a_patched_class_and_a_patched_library_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method is another one where it was replaced, on a class of one's own and on one of torch."""
    net, before = Net(), identify(Net())
    with monkeypatch.context() as patch:
        patch.setattr(Net, "forward", lambda self, z: z)
        assert identify(net) != before
    with monkeypatch.context() as patch:
        patch.setattr(nn.Linear, "forward", lambda self, z: z)
        assert identify(net) != before
    assert identify(net) == before
