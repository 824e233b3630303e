"""The files of a data set: the archive holds what expected() says, in every awkward shape that real trees
have.
"""

import base64
import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.lab.data import Spec, expected, write_tar
from tests.lab.data.attachments import TABLES
from tests.lab.data.entries import FileDifference, broken, compare_files, parse_blobs, parse_walk
from tests.lab.data.files import FileFact
from tests.lab.data.ledger import KEY_PREFIX
from tests.lab.data.walk import walk

SPEC = Spec(seed=3, db_mb=1, files_mb=4)
ROOTS = ("storage", "uploads", "files", "plugins")


@pytest.fixture(scope="module")
def archive() -> bytes:
    out = io.BytesIO()
    write_tar(SPEC, out)
    return out.getvalue()


@pytest.fixture
def tree(archive: bytes, tmp_path: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        members.extractall(tmp_path, filter="fully_trusted")
    return tmp_path


def facts_of(tree: Path) -> dict[str, FileFact]:
    found = {}
    for root in ROOTS:
        for entry in walk(root, str(tree / root)):
            found[entry["path"]] = FileFact(**entry)
    return found


def differences(actual: dict[str, FileFact]) -> list[FileDifference]:
    """Without owners where they could not be set."""
    found = compare_files(expected(SPEC).files, actual)
    if os.geteuid() == 0:
        return found
    return [difference for difference in found if difference.what != ("owner",)]


def test_archive_is_deterministic_and_of_the_wanted_size(archive: bytes) -> None:
    again = io.BytesIO()
    write_tar(SPEC, again)
    assert again.getvalue() == archive
    assert abs(len(archive) - 4_000_000) < 600_000


def test_unpacked_archive_is_what_was_expected(tree: Path) -> None:
    assert differences(facts_of(tree)) == []


def test_every_shape_is_there() -> None:
    files = expected(SPEC).files
    entries = list(files.values())
    assert {entry.path.split("/")[0] for entry in entries} == set(ROOTS)
    assert {0o644, 0o600, 0o755} <= {entry.mode for entry in entries if entry.type == "file"}
    assert {(0, 0), (33, 33), (1000, 1000)} <= {(entry.uid, entry.gid) for entry in entries}
    assert {0, 1} <= {entry.size for entry in entries if entry.type == "file"}
    assert max(entry.size for entry in entries) > 800_000
    assert [entry.target for entry in entries if entry.type == "symlink"]
    parents = {entry.path.rsplit("/", 1)[0] for entry in entries}
    assert [entry for entry in entries if entry.type == "directory" and entry.path not in parents]
    names = " ".join(files)
    assert "🎉" in names and "e\u0301" in names and '"' in names and "\\" in names and "/-rf" in names


def test_large_sets_have_files_of_many_megabytes() -> None:
    assert max(entry.size for entry in expected(Spec(1, 1, 100)).files.values()) > 20_000_000


def test_blob_rows_describe_their_files(archive: bytes) -> None:
    rows = [row.split("\t") for row in TABLES[0].rows(SPEC)]
    local = [row for row in rows if row[5] == "local"]
    assert len(local) < len(rows), "some attachments must be elsewhere"
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        for _, key, _, _, _, _, size, checksum, _ in local:
            member = members.extractfile(f"storage/{key[:2]}/{key[2:4]}/{key}")
            assert member is not None
            data = member.read()
            assert len(data) == int(size)
            if checksum != r"\N":
                assert base64.b64decode(checksum) == hashlib.md5(data, usedforsecurity=False).digest()
            assert not key.startswith(KEY_PREFIX)


def test_each_kind_of_damage_is_named(tree: Path) -> None:
    files = [fact for fact in expected(SPEC).files.values() if fact.type == "file" and fact.size > 10]
    gone, flipped, opened, touched = (fact.path for fact in files[:4])
    (tree / gone).unlink()
    (tree / flipped).chmod(0o600)
    damaged = bytearray((tree / flipped).read_bytes())
    damaged[5] ^= 1
    (tree / flipped).write_bytes(damaged)
    os.utime(tree / flipped, (0, expected(SPEC).files[flipped].mtime))
    (tree / flipped).chmod(expected(SPEC).files[flipped].mode)
    (tree / opened).chmod(0o777)
    os.utime(tree / touched, (0, 12345))
    (tree / "uploads" / "new").write_text("extra")
    (tree / "plugins" / "current").unlink()
    (tree / "plugins" / "current").symlink_to("elsewhere")
    if os.geteuid() == 0:
        os.lchown(tree / "plugins" / "current", 1000, 1000)
    found = {difference.path: difference.what for difference in differences(facts_of(tree))}
    if os.geteuid() != 0:
        found["plugins/current"] = ("target",)
    assert found == {
        gone: ("missing",),
        flipped: ("content",),
        opened: ("mode",),
        touched: ("time",),
        "uploads/new": ("extra",),
        "plugins/current": ("target",),
    }


def test_owner_and_type_are_compared() -> None:
    fact = FileFact("storage/a", "file", 1, "x", "y", 0o644, 1000, 1000, 5)
    other_owner = FileFact("storage/a", "file", 1, "x", "y", 0o644, 1000, 0, 5)
    directory = FileFact("storage/a", "directory", 0, None, None, 0o644, 1000, 1000, 5)
    assert compare_files({"storage/a": fact}, {"storage/a": other_owner}) == [
        FileDifference("storage/a", ("owner",))
    ]
    assert compare_files({"storage/a": fact}, {"storage/a": directory}) == [
        FileDifference("storage/a", ("type",))
    ]


def test_broken_attachments_are_told_apart() -> None:
    rows = [row.encode() for row in TABLES[0].rows(SPEC) if "\tlocal\t" in row]
    blobs = parse_blobs(b"\t".join(row.split(b"\t")[n] for n in (0, 1, 6, 7)) for row in rows)
    files = dict(expected(SPEC).files)
    assert [broken(blob, files) for blob in blobs if broken(blob, files)] == []
    blob = blobs[0]
    fact = files[blob.path]
    assert "missing" in str(broken(blob, {}))
    longer = FileFact(**{**vars(fact), "size": fact.size + 1})
    assert "bytes instead of" in str(broken(blob, {blob.path: longer}))
    other = FileFact(**{**vars(fact), "md5": "0" * 32})
    assert "checksum" in str(broken(blob, {blob.path: other}))


def test_walk_lines_survive_any_file_name(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/not \xff utf-8\n"
    os.close(os.open(odd, os.O_CREAT | os.O_WRONLY, 0o600))
    script = Path(walk.__code__.co_filename)
    done = subprocess.run(
        [sys.executable, "-", f"storage={tmp_path}"],
        input=script.read_bytes(),
        capture_output=True,
        check=True,
    )
    (fact,) = parse_walk(done.stdout.splitlines())
    assert os.fsencode(fact.path) == b"storage/not \xff utf-8\n"
    assert fact.mode == 0o600
