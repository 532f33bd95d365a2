"""Prints which property sees what: the table of truth of `tests/laws/test_truth.py`, which checks every cell of it."""

# ruff: noqa: T201
from __future__ import annotations

from tests.laws.test_truth import DIFFERENT, GENERATORS, PROPERTIES


def main() -> None:
    """One row a property, one column a generator; `x` where it is violated."""
    names = [name for name in GENERATORS if name != "linear"]
    rows = {name: somewhere for name, (_, somewhere, _) in PROPERTIES.items()} | {"matches": DIFFERENT}
    width = max(map(len, rows))
    print(f"{'':<{width}}  {'  '.join(names)}".rstrip())
    for row, violated in rows.items():
        cells = (f"{'x' if name in violated else '.':<{len(name)}}" for name in names)
        print(f"{row:<{width}}  {'  '.join(cells)}".rstrip())


if __name__ == "__main__":
    main()
