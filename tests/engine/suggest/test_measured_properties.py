"""The properties that `gentest suggest` measures: each row declares its own."""

from __future__ import annotations

import gentest
from gentest.engine.suggest.measured_properties import ATTRIBUTES, FEATURES


def test_every_row_is_of_its_property() -> None:
    """Each row's line says what it measures: the name and the keyword are those of the property it makes."""
    for row in (*ATTRIBUTES, *FEATURES):
        definition = row.define(gentest.brightness(), 2.0)
        assert definition.name == row.name
        assert definition.arguments[row.keyword] == 2.0
