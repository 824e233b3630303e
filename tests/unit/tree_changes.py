"""Random lives of a tree of files, for property tests: changes of every kind, and backups in between."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from hypothesis import strategies as st

from loomio_backup import clock
from loomio_backup.backup import incremental
from loomio_backup.backup.appdata import bytes_of
from loomio_backup.backup.index import read_index, write_index
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.objects import read_object

from .agent_tree import IDENTITIES, RECIPIENTS, Tree

_NAMES = ("a", "b", "c", "d/a", "d/b", "d/e/a", "f", "f/a", os.fsdecode(b"\xff\n"))
_TIMES = (0, 1_700_000_000_000_000_000, 4_000_000_000_000_000_000)


@dataclass(frozen=True)
class Change:
    """One thing that happens to the tree; what is impossible at that moment does not happen."""

    kind: str
    name: str
    other: str
    number: int


@dataclass(frozen=True)
class Backup:
    """A backup. `between`: what happens between its passes; `waited`: whether the files had time to rest
    before it; `lost`: packs (by position) that no store has any more; `forgotten`: the catalogue was lost
    before it.
    """

    between: tuple[Change, ...]
    waited: bool
    lost: tuple[int, ...]
    forgotten: bool


Life = Sequence[Change | Backup]

_change = st.builds(
    Change,
    kind=st.sampled_from(
        ("write", "write", "same size", "touch", "rename", "delete", "chmod", "copy", "mkdir", "rmtree")
    ),
    name=st.sampled_from(_NAMES),
    other=st.sampled_from(_NAMES),
    number=st.integers(0, 5),
)
_backup = st.builds(
    Backup,
    between=st.lists(_change, max_size=3).map(tuple),
    waited=st.booleans(),
    lost=st.lists(st.integers(0, 9), max_size=1).map(tuple),
    forgotten=st.sampled_from((False, False, False, True)),
)
lives = st.lists(_change | _backup, min_size=5, max_size=25)
"""Strategy for lives."""


def live(life: Life) -> int:
    """Let a life happen, and check every backup in it, one more at the end; returns how many there were."""
    count = 0
    with TemporaryDirectory() as directory, ExitStack() as stack:
        root = Path(directory)
        tree = Tree(root, stack.enter_context(Catalogue(root / "catalogue 0")))
        for step in [*life, Backup((), True, (), False)]:
            if isinstance(step, Change):
                _happen(tree.root, step)
                continue
            count += 1
            if step.forgotten:
                tree = _forgotten(tree, stack.enter_context(Catalogue(root / f"catalogue {count}")))
            _back_up(tree, step)
    return count


def _back_up(tree: Tree, step: Backup) -> None:
    tree.packs -= {name for number, name in enumerate(sorted(tree.packs)) if number in step.lost}
    real = clock.now
    delay = timedelta(minutes=1 if step.waited else 0)
    first: dict[str, str] = {}

    def between() -> None:
        first.update(_on_disk(tree.root))
        for change in step.between:
            _happen(tree.root, change)

    with patch.object(clock, "now", lambda: real() + delay):
        tree.backup(between)
    tree.check()
    entries = tree.entries()
    held = {path: str(entry.sha256) for path, entry in entries.items() if entry.type == "file"}
    second = _on_disk(tree.root)
    # The union: what is there at the end as it is at the end, and what was there before, where nothing else
    # took its place.
    assert {path: held.get(path) for path in second} == second
    for path, sha256 in first.items():
        if path not in second:
            replaced = path in entries and entries[path].type != "file"
            above = any(entries[str(p)].type != "dir" for p in Path(path).parents if str(p) in entries)
            assert replaced or above or held[path] == sha256, path
    assert held.keys() <= first.keys() | second.keys()
    packs = {entry.pack for entry in entries.values() if entry.type == "file"}
    assert packs <= tree.packs


def _forgotten(tree: Tree, catalogue: Catalogue) -> Tree:
    """The same tree with an empty catalogue that has read the last backup's index, if there is one."""
    fresh = Tree(tree.out, catalogue)
    fresh.packs = tree.packs
    path = tree.out / "last index"
    path.unlink(missing_ok=True)
    write_index(tree.scan, path, RECIPIENTS)
    with read_object(path, IDENTITIES) as source:
        incremental.load_index(catalogue, read_index(source), "last index")
    return fresh


def _on_disk(root: Path) -> dict[str, str]:
    found = {}
    for path in root.rglob("*"):
        if path.is_file():
            name = os.fsencode(path.relative_to(root.parent)).decode("utf-8", "surrogateescape")
            assert bytes_of(name)
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _happen(root: Path, change: Change) -> None:
    # A directory where a file would have to be, a file that is not there: then it cannot happen.
    with suppress(OSError, shutil.SameFileError):
        _CHANGES[change.kind](root / change.name, root / change.other, change.number)


def _same_size(path: Path, _: Path, number: int) -> None:
    """Other bytes, of the same size, under the same mtime."""
    status = path.stat()
    with path.open("r+b") as file:
        file.write(bytes([65 + number]) * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _touch(path: Path, _: Path, number: int) -> None:
    if number < len(_TIMES):
        os.utime(path, ns=(_TIMES[number], _TIMES[number]))
    else:
        os.utime(path)


def _write(path: Path, _: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes([97 + number]) * (number % 3))


_CHANGES: dict[str, Callable[[Path, Path, int], object]] = {
    "write": _write,
    "same size": _same_size,
    "touch": _touch,
    "rename": lambda path, other, _: path.rename(other),
    "delete": lambda path, _, __: path.unlink(),
    "chmod": lambda path, _, number: path.chmod(0o600 + number),
    "copy": lambda path, other, _: shutil.copy2(path, other),
    "mkdir": lambda path, _, __: path.mkdir(),
    "rmtree": lambda path, _, __: shutil.rmtree(path),
}
