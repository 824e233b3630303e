"""Everything that somebody who can write to a store, or a failing disk, may do to its objects: pure changes
of names and bytes.
"""

from __future__ import annotations

import itertools
import json
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from loomio_backup.catalogue.manifest import FORMAT, PIN_SUFFIX, SUFFIX, VERSION, Manifest, payload_of, seal
from loomio_backup.catalogue.objects import write_sealed
from loomio_backup.encryption import crypto, keyring

from .mutation_store import World

KINDS = {
    "manifest": SUFFIX,
    "dump": ".dump.zst.age",
    "config": ".config.tar.zst.age",
    "legacy": ".sql.enc",
    "pin": PIN_SUFFIX,
    "index": ".ndjson.zst.age",
    "pack": ".tar.zst.age",
    "keyring": keyring.SUFFIX,
    "RECOVERY.md": "RECOVERY.md",
}
"""Kinds of objects, and how their names end; the first that fits counts."""


@dataclass(frozen=True)
class Mutation:
    """`changes`: what the store holds then under these names, None for nothing. `told`: the objects that have
    to be named. unseen: only this Pi's catalogue can know (a new Pi cannot).
    """

    kind: str
    how: str
    changes: Mapping[str, bytes | None]
    told: Sequence[str]
    unseen: bool = False


@dataclass(frozen=True)
class Harmless:
    """A change that nobody needs to notice, because nothing but the same can come of it; and why."""

    what: str
    why: str
    changes: Mapping[str, bytes | None]


def kind_of(name: str) -> str:
    """The kind of an object, by its name."""
    if name.startswith(keyring.PREFIX):
        return "keyring"
    return next(kind for kind, end in KINDS.items() if name.endswith(end))


def all_mutations(world: World, seed: int = 0) -> list[Mutation]:
    """Every mutation of every object of the store."""
    chance = random.Random(seed)
    found: list[Mutation] = []
    for name, data in world.pristine.items():
        found += _damages(name, data, chance)
        found += _replacements(world, name)
    for kind in KINDS:
        names = [name for name in world.pristine if kind_of(name) == kind]
        for one, other in itertools.pairwise(names):
            swapped = {one: world.pristine[other], other: world.pristine[one]}
            found.append(Mutation(kind, "swapped with another", swapped, [one, other]))
    found += _forgeries(world)
    found += _of_another_loomio(world)
    return found


