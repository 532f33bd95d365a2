"""A file of SQLite that several sessions use: what is not theirs is left alone, and what fails is said once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from gentest.engine.evidence import database
from gentest.engine.evidence.database import Database

SCHEMA = ("CREATE TABLE rows (name TEXT PRIMARY KEY, value INTEGER)", "CREATE INDEX by_value ON rows (value)")


def insert(name: str, value: int) -> Callable[[sqlite3.Connection], object]:
    return lambda connection: connection.execute("INSERT INTO rows VALUES (?, ?)", (name, value))


def test_sessions_that_begin_at_once_share_a_new_file(tmp_path: Path) -> None:
    """Each creates it if it is the first, and none loses a row."""

    def session(number: int) -> str:
        own = Database(tmp_path / "a.sqlite", SCHEMA, pragmas=["page_size=4096"])
        for row in range(20):
            own.write(insert(f"{number} {row}", row))
        own.close()
        return own.trouble

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(session, range(8))) == [""] * 8
    reader = Database(tmp_path / "a.sqlite", SCHEMA)
    assert reader.read("SELECT COUNT(*) FROM rows") == [(160,)]
    reader.close()


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    own = Database(tmp_path / "a.sqlite", SCHEMA)
    assert own.write(insert("a", 1))

    def half(connection: sqlite3.Connection) -> None:
        insert("b", 2)(connection)
        insert("a", 3)(connection)

    assert not own.write(half)
    assert own.trouble.startswith(f"cache: nothing more is kept in {tmp_path / 'a.sqlite'}: ")
    assert not own.writes
    assert not own.write(insert("c", 4)), "it does not try again"
    assert own.read("SELECT * FROM rows") == [("a", 1)], "and still reads"
    own.close()


def test_a_file_of_which_a_session_created_half_is_completed(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as other:
        other.execute(SCHEMA[0])
    own = Database(tmp_path / "a.sqlite", SCHEMA)
    assert own.write(insert("a", 1))
    own.close()


@pytest.mark.parametrize(
    "script", ["CREATE TABLE somebody (x)", f"{SCHEMA[0]}; CREATE TRIGGER t AFTER INSERT ON rows BEGIN SELECT 1; END"]
)
def test_a_file_of_somebody_else_is_left_alone(script: str, tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with closing(sqlite3.connect(path)) as other:
        other.executescript(script)
    before = path.read_bytes()
    own = Database(path, SCHEMA)
    assert own.read("SELECT * FROM rows") == []
    assert not own.write(insert("a", 1))
    assert "not a database of gentest; delete it to start over" in own.trouble
    assert path.read_bytes() == before
    own.close()


def test_a_file_that_another_session_holds_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, so that no run waits for a session that hangs."""
    monkeypatch.setattr(database, "PATIENCE", 0.2)
    own = Database(tmp_path / "a.sqlite", SCHEMA)
    assert own.write(insert("a", 1))
    own.close()
    with closing(sqlite3.connect(tmp_path / "a.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not own.write(insert("b", 2))
    assert "locked" in own.trouble
    own.close()
