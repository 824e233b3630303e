"""Which files need not travel, and which must, however little of a change can be seen from outside."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from loomio_backup.backup import filereading, incremental, index, packs
from loomio_backup.backup.appdata import text_of
from loomio_backup.backup.incremental import Reuse
from loomio_backup.backup.index import read_index, write_index
from loomio_backup.backup.scan import Differences, Scan
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.objects import read_object
from loomio_backup.errors import SourceError

from .agent_limits import no_more_open_files
from .agent_tree import IDENTITIES, RECIPIENTS, Tree
from .tree_writers import disturbed


def _write(root: Path, names: str, content: str = "content of ") -> None:
    for name in names.split():
        (root / name).write_text(content + name)


@pytest.mark.usefixtures("later")
def test_with_nothing_changed_nothing_is_read_and_nothing_travels(tree: Tree) -> None:
    _write(tree.root, "a b c")
    [first] = tree.backup()
    digest = index.plain_digest(tree.scan)
    assert tree.backup() == []
    assert tree.reuse == Reuse(files=3, bytes=36, hashed=0)
    assert tree.files() == {f"storage/{name}": first for name in "abc"}
    assert index.plain_digest(tree.scan) == digest
    tree.check()


@pytest.mark.usefixtures("later")
def test_only_what_changed_travels(tree: Tree) -> None:
    _write(tree.root, "same-1 same-2 same-3 grown new-content removed")
    [first] = tree.backup()
    _write(tree.root, "grown", "longer content of ")
    _write(tree.root, "new-content", "CONTENT of ")
    _write(tree.root, "added")
    (tree.root / "removed").unlink()
    [second] = tree.backup()
    assert tree.files() == {
        **{f"storage/same-{number}": first for number in (1, 2, 3)},
        **{f"storage/{name}": second for name in ("added", "grown", "new-content")},
    }
    tree.check()


@pytest.mark.usefixtures("later")
def test_what_was_only_touched_is_compared_once(tree: Tree) -> None:
    _write(tree.root, "touched chmodded copied-back still")
    [first] = tree.backup()
    (tree.root / "touched").touch()
    (tree.root / "chmodded").chmod(0o600)
    shutil.copy2(tree.root / "copied-back", tree.root / "copy")
    (tree.root / "copy").replace(tree.root / "copied-back")
    assert tree.backup() == []
    assert (tree.reuse.files, tree.reuse.hashed) == (4, 3)
    assert set(tree.files().values()) == {first}
    assert tree.entries()["storage/chmodded"].mode == 0o600
    tree.check()
    assert tree.backup() == []
    assert (tree.reuse.files, tree.reuse.hashed) == (4, 0)


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("mtime_ns", [None, 1, 4_000_000_000 * 10**9], ids=["same", "1970", "2096"])
def test_no_mtime_hides_a_change_of_the_same_size(tree: Tree, mtime_ns: int | None) -> None:
    path = tree.root / "file"
    path.write_text("one")
    before = path.stat().st_mtime_ns if mtime_ns is None else mtime_ns
    os.utime(path, ns=(before, before))
    tree.backup()
    with path.open("r+") as file:
        file.write("two")
    os.utime(path, ns=(before, before))
    assert len(tree.backup()) == 1
    tree.check()
    assert tree.backup() == []
    assert tree.reuse.hashed == 0


def test_a_file_that_was_written_just_before_it_was_packed_is_no_proof(tree: Tree) -> None:
    """As if the clock of the files had not ticked between the reading and another write of the same size."""
    path = tree.root / "file"
    path.write_text("one")
    tree.backup()
    path.write_text("two")
    status = path.stat()
    tree.catalogue.database.execute(
        "UPDATE packed SET mtime_ns = ?, ctime_ns = ?", (status.st_mtime_ns, status.st_ctime_ns)
    )
    assert len(tree.backup()) == 1
    tree.check()


def test_a_file_that_is_rewritten_as_fast_as_it_is_packed(tree: Tree) -> None:
    path = tree.root / "file"
    for number in range(30):
        path.write_text(f"{number:04}")
        tree.backup()
        path.write_text(f"{number:04}"[::-1])
        tree.backup()
        tree.check()
        assert tree.entries()["storage/file"].size == 4


def test_what_does_not_hold_still_is_not_compared(tmp_path: Path) -> None:
    path = tmp_path / "changing"
    path.write_bytes(os.urandom(8 << 20))
    with disturbed(path, "rewrite"):
        assert filereading.hash_file(os.fsencode(path), 8 << 20) is None
    assert filereading.hash_file(os.fsencode(path), 8 << 20) is not None
    assert filereading.hash_file(os.fsencode(path), 1) is None
    assert filereading.hash_file(os.fsencode(tmp_path / "gone"), 1) is None


@pytest.mark.usefixtures("later")
def test_a_pack_that_is_not_usable_any_more_holds_nothing(tree: Tree) -> None:
    _write(tree.root, "a b")
    [first] = tree.backup()
    _write(tree.root, "c")
    [second] = tree.backup()
    tree.packs.discard(first)
    [third] = tree.backup()
    assert tree.files() == {"storage/a": third, "storage/b": third, "storage/c": second}
    assert tree.reuse == Reuse(files=1, bytes=12, hashed=0)
    tree.packs.add(first)
    choice = tree.files()
    for _ in range(2):
        assert tree.backup() == []
        assert tree.reuse.files == 3
        assert tree.files() in (choice, choice | {"storage/a": first, "storage/b": first})
        digest = index.plain_digest(tree.scan)
    assert tree.backup() == []
    assert index.plain_digest(tree.scan) == digest


@pytest.mark.usefixtures("later")
def test_on_another_pi_the_content_decides(tree: Tree, tmp_path: Path) -> None:
    """What an index says is enough to know restored files again, whatever their names."""
    odd = os.fsdecode(b"not utf-8 \xff\xfe")
    names = ["plain", "line\nbreak", "quote'\"", "emoji 🎉", odd]
    for name in names:
        (tree.root / name).write_text(name, errors="surrogateescape")
    (tree.root / "link").symlink_to("plain")
    [first] = tree.backup()
    write_index(tree.scan, tmp_path / "kept index", RECIPIENTS)

    (tmp_path / "new pi").mkdir()
    shutil.copytree(tree.root, tmp_path / "new pi" / "storage", symlinks=True)
    with Catalogue(tmp_path / "new catalogue") as catalogue:
        fresh = Tree(tmp_path / "new pi", catalogue)
        fresh.packs.add(first)
        shutil.copy(tmp_path / first, fresh.out)
        with read_object(tmp_path / "kept index", IDENTITIES) as source:
            assert incremental.load_index(catalogue, read_index(source), "index-1") == len(names)
        assert incremental.known_index(catalogue) == "index-1"
        (fresh.root / "plain").write_text("PLAIN")
        [second] = fresh.backup()
        assert (fresh.reuse.files, fresh.reuse.hashed) == (4, 5)
        assert fresh.files() == {
            f"storage/{text_of(os.fsencode(name))}": second if name == "plain" else first for name in names
        }
        fresh.check()
        with read_object(tmp_path / "kept index", IDENTITIES) as source:
            incremental.load_index(catalogue, read_index(source), "index-1")
        assert fresh.backup() == []
        assert (fresh.reuse.files, fresh.reuse.hashed) == (5, 0)


@pytest.mark.usefixtures("later")
def test_a_file_becomes_a_directory_and_a_file_again(tree: Tree) -> None:
    path = tree.root / "name"
    path.write_text("a file")
    [first] = tree.backup()
    path.unlink()
    path.mkdir()
    (path / "below").write_text("below")
    [second] = tree.backup()
    assert tree.files() == {"storage/name/below": second}
    tree.check()
    shutil.rmtree(path)
    path.write_text("a file")
    assert tree.backup() == []
    assert tree.files() == {"storage/name": first}
    tree.check()


@pytest.mark.usefixtures("later")
def test_a_renamed_directory_travels_again_and_is_whole(tree: Tree) -> None:
    (tree.root / "old").mkdir()
    _write(tree.root / "old", "a b c")
    [first] = tree.backup()
    tree.scan = Scan(tree.catalogue, tree.scan.roots)
    assert tree.scan.walk() == Differences(appeared=3, changed=0, vanished=0)
    assert tree.pack() == []
    (tree.root / "old").rename(tree.root / "new")
    assert tree.scan.walk() == Differences(appeared=3, changed=0, vanished=3)
    [second] = tree.pack()
    # Renamed between the passes: the union has both, and later only the new one.
    assert tree.files() == {
        **{f"storage/old/{name}": first for name in "abc"},
        **{f"storage/new/{name}": second for name in "abc"},
    }
    tree.check()
    assert tree.backup() == []
    assert set(tree.files()) == {f"storage/new/{name}" for name in "abc"}


@pytest.mark.usefixtures("later")
def test_what_changes_between_the_passes_is_counted(tree: Tree) -> None:
    _write(tree.root, "stays changes vanishes becomes-a-directory")
    tree.scan.walk()
    tree.pack()
    _write(tree.root, "changes", "other content of ")
    (tree.root / "vanishes").unlink()
    (tree.root / "becomes-a-directory").unlink()
    (tree.root / "becomes-a-directory").mkdir()
    _write(tree.root, "appears")
    assert tree.scan.walk() == Differences(appeared=1, changed=1, vanished=2)
    tree.pack()
    tree.check()
    assert tree.scan.walk() == Differences(appeared=0, changed=0, vanished=1)


def test_what_was_packed_at_once_does_not_count_as_changed(tree: Tree) -> None:
    _write(tree.root, "young")
    tree.scan.walk()
    tree.pack()
    assert tree.scan.walk() == Differences(appeared=0, changed=0, vanished=0)
    assert tree.pack() == []
    assert tree.reuse.hashed == 1


@pytest.mark.usefixtures("later")
def test_a_file_that_changes_and_goes_away_stays_as_it_was_packed(tree: Tree) -> None:
    _write(tree.root, "stays goes")
    tree.scan.walk()
    [first] = tree.pack()
    _write(tree.root, "goes", "longer content of ")
    _write(tree.root, "comes-and-goes")
    tree.scan.walk()
    (tree.root / "goes").unlink()
    (tree.root / "comes-and-goes").unlink()
    tree.pack()
    assert tree.files() == {"storage/stays": first, "storage/goes": first}
    assert tree.scan.vanished == 1
    tree.check()


@pytest.mark.usefixtures("later")
def test_a_file_that_cannot_be_compared_fails_the_backup(tree: Tree) -> None:
    _write(tree.root, "file")
    tree.backup()
    (tree.root / "file").touch()
    tree.scan.walk()
    with no_more_open_files(), pytest.raises(SourceError, match=r"file' \(Too many open files\)"):
        incremental.assign_packs(tree.catalogue, tree.scan, tree.scan.roots, tree.packs)


@pytest.mark.usefixtures("later")
def test_a_huge_file_of_nothing_takes_next_to_nothing(tree: Tree) -> None:
    path = tree.root / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 28)
    tree.scan.walk()
    [lot] = packs.batches(tree.scan)
    assert packs.most_bytes(lot, tree.scan.roots) < 200_000
    [first] = tree.backup()
    assert (tree.out / first).stat().st_size < 200_000
    with path.open("r+b") as file:
        file.seek(1 << 27)
        file.write(b"something")
    [second] = tree.backup()
    assert (tree.out / second).stat().st_size < 200_000
    assert tree.files() == {"storage/sparse": second}
    assert tree.backup() == []
    assert tree.reuse.hashed == 0


def test_totals_of_each_source(tmp_path: Path) -> None:
    roots = {}
    for number, name in enumerate(("files", "storage", "storage-old")):
        roots[name] = tmp_path / name
        roots[name].mkdir()
        for file in range(number):
            (roots[name] / f"{file}").write_bytes(bytes(100 * number))
    with Catalogue(tmp_path / "catalogue.sqlite") as catalogue:
        scan = Scan(catalogue, roots)
        scan.walk()
        found = {name: (total.files, total.bytes) for name, total in scan.totals_by_source().items()}
        assert found == {"files": (0, 0), "storage": (1, 100), "storage-old": (2, 400)}
        assert (scan.totals().files, scan.totals().bytes) == (3, 500)


def test_the_digest_of_the_index_is_that_of_what_is_written(tree: Tree, tmp_path: Path) -> None:
    for number in range(3000):
        (tree.root / f"ünï {number}").write_text(str(number))
    (tree.root / os.fsdecode(b"\xff")).mkdir()
    tree.backup()
    digests = write_index(tree.scan, tmp_path / "the index", RECIPIENTS)
    assert index.plain_digest(tree.scan) == (digests.plain_size, digests.plain_sha256)
