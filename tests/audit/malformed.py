"""What a stranger may send: real inputs changed as trees, by the type of what stands where, and as bytes."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

TAG = "<canary onload=alert(1)>"
"""What no page may have as an element: every hostile text that could make one has it."""
TEXTS = (
    "", " ", "\n", "a\nb\r\nc\r", "\x00", "\x1b[2J\x1b]0;owned\x07", "\x9b31m", "\u202eevil\u2066", "\ud800", "\udc80x",
    TAG, f'"{TAG}', f"'>{TAG}", f"</script>{TAG}", f"</pre>{TAG}", f"]]>{TAG}", f"<!--{TAG}", 'x" onerror="canary()',
    "javascript:canary()", "{{ 7*7 }}", "{% for x in y %}", "${7*7}", "__import__('os').system('touch /tmp/canary')",
    "../../../tmp/canary", "/etc/passwd", "/dev/zero", "C:\\canary", "~/canary", "file:///etc/passwd", "a" * 5000,
    "a/" * 600, "::error file=x::canary", "  ::stop-commands::x", "##[set-env name=A]b", "%0A::error::x",
    "| a | b |\n|---|---|", "```\ncanary", "[canary](javascript:canary)", "=cmd|' /C calc'!A0",
    "'; DROP TABLE rows; --",
    "0", "-1", "1e309", "9" * 30, "nan", "None", "true", "[]", "{}", "笑" * 50, "e\u0301" * 50, "\u200d", "\ufeff",
    "0..7", "z[3", "9" * 13, "0..x", "[", "a\\", "a`b|c*d_e~f#g", "--gentest", "-c", "1f-m5-c3", "between:1f",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 3, 7, 31, 32, 63, 64, 65, 127, 128, 255, 256, 2**31 - 1, 2**31, 2**32, 2**53, 2**53 + 1, 2**63 - 1,
    2**63, 2**64, -(2**63), 10**20, 10**39, 10**60, 0.0, -0.0, 0.5, 1.0, 1 - 2**-53, 1.0000001, -1e-300, 5e-324, 1e-45,
    1e-9, 1e9, 1e38, 3.5e38, 1e154, 1e300, 1.7e308, -1.7e308, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
FLOATS = (0.0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38, float("nan"), float("inf"), 0.5, -0.5, 1.0)


def value_of_another_type(rng: Random) -> Any:
    """Any JSON value at all."""
    return rng.choice(
        [
            None,
            True,
            False,
            0,
            1.5,
            "",
            "x",
            [],
            {},
            [None],
            {"": ""},
            [[]],
            {"a": {}},
            rng.choice(NUMBERS),
            rng.choice(TEXTS),
        ]
    )


def places(value: Any) -> list[tuple[Any, ...]]:
    """The route to every value inside a JSON value, itself first."""
    found: list[tuple[Any, ...]] = [()]
    for route in found:
        inside = at(value, route)
        keys = list(inside) if isinstance(inside, dict) else range(len(inside)) if isinstance(inside, list) else ()
        found += [(*route, key) for key in keys]
    return found


def at(value: Any, route: tuple[Any, ...]) -> Any:
    """What stands at the end of a route."""
    for key in route:
        value = value[key]
    return value


def changed(tree: Any, rng: Random) -> Any:
    """A JSON tree with one to four places changed."""
    tree = deepcopy(tree)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        routes = places(tree)
        route = rng.choice(routes)
        if not route:
            if rng.random() < 0.1:
                return value_of_another_type(rng)
            continue
        parent, key = at(tree, route[:-1]), route[-1]
        parent[key] = _changed(parent[key], tree, routes, rng)
        if isinstance(parent, dict) and rng.random() < 0.15:
            _keys_changed(parent, key, rng)
    return tree


def _changed(value: Any, tree: Any, routes: list[tuple[Any, ...]], rng: Random) -> Any:
    """Another value in place of one: mostly of its own type, and extreme."""
    how = rng.random()
    if how < 0.1:
        return value_of_another_type(rng)
    if how < 0.15:  # something that stands elsewhere in the tree
        return deepcopy(at(tree, rng.choice(routes)))
    if how < 0.18:
        for _ in range(rng.choice([1, 5, 40])):
            value = [value]
        return value
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return rng.choice(NUMBERS)
    if isinstance(value, str):
        return _text_changed(value, rng)
    if isinstance(value, list):
        return rng.choice(
            [value * rng.choice([0, 2, 300]), value[1:], value[::-1], [*value, value_of_another_type(rng)]]
        )
    if isinstance(value, dict):
        grown = {f"{key}{i}": item for key, item in value.items() for i in range(rng.choice([0, 1, 3]))}
        return rng.choice([grown, {}, {**value, rng.choice(TEXTS): value_of_another_type(rng)}])
    return value_of_another_type(rng)


def _keys_changed(parent: dict[str, Any], key: str, rng: Random) -> None:
    """Takes a name away, or calls it otherwise, in every order."""
    value = parent.pop(key)
    if rng.random() < 0.6:
        parent[rng.choice(TEXTS)] = value


def _text_changed(text: str, rng: Random) -> str:
    how = rng.random()
    if how < 0.35 and len(text) > 15 and len(text) % 4 == 0 and " " not in text:
        return _packed_changed(text, rng)
    if how < 0.7:
        return rng.choice(TEXTS)
    place = rng.randrange(len(text) + 1)
    return text[:place] + rng.choice(TEXTS) + text[place + rng.choice([0, 1, 5]) :]


def _packed_changed(text: str, rng: Random) -> str:
    """Base64 of other bytes: other floats, other sizes, a broken picture."""
    try:
        raw = bytearray(base64.b64decode(text, validate=True))
    except ValueError:
        return rng.choice(TEXTS)
    how = rng.randrange(4)
    if how == 0 and len(raw) >= 4:
        place = 4 * rng.randrange(len(raw) // 4)
        raw[place : place + 4] = struct.pack("<f", rng.choice(FLOATS))
    elif how == 1:
        raw = raw * rng.choice([0, 2, 30])
    elif how == 2:
        raw = raw[: rng.randrange(len(raw) + 1)]
    else:
        raw = bytearray(bytes_changed(bytes(raw), rng))
    return base64.b64encode(raw).decode("ascii")


def bytes_changed(raw: bytes, rng: Random) -> bytes:
    """Bytes flipped, taken out, put in twice, or cut off."""
    data = bytearray(raw)
    for _ in range(rng.choice([1, 1, 2, 8, 40])):
        place = rng.randrange(len(data) + 1)
        how = rng.randrange(5)
        if how == 0 and place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        elif how == 1:
            del data[place : place + rng.choice([1, 4, 100])]
        elif how == 2:
            data[place:place] = rng.choice(TEXTS).encode("utf-8", "surrogatepass")
        elif how == 3:
            data[place:place] = data[place : place + rng.choice([1, 20, 400])]
        else:
            data[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f", b"[" * 2000, b"9" * 5000])
    return bytes(data if rng.random() < 0.9 else data[: rng.randrange(len(data) + 1)])


def text_changed(text: str, rng: Random) -> str:
    """A line of text with slips, or another altogether."""
    if rng.random() < 0.15:
        return rng.choice(TEXTS)
    if rng.random() < 0.3:
        return bytes_changed(text.encode("utf-8", "surrogatepass"), rng).decode("utf-8", "replace")
    for _ in range(rng.choice([1, 1, 2, 3])):
        place = rng.randrange(len(text) + 1)
        put = rng.choice([*TEXTS, str(rng.choice(NUMBERS)), "-", ".", ":", "c", "s", "0", text])
        text = text[:place] + put + text[place + rng.choice([0, 0, 1, 4]) :]
    return text


def json_bytes(
    tree: Any, rng: Random, *, sign: Callable[[Any], Any] | None = None, through: Callable[[Any, Random], Any] = changed
) -> bytes:
    """A file of a changed tree; `sign` makes its digest fit, mostly. Some are changed as bytes besides, or only so."""
    how = rng.random()
    made = tree if how < 0.1 else through(tree, rng)
    if sign is not None and rng.random() < 0.95:
        made = sign(made)
    try:
        text = json.dumps(made)
    except RecursionError:
        text = "[" * 100_000
    if rng.random() < 0.05 and "{" in text:  # a name that stands twice
        text = text.replace("{", '{"schema": 1, ', 1)
    raw = text.encode()
    return bytes_changed(raw, rng) if how < 0.25 else raw
