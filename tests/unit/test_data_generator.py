"""The database side of the generator: the same seed gives the same bytes, of the wanted size, in constant
memory.
"""

import hashlib
import io
import re
import subprocess
import sys
import unicodedata

import pytest

from tests.lab.data import Spec, expected, write_sql
from tests.lab.data.attachments import TABLES as FILE_TABLES
from tests.lab.data.structure import relations
from tests.lab.data.tables import TABLES

SMALL = Spec(seed=3, db_mb=1, files_mb=1)


def script(spec: Spec) -> bytes:
    out = io.BytesIO()
    write_sql(spec, out)
    return out.getvalue()


def test_same_spec_same_bytes_and_other_seed_other_bytes() -> None:
    assert script(SMALL) == script(SMALL)
    assert script(SMALL) != script(Spec(4, 1, 1))
    assert expected(SMALL) == expected(SMALL)


def test_the_bytes_follow_from_the_seed_on_every_machine() -> None:
    """The blobs' checksums are among them, so the files are covered as well. Changed words or tables change
    this.
    """
    assert hashlib.sha256(script(SMALL)).hexdigest() == (
        "80cefa66c39b3f0b4cf4bfecbffbdf2f5a6115b9ec2b21c21f6067e7ff149ce2"
    )


def test_another_process_makes_the_same_bytes() -> None:
    """Nothing depends on the hash seed or on what ran before."""
    command = [sys.executable, "-m", "tests.lab.data", "sql", "--seed=3", "--db-mb=1", "--files-mb=1"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == script(SMALL)


def test_checksums_are_those_of_the_script() -> None:
    """The script's COPY blocks, hashed as they stand, against what expected() computes."""
    blocks = re.findall(rb"^COPY public\.(\w+) .*? FROM stdin;\n(.*?)^\\\.\n", script(SMALL), re.M | re.S)
    facts = expected(SMALL).tables
    assert {name.decode() for name, _ in blocks} == facts.keys()
    for name, rows in blocks:
        fact = facts[name.decode()]
        assert (rows.count(b"\n"), hashlib.sha256(rows).hexdigest()) == (fact.rows, fact.sha256)


@pytest.mark.parametrize("megabytes", [1, 5, 20])
def test_size_is_about_right(megabytes: int) -> None:
    assert abs(len(script(Spec(1, megabytes, 1))) - megabytes * 1_000_000) < megabytes * 100_000 + 100_000


def test_memory_does_not_grow_with_the_size() -> None:
    def peak(megabytes: int) -> int:
        code = (
            "import resource, sys; from tests.lab.data.__main__ import main;"
            f"main(['sql', '--db-mb={megabytes}', '--files-mb=1']);"
            "sys.stderr.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True
        )
        return int(done.stderr)

    assert peak(120) < peak(50) + 10_000


def test_columns_and_tables_are_the_schemas() -> None:
    schema = relations()
    own = {
        "schema_migrations",
        "ar_internal_metadata",
        "ledger_entries",
        "ledger_counter",
        "group_member_counts",
    }
    assert {table.name for table in TABLES} | own == schema.keys()
    for table in TABLES:
        assert set(table.columns) == set(schema[table.name]), table.name


def test_rows_are_in_the_order_of_their_keys() -> None:
    for table in TABLES:
        keys = [table.key_of(row) for row in table.rows(SMALL)]
        assert keys == sorted(set(keys)), table.name


def test_text_is_as_varied_as_people_are() -> None:
    text = script(Spec(1, 5, 1)).decode()
    scripts = {unicodedata.name(char, "?").split()[0] for char in set(text)}
    assert (
        len(scripts & {"LATIN", "CYRILLIC", "ARABIC", "HEBREW", "DEVANAGARI", "THAI", "HANGUL", "CJK"}) == 8
    )
    for needed in (
        "\u0301",
        "👨" if "👨" in text else "👩‍👩‍👧‍👦",
        r"\t",
        r"\n",
        r"\r\n",
        r"\\N",
        r"\\.",
        "it's",
        "\\N",
    ):
        assert needed in text
    assert "\t\t" in text  # an empty string between two columns


def test_only_attachments_depend_on_the_files() -> None:
    other = expected(Spec(3, 1, 2)).tables
    different = {name for name, fact in expected(SMALL).tables.items() if fact != other[name]}
    assert {"active_storage_blobs", "attachments"} <= different <= {table.name for table in FILE_TABLES}