def _damages(name: str, data: bytes, chance: random.Random) -> Iterator[Mutation]:
    """What a disk, a network or a hasty hand does."""
    kind, size = kind_of(name), len(data)
    unseen = kind == "RECOVERY.md"
    body = data.find(b"\n", data.find(b"\n--- ") + 1) + 1
    places = {
        "its first": 0,
        "a header": max(1, body // 2),
        "its first body": body or 1,
        "its last": size - 1,
    }
    for place, where in [*places.items(), *(("a random", chance.randrange(size)) for _ in range(3))]:
        bit = 1 << chance.randrange(8)
        flipped = data[:where] + bytes([data[where] ^ bit]) + data[where + 1 :]
        yield Mutation(kind, f"a bit of {place} byte flipped", {name: flipped}, [name], unseen)
    lengths = {"nothing": 0, "one byte": 1, "half": size // 2, "all but one byte": size - 1}
    for what, length in lengths.items():
        yield Mutation(kind, f"cut off: {what} is left", {name: data[:length]}, [name], unseen)
    hole = size // 3
    block = min(512, size - hole)
    others = {
        "one byte added": data + b"\n",
        "written twice": data + data,
        "a block of zeros": data[:hole] + bytes(block) + data[hole + block :],
        "random bytes instead": chance.randbytes(size),
    }
    for what, other in others.items():
        yield Mutation(kind, what, {name: other}, [name], unseen)
    # Only this Pi can know of what nothing mentions.
    alone = kind in ("manifest", "keyring", "RECOVERY.md")
    if kind != "pin":
        yield Mutation(kind, "removed", {name: None}, [name], unseen=alone)


def _replacements(world: World, name: str) -> Iterator[Mutation]:
    """A genuine object in the place of another one: older, of another Loomio, of another signing key."""
    kind = kind_of(name)
    unseen = kind == "RECOVERY.md"
    same = [other for other in world.pristine if kind_of(other) == kind and other != name]
    older = [world.pristine[other] for other in same] + [
        data for other, data in world.older.items() if kind_of(other) == kind and data != world.pristine[name]
    ]
    for data in older:
        yield Mutation(kind, "replaced by another of this Pi", {name: data}, [name], unseen)
    for whose, objects in (("another Loomio", world.sibling), ("another signing key", world.foreign)):
        others = [data for other, data in objects.items() if kind_of(other) == kind]
        for data in others[-2:]:
            yield Mutation(kind, f"replaced by one of {whose}", {name: data}, [name], unseen)


def _forgeries(world: World) -> Iterator[Mutation]:
    """Manifests and pins that say something else than what this Pi signed."""
    manifests = list(world.manifests().values())
    newest = manifests[0]
    later = newest.model_copy(update={"sequence": newest.sequence + 100})
    shrunk = newest.model_copy(update={"objects": newest.objects[:1]})
    invented = later.model_copy(update={"name": "loomio_backup_20991231_235959"})
    moved = newest.model_copy(update={"snapshot_at": newest.snapshot_at + timedelta(days=1)})
    with tempfile.TemporaryDirectory(prefix="loomio-forged-") as directory:
        forger = _Forger(Path(directory), world)
        for manifest in manifests:
            forged = {manifest.manifest_name: forger.manifest(manifest)}
            yield Mutation("manifest", "the same, signed by another key", forged, list(forged))
        for what, changed in {
            "with a higher sequence": later,
            "with fewer objects": shrunk,
            "with a later time": moved,
            "invented": invented,
        }.items():
            name = changed.manifest_name
            yield Mutation(
                "manifest", f"{what}, signed by another key", {name: forger.manifest(changed)}, [name]
            )
            kept = forger.with_signature_of(newest, changed)
            yield Mutation("manifest", f"{what}, with the old signature", {name: kept}, [name])
        for what, document in forger.odd_documents(newest).items():
            name = newest.manifest_name
            yield Mutation("manifest", what, {name: forger.sealed(document)}, [name])
        for manifest in manifests:
            pin = manifest.name + PIN_SUFFIX
            yield Mutation("pin", "signed by another key", {pin: forger.pin(manifest)}, [pin])


def _of_another_loomio(world: World) -> Iterator[Mutation]:
    """Whole backups of another Loomio whose Pi has the same keys, put into this one's folder."""
    for number, name in enumerate([name for name in world.sibling if name.endswith(SUFFIX)]):
        # With all that it needs, and (the first) alone.
        changes = dict(world.sibling) if number else {name: world.sibling[name]}
        changes.pop("RECOVERY.md", None)
        for other in world.sibling:
            if other.endswith(SUFFIX) and other != name:
                changes.pop(other, None)
        how = "a whole backup of another Loomio added" if number else "one of another Loomio added"
        yield Mutation("manifest", how, changes, [name.removesuffix(SUFFIX)])


def harmless(world: World) -> list[Harmless]:
    """Changes that are of no consequence."""
    newest = next(iter(world.manifests().values()))
    pins = {name: data for name, data in world.older.items() if name.endswith(PIN_SUFFIX)}
    rings = {name: data for name, data in world.older.items() if name.startswith(keyring.PREFIX)}
    strange = keyring.make([crypto.generate_identity()], world.pi.config.recipients).encode() + b"\n"
    with tempfile.TemporaryDirectory(prefix="loomio-forged-") as directory:
        path = Path(directory) / newest.manifest_name
        seal(newest, world.pi.signing_key, world.pi.config.recipients, path)
        again = path.read_bytes()
    return [
        Harmless(
            "a manifest encrypted anew",
            "its signature covers all that it says, and that is the same",
            {newest.manifest_name: again},
        ),
        Harmless(
            "a pin removed",
            "no backup is lost by it; whoever can do it could remove the backup, and that is noticed",
            {newest.name + PIN_SUFFIX: None},
        ),
        Harmless(
            "a pin of this Pi that was removed, put back",
            "it keeps a backup that would otherwise go one day; nothing else",
            dict(pins),
        ),
        Harmless(
            "a keyring of this Pi that was replaced, put back",
            "the keys in it are this Pi's own, and the next rotation removes it",
            dict(rings),
        ),
        Harmless(
            "somebody else's keyring, added",
            "the keys in it open nothing that a signed manifest mentions",
            {keyring.object_name(strange): strange},
        ),
        Harmless(
            "a pack that no manifest mentions, added",
            "nothing reads it; it is cleared up after a week",
            {"app-data_00000000000000000000000000000000.tar.zst.age": b"something"},
        ),
        Harmless(
            "a file that is none of ours, added",
            "nothing reads it, and nothing removes it",
            {"holiday.jpg": b"something"},
        ),
    ]


class _Forger:
    """Knows the public key for backups, as everybody may, and has a signing key of its own."""

    def __init__(self, directory: Path, world: World) -> None:
        self._directory = directory
        self._recipients = world.pi.config.recipients
        self._ours, self._key = world.pi.signing_key, world.foreign_signing_key
        self._number = 0

    def manifest(self, manifest: Manifest) -> bytes:
        """A manifest with a signature by the forger's key."""
        path = self._path()
        seal(manifest, self._key, self._recipients, path)
        return path.read_bytes()

    def with_signature_of(self, genuine: Manifest, changed: Manifest) -> bytes:
        """A changed payload beside the signature of the genuine one."""
        signature = crypto.sign(self._ours, payload_of(genuine).encode())
        return self.sealed(_document(payload_of(changed), signature))

    def odd_documents(self, manifest: Manifest) -> dict[str, object]:
        """What is not a manifest of this version, though it may hold one."""
        payload = payload_of(manifest)
        signature = crypto.sign(self._ours, payload.encode())
        genuine = _document(payload, signature)
        return {
            "of another version": genuine | {"version": VERSION + 1},
            "of another format": genuine | {"format": "loomio-backup-pin"},
            "without a signature": genuine | {"signature": ""},
            "with other white space than was signed": genuine | {"payload": payload.replace(":", ": ", 1)},
            "not an object": [genuine],
            "empty": {},
        }

    def pin(self, manifest: Manifest) -> bytes:
        """A pin for a backup, by the forger's key."""
        payload = json.dumps(
            {
                "backup": manifest.name,
                "reason": "because",
                "pinned_at": manifest.snapshot_at.isoformat(),
                "by": "person",
            }
        )
        signature = crypto.sign(self._key, payload.encode())
        return self.sealed(_document(payload, signature) | {"format": "loomio-backup-pin"})

    def sealed(self, document: object) -> bytes:
        """Any JSON, encrypted for the Pi."""
        path = self._path()
        write_sealed(json.dumps(document).encode(), path, self._recipients)
        return path.read_bytes()

    def _path(self) -> Path:
        self._number += 1
        return self._directory / str(self._number)


def _document(payload: str, signature: str) -> dict[str, object]:
    return {"format": FORMAT, "version": VERSION, "payload": payload, "signature": signature}
