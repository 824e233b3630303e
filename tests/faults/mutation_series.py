"""Every mutation of a store is noticed by whoever reads it, and no restore ever gives anything else than a
backup that was made.

Three readers: the Pi that made the backups (`check --read-data`, with its catalogue), a new Pi that has only
the keys (the same, without), and a restore on that new Pi. Of the last one the fetching is done for every
mutation: each object is had, decrypted and compared by the code that a restore does that with, one after the
other. What a restore makes of them (the index, the packs, the database) is seen where a sample is restored
whole and compared; an index and a pack are always in it.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal

from loomio_backup.access import open_stores
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import Reader
from loomio_backup.catalogue.manifest import SUFFIX, Manifest
from loomio_backup.catalogue.objects import as_it_is, copy_object
from loomio_backup.command import cli
from loomio_backup.credentials import Credentials
from loomio_backup.errors import AgentError, DamagedObject, ManifestError, WrongKey
from loomio_backup.progress import Ticker
from loomio_backup.restore.restore_choice import Wish, candidates, read_histories
from loomio_backup.restore.restore_fetch import Fetcher
from loomio_backup.state import StateDirectory
from tests.lab.agent_site import Site

from .mutation_store import World, contents, world
from .mutations import Harmless, Mutation, all_mutations, harmless, kind_of
from .rig import content_of

Place = Literal["local", "drive"]


@dataclass
class Result:
    """Counts by (kind, how): mutations, those that the Pi noticed, those that a new Pi noticed; how many of
    them in Drive. read: what a restore would have taken. restored: the same of whole restores. harmless: with
    why. shortened: what notices a shorter history.
    """

    mutations: Counter[tuple[str, str]] = field(default_factory=Counter)
    noticed: Counter[tuple[str, str]] = field(default_factory=Counter)
    noticed_anew: Counter[tuple[str, str]] = field(default_factory=Counter)
    in_drive: int = 0
    read: Counter[str] = field(default_factory=Counter)
    restored: Counter[str] = field(default_factory=Counter)
    harmless: list[Harmless] = field(default_factory=list)
    shortened: dict[str, list[str]] = field(default_factory=dict)


class Readers:
    """Reads one store as it is now. Before each reading, what the readers remember is set back."""

    def __init__(self, made: World, place: Place) -> None:
        self.place = place
        self._world = made
        self._manifests = {one.name: one for one in made.manifests().values()}
        self._newest = next(iter(self._manifests))
        self._memory = made.root / "memory"
        if not self._memory.exists():
            shutil.copytree(made.pi.root / "state", self._memory)

    def pi(self, *options: str) -> tuple[int, str]:
        """`check --read-data` on the Pi that made the backups: exit code, and all that it said."""
        return self._check(self._remembering(), options)

    def new_pi(self, *options: str) -> tuple[int, str]:
        """The same on a new Pi."""
        return self._check(self._forgetful(), options)

    def _check(self, where: Site, options: tuple[str, ...]) -> tuple[int, str]:
        return _said(where, "check", "--store", self.place, *(options or ("--read-data", "--json")))

    def listing(self, *verb: str) -> tuple[int, str]:
        """`list` or `status` on the Pi that made the backups."""
        return _said(self._remembering(), *verb)

    def restore(self) -> str:
        """Read all that a restore of the newest would read, with its code; what it comes to: `newest`,
        `older`, or `nothing`. Everything that was read is what was backed up.
        """
        new = self._forgetful()
        wish = Wish(newest=True, store=self.place, unattended=True)
        state, credentials = StateDirectory(new.root / "state"), Credentials(new.root / "credentials")
        with Catalogue(state.catalogue) as catalogue, contextlib.redirect_stdout(io.StringIO()):
            reader = Reader(new.config, credentials, state, catalogue)
            stores = open_stores(new.config, credentials)
            try:
                histories = read_histories(stores, reader, self.place)
                choice = candidates(new.config, wish, stores, histories, None)
            except AgentError:
                return "nothing"
            rings = [(stores[kind], history.objects) for kind, history in histories.items()]
            for candidate in choice:
                manifest = catalogue.load(candidate.summary)
                try:
                    identities = reader.keys.for_backup(manifest, rings)
                    self._read(manifest, Fetcher(candidate.stores, state.spool, identities))
                except (DamagedObject, ManifestError, WrongKey):
                    continue
                assert manifest == self._manifests[manifest.name], f"{manifest.name} is not what was made"
                return "newest" if manifest.name == self._newest else "older"
        return "nothing"

    def _read(self, manifest: Manifest, fetcher: Fetcher) -> None:
        for entry in manifest.objects:
            if entry.kind == "legacy":  # a restore does not read it
                continue
            with fetcher.file(entry) as path:
                content = copy_object(path, fetcher.identities, io.BytesIO())
            assert content == (entry.plain_size, entry.plain_sha256), f"{entry.name} came as something else"

    def _remembering(self) -> Site:
        _set(self._world.pi, self._memory)
        return self._world.pi

    def _forgetful(self) -> Site:
        _set(self._world.fresh, None)
        return self._world.fresh


@contextlib.contextmanager
def changed(made: World, place: Place, changes: Mapping[str, bytes | None]) -> Iterator[None]:
    """The store with these changes, and as it was afterwards."""
    write = _to_disk if place == "local" else _to_drive
    pristine = made.pristine if place == "local" else made.in_drive
    for name, data in changes.items():
        write(made, name, data)
    try:
        yield
    finally:
        for name in changes:
            write(made, name, pristine.get(name))


def run_series(
    root: Path,
    sample: int | None = None,
    in_drive: int = 120,
    restores: int = 40,
    name: str = "faults-mutations",
) -> Result:
    """All mutations of the local store, or `sample` of them; so many of them in Drive, where as many objects
    at most rot, too. `restores` of them are restored whole.
    """
    result, chance = Result(), random.Random(1)
    with world(root, name) as made:
        local, drive = Readers(made, "local"), Readers(made, "drive")
        for readers in (local, drive):
            for code, said in (readers.pi(), readers.new_pi()):
                assert code == 0, said
            assert readers.restore() == "newest"
        mutations = all_mutations(made)
        work = [(local, one) for one in mutations]
        if sample is not None:
            work = chance.sample(work, sample)
        work += [(drive, one) for one in chance.sample(mutations, in_drive)]
        ticker = Ticker("mutations")
        for number, (readers, mutation) in enumerate(work, start=1):
            with changed(made, readers.place, mutation.changes):
                _judge(readers, mutation, result)
            ticker.tick(f"{number} of {len(work)}", number / len(work))
        for object_name in chance.sample(sorted(made.in_drive), min(in_drive, len(made.in_drive))):
            _rot(made, drive, object_name, result)
        for one in harmless(made):
            with changed(made, "local", one.changes):
                code, said = local.pi()
                assert code == 0, f"{one.what}: {said}"
                assert local.restore() == "newest", one.what
            result.harmless.append(one)
        for readers in (local, drive):
            result.shortened |= _shortened(made, readers)
        always = [
            (local, chance.choice([one for one in mutations if one.kind == kind]))
            for kind in ("index", "pack")
        ]
        for readers, mutation in [*always, *chance.sample(work, restores - len(always))]:
            with changed(made, readers.place, mutation.changes):
                result.restored[_restored(made, readers.place, mutation)] += 1
        assert local.pi()[0] == drive.pi()[0] == 0
    return result


def _rot(made: World, drive: Readers, name: str, result: Result) -> None:
    """A byte changes in Drive, which says the same of the object as before."""
    kind = kind_of(name)
    mutation = Mutation(kind, "rots in Drive", {}, [name], unseen=kind == "RECOVERY.md")
    made.lab.damage(name)
    try:
        _judge(drive, mutation, result)
    finally:
        _to_drive(made, name, made.in_drive[name])


def _judge(readers: Readers, mutation: Mutation, result: Result) -> None:
    key = mutation.kind, mutation.how
    result.mutations[key] += 1
    result.in_drive += readers.place == "drive"
    code, said = readers.pi()
    assert code == 1, f"{key} {mutation.told}: not noticed"
    for name in mutation.told:
        assert name in said, f"{key}: {name} is not named in: {said}"
    result.noticed[key] += 1
    code, said = readers.new_pi()
    if code == 1 and all(name in said for name in mutation.told):
        result.noticed_anew[key] += 1
    else:
        assert mutation.unseen, f"{key} {mutation.told}: not noticed by a new Pi: {said}"
    result.read[readers.restore()] += 1


def _shortened(made: World, readers: Readers) -> dict[str, list[str]]:
    """What a history that was made shorter is noticed by."""
    manifests = list(made.manifests().values())
    newest = [one.manifest_name for one in manifests]
    own = [entry.name for entry in manifests[0].objects if manifests[0].name in entry.name]
    later = [name for name in made.pristine if name not in made.last_week]
    cases = {
        "the newest manifest is gone": newest[:1],
        "the newest three manifests are gone": newest[:3],
        "the newest backup is gone with all that is its own": [newest[0], *own],
        "the folder is as it was after the second backup": later,
        "all manifests are gone": newest,
    }
    time = (manifests[0].snapshot_at - timedelta(seconds=1)).isoformat()
    found = {}
    for case, names in cases.items():
        with changed(made, readers.place, dict.fromkeys(names)):
            gone = [name.removesuffix(SUFFIX) for name in names if name in newest]
            by = []
            for verb, (code, said) in {
                "check": readers.pi("--json"),
                "list": readers.listing("list", "--store", readers.place),
                "status": readers.listing("status"),
            }.items():
                assert code == 1, f"{case}: {verb} says {said}"
                assert any(name in said for name in gone), f"{case}: {verb} says {said}"
                by.append(f"`{verb}`")
            code, said = readers.new_pi("--expect-newer-than", time)
            assert code == 1, f"{case}: {said}"
            by.append("`check --expect-newer-than` on a new Pi")
        found[f"{readers.place}: {case}"] = by
    code, said = readers.new_pi("--expect-newer-than", time)
    assert code == 0, said
    return found


def _restored(made: World, place: Place, mutation: Mutation) -> str:
    """A whole restore on the new Pi: `newest`, `older` or `nothing`, and nothing else."""
    fresh = made.fresh
    made.empty_new_pi()
    before = content_of(fresh)
    ended = fresh.run("restore", "--newest", "--unattended", "--store", place)
    _remove_additions(made, place)
    told = re.search(r"(loomio_backup_\w+) is restored", ended.out)
    if ended.code != 0 or told is None:
        assert ended.code == 1, ended
        assert content_of(fresh) == before, f"{mutation.kind}, {mutation.how}: a failed restore changed data"
        return "nothing"
    assert content_of(fresh) == made.known[told[1]], f"{mutation.kind}, {mutation.how}: other data came back"
    return "newest" if told[1] == max(made.known) else "older"


def _remove_additions(made: World, place: Place) -> None:
    """What a restore put into the store: pins for backups that it passed over."""
    if place == "local":
        for name in contents(made.disk).keys() - made.pristine.keys():
            _to_disk(made, name, None)
    else:
        for stored in list(made.drive().list()):
            if stored.name not in made.in_drive:
                made.drive().delete(stored)


def _said(where: Site, *arguments: str) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(["--config", str(where.root / "config.yml"), *arguments])
    said = out.getvalue()
    if "--json" in arguments:
        # What is well is in there, too.
        said = "\n".join(_problems(json.loads(said))) if said else ""
    return code, said + err.getvalue()


def _problems(verdict: Mapping[str, object]) -> list[str]:
    inspected = verdict["inspected"]
    damaged = inspected["damaged"] if isinstance(inspected, dict) else []
    told = verdict["problems"]
    assert isinstance(told, list)
    return [*map(str, told), *(f"{one['object']}: {one['problem']}" for one in damaged)]


def _set(where: Site, memory: Path | None) -> None:
    """What a Pi remembers; nothing when there is no `memory`."""
    state = where.root / "state"
    shutil.rmtree(state, ignore_errors=True)
    if memory is not None:
        shutil.copytree(memory, state)


def _to_disk(made: World, name: str, data: bytes | None) -> None:
    path = made.disk / name
    if data is None:
        path.unlink(missing_ok=True)
        return
    # Never in place: a reader must not have half of it.
    path.with_name(f".{name}.new").write_bytes(data)
    path.with_name(f".{name}.new").rename(path)


def _to_drive(made: World, name: str, data: bytes | None) -> None:
    drive = made.drive()
    stored = drive.stat(name)
    if stored is not None:
        drive.delete(stored)
    if data is not None:
        path = made.root / name
        path.write_bytes(data)
        drive.put(name, path, as_it_is(path))
        path.unlink()
