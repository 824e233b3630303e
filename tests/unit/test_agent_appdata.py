"""App-data: two passes, packs and index; what the index says is what the packs hold."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import subprocess
import tarfile
from pathlib import Path

import pytest

from loomio_backup.backup import packs
from loomio_backup.backup.appdata import ScanEntry, bytes_of, resolve_roots, text_of
from loomio_backup.backup.filereading import HASH_ONLY
from loomio_backup.backup.index import read_index
from loomio_backup.config import AppDataSource
from loomio_backup.errors import DamagedObject, SourceError

from .agent_limits import no_more_open_files
from .agent_tree import IDENTITY, RECIPIENTS, Tree
from .tree_writers import disturbed


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_directories_and_links_with_all_they_have(tree: Tree) -> None:
    odd = os.fsdecode(b"not utf-8 \xff\xfe name")
    names = ["plain", "with space", "emoji 🎉", "line\nbreak", "back\\slash", "*?[glob]", odd, "x" * 255]
    (tree.root / "deep" / "er").mkdir(parents=True)
    for number, name in enumerate(names):
        path = tree.root / "deep" / "er" / name
        path.write_bytes(bytes([number]) * number * 1000)
        path.chmod(0o600 + number)
        os.chown(path, 1000 + number, 2000 + number)
        os.utime(path, ns=(1, 1_700_000_000_123_456_789 + number))
    (tree.root / "link").symlink_to("deep/er/plain")
    (tree.root / "broken").symlink_to(os.fsdecode(b"to\xffnowhere"))
    (tree.root / "empty dir").mkdir(mode=0o751)
    os.mkfifo(tree.root / "pipe")
    (tree.root / ".loomio-before-1").mkdir()
    (tree.root / ".loomio-before-1" / "not ours to back up").write_text("x")
    (tree.root / "lost+found").mkdir()

    tree.scan.walk()
    assert len(tree.pack()) == 1
    tree.check()
    entries = tree.entries()
    assert set(entries) == {
        "storage",
        "storage/deep",
        "storage/deep/er",
        "storage/link",
        "storage/broken",
        "storage/empty dir",
        *(f"storage/deep/er/{text_of(os.fsencode(name))}" for name in names),
    }
    for number, name in enumerate(names):
        entry = entries[f"storage/deep/er/{text_of(os.fsencode(name))}"]
        assert (entry.type, entry.mode, entry.uid, entry.gid, entry.mtime_ns) == (
            "file",
            0o600 + number,
            1000 + number,
            2000 + number,
            1_700_000_000_123_456_789 + number,
        )
    assert entries["storage/empty dir"].mode == 0o751
    assert entries["storage/link"].target == b"deep/er/plain"
    assert entries["storage/broken"].target == b"to\xffnowhere"
    assert tree.scan.skipped == ["storage/pipe"]
    assert tree.scan.totals().files == len(names)


def test_packs_are_what_tar_extracts(tree: Tree, tmp_path: Path) -> None:
    """Names in every form survive age, zstd and tar alone."""
    odd = os.fsencode(tree.root) + b"/\xff\xfe odd"
    with open(odd, "wb") as file:  # noqa: PTH123 - a name in bytes
        file.write(b"odd")
    (tree.root / ("ü" * 120)).write_text("long")
    tree.scan.walk()
    [pack] = tree.pack()
    key = tmp_path / "key"
    key.write_text(IDENTITY)
    target = tmp_path / "out"
    target.mkdir()
    script = 'age -d -i "$1" "$2" | zstd -d | tar -x -C "$3"'
    subprocess.run(["bash", "-o", "pipefail", "-c", script, "-", key, tmp_path / pack, target], check=True)
    assert sorted(os.fsencode(path.name) for path in (target / "storage").iterdir()) == [
        b"\xc3\xbc" * 120,
        b"\xff\xfe odd",
    ]


def test_packs_are_of_about_64_mib(tree: Tree) -> None:
    for number in range(5):
        (tree.root / f"{number}").write_bytes(os.urandom(20 << 20))
    (tree.root / "huge").write_bytes(os.urandom(100 << 20))
    tree.scan.walk()
    names = tree.pack()
    tree.check()
    sizes = [(tree.out / name).stat().st_size >> 20 for name in names]
    # In order of path: 0 1 2 3 | 4 and the huge one.
    assert sizes == [80, 120]


def test_second_pass_is_a_union(tree: Tree) -> None:
    for name in ("stays", "changes", "vanishes", "becomes a directory"):
        (tree.root / name).write_text(name)
    (tree.root / "becomes a file").mkdir()
    (tree.root / "becomes a file" / "inside").write_text("inside")
    tree.scan.walk()
    [first] = tree.pack()
    (tree.root / "changes").write_text("changed meanwhile")
    (tree.root / "vanishes").unlink()
    (tree.root / "appears").write_text("new")
    (tree.root / "becomes a directory").unlink()
    (tree.root / "becomes a directory").mkdir()
    (tree.root / "becomes a file" / "inside").unlink()
    (tree.root / "becomes a file").rmdir()
    (tree.root / "becomes a file").write_text("now a file")
    tree.scan.walk()
    [second] = tree.pack()
    tree.check()
    entries = tree.entries()
    assert {path: entry.pack for path, entry in entries.items() if entry.type == "file"} == {
        "storage/stays": first,
        "storage/vanishes": first,
        "storage/changes": second,
        "storage/appears": second,
        "storage/becomes a file": second,
    }
    assert entries["storage/becomes a directory"].type == "dir"
    assert "storage/becomes a file/inside" not in entries
    tree.scan.walk()
    assert tree.pack() == []


def test_a_change_that_keeps_size_and_mtime_is_seen(tree: Tree) -> None:
    path = tree.root / "same"
    path.write_text("one")
    before = path.stat()
    tree.scan.walk()
    tree.pack()
    path.write_text("two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    tree.scan.walk()
    assert len(tree.pack()) == 1
    tree.check()


def test_a_file_that_is_gone_before_it_is_read_is_forgotten(tree: Tree) -> None:
    for name in ("a", "b", "c"):
        (tree.root / name).write_text(name)
    tree.scan.walk()
    (tree.root / "b").unlink()
    (tree.root / "c").unlink()
    (tree.root / "c").symlink_to("a")
    tree.pack()
    tree.check()
    assert [path for path, entry in tree.entries().items() if entry.type == "file"] == ["storage/a"]


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("change", ["grow", "shrink", "rewrite"])
def test_a_file_that_changes_while_it_is_read(tree: Tree, change: str) -> None:
    """Whatever is caught, the pack holds what the index says, and a file that never rests is reported."""
    (tree.root / "before").write_text("before")
    path = tree.root / "changing"
    path.write_bytes(os.urandom(8 << 20))
    (tree.root / "z after").write_text("after")
    tree.scan.walk()
    with disturbed(path, change):
        [pack] = tree.pack()
    tree.check()
    # Whatever it looked like then proves nothing.
    assert tree.scan.select("path = ?", b"storage/changing")[0].inode == HASH_ONLY
    assert tree.scan.changed == ["storage/changing"]
    names = [name for name, _ in tree.members(pack)]
    assert names == ["storage/before", *["storage/changing"] * 3, "storage/z after"]


def test_a_file_that_changes_once_is_read_again(tree: Tree) -> None:
    path = tree.root / "file"
    path.write_text("first")
    tree.scan.walk()
    [lot] = packs.batches(tree.scan)
    contents = packs.Contents()
    stream = packs.tar_stream("pack", lot, tree.scan.roots, contents)
    blocks = [next(stream)]  # the header, which says five bytes
    path.write_text("second, longer")
    blocks += stream
    with tarfile.open(fileobj=io.BytesIO(b"".join(blocks))) as tar:
        found = [tar.extractfile(member).read() for member in tar]  # type: ignore[union-attr]
    assert found == [b"secon", b"second, longer"]
    assert contents.changed == []
    [entry] = contents.packed
    assert (entry.size, entry.sha256) == (14, hashlib.sha256(b"second, longer").hexdigest())


def test_a_file_that_cannot_be_opened_has_not_vanished(tree: Tree) -> None:
    (tree.root / "there").write_text("there")
    tree.scan.walk()
    [lot] = packs.batches(tree.scan)
    contents = packs.Contents()
    stream = packs.tar_stream("pack", lot, tree.scan.roots, contents)
    with (
        no_more_open_files(),
        pytest.raises(SourceError, match=r"there' \(Too many open files\).*Earlier backups are untouched"),
    ):
        list(stream)
    assert contents.vanished == []


def test_a_directory_that_cannot_be_listed_has_not_vanished(tree: Tree) -> None:
    with no_more_open_files(), pytest.raises(SourceError, match=r"storage/' \(Too many open files\)"):
        tree.scan.walk()


def test_a_file_whose_content_cannot_be_read_is_named(tmp_path: Path) -> None:
    """The kernel's file of a loopback's speed can be opened, says 4096 bytes, and fails when it is read."""
    if not Path("/sys/class/net/lo/speed").exists():
        pytest.skip("no such file here")
    status = Path("/sys/class/net/lo/speed").stat()
    entry = ScanEntry(b"net/speed", "file", status.st_size, 0o444, 0, 0, 0, 0, 0)
    destination = tmp_path / "pack"
    with pytest.raises(SourceError, match=r"/sys/class/net/lo/speed' \(Invalid argument\)"):
        packs.write_pack("pack", [entry], {"net": Path("/sys/class/net/lo")}, destination, RECIPIENTS)
    assert not destination.exists()


@pytest.mark.parametrize("now", ["nothing", "link", "directory", "fifo", "socket", "below a file"])
def test_what_is_no_file_any_more_is_left_to_the_next_pass(tree: Tree, now: str) -> None:
    path = tree.root / "was" / "file"
    path.parent.mkdir()
    path.write_text("content")
    tree.scan.walk()
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        match now:
            case "link":
                path.symlink_to("elsewhere")
            case "directory":
                path.mkdir()
            case "fifo":
                os.mkfifo(path)
            case "socket":
                listener.bind(str(path))
            case "below a file":
                path.parent.rmdir()
                path.parent.write_text("a file now")
        [lot] = packs.batches(tree.scan)
        contents = packs.Contents()
        list(packs.tar_stream("pack", lot, tree.scan.roots, contents))
    assert (contents.vanished, contents.packed) == ([b"storage/was/file"], [])


def test_an_index_that_leads_elsewhere_is_damaged() -> None:
    line = (
        '{{"path":"{}","type":"file","mode":"0644","uid":0,"gid":0,"mtime_ns":1,"size":1,'
        '"sha256":"x","pack":"y"}}\n'
    )
    assert list(read_index(io.BytesIO(line.format("storage/a").encode())))
    for path in ("../a", "/etc/passwd", "storage/../../etc", "storage//a", ".", "storage/\\u0000"):
        with pytest.raises(DamagedObject, match="line 1"):
            list(read_index(io.BytesIO(line.format(path).encode())))
    with pytest.raises(DamagedObject):
        list(read_index(io.BytesIO(b"not json\n")))


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere.*uploads"):
        resolve_roots([AppDataSource(name="uploads", directory=tmp_path / "nowhere")])


def test_text_and_bytes_of_paths() -> None:
    for path in (b"plain", "ünï 🎉".encode(), b"\xff\xfe"):
        assert bytes_of(text_of(path)) == path
