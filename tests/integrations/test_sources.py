"""Sources: addresses, their names, and sources of other packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from gentest.errors import InvalidArgument
from gentest.integrations import sources
from gentest.integrations.sources import Fetched, fetch, file_name, is_address
from tests.helpers.board import write_package


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("models:/faces@champion", True),
        ("models:/faces/3", True),
        ("hf://org/name", True),
        ("s3://bucket/a.pt", True),
        ("a.pt", False),
        ("./models:/a", False),
        ("C:/a.pt", False),
        ("C:\\a.pt", False),
        ("runs/*.pt", False),
        ("a:b", False),
        ("", False),
    ],
)
def test_an_address_begins_with_a_source(*, text: str, expected: bool) -> None:
    """A path of any system is not an address."""
    assert is_address(text) == expected


@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [
        ("runs/a.pt", "a.pt"),
        ("models:/faces/3", "faces/3"),
        (f"hf://org/faces@{'a' * 40}/w.pt", "org/faces@aaaaaaaa/w.pt"),
        ("hf://org/faces@main", "org/faces@main"),
        ("", ""),
    ],
)
def test_a_checkpoint_has_the_name_that_reports_show(checkpoint: str, name: str) -> None:
    assert file_name(checkpoint) == name


def test_another_package_adds_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point of the group gentest.sources fetches what begins with its name."""
    write_package(tmp_path)
    (tmp_path / "w.pt").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert fetch("shelf:/w.pt@new") == Fetched(Path("w.pt"), "shelf:/w.pt@7")
    with pytest.raises(InvalidArgument, match=r"^shelf:/gone@new: the source has no such file$"):
        fetch("shelf:/gone@new")
    with pytest.raises(InvalidArgument, match=r"^shelf:/x") as caught:
        fetch(f"shelf:/{'x' * 100_000}@new")
    assert len(str(caught.value)) < 1_000
    with pytest.raises(InvalidArgument, match=r"^shelf:/w.pt: KeyError: 'no version'$"):
        fetch("shelf:/w.pt")
    with pytest.raises(
        InvalidArgument, match=r"^s3:/ is not a source of checkpoints: hf:/, models:/, runs:/, shelf:/$"
    ):
        fetch("s3://bucket/w.pt")


@pytest.mark.parametrize(
    ("address", "library", "extra"),
    [
        ("hf://org/name", "huggingface_hub", "huggingface"),
        ("models:/faces/1", "mlflow", "mlflow"),
        ("runs:/1/a", "mlflow", "mlflow"),
    ],
)
def test_a_library_that_is_missing_is_named(
    address: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "find_spec", lambda name: None)
    with pytest.raises(InvalidArgument) as caught:
        fetch(address)
    assert str(caught.value) == f"{library} is not installed: pip install 'pytest-gentest[{extra}]'"
