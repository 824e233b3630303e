"""After a restore every attachment of the database is looked for among the files, whichever part came."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from loomio_backup.drill.drill_database import Blob
from loomio_backup.restore.restored_attachments import Matched, match, sentence


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for key, content in (("abcdwhole", b"12345"), ("abcdshort", b"1")):
        place = tmp_path / key[:2] / key[2:4]
        place.mkdir(parents=True, exist_ok=True)
        (place / key).write_bytes(content)
    (tmp_path / "ab" / "cd" / "abcdlink").symlink_to("abcdwhole")
    (tmp_path / "fi").write_bytes(b"no directory")
    return tmp_path


def rows(*keys: str, size: int | None = 5) -> Iterator[Blob]:
    return (Blob(key, size, None) for key in keys)


def test_a_file_of_the_size_is_found(directory: Path) -> None:
    assert match(rows("abcdwhole"), directory, ()) == Matched(1)
    assert match(rows("abcdshort", size=None), directory, ()) == Matched(1)


@pytest.mark.parametrize("key", ["abcdgone", "zzzzgone", "abcdlink", "filekey", "x", "", "k" * 300])
def test_a_row_without_its_file_is_told(directory: Path, key: str) -> None:
    found = match(rows("abcdwhole", key), directory, ())
    assert found == Matched(2, lost=1, examples=[key])
    told = sentence(found, ("database", "files"))
    assert told.startswith("warning: attachments: 1 of 2 rows")
    assert f"1 have no file ({key})" in told


def test_what_was_missing_at_the_source_is_no_warning(directory: Path) -> None:
    found = match(rows("abcdwhole", "abcdgone"), directory, ["abcdgone"])
    assert (found.lost, found.known) == (0, 1)
    assert "warning" not in sentence(found, ("database", "files"))


def test_another_size_is_told_and_many_are_counted_not_listed(directory: Path) -> None:
    keys = [f"lost{number}" for number in range(1000)]
    found = match(rows("abcdshort", *keys), directory, ())
    assert (found.odd, found.lost, len(found.examples)) == (1, 1000, 3)
    told = sentence(found, ("database",))
    assert "1000 have no file and 1 have one of another size (abcdshort, lost0, lost1 …)" in told
    assert "Only the database came from the backup; the files stayed as before" in told


def test_none_are_none(directory: Path) -> None:
    assert sentence(match(rows(), directory, ()), ("files",)) == "attachments: the database has none"
