"""Packs that are left behind: sparse ones, and small ones when they are many; what a backup costs stays in
proportion to what changed.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from loomio_backup.backup import incremental, packs

from .agent_tree import Tree


def _lots(tree: Tree, prefix: str, number: int, size: int) -> None:
    random = Random(prefix)
    for file in range(number):
        (tree.root / f"{prefix} {file:05}").write_bytes(random.randbytes(size))


@pytest.mark.usefixtures("later")
def test_a_pack_that_is_mostly_gone_is_left_behind(tree: Tree) -> None:
    _lots(tree, "a", 100, 10_000)
    [first] = tree.backup()
    for path in sorted(tree.root.iterdir())[:50]:
        path.unlink()
    assert tree.backup() == []
    sorted(tree.root.iterdir())[0].unlink()
    [second] = tree.backup()
    assert (tree.repacked.packs, tree.repacked.files, tree.repacked.bytes) == (1, 49, 490_000)
    assert set(tree.files().values()) == {second}
    tree.check()
    # Older backups still need the old pack, so it is still there; nobody goes back to it.
    assert first in tree.packs
    for path in tree.root.iterdir():
        path.touch()
    assert tree.backup() == []
    assert set(tree.files().values()) == {second}


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("name", ["x", "ü" * 60, "x" * 200], ids=["short", "odd", "long"])
def test_a_pack_of_tiny_files_is_not_taken_for_empty(tree: Tree, name: str) -> None:
    """Most of such a pack is headers, whose size depends on the names."""
    _lots(tree, name, 300, 5)
    tree.backup()
    for path in sorted(tree.root.iterdir())[:30]:
        path.unlink()
    assert tree.backup() == []
    for path in sorted(tree.root.iterdir())[:130]:
        path.unlink()
    [second] = tree.backup()
    assert set(tree.files().values()) == {second}
    assert tree.backup() == []


@pytest.mark.usefixtures("later")
def test_packing_again_is_bounded(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "PACK_BYTES", 100_000)
    monkeypatch.setattr(incremental, "REPACKED_BYTES", 200_000)
    monkeypatch.setattr(incremental, "SMALL_PACK_BYTES", 25_000)
    _lots(tree, "a", 200, 10_000)
    assert len(tree.backup()) == 20
    for number, path in enumerate(sorted(tree.root.iterdir())):
        if number % 10 > 3:
            path.unlink()
    moved, runs = [], 0
    while tree.backup():
        assert 0 < tree.repacked.bytes <= 200_000
        moved.append(tree.repacked.packs)
        runs += 1
        tree.check()
    assert (sum(moved), runs) == (20, 5)
    assert len(set(tree.files().values())) < 12


@pytest.mark.usefixtures("later")
def test_many_small_packs_become_few(tree: Tree) -> None:
    """An hourly backup of a single new file, for five days: packs in use stay few, and cost stays small."""
    packed = most = 0
    for number in range(120):
        (tree.root / f"file {number}").write_bytes(os.urandom(2000))
        tree.backup()
        packed += 2000 + tree.repacked.bytes
        most = max(most, len(set(tree.files().values())))
    assert most <= incremental.MOST_SMALL_PACKS + 1
    assert packed < 120 * 2000 * 4
    tree.check()


@pytest.mark.usefixtures("later")
def test_one_percent_changed_costs_no_more_than_that(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty backups in a row; leaving sparse packs behind is extra, and rare."""
    monkeypatch.setattr(packs, "PACK_BYTES", 1_000_000)
    _lots(tree, "a", 1000, 10_000)
    tree.backup()
    random, over = Random(5), 0
    for _ in range(50):
        for number in random.sample(range(1000), 10):
            (tree.root / f"a {number:05}").write_bytes(random.randbytes(10_000))
        stored = sum((tree.out / name).stat().st_size for name in tree.backup())
        if tree.repacked.packs:
            over += 1
        else:
            assert stored <= 1.1 * 100_000
    assert over <= 3
    tree.check()
