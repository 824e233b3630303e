"""Whatever happens to a tree, every file of a backup is in a usable pack with its right content."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings

from .agent_tree import Tree
from .tree_changes import Life, live, lives
from .tree_writers import Writers


def test_backups_while_files_come_go_and_change(tree: Tree) -> None:
    quiet = {f"quiet {number}": os.urandom(1000 * number) for number in range(20)}
    for name, content in quiet.items():
        (tree.root / name).write_bytes(content)
    writers = Writers(tree.root, seed=7)
    try:
        for _ in range(3):
            tree.backup()
            tree.check()
            held = tree.files()
            assert {f"storage/{name}" for name in quiet} <= held.keys()
            # No path is a file and a directory at once: that could not be restored.
            for path in held:
                assert not any(other.startswith(path + "/") for other in tree.entries())
    finally:
        writers.stop()
    assert writers.changes > 300
    tree.backup()
    tree.check()
    found = {str(path.relative_to(tree.out)) for path in tree.root.rglob("*") if path.is_file()}
    assert tree.files().keys() == found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lives)
def test_every_file_is_in_a_usable_pack_with_its_right_content(life: Life) -> None:
    assert live(life) >= 1
