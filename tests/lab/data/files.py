"""Which files a data set has, with everything that is known of each before it exists.

`plan(spec)` reads every file's content once to learn its size and hashes, and is remembered: the database's
rows about attachments, the archive and the comparison all follow from it.
"""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from .draw import Draw
from .ledger import KEY_PREFIX, blob_path
from .media import CONTENT_TYPES, Kind, Recipe
from .spec import Spec

_MEGABYTE = 1_000_000
_LARGEST = 24 * _MEGABYTE
_OLDEST, _NEWEST = 1_350_000_000, 1_790_000_000
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

NAMES = (
    "minutes.pdf",
    "Annual report 2025 (final) (2).pdf",
    "Sitzungsprotokoll – Größe.pdf",
    "🎉 party photo 👩‍👩‍👧‍👦",
    "résume\u0301 NFD",
    "提案 小组",
    "تقرير السنة",
    "-rf",
    "quote ' double \" back\\slash",
    "100% $HOME `id` ;& |",
    "trailing space ",
    ".hidden",
    "ÿ" * 120,
)

FileType = Literal["file", "directory", "symlink", "other"]


@dataclass(frozen=True)
class FileFact:
    """One entry below a root. path: starts with the root's name. size, sha256, md5 (hex): of files only.
    mtime: whole seconds. target: of symlinks only.
    """

    path: str
    type: FileType
    size: int
    sha256: str | None
    md5: str | None
    mode: int
    uid: int
    gid: int
    mtime: int
    target: str | None = None


@dataclass(frozen=True)
class Planned:
    """A file to be: its facts, what its content is made from, and how its uploader called it."""

    fact: FileFact
    recipe: Recipe | None = None
    name: str = ""
    content_type: str = ""

    @property
    def checksum(self) -> str:
        """As ActiveStorage writes it: base64 of the MD5."""
        return base64.b64encode(bytes.fromhex(self.fact.md5 or "")).decode()


@lru_cache(maxsize=2)
def plan(spec: Spec) -> tuple[Planned, ...]:
    """Every entry, parents before children."""
    entries = [*_storage(spec), *_uploads(spec), *_files(spec), *_plugins(spec)]
    return tuple(_with_parents(entries))


def blobs(spec: Spec) -> list[Planned]:
    """The files of ActiveStorage, in the order of their rows."""
    return [entry for entry in plan(spec) if entry.recipe and entry.fact.path.startswith("storage/")]


def uploads(spec: Spec) -> list[Planned]:
    """The attachments from before ActiveStorage."""
    return [entry for entry in plan(spec) if entry.recipe and entry.fact.path.startswith("uploads/")]


