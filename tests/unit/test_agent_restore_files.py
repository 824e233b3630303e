"""Files staged from packs and switched in place: checked, complete, repeatable after any interruption."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from loomio_backup.backup import packs
from loomio_backup.backup.index import write_index
from loomio_backup.backup.scan import Scan
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.objects import read_object
from loomio_backup.errors import DamagedObject, RestoreError
from loomio_backup.restore.restore_files import Staging, remove_staged
from loomio_backup.restore.restore_switch import switch_files

from .agent_tree import IDENTITIES, RECIPIENTS, Tree

ID = "0123abcd"


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    source = tmp_path / "source"
    source.mkdir()
    with Catalogue(tmp_path / "catalogue.sqlite") as catalogue:
        made = Tree(source, catalogue)
        (made.root / "ab" / "cd").mkdir(parents=True, mode=0o750)
        (made.root / "ab" / "cd" / "abcd").write_bytes(b"content")
        (made.root / "ab" / "cd" / "abcd").chmod(0o4640)
        (made.root / os.fsdecode(b"odd \xff")).write_text("odd")
        (made.root / "link").symlink_to("/etc/passwd")
        (made.root / "ab" / "dirlink").symlink_to("cd")
        (made.root / "empty").mkdir(mode=0o711)
        if os.geteuid() == 0:
            for name in ("ab", "ab/cd/abcd", "link"):
                os.chown(made.root / name, 1001, 1002, follow_symlinks=False)
            (made.root / "ab" / "cd" / "abcd").chmod(0o4640)
        made.root.chmod(0o2755)
        for path in [*made.root.rglob("*"), made.root]:
            os.utime(path, ns=(1, 1_600_000_000_000_000_001), follow_symlinks=False)
        made.scan.walk()
        yield made


def _everything(root: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in [root, *root.rglob("*")]:
        status = path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        content = path.read_bytes() if kind == stat.S_IFREG else None
        target = path.readlink() if kind == stat.S_IFLNK else None
        name = str(path.relative_to(root))
        found[name] = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, content, target)
    return found


def _stage(tree: Tree, target: Path) -> Staging:
    names = tree.pack()
    index = tree.out / "index"
    write_index(tree.scan, index, RECIPIENTS)
    staging = Staging({"storage": target}, ID, target.parent / "scratch")
    with read_object(index, IDENTITIES) as source:
        staging.load(source)
    staging.require_space()
    staging.prepare()
    assert staging.packs() == names
    for name in names:
        with read_object(tree.out / name, IDENTITIES) as source:
            staging.extract(name, source)
    return staging


def test_what_comes_back_is_what_was_there(tree: Tree, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").write_text("live before")
    (target / "lost+found").mkdir()
    staging = _stage(tree, target)
    totals = staging.finish()
    staging.close()
    assert (totals.files, totals.directories, totals.symlinks) == (2, 4, 2)
    assert (target / "old").read_text() == "live before"

    before = switch_files(target, ID)
    assert before is not None
    assert [path.name for path in before.iterdir()] == ["old"]
    before.rename(tmp_path / "before")
    (target / "lost+found").rmdir()
    os.utime(target, ns=(1, 1_600_000_000_000_000_001))
    assert _everything(target) == _everything(tree.root)


def test_nothing_is_kept_where_nothing_was(tree: Tree, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    staging = _stage(tree, target)
    staging.finish()
    staging.close()
    assert switch_files(target, ID) is None
    assert _everything(target) == _everything(tree.root)
    assert switch_files(target, ID) is None
    assert _everything(target) == _everything(tree.root)


class _Died(BaseException):
    """Stands for a power cut."""


@pytest.mark.parametrize("step", range(1, 14))
def test_switch_can_be_repeated_after_an_interruption_anywhere(
    step: int, tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    for name in ("ab", "old", "other"):
        (target / name).write_text(name)
    staging = _stage(tree, target)
    staging.finish()
    staging.close()

    renames = 0
    real = Path.rename

    def dying_rename(self: Path, other: Path) -> Path:
        nonlocal renames
        renames += 1
        if renames == step:
            raise _Died
        return real(self, other)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", dying_rename)
        try:
            switch_files(target, ID)
        except _Died:
            assert renames == step
    before = switch_files(target, ID)
    assert before is not None
    assert {path.name: path.read_text() for path in before.iterdir()} == {
        name: name for name in ("ab", "old", "other")
    }
    before.rename(tmp_path / "before")
    os.utime(target, ns=(1, 1_600_000_000_000_000_001))
    assert _everything(target) == _everything(tree.root)


def test_a_pack_without_a_file_of_the_index_is_damaged(tree: Tree, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    [pack] = tree.pack()
    write_index(tree.scan, tree.out / "index", RECIPIENTS)
    staging = Staging({"storage": target}, ID, tmp_path / "scratch")
    with read_object(tree.out / "index", IDENTITIES) as source:
        staging.load(source)
    staging.prepare()
    other = io.BytesIO()
    with tarfile.open(fileobj=other, mode="w") as tar:
        member = tarfile.TarInfo("storage/ab/cd/abcd")
        member.size = 7
        tar.addfile(member, io.BytesIO(b"CONTENT"))
    with pytest.raises(DamagedObject, match="storage/ab/cd/abcd"):
        staging.extract(pack, io.BytesIO(other.getvalue()))
    assert not (target / f".loomio-restore-{ID}" / "ab" / "cd" / "abcd").exists()
    with pytest.raises(DamagedObject):
        staging.extract(pack, io.BytesIO(b"no tar at all" * 1000))
    staging.close()
    remove_staged({"storage": target})
    assert list(target.iterdir()) == []


def test_a_file_that_changed_while_it_was_packed_comes_back_as_it_ended(tree: Tree, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    [lot] = packs.batches(tree.scan)
    contents = packs.Contents()
    stream = packs.tar_stream("pack", lot, tree.scan.roots, contents)
    blocks = [next(stream)]
    (tree.root / "ab" / "cd" / "abcd").write_text("something longer")
    blocks += stream
    tree.scan.set_packed(contents.packed, contents.vanished)
    write_index(tree.scan, tree.out / "index", RECIPIENTS)
    staging = Staging({"storage": target}, ID, tmp_path / "scratch")
    with read_object(tree.out / "index", IDENTITIES) as source:
        staging.load(source)
    staging.prepare()
    staging.extract("pack", io.BytesIO(b"".join(blocks)))
    staging.finish()
    staging.close()
    switch_files(target, ID)
    assert (target / "ab" / "cd" / "abcd").read_text() == "something longer"


def test_a_source_that_this_pi_does_not_know_is_refused(tree: Tree, tmp_path: Path) -> None:
    tree.pack()
    write_index(tree.scan, tree.out / "index", RECIPIENTS)
    staging = Staging({"uploads": tmp_path}, ID, tmp_path / "scratch")
    with (
        read_object(tree.out / "index", IDENTITIES) as source,
        pytest.raises(RestoreError, match=r"storage.*app_data"),
    ):
        staging.load(source)
    staging.close()


def test_scan_never_sees_what_a_restore_left(tree: Tree) -> None:
    for prefix in ("restore", "arriving", "before"):
        (tree.root / f".loomio-{prefix}-{ID}").mkdir()
    scan = Scan(tree.catalogue, {"storage": tree.root})
    scan.walk()
    assert not [entry for entry in scan.entries() if b".loomio-" in entry.path]
