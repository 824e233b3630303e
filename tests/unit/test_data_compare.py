"""The parts of the comparison that need no database: rows, psql's output, the ledger."""

import hashlib
from collections.abc import Iterator

import pytest

from tests.lab.data import Spec, ledger, sections
from tests.lab.data.files import FileFact
from tests.lab.data.ledger_check import Ledger, LedgerReader
from tests.lab.data.rows import compare_rows
from tests.lab.data.sections import ComparisonError
from tests.lab.data.table import Table, table

SPEC = Spec(1, 1, 1)


def _five(_: Spec) -> Iterator[str]:
    return (f"{n}\tname {n}\t\\N" for n in (1, 2, 9, 10, 11))


FIVE = table("five", "id name other", _five)
LINES = [row.encode() for row in _five(SPEC)]


def found(lines: list[bytes], what: Table = FIVE) -> list[str]:
    return [str(example) for example in compare_rows(what, SPEC, lines).examples]


def test_equal_rows() -> None:
    result = compare_rows(FIVE, SPEC, LINES)
    assert (result.rows, result.differing) == (5, 0)


@pytest.mark.parametrize("index", range(5))
def test_each_missing_row_is_named(index: int) -> None:
    key = LINES[index].split(b"\t")[0].decode()
    assert found(LINES[:index] + LINES[index + 1 :]) == [f"five {key} missing"]


@pytest.mark.parametrize("key", [0, 3, 12])
def test_each_extra_row_is_named(key: int) -> None:
    lines = sorted([*LINES, b"%d\tx\ty" % key], key=lambda line: int(line.split(b"\t")[0]))
    assert found(lines) == [f"five {key} extra"]


def test_changed_columns_are_named() -> None:
    assert found([b"1\tname 1\t", *LINES[1:]]) == ["five 1 changed in other"]
    assert found([*LINES[:4], b"11\tother\t\\N"]) == ["five 11 changed in name"]


def test_another_key_is_one_missing_and_one_extra() -> None:
    assert found([*LINES[:4], b"12\tname 11\t\\N"]) == ["five 11 missing", "five 12 extra"]


def test_all_differences_count_but_few_are_named() -> None:
    result = compare_rows(FIVE, SPEC, [b"%d\tx\ty" % n for n in range(100, 200)])
    assert result.differing == 105
    assert len(result.examples) == 5


def test_text_keys_are_ordered_by_bytes() -> None:
    words = Table("words", ("word", "n"), lambda _: iter(["B\t1", "a\t2", "é\t3", "漢\t4"]), key=("word",))
    assert found([b"B\t1", b"a\t2", "漢\t4".encode()], words) == ["words é missing"]


def psql_output() -> bytes:
    return b"\x1esection a\n1\tx\n2\ty\n\x1esection empty\n\x1esection b\nlast\n\x1esection end\n"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_sections_are_told_apart_however_the_stream_is_cut(size: int) -> None:
    output = psql_output()
    chunks = [output[n : n + size] for n in range(0, len(output), size)]
    read = {name: list(lines) for name, lines in sections.read(chunks)}
    assert read == {"a": [b"1\tx", b"2\ty"], "empty": [], "b": [b"last"]}


@pytest.mark.parametrize("cut", [0, 5, 20, len(psql_output()) - 14])
def test_truncated_output_is_an_error(cut: int) -> None:
    with pytest.raises(ComparisonError):
        for _, lines in sections.read([psql_output()[:cut]]):
            list(lines)


class Written:
    """A ledger of five entries, the second and the fourth with a file, as the queries would show it."""

    def __init__(self) -> None:
        self.counter = [b"7\t5"]
        self.topic = [b"5"]
        bodies = {n: ledger.body(7, n).replace("\t", r"\t").replace("\n", r"\n") for n in range(1, 6)}
        keys = {n: ledger.blob_key(7, n) if n % 2 == 0 else r"\N" for n in bodies}
        self.entries = [
            f"{n}\t{ledger.sha256(ledger.body(7, n))}\t{keys[n]}\t{bodies[n]}".encode() for n in bodies
        ]
        self.comments = [f"{n}\t{body}".encode() for n, body in bodies.items()]
        self.attachments = [f"{n}\t{keys[n]}".encode() for n in (2, 4)]
        self.files = {fact.path: fact for fact in map(self.file, (2, 4))}

    @staticmethod
    def file(number: int) -> FileFact:
        data = ledger.content(7, number)
        path = f"storage/{ledger.blob_path(ledger.blob_key(7, number))}"
        return FileFact(path, "file", len(data), hashlib.sha256(data).hexdigest(), None, 0o644, 0, 0, 0)

    def judged(self) -> Ledger:
        reader = LedgerReader()
        for section, lines in (
            ("ledger counter", self.counter),
            ("ledger entries", self.entries),
            ("ledger comments", self.comments),
            ("ledger attachments", self.attachments),
            ("ledger topic", self.topic),
        ):
            reader.read(section, lines)
        return reader.finish(self.files)


def test_whole_ledger() -> None:
    assert Written().judged() == Ledger(rows=5, attachments=2)


def test_no_ledger_at_all() -> None:
    assert LedgerReader().finish({}) == Ledger()


def test_files_of_later_entries_and_half_written_ones_are_no_fault() -> None:
    written = Written()
    ahead = written.file(6)
    half = FileFact(ahead.path + ledger.TEMPORARY_SUFFIX, "file", 1, "x", "y", 0o644, 0, 0, 0)
    written.files |= {ahead.path: ahead, half.path: half}
    assert written.judged() == Ledger(rows=5, attachments=2, files_ahead=1)


def test_a_gap_is_found() -> None:
    written = Written()
    del written.entries[2]
    result = written.judged()
    assert not result.gap_free
    assert "entry 3 is missing, 4 is there" in result.details


def test_a_counter_that_is_ahead_is_a_gap_at_the_end() -> None:
    written = Written()
    del written.entries[4], written.comments[4]
    written.topic = [b"4"]
    result = written.judged()
    assert not result.gap_free and result.agrees


@pytest.mark.parametrize(
    "damage",
    [
        lambda written: written.comments.pop(),
        lambda written: written.comments.__setitem__(0, b"1\tother"),
        lambda written: written.attachments.pop(),
        lambda written: written.attachments.__setitem__(0, b"2\t\\N"),
        lambda written: written.files.popitem(),
        lambda written: written.entries.__setitem__(0, written.entries[0] + b"x"),
        lambda written: written.topic.__setitem__(0, b"4"),
        lambda written: written.files.update(
            {"storage/zz/x": FileFact("storage/zz/x", "file", 0, "", "", 0, 0, 0, 0)}
        ),
    ],
)
def test_disagreements_are_found(damage: object) -> None:
    assert callable(damage)
    written = Written()
    damage(written)
    result = written.judged()
    assert result.gap_free and not result.agrees and result.details


def test_a_file_with_another_content_is_found() -> None:
    written = Written()
    path = next(iter(written.files))
    written.files[path] = FileFact(**{**vars(written.files[path]), "sha256": "0"})
    assert not written.judged().agrees