def _storage(spec: Spec) -> Iterator[Planned]:
    draw = Draw(spec.seed, "files storage")
    for number, (kind, size) in enumerate(_sizes(draw, spec.files_mb * 8 * _MEGABYTE // 10)):
        key = _key(draw)
        name = f"{NAMES[number % len(NAMES)]} {number}.{'txt' if kind in ('text', 'empty') else kind}"
        yield _file(draw, f"storage/{blob_path(key)}", Recipe(kind, size, f"{spec.seed} {key}"), name)


def _uploads(spec: Spec) -> Iterator[Planned]:
    draw = Draw(spec.seed, "files uploads")
    for number, (kind, size) in enumerate(_sizes(draw, spec.files_mb * 15 * _MEGABYTE // 100), 1):
        stem = NAMES[number % len(NAMES)]
        name = f"{stem}.txt" if kind in ("text", "empty") else f"{stem}.{kind}"
        path = f"uploads/attachments/files/{number // 1000:03}/{number % 1000:03}/original/{name}"
        yield _file(draw, path, Recipe(kind, size, f"{spec.seed} {path}"), name)
    yield _directory(draw, "uploads/users/uploaded_avatars", 0o755)
    yield _directory(draw, "uploads/empty 📂 directory", 0o700)


def _files(spec: Spec) -> Iterator[Planned]:
    draw = Draw(spec.seed, "files files")
    for number, (kind, size) in enumerate(_sizes(draw, spec.files_mb * 4 * _MEGABYTE // 100)):
        path = f"files/group exports/{number:04}.{kind}"
        yield _file(draw, path, Recipe(kind, size, f"{spec.seed} {path}"), path)
    yield _file(draw, "files/.keep", Recipe("empty", 0, ""), ".keep", mode=0o444)


def _plugins(spec: Spec) -> Iterator[Planned]:
    draw = Draw(spec.seed, "files plugins")
    for name, mode in (("plugin.rb", 0o644), ("bin/install", 0o755), ("config/secret.yml", 0o600)):
        path = f"plugins/loomio_webhooks/{name}"
        yield _file(
            draw, path, Recipe("text", 700 + draw.below(3000), f"{spec.seed} {path}"), path, mode=mode
        )
    for path, target in (
        ("plugins/current", "loomio_webhooks"),
        ("plugins/loomio_webhooks/up", "../loomio_webhooks/plugin.rb"),
        ("plugins/dangling", "/nowhere/at all"),
    ):
        yield Planned(FileFact(path, "symlink", 0, None, None, 0o777, 1000, 1000, _OLDEST, target))


def _sizes(draw: Draw, total: int) -> Iterator[tuple[Kind, int]]:
    """A byte, nothing at all, one large file, then mostly small ones until the total is reached."""
    yield "text", 1
    yield "empty", 0
    left = total
    large = min(_LARGEST, total * 3 // 10)
    if large:
        yield "png", large
        left -= large
    while left > 0:
        kind, size = _size(draw)
        size = min(size, left)
        left -= size
        yield kind, size


def _size(draw: Draw) -> tuple[Kind, int]:
    value = draw.random()
    if value < 0.05:
        return "text", 1 + draw.below(2000)
    if value < 0.25:
        low, high = 100, 2_000
    elif value < 0.6:
        low, high = 2_000, 20_000
    elif value < 0.9:
        low, high = 20_000, 200_000
    elif value < 0.985:
        low, high = 200_000, 1_000_000
    else:
        low, high = 1_000_000, 4_000_000
    kinds: tuple[Kind, ...] = ("png", "png", "gif", "pdf")
    return kinds[draw.below(len(kinds))], low + draw.below(high - low)


def _file(draw: Draw, path: str, recipe: Recipe, name: str, mode: int | None = None) -> Planned:
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    for chunk in recipe.chunks():
        sha256.update(chunk)
        md5.update(chunk)
        size += len(chunk)
    drawn = (0o644, 0o644, 0o644, 0o600, 0o755, 0o640, 0o444)[draw.below(7)]
    uid, gid = _owner(draw)
    fact = FileFact(
        path, "file", size, sha256.hexdigest(), md5.hexdigest(), mode or drawn, uid, gid, _mtime(draw)
    )
    return Planned(fact, recipe, name, CONTENT_TYPES[recipe.kind])


def _directory(draw: Draw, path: str, mode: int) -> Planned:
    uid, gid = _owner(draw)
    return Planned(FileFact(path, "directory", 0, None, None, mode, uid, gid, _mtime(draw)))


def _owner(draw: Draw) -> tuple[int, int]:
    return ((0, 0), (0, 0), (1000, 1000), (33, 33), (1000, 0), (65534, 65534))[draw.below(6)]


def _mtime(draw: Draw) -> int:
    return 0 if draw.chance(0.01) else _OLDEST + draw.below(_NEWEST - _OLDEST)


def _key(draw: Draw) -> str:
    while True:
        key = "".join(_DIGITS[draw.below(36)] for _ in range(28))
        if not key.startswith(KEY_PREFIX):
            return key


def _with_parents(entries: list[Planned]) -> Iterator[Planned]:
    """Adds the directories that are only implied, and sorts all. The roots themselves are mount points, not
    content.
    """
    by_path = {entry.fact.path: entry for entry in entries}
    for path in sorted(by_path):
        parts = path.split("/")
        for depth in range(2, len(parts)):
            parent = "/".join(parts[:depth])
            if parent not in by_path:
                fact = FileFact(parent, "directory", 0, None, None, 0o755, 0, 0, _OLDEST)
                by_path[parent] = Planned(fact)
    for path in sorted(by_path):
        yield by_path[path]
